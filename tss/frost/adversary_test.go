package frost

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"chancery.dev/internal/group"
	"chancery.dev/tss"
)

// The adversary matrix: every field of every message of every protocol, changed in each of the ways below by one party
// that signs what it sends. The fields are found by reflection over the messages' descriptions, so a field that is added
// to a description is attacked without anybody thinking of it.

// Descriptions of the messages' payloads, in the order of their bytes.
type (
	packageFields struct {
		Version    [1]byte
		Count      [2]byte
		Commitment []point
		ProofR     point
		ProofZ     scalar
	}
	zeroPackageFields struct { // refresh: no constant term, no proof
		Version    [1]byte
		Count      [2]byte
		Commitment []point
	}
	echoFields    struct{ Originals rest }
	shareFields   struct{ Share scalar }
	verdictFields struct {
		Kind   [1]byte
		Digest [32]byte
	}
	commitmentsFields struct {
		Version [1]byte
		Count   [2]byte
		Nonces  []point
	}
	partialsFields struct {
		Version [1]byte
		Z       []scalar
	}
	splitFields struct {
		Version [1]byte
		Count   [2]byte
		Parts   []point
	}
	point  struct{}
	scalar struct{}
	rest   struct{}
)

// field is a stretch of a payload.
type field struct {
	name       string
	start, end int
	kind       reflect.Type
}

// fieldsOf lays a description over a payload. A slice stretches over as many elements as the payload leaves room for.
func fieldsOf(t *testing.T, suite Suite, description any, payload []byte) []field {
	t.Helper()
	size := func(kind reflect.Type) int {
		switch kind {
		case reflect.TypeFor[point]():
			return suite.Curve().PointLen()
		case reflect.TypeFor[scalar]():
			return suite.Curve().ScalarLen()
		}
		return kind.Len()
	}
	var out []field
	d := reflect.TypeOf(description)
	at := 0
	for i := range d.NumField() {
		f := d.Field(i)
		switch {
		case f.Type == reflect.TypeFor[rest]():
			out = append(out, field{f.Name, at, len(payload), f.Type})
			at = len(payload)
		case f.Type.Kind() == reflect.Slice:
			tail := 0
			for j := i + 1; j < d.NumField(); j++ {
				tail += size(d.Field(j).Type)
			}
			for n := 0; at+size(f.Type.Elem())+tail <= len(payload); n++ {
				out = append(out, field{fmt.Sprintf("%s[%d]", f.Name, n), at, at + size(f.Type.Elem()), f.Type.Elem()})
				at += size(f.Type.Elem())
			}
		default:
			out = append(out, field{f.Name, at, at + size(f.Type), f.Type})
			at += size(f.Type)
		}
	}
	if at != len(payload) {
		t.Fatalf("description %T covers %d of %d bytes", description, at, len(payload))
	}
	return out
}

// mutation changes one field of a payload. nil means that the message is not sent.
type mutation struct {
	name string
	do   func(a *attack, payload []byte, f field) []byte
}

type attack struct {
	suite Suite
	other []byte // the same message of another party of an earlier run
}

func replace(payload []byte, f field, with []byte) []byte {
	return slices.Concat(payload[:f.start], with, payload[f.end:])
}

var mutations = []mutation{
	{"flip first bit", func(_ *attack, p []byte, f field) []byte {
		out := slices.Clone(p)
		out[f.start] ^= 0x80
		return out
	}},
	{"flip last bit", func(_ *attack, p []byte, f field) []byte {
		out := slices.Clone(p)
		out[f.end-1] ^= 1
		return out
	}},
	{"zero", func(_ *attack, p []byte, f field) []byte { return replace(p, f, make([]byte, f.end-f.start)) }},
	{"all ones", func(_ *attack, p []byte, f field) []byte {
		return replace(p, f, bytes.Repeat([]byte{0xff}, f.end-f.start))
	}},
	{"another valid value", func(a *attack, p []byte, f field) []byte {
		switch f.kind {
		case reflect.TypeFor[point]():
			return replace(p, f, a.suite.Curve().BaseMul(a.suite.Curve().RandomScalar()).Bytes())
		case reflect.TypeFor[scalar]():
			return replace(p, f, a.suite.Curve().RandomScalar().Bytes())
		}
		out := slices.Clone(p)
		out[f.start]++
		return out
	}},
	{"negated", func(a *attack, p []byte, f field) []byte {
		switch f.kind {
		case reflect.TypeFor[point]():
			v, err := a.suite.Curve().DecodePoint(p[f.start:f.end])
			if err != nil {
				panic(err)
			}
			return replace(p, f, v.Neg().Bytes())
		case reflect.TypeFor[scalar]():
			v, err := a.suite.Curve().DecodeScalar(p[f.start:f.end])
			if err != nil {
				panic(err)
			}
			return replace(p, f, v.Neg().Bytes())
		}
		out := slices.Clone(p)
		out[f.end-1] ^= 0xff
		return out
	}},
	{"identity or torsion", func(a *attack, p []byte, f field) []byte {
		v := make([]byte, f.end-f.start)
		if a.suite.Curve() == group.Edwards25519 && len(v) > 0 {
			v[0] = 1 // y = 1 is the identity
		}
		return replace(p, f, v)
	}},
	{"cut out", func(_ *attack, p []byte, f field) []byte { return replace(p, f, nil) }},
	{"doubled", func(_ *attack, p []byte, f field) []byte {
		return replace(p, f, slices.Concat(p[f.start:f.end], p[f.start:f.end]))
	}},
	{"one byte more", func(_ *attack, p []byte, _ field) []byte { return append(slices.Clone(p), 0) }},
	{"of an earlier run", func(a *attack, p []byte, f field) []byte {
		if len(a.other) != len(p) {
			return append(slices.Clone(p), 1)
		}
		return replace(p, f, a.other[f.start:f.end])
	}},
	{"empty message", func(*attack, []byte, field) []byte { return []byte{} }},
}

// scenario is one protocol ready to run.
type scenario struct {
	name     string
	protocol Protocol
	suite    Suite
	fields   map[uint8]any // description of the message of each round
	start    func(t *testing.T) (map[tss.PartyID]stepper, Context)
}

func steppers[M stepper](machines map[tss.PartyID]M) map[tss.PartyID]stepper {
	out := map[tss.PartyID]stepper{}
	for id, m := range machines {
		out[id] = m
	}
	return out
}

func scenarios(t *testing.T) []scenario {
	dealing := map[uint8]any{roundPackage: packageFields{}, roundEcho: echoFields{}, roundShare: shareFields{}, roundVerdict: verdictFields{}}
	refresh := map[uint8]any{roundPackage: zeroPackageFields{}, roundEcho: echoFields{}, roundShare: shareFields{}, roundVerdict: verdictFields{}}
	var out []scenario
	for _, suite := range []Suite{Ed25519SHA512, Secp256k1Taproot} {
		shares := runDKG(t, suite, 2, ids(3))
		public := shares[1].Public()
		messages := []Message{{Bytes: []byte("one")}, {Bytes: []byte("two")}}
		reshare := Reshare{Dealers: []tss.PartyID{1, 3}, Receivers: []tss.PartyID{2, 3, 4}}
		context := func(p Protocol, purpose string, threshold int, parties ...tss.PartyID) Context {
			return Context{Protocol: p, Session: testSession(suite, purpose, threshold, parties[0], parties...), Suite: suite, Public: public,
				Reshare: reshare, Recipient: 2, Batch: 2, Messages: messages, Open: open}
		}
		out = append(out,
			scenario{"keygen", ProtocolKeygen, suite, dealing, func(t *testing.T) (map[tss.PartyID]stepper, Context) {
				machines, _ := startDKG(t, suite, 2, ids(3))
				return steppers(machines), context(ProtocolKeygen, "keygen", 2, ids(3)...)
			}},
			scenario{"refresh", ProtocolRefresh, suite, refresh, func(t *testing.T) (map[tss.PartyID]stepper, Context) {
				machines, _ := startRefresh(t, shares)
				return steppers(machines), context(ProtocolRefresh, "refresh", 2, ids(3)...)
			}},
			scenario{"reshare", ProtocolReshare, suite, dealing, func(t *testing.T) (map[tss.PartyID]stepper, Context) {
				machines, _ := startReshare(t, shares, reshare, 2)
				return steppers(machines), context(ProtocolReshare, "reshare", 2, 1, 2, 3, 4)
			}},
			scenario{"signing", ProtocolSigning, suite, map[uint8]any{roundCommitments: commitmentsFields{}, roundAgreed: echoFields{}, roundPartials: partialsFields{}},
				func(t *testing.T) (map[tss.PartyID]stepper, Context) {
					machines, _ := startSigning(t, shares, []tss.PartyID{1, 2, 3}, messages)
					return steppers(machines), context(ProtocolSigning, "sign", 2, 1, 2, 3)
				}},
			scenario{"preprocess", ProtocolPreprocess, suite, map[uint8]any{roundCommitments: commitmentsFields{}, roundAgreed: echoFields{}},
				func(t *testing.T) (map[tss.PartyID]stepper, Context) {
					out := map[tss.PartyID]stepper{}
					for _, id := range ids(3) {
						m, err := NewPreprocess(testSession(suite, "preprocess", 2, id, ids(3)...), shares[id], 2, testNotary{id})
						if err != nil {
							t.Fatal(err)
						}
						out[id] = m
					}
					return out, context(ProtocolPreprocess, "preprocess", 2, ids(3)...)
				}},
			scenario{"repair", ProtocolRepair, suite, map[uint8]any{roundSplit: splitFields{}, roundSplits: echoFields{}, roundPart: shareFields{}, roundColumn: shareFields{}},
				func(t *testing.T) (map[tss.PartyID]stepper, Context) {
					machines, _ := startRepair(t, shares, 2, []tss.PartyID{1, 3})
					return steppers(machines), context(ProtocolRepair, "repair", 2, ids(3)...)
				}})
	}
	return out
}

// harmless are the changes that are no misdeed, and why. A nonce commitment may be any point: it is the sender's own choice
// until its partial signature must fit it. A kind or digest that becomes a well-formed other message is judged as that.
func harmless(s scenario, round uint8, f field, name string) string {
	if round == roundCommitments && s.protocol == ProtocolPreprocess && f.kind == reflect.TypeFor[point]() {
		return "a nonce commitment is free until it is used"
	}
	return ""
}

func TestAdversary(t *testing.T) {
	cases, blamed, free := 0, 0, 0
	for _, s := range scenarios(t) {
		earlier := record(t, s)
		for _, key := range sortedKeys(earlier) {
			sample := earlier[key]
			description, ok := s.fields[key.round]
			if !ok {
				t.Fatalf("%s: no description of the message of round %d", s.name, key.round)
			}
			for _, f := range fieldsOf(t, s.suite, description, sample) {
				for _, m := range mutations {
					cases++
					where := fmt.Sprintf("%s %s: party %d, round %d, %s: %s", s.suite.Name(), s.name, key.from, key.round, f.name, m.name)
					if runAttack(t, s, key, f, m, sample, where) {
						blamed++
					} else if harmless(s, key.round, f, m.name) != "" {
						free++
					} else {
						t.Errorf("%s: nobody was named", where)
					}
				}
			}
		}
	}
	t.Logf("%d cases: culprit named with evidence in %d, no misdeed in %d", cases, blamed, free)
	if cases < 2000 || blamed+free != cases {
		t.Errorf("matrix has %d cases, of which %d are accounted for", cases, blamed+free)
	}
}

// messageKey names the message that is attacked: who sends it in which round, to whom.
type messageKey struct {
	round    uint8
	from, to tss.PartyID
}

func sortedKeys(m map[messageKey][]byte) []messageKey {
	var out []messageKey
	for k := range m {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b messageKey) int {
		return (int(a.round)-int(b.round))<<20 + (int(a.from)-int(b.from))<<10 + int(a.to) - int(b.to)
	})
	return out
}

// record runs the protocol honestly and keeps, for one sender of each round, what it sent.
func record(t *testing.T, s scenario) map[messageKey][]byte {
	t.Helper()
	machines, _ := s.start(t)
	out := map[messageKey][]byte{}
	taken := map[uint8]bool{}
	net := newNetwork(machines)
	net.tamper = func(e tss.Envelope, to tss.PartyID) []tss.Envelope {
		if key := (messageKey{e.Round, e.From, e.To}); !taken[e.Round] || out[key] != nil {
			taken[e.Round] = true
			out[key] = e.Payload
		}
		return []tss.Envelope{e}
	}
	net.mustSucceed(t)
	return out
}

// runAttack runs the protocol with one message changed, and says whether somebody was named. Whoever is named must be the
// attacker, by every honest party that ends with a fault, and the evidence must convict it.
func runAttack(t *testing.T, s scenario, key messageKey, f field, m mutation, earlier []byte, where string) bool {
	t.Helper()
	machines, context := s.start(t)
	net := newNetwork(machines)
	changed := map[string][]byte{}
	net.tamper = func(e tss.Envelope, to tss.PartyID) []tss.Envelope {
		if e.Round != key.round || e.From != key.from || e.To != key.to {
			return []tss.Envelope{e}
		}
		payload, done := changed[string(e.Payload)]
		if !done {
			payload = m.do(&attack{s.suite, earlier}, e.Payload, f)
			if bytes.Equal(payload, e.Payload) { // the change changed nothing: make one that does
				payload = append(slices.Clone(payload), 0xaa)
			}
			changed[string(e.Payload)] = payload
		}
		e.Payload = payload
		e.Signed = seal(e)
		return []tss.Envelope{e}
	}
	net.run()
	named := false
	for id, err := range net.errs {
		if id == key.from || err == nil {
			continue
		}
		var fault *tss.Fault
		if !errors.As(err, &fault) {
			if !errors.Is(err, tss.ErrDead) {
				t.Errorf("%s: party %d: %v", where, id, err)
			}
			continue
		}
		if fault.Party != key.from {
			t.Errorf("%s: party %d names party %d", where, id, fault.Party)
			continue
		}
		named = true
		if err := VerifyFault(context, fault); err != nil {
			t.Errorf("%s: evidence of party %d does not convict: %v (%s)", where, id, err, fault.Check)
		}
		innocent := *fault
		innocent.Party = other(context, key.from)
		if VerifyFault(context, &innocent) == nil {
			t.Errorf("%s: the evidence convicts party %d as well", where, innocent.Party)
		}
	}
	return named
}

func other(c Context, id tss.PartyID) tss.PartyID {
	for _, p := range c.Session.IDs() {
		if p != id {
			return p
		}
	}
	return 0
}
