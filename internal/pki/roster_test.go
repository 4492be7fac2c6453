package pki

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const (
	keyA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	keyB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	keyC = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
	keyD = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
)

// goodRoster has everything that a row of the table below changes.
const goodRoster = `{"cluster":"alpha","epoch":7,"threshold":2,"nodes":[` +
	`{"id":"n1","party":1,"address":"127.0.0.1:7001","identity_key":"` + keyA + `","spki_sha256":"` + keyB + `"},` +
	`{"id":"n2","party":2,"address":"127.0.0.1:7002","identity_key":"` + keyC + `","spki_sha256":"` + keyD + `"}]}`

func TestRosterIsReadStrictly(t *testing.T) {
	for _, c := range []struct{ what, old, new, text string }{
		{"unchanged", "", "", ""},
		{"nodes in another order", `"party":1`, `"party":3`, ""},
		{"one node twice", `"id":"n2"`, `"id":"n1"`, "id n1 stands twice"},
		{"one party twice", `"party":2`, `"party":1`, "party 1 stands twice"},
		{"one address twice", `127.0.0.1:7002`, `127.0.0.1:7001`, "address 127.0.0.1:7001 stands twice"},
		{"one identity key twice", keyC, keyA, "identity key " + keyA + " stands twice"},
		{"one pin twice", keyD, keyB, "pin " + keyB + " stands twice"},
		{"party 0", `"party":1`, `"party":0`, "party 0"},
		{"party missing", `"party":1,`, ``, "party 0"},
		{"party null", `"party":1`, `"party":null`, "party 0"},
		{"party too large", `"party":1`, `"party":65536`, "decode"},
		{"party negative", `"party":1`, `"party":-1`, "decode"},
		{"party a fraction", `"party":1`, `"party":1.5`, "decode"},
		{"party as text", `"party":1`, `"party":"1"`, "decode"},
		{"node id in upper case", `"id":"n1"`, `"id":"N1"`, "is not valid"},
		{"node id with a slash", `"id":"n1"`, `"id":"n/1"`, "is not valid"},
		{"node id missing", `"id":"n1",`, ``, "is not valid"},
		{"node id too long", `"id":"n1"`, `"id":"` + strings.Repeat("n", 64) + `"`, "is not valid"},
		{"cluster name with a dot", `"alpha"`, `"al.pha"`, "cluster name"},
		{"cluster missing", `"cluster":"alpha",`, ``, "cluster name"},
		{"threshold 1", `"threshold":2`, `"threshold":1`, "threshold"},
		{"threshold above the nodes", `"threshold":2`, `"threshold":3`, "threshold"},
		{"threshold missing", `"threshold":2,`, ``, "threshold"},
		{"address without port", `127.0.0.1:7001`, `127.0.0.1`, "host:port"},
		{"address without host", `127.0.0.1:7001`, `:7001`, "host:port"},
		{"address with an empty port", `127.0.0.1:7001`, `127.0.0.1:`, "host:port"},
		{"address too long", `127.0.0.1:7001`, strings.Repeat("h", maxAddress) + `:1`, "host:port"},
		{"identity key of zeros", keyA, strings.Repeat("0", 64), "keys of n1 are missing"},
		{"pin of zeros", keyB, strings.Repeat("0", 64), "keys of n1 are missing"},
		{"identity key too short", keyA, keyA[2:], "64 lower-case hex"},
		{"identity key in upper case", keyA, strings.ToUpper(keyA), "64 lower-case hex"},
		{"pin that is no hex", keyB, keyB[:63] + "g", "64 lower-case hex"},
		{"pin missing", `,"spki_sha256":"` + keyB + `"`, ``, "64 lower-case hex"},
		{"unknown field", `"epoch":7`, `"epoch":7,"extra":1`, "unknown field"},
		{"unknown field of a node", `"party":1`, `"party":1,"extra":1`, "unknown field"},
		{"a key twice", `"epoch":7`, `"epoch":7,"epoch":8`, `key "epoch"`},
		{"a key twice with one value", `"epoch":7`, `"epoch":7,"epoch":7`, `key "epoch"`},
		{"a node's key twice", `"party":1`, `"party":4,"party":1`, `key "party"`},
		{"nodes twice", `"nodes":[`, `"nodes":[],"nodes":[`, `key "nodes"`},
		{"a key twice, once escaped", `"epoch":7`, `"epoch":7,"\u0065poch":8`, `key "epoch"`},
		{"a key twice, once in upper case", `"epoch":7`, `"epoch":7,"EPOCH":8`, `key "EPOCH"`},
		{"a key in upper case", `"epoch"`, `"Epoch"`, `key "Epoch"`},
		{"a key with a folding letter", `"spki_sha256":"` + keyB, `"ſpki_sha256":"` + keyB, `key "ſpki_sha256"`},
		{"a second value", "]}", "]}{}", "more than one value"},
		{"noise after it", "]}", "]}]", "more than one value"},
		{"cut", "]}", "]", "decode"},
		{"a list", goodRoster, "[" + goodRoster + "]", "decode"},
		{"null", goodRoster, "null", "cluster name"},
		{"nothing", goodRoster, "", "decode"},
		{"too large", "]}", "]}" + strings.Repeat(" ", maxRosterFile), "larger"},
	} {
		_, err := ParseRoster([]byte(strings.Replace(goodRoster, c.old, c.new, 1)))
		code := CodeRoster
		if c.text == "" {
			code = ""
		}
		refused(t, c.what, err, code)
		if err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %q does not say %q", c.what, err, c.text)
		}
	}
}

func TestRosterHasTwoToSixtyFourNodes(t *testing.T) {
	for n, code := range map[int]string{0: CodeRoster, 1: CodeRoster, 2: "", MaxNodes: "", MaxNodes + 1: CodeRoster} {
		r := &Roster{Cluster: "alpha", Threshold: n/2 + 1}
		for i := range n {
			r.Nodes = append(r.Nodes, Node{NodeID(fmt.Sprint("n", i)), uint16(i + 1), fmt.Sprint("h:", i), [32]byte{1, byte(i)}, [32]byte{2, byte(i)}})
		}
		file, err := r.Encode()
		must(t, err)
		_, err = ParseRoster(file)
		refused(t, fmt.Sprintf("%d nodes", n), err, code)
	}
}

// What one side writes the other reads, and the order in the file changes nothing.
func TestRosterRoundTrip(t *testing.T) {
	w := newTown(t)
	file, err := w.roster.Encode()
	must(t, err)
	path := filepath.Join(t.TempDir(), "roster.json")
	must(t, os.WriteFile(path, file, 0o644))
	got, err := LoadRoster(path)
	if err != nil || !reflect.DeepEqual(got, w.roster) || got.Digest() != w.roster.Digest() {
		t.Fatalf("read back %+v, %v", got, err)
	}
	turned := *w.roster
	turned.Nodes = []Node{w.roster.Nodes[2], w.roster.Nodes[0], w.roster.Nodes[1]}
	file, err = turned.Encode()
	must(t, err)
	if got, err = ParseRoster(file); err != nil || got.Digest() != w.roster.Digest() {
		t.Errorf("order of the file: %v", err)
	}
	for i, n := range w.roster.Nodes {
		byID, ok1 := got.ByID(n.ID)
		byParty, ok2 := got.ByParty(uint16(i + 1))
		if !ok1 || !ok2 || byID != n || byParty != n || [32]byte(n.PublicKey()) != n.Identity {
			t.Errorf("%s is not found by its name and number", n.ID)
		}
	}
	_, ok1 := got.ByID("n9")
	_, ok2 := got.ByParty(0)
	if ok1 || ok2 {
		t.Error("found who is not there")
	}
	if _, err := LoadRoster(path + ".no"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("roster that is not there: %v", err)
	}
}

// The digest covers every field: two rosters that differ anywhere have two digests.
func TestDigestCoversEveryField(t *testing.T) {
	seen := map[[32]byte]string{}
	for _, c := range []struct{ what, old, new string }{
		{"unchanged", "", ""}, {"cluster", `"alpha"`, `"beta"`}, {"epoch", `"epoch":7`, `"epoch":8`}, {"id", `"id":"n1"`, `"id":"n3"`},
		{"party", `"party":2`, `"party":3`}, {"address", "7001", "7003"}, {"identity key", keyA, keyA[:63] + "b"}, {"pin", keyD, "e" + keyD[1:]},
	} {
		r, err := ParseRoster([]byte(strings.Replace(goodRoster, c.old, c.new, 1)))
		must(t, err)
		if was, twice := seen[r.Digest()]; twice {
			t.Errorf("%s changes nothing against %s", c.what, was)
		}
		seen[r.Digest()] = c.what
		r.Threshold++
		if _, twice := seen[r.Digest()]; twice {
			t.Errorf("threshold changes nothing, %s", c.what)
		}
	}
}

func TestMakeRosterFromTheLog(t *testing.T) {
	w := newTown(t)
	issued, err := w.ca.List()
	must(t, err)
	renewed := issued[0]
	renewed.Pin = keyB
	broken := issued[0]
	broken.Pin = "?"
	for _, c := range []struct {
		what, code string
		issued     []Issued
		threshold  int
		args       []string
	}{
		{"two of the nodes", "", issued, 2, []string{"n3=h:3", "n1=h:1"}},
		{"nobody of that name", CodeRoster, issued, 2, []string{"n1=h:1", "n9=h:9"}},
		{"no address", CodeRoster, issued, 2, []string{"n1=h:1", "n2"}},
		{"a node twice", CodeRoster, issued, 2, []string{"n1=h:1", "n1=h:2"}},
		{"no majority", CodeRoster, issued, 1, []string{"n1=h:1", "n2=h:2"}},
		{"a log that is broken", CodeRoster, append(issued[:3:3], broken), 2, []string{"n1=h:1", "n2=h:2"}},
	} {
		r, err := MakeRoster("alpha", 1, c.threshold, c.issued, c.args)
		refused(t, c.what, err, c.code)
		if err == nil && (r.Nodes[0].ID != "n3" || r.Nodes[0].Party != 1 || r.Nodes[1].Address != "h:1") {
			t.Errorf("%s: %+v", c.what, r.Nodes)
		}
	}
	r, err := MakeRoster("alpha", 2, 2, append(issued[:3:3], renewed), []string{"n1=h:1", "n2=h:2"})
	if err != nil || r.Nodes[0].Pin[0] != 0xbb || r.Nodes[1].Pin == r.Nodes[0].Pin {
		t.Errorf("the newest entry does not count: %v", err)
	}
}

// FuzzRoster: what parses is valid, and its own encoding parses to the same roster.
func FuzzRoster(f *testing.F) {
	f.Add([]byte(goodRoster))
	for _, seed := range [][2]string{{`"epoch":7`, `"epoch":7,"epoch":8`}, {`"party":1`, `"party":0`}, {"127.0.0.1", "[::1]"}, {"]}", "]}{}"}, {"n1", "n2"}} {
		f.Add([]byte(strings.Replace(goodRoster, seed[0], seed[1], 1)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseRoster(data)
		if err != nil {
			refused(t, "refusal", err, CodeRoster)
			return
		}
		if err := r.validate(); err != nil {
			t.Fatalf("parsed, but not valid: %v", err)
		}
		file, err := r.Encode()
		must(t, err)
		again, err := ParseRoster(file)
		must(t, err)
		if !reflect.DeepEqual(r, again) || r.Digest() != again.Digest() {
			t.Fatalf("%+v became %+v", r, again)
		}
		if file2, err := again.Encode(); err != nil || !bytes.Equal(file, file2) {
			t.Fatalf("two encodings of one roster, %v", err)
		}
	})
}
