package node

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"chancery.dev/internal/httpapi"
	"chancery.dev/internal/intent"
	"chancery.dev/internal/quorum"
	"chancery.dev/internal/records"
	"chancery.dev/internal/secret"
	"chancery.dev/internal/wallet"
)

// walletAccount is the account of the wallet's active key.
func (n *Node) walletAccount(ctx context.Context) (*wallet.Account, intent.KeyID, error) {
	key, err := n.walletKey(ctx)
	if err != nil {
		return nil, key, err
	}
	a, err := n.account(key)
	return a, key, err
}

// Balance scans the chain for the wallet's coins.
func (n *Node) Balance(ctx context.Context) (httpapi.Balance, error) {
	account, _, err := n.walletAccount(ctx)
	if err != nil {
		return httpapi.Balance{}, err
	}
	holdings, err := account.Scan(ctx, n.chain)
	if err != nil {
		return httpapi.Balance{}, err
	}
	tip, err := n.chain.Tip(ctx)
	if err != nil {
		return httpapi.Balance{}, err
	}
	confirmed, pending := holdings.Balance()
	_, reserved := n.split(holdings.Coins)
	return httpapi.Balance{ConfirmedSats: int64(confirmed), PendingSats: int64(pending), ReservedSats: int64(reserved), Coins: len(holdings.Coins),
		Network: string(n.network), Height: tip}, nil
}

// Address is the next receiving address that was never paid.
func (n *Node) Address(ctx context.Context) (httpapi.Address, error) {
	account, key, err := n.walletAccount(ctx)
	if err != nil {
		return httpapi.Address{}, err
	}
	holdings, err := account.Scan(ctx, n.chain)
	if err != nil {
		return httpapi.Address{}, err
	}
	path := wallet.Path{Chain: wallet.ReceiveChain, Index: holdings.NextReceive}
	address, err := account.Address(path)
	return httpapi.Address{Address: address, Path: path.String(), Descriptor: account.Descriptor(), Network: string(n.network), KeyID: key.String()}, err
}

// idempotency is the caller's key, or a fresh one: without one, every request is a new one.
func idempotency(key string) string {
	if key != "" {
		return key
	}
	return "generated-" + hex.EncodeToString(secret.Random(16).Reveal())
}

func (n *Node) expiry() time.Time {
	return n.now().Add(time.Duration(n.config.Road.IntentLifetime)).Truncate(time.Second)
}

// Send takes a payment: it fixes the whole transaction, stores the intent and puts it to the vote. The answer does not
// wait for the vote.
func (n *Node) Send(ctx context.Context, initiator string, r httpapi.SendRequest) (httpapi.Transaction, error) {
	account, key, err := n.walletAccount(ctx)
	if err != nil {
		return httpapi.Transaction{}, err
	}
	idem := idempotency(r.IdempotencyKey)
	if have, err := n.asked(ctx, initiator, idem); err == nil {
		return n.repeated(ctx, have, r)
	} else if !errors.Is(err, records.ErrNotFound) {
		return httpapi.Transaction{}, err
	}
	spend, err := n.plan(ctx, account, wallet.SpendOutput{Address: r.Recipient, Amount: wallet.Amount(r.AmountSats)}, wallet.FeeRate(r.FeeRate))
	if err != nil {
		return httpapi.Transaction{}, err
	}
	stored, err := n.propose(ctx, intent.Intent{Cluster: n.roster.Cluster, Key: key, Initiator: initiator, Idempotency: idem, Expires: n.expiry(), Params: paramsOf(n.network, spend)})
	if err != nil && codeOf(err) == CodeConflict { // the same request may have come at the same time
		if have, askedErr := n.asked(ctx, initiator, idem); askedErr == nil {
			return n.repeated(ctx, have, r)
		}
	}
	if err != nil {
		return httpapi.Transaction{}, err
	}
	return n.transaction(ctx, stored)
}

// asked finds what an initiator asked this node or, as far as it knows, any other for under a key: a client that turns to
// another node with the same request must not pay twice. Of several it is one that was not refused.
func (n *Node) asked(ctx context.Context, initiator, key string) (records.Intent, error) {
	all, err := n.records.Asked(ctx, initiator, key)
	if err != nil {
		return records.Intent{}, err
	}
	if len(all) == 0 {
		return records.Intent{}, records.ErrNotFound
	}
	for _, r := range all {
		if r.State != records.Denied && r.State != records.Failed {
			return r, nil
		}
	}
	return all[0], nil
}

// alone says whether an intent is the only one that its initiator asked for under its key. A node votes for the first that
// it sees and for no other, so of two that race at different nodes at most one is admitted.
func (n *Node) alone(ctx context.Context, c *course) error {
	all, err := n.records.Asked(ctx, c.intent.Initiator, c.intent.Idempotency)
	if err != nil {
		return err
	}
	for _, r := range all {
		if intent.ID(r.ID) != c.id {
			return refuse(CodeConflict, "admission", "another intent has the same idempotency key")
		}
	}
	return nil
}

// repeated answers a request whose idempotency key was used before: with the same transaction, if it asks for the same.
func (n *Node) repeated(ctx context.Context, have records.Intent, r httpapi.SendRequest) (httpapi.Transaction, error) {
	if have.Act != string(intent.ActBitcoinSpend) {
		return httpapi.Transaction{}, refuse(CodeConflict, "intent", "idempotency key was used for another request")
	}
	t, err := n.transaction(ctx, have)
	if err == nil && (t.Recipient != r.Recipient || t.AmountSats != r.AmountSats) {
		err = refuse(CodeConflict, "intent", "idempotency key was used for another payment")
	}
	return t, err
}

// propose stores an intent, starts its course here and puts it to the others.
func (n *Node) propose(ctx context.Context, i intent.Intent) (records.Intent, error) {
	canonical, err := i.Canonical()
	if err != nil {
		return records.Intent{}, &Refusal{CodeInvalid, "intent", err}
	}
	id := intent.IDOf(canonical)
	if !n.reserve(i, id) {
		return records.Intent{}, refuse(CodeConflict, "intent", "a coin was taken by another payment in this moment; ask again")
	}
	stored, _, err := n.records.Create(ctx, n.newRecord(i, id, canonical, true))
	if err != nil {
		n.release(id)
		if errors.Is(err, records.ErrConflict) {
			err = refuse(CodeConflict, "intent", "idempotency key was used for another request")
		}
		return stored, err
	}
	payload, err := encode(propose{canonical})
	if err != nil {
		return stored, err
	}
	n.broadcast(ctx, kindPropose, payload)
	return stored, n.start(i, id, n.self)
}

// Transaction is one payment.
func (n *Node) Transaction(ctx context.Context, id string) (httpapi.Transaction, error) {
	r, err := n.find(ctx, id)
	if err != nil {
		return httpapi.Transaction{}, err
	}
	return n.transaction(ctx, r)
}

func (n *Node) find(ctx context.Context, id string) (records.Intent, error) {
	var key intent.ID
	if err := key.UnmarshalText([]byte(id)); err != nil {
		return records.Intent{}, &Refusal{CodeInvalid, "api", err}
	}
	r, err := n.records.Get(ctx, records.ID(key))
	if errors.Is(err, records.ErrNotFound) {
		return r, refuse(CodeNotFound, "api", "no intent has this id")
	}
	return r, err
}

// ListTransactions is the newest payments.
func (n *Node) ListTransactions(ctx context.Context, limit int) ([]httpapi.Transaction, error) {
	all, err := n.records.List(ctx, string(intent.ActBitcoinSpend), limit)
	out := make([]httpapi.Transaction, 0, len(all))
	for _, r := range all {
		t, terr := n.transaction(ctx, r)
		if terr != nil {
			return nil, terr
		}
		out = append(out, t)
	}
	return out, err
}

func (n *Node) transaction(ctx context.Context, r records.Intent) (httpapi.Transaction, error) {
	i, err := intent.Parse(r.Canonical)
	if err != nil {
		return httpapi.Transaction{}, err
	}
	spend, ok := i.Params.(intent.Spend)
	if !ok {
		return httpapi.Transaction{}, refuse(CodeNotFound, "api", "intent is not a payment")
	}
	out := httpapi.Transaction{ID: r.ID.String(), State: string(r.State), Reason: r.Reason, Recipient: spend.Outputs[0].Address, AmountSats: int64(spend.Outputs[0].Amount),
		FeeSats: int64(spend.Fee), TxID: r.Result, Confirmations: r.Confirmations, Attempt: int(r.Attempt), Ballots: []httpapi.Vote{}, Timeline: marks(r), CreatedUnix: r.CreatedUnix}
	for _, l := range i.Display() {
		out.Display = append(out.Display, httpapi.Field{Label: l.Label, Text: l.Text})
	}
	ballots, err := n.records.Ballots(ctx, r.ID)
	for _, b := range ballots {
		v, err := quorum.Decode[quorum.Ballot](b.Bytes)
		if err != nil {
			return out, err
		}
		out.Ballots = append(out.Ballots, httpapi.Vote{Node: n.name(v.Voter), Question: string(v.Question), Yes: v.Yes, Reason: v.Reason})
	}
	return out, err
}

func marks(r records.Intent) []httpapi.Mark {
	out := make([]httpapi.Mark, 0, len(r.Timeline))
	for _, m := range r.Timeline {
		out = append(out, httpapi.Mark{State: string(m.State), UnixMilli: m.UnixMilli})
	}
	return out
}

// Receipts is an intent and every chain about it that this node has, by party.
func (n *Node) Receipts(ctx context.Context, id string) (httpapi.Receipts, error) {
	r, err := n.find(ctx, id)
	if err != nil {
		return httpapi.Receipts{}, err
	}
	chains, err := n.records.Chains(ctx, r.ID)
	out := httpapi.Receipts{Intent: r.Canonical, Chains: []json.RawMessage{}}
	for _, e := range n.roster.Nodes {
		if chain, ok := chains[e.Party]; ok {
			out.Chains = append(out.Chains, chain)
		}
	}
	return out, err
}

// StartDKG asks for the wallet's key.
func (n *Node) StartDKG(ctx context.Context, initiator string, r httpapi.DKGRequest) (httpapi.Ceremony, error) {
	idem := idempotency(r.IdempotencyKey)
	if have, err := n.asked(ctx, initiator, idem); err == nil {
		k, err := ceremony(have)
		if err == nil && (k.Protocol != r.Protocol || k.Threshold != r.Threshold || k.Total != r.Total) {
			err = refuse(CodeConflict, "intent", "idempotency key was used for another key generation")
		}
		return k, err
	} else if !errors.Is(err, records.ErrNotFound) {
		return httpapi.Ceremony{}, err
	}
	if r.Total != len(n.roster.Nodes) {
		return httpapi.Ceremony{}, refuse(CodeInvalid, "intent", "the roster has %d nodes; a key is made among all of them", len(n.roster.Nodes))
	}
	g := intent.Generate{Protocol: r.Protocol, Suite: suites[r.Protocol], Purpose: "wallet", Threshold: r.Threshold}
	for _, e := range n.roster.Nodes {
		g.Parties = append(g.Parties, e.Party)
	}
	if err := n.checkGenerate(g); err != nil {
		return httpapi.Ceremony{}, err
	}
	stored, err := n.propose(ctx, intent.Intent{Cluster: n.roster.Cluster, Initiator: initiator, Idempotency: idem, Expires: n.expiry(), Params: g})
	if err != nil {
		return httpapi.Ceremony{}, err
	}
	return ceremony(stored)
}

// DKGStatus is the key generations, newest first.
func (n *Node) DKGStatus(ctx context.Context) ([]httpapi.Ceremony, error) {
	all, err := n.records.List(ctx, string(intent.ActKeyGenerate), 50)
	out := make([]httpapi.Ceremony, 0, len(all))
	for _, r := range all {
		k, kerr := ceremony(r)
		if kerr != nil {
			return nil, kerr
		}
		out = append(out, k)
	}
	return out, err
}

func ceremony(r records.Intent) (httpapi.Ceremony, error) {
	i, err := intent.Parse(r.Canonical)
	if err != nil {
		return httpapi.Ceremony{}, err
	}
	g, ok := i.Params.(intent.Generate)
	if !ok {
		return httpapi.Ceremony{}, refuse(CodeConflict, "intent", "idempotency key was used for another request")
	}
	return httpapi.Ceremony{ID: r.ID.String(), Protocol: g.Protocol, Suite: g.Suite, Threshold: g.Threshold, Total: len(g.Parties), State: string(r.State),
		Reason: r.Reason, GroupKey: r.Result, Timeline: marks(r), CreatedUnix: r.CreatedUnix}, nil
}

// Status is the cluster as this node sees it.
func (n *Node) Status(ctx context.Context) (httpapi.ClusterStatus, error) {
	digest, reach := n.roster.Digest(), n.connected()
	out := httpapi.ClusterStatus{Cluster: n.roster.Cluster, Epoch: n.roster.Epoch, RosterDigest: hexOf(digest[:]), Threshold: n.roster.Threshold,
		Nodes: len(n.roster.Nodes), Connected: len(reach), Quorum: len(reach) >= n.roster.Threshold, Node: n.config.Node}
	if key, err := n.walletKey(ctx); err == nil {
		out.ActiveKey = key.String()
	}
	return out, nil
}

// Nodes is every node of the roster.
func (n *Node) Nodes(context.Context) ([]httpapi.NodeStatus, error) {
	var out []httpapi.NodeStatus
	peers := n.mesh.Peers()
	for _, e := range n.roster.Nodes {
		s := httpapi.NodeStatus{ID: string(e.ID), Party: int(e.Party), Address: e.Address, Self: uint16(n.self) == e.Party}
		for _, p := range peers {
			if p.ID == e.ID {
				s.Connected, s.RTTMillis = p.Connected, float64(p.RTT)/float64(time.Millisecond)
				if p.LastError != nil && !p.Connected {
					s.LastError = p.LastError.Error()
				}
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// Ready says whether this node can take part: a quorum can be reached and the chain source answers.
func (n *Node) Ready(ctx context.Context) error {
	if reach := n.connected(); len(reach) < n.roster.Threshold {
		return refuse(CodeQuorumMissing, "ready", "%d of %d nodes can be reached", len(reach), n.roster.Threshold)
	}
	_, err := n.chain.Tip(ctx)
	return err
}
