package exec

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery.dev/internal/intent"
	"chancery.dev/internal/keystore"
	"chancery.dev/internal/quorum"
	"chancery.dev/tss"
	"chancery.dev/tss/frost"
)

// One key, from its generation to a verified signature under a derived key, on every party.
func TestGenerateSignRelease(t *testing.T) {
	b := newBench(t, 3)
	r := b.askKey()
	publics, errs := b.generate(b.within(long), r, 1)
	for id, err := range errs {
		if err != nil || !bytes.Equal(publics[id].GroupKey(), publics[1].GroupKey()) || publics[id].ChainCode() != publics[1].ChainCode() {
			t.Fatalf("party %d: %v", id, err)
		}
	}
	key := intent.KeyID(r.id)
	for _, p := range b.parties {
		pending, err := p.store.List(keystore.KindPendingShare, key)
		if err != nil || len(pending) != 0 {
			t.Errorf("party %d keeps pending shares %v, %v", p.Self, pending, err)
		}
	}
	spend, m := b.askSpend(key), messages(3)
	signers := []*party{b.parties[0], b.parties[2]}
	held := b.mustSign(spend, 1, signers, m)
	released := map[tss.PartyID][]byte{}
	for _, p := range signers {
		data, err := b.release(p, spend, 1)
		if err != nil {
			t.Fatal(err)
		}
		released[p.Self] = data
	}
	for _, p := range signers {
		signatures, err := held[p.Self].Combine(released)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range signatures {
			derived, err := publics[1].VerifyingKey(m[i].Path)
			if err != nil {
				t.Fatal(err)
			}
			if err := frost.Secp256k1Taproot.Verify(derived, m[i].Bytes, s); err != nil {
				t.Errorf("signature %d: %v", i, err)
			}
		}
	}
}

// While a part is held, the keystore is the only place that has it: fewer than threshold released parts combine to nothing.
func TestTooFewPartsCombineToNothing(t *testing.T) {
	b := newBench(t, 3)
	spend := b.askSpend(b.makeKey())
	held := b.mustSign(spend, 1, b.parties[:2], messages(1))
	data, err := b.release(b.parties[0], spend, 1)
	if err != nil {
		t.Fatal(err)
	}
	_, err = held[1].Combine(map[tss.PartyID][]byte{1: data})
	if e := refused(t, err, CodeRejected); !slices.Equal(e.Parties, []tss.PartyID{2}) {
		t.Errorf("%+v", e)
	}
}

func TestHeldPartsComeOutOnce(t *testing.T) {
	b := newBench(t, 3)
	spend := b.askSpend(b.makeKey())
	b.mustSign(spend, 1, b.parties, messages(1))
	p := b.parties[0]
	if data, err := b.release(p, spend, 1); err != nil || len(data) == 0 {
		t.Fatal(err)
	}
	_, err := b.release(p, spend, 1)
	if e := refused(t, err, CodeNoRelease); !errors.Is(e, keystore.ErrConsumed) {
		t.Errorf("second release: %v", err)
	}
	b.restart(p)
	_, err = b.release(p, spend, 1)
	refused(t, err, CodeNoRelease)
}

func TestDeniedPartsAreDestroyed(t *testing.T) {
	b := newBench(t, 3)
	spend := b.askSpend(b.makeKey())
	b.mustSign(spend, 1, b.parties, messages(1))
	p := b.parties[0]
	for range 2 { // again is no error
		if err := p.Destroy(spend.intent.Key, p.office.IDFor(spend.id, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := p.store.List(keystore.KindHeldPartial, spend.intent.Key); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	_, err := b.release(p, spend, 1)
	refused(t, err, CodeNoRelease)
	if err := p.Destroy(spend.intent.Key, p.office.IDFor(spend.id, 2)); err != nil {
		t.Errorf("nothing was held: %v", err)
	}
}

// Without the right certificate the gate stays shut, and what is behind it stays where it is.
func TestReleaseNeedsTheCertificate(t *testing.T) {
	b := newBench(t, 3)
	key := b.makeKey()
	spend, other := b.askSpend(key), b.askSpend(key)
	b.mustSign(spend, 1, b.parties, messages(1))
	p := b.parties[0]
	good := b.order(p, spend, 1)
	forged := spend.cert
	forged.Ballots = slices.Clone(forged.Ballots)
	forged.Ballots[0].Signature = bytes.Repeat([]byte{1}, 64)
	few := quorum.Certificate{Question: spend.cert.Question, Ballots: spend.cert.Ballots[:1]}
	late := good
	late.Now = spend.intent.Expires
	for name, c := range map[string]struct {
		cert  quorum.Certificate
		order ReleaseOrder
	}{
		"none":              {quorum.Certificate{}, good},
		"admission alone":   {b.certify(spend.id, quorum.Admit, spend.intent.Expires), good},
		"of another intent": {other.cert, good},
		"too few":           {few, good},
		"forged":            {forged, good},
		"expired":           {spend.cert, late},
	} {
		_, err := p.Release(b.electorate, c.cert, c.order)
		if e := refused(t, err, CodeNoRelease); e.Step != "release" {
			t.Errorf("%s: %+v", name, e)
		}
	}
	separate := b.certify(spend.id, quorum.Release, spend.intent.Expires)
	if _, err := p.Release(b.electorate, separate, good); err != nil {
		t.Errorf("a certificate of its own opens the gate: %v", err)
	}
}

// spoiled is a released part with one bit of its last scalar turned. Two parts need different bits, or their faults may
// cancel each other out and the signature be good.
func spoiled(data []byte, bit byte) []byte {
	out := slices.Clone(data)
	out[len(out)-1] ^= 1 << bit
	return out
}

func TestCombineNamesTheMaker(t *testing.T) {
	b := newBench(t, 4)
	spend := b.askSpend(b.makeKey())
	held := b.mustSign(spend, 1, b.parties, messages(2))
	good := map[tss.PartyID][]byte{}
	for _, p := range b.parties {
		data, err := b.release(p, spend, 1)
		if err != nil {
			t.Fatal(err)
		}
		good[p.Self] = data
	}
	for _, c := range []struct {
		name   string
		change func(m map[tss.PartyID][]byte)
		blame  []tss.PartyID
	}{
		{"one wrong", func(m map[tss.PartyID][]byte) { m[3] = spoiled(m[3], 0) }, []tss.PartyID{3}},
		{"two wrong", func(m map[tss.PartyID][]byte) { m[2], m[4] = spoiled(m[2], 0), spoiled(m[4], 1) }, []tss.PartyID{2, 4}},
		{"another's", func(m map[tss.PartyID][]byte) { m[2] = m[3] }, []tss.PartyID{2}},
		{"missing", func(m map[tss.PartyID][]byte) { delete(m, 4) }, []tss.PartyID{4}},
		{"empty", func(m map[tss.PartyID][]byte) { m[4] = []byte{} }, []tss.PartyID{4}},
		{"cut short", func(m map[tss.PartyID][]byte) { m[4] = m[4][:len(m[4])-1] }, []tss.PartyID{4}},
		{"one byte more", func(m map[tss.PartyID][]byte) { m[4] = append(slices.Clone(m[4]), 0) }, []tss.PartyID{4}},
		{"no scalar", func(m map[tss.PartyID][]byte) {
			m[4] = joinPartials([][]byte{append([]byte{0, 4}, bytes.Repeat([]byte{0xff}, 32)...), []byte("x")})
		}, []tss.PartyID{4}},
		{"one too few", func(m map[tss.PartyID][]byte) {
			parts, _ := splitPartials(m[4], 2)
			m[4] = joinPartials(parts[:1])
		}, []tss.PartyID{4}},
		{"in another order", func(m map[tss.PartyID][]byte) {
			parts, _ := splitPartials(m[4], 2)
			m[4] = joinPartials([][]byte{parts[1], parts[0]})
		}, []tss.PartyID{4}},
	} {
		m := map[tss.PartyID][]byte{}
		for id, data := range good {
			m[id] = data
		}
		c.change(m)
		_, err := held[1].Combine(m)
		var e *Error
		if !errors.As(err, &e) || e.Code != CodeRejected || !slices.Equal(e.Parties, c.blame) || !e.Retry || e.Step != "publication" {
			t.Errorf("%s: %v: %+v", c.name, err, e)
		}
	}
	if _, err := held[1].Combine(good); err != nil {
		t.Errorf("what was released is good: %v", err)
	}
}

// A signer that sees a broken rule ends with the fault and its evidence, which convicts without the machine.
func TestFaultsCarryEvidence(t *testing.T) {
	b := newBench(t, 3)
	spend := b.askSpend(b.makeKey())
	b.wire.spoil(func(e tss.Envelope, to tss.PartyID) []tss.Envelope {
		if e.From == 3 && e.Round == 1 {
			e = b.forge(e, func(e *tss.Envelope) { e.Payload = []byte("no commitments") })
		}
		return []tss.Envelope{e}
	})
	_, errs := b.sign(b.within(2*time.Second), spend, 1, b.parties, messages(1))
	for _, id := range []tss.PartyID{1, 2} {
		e := refused(t, errs[id], CodeRejected)
		var fault *tss.Fault
		if !errors.As(e, &fault) || fault.Party != 3 || !slices.Equal(e.Parties, []tss.PartyID{3}) || !e.Retry {
			t.Fatalf("party %d: %+v", id, e)
		}
		signed, err := tss.DecodeEvidence(fault.Evidence)
		if err != nil || len(signed) == 0 {
			t.Fatalf("party %d: no evidence: %v", id, err)
		}
		opened, err := b.parties[0].Notary.Open(signed[0])
		if err != nil || opened.From != 3 || string(opened.Payload) != "no commitments" {
			t.Errorf("evidence is not the culprit's own message: %+v, %v", opened, err)
		}
	}
	b.nothingHeld(spend)
}

// Two faces: party 3 says one thing to party 1 and another to party 2. The echo convicts it.
func TestTwoFacesAreConvicted(t *testing.T) {
	b := newBench(t, 3)
	r := b.askKey()
	b.wire.spoil(func(e tss.Envelope, to tss.PartyID) []tss.Envelope {
		if e.From == 3 && e.Round == 1 && to == 2 {
			e = b.forge(e, func(e *tss.Envelope) { e.Payload = append(slices.Clone(e.Payload), 0) })
		}
		return []tss.Envelope{e}
	})
	_, errs := b.generate(b.within(2*time.Second), r, 1)
	for _, id := range []tss.PartyID{1, 2} {
		var fault *tss.Fault
		if err := errs[id]; !errors.As(err, &fault) || fault.Party != 3 || len(fault.Evidence) == 0 {
			t.Errorf("party %d: %v", id, err)
		}
	}
	for _, p := range b.parties {
		if err := p.Active(intent.KeyID(r.id)); err == nil {
			t.Errorf("party %d has an active key", p.Self)
		}
	}
}

// nothingHeld fails the test when a partial signature lies in some keystore.
func (b *bench) nothingHeld(r request) {
	b.t.Helper()
	for _, p := range b.parties {
		if left, err := p.store.List(keystore.KindHeldPartial, r.intent.Key); err != nil || len(left) != 0 {
			b.t.Errorf("party %d holds %v, %v", p.Self, left, err)
		}
	}
}

// A signer who falls silent is named by all others, and another attempt without it succeeds.
func TestSilentSignerIsNamed(t *testing.T) {
	b := newBench(t, 3)
	spend := b.askSpend(b.makeKey())
	for attempt, c := range []struct {
		step string
		mute func()
	}{
		{"open", func() { b.wire.mute(3) }},
		{"sign", func() {
			b.wire.spoil(func(e tss.Envelope, _ tss.PartyID) []tss.Envelope {
				if e.From == 3 {
					return nil
				}
				return []tss.Envelope{e}
			})
		}},
	} {
		c.mute()
		_, errs := b.sign(b.within(time.Second), spend, uint32(attempt+1), b.parties, messages(1))
		for _, id := range []tss.PartyID{1, 2} {
			if e := refused(t, errs[id], CodeTimeout); !slices.Equal(e.Parties, []tss.PartyID{3}) || !e.Retry || e.Step != c.step {
				t.Errorf("party %d: %+v", id, e)
			}
		}
		b.wire.mute()
	}
	b.nothingHeld(spend)
	b.mustSign(spend, 3, b.parties[:2], messages(1))
}

func TestSignRefuses(t *testing.T) {
	b := newBench(t, 3)
	key := b.makeKey()
	ctx := b.within(long)
	p := b.parties[0]
	all := ids(b.parties)
	for i, c := range []struct {
		name    string
		signers []tss.PartyID
		n       int
		code    string
	}{
		{"nothing to sign", all, 0, CodeRejected},
		{"too much to sign", all, MaxMessages + 1, CodeRejected},
		{"a stranger among the signers", []tss.PartyID{1, 2, 9}, 1, CodeRejected},
	} {
		spend := b.askSpend(key)
		_, err := p.Sign(ctx, b.grant(p, spend, 1), c.signers, messages(c.n))
		if refused(t, err, c.code); t.Failed() {
			t.Fatalf("row %d: %s", i, c.name)
		}
		b.nothingHeld(spend)
	}
	spend := b.askSpend(key)
	leave := b.grant(p, spend, 1)
	if _, err := leave.Use(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Sign(ctx, leave, all, messages(1)); err == nil || !strings.Contains(err.Error(), "STEP_PERMIT_REUSED") {
		t.Errorf("used permit: %v", err)
	}
	if _, err := p.Sign(ctx, nil, all, messages(1)); err == nil {
		t.Error("signed without a permit")
	}
	if _, err := p.Generate(ctx, b.grant(p, b.askSpend(key), 1)); err == nil {
		t.Error("made a key with the permit of a payment")
	}
}

// A key that was never activated signs nothing: the office grants no permit for it, and the executor has no share.
func TestUnknownKeyIsNotActive(t *testing.T) {
	b := newBench(t, 2)
	p := b.parties[0]
	_, err := p.Load(intent.KeyID{9})
	refused(t, err, CodeNoKey)
	spend := b.askSpend(intent.KeyID{9})
	if _, err := p.office.Grant(spend.intent, spend.cert, 1, time.Now()); err == nil {
		t.Error("granted")
	} else {
		refused(t, err, CodeNoKey)
	}
}

// After a restart the share is loaded again and is the same key.
func TestKeyOutlivesTheProcess(t *testing.T) {
	b := newBench(t, 2)
	key := b.makeKey()
	before, err := b.parties[0].Load(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range b.parties {
		b.restart(p)
	}
	after, err := b.parties[0].Load(key)
	if err != nil || !bytes.Equal(after.GroupKey(), (before).GroupKey()) {
		t.Fatalf("another key: %v", err)
	}
	b.mustSign(b.askSpend(key), 1, b.parties, messages(1))
}

func TestGenerateRefusesSuites(t *testing.T) {
	b := newBench(t, 2)
	for _, suite := range []string{"none", strings.Repeat("x", 60)} {
		r := b.ask(intent.KeyID{}, intent.Generate{Protocol: "frost", Suite: suite, Purpose: "wallet", Threshold: 2, Parties: []uint16{1, 2}})
		_, err := b.parties[0].Generate(b.within(long), b.grant(b.parties[0], r, 1))
		refused(t, err, CodeRejected)
	}
}

func FuzzSplitPartials(f *testing.F) {
	f.Add(joinPartials([][]byte{[]byte("one"), {}, []byte("three")}), 3)
	f.Add([]byte{0, 1, 0xff, 0xff}, 1)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, data []byte, want int) {
		parts, err := splitPartials(data, want)
		if err != nil {
			return
		}
		if len(parts) != want {
			t.Fatalf("%d parts, want %d", len(parts), want)
		}
		if !bytes.Equal(joinPartials(parts), data) {
			t.Errorf("%x is read as %x", data, joinPartials(parts))
		}
	})
}
