package frost

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"testing/cryptotest"

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

// attack is one cell of the matrix.
type attack struct {
	suite    Suite
	other    []byte // the same message of an earlier run
	key      messageKey
	field    field
	mutation mutation
	face     face
	where    string
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

// harmless are the changes that are no misdeed, and why.
func harmless(s scenario, round uint8, f field) string {
	if round == roundCommitments && s.protocol == ProtocolPreprocess && f.kind == reflect.TypeFor[point]() {
		return "a nonce commitment is its sender's own choice; the partial signature must fit it later"
	}
	return ""
}

// face is how the attacker shows its changed message.
type face int

const (
	consistent face = iota // the same to everybody, and the same in its own echo
	twoFaced               // to one party only; the others, and its echo, have the original
)

func TestAdversary(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 1)
	cases, blamed, free := 0, 0, 0
	checks := map[string]int{}
	for _, s := range scenarios(t) {
		earlier := record(t, s)
		for _, key := range sortedKeys(earlier) {
			description, ok := s.fields[key.round]
			if !ok {
				t.Fatalf("%s: no description of the message of round %d", s.name, key.round)
			}
			faces := []face{consistent}
			if key.to == tss.Everyone {
				faces = append(faces, twoFaced)
			}
			for _, f := range fieldsOf(t, s.suite, description, earlier[key]) {
				for _, m := range mutations {
					for _, show := range faces {
						cases++
						a := attack{suite: s.suite, other: earlier[key], key: key, field: f, mutation: m, face: show}
						a.where = fmt.Sprintf("%s %s: party %d, round %d, %s: %s, face %d", s.suite.Name(), s.name, key.from, key.round, f.name, m.name, show)
						check := a.run(t, s)
						switch {
						case check != "":
							blamed++
							checks[check]++
						case show == consistent && harmless(s, key.round, f) != "":
							free++
						default:
							t.Errorf("%s: nobody was named", a.where)
						}
					}
				}
			}
		}
	}
	t.Logf("%d cases: culprit named with evidence in %d, no misdeed in %d; by check %v", cases, blamed, free, checks)
	if cases < minAdversaryCases || blamed+free != cases {
		t.Errorf("matrix has %d cases, of which %d are accounted for", cases, blamed+free)
	}
	for _, name := range []string{CheckPackage, CheckProof, CheckShare, CheckConfirm, CheckVerdict, CheckComplaint, CheckCommitments, CheckPartial,
		CheckSplit, CheckPart, CheckColumn, tss.CheckEcho, tss.CheckEquivocation} {
		if checks[name] == 0 {
			t.Errorf("no case reaches check %q", name)
		}
	}
}

// minAdversaryCases keeps the matrix from shrinking unseen.
const minAdversaryCases = 3000

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

// record runs the protocol honestly and keeps, for the first and the last sender of each round, what it sent.
func record(t *testing.T, s scenario) map[messageKey][]byte {
	t.Helper()
	testRun = 1
	defer func() { testRun = 0 }()
	machines, _ := s.start(t)
	all := map[messageKey][]byte{}
	first, last := map[uint8]tss.PartyID{}, map[uint8]tss.PartyID{}
	net := newNetwork(machines)
	net.tamper = func(e tss.Envelope, to tss.PartyID) []tss.Envelope {
		all[messageKey{e.Round, e.From, e.To}] = e.Payload
		if first[e.Round] == 0 || e.From < first[e.Round] {
			first[e.Round] = e.From
		}
		last[e.Round] = max(last[e.Round], e.From)
		return []tss.Envelope{e}
	}
	net.mustSucceed(t)
	for key := range all {
		if key.from != first[key.round] && key.from != last[key.round] {
			delete(all, key)
		}
	}
	return all
}

// run runs the protocol with one message changed, and gives the check that convicted the attacker, or "". Whoever is named
// must be the attacker, by every honest party that ends with a fault, and the evidence must convict it and nobody else.
func (a *attack) run(t *testing.T, s scenario) string {
	t.Helper()
	machines, context := s.start(t)
	net := newNetwork(machines)
	net.tamper = a.wire()
	net.run()
	named := ""
	for _, id := range net.ids() {
		err := net.errs[id]
		if id == a.key.from || err == nil {
			continue
		}
		var fault *tss.Fault
		if !errors.As(err, &fault) {
			if !errors.Is(err, tss.ErrDead) {
				t.Errorf("%s: party %d: %v", a.where, id, err)
			}
			continue
		}
		if fault.Party != a.key.from {
			t.Errorf("%s: party %d names party %d for %s", a.where, id, fault.Party, fault.Check)
			continue
		}
		named = fault.Check
		if err := VerifyFault(context, fault); err != nil {
			t.Errorf("%s: evidence of party %d does not convict: %v (%s)", a.where, id, err, fault.Check)
		}
		innocent := *fault
		innocent.Party = other(context, a.key.from)
		if VerifyFault(context, &innocent) == nil {
			t.Errorf("%s: the evidence convicts party %d as well", a.where, innocent.Party)
		}
	}
	return named
}

// wire changes the attacked message, and what the attacker echoes of it.
func (a *attack) wire() func(tss.Envelope, tss.PartyID) []tss.Envelope {
	var original, changed *tss.Envelope
	victim := tss.PartyID(0)
	return func(e tss.Envelope, to tss.PartyID) []tss.Envelope {
		switch {
		case e.Round == a.key.round && e.From == a.key.from && e.To == a.key.to:
			if changed == nil {
				before, after := e, e
				after.Payload = a.mutation.do(a, e.Payload, a.field)
				if bytes.Equal(after.Payload, e.Payload) { // the change changed nothing: make one that does
					after.Payload = append(slices.Clone(after.Payload), 0xaa)
				}
				after.Signed = seal(after)
				original, changed, victim = &before, &after, to
			}
			if a.face == twoFaced && to != victim {
				return []tss.Envelope{e}
			}
			return []tss.Envelope{*changed}
		case a.face == consistent && changed != nil && e.Round == a.key.round+1 && e.To == tss.Everyone:
			if e.From == a.key.from { // its echo says what it sent
				return []tss.Envelope{reecho(e, original.Signed, changed.Signed)}
			}
			if to == a.key.from { // it knows what it sent, and goes on
				return []tss.Envelope{reecho(e, changed.Signed, original.Signed)}
			}
		}
		return []tss.Envelope{e}
	}
}

// reecho replaces one message in an echo, if it is one.
func reecho(e tss.Envelope, old, with []byte) tss.Envelope {
	list, err := tss.DecodeEvidence(e.Payload) // an echo has the same form
	if err != nil {
		return e
	}
	for i := range list {
		if bytes.Equal(list[i], old) {
			list[i] = with
		}
	}
	e.Payload = tss.EncodeEvidence(list...)
	e.Signed = seal(e)
	return e
}

func other(c Context, id tss.PartyID) tss.PartyID {
	for _, p := range c.Session.IDs() {
		if p != id {
			return p
		}
	}
	return 0
}
