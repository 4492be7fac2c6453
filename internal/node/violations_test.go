package node

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"chancery.dev/internal/httpapi"
	"chancery.dev/internal/intent"
	"chancery.dev/internal/keystore"
	"chancery.dev/internal/mesh"
	"chancery.dev/internal/quorum"
	"chancery.dev/internal/secret"
	"chancery.dev/tss"
)

// events are the entries of a node's audit log about an intent, as "kind text".
func (m *member) events(t *testing.T, id string) []string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(m.dir, "data", "records.db")+"?mode=ro&_pragma=busy_timeout(5000)")
	must(t, err)
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), "SELECT kind, text FROM audit_log WHERE lower(hex(intent)) = ? ORDER BY sequence", id)
	must(t, err)
	defer rows.Close()
	var out []string
	for rows.Next() {
		var kind, text string
		must(t, rows.Scan(&kind, &text))
		out = append(out, kind+" "+text)
	}
	must(t, rows.Err())
	return out
}

// accusations are the parties that a node's audit log accuses of anything about an intent.
func (m *member) accusations(t *testing.T, id string) []string {
	t.Helper()
	var out []string
	for _, e := range m.events(t, id) {
		if strings.HasPrefix(e, "violation.") {
			out = append(out, e)
		}
	}
	return out
}

// accuses waits until a node's audit log accuses exactly one party of exactly one thing.
func (m *member) accuses(t *testing.T, id, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := until(ctx, func() bool { return len(m.accusations(t, id)) > 0 }); err != nil {
		t.Fatalf("%s accuses nobody; log:\n%s", m.id, m.log.tail())
	}
	if got := m.accusations(t, id); len(got) != 1 || got[0] != want {
		t.Errorf("%s records %q, want %q", m.id, got, want)
	}
}

// A node that says yes and then no is accused by its own two signatures.
func TestDoubleVote(t *testing.T) {
	c := shared(t)
	liar, leader := c.members[4], c.members[0]
	leader.screen(func(m mesh.Message) bool {
		if b, err := quorum.Decode[quorum.Ballot](m.Payload); m.Kind == kindBallot && m.From == 5 && err == nil {
			second := b
			second.Yes, second.Reason = false, "CHANGED_MY_MIND"
			second = second.Sign(liar.node.identity)
			leader.node.post(b.Intent, event{from: 5, ballot: &b})
			leader.node.post(b.Intent, event{from: 5, ballot: &second})
			return false
		}
		return true
	})
	defer leader.screen(nil)
	// One other node is away, so that the vote cannot be over before the liar's ballots are looked at.
	away := c.members[1]
	must(t, away.stop())
	defer c.mend(t, away)
	c.linked(t)
	tx := send(t, leader, httpapi.SendRequest{Recipient: payee(t), AmountSats: 10_500})
	c.once(t, state(t, leader, tx.ID, "published", "confirmed"))
	leader.accuses(t, tx.ID, "violation.DoubleVote party 5")
}

// scribble signs with nothing.
type scribble struct{}

func (scribble) Sign([]byte) []byte { return make([]byte, 64) }

// A node whose ballots are not signed by it has no vote and is named by every other node; the payment goes on without it.
func TestBallotWithoutSignature(t *testing.T) {
	c := shared(t)
	liar := c.members[2]
	liar.restart(t, func(_ *Config, n *Node) { n.signer = scribble{} })
	defer c.mend(t, liar)
	c.linked(t)
	tx := send(t, c.members[0], httpapi.SendRequest{Recipient: payee(t), AmountSats: 11_000})
	tx = state(t, c.members[0], tx.ID, "published", "confirmed")
	c.once(t, tx)
	for _, v := range tx.Ballots {
		if v.Node == liar.id {
			t.Errorf("the ballot of %s was counted", liar.id)
		}
	}
	for _, m := range c.members {
		if m != liar {
			m.accuses(t, tx.ID, "violation.InvalidSignature party 3")
		}
	}
}

// A node that sends ballots in the name of another is accused itself; the other is not.
func TestBallotInAnothersName(t *testing.T) {
	c := shared(t)
	liar := c.members[4]
	liar.screen(func(m mesh.Message) bool {
		if v, err := decode[propose](m.Payload); m.Kind == kindPropose && err == nil {
			b := quorum.Ballot{Cluster: c.electorate.Cluster, Epoch: c.electorate.Epoch, Intent: intent.IDOf(v.Intent), Question: quorum.AdmitAndRelease,
				Policy: liar.node.policy.Root(), Expires: 1 << 40, Voter: 2, Reason: "FRAMED", Signature: make([]byte, 64)}
			if raw, err := quorum.Encode(b); err == nil {
				liar.node.broadcast(context.Background(), kindBallot, raw)
			}
		}
		return true
	})
	defer liar.screen(nil)
	tx := send(t, c.members[0], httpapi.SendRequest{Recipient: payee(t), AmountSats: 12_000})
	tx = state(t, c.members[0], tx.ID, "published", "confirmed")
	c.once(t, tx)
	for _, m := range c.members[:4] {
		m.accuses(t, tx.ID, "violation.InvalidSignature party 5")
	}
}

// forger is a keystore that gives out wrong partial signatures.
type forger struct{ *keystore.Store }

func (f forger) Take(ref keystore.Ref) (*secret.Bytes, error) {
	v, err := f.Store.Take(ref)
	if err == nil && ref.Kind == keystore.KindHeldPartial {
		b := v.Reveal()
		b[len(b)-1] ^= 1
	}
	return v, err
}

// holdBack keeps a party's ballot from a node until the first partial signature arrives there, so that the first four
// nodes are the signers of the first attempt, and the fifth can take part in the second.
func holdBack(leader *member, party tss.PartyID) {
	var mu sync.Mutex
	var held []mesh.Message
	open := false
	leader.screen(func(m mesh.Message) bool {
		mu.Lock()
		defer mu.Unlock()
		if m.Kind == kindPartials && !open {
			open = true
			for _, b := range held {
				leader.node.receive(context.Background(), b)
			}
		}
		if m.Kind == kindBallot && m.From == party && !open {
			held = append(held, m)
			return false
		}
		return true
	})
}

// A wrong partial signature convicts its maker and nobody else, and the payment is made by the other four.
func TestWrongPartialSignature(t *testing.T) {
	c := shared(t)
	leader, liar := c.members[0], c.members[2]
	liar.restart(t, func(_ *Config, n *Node) { n.executor.Vault = forger{n.keystore} })
	defer c.mend(t, liar)
	c.linked(t)
	holdBack(leader, 5)
	defer leader.screen(nil)
	tx := send(t, leader, httpapi.SendRequest{Recipient: payee(t), AmountSats: 13_000})
	tx = state(t, leader, tx.ID, "published", "confirmed", "failed", "denied")
	if tx.State == "failed" || tx.Attempt != 2 {
		t.Fatalf("payment is %s (%s) after attempt %d; log:\n%s", tx.State, tx.Reason, tx.Attempt, leader.log.tail())
	}
	c.once(t, tx)
	leader.accuses(t, tx.ID, "violation.ProtocolFault party 3")
	for _, m := range c.members {
		state(t, m, tx.ID, "confirmed")
	}
	c.verifyReceipts(t, tx, 8) // four held in the first attempt, and four in the second
}

// With no other signer left, the payment fails, says so, and nothing was published.
func TestWrongPartialSignatureOfTheLast(t *testing.T) {
	c := shared(t)
	leader, liar, away := c.members[0], c.members[2], c.members[4]
	liar.restart(t, func(_ *Config, n *Node) { n.executor.Vault = forger{n.keystore} })
	must(t, away.stop())
	defer c.mend(t, liar, away)
	c.linked(t)
	tx := send(t, leader, httpapi.SendRequest{Recipient: payee(t), AmountSats: 14_000})
	tx = state(t, leader, tx.ID, "published", "confirmed", "failed", "denied")
	if tx.State != "failed" || tx.Reason != CodeQuorumMissing || tx.TxID != "" {
		t.Errorf("payment is %s (%s)", tx.State, tx.Reason)
	}
	if got := c.paid(t, tx.Recipient); len(got) != 0 {
		t.Errorf("paid by %v", got)
	}
	leader.accuses(t, tx.ID, "violation.ProtocolFault party 3")
	for _, m := range c.members[:4] {
		if on := state(t, m, tx.ID, "failed"); on.Reason != CodeQuorumMissing {
			t.Errorf("%s: %s", m.id, on.Reason)
		}
	}
}
