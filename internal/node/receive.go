package node

import (
	"context"
	"crypto/ed25519"
	"encoding/json"

	"chancery.dev/internal/evidence"
	"chancery.dev/internal/intent"
	"chancery.dev/internal/mesh"
	"chancery.dev/internal/pki"
	"chancery.dev/internal/quorum"
	"chancery.dev/internal/records"
	"chancery.dev/tss"
)

func publicKeys(r *pki.Roster) map[uint16]ed25519.PublicKey {
	out := map[uint16]ed25519.PublicKey{}
	for _, e := range r.Nodes {
		out[e.Party] = e.PublicKey()
	}
	return out
}

// receive takes every authenticated message of the mesh. It never waits: engine messages go to their sessions, the rest to
// the course of its intent. What cannot be read is logged and dropped; the mesh has already said who sent it.
func (n *Node) receive(ctx context.Context, m mesh.Message) {
	if err := n.dispatch(ctx, m); err != nil {
		n.log.Warn("message refused", "kind", m.Kind, "from", m.From, "error", err)
	}
}

func (n *Node) dispatch(ctx context.Context, m mesh.Message) error {
	switch m.Kind {
	case mesh.Protocol:
		n.executor.Sessions.Deliver(m.Envelope)
	case kindOpen:
		if len(m.Payload) != 64 {
			return refuse(CodeInvalid, "open", "opening has %d bytes", len(m.Payload))
		}
		n.executor.Sessions.DeliverOpen(m.From, [32]byte(m.Payload[:32]), [32]byte(m.Payload[32:]))
	case kindPropose:
		return n.proposed(ctx, m.From, m.Payload)
	case kindBallot:
		b, err := quorum.Decode[quorum.Ballot](m.Payload)
		if err != nil {
			return err
		}
		n.post(b.Intent, event{from: m.From, ballot: &b})
	case kindBegin:
		v, err := decode[begin](m.Payload)
		if err != nil {
			return err
		}
		n.post(v.Intent, event{from: m.From, begin: &v})
	case kindPartials:
		v, err := decode[partials](m.Payload)
		if err != nil {
			return err
		}
		n.post(v.Intent, event{from: m.From, partials: &v})
	case kindFailed:
		v, err := decode[failure](m.Payload)
		if err != nil {
			return err
		}
		n.post(v.Intent, event{from: m.From, failure: &v})
	case kindPublished:
		v, err := decode[published](m.Payload)
		if err != nil {
			return err
		}
		n.post(v.Intent, event{from: m.From, published: &v})
	case kindReceipts:
		return n.keepReceipts(ctx, m.From, m.Payload)
	case kindPresign:
		return n.presigned(m.From, m.Payload)
	default:
		return refuse(CodeInvalid, "mesh", "kind %d is not known", m.Kind)
	}
	return nil
}

// proposed stores a peer's intent and starts its course. The id is computed here, from the bytes.
func (n *Node) proposed(ctx context.Context, from tss.PartyID, payload []byte) error {
	v, err := decode[propose](payload)
	if err != nil {
		return err
	}
	i, err := intent.Parse(v.Intent)
	if err != nil {
		return err
	}
	id := intent.IDOf(v.Intent)
	if i.Cluster != n.roster.Cluster {
		return refuse(CodeInvalid, "intent", "intent is for another cluster")
	}
	if now := n.now(); !now.Before(i.Expires) || i.Expires.Sub(now) > maxLifetime {
		return refuse(CodeExpired, "intent", "intent has expired, or lives too long")
	}
	_, created, err := n.records.Create(ctx, n.newRecord(i, id, v.Intent, false))
	if err != nil {
		return err
	}
	if !created {
		return nil // it is under way or over; resume takes care of restarts
	}
	return n.start(i, id, from)
}

func (n *Node) newRecord(i intent.Intent, id intent.ID, canonical []byte, coordinator bool) records.Intent {
	now := n.now()
	return records.Intent{ID: records.ID(id), Act: string(i.Act()), Initiator: i.Initiator, Idempotency: i.Idempotency, Canonical: canonical,
		State: records.Collecting, Coordinator: coordinator, CreatedUnix: now.Unix(), UpdatedUnix: now.Unix(),
		Timeline: []records.Mark{{State: records.Collecting, UnixMilli: now.UnixMilli()}}}
}

// keepReceipts stores a peer's chain after verifying it, and only as that peer's own.
func (n *Node) keepReceipts(ctx context.Context, from tss.PartyID, payload []byte) error {
	v, err := decode[receipts](payload)
	if err != nil {
		return err
	}
	list, err := v.Chain.Verify(n.electorate)
	if err != nil {
		return err
	}
	if list[0].Node != uint16(from) || list[0].Intent != v.Intent {
		return refuse(CodeInvalid, "receipts", "chain is of another node or intent")
	}
	return n.storeChain(ctx, v.Intent, uint16(from), v.Chain)
}

func (n *Node) storeChain(ctx context.Context, id intent.ID, node uint16, chain evidence.Chain) error {
	raw, err := json.Marshal(chain)
	if err != nil {
		return err
	}
	return n.records.PutChain(ctx, records.ID(id), node, len(chain), raw)
}

// receipt signs this node's next receipt about an intent, stores it and shows it to the others.
func (n *Node) receipt(ctx context.Context, c *course, step evidence.Step, detail map[string]string, cert *quorum.Certificate) {
	w := evidence.Writer{Cluster: n.electorate.Cluster, Epoch: n.electorate.Epoch, Node: uint16(n.self), Signer: n.signer, Now: n.now}
	chain, err := w.Append(c.chain, c.id, step, detail, cert)
	if err == nil {
		err = n.storeChain(context.WithoutCancel(ctx), c.id, uint16(n.self), chain)
	}
	if err != nil {
		n.log.Error("receipt not written", "intent", c.id, "step", step, "error", err)
		return
	}
	c.chain = chain
	if payload, err := encode(receipts{c.id, chain}); err == nil {
		n.broadcast(ctx, kindReceipts, payload)
	}
}

// restoreChain continues the chain that is stored, after a restart.
func (n *Node) restoreChain(ctx context.Context, c *course) error {
	chains, err := n.records.Chains(ctx, records.ID(c.id))
	if err != nil || chains[uint16(n.self)] == nil {
		return err
	}
	return json.Unmarshal(chains[uint16(n.self)], &c.chain)
}
