package cggmp24

import (
	"errors"
	"slices"
	"testing"
	"testing/cryptotest"

	"chancery.dev/tss"
)

// Cheaters in presigning that are more than a changed field: they pass every check of single messages and lie in what only
// the sums show, or use what others have said. All among three signers of a key of three, of whom two or one are honest.

// lie is how a liar changes its message of round 6.
type lie func(*deltaMessage)

func inDelta(by uint64) lie {
	return func(d *deltaMessage) { d.delta = d.delta.Add(curve.ScalarFromUint64(by)) }
}

func inSum(by uint64) lie {
	return func(d *deltaMessage) { d.bigS = d.bigS.Add(curve.BaseMul(curve.ScalarFromUint64(by))) }
}

// presignOfThree is a run of three signers, and one in which party 1 lies in δ.
var presignOfThree, lieOfOne *scenario

// presigning is a run of three signers up to a round, honest so far.
func presigning(t testing.TB, round uint8) *course {
	t.Helper()
	f := keysOfThree(t)
	if presignOfThree == nil {
		presignOfThree = &scenario{name: "presign", costly: true, start: func(t testing.TB) map[tss.PartyID]stepper { return steppers(startPresign(t, f, 1, 2, 3)) }}
		lieOfOne = &scenario{name: "lie", costly: true, start: presignOfThree.start, setup: lieInDelta(1)}
	}
	return presignOfThree.at(t, round)
}

// afterLieOfOne stops before the alerts, party 1 having lied in δ.
func afterLieOfOne(t testing.TB) *course {
	t.Helper()
	presigning(t, roundNonces)
	return lieOfOne.at(t, roundAlert)
}

// lying delivers rounds 6 and 7, in which some lie, and stops before the alerts.
func lying(t testing.TB, lies map[tss.PartyID]lie) *course {
	t.Helper()
	c := presigning(t, roundDelta)
	for _, id := range c.ids() {
		if change := lies[id]; change != nil {
			before, wire := c.wire, lieIn(id, change)(c)
			c.wire = func(e tss.Envelope, to tss.PartyID) []tss.Envelope {
				if before != nil && e.From != id {
					return before(e, to)
				}
				return wire(e, to)
			}
		}
	}
	for !c.carries(roundAlert) {
		if !c.deliver() {
			t.Fatal("there is no alert")
		}
	}
	c.wire = nil
	return c
}

// resend changes a message as it leaves, to everybody.
func resend(from tss.PartyID, round uint8, change func(e tss.Envelope, to tss.PartyID) []byte) func(tss.Envelope, tss.PartyID) []tss.Envelope {
	return func(e tss.Envelope, to tss.PartyID) []tss.Envelope {
		if e.From == from && e.Round == round {
			e.Payload = change(e, to)
			e.Signed = seal(e)
		}
		return []tss.Envelope{e}
	}
}

// mustName wants every honest party to end with a fault of one of the culprits, of one of the checks, with evidence that
// convicts it by public keys alone and nobody else.
func mustName(t *testing.T, c *course, context Context, checks []string, culprits ...tss.PartyID) {
	t.Helper()
	c.last = culprits[0]
	c.ended = func() bool {
		return !slices.ContainsFunc(c.ids(), func(id tss.PartyID) bool { return c.errs[id] == nil && !slices.Contains(culprits, id) })
	}
	c.finish()
	judged := map[string]bool{}
	for _, id := range c.ids() {
		if slices.Contains(culprits, id) {
			continue
		}
		var fault *tss.Fault
		if !errors.As(c.errs[id], &fault) || !slices.Contains(culprits, fault.Party) || !slices.Contains(checks, fault.Check) {
			t.Errorf("party %d: got %v, want one of %v blamed for one of %v", id, c.errs[id], culprits, checks)
			continue
		}
		if judged[string(fault.Evidence)] {
			continue
		}
		judged[string(fault.Evidence)] = true
		if err := VerifyFault(context, fault); err != nil {
			t.Errorf("evidence of party %d does not convict: %v", id, err)
		}
		for _, other := range c.ids() {
			innocent := *fault
			innocent.Party = other
			if other != fault.Party && VerifyFault(context, &innocent) == nil {
				t.Errorf("evidence of party %d convicts party %d as well", id, other)
			}
		}
	}
}

func TestLiarIsNamed(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 2)
	for _, c := range []struct {
		name string
		liar tss.PartyID
		lie  lie
	}{
		{"first lies in δ", 1, inDelta(1)},
		{"last lies in δ", 3, inDelta(1 << 40)},
		{"lies in χ", 2, inSum(1 << 40)},
		{"in both", 2, func(d *deltaMessage) { inDelta(1)(d); inSum(1)(d) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			mustName(t, lying(t, map[tss.PartyID]lie{c.liar: c.lie}), presignContext(keysOfThree(t), 1, 2, 3), []string{CheckDec}, c.liar)
		})
	}
}

// alertOf changes the alert of party 1, which lied in δ.
func alertOf(t *testing.T, change func(c *course, m alertParts) alertParts) *course {
	t.Helper()
	c := afterLieOfOne(t)
	c.last = 1
	c.wire = resend(1, roundAlert, func(e tss.Envelope, _ tss.PartyID) []byte { return change(c, alertPartsOf(t, e.Payload)).join() })
	return c
}

// alertParts are an alert's bytes, taken apart.
type alertParts struct {
	kind  byte
	shown [][]byte
	dec   []byte
}

func alertPartsOf(t testing.TB, payload []byte) alertParts {
	t.Helper()
	r := reader{b: payload}
	r.byte()
	out := alertParts{kind: r.byte(), shown: [][]byte{r.block(), r.block()}}
	if out.dec = r.b; r.failed {
		t.Fatal("no alert")
	}
	return out
}

func (m alertParts) join() []byte {
	out := []byte{version, m.kind}
	for _, b := range m.shown {
		out = appendBlock(out, b)
	}
	return append(out, m.dec...)
}

// sentTo is a message of round 5 as its recipient got it.
func sentTo(c *course, from, to tss.PartyID) tss.Envelope {
	return presigner(c.machines[to]).inbox.Get(roundAffine, from)
}

func TestLiarLiesInItsAlertToo(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 3)
	f := keysOfThree(t)
	context := presignContext(f, 1, 2, 3)
	testRun = 1
	earlier := startPresign(t, f, 1, 2, 3)
	newNetwork(earlier).mustSucceed(t)
	testRun = 0
	other := func(round uint8, from tss.PartyID) []byte { return earlier[1].inbox.Get(round, from).Signed }
	for _, c := range []struct {
		name, check string
		change      func(c *course, m alertParts) alertParts
	}{
		{"Πdec of another", CheckDec, func(c *course, m alertParts) alertParts {
			m.dec = alertPartsOf(t, presigner(c.machines[2]).inbox.Get(roundAlert, 2).Payload).dec
			return m
		}},
		{"shows a message to another", CheckAlert, func(c *course, m alertParts) alertParts {
			m.shown[0] = sentTo(c, 2, 3).Signed
			return m
		}},
		{"shows one twice", CheckAlert, func(_ *course, m alertParts) alertParts { m.shown[1] = m.shown[0]; return m }},
		{"shows them in another order", CheckAlert, func(_ *course, m alertParts) alertParts { slices.Reverse(m.shown); return m }},
		{"shows its own", CheckAlert, func(c *course, m alertParts) alertParts { m.shown[0] = sentTo(c, 1, 2).Signed; return m }},
		{"shows one of another session", CheckAlert, func(_ *course, m alertParts) alertParts { m.shown[0] = other(roundAffine, 2); return m }},
		{"shows one of another round", CheckAlert, func(c *course, m alertParts) alertParts {
			m.shown[0] = presigner(c.machines[1]).inbox.Get(roundEncElg, 2).Signed
			return m
		}},
		{"shows what it signed in another's name", CheckAlert, func(c *course, m alertParts) alertParts {
			e := sentTo(c, 2, 1)
			e.Payload = slices.Clone(e.Payload)
			e.Payload[100] ^= 1
			m.shown[0] = append(slices.Clone(e.Signed[:64]), seal(e)[64:]...)
			return m
		}},
		{"shows nothing", CheckAlert, func(_ *course, m alertParts) alertParts { m.shown = [][]byte{nil, nil}; return m }},
		{"of the other kind", CheckAlert, func(_ *course, m alertParts) alertParts { m.kind = byte(alertChi); return m }},
		{"of no kind", CheckAlert, func(_ *course, m alertParts) alertParts { m.kind = byte(noAlert); return m }},
		{"of an unknown kind", CheckAlert, func(_ *course, m alertParts) alertParts { m.kind = 3; return m }},
	} {
		t.Run(c.name, func(t *testing.T) { mustName(t, alertOf(t, c.change), context, []string{c.check}, 1) })
	}
	t.Run("Πdec of the lie", func(t *testing.T) {
		c := presigning(t, roundDelta)
		one := presigner(c.machines[1])
		one.sec.deltaInt = one.sec.deltaInt.Add(one.sec.kInt) // what it says, and what it proves
		c.wire = lieIn(1, func(d *deltaMessage) { d.delta = d.delta.Add(one.sec.k) })(c)
		mustName(t, c, context, []string{CheckDec}, 1)
	})
}

func TestSilenceInTheAlertIsWaitedFor(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 4)
	c := afterLieOfOne(t)
	c.wire = func(e tss.Envelope, _ tss.PartyID) []tss.Envelope {
		if e.From == 1 {
			return nil
		}
		return []tss.Envelope{e}
	}
	c.finish()
	for _, id := range []tss.PartyID{2, 3} {
		if w := c.machines[id].Waiting(); c.errs[id] != nil || !slices.Equal(w, []tss.PartyID{1}) {
			t.Errorf("party %d waits for %v: %v", id, w, c.errs[id])
		}
	}
}

func TestTwoLiars(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 5)
	f := keysOfThree(t)
	context := presignContext(f, 1, 2, 3)
	t.Run("in δ", func(t *testing.T) {
		mustName(t, lying(t, map[tss.PartyID]lie{1: inDelta(1), 2: inDelta(2)}), context, []string{CheckDec}, 1, 2)
	})
	t.Run("one in δ and one in χ", func(t *testing.T) {
		mustName(t, lying(t, map[tss.PartyID]lie{1: inSum(1), 3: inDelta(2)}), context, []string{CheckDec}, 1, 3)
	})
	t.Run("one shows what the other signed later", func(t *testing.T) {
		// Party 1 makes its round 5 a second time, with other β; party 2 shows that one.
		again := presigning(t, roundEncElg)
		for !again.carries(roundAffine) {
			again.deliver()
		}
		i := slices.IndexFunc(again.pending, func(e tss.Envelope) bool { return e.From == 1 && e.To == 2 && e.Round == roundAffine })
		c := lying(t, map[tss.PartyID]lie{1: inDelta(1)}) // of the same run
		c.wire = resend(2, roundAlert, func(e tss.Envelope, _ tss.PartyID) []byte {
			m := alertPartsOf(t, e.Payload)
			m.shown[0] = again.pending[i].Signed
			return m.join()
		})
		mustName(t, c, context, []string{CheckDec}, 1, 2)
	})
	for name, at := range map[string]int{CheckAffG: 1 + 8*modulusLen() + 4, CheckAffGHat: -1} {
		t.Run("one shows a wrong "+name, func(t *testing.T) {
			c := lying(t, map[tss.PartyID]lie{2: inDelta(1)})
			c.wire = resend(2, roundAlert, func(e tss.Envelope, _ tss.PartyID) []byte {
				m, bad := alertPartsOf(t, e.Payload), sentTo(c, 1, 2)
				bad.Payload = slices.Clone(bad.Payload)
				bad.Payload[(at+len(bad.Payload))%len(bad.Payload)] ^= 1
				m.shown[0] = seal(bad)
				return m.join()
			})
			mustName(t, c, context, []string{name}, 1, 2)
		})
	}
}

// Lies that cancel out are no lies: the sums are what they must be, and the signature is right.
func TestLiesThatCancelOut(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 6)
	c := presigning(t, roundDelta)
	one := lieIn(1, inDelta(5))(c)
	two := lieIn(2, func(d *deltaMessage) { d.delta = d.delta.Sub(curve.ScalarFromUint64(5)) })(c)
	c.wire = func(e tss.Envelope, to tss.PartyID) []tss.Envelope {
		if e.From == 1 {
			return one(e, to)
		}
		return two(e, to)
	}
	c.finish()
	presigs := map[tss.PartyID]*Presignature{}
	for id, m := range c.machines {
		p, done := presigner(m).Result()
		if !done {
			t.Fatalf("party %d: %v", id, c.errs[id])
		}
		presigs[id] = p
	}
	sign(t, presigs, request("message"))
}

// An alert without a reason comes too late to harm, and convicts whoever raised it.
func TestAlertWithoutAReason(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 7)
	c := presigning(t, roundDelta2)
	echo := presigner(c.machines[1]).inbox.Get(roundDelta2, 1)
	if err := presigner(c.machines[1]).raise(alertNonce); err != nil {
		t.Fatal(err)
	}
	alert := c.machines[1].Outbox()[0]
	c.machines[1] = c.machines[2] // party 1 is not asked any more
	for _, id := range []tss.PartyID{2, 3} {
		for _, e := range append([]tss.Envelope{alert}, c.pending...) {
			if e.From != id {
				if err := c.machines[id].Step(e); err != nil && !errors.Is(err, tss.ErrDead) {
					t.Fatalf("party %d: %v", id, err)
				}
			}
		}
		if _, done := presigner(c.machines[id]).Result(); !done {
			t.Errorf("party %d did not end", id)
		}
	}
	fault := &tss.Fault{Party: 1, Round: roundAlert, Check: CheckAlert, Evidence: tss.EncodeEvidence(alert.Signed, echo.Signed)}
	if err := VerifyFault(presignContext(keysOfThree(t), 1, 2, 3), fault); err != nil {
		t.Error(err)
	}
}

// What others have said, and what was said to others, serves nobody as its own.
func TestNothingCanBeBorrowed(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 8)
	context := presignContext(keysOfThree(t), 1, 2, 3)
	find := func(c *course, round uint8, from, to tss.PartyID) []byte {
		for _, e := range c.pending {
			if e.Round == round && e.From == from && (e.To == to || e.To == tss.Everyone) {
				return e.Payload
			}
		}
		t.Fatalf("no message of round %d", round)
		return nil
	}
	nonces := func(change func(mine, theirs *nonceMessage)) func(c *course, e tss.Envelope, to tss.PartyID) []byte {
		return func(c *course, e tss.Envelope, to tss.PartyID) []byte {
			s := presigner(c.machines[1]).signing
			mine, err1 := s.parseNonces(1, e.Payload)
			theirs, err2 := s.parseNonces(2, find(c, roundNonces, 2, to))
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			change(&mine, &theirs)
			e.Payload = mine.marshal()
			e.Signed = seal(e)
			adopt(c.machines[1], e)
			return e.Payload
		}
	}
	from := func(round uint8, sender tss.PartyID, to func(tss.PartyID) tss.PartyID) func(c *course, _ tss.Envelope, to tss.PartyID) []byte {
		return func(c *course, _ tss.Envelope, recipient tss.PartyID) []byte {
			return find(c, round, sender, to(recipient))
		}
	}
	another := func(to tss.PartyID) tss.PartyID { return 5 - to }
	for _, c := range []struct {
		name   string
		round  uint8
		checks []string
		change func(c *course, e tss.Envelope, to tss.PartyID) []byte
	}{
		{"K of party 2", roundNonces, []string{CheckNonces, CheckEncElgK}, nonces(func(m, o *nonceMessage) { m.k = o.k })},
		{"G of party 2", roundNonces, []string{CheckNonces, CheckEncElgG}, nonces(func(m, o *nonceMessage) { m.g = o.g })},
		{"K for G", roundNonces, []string{CheckEncElgG}, nonces(func(m, _ *nonceMessage) { m.g = m.k })},
		{"points of party 2", roundNonces, []string{CheckEncElgK}, nonces(func(m, o *nonceMessage) { m.y, m.a1, m.a2, m.b1, m.b2 = o.y, o.a1, o.a2, o.b1, o.b2 })},
		{"all of party 2", roundNonces, []string{CheckNonces, CheckEncElgK}, nonces(func(m, o *nonceMessage) { *m = *o })},
		{"Πenc-elg for another", roundEncElg, []string{CheckEncElgK}, from(roundEncElg, 1, another)},
		{"Γ of party 2", roundGamma, []string{CheckGamma}, from(roundGamma, 2, func(tss.PartyID) tss.PartyID { return 3 })},
		{"round 5 for another", roundAffine, []string{CheckAffG}, from(roundAffine, 1, another)},
		{"round 6 of party 2", roundDelta, []string{CheckDelta}, func(c *course, e tss.Envelope, _ tss.PartyID) []byte {
			e.Payload = find(c, roundDelta, 2, 3)
			e.Signed = seal(e)
			adopt(c.machines[1], e)
			return e.Payload
		}},
		{"δ of party 2", roundDelta, []string{CheckDec}, func(c *course, e tss.Envelope, to tss.PartyID) []byte {
			theirs, err := parseDelta(find(c, roundDelta, 2, to))
			if err != nil {
				t.Fatal(err)
			}
			return lieIn(1, func(d *deltaMessage) { d.delta = theirs.delta })(c)(e, to)[0].Payload
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			run := presigning(t, c.round)
			run.last = 1
			run.wire = resend(1, c.round, func(e tss.Envelope, to tss.PartyID) []byte { return c.change(run, e, to) })
			mustName(t, run, context, c.checks, 1)
		})
	}
}
