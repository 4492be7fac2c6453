package node

import (
	"context"
	"errors"
	"strconv"
	"time"

	"chancery.dev/internal/evidence"
	"chancery.dev/internal/exec"
	"chancery.dev/internal/intent"
	"chancery.dev/internal/records"
	"chancery.dev/internal/wallet"
	"chancery.dev/tss"
)

func itoa(v uint32) string { return strconv.FormatUint(uint64(v), 10) }

func (n *Node) attemptTimeout() time.Duration { return time.Duration(n.config.Road.AttemptTimeout) }

// timeoutOf is how long one execution of an intent may take: making an ECDSA key takes every node its primes.
func (n *Node) timeoutOf(i intent.Intent) time.Duration {
	if g, ok := i.Params.(intent.Generate); ok && g.Protocol == exec.ProtocolCGGMP24 {
		return 2*exec.CeremonyTimeout + n.attemptTimeout()
	}
	return n.attemptTimeout()
}

// follow is a node's part in an intent that another node drives: it executes when it is called, lets its part go when the
// gate allows it, and checks what was published.
func (n *Node) follow(ctx context.Context, c *course) error {
	var a *attempt
	defer func() { n.stop(c, a) }()
	for {
		e, ended, err := c.await(ctx, a)
		if err != nil {
			return refuse(CodeExpired, "execution", "intent expired before it was carried out: %w", err)
		}
		switch {
		case ended:
			done, err := n.finishFollower(ctx, c, a)
			a = nil
			if done || err != nil {
				return err
			}
		case e.begin != nil && (c.coordinator == 0 || e.from == c.coordinator):
			if a != nil && e.begin.Attempt <= a.Attempt {
				continue // an old call, or the same one again
			}
			n.stop(c, a)
			a = nil
			if _, err := n.advance(ctx, c.id, records.Admitted, nil); err != nil { // back from what the attempt before came to
				return err
			}
			c.caller = e.from
			if a, err = n.execute(ctx, c, *e.begin); err != nil {
				n.report(c, e.begin.Attempt, err)
			}
		case e.published != nil:
			done, err := n.confirmPublished(ctx, c, e.published.Raw)
			if done || err != nil {
				return err
			}
		case e.failure != nil && e.from == c.coordinator && e.failure.Attempt == 0:
			return refuse(codeFrom(e.failure.Code), "execution", "the coordinator gave up")
		case e.ballot != nil:
			n.keep(ctx, c, e.from, *e.ballot)
		}
	}
}

// codeFrom bounds a reason code that a peer sent.
func codeFrom(s string) string {
	if len(s) == 0 || len(s) > 64 {
		return CodeInternal
	}
	return s
}

// await is the next event, or the end of the attempt.
func (c *course) await(ctx context.Context, a *attempt) (e event, ended bool, err error) {
	var done chan struct{}
	if a != nil {
		done = a.done
	}
	if len(c.later) > 0 {
		e, err = c.next(ctx)
		return e, false, err
	}
	select {
	case e = <-c.events:
		return e, false, nil
	case <-done:
		return event{}, true, nil
	case <-ctx.Done():
		return event{}, false, ctx.Err()
	}
}

// finishFollower looks at how this node's own execution ended. It says whether the intent is over.
func (n *Node) finishFollower(ctx context.Context, c *course, a *attempt) (bool, error) {
	if a.err != nil {
		n.log.Warn("execution failed", "intent", c.id, "attempt", a.Attempt, "error", a.err)
		n.accuse(c, a.err)
		n.report(c, a.Attempt, a.err)
		n.stop(c, a)
		return false, nil
	}
	if a.key != nil {
		return true, n.activated(ctx, c, a)
	}
	data, err := n.letGo(ctx, c, a)
	if err != nil {
		n.report(c, a.Attempt, err)
		n.stop(c, a)
		return false, err
	}
	payload, err := encode(partials{Intent: c.id, Attempt: a.Attempt, Data: data})
	if err != nil {
		return false, err
	}
	n.tell(c.caller, kindPartials, payload)
	return false, nil
}

// report tells the coordinator that this node's attempt is over, so that it need not wait.
func (n *Node) report(c *course, attempt uint32, err error) {
	f := failure{Intent: c.id, Attempt: attempt, Code: codeOf(err)}
	var ex *exec.Error
	if errors.As(err, &ex) {
		for _, p := range ex.Parties {
			f.Without = append(f.Without, uint16(p))
		}
	}
	if payload, err := encode(f); err == nil && c.caller != 0 {
		n.tell(c.caller, kindFailed, payload)
	}
}

// confirmPublished checks a signed transaction that a peer says was published: it must be the agreed one, and every
// signature must verify. One that does not is no reason to stop waiting.
func (n *Node) confirmPublished(ctx context.Context, c *course, raw []byte) (bool, error) {
	if c.intent.Act() != intent.ActBitcoinSpend {
		return false, nil
	}
	account, spend, _, err := n.rebuild(ctx, c)
	if err != nil {
		return false, err
	}
	txid, err := account.Verify(spend, raw)
	if err != nil {
		n.log.Warn("published transaction refused", "intent", c.id, "error", err)
		return false, nil
	}
	return true, n.recordPublished(ctx, c, raw, txid)
}

func (n *Node) recordPublished(ctx context.Context, c *course, raw []byte, txid wallet.TxID) error {
	if _, err := n.advance(ctx, c.id, records.Published, func(r *records.Intent) { r.Raw, r.Result = raw, string(txid) }); err != nil {
		return err
	}
	if n.mayPublish(c) {
		n.receipt(ctx, c, evidence.StepPublication, map[string]string{"txid": string(txid)}, nil)
	}
	return nil
}

// mayPublish says whether a publication can follow what this node's chain ends with. A node that had a permit and held
// nothing, because its attempt failed or it was stopped, has no part in what others published: its chain ends there.
func (n *Node) mayPublish(c *course) bool {
	if len(c.chain) == 0 {
		return false
	}
	last, err := c.chain[len(c.chain)-1].Open(n.electorate)
	return err == nil && (last.Step == evidence.StepHeld || last.Step == evidence.StepAdmission)
}

// partyIn says whether a party is in a list.
func partyIn(list []uint16, p tss.PartyID) bool {
	for _, other := range list {
		if other == uint16(p) {
			return true
		}
	}
	return false
}
