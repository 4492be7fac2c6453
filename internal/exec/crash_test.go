package exec

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"chancery.dev/internal/intent"
	"chancery.dev/internal/keystore"
	"chancery.dev/internal/secret"
	"chancery.dev/tss"
)

var errCrash = errors.New("the power is gone")

// durable is a step that changes the keystore.
type durable struct {
	op   string // put, take, delete
	kind keystore.Kind
}

// failingVault is a real keystore behind which the power goes at one step: before it, or after it but before anybody
// learns that it was done. From then on it answers nothing.
type failingVault struct {
	Vault
	at    durable
	after bool
	dead  bool
}

func (v *failingVault) reach(op string, ref keystore.Ref, do func() error) error {
	if v.dead {
		return errCrash
	}
	if v.at != (durable{op, ref.Kind}) {
		return do()
	}
	v.dead = true
	if v.after {
		if err := do(); err != nil {
			return err
		}
	}
	return errCrash
}

func (v *failingVault) Put(ref keystore.Ref, value *secret.Bytes) error {
	return v.reach("put", ref, func() error { return v.Vault.Put(ref, value) })
}

func (v *failingVault) Delete(ref keystore.Ref) error {
	return v.reach("delete", ref, func() error { return v.Vault.Delete(ref) })
}

func (v *failingVault) Take(ref keystore.Ref) (out *secret.Bytes, err error) {
	err = v.reach("take", ref, func() error {
		out, err = v.Vault.Take(ref)
		return err
	})
	if err != nil {
		out.Erase()
		return nil, err
	}
	return out, nil
}

// Every durable step of signing, with the power gone before and after it. After the restart the permit stays burned, the
// part that was held comes out at most once, and the next attempt has nonces that nobody saw before.
func TestCrashWhileSigning(t *testing.T) {
	hold, out := durable{"put", keystore.KindHeldPartial}, durable{"take", keystore.KindHeldPartial}
	b := newBench(t, 3)
	key := b.makeKey()
	victim := b.parties[1]
	for _, c := range []struct {
		name     string
		at       durable
		after    bool
		deny     bool // the part is to be destroyed, not released
		released bool // the part can be had after the restart, once
	}{
		{"permit burned, nothing begun", durable{}, true, false, false},
		{"before the part is held", hold, false, false, false},
		{"after the part is held", hold, true, false, true},
		{"before the release", out, false, false, true},
		{"after the release", out, true, false, false},
		{"before the destruction", out, false, true, true},
		{"after the destruction", out, true, true, false},
	} {
		spend := b.askSpend(key)
		if c.at == (durable{}) {
			b.grant(victim, spend, 1)
		} else {
			b.crash(victim, spend, &failingVault{Vault: victim.store, at: c.at, after: c.after}, c.deny)
		}
		b.restart(victim)
		if _, err := victim.office.Grant(spend.intent, spend.cert, 1, time.Now()); !errors.Is(err, keystore.ErrBurned) {
			t.Errorf("%s: the permit is granted again: %v", c.name, err)
		}
		data, err := b.release(victim, spend, 1)
		if (err == nil) != c.released || (len(data) > 0) != c.released {
			t.Errorf("%s: release after the restart: %d bytes, %v", c.name, len(data), err)
		}
		if _, err := b.release(victim, spend, 1); err == nil {
			t.Errorf("%s: the part came out twice", c.name)
		}
		b.mustSign(spend, 2, b.parties, messages(1))
	}
	b.noCommitmentTwice()
}

// crash signs, and then releases or destroys, until the victim's power goes.
func (b *bench) crash(victim *party, spend request, v *failingVault, deny bool) {
	b.t.Helper()
	victim.Vault = v
	_, errs := b.sign(b.within(long), spend, 1, b.parties, messages(1))
	err := errs[victim.Self]
	switch {
	case v.dead:
	case deny:
		err = victim.Destroy(spend.intent.Key, victim.office.IDFor(spend.id, 1))
	default:
		_, err = b.release(victim, spend, 1)
	}
	if !v.dead || !errors.Is(err, errCrash) {
		b.t.Fatalf("the power did not go: %v", err)
	}
	for _, p := range b.parties {
		if err := errs[p.Self]; p != victim && err != nil {
			b.t.Fatalf("party %d: %v", p.Self, err)
		}
	}
}

// noCommitmentTwice looks through everything that was ever sent: no party committed to the same nonces in two runs.
func (b *bench) noCommitmentTwice() {
	b.t.Helper()
	b.wire.mu.Lock()
	defer b.wire.mu.Unlock()
	runs := map[tss.SessionID]bool{}
	seen := map[string]tss.SessionID{}
	for _, e := range b.wire.seen {
		if e.Round != 1 {
			continue
		}
		runs[e.Session] = true
		for at := 0; at+33 <= len(e.Payload); at++ { // any 33 bytes that look like a point
			if p := e.Payload[at : at+33]; p[0] == 2 || p[0] == 3 {
				if other, twice := seen[string(p)]; twice && other != e.Session {
					b.t.Errorf("party %d sent %x in two runs", e.From, p)
				}
				seen[string(p)] = e.Session
			}
		}
	}
	if len(runs) < 8 {
		b.t.Fatalf("only %d runs were seen", len(runs))
	}
}

// Every durable step of key generation. A share is active exactly when it was stored after its test signature, and a
// pending one never is.
func TestCrashWhileGenerating(t *testing.T) {
	pending, share, tidy := durable{"put", keystore.KindPendingShare}, durable{"put", keystore.KindShare}, durable{"delete", keystore.KindPendingShare}
	b := newBench(t, 2)
	victim := b.parties[1]
	for _, c := range []struct {
		name   string
		at     durable
		after  bool
		active bool
	}{
		{"before the share is pending", pending, false, false},
		{"after the share is pending", pending, true, false},
		{"before the share is active", share, false, false},
		{"after the share is active", share, true, true},
		{"before the pending share is deleted", tidy, false, true},
		{"after the pending share is deleted", tidy, true, true},
	} {
		r := b.askKey()
		victim.Vault = &failingVault{Vault: victim.store, at: c.at, after: c.after}
		ctx := b.within(2 * time.Second) // the other waits in vain for the test signature in the first two rows
		_, errs := b.generate(ctx, r, 1)
		if !errors.Is(errs[victim.Self], errCrash) {
			t.Fatalf("%s: the power did not go: %v", c.name, errs[victim.Self])
		}
		b.restart(victim)
		key := intent.KeyID(r.id)
		if err := victim.Active(key); (err == nil) != c.active {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, err := victim.office.Grant(r.intent, r.cert, 1, time.Now()); !errors.Is(err, keystore.ErrBurned) {
			t.Errorf("%s: the permit is granted again: %v", c.name, err)
		}
		if c.active {
			b.mustSign(b.askSpend(key), 1, b.parties, messages(1))
		} else if c.at == pending && b.parties[0].Active(key) == nil {
			t.Errorf("%s: a key is active that nobody made a test signature with", c.name)
		}
	}
}

// What a crash leaves of a share is sealed: the file has neither the share nor the held part in the clear.
func TestNothingIsStoredInTheClear(t *testing.T) {
	b := newBench(t, 2)
	key := b.makeKey()
	spend := b.askSpend(key)
	b.mustSign(spend, 1, b.parties, messages(1))
	p := b.parties[0]
	share, err := p.store.Get(p.ref(keystore.KindShare, key, "share"))
	if err != nil {
		t.Fatal(err)
	}
	part, err := p.store.Get(p.heldRef(key, p.office.IDFor(spend.id, 1)))
	if err != nil {
		t.Fatal(err)
	}
	file := fileOf(t, p)
	for name, v := range map[string][]byte{"share": share.Reveal()[2:34], "held part": part.Reveal()[6:]} {
		if len(v) < 32 || bytes.Contains(file, v) {
			t.Errorf("%s lies in the file", name)
		}
	}
}
