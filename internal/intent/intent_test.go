package intent

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gowebpki/jcs"
	"pgregory.net/rapid"
)

func spend() Intent {
	return Intent{
		Cluster: "cluster", Key: KeyID{1}, Initiator: "ann", Idempotency: "once", Expires: time.Unix(1800000000, 0).UTC(),
		Params: Spend{
			Network: "regtest",
			Inputs:  []Input{{Outpoint: strings.Repeat("ab", 32) + ":0", Value: 1000, Index: 3}, {Outpoint: strings.Repeat("cd", 32) + ":1", Value: 500, Chain: 1, Index: 4}},
			Outputs: []Output{{Address: "bcrt1qexample", Amount: 900}},
			Change:  &Change{Index: 7, Amount: 500, Position: 1}, Fee: 100, LockTime: 9, Sequence: 0xfffffffd,
		},
	}
}

func generate() Intent {
	return Intent{
		Cluster: "cluster", Initiator: "ann", Idempotency: "once", Expires: time.Unix(1800000000, 0).UTC(),
		Params: Generate{Protocol: "frost", Suite: "suite", Purpose: "wallet", Threshold: 2, Parties: []uint16{1, 2, 5}},
	}
}

func TestParseGivesWhatCanonicalWrote(t *testing.T) {
	for _, i := range []Intent{spend(), generate()} {
		canonical, err := i.Canonical()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(canonical)
		if err != nil || !reflect.DeepEqual(i, back) {
			t.Fatalf("%+v came back as %+v: %v", i, back, err)
		}
		a, errA := i.ID()
		b, errB := back.ID()
		if a != b || a != IDOf(canonical) || errors.Join(errA, errB) != nil {
			t.Error("ids differ")
		}
	}
}

// The id of a fixed intent: a change of the canonical form would orphan every signature over one.
func TestCanonicalFormIsFixed(t *testing.T) {
	canonical, err := spend().Canonical()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"act":"bitcoin.spend","cluster":"cluster","expires":"2027-01-15T08:00:00Z","idempotency_key":"once","initiator":"ann",` +
		`"key":"0100000000000000000000000000000000000000000000000000000000000000","params":{"change":{"amount_sats":"500","index":7,"position":1},` +
		`"fee_sats":"100","inputs":[{"chain":0,"index":3,"outpoint":"` + strings.Repeat("ab", 32) + `:0","value_sats":"1000"},` +
		`{"chain":1,"index":4,"outpoint":"` + strings.Repeat("cd", 32) + `:1","value_sats":"500"}],"lock_time":9,"network":"regtest",` +
		`"outputs":[{"address":"bcrt1qexample","amount_sats":"900"}],"sequence":4294967293},"version":1}`
	if string(canonical) != want {
		t.Errorf("canonical form is\n%s\nwant\n%s", canonical, want)
	}
}

// Every field, found by reflection, changes the id.
func TestEveryFieldIsInTheID(t *testing.T) {
	base, err := spend().ID()
	if err != nil {
		t.Fatal(err)
	}
	changes := map[string]func(*Intent, *Spend){
		"Cluster": func(i *Intent, _ *Spend) { i.Cluster += "x" }, "Key": func(i *Intent, _ *Spend) { i.Key[31]++ },
		"Initiator": func(i *Intent, _ *Spend) { i.Initiator += "x" }, "Idempotency": func(i *Intent, _ *Spend) { i.Idempotency += "x" },
		"Expires": func(i *Intent, _ *Spend) { i.Expires = i.Expires.Add(time.Second) }, "Params": func(i *Intent, _ *Spend) {},
		"Network": func(_ *Intent, s *Spend) { s.Network = "signet" }, "Inputs": func(_ *Intent, s *Spend) { s.Inputs[0].Index++ },
		"Outputs": func(_ *Intent, s *Spend) { s.Outputs[0].Address += "x" }, "Change": func(_ *Intent, s *Spend) { s.Change.Position = 0 },
		"Fee": func(_ *Intent, s *Spend) { s.Fee++; s.Outputs[0].Amount-- }, "LockTime": func(_ *Intent, s *Spend) { s.LockTime++ },
		"Sequence": func(_ *Intent, s *Spend) { s.Sequence-- },
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[Intent](), reflect.TypeFor[Spend]()} {
		for f := range typ.NumField() {
			name := typ.Field(f).Name
			change, known := changes[name]
			if !known {
				t.Errorf("field %s is not known to this test", name)
				continue
			}
			i := spend()
			s := i.Params.(Spend)
			change(&i, &s)
			i.Params = s
			id, err := i.ID()
			if err != nil || name != "Params" && id == base {
				t.Errorf("%s is not in the id: %v", name, err)
			}
		}
	}
}

func TestValidateRefuses(t *testing.T) {
	bad := func(change func(*Intent, *Spend)) Intent {
		i := spend()
		s := i.Params.(Spend)
		change(&i, &s)
		if i.Params != nil {
			i.Params = s
		}
		return i
	}
	badKey := func(change func(*Generate)) Intent {
		i := generate()
		g := i.Params.(Generate)
		change(&g)
		i.Params = g
		return i
	}
	for name, i := range map[string]Intent{
		"no parameters":       bad(func(i *Intent, _ *Spend) { i.Params = nil }),
		"no cluster":          bad(func(i *Intent, _ *Spend) { i.Cluster = "" }),
		"long cluster":        bad(func(i *Intent, _ *Spend) { i.Cluster = strings.Repeat("x", MaxName+1) }),
		"long initiator":      bad(func(i *Intent, _ *Spend) { i.Initiator = strings.Repeat("x", MaxName+1) }),
		"no idempotency key":  bad(func(i *Intent, _ *Spend) { i.Idempotency = "" }),
		"long idempotency":    bad(func(i *Intent, _ *Spend) { i.Idempotency = strings.Repeat("x", MaxIdempotencyKey+1) }),
		"no expiry":           bad(func(i *Intent, _ *Spend) { i.Expires = time.Time{} }),
		"expiry with nanos":   bad(func(i *Intent, _ *Spend) { i.Expires = i.Expires.Add(1) }),
		"expiry not UTC":      bad(func(i *Intent, _ *Spend) { i.Expires = i.Expires.In(time.FixedZone("x", 3600)) }),
		"no key":              bad(func(i *Intent, _ *Spend) { i.Key = KeyID{} }),
		"no network":          bad(func(_ *Intent, s *Spend) { s.Network = "" }),
		"no input":            bad(func(_ *Intent, s *Spend) { s.Inputs = nil }),
		"too many inputs":     bad(func(_ *Intent, s *Spend) { s.Inputs = make([]Input, MaxInputs+1) }),
		"input twice":         bad(func(_ *Intent, s *Spend) { s.Inputs[1].Outpoint = s.Inputs[0].Outpoint }),
		"outpoint short":      bad(func(_ *Intent, s *Spend) { s.Inputs[0].Outpoint = "ab:0" }),
		"outpoint upper case": bad(func(_ *Intent, s *Spend) { s.Inputs[0].Outpoint = strings.Repeat("AB", 32) + ":0" }),
		"outpoint leading 0":  bad(func(_ *Intent, s *Spend) { s.Inputs[0].Outpoint = strings.Repeat("ab", 32) + ":00" }),
		"outpoint no index":   bad(func(_ *Intent, s *Spend) { s.Inputs[0].Outpoint = strings.Repeat("ab", 32) }),
		"chain 2":             bad(func(_ *Intent, s *Spend) { s.Inputs[0].Chain = 2 }),
		"hardened":            bad(func(_ *Intent, s *Spend) { s.Inputs[0].Index = MaxPathIndex + 1 }),
		"input of nothing":    bad(func(_ *Intent, s *Spend) { s.Inputs[0].Value = 0 }),
		"input too large":     bad(func(_ *Intent, s *Spend) { s.Inputs[0].Value = MaxSats + 1 }),
		"no output":           bad(func(_ *Intent, s *Spend) { s.Outputs = nil }),
		"too many outputs":    bad(func(_ *Intent, s *Spend) { s.Outputs = make([]Output, MaxOutputs+1) }),
		"output of nothing":   bad(func(_ *Intent, s *Spend) { s.Outputs[0].Amount = 0 }),
		"negative output":     bad(func(_ *Intent, s *Spend) { s.Outputs[0].Amount = -900 }),
		"no address":          bad(func(_ *Intent, s *Spend) { s.Outputs[0].Address = "" }),
		"long address":        bad(func(_ *Intent, s *Spend) { s.Outputs[0].Address = strings.Repeat("x", MaxAddress+1) }),
		"sum too high":        bad(func(_ *Intent, s *Spend) { s.Outputs[0].Amount++ }),
		"sum too low":         bad(func(_ *Intent, s *Spend) { s.Outputs[0].Amount-- }),
		"no fee":              bad(func(_ *Intent, s *Spend) { s.Outputs[0].Amount += s.Fee; s.Fee = 0 }),
		"change of nothing":   bad(func(_ *Intent, s *Spend) { s.Fee += s.Change.Amount; s.Change.Amount = 0 }),
		"change past the end": bad(func(_ *Intent, s *Spend) { s.Change.Position = 2 }),
		"change hardened":     bad(func(_ *Intent, s *Spend) { s.Change.Index = MaxPathIndex + 1 }),
		"key of a new key": func() Intent {
			i := generate()
			i.Key = KeyID{1}
			return i
		}(),
		"one party":          badKey(func(g *Generate) { g.Parties = g.Parties[:1] }),
		"threshold one":      badKey(func(g *Generate) { g.Threshold = 1 }),
		"threshold too high": badKey(func(g *Generate) { g.Threshold = 4 }),
		"party zero":         badKey(func(g *Generate) { g.Parties[0] = 0 }),
		"party twice":        badKey(func(g *Generate) { g.Parties[1] = 1 }),
		"no protocol":        badKey(func(g *Generate) { g.Protocol = "" }),
		"no suite":           badKey(func(g *Generate) { g.Suite = "" }),
		"no purpose":         badKey(func(g *Generate) { g.Purpose = "" }),
		"too many parties":   badKey(func(g *Generate) { g.Parties = make([]uint16, MaxNodes+1) }),
	} {
		if _, err := i.ID(); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// Anything but the canonical bytes is refused, though it may say the same.
func TestParseRefusesOtherForms(t *testing.T) {
	canonical, err := spend().Canonical()
	if err != nil {
		t.Fatal(err)
	}
	text := string(canonical)
	for name, other := range map[string]string{
		"white space":     strings.Replace(text, ":", ": ", 1),
		"trailing space":  text + " ",
		"second value":    text + text,
		"unknown field":   strings.Replace(text, `"version":1`, `"version":1,"x":2`, 1),
		"doubled field":   strings.Replace(text, `"version":1`, `"version":1,"version":1`, 1),
		"other order":     strings.Replace(strings.Replace(text, `"act":"bitcoin.spend",`, "", 1), `"version":1`, `"version":1,"act":"bitcoin.spend"`, 1),
		"escaped letter":  strings.Replace(text, `"ann"`, `"\u0061nn"`, 1),
		"number form":     strings.Replace(text, `"lock_time":9`, `"lock_time":9.0`, 1),
		"amount form":     strings.Replace(text, `"fee_sats":"100"`, `"fee_sats":"0100"`, 1),
		"amount number":   strings.Replace(text, `"fee_sats":"100"`, `"fee_sats":100`, 1),
		"case of a key":   strings.Replace(text, `"initiator"`, `"Initiator"`, 1),
		"hex upper case":  strings.Replace(text, `"key":"01`, `"key":"0A`, 1),
		"another version": strings.Replace(text, `"version":1`, `"version":2`, 1),
		"another act":     strings.Replace(text, "bitcoin.spend", "bitcoin.steal", 1),
		"act of no fit":   strings.Replace(text, "bitcoin.spend", "key.generate", 1),
		"offset time":     strings.Replace(text, "08:00:00Z", "09:00:00+01:00", 1),
		"nothing":         "",
		"null":            "null",
		"array":           "[]",
		"too large":       `{"act":"` + strings.Repeat("x", MaxCanonical) + `"}`,
	} {
		if other == text {
			t.Fatalf("%s: the text did not change", name)
		}
		if _, err := Parse([]byte(other)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestDisplayShowsWhatIsSigned(t *testing.T) {
	i := spend()
	var all strings.Builder
	for _, l := range i.Display() {
		all.WriteString(l.Label + ": " + l.Text + "\n")
	}
	for _, want := range []string{"bitcoin.spend", "regtest", "0.00000900 BTC (900 sat) to bcrt1qexample", "fee: 0.00000100 BTC", "ann", "2027-01-15T08:00:00Z", i.Key.String(), "own address 1/7", strings.Repeat("ab", 32)} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("display lacks %q:\n%s", want, all.String())
		}
	}
}

func TestSatsStayWhole(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		v := Sats(rapid.Int64Range(0, MaxSats).Draw(rt, "v"))
		text, err := v.MarshalText()
		var back Sats
		if err != nil || back.UnmarshalText(text) != nil || back != v {
			rt.Fatalf("%d came back as %d", v, back)
		}
	})
	for _, text := range []string{"", "-1", "1.0", "1e3", "x", " 1", "2100000000000001", "9223372036854775808"} {
		var s Sats
		if s.UnmarshalText([]byte(text)) == nil {
			t.Errorf("%q is taken for an amount", text)
		}
	}
}

// RFC 8785's own test data.
func TestCanonicalJSONVectors(t *testing.T) {
	inputs, err := filepath.Glob("../../vectors/jcs-rfc8785/input/*.json")
	if err != nil || len(inputs) != 5 {
		t.Fatalf("%d inputs: %v", len(inputs), err)
	}
	for _, in := range inputs {
		name := strings.TrimSuffix(filepath.Base(in), ".json")
		raw, err1 := os.ReadFile(in)
		want, err2 := os.ReadFile("../../vectors/jcs-rfc8785/output/" + name + ".json")
		wantHex, err3 := os.ReadFile("../../vectors/jcs-rfc8785/outhex/" + name + ".txt")
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		got, err := jcs.Transform(raw)
		if err != nil || !bytes.Equal(got, want) || hex.EncodeToString(got) != strings.Join(strings.Fields(string(wantHex)), "") {
			t.Errorf("%s: got %s, want %s (%v)", name, got, want, err)
		}
		var v any // the same through our own function, which marshals first
		d := json.NewDecoder(bytes.NewReader(raw))
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		if got, err := CanonicalJSON(v); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: CanonicalJSON gives %s, want %s (%v)", name, got, want, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, i := range []Intent{spend(), generate()} {
		canonical, err := i.Canonical()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(canonical)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := Parse(b)
		if err != nil {
			return
		}
		again, err := i.Canonical()
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s was taken and is %s", b, again)
		}
		i.Display()
	})
}
