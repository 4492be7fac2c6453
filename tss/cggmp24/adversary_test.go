package cggmp24

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/cryptotest"

	"chancery.dev/tss"
)

// The adversary matrix: every field of every message of every protocol, changed in each of the ways below by one party
// that signs what it sends. The fields are found by reflection over the messages' descriptions, so a field that is added
// to a description is attacked without anybody thinking of it.

// face is how the attacker shows its changed message.
type face string

const (
	consistent  face = "consistent"  // the same to everybody, and the same in its own echo; it goes on with it
	twoFaced    face = "two-faced"   // to one party only; the others, and its echo, have the original
	recommitted face = "recommitted" // an opening, consistent, and committed to as well
)

// messageKey names the message that is attacked: who sends it in which round, to whom.
type messageKey struct {
	round    uint8
	from, to tss.PartyID
}

// attack is one cell of the matrix.
type attack struct {
	s        *scenario
	other    []byte // the same message of an earlier run
	key      messageKey
	field    field
	mutation mutation
	face     face
	alone    bool // where runs are costly: the first who names the attacker speaks for all

	victim            tss.PartyID // of a message with two faces
	original, changed *tss.Envelope
}

func (a *attack) String() string {
	return fmt.Sprintf("%s: party %d to %d, round %d, %s: %s, %s", a.s.name, a.key.from, a.key.to, a.key.round, a.field.name, a.mutation.name, a.face)
}

// harmless are the changes that are no misdeed, and why.
func harmless(a *attack) string {
	opening := a.face == recommitted && a.key.round == roundOpen && a.s.context.Protocol != ProtocolPresign
	switch {
	case opening && slices.Contains([]string{".Rid", ".Chain", ".Salt"}, a.field.name):
		return "randomness is its sender's own choice, once it is committed to"
	case a.s.context.Protocol == ProtocolAuxiliary && a.key.round == roundAuxMod && strings.HasPrefix(a.field.name, ".X[") && a.mutation.name == "negated":
		return "-x is a fourth root as good as x"
	}
	return ""
}

// tally is what came of the cases.
type tally struct {
	cases, blamed, free int
	verdicts            int // pieces of evidence judged by public keys
	checks              map[string]int
	byScenario          map[string]int
}

func TestAdversary(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 1)
	count := &tally{checks: map[string]int{}, byScenario: map[string]int{}}
	for _, s := range scenarios(t) {
		t.Run(s.name, func(t *testing.T) { s.attacked(t, count) })
	}
	count.checks[CheckPartial] += wrongPartials(t)
	t.Logf("%d cases %v: culprit named in %d, no misdeed in %d, %d pieces of evidence; by check %v",
		count.cases, count.byScenario, count.blamed, count.free, count.verdicts, count.checks)
	if count.cases < minAdversaryCases || count.blamed+count.free != count.cases {
		t.Errorf("matrix has %d cases, of which %d are accounted for", count.cases, count.blamed+count.free)
	}
	for _, name := range checkNames(t) {
		if count.checks[name] == 0 {
			t.Errorf("no case reaches check %q", name)
		}
	}
}

// minAdversaryCases keeps the matrix from shrinking unseen.
const minAdversaryCases = 4000

// attacked runs every case of one scenario.
func (s *scenario) attacked(t *testing.T, count *tally) {
	s.judged = map[string]int{}
	defer func() { count.verdicts += s.verdicts }()
	earlier := s.record(t)
	keys := slices.SortedFunc(maps.Keys(earlier), func(a, b messageKey) int {
		return (int(a.round)-int(b.round))<<20 + (int(a.from)-int(b.from))<<10 + int(a.to) - int(b.to)
	})
	first := map[uint8]bool{}
	for _, key := range keys {
		description := s.fields[key.round]
		ways := mutations
		if s.costly && first[key.round] { // other senders and recipients run the same code; one change shows that they do
			ways = mutations[:1]
		}
		first[key.round] = true
		faces := []face{consistent}
		if key.to == tss.Everyone && len(s.context.Session.Parties) > 2 {
			faces = append(faces, twoFaced)
		}
		if reflect.TypeOf(description) == reflect.TypeFor[openingFields]() || reflect.TypeOf(description) == reflect.TypeFor[auxOpeningFields]() {
			faces = append(faces, recommitted)
		}
		for n, f := range fieldsOf(t, description, earlier[key]) {
			for i, m := range ways {
				if m.whole && n > 0 {
					continue
				}
				for _, show := range faces {
					if i >= fewChanges && s.few(key, f, show) {
						continue
					}
					s.try(t, count, &attack{s: s, other: earlier[key], key: key, field: f, mutation: m, face: show, alone: i >= fewChanges})
				}
			}
		}
		for _, m := range envelopeMutations {
			s.try(t, count, &attack{s: s, key: key, field: field{name: "envelope"}, mutation: m, face: twoFaced})
		}
	}
}

// few says that some changes of a field stand for all: with two faces the victim judges as it does a consistent one; a lie in
// a sum costs an alert, for which two signers are enough; randomness of its sender's choice costs a whole run.
func (s *scenario) few(key messageKey, f field, show face) bool {
	switch {
	case !s.costly:
		return false
	case show == recommitted:
		return f.name == ".Rid" || f.name == ".Salt"
	case s.name == "presign" && key.round == roundDelta && (f.name == ".Delta" || f.name == ".BigS"):
		return true
	}
	return show == twoFaced || s.name == "alert" && strings.HasSuffix(f.name, "[0]")
}

func (s *scenario) try(t *testing.T, count *tally, a *attack) {
	t.Helper()
	count.cases++
	count.byScenario[s.name]++
	switch check := a.run(t); {
	case check != "":
		count.blamed++
		count.checks[check]++
	case harmless(a) != "":
		count.free++
	default:
		t.Errorf("%v: nobody was named", a)
	}
}

// record runs the protocol honestly and keeps, for the first and the last sender of each round, what it sent.
func (s *scenario) record(t *testing.T) map[messageKey][]byte {
	t.Helper()
	testRun = 1
	defer func() { testRun = 0 }()
	c := s.begin(t)
	all := map[messageKey][]byte{}
	first, last := map[uint8]tss.PartyID{}, map[uint8]tss.PartyID{}
	for more := true; more; more = c.deliver() {
		for _, e := range c.pending {
			if s.fields[e.Round] == nil || s.setup != nil && e.From != 1 {
				continue
			}
			all[messageKey{e.Round, e.From, e.To}] = e.Payload
			if first[e.Round] == 0 || e.From < first[e.Round] {
				first[e.Round] = e.From
			}
			last[e.Round] = max(last[e.Round], e.From)
		}
	}
	maps.DeleteFunc(all, func(k messageKey, _ []byte) bool { return k.from != first[k.round] && k.from != last[k.round] })
	for round := range s.fields {
		if first[round] == 0 {
			t.Fatalf("%s: nobody sends in round %d", s.name, round)
		}
	}
	for id, err := range c.errs {
		if err != nil && s.setup == nil {
			t.Fatalf("%s: party %d: %v", s.name, id, err)
		}
	}
	return all
}

// run runs the protocol with one message changed, and gives the check that convicted the attacker, or "". Whoever is named
// must be the attacker, by every honest party that ends with a fault, and the evidence must convict it and nobody else.
func (a *attack) run(t *testing.T) string {
	t.Helper()
	start := a.key.round
	if a.face == recommitted {
		start = roundCommit
	}
	c := a.s.at(t, start)
	c.wire, c.last = a.wire(c), a.key.from
	honest := slices.DeleteFunc(c.ids(), func(id tss.PartyID) bool { return id == a.key.from })
	c.ended = func() bool { // dealings go on to the end, for complaints
		dead := 0
		for _, id := range honest {
			if c.errs[id] != nil {
				dead++
			}
		}
		return a.s.costly && (dead == len(honest) || dead > 0 && (a.alone || a.key.to != tss.Everyone || a.face == twoFaced))
	}
	c.finish()
	named, judged := "", map[string]bool{}
	for _, id := range honest {
		var fault *tss.Fault
		switch err := c.errs[id]; {
		case err == nil, errors.Is(err, tss.ErrDead):
			continue
		case !errors.As(err, &fault):
			t.Errorf("%v: party %d: %v", a, id, err)
			continue
		}
		if fault.Party != a.key.from {
			t.Errorf("%v: party %d names party %d for %s", a, id, fault.Party, fault.Check)
			continue
		}
		named = fault.Check
		if known := fmt.Sprint(fault.Round, fault.Check) + string(fault.Evidence); !judged[known] {
			judged[known] = true
			a.judge(t, fault)
		}
	}
	return named
}

// fewChanges is how many changes of a field stand for all of them where that is costly: see few and attack.alone. And so many
// pieces of evidence for one check of one field are judged, by public keys alone, which takes far longer than the run.
const fewChanges = 2

// judge holds the evidence against everybody.
func (a *attack) judge(t *testing.T, fault *tss.Fault) {
	t.Helper()
	cell := fmt.Sprint(a.key, a.field.name, fault.Check)
	if a.s.judged[cell]++; a.s.costly && a.s.judged[cell] > fewChanges {
		return
	}
	a.s.verdicts++
	if err := VerifyFault(a.s.context, fault); err != nil {
		t.Errorf("%v: evidence of %s does not convict: %v", a, fault.Check, err)
	}
	for _, id := range a.s.context.Session.IDs() {
		innocent := *fault
		innocent.Party = id
		if id != fault.Party && VerifyFault(a.s.context, &innocent) == nil {
			t.Errorf("%v: the evidence convicts party %d as well", a, id)
		}
	}
	elsewhere := a.s.context
	elsewhere.Session.Epoch++
	if VerifyFault(elsewhere, fault) == nil {
		t.Errorf("%v: the evidence convicts in another session", a)
	}
}

// wire changes the attacked message as it leaves.
func (a *attack) wire(c *course) func(tss.Envelope, tss.PartyID) []tss.Envelope {
	var committed []byte // the opening that was committed to instead
	if a.face == recommitted {
		committed = a.mutate(ownOpening(c.machines[a.key.from]))
		if a.luck(committed) { // Πprm of few repetitions holds for a wrong s or t once in 256
			committed[len(committed)-1] ^= 1
		}
	}
	return func(e tss.Envelope, to tss.PartyID) []tss.Envelope {
		if a.face == recommitted && e.From == a.key.from && e.Round == roundCommit {
			kind := "dealing"
			if a.s.context.Protocol == ProtocolAuxiliary {
				kind = "aux"
			}
			v := commitmentTo(e.Session, kind, e.From, committed)
			e.Payload = v[:]
			e.Signed = seal(e)
			adopt(c.machines[e.From], e)
			return []tss.Envelope{e}
		}
		if e.Round != a.key.round || e.From != a.key.from || e.To != a.key.to {
			return []tss.Envelope{e}
		}
		if a.changed == nil {
			a.change(c, e, to, committed)
		}
		switch {
		case a.field.name == "envelope" && to == a.victim:
			return []tss.Envelope{*a.changed, e}
		case a.face == twoFaced && to != a.victim:
			return []tss.Envelope{e}
		}
		return []tss.Envelope{*a.changed}
	}
}

func (a *attack) change(c *course, e tss.Envelope, to tss.PartyID, committed []byte) {
	changed := e
	switch {
	case a.face == recommitted:
		changed.Payload = committed
	case a.field.name == "envelope":
		changed = envelopeOf(a.mutation.name, e, to)
	default:
		changed.Payload = a.mutate(e.Payload)
	}
	changed.Signed = seal(changed)
	a.original, a.changed, a.victim = &e, &changed, to
	if a.face != twoFaced {
		adopt(c.machines[e.From], changed)
	}
}

func (a *attack) mutate(payload []byte) []byte {
	out := a.mutation.do(a, payload, a.field)
	if bytes.Equal(out, payload) { // the change changed nothing: make one that does
		out = append(slices.Clone(out), 0xaa)
	}
	return out
}

// luck says that Πprm of an opening holds although what it is about was changed.
func (a *attack) luck(opening []byte) bool {
	if a.s.context.Protocol != ProtocolAuxiliary || harmless(a) != "" || a.field.name == ".N" {
		return false
	}
	id := a.s.context.Session.ID()
	v := commitmentTo(id, "aux", a.key.from, opening)
	_, _, check := checkAuxOpening(id, a.key.from, v[:], opening)
	return check == ""
}

func ownOpening(m stepper) []byte {
	if d, ok := m.(*Dealing); ok {
		return d.own.marshal(d.plan, d.plan.session.Self)
	}
	return m.(*Auxiliary).opening.marshal()
}

// envelopeMutations are messages that the sender has none of.
var envelopeMutations = []mutation{{name: "for a round that is not"}, {name: "to another recipient"}, {name: "two in one round"}}

func envelopeOf(name string, e tss.Envelope, to tss.PartyID) tss.Envelope {
	switch {
	case name == "for a round that is not":
		e.Round = tss.MaxRounds
	case name == "to another recipient" && e.To == tss.Everyone:
		e.To = to
	case name == "to another recipient":
		e.To = tss.Everyone
	default:
		e.Payload = append(slices.Clone(e.Payload), 0)
	}
	return e
}

// checkNames are all checks that the package has a name for, found in its source, and those that every protocol shares.
func checkNames(t *testing.T) []string {
	t.Helper()
	out := []string{tss.CheckEcho, tss.CheckEquivocation, tss.CheckRound, tss.CheckRecipient}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range files {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), entry.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Check") && len(v.Values) == 1 {
				if lit, ok := v.Values[0].(*ast.BasicLit); ok {
					name, err := strconv.Unquote(lit.Value)
					if err != nil {
						t.Fatal(err)
					}
					out = append(out, name)
				}
			}
			return true
		})
	}
	if len(out) < 20 {
		t.Fatalf("found only %d names of checks", len(out))
	}
	return out
}

// wrongPartials gives a partial signature with each bit of σ changed, and counts how often its maker is named.
func wrongPartials(t *testing.T) int {
	t.Helper()
	f := keys(t)
	presigs := presign(t, f, 1, 2)
	q := request("message")
	a, combiner, err := presigs[1].Sign(q)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := presigs[2].Sign(q)
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for bit := range 256 {
		raw := b.Marshal()
		raw[2+bit/8] ^= 1 << (bit % 8)
		changed, err := UnmarshalPartial(raw)
		if err != nil {
			continue // above the order
		}
		_, err = combiner.Combine([]Partial{a, changed})
		var fault *tss.Fault
		if !errors.As(err, &fault) || fault.Party != 2 || fault.Check != CheckPartial {
			t.Errorf("bit %d of a partial signature changed: %v", bit, err)
		}
		named++
	}
	return named
}
