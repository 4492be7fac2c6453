package exec

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"chancery.dev/internal/intent"
	"chancery.dev/internal/keystore"
	"chancery.dev/internal/permit"
	"chancery.dev/internal/quorum"
	"chancery.dev/internal/secret"
	"chancery.dev/tss"
)

// Held says that this node's part of an execution is done and lies in the keystore. It carries nothing secret.
type Held struct {
	Execution permit.ID
	Signers   []tss.PartyID
	joiners   []joiner // by message
}

// Sign carries out one attempt at signing: fresh one-time material with the other signers, then this node's partial
// signature on every message, which goes into the keystore under the execution's id. Nothing that could complete a
// signature leaves the node here. The messages are what the caller rebuilt from the intent and its own view of the chain.
func (x *Executor) Sign(ctx context.Context, p *permit.Permit, signers []tss.PartyID, messages []Message) (*Held, error) {
	leave, err := p.Use()
	if err != nil {
		return nil, err
	}
	if len(messages) == 0 || len(messages) > MaxMessages {
		return nil, &Error{Code: CodeRejected, Step: "sign", Err: fmt.Errorf("an execution signs 1 to %d messages", MaxMessages)}
	}
	x.mu.Lock()
	key, err := x.load(leave.Intent.Key)
	x.mu.Unlock()
	if err != nil {
		return nil, err
	}
	joiners, partials, err := key.sign(ctx, x, leave, signers, messages)
	if err != nil {
		return nil, err
	}
	held := &Held{Execution: leave.Execution, Signers: slices.Clone(signers), joiners: joiners}
	return held, x.put(x.heldRef(leave.Intent.Key, leave.Execution), secret.New(joinPartials(partials)))
}

func (x *Executor) heldRef(key intent.KeyID, execution permit.ID) keystore.Ref {
	return x.ref(keystore.KindHeldPartial, key, fmt.Sprintf("%x", execution))
}

// ReleaseOrder names what is to be released, and when it is asked.
type ReleaseOrder struct {
	Intent    intent.ID
	Key       intent.KeyID
	Execution permit.ID
	Now       time.Time
}

// Release is the publication gate. With a certificate that answers the release question it takes this node's held
// partials out of the keystore, once, for the publisher. Without one it says PUBLICATION_DENIED and leaves them where
// they are.
func (x *Executor) Release(e quorum.Electorate, c quorum.Certificate, order ReleaseOrder) ([]byte, error) {
	if err := e.VerifyCertificate(c, order.Intent, quorum.Release, order.Now); err != nil {
		return nil, &Error{Code: CodeNoRelease, Step: "release", Err: err}
	}
	taken, err := x.Vault.Take(x.heldRef(order.Key, order.Execution))
	if err != nil {
		return nil, &Error{Code: CodeNoRelease, Step: "release", Err: err}
	}
	defer taken.Erase()
	return slices.Clone(taken.Reveal()), nil
}

// Destroy erases held partials whose release was denied or whose attempt is over.
func (x *Executor) Destroy(key intent.KeyID, execution permit.ID) error {
	taken, err := x.Vault.Take(x.heldRef(key, execution))
	if errors.Is(err, keystore.ErrNotFound) || errors.Is(err, keystore.ErrConsumed) {
		return nil
	}
	if err != nil {
		return failed("release", err)
	}
	taken.Erase()
	return nil
}

// Combine is the publisher's work: it joins the released partials of every signer, message by message. A partial that
// does not fit convicts its signer. Each signature is verified under the derived key before it is returned.
func (h *Held) Combine(released map[tss.PartyID][]byte) ([][]byte, error) {
	byMessage := make([][][]byte, len(h.joiners))
	for _, id := range h.Signers {
		parts, err := splitPartials(released[id], len(h.joiners))
		if err != nil {
			return nil, malformed(id)
		}
		for i, raw := range parts {
			byMessage[i] = append(byMessage[i], raw)
		}
	}
	out := make([][]byte, len(h.joiners))
	for i, j := range h.joiners {
		var err error
		if out[i], err = j.join(h.Signers, byMessage[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}
