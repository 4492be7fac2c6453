package node

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"

	"chancery.dev/internal/evidence"
	"chancery.dev/internal/httpapi"
	"chancery.dev/internal/intent"
)

// The key that five nodes made is the same on all of them, and there is no second one.
func TestKeyGeneration(t *testing.T) {
	c := shared(t)
	if c.before != CodeNoKey {
		t.Errorf("balance without a key: %s", c.before)
	}
	if c.key.Threshold != testThreshold || c.key.Total != testNodes || len(c.key.GroupKey) != 66 {
		t.Errorf("%+v", c.key)
	}
	var want httpapi.Address
	for _, m := range c.members {
		all, err := ceremonies(t.Context(), m)
		if err != nil || len(all) != 1 || all[0].GroupKey != c.key.GroupKey || all[0].State != "confirmed" {
			t.Errorf("%s: %+v, %v", m.id, all, err)
		}
		a, err := ask[httpapi.Address](t.Context(), m, "GET", "/wallet/address", nil)
		must(t, err)
		if m.party == 1 {
			want = a
		}
		if a != want || !strings.HasPrefix(a.Address, "bcrt1p") || a.KeyID != c.key.ID {
			t.Errorf("%s: %+v, want %+v", m.id, a, want)
		}
		s, err := ask[httpapi.ClusterStatus](t.Context(), m, "GET", "/cluster/status", nil)
		if err != nil || s.ActiveKey != c.key.ID || s.Connected != testNodes || !s.Quorum || s.Node != m.id {
			t.Errorf("%s: %+v, %v", m.id, s, err)
		}
	}
	request := httpapi.DKGRequest{Protocol: "frost", Threshold: testThreshold, Total: testNodes, IdempotencyKey: "the key"}
	again, err := ask[httpapi.Ceremony](t.Context(), c.members[0], "POST", "/dkg", request)
	if err != nil || again.ID != c.key.ID {
		t.Errorf("the same request again: %+v, %v", again, err)
	}
}

func TestKeyGenerationRefuses(t *testing.T) {
	c := shared(t)
	for name, r := range map[string]struct {
		request httpapi.DKGRequest
		code    string
	}{
		"a second key":                 {httpapi.DKGRequest{Protocol: "frost", Threshold: 4, Total: 5}, CodeKeyExists},
		"another under the same key":   {httpapi.DKGRequest{Protocol: "frost", Threshold: 5, Total: 5, IdempotencyKey: "the key"}, CodeConflict},
		"another protocol":             {httpapi.DKGRequest{Protocol: "none", Threshold: 4, Total: 5}, CodeInvalid},
		"not all nodes":                {httpapi.DKGRequest{Protocol: "frost", Threshold: 4, Total: 4}, CodeInvalid},
		"threshold below the roster's": {httpapi.DKGRequest{Protocol: "frost", Threshold: 3, Total: 5}, CodeInvalid},
		"threshold above the nodes":    {httpapi.DKGRequest{Protocol: "frost", Threshold: 6, Total: 5, IdempotencyKey: "six"}, CodeKeyExists},
		"threshold of one":             {httpapi.DKGRequest{Protocol: "frost", Threshold: 1, Total: 5}, CodeInvalid},
	} {
		if _, err := ask[httpapi.Ceremony](t.Context(), c.members[0], "POST", "/dkg", r.request); code(err) != r.code {
			t.Errorf("%s: %v, want %s", name, err, r.code)
		}
	}
	for _, m := range c.members {
		if all, err := ceremonies(t.Context(), m); err != nil || len(all) != 1 {
			t.Errorf("%s: %+v, %v", m.id, all, err)
		}
	}
}

// A payment to the wallet is pending when it is in the mempool and confirmed when it is in a block, on every node; the
// address that got it is not given out again.
func TestIncomingPayment(t *testing.T) {
	c := shared(t)
	const amount = 777_777
	m := c.members[2]
	a, err := ask[httpapi.Address](t.Context(), m, "GET", "/wallet/address", nil)
	must(t, err)
	before, err := ask[httpapi.Balance](t.Context(), m, "GET", "/wallet/balance", nil)
	must(t, err)
	_, err = c.net.Faucet.Pay(t.Context(), a.Address, amount)
	must(t, err)
	pending, err := ask[httpapi.Balance](t.Context(), m, "GET", "/wallet/balance", nil)
	if err != nil || pending.PendingSats != before.PendingSats+amount || pending.ConfirmedSats != before.ConfirmedSats || pending.Coins != before.Coins+1 {
		t.Errorf("in the mempool: %+v after %+v, %v", pending, before, err)
	}
	must(t, c.net.Mine(t.Context(), 1))
	for _, m := range c.members {
		after, err := ask[httpapi.Balance](t.Context(), m, "GET", "/wallet/balance", nil)
		if err != nil || after.ConfirmedSats != before.ConfirmedSats+before.PendingSats+amount || after.PendingSats != 0 || after.Height != before.Height+1 {
			t.Errorf("%s: in a block: %+v after %+v, %v", m.id, after, before, err)
		}
	}
	next, err := ask[httpapi.Address](t.Context(), m, "GET", "/wallet/address", nil)
	if err != nil || next.Address == a.Address || next.Path == a.Path {
		t.Errorf("the address is given out again: %+v, %v", next, err)
	}
}

// A payment walks the whole road: every node votes, four sign, it is published once and confirmed on every node, and
// every node's receipts verify with the roster alone.
func TestPayment(t *testing.T) {
	c := shared(t)
	const amount = 123_456
	r := httpapi.SendRequest{Recipient: payee(t), AmountSats: amount}
	asked := send(t, c.members[0], r)
	if asked.Recipient != r.Recipient || asked.AmountSats != amount || asked.FeeSats <= 0 {
		t.Errorf("%+v", asked)
	}
	tx := state(t, c.members[0], asked.ID, "published", "confirmed")
	c.once(t, tx)
	for _, m := range c.members {
		if on := state(t, m, asked.ID, "confirmed"); on.TxID != tx.TxID || on.Confirmations < 1 || on.FeeSats != asked.FeeSats {
			t.Errorf("%s: %+v", m.id, on)
		}
		b, err := ask[httpapi.Balance](t.Context(), m, "GET", "/wallet/balance", nil)
		if err != nil || b.ReservedSats != 0 || b.PendingSats != 0 {
			t.Errorf("%s: %+v, %v", m.id, b, err)
		}
	}
	c.verifyReceipts(t, tx, testThreshold)
}

// verifyReceipts waits until every node has every node's chain up to the publication, and verifies them all as an auditor
// would: with the roster and nothing else. held is how many nodes must say that they signed.
func (c *cluster) verifyReceipts(t *testing.T, tx httpapi.Transaction, held int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, m := range c.members {
		var r httpapi.Receipts
		err := until(ctx, func() bool {
			var err error
			r, err = ask[httpapi.Receipts](ctx, m, "GET", "/transactions/"+tx.ID+"/receipts", nil)
			return err == nil && len(r.Chains) == testNodes && c.published(t, r) == testNodes
		})
		if err != nil {
			t.Fatalf("%s has %d chains, %d with a publication", m.id, len(r.Chains), c.published(t, r))
		}
		if signed := c.audit(t, r, tx); signed != held {
			t.Errorf("%s: %d nodes say that they signed, want %d", m.id, signed, held)
		}
	}
}

func (c *cluster) chains(t *testing.T, r httpapi.Receipts) [][]evidence.Receipt {
	t.Helper()
	var out [][]evidence.Receipt
	for _, raw := range r.Chains {
		var chain evidence.Chain
		must(t, json.Unmarshal(raw, &chain))
		list, err := chain.Verify(c.electorate)
		must(t, err)
		out = append(out, list)
	}
	return out
}

func (c *cluster) published(t *testing.T, r httpapi.Receipts) int {
	n := 0
	for _, chain := range c.chains(t, r) {
		if chain[len(chain)-1].Step == evidence.StepPublication {
			n++
		}
	}
	return n
}

// audit checks what the receipts say and returns how many nodes held a part.
func (c *cluster) audit(t *testing.T, r httpapi.Receipts, tx httpapi.Transaction) int {
	t.Helper()
	canonical, err := intent.CanonicalJSON(r.Intent)
	must(t, err)
	if id := intent.IDOf(canonical); id.String() != tx.ID {
		t.Errorf("receipts come with intent %s", id)
	}
	held, nodes := 0, map[uint16]bool{}
	for _, chain := range c.chains(t, r) {
		nodes[chain[0].Node] = true
		if chain[0].Intent.String() != tx.ID || chain[0].Step != evidence.StepAdmission {
			t.Errorf("chain of party %d is about %s and begins with %s", chain[0].Node, chain[0].Intent, chain[0].Step)
		}
		for _, e := range chain {
			if e.Step == evidence.StepHeld {
				held++
			}
		}
		if last := chain[len(chain)-1]; last.Step != evidence.StepPublication || last.Detail["txid"] != tx.TxID {
			t.Errorf("chain of party %d ends with %s of %q", last.Node, last.Step, last.Detail["txid"])
		}
	}
	if len(nodes) != testNodes {
		t.Errorf("chains are of parties %v", nodes)
	}
	return held
}

// The same request under the same key is one payment, however often and wherever it is asked for.
func TestIdempotency(t *testing.T) {
	c := shared(t)
	m := c.members[0]
	r := httpapi.SendRequest{Recipient: payee(t), AmountSats: 30_000, IdempotencyKey: unused()}
	first := send(t, m, r)
	if again := send(t, m, r); again.ID != first.ID {
		t.Errorf("asked again: another payment %s", again.ID)
	}
	tx := state(t, m, first.ID, "published", "confirmed")
	c.once(t, tx)
	if again := send(t, m, r); again.ID != first.ID || again.TxID != tx.TxID {
		t.Errorf("asked again after it was done: %+v", again)
	}
	for _, other := range c.members[1:] {
		state(t, other, first.ID, "confirmed")
		if again, err := ask[httpapi.Transaction](t.Context(), other, "POST", "/transactions", r); err != nil || again.ID != first.ID {
			t.Errorf("asked %s: %+v, %v", other.id, again, err)
		}
	}
	another, dearer := r, r
	another.Recipient = payee(t)
	dearer.AmountSats++
	for name, r := range map[string]httpapi.SendRequest{"another payee": another, "another amount": dearer,
		"a key generation's": {Recipient: r.Recipient, AmountSats: 30_000, IdempotencyKey: "the key"}} {
		for _, m := range c.members[:2] {
			if _, err := ask[httpapi.Transaction](t.Context(), m, "POST", "/transactions", r); code(err) != CodeConflict {
				t.Errorf("%s on %s: %v, want %s", name, m.id, err, CodeConflict)
			}
		}
	}
	if got := c.paid(t, another.Recipient); len(got) != 0 {
		t.Errorf("the refused payment was made: %v", got)
	}
	c.once(t, tx)
}

// Requests that race under one key, at one node and at all of them, make at most one payment.
func TestRacingRequests(t *testing.T) {
	c := shared(t)
	for name, at := range map[string]func(i int) *member{
		"one node":  func(int) *member { return c.members[1] },
		"all nodes": func(i int) *member { return c.members[i%testNodes] },
	} {
		r := httpapi.SendRequest{Recipient: payee(t), AmountSats: 20_000, IdempotencyKey: unused()}
		var wait sync.WaitGroup
		var mu sync.Mutex
		ids := map[string]*member{}
		for i := range 2 * testNodes {
			wait.Go(func() {
				tx, err := ask[httpapi.Transaction](t.Context(), at(i), "POST", "/transactions", r)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					ids[tx.ID] = at(i)
				} else if code(err) != CodeConflict {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		wait.Wait()
		if name == "one node" && len(ids) != 1 {
			t.Errorf("one node took %d payments", len(ids))
		}
		done := 0
		for id, m := range ids {
			if tx := state(t, m, id, "published", "confirmed", "denied", "failed"); tx.TxID != "" {
				done++
			} else if tx.Reason == "" {
				t.Errorf("%s: %s without a reason", name, tx.State)
			}
		}
		if got := c.paid(t, r.Recipient); len(got) > 1 || len(got) != done || name == "one node" && done != 1 {
			t.Errorf("%s: %d payments, paid by %v", name, done, got)
		}
		c.settled(t) // a node that still promises a coin to a payment that was refused says no to the next one
	}
}

// Payments at a time that want the same coins do not spend one twice.
func TestPaymentsAtATime(t *testing.T) {
	c := shared(t)
	var wait sync.WaitGroup
	var mu sync.Mutex
	taken := map[string]*member{}
	for i := range testNodes {
		r := httpapi.SendRequest{Recipient: payee(t), AmountSats: 10_000 + int64(i), IdempotencyKey: unused()}
		wait.Go(func() {
			tx, err := ask[httpapi.Transaction](t.Context(), c.members[i], "POST", "/transactions", r)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				taken[tx.ID] = c.members[i]
			} else if code(err) != CodeConflict {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for id, m := range taken {
		tx := state(t, m, id, "published", "confirmed", "denied", "failed")
		if got := c.paid(t, tx.Recipient); len(got) > 1 || (tx.TxID == "") != (len(got) == 0) {
			t.Errorf("payment is %s (%s), paid by %v", tx.State, tx.Reason, got)
		}
		if tx.TxID == "" && tx.Reason != CodeDenied {
			t.Errorf("payment is %s: %s", tx.State, tx.Reason)
		}
	}
	must(t, c.net.Mine(t.Context(), 1))
	for _, m := range c.members {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := until(ctx, func() bool {
			b, err := ask[httpapi.Balance](ctx, m, "GET", "/wallet/balance", nil)
			return err == nil && b.ReservedSats == 0
		}); err != nil {
			t.Errorf("%s keeps coins that no payment has", m.id)
		}
		cancel()
	}
}

// Health and readiness need no token; everything else does.
func TestTokenIsNeeded(t *testing.T) {
	c := shared(t)
	for path, want := range map[string]int{"/health": 200, "/ready": 200, "/api/v1/wallet/balance": 401, "/api/v1/cluster/nodes": 401} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.members[0].api+path, nil)
		must(t, err)
		res, err := http.DefaultClient.Do(req)
		must(t, err)
		must(t, res.Body.Close())
		if res.StatusCode != want {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
}

// What a node says of itself and of others.
func TestNodes(t *testing.T) {
	c := shared(t)
	list, err := ask[struct {
		Nodes []httpapi.NodeStatus `json:"nodes"`
	}](t.Context(), c.members[3], "GET", "/cluster/nodes", nil)
	must(t, err)
	for i, s := range list.Nodes {
		e := c.roster.Nodes[i]
		want := httpapi.NodeStatus{ID: string(e.ID), Party: int(e.Party), Address: e.Address, Self: i == 3, Connected: i != 3}
		s.RTTMillis, s.LastError = 0, ""
		if !reflect.DeepEqual(s, want) {
			t.Errorf("%+v, want %+v", s, want)
		}
	}
}
