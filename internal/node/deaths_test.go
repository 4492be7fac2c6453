package node

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"chancery.dev/internal/httpapi"
	"chancery.dev/internal/intent"
	"chancery.dev/internal/keystore"
	"chancery.dev/internal/mesh"
	"chancery.dev/internal/secret"
)

// A payment does not need the fifth node. When it comes back it has its key, learns what happened while it was away, and
// signs the next payment, for which it is needed.
func TestNodeIsAwayAndReturns(t *testing.T) {
	c := shared(t)
	leader, away, next := c.members[2], c.members[0], c.members[1]
	must(t, away.stop())
	c.linked(t)
	tx := send(t, leader, httpapi.SendRequest{Recipient: payee(t), AmountSats: 15_000})
	tx = state(t, leader, tx.ID, "published", "confirmed")
	c.once(t, tx)
	if tx.Attempt != 1 {
		t.Errorf("took %d attempts", tx.Attempt)
	}
	must(t, away.start())
	c.linked(t)
	if on := state(t, away, tx.ID, "confirmed"); on.TxID != tx.TxID {
		t.Errorf("the node that was away knows of %+v", on)
	}
	must(t, next.stop())
	defer c.mend(t, next)
	c.linked(t)
	if a, err := ask[httpapi.Address](t.Context(), away, "GET", "/wallet/address", nil); err != nil || a.KeyID != c.key.ID {
		t.Errorf("its wallet is %+v, %v", a, err)
	}
	tx = send(t, away, httpapi.SendRequest{Recipient: payee(t), AmountSats: 16_000})
	tx = state(t, away, tx.ID, "published", "confirmed")
	c.once(t, tx)
}

// death says when a signer dies in its first attempt, and how: with its process, or hanging with its links up.
type death struct {
	mu     sync.Mutex
	at     mesh.Kind
	hang   bool
	armed  bool
	called map[*member]bool
	victim *member
	missed []mesh.Message // what came to a victim that hangs
}

func (d *death) arm() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.armed = true
}

// wake has a victim that hung go on where it stopped, with all that came in the meantime.
func (d *death) wake(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.victim.screen(nil)
	for _, m := range d.missed {
		d.victim.node.receive(ctx, m)
	}
}

// watch lets the first signer that comes to the point die there. The leader does not.
func (d *death) watch(m *member) {
	m.screen(func(msg mesh.Message) bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.victim == m {
			d.missed = append(d.missed, msg)
			return false
		}
		if b, err := decode[begin](msg.Payload); msg.Kind == kindBegin && err == nil && partyIn(b.Signers, m.node.self) {
			d.called[m] = true
		}
		if d.victim != nil || !d.called[m] || msg.Kind != d.at {
			return true
		}
		d.die(m)
		d.missed = append(d.missed, msg)
		return false
	})
}

func (d *death) die(m *member) {
	d.victim = m
	if !d.hang {
		m.cancel()
	}
}

// dying is a keystore whose power goes when the part that it holds is asked for.
type dying struct {
	*keystore.Store
	death  *death
	member *member
}

var errPower = errors.New("the power is gone")

func (v dying) Take(ref keystore.Ref) (*secret.Bytes, error) {
	v.death.mu.Lock()
	defer v.death.mu.Unlock()
	if ref.Kind == keystore.KindHeldPartial && v.death.armed && v.death.victim == nil {
		v.death.die(v.member)
	}
	if v.death.victim == v.member {
		return nil, errPower
	}
	return v.Store.Take(ref)
}

// A signer that dies during an attempt, at each point of it, holds the payment up for one attempt and no longer. It is
// published exactly once, by others; the one that died keeps nothing of it, and learns how it ended.
func TestSignerDies(t *testing.T) {
	c := shared(t)
	leader := c.members[0]
	for name, d := range map[string]*death{
		"at the call":           {at: kindBegin},
		"at the call, hanging":  {at: kindBegin, hang: true},
		"at the opening":        {at: kindOpen},
		"in the run":            {at: mesh.Protocol},
		"in the run, hanging":   {at: mesh.Protocol, hang: true},
		"when its part is held": {at: 0},
	} {
		t.Run(name, func(t *testing.T) { c.signerDies(t, leader, d) })
	}
}

func (c *cluster) signerDies(t *testing.T, leader *member, d *death) {
	d.called = map[*member]bool{}
	defer func() {
		if t.Failed() { // the next tests need all nodes
			c.mend(t, c.members...)
		}
	}()
	for _, m := range c.members[1:] {
		if d.at == 0 {
			m.restart(t, func(_ *Config, n *Node) { n.executor.Vault = dying{n.keystore, d, m} })
		} else {
			d.watch(m)
		}
	}
	c.linked(t)
	d.arm()
	tx := send(t, leader, httpapi.SendRequest{Recipient: payee(t), AmountSats: 17_000})
	tx = state(t, leader, tx.ID, "published", "confirmed", "failed", "denied")
	d.mu.Lock()
	victim := d.victim
	d.mu.Unlock()
	if victim == nil {
		t.Fatal("nobody died")
	}
	if tx.State == "failed" || tx.State == "denied" || tx.Attempt < 2 {
		t.Fatalf("payment is %s (%s) after attempt %d; log of the leader:\n%s", tx.State, tx.Reason, tx.Attempt, leader.log.tail())
	}
	c.once(t, tx)
	for _, m := range c.members[1:] {
		switch {
		case m == victim && d.hang:
			d.wake(t.Context())
		case m == victim || d.at == 0:
			m.restart(t)
		}
		m.screen(nil)
	}
	c.linked(t)
	for _, m := range c.members {
		if on := state(t, m, tx.ID, "confirmed"); on.TxID != tx.TxID {
			t.Errorf("%s: %+v", m.id, on)
		}
		if left, err := m.node.keystore.List(keystore.KindHeldPartial, c.keyID(t)); err != nil || len(left) != 0 {
			t.Errorf("%s holds %v, %v", m.id, left, err)
		}
	}
	if got := c.paid(t, tx.Recipient); len(got) != 1 {
		t.Errorf("paid by %v", got)
	}
	c.chainsHold(t, leader, tx, testThreshold)
	c.chainsHold(t, victim, tx, 0) // receipts that came to it as it died may be lost to it
}

func (c *cluster) keyID(t *testing.T) (k intent.KeyID) {
	t.Helper()
	must(t, k.UnmarshalText([]byte(c.key.ID)))
	return k
}

// chainsHold waits until a node has chains of at least so many nodes that end with the publication, and verifies every
// chain that it has: also of the one that died, whose chain ends where its part did.
func (c *cluster) chainsHold(t *testing.T, m *member, tx httpapi.Transaction, published int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := until(ctx, func() bool {
		r, err := ask[httpapi.Receipts](ctx, m, "GET", "/transactions/"+tx.ID+"/receipts", nil)
		must(t, err)
		return c.published(t, r) >= published
	}); err != nil {
		t.Errorf("%s has less than %d chains that end with the publication", m.id, published)
	}
}

// With two nodes of five away there is no quorum: the nodes say that they are not ready, the payment ends with a reason,
// its coins are free again, and nothing is published. When the two are back, payments go on.
func TestTwoNodesAway(t *testing.T) {
	c := shared(t)
	c.settled(t)
	leader, away := c.members[2], c.members[:2]
	leader.restart(t, func(config *Config, _ *Node) { config.Road.IntentLifetime = Duration(3 * time.Second) })
	for _, m := range away {
		must(t, m.stop())
	}
	defer c.mend(t, leader)
	c.linked(t)
	res, err := http.Get("http://" + leader.api + "/ready")
	must(t, err)
	var problem httpapi.Problem
	must(t, errors.Join(json.NewDecoder(res.Body).Decode(&problem), res.Body.Close()))
	if res.StatusCode != http.StatusServiceUnavailable || problem.Code != CodeQuorumMissing {
		t.Errorf("ready says %s: %+v", res.Status, problem)
	}
	before, _ := snapshot(t, leader)
	r := httpapi.SendRequest{Recipient: payee(t), AmountSats: 18_000, IdempotencyKey: unused()}
	tx := send(t, leader, r)
	if b, _ := snapshot(t, leader); b.ReservedSats == 0 {
		t.Error("nothing is reserved while the payment waits")
	}
	tx = state(t, leader, tx.ID, "published", "confirmed", "failed", "denied")
	if tx.State != "failed" || tx.Reason != CodeQuorumMissing || tx.TxID != "" || tx.Attempt != 0 {
		t.Errorf("payment is %s (%s) after %d attempts", tx.State, tx.Reason, tx.Attempt)
	}
	if after, _ := snapshot(t, leader); after != before {
		t.Errorf("%+v after %+v", after, before)
	}
	for _, m := range away {
		must(t, m.start())
	}
	c.linked(t)
	if again := send(t, leader, r); again.ID != tx.ID || again.State != "failed" {
		t.Errorf("asked again: %+v", again)
	}
	leader.restart(t, func(config *Config, _ *Node) { config.Road.IntentLifetime = Duration(time.Minute) }) // this one is to have time
	c.linked(t)
	next := send(t, leader, httpapi.SendRequest{Recipient: payee(t), AmountSats: 19_000})
	c.once(t, state(t, leader, next.ID, "published", "confirmed"))
	if got := c.paid(t, r.Recipient); len(got) != 0 {
		t.Errorf("the payment that failed was made: %v", got)
	}
}

// A coordinator that dies during an attempt takes the payment up again after its restart, as soon as its links are up and
// enough signers are there, and publishes it once.
func TestCoordinatorDies(t *testing.T) {
	c := shared(t)
	leader := c.members[0]
	d := &death{}
	leader.restart(t, func(_ *Config, n *Node) { n.executor.Vault = dying{n.keystore, d, leader} })
	c.linked(t)
	d.arm()
	tx := send(t, leader, httpapi.SendRequest{Recipient: payee(t), AmountSats: 21_000})
	<-leader.node.ctx.Done() // its power goes when it lets its own part go
	late := c.members[1:3]
	for _, m := range late {
		must(t, m.stop())
	}
	leader.restart(t)
	for _, m := range late { // three nodes are too few; the fourth comes within the time of an attempt
		must(t, m.start())
	}
	c.linked(t)
	tx = state(t, leader, tx.ID, "published", "confirmed", "failed", "denied")
	if tx.State == "failed" || tx.Attempt != 2 {
		t.Fatalf("payment is %s (%s) after attempt %d; log:\n%s", tx.State, tx.Reason, tx.Attempt, leader.log.tail())
	}
	c.once(t, tx)
	for _, m := range c.members {
		state(t, m, tx.ID, "confirmed")
	}
	if left, err := leader.node.keystore.List(keystore.KindHeldPartial, c.keyID(t)); err != nil || len(left) != 0 {
		t.Errorf("it still holds %v, %v", left, err)
	}
}
