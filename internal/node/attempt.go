package node

import (
	"context"
	"slices"

	"chancery.dev/internal/evidence"
	"chancery.dev/internal/exec"
	"chancery.dev/internal/intent"
	"chancery.dev/internal/records"
	"chancery.dev/tss"
)

// attempt is one execution under way on this node. Its goroutine writes held, key and err and then closes done; nobody
// reads them before.
type attempt struct {
	begin
	cancel context.CancelFunc
	done   chan struct{}
	held   *exec.Held // bitcoin.spend
	key    exec.Key   // key.generate
	err    error
}

// execute gets a permit for the attempt, burned before anything secret is touched, and starts the execution.
func (n *Node) execute(ctx context.Context, c *course, b begin) (*attempt, error) {
	signers := make([]tss.PartyID, len(b.Signers))
	for i, p := range b.Signers {
		signers[i] = tss.PartyID(p)
	}
	if !slices.IsSorted(signers) || !slices.Contains(signers, n.self) {
		return nil, refuse(CodeInvalid, "permit", "call is not for this node, or its signers are out of order")
	}
	p, err := n.office.Grant(c.intent, b.Certificate, b.Attempt, n.now())
	if err != nil {
		return nil, err
	}
	id := p.ID()
	n.receipt(ctx, c, evidence.StepPermit, map[string]string{"permit": hexOf(id[:]), "attempt": itoa(b.Attempt)}, nil)
	if _, err := n.advance(ctx, c.id, records.Executing, func(r *records.Intent) { r.Attempt = b.Attempt }); err != nil {
		return nil, err
	}
	var messages []exec.Message
	if c.intent.Act() == intent.ActBitcoinSpend {
		if err := n.check(ctx, c); err != nil { // the chain may have moved since the vote
			return nil, err
		}
		if _, _, messages, err = n.rebuild(ctx, c); err != nil {
			return nil, err
		}
		if err := assign(messages, b.Presignatures); err != nil {
			return nil, &Refusal{CodeInvalid, "permit", err}
		}
	}
	running, cancel := context.WithTimeout(ctx, n.timeoutOf(c.intent))
	a := &attempt{begin: b, cancel: cancel, done: make(chan struct{})}
	n.wait.Add(1)
	go func() {
		defer n.wait.Done()
		defer close(a.done)
		defer cancel()
		if c.intent.Act() == intent.ActKeyGenerate {
			a.key, a.err = n.executor.Generate(running, p)
		} else {
			a.held, a.err = n.executor.Sign(running, p, signers, messages)
		}
	}()
	return a, nil
}

// stop ends an attempt, waits for it, and destroys what it held. It may be called on nil.
func (n *Node) stop(c *course, a *attempt) {
	if a == nil {
		return
	}
	a.cancel()
	<-a.done
	id := n.office.IDFor(c.id, a.Attempt)
	if err := n.executor.Destroy(c.intent.Key, id); err != nil {
		n.log.Error("held partials not destroyed", "intent", c.id, "error", err)
	}
}

// letGo is the publication gate: what this node held, for the publisher, if the certificate answers the release question.
func (n *Node) letGo(ctx context.Context, c *course, a *attempt) ([]byte, error) {
	if _, err := n.advance(ctx, c.id, records.Held, nil); err != nil {
		return nil, err
	}
	n.receipt(ctx, c, evidence.StepHeld, map[string]string{"permit": hexOf(a.held.Execution[:])}, nil)
	return n.executor.Release(n.electorate, a.Certificate, exec.ReleaseOrder{Intent: c.id, Key: c.intent.Key, Execution: a.held.Execution, Now: n.now()})
}

// activated records a key that passed its test signature.
func (n *Node) activated(ctx context.Context, c *course, a *attempt) error {
	key := hexOf(a.key.GroupKey())
	n.receipt(ctx, c, evidence.StepHeld, map[string]string{"test_signature": "passed"}, nil)
	if _, err := n.advance(ctx, c.id, records.Confirmed, func(r *records.Intent) { r.Result = key }); err != nil {
		return err
	}
	n.receipt(ctx, c, evidence.StepPublication, map[string]string{"group_key": key, "suite": a.key.Suite()}, nil)
	n.log.Info("key is active", "key", c.id, "group_key", key)
	return nil
}
