package permit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chancery.dev/internal/intent"
	"chancery.dev/internal/quorum"
)

var now = time.Unix(1700000000, 0).UTC()

type signer ed25519.PrivateKey

func (s signer) Sign(m []byte) []byte { return ed25519.Sign(ed25519.PrivateKey(s), m) }

func key(voter uint16) signer {
	seed := sha256.Sum256(fmt.Appendf(nil, "voter %d", voter))
	return signer(ed25519.NewKeyFromSeed(seed[:]))
}

// desk is a burner and an authority that remember what they were asked.
type desk struct {
	mu      sync.Mutex
	burned  map[ID]bool
	failing error
	active  map[intent.KeyID]bool
}

var (
	errBurned   = errors.New("burned before")
	errInactive = errors.New("key is not active")
)

func (d *desk) Burn(id ID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failing != nil {
		return d.failing
	}
	if d.burned[id] {
		return errBurned
	}
	d.burned[id] = true
	return nil
}

func (d *desk) Active(k intent.KeyID) error {
	if !d.active[k] {
		return errInactive
	}
	return nil
}

func office() (Office, *desk) {
	d := &desk{burned: map[ID]bool{}, active: map[intent.KeyID]bool{{1}: true}}
	e := quorum.FromRoster([32]byte{1}, 3, 2)
	for v := range uint16(3) {
		e.Keys[v+1] = ed25519.PrivateKey(key(v + 1)).Public().(ed25519.PublicKey)
	}
	return Office{Electorate: e, Burner: d, Authority: d}, d
}

func request(t *testing.T, e quorum.Electorate, question quorum.Question) (intent.Intent, quorum.Certificate) {
	t.Helper()
	i := intent.Intent{Cluster: "c", Key: intent.KeyID{1}, Idempotency: "once", Expires: now.Add(time.Hour), Params: intent.Spend{
		Network: "regtest", Inputs: []intent.Input{{Outpoint: fmt.Sprintf("%064d:0", 0), Value: 10}}, Outputs: []intent.Output{{Address: "a", Amount: 9}}, Fee: 1,
	}}
	id, err := i.ID()
	if err != nil {
		t.Fatal(err)
	}
	c := quorum.Certificate{Question: question}
	for v := range uint16(2) {
		c.Ballots = append(c.Ballots, quorum.Ballot{Cluster: e.Cluster, Epoch: e.Epoch, Intent: id, Question: question, Yes: true, Expires: now.Unix() + 60, Voter: v + 1}.Sign(key(v+1)))
	}
	return i, c
}

func TestGrantAndUse(t *testing.T) {
	o, d := office()
	i, c := request(t, o.Electorate, quorum.Admit)
	p, err := o.Grant(i, c, 1, now)
	if err != nil {
		t.Fatal(err)
	}
	id, _ := i.ID()
	if p.ID() != o.IDFor(id, 1) || !d.burned[p.ID()] {
		t.Error("a permit came out that was not burned first")
	}
	leave, err := p.Use()
	if err != nil || leave.Execution != p.ID() || leave.IntentID != id || leave.Attempt != 1 || len(leave.Certificate.Ballots) != 2 {
		t.Fatalf("%+v, %v", leave, err)
	}
	var refused *Error
	if _, err := p.Use(); !errors.As(err, &refused) || refused.ReasonCode() != CodeReused {
		t.Errorf("second use: %v", err)
	}
	if _, err := o.Grant(i, c, 1, now); !errors.Is(err, errBurned) {
		t.Errorf("second grant of one attempt: %v", err)
	}
	if _, err := o.Grant(i, c, 2, now); err != nil {
		t.Errorf("next attempt: %v", err)
	}
}

// Of many that use one permit at once, one has it.
func TestUseIsAtomic(t *testing.T) {
	o, _ := office()
	i, c := request(t, o.Electorate, quorum.Admit)
	p, err := o.Grant(i, c, 1, now)
	if err != nil {
		t.Fatal(err)
	}
	var used atomic.Int32
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if _, err := p.Use(); err == nil {
				used.Add(1)
			}
		})
	}
	wg.Wait()
	if used.Load() != 1 {
		t.Errorf("used %d times", used.Load())
	}
}

func TestGrantRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*Office, *desk, *intent.Intent, *quorum.Certificate)
		attempt uint32
		at      time.Time
	}{
		"attempt zero":        {nil, 0, now},
		"too many attempts":   {nil, MaxAttempts + 1, now},
		"expired intent":      {nil, 1, now.Add(time.Hour)},
		"expired ballots":     {nil, 1, now.Add(time.Minute)},
		"too few ballots":     {func(_ *Office, _ *desk, _ *intent.Intent, c *quorum.Certificate) { c.Ballots = c.Ballots[:1] }, 1, now},
		"no certificate":      {func(_ *Office, _ *desk, _ *intent.Intent, c *quorum.Certificate) { *c = quorum.Certificate{} }, 1, now},
		"another intent":      {func(_ *Office, _ *desk, i *intent.Intent, _ *quorum.Certificate) { i.Idempotency = "twice" }, 1, now},
		"invalid intent":      {func(_ *Office, _ *desk, i *intent.Intent, _ *quorum.Certificate) { i.Cluster = "" }, 1, now},
		"another epoch":       {func(o *Office, _ *desk, _ *intent.Intent, _ *quorum.Certificate) { o.Electorate.Epoch++ }, 1, now},
		"another roster":      {func(o *Office, _ *desk, _ *intent.Intent, _ *quorum.Certificate) { o.Electorate.Cluster[0]++ }, 1, now},
		"key not active":      {func(_ *Office, d *desk, _ *intent.Intent, _ *quorum.Certificate) { d.active = nil }, 1, now},
		"store does not burn": {func(_ *Office, d *desk, _ *intent.Intent, _ *quorum.Certificate) { d.failing = errors.New("disk full") }, 1, now},
		"release only": {func(o *Office, _ *desk, _ *intent.Intent, c *quorum.Certificate) {
			_, *c = request(t, o.Electorate, quorum.Release)
		}, 1, now},
	} {
		o, d := office()
		i, cert := request(t, o.Electorate, quorum.Admit)
		if c.change != nil {
			c.change(&o, d, &i, &cert)
		}
		p, err := o.Grant(i, cert, c.attempt, c.at)
		if err == nil || p != nil {
			t.Errorf("%s: granted", name)
		}
		if len(d.burned) != 0 {
			t.Errorf("%s: a refused grant burned a permit", name)
		}
	}
}

func TestNobodyMakesAPermit(t *testing.T) {
	var none *Permit
	for _, p := range []*Permit{none, {}, new(Permit)} {
		if _, err := p.Use(); !errors.Is(err, ErrNil) {
			t.Errorf("a permit that nobody granted: %v", err)
		}
	}
}

func TestIDBindsEverything(t *testing.T) {
	o, _ := office()
	base := o.IDFor(intent.ID{1}, 1)
	other, later := o, o
	other.Electorate.Cluster[0]++
	later.Electorate.Epoch++
	for name, id := range map[string]ID{"attempt": o.IDFor(intent.ID{1}, 2), "intent": o.IDFor(intent.ID{2}, 1), "cluster": other.IDFor(intent.ID{1}, 1), "epoch": later.IDFor(intent.ID{1}, 1)} {
		if id == base {
			t.Errorf("%s is not in the id", name)
		}
	}
}
