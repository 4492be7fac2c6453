package cggmp24

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"testing/cryptotest"

	"pgregory.net/rapid"

	"chancery.dev/internal/zk"
	"chancery.dev/tss"
)

// What honest parties do is never held against them.

// Silence is no fault: whoever is waited for is named by Waiting, and the run stands still.
func TestSilenceIsWaitedForNotBlamed(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 21)
	for _, s := range scenarios(t) {
		if s.name == "sums" {
			continue // presigning among three is here
		}
		for _, round := range slices.Sorted(maps.Keys(s.fields)) {
			for _, silent := range s.at(t, round).pending {
				if silent.Round != round || silent.From == 2 {
					continue
				}
				c := s.at(t, round)
				c.wire = func(e tss.Envelope, _ tss.PartyID) []tss.Envelope {
					if e.Round == round && e.From == silent.From && e.To == silent.To {
						return nil
					}
					return []tss.Envelope{e}
				}
				c.finish()
				where, waits := fmt.Sprintf("%s: party %d silent in round %d", s.name, silent.From, round), false
				for id, m := range c.machines {
					if err := c.errs[id]; err != nil && (s.setup == nil || id != silent.From) {
						t.Errorf("%s: party %d: %v", where, id, err)
					}
					waits = waits || slices.Contains(m.Waiting(), silent.From)
				}
				if !waits {
					t.Errorf("%s: nobody waits for it", where)
				}
			}
		}
	}
}

// firstRound is where every protocol begins.
const firstRound = 1

// The order and number of deliveries change nothing.
func TestAnyOrderOfDelivery(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 22)
	for _, s := range scenarios(t) {
		seeds := uint64(10)
		if s.costly {
			seeds = 1
		}
		for seed := range seeds {
			if s.setup == nil {
				shuffled(t, s, seed)
			}
		}
	}
}

func shuffled(t *testing.T, s *scenario, seed uint64) {
	t.Helper()
	type delivery struct {
		e  tss.Envelope
		to tss.PartyID
	}
	c, rng := s.at(t, firstRound), rand.New(rand.NewPCG(seed, 0))
	var queue []delivery
	collect := func() {
		for _, e := range c.pending {
			for _, to := range c.ids() {
				if to != e.From && (e.To == to || e.To == tss.Everyone) {
					queue = append(queue, delivery{e, to}, delivery{e, to}) // everything comes twice
				}
			}
		}
	}
	for collect(); len(queue) > 0; collect() {
		i := rng.IntN(len(queue))
		d := queue[i]
		queue = slices.Delete(queue, i, i+1)
		if err := c.machines[d.to].Step(d.e); err != nil && !errors.Is(err, tss.ErrDead) {
			t.Fatalf("%s seed %d: party %d: %v", s.name, seed, d.to, err)
		}
		c.drain()
	}
	for id, m := range c.machines {
		if w := m.Waiting(); len(w) != 0 {
			t.Fatalf("%s seed %d: party %d still waits for %v", s.name, seed, id, w)
		}
		if err := m.Step(tss.Envelope{}); !errors.Is(err, tss.ErrDead) {
			t.Fatalf("%s seed %d: party %d did not end: %v", s.name, seed, id, err)
		}
	}
}

// Messages of strangers, of other sessions and of oneself change nothing.
func TestForeignMessagesAreIgnored(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 23)
	for _, s := range scenarios(t) {
		if s.setup != nil || s.name == "presign" { // two presign as three do
			continue
		}
		c := s.at(t, firstRound)
		c.wire = func(e tss.Envelope, to tss.PartyID) []tss.Envelope {
			foreign, stranger, mirrored := e, e, e
			foreign.Session[0] ^= 1
			stranger.From, mirrored.From = 99, to
			for _, m := range []struct {
				e    tss.Envelope
				want error
			}{{foreign, tss.ErrSession}, {stranger, tss.ErrSender}, {mirrored, tss.ErrSender}} {
				if err := c.machines[to].Step(m.e); !errors.Is(err, m.want) && !errors.Is(err, tss.ErrDead) {
					t.Errorf("%s: got %v, want %v", s.name, err, m.want)
				}
			}
			return []tss.Envelope{e}
		}
		c.finish()
		for id, err := range c.errs {
			if err != nil {
				t.Errorf("%s: party %d: %v", s.name, id, err)
			}
		}
	}
}

// transcripts of a session: what was said, and what party 1 could have said as well.
type said struct {
	all   []tss.Envelope
	first map[messageKey][]byte
	later map[messageKey][]byte // of party 1
}

func listen(t *testing.T, s *scenario) said {
	t.Helper()
	out := said{first: map[messageKey][]byte{}, later: map[messageKey][]byte{}}
	for run := range 2 { // the same session twice, with other randomness
		c := s.begin(t)
		wire := c.wire
		c.wire = func(e tss.Envelope, to tss.PartyID) []tss.Envelope {
			sent := []tss.Envelope{e}
			if wire != nil {
				sent = wire(e, to)
			}
			key := messageKey{e.Round, e.From, e.To}
			if _, known := out.first[key]; run == 0 && !known {
				out.first[key] = sent[0].Signed
				out.all = append(out.all, sent[0])
			}
			if run == 1 && e.From == 1 {
				out.later[key] = sent[0].Signed
			}
			return sent
		}
		c.finish()
	}
	return out
}

// accusations are evidence of the form that the check has, with every choice of what party 1 said.
func (s said) accusations(ids []tss.PartyID, check string, e tss.Envelope) [][]byte {
	form, known := forms[check]
	if !known {
		return nil
	}
	var slots []messageKey
	for _, round := range form.own {
		slots = append(slots, messageKey{round, e.From, tss.Everyone})
	}
	for _, round := range form.all {
		for _, id := range ids {
			slots = append(slots, messageKey{round, id, tss.Everyone})
		}
	}
	var out [][]byte
	for choice := -2; choice < len(slots); choice++ { // the first, the later, and one later among the first
		list := [][]byte{e.Signed}
		for i, key := range slots {
			signed := s.first[key]
			if other, may := s.later[key]; may && (choice == -1 || choice == i) {
				signed = other
			}
			list = append(list, signed)
		}
		if evidence := tss.EncodeEvidence(list...); !slices.ContainsFunc(out, func(o []byte) bool { return bytes.Equal(o, evidence) }) {
			out = append(out, evidence)
		}
	}
	return out
}

// forms is what evidence holds after the message that fails: messages of the accused, and of everybody, by rounds.
var forms = map[string]struct{ own, all []uint8 }{
	CheckOpening: {own: []uint8{roundCommit}}, CheckPolynomial: {own: []uint8{roundCommit}}, CheckShare: {own: []uint8{roundOpen, roundCommit}},
	CheckVerdict: {[]uint8{roundEcho}, []uint8{roundOpen}}, CheckComplaint: {[]uint8{roundEcho}, []uint8{roundOpen}},
	CheckConfirm: {[]uint8{roundEcho}, []uint8{roundOpen}}, CheckProof: {[]uint8{roundEcho}, []uint8{roundOpen}},
	CheckAuxOpening: {own: []uint8{roundAuxCommit}}, CheckModulus: {own: []uint8{roundAuxCommit}}, CheckPrm: {own: []uint8{roundAuxCommit}},
	CheckMod: {[]uint8{roundAuxEcho}, []uint8{roundAuxOpen}}, CheckFac: {[]uint8{roundAuxEcho}, []uint8{roundAuxOpen}},
	CheckAuxConfirm: {[]uint8{roundAuxEcho}, []uint8{roundAuxOpen}},
	CheckNonces:     {}, CheckEncElgK: {own: []uint8{roundNonces}}, CheckEncElgG: {own: []uint8{roundNonces}}, CheckGamma: {own: []uint8{roundNonces}},
	CheckAffG: {own: []uint8{roundGamma, roundNonces2}}, CheckAffGHat: {own: []uint8{roundGamma, roundNonces2}},
	CheckDelta: {[]uint8{roundNonces2}, []uint8{roundGamma}}, CheckAlert: {own: []uint8{roundDelta2}},
	CheckDec:      {[]uint8{roundNonces2, roundDelta2}, []uint8{roundGamma, roundAlert}},
	tss.CheckEcho: {}, tss.CheckRound: {}, tss.CheckRecipient: {},
}

// No combination of what honest parties signed convicts one of them, of anything; nor does it with whatever party 1 signs
// later in the same session to frame the others. In the alert party 1 lied.
func TestHonestMessagesConvictNobody(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 24)
	checks := append(checkNames(t), "", "no such check")
	for _, check := range checks {
		if _, known := forms[check]; !known && check != CheckPartial && check != tss.CheckEquivocation && check != "" && check != "no such check" {
			t.Errorf("no form of the evidence for %q", check)
		}
	}
	tried := 0
	f := keysOfThree(t)
	frames := append(scenarios(t)[:4:4], &scenario{name: "alert", context: presignContext(f, 1, 2, 3), setup: lieInDelta(1),
		start: func(t testing.TB) map[tss.PartyID]stepper { return steppers(startPresign(t, f, 1, 2, 3)) }})
	for _, s := range frames {
		heard := listen(t, s)
		for _, e := range heard.all {
			if e.From == 1 {
				continue
			}
			tried += refuse(t, s, heard, e, checks)
		}
	}
	t.Logf("%d accusations refused", tried)
	if tried < 10000 {
		t.Errorf("only %d accusations were tried", tried)
	}
}

func refuse(t *testing.T, s *scenario, heard said, e tss.Envelope, checks []string) int {
	t.Helper()
	tried := 0
	loose := [][]byte{nil, tss.EncodeEvidence(), tss.EncodeEvidence(e.Signed), tss.EncodeEvidence(e.Signed, e.Signed)}
	for _, o := range heard.all {
		loose = append(loose, tss.EncodeEvidence(e.Signed, o.Signed), tss.EncodeEvidence(o.Signed, e.Signed))
	}
	for _, later := range heard.later {
		loose = append(loose, tss.EncodeEvidence(e.Signed, later), tss.EncodeEvidence(later, e.Signed))
	}
	for _, check := range checks {
		for _, evidence := range append(loose, heard.accusations(s.context.Session.IDs(), check, e)...) {
			tried++
			if VerifyFault(s.context, &tss.Fault{Party: e.From, Round: e.Round, Check: check, Evidence: evidence}) == nil {
				t.Errorf("%s: honest party %d is convicted of %q in round %d", s.name, e.From, check, e.Round)
			}
		}
	}
	return tried
}

// An alert among as many signers as a key may need fits a message, with the real sizes, and its evidence fits the bounds.
func TestAlertOfMostSignersFits(t *testing.T) {
	small := params
	params = zk.Standard()
	defer func() { params = small }()
	l := &layer{sizes: kindSizes()}
	affine := l.size(reflect.TypeFor[affineFields]()) + tss.MaxSigned - tss.MaxPayload
	dec := l.size(reflect.TypeFor[decProof]()) / testReps * params.Reps
	if size := 2 + (MaxThreshold-1)*(4+affine) + dec; size > tss.MaxPayload {
		t.Errorf("an alert among %d signers has %d bytes, more than %d", MaxThreshold, size, tss.MaxPayload)
	}
	if count := 3 + 2*MaxThreshold; count > tss.MaxEvidence {
		t.Errorf("evidence of a false Πdec has %d messages, more than %d", count, tss.MaxEvidence)
	}
	params = small
	if _, err := NewKeygen(testSession("keygen", MaxThreshold+1, 1, ids(MaxThreshold+1)...), testNotary{1}); err == nil {
		t.Error("a key that needs more signers is made")
	}
}

// Every signature is low, verifies with btcec and recovers the key, whatever the message, hash, path and session.
func TestSignaturesAreLowAndRecover(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 25)
	f := keys(t)
	made := presign(t, f, 1, 3)
	stored := map[tss.PartyID][]byte{1: made[1].Marshal().Reveal(), 3: made[3].Marshal().Reveal()}
	flipped, odd := map[bool]int{}, map[byte]int{}
	rapid.Check(t, func(rt *rapid.T) {
		q := Request{Hash: rapid.SampledFrom([]Hash{SHA256, DoubleSHA256}).Draw(rt, "hash"), Message: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(rt, "message"),
			Path: rapid.SliceOfN(rapid.Uint32Max(1<<31-1), 0, 3).Draw(rt, "path"), Session: tss.SessionID(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(rt, "session"))}
		presigs := map[tss.PartyID]*Presignature{}
		for id, b := range stored {
			p, err := UnmarshalPresignature(f.shares[1].public, b)
			if err != nil {
				rt.Fatal(err)
			}
			presigs[id] = p
		}
		s, err := prepare(presigs[1].id, presigs[1].public, presigs[1].signers, presigs[1].gamma, q)
		if err != nil {
			rt.Fatal(err)
		}
		signature := sign(t, presigs, q)
		flipped[s.gamma.HasEvenY() == (signature.Recovery&1 == 1)]++
		odd[signature.Recovery]++
	})
	if flipped[true] == 0 || flipped[false] == 0 || odd[0] == 0 || odd[1] == 0 {
		t.Errorf("s was negated %v, recovery ids %v: a case is missing", flipped, odd)
	}
}
