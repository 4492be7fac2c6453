package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"chancery.dev/internal/exec"
	"chancery.dev/internal/intent"
	"chancery.dev/internal/permit"
	"chancery.dev/internal/quorum"
	"chancery.dev/internal/records"
	"chancery.dev/internal/wallet"
	"chancery.dev/tss"
)

// lead drives an intent from its certificate to its publication. Each attempt has fresh one-time material and a permit of
// its own; parties that an attempt failed over are left out of the next one, as long as enough are left.
func (n *Node) lead(ctx context.Context, c *course, cert quorum.Certificate) error {
	r, err := n.records.Get(ctx, records.ID(c.id))
	if err != nil {
		return err
	}
	if len(r.Raw) > 0 { // combined before a restart
		return n.publish(ctx, c, r.Raw)
	}
	c.caller = n.self
	without := map[tss.PartyID]bool{}
	for number := r.Attempt + 1; ; number++ {
		if number > permit.MaxAttempts {
			return n.giveUp(c, refuse(exec.CodeTimeout, "execution", "%d attempts failed", permit.MaxAttempts))
		}
		signers, err := n.choose(ctx, c, cert, without)
		if err != nil {
			return n.giveUp(c, err)
		}
		b := begin{Intent: c.id, Attempt: number, Signers: signers, Certificate: cert}
		if number == r.Attempt+1 { // once: when the pool fails an attempt, the next one does without
			b.Presignatures = n.fromStock(c, signers)
		}
		raw, err := n.tryOnce(ctx, c, b)
		if err == nil && raw == nil {
			return nil // a key is active; nothing is published
		}
		if err == nil {
			n.noteUse()
			return n.publish(ctx, c, raw)
		}
		n.log.Warn("attempt failed", "intent", c.id, "attempt", number, "error", err)
		var ex *exec.Error
		if ctx.Err() != nil || !errors.As(err, &ex) || !ex.Retry {
			return n.giveUp(c, err)
		}
		for _, p := range ex.Parties {
			without[p] = true
		}
		if _, err := n.advance(ctx, c.id, records.Admitted, nil); err != nil {
			return err
		}
	}
}

// giveUp tells the others that no further call will come.
func (n *Node) giveUp(c *course, err error) error {
	if n.ctx.Err() == nil {
		if payload, encodeErr := encode(failure{Intent: c.id, Code: codeOf(err)}); encodeErr == nil {
			n.broadcast(n.ctx, kindFailed, payload)
		}
	}
	return err
}

// choose names the signers of an attempt: everybody for a new key; for a signature this node and then, by number, nodes
// that said yes, can be reached and have not failed, as many as the threshold.
func (n *Node) choose(ctx context.Context, c *course, cert quorum.Certificate, without map[tss.PartyID]bool) ([]uint16, error) {
	if g, ok := c.intent.Params.(intent.Generate); ok {
		waiting, cancel := context.WithTimeout(ctx, n.attemptTimeout())
		defer cancel()
		if err := n.mesh.WaitConnected(waiting, len(g.Parties)-1); err != nil {
			n.log.Warn("key generation lacks nodes", "error", err)
		}
		reach := n.connected()
		for _, p := range g.Parties {
			if !slices.Contains(reach, tss.PartyID(p)) || without[tss.PartyID(p)] {
				return nil, &exec.Error{Code: exec.CodeTimeout, Step: "keygen", Parties: []tss.PartyID{tss.PartyID(p)},
					Err: errors.New("every node must take part in a key generation; " + n.name(p) + " does not answer")}
			}
		}
		return g.Parties, nil
	}
	public, err := n.executor.Load(c.intent.Key)
	if err != nil {
		return nil, err
	}
	if signers := n.stocked(c, without); signers != nil {
		return signers, nil
	}
	willing := []uint16{uint16(n.self)}
	for _, v := range c.tally.Ballots() {
		if v.Yes && !without[tss.PartyID(v.Voter)] && !slices.Contains(willing, v.Voter) {
			willing = append(willing, v.Voter)
		}
	}
	return n.reachable(ctx, willing, public.Threshold())
}

// reachable is the first willing parties, as many as needed. Links that are down may come up in a moment, as after this
// node's restart; it waits for them no longer than for a silent signer.
func (n *Node) reachable(ctx context.Context, willing []uint16, needed int) ([]uint16, error) {
	waiting, cancel := context.WithTimeout(ctx, n.attemptTimeout())
	defer cancel()
	for links := needed - 1; ; links++ {
		var err error
		if len(willing) >= needed {
			err = n.mesh.WaitConnected(waiting, links)
		}
		reach := n.connected()
		signers := slices.DeleteFunc(slices.Clone(willing), func(p uint16) bool { return !slices.Contains(reach, tss.PartyID(p)) })
		if len(signers) >= needed {
			signers = signers[:needed]
			slices.Sort(signers)
			return signers, nil
		}
		if err != nil || len(willing) < needed {
			return nil, refuse(CodeQuorumMissing, "execution", "%d of %d signers can be reached", len(signers), needed)
		}
	}
}

// tryOnce is one attempt: call the signers, execute with them, collect what their gates let go, combine and verify. For a
// new key it ends with the key active here, and no transaction.
func (n *Node) tryOnce(ctx context.Context, c *course, b begin) ([]byte, error) {
	payload, err := encode(b)
	if err != nil {
		return nil, err
	}
	a, err := n.execute(ctx, c, b)
	if err != nil {
		return nil, err
	}
	defer n.stop(c, a)
	n.broadcast(ctx, kindBegin, payload)
	released, err := n.collect(ctx, c, a)
	if err != nil || a.key != nil {
		return nil, err
	}
	account, spend, _, err := n.rebuild(ctx, c)
	if err != nil {
		return nil, err
	}
	signatures, err := a.held.Combine(released)
	if err != nil {
		n.accuse(c, err)
		return nil, err
	}
	raw, txid, err := account.Attach(spend, signatures)
	if err != nil {
		return nil, err
	}
	_, err = n.advance(ctx, c.id, records.Held, func(r *records.Intent) { r.Raw, r.Result = raw, string(txid) })
	return raw, err
}

// collect waits for this node's own execution, which has a limit of its own and knows who is silent, and then as long for
// the partials of the other signers.
func (n *Node) collect(ctx context.Context, c *course, a *attempt) (map[tss.PartyID][]byte, error) {
	released := map[tss.PartyID][]byte{}
	waiting, running := ctx, a
	for running != nil || a.key == nil && len(released) < len(a.Signers) {
		e, ended, err := c.await(waiting, running)
		switch {
		case err != nil:
			return nil, &exec.Error{Code: exec.CodeTimeout, Step: "publication", Retry: true, Parties: missing(a.Signers, released, n.self), Err: err}
		case ended:
			running = nil
			if a.err != nil {
				n.accuse(c, a.err)
				return nil, a.err
			}
			limited, cancel := context.WithTimeout(ctx, n.attemptTimeout())
			defer cancel()
			waiting = limited
			if a.key != nil {
				return nil, n.activated(ctx, c, a)
			}
			if released[n.self], err = n.letGo(ctx, c, a); err != nil {
				return nil, err
			}
		case e.partials != nil && e.partials.Attempt == a.Attempt && partyIn(a.Signers, e.from):
			released[e.from] = e.partials.Data
		case e.failure != nil && e.failure.Attempt == a.Attempt && partyIn(a.Signers, e.from):
			return nil, n.reported(e)
		case e.ballot != nil:
			n.keep(ctx, c, e.from, *e.ballot)
		}
	}
	return released, nil
}

// reported turns a signer's report into a reason to try without somebody: whom it names, or itself when it names nobody
// else. Nobody is blamed by a report.
func (n *Node) reported(e event) error {
	ex := &exec.Error{Code: codeFrom(e.failure.Code), Step: "execution", Retry: true, Err: errors.New("a signer could not go on")}
	for _, p := range e.failure.Without[:min(len(e.failure.Without), len(n.roster.Nodes))] {
		if tss.PartyID(p) != n.self {
			ex.Parties = append(ex.Parties, tss.PartyID(p))
		}
	}
	if len(ex.Parties) == 0 {
		ex.Parties = []tss.PartyID{e.from}
	}
	return ex
}

func missing(signers []uint16, released map[tss.PartyID][]byte, self tss.PartyID) []tss.PartyID {
	var out []tss.PartyID
	for _, s := range signers {
		if _, have := released[tss.PartyID(s)]; !have && tss.PartyID(s) != self {
			out = append(out, tss.PartyID(s))
		}
	}
	return out
}

// publishRetry is the pause between tries to reach the chain source.
const publishRetry = 2 * time.Second

// publish hands the signed transaction to the chain source, until it has it or the intent ends, and tells the others. The
// same transaction may be handed in many times: it is one transaction.
func (n *Node) publish(ctx context.Context, c *course, raw []byte) error {
	for {
		txid, err := n.chain.Broadcast(ctx, raw)
		if err == nil {
			if err := n.recordPublished(ctx, c, raw, txid); err != nil {
				return err
			}
			if payload, err := encode(published{Intent: c.id, Raw: raw}); err == nil {
				n.broadcast(ctx, kindPublished, payload)
			}
			return nil
		}
		var refused *wallet.Error
		if errors.As(err, &refused) && refused.Code == wallet.CodeRejected {
			return err
		}
		n.log.Warn("transaction not handed in", "intent", c.id, "error", err)
		timer := time.NewTimer(publishRetry)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}
