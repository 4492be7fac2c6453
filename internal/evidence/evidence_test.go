package evidence

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery.dev/internal/intent"
	"chancery.dev/internal/quorum"
)

var (
	now   = time.Unix(1700000000, 0).UTC()
	topic = intent.ID{7}
)

type signer ed25519.PrivateKey

func (s signer) Sign(m []byte) []byte { return ed25519.Sign(ed25519.PrivateKey(s), m) }

func key(voter uint16) signer {
	seed := sha256.Sum256(fmt.Appendf(nil, "voter %d", voter))
	return signer(ed25519.NewKeyFromSeed(seed[:]))
}

func electorate() quorum.Electorate {
	e := quorum.FromRoster([32]byte{1}, 3, 2)
	for v := range uint16(3) {
		e.Keys[v+1] = ed25519.PrivateKey(key(v + 1)).Public().(ed25519.PublicKey)
	}
	return e
}

func writer(node uint16) Writer {
	return Writer{Cluster: quorum.Digest{1}, Epoch: 3, Node: node, Signer: key(node), Now: func() time.Time { return now }}
}

func certificate() *quorum.Certificate {
	c := quorum.Certificate{Question: quorum.Admit}
	for v := range uint16(2) {
		c.Ballots = append(c.Ballots, quorum.Ballot{Cluster: quorum.Digest{1}, Epoch: 3, Intent: topic, Question: quorum.Admit, Yes: true, Expires: now.Unix() + 60, Voter: v + 1}.Sign(key(v+1)))
	}
	return &c
}

func chain(t testing.TB, w Writer, steps ...Step) Chain {
	t.Helper()
	var c Chain
	for i, step := range steps {
		var cert *quorum.Certificate
		if step == StepAdmission {
			cert = certificate()
		}
		var err error
		if c, err = w.Append(c, topic, step, map[string]string{"n": fmt.Sprint(i)}, cert); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

var whole = []Step{StepAdmission, StepPermit, StepHeld, StepPublication}

func TestChainsOfTheRoad(t *testing.T) {
	for name, c := range map[string]struct {
		steps []Step
		good  bool
	}{
		"whole road":             {whole, true},
		"admission only":         {whole[:1], true},
		"a node that saw it":     {[]Step{StepAdmission, StepPublication}, true},
		"second attempt":         {[]Step{StepAdmission, StepPermit, StepDenial, StepPermit, StepHeld, StepPublication}, true},
		"denied at once":         {[]Step{StepDenial}, true},
		"denied after holding":   {[]Step{StepAdmission, StepPermit, StepHeld, StepDenial}, true},
		"permit first":           {[]Step{StepPermit}, false},
		"publication first":      {[]Step{StepPublication}, false},
		"held without a permit":  {[]Step{StepAdmission, StepHeld}, false},
		"published when denied":  {[]Step{StepAdmission, StepDenial, StepPublication}, false},
		"denied after all":       {append(slices.Clone(whole), StepDenial), false},
		"published twice":        {append(slices.Clone(whole), StepPublication), false},
		"permit after all":       {append(slices.Clone(whole), StepPermit), false},
		"admission twice":        {[]Step{StepAdmission, StepAdmission}, false},
		"unknown step":           {[]Step{StepAdmission, "theft"}, false},
		"published from permit":  {[]Step{StepAdmission, StepPermit, StepPublication}, false},
		"admission after denial": {[]Step{StepDenial, StepAdmission}, false},
	} {
		got, err := chain(t, writer(1), c.steps...).Verify(electorate())
		if (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
		if c.good && len(got) != len(c.steps) {
			t.Errorf("%s: %d receipts", name, len(got))
		}
	}
}

func TestBrokenChains(t *testing.T) {
	good := chain(t, writer(1), whole...)
	resigned := func(i int, change func(*Receipt)) Chain { // by the node itself: the links must find it
		c := slices.Clone(good)
		r, err := c[i].Open(electorate())
		if err != nil {
			t.Fatal(err)
		}
		change(&r)
		if c[i], err = Sign(r, key(r.Node)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	long := make(Chain, MaxChain+1)
	for name, c := range map[string]Chain{
		"empty":               {},
		"too long":            long,
		"first left out":      good[1:],
		"middle left out":     {good[0], good[1], good[3]},
		"swapped":             {good[0], good[2], good[1], good[3]},
		"doubled":             {good[0], good[0], good[1]},
		"another node's":      {good[0], chain(t, writer(2), whole...)[1]},
		"detail rewritten":    resigned(1, func(r *Receipt) { r.Detail["n"] = "other" }),
		"sequence rewritten":  resigned(3, func(r *Receipt) { r.Sequence = 4 }),
		"no certificate":      resigned(0, func(r *Receipt) { r.Certificate = nil }),
		"thin certificate":    resigned(0, func(r *Receipt) { r.Certificate.Ballots = r.Certificate.Ballots[:1] }),
		"of another intent":   resigned(0, func(r *Receipt) { r.Intent[0]++ }),
		"of another epoch":    resigned(0, func(r *Receipt) { r.Epoch++ }),
		"of another cluster":  resigned(0, func(r *Receipt) { r.Cluster[0]++ }),
		"by nobody":           resigned(0, func(r *Receipt) { r.Node = 9 }),
		"certificate expired": resigned(0, func(r *Receipt) { r.Unix += 3600 }),
	} {
		if _, err := c.Verify(electorate()); err == nil {
			t.Errorf("%s: verifies", name)
		}
	}
}

// Every single byte of a stored chain is under a signature, a link, or the form: no change of one is overlooked. Where the
// changed text decodes to the very same envelopes (a different way to write the same JSON) nothing was changed.
func TestEveryByteCounts(t *testing.T) {
	good := chain(t, writer(1), whole...)
	raw, err := json.Marshal(good)
	if err != nil {
		t.Fatal(err)
	}
	tried, same := 0, 0
	for i := range raw {
		for _, bit := range []byte{1, 0x20} {
			tried++
			changed := slices.Clone(raw)
			changed[i] ^= bit
			var c Chain
			if json.Unmarshal(changed, &c) != nil {
				continue
			}
			if again, err := json.Marshal(c); err == nil && string(again) == string(raw) {
				same++
				continue
			}
			if _, err := c.Verify(electorate()); err == nil {
				t.Errorf("byte %d changed with %#x: verifies", i, bit)
			}
		}
	}
	if same*4 > tried {
		t.Errorf("%d of %d changes changed nothing", same, tried)
	}
}

func TestOpenRefusesOtherForms(t *testing.T) {
	good := chain(t, writer(1), StepAdmission)[0]
	sign := func(payload string) Signed {
		return Signed{PayloadType, []byte(payload), []Signature{{keyID(1), key(1).Sign(pae(PayloadType, []byte(payload)))}}}
	}
	text := string(good.Payload)
	twoSignatures, otherType, otherKey := good, good, good
	twoSignatures.Signatures = append(slices.Clone(good.Signatures), good.Signatures[0])
	otherType.PayloadType = "text/plain"
	otherKey.Signatures = []Signature{{keyID(2), good.Signatures[0].Sig}}
	for name, s := range map[string]Signed{
		"white space":    sign(" " + text),
		"unknown field":  sign(strings.Replace(text, "{", `{"a":1,`, 1)),
		"doubled field":  sign(strings.Replace(text, `"epoch":3`, `"epoch":3,"epoch":3`, 1)),
		"not JSON":       sign("x"),
		"too large":      sign(strings.Repeat(" ", MaxReceipt) + text),
		"two signatures": twoSignatures,
		"no signature":   {PayloadType, good.Payload, nil},
		"another type":   otherType,
		"another key id": otherKey,
	} {
		if _, err := s.Open(electorate()); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	if sign(text).Payload == nil {
		t.Fatal("no payload")
	}
	if _, err := sign(text).Open(electorate()); err != nil {
		t.Errorf("the helper's own signature does not verify: %v", err)
	}
}

// DSSE's own example of the pre-authentication encoding.
func TestPreAuthenticationEncoding(t *testing.T) {
	if got := string(pae("http://example.com/HelloWorld", []byte("hello world"))); got != "DSSEv1 29 http://example.com/HelloWorld 11 hello world" {
		t.Errorf("got %q", got)
	}
}

func TestAppendSharesNoMemory(t *testing.T) {
	base := chain(t, writer(1), StepAdmission)
	a, errA := writer(1).Append(base, topic, StepPermit, nil, nil)
	b, errB := writer(1).Append(base, topic, StepDenial, nil, nil)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	for _, c := range []Chain{a, b} {
		if _, err := c.Verify(electorate()); err != nil {
			t.Errorf("two chains from one overwrite each other: %v", err)
		}
	}
	if _, err := writer(1).Append(nil, topic, StepDenial, map[string]string{"x": strings.Repeat("y", MaxReceipt)}, nil); err == nil {
		t.Error("an oversized receipt was signed")
	}
}

func FuzzOpen(f *testing.F) {
	for _, s := range chain(f, writer(1), whole...) {
		f.Add(s.Payload, s.Signatures[0].Sig)
	}
	e := electorate()
	f.Fuzz(func(t *testing.T, payload, sig []byte) {
		s := Signed{PayloadType, payload, []Signature{{keyID(1), sig}}}
		if r, err := s.Open(e); err == nil {
			if again, err := intent.CanonicalJSON(r); err != nil || string(again) != string(payload) {
				t.Errorf("%s is read as %s", payload, again)
			}
		}
		_, _ = Chain{s}.Verify(e)
	})
}
