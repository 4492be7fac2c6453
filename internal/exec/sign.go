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
	"chancery.dev/tss/frost"
)

// Held says that this node's part of an execution is done and lies in the keystore. It carries nothing secret.
type Held struct {
	Execution permit.ID
	Signers   []tss.PartyID
	packages  []*frost.SigningPackage
}

// Sign carries out one attempt at signing: fresh nonces with an agreed list of commitments, then this node's partial
// signature on every message, which goes into the keystore under the execution's id. Nothing that could complete a
// signature leaves the node here. The messages are what the caller rebuilt from the intent and its own view of the chain.
func (x *Executor) Sign(ctx context.Context, p *permit.Permit, signers []tss.PartyID, messages []frost.Message) (*Held, error) {
	leave, err := p.Use()
	if err != nil {
		return nil, err
	}
	if len(messages) == 0 || len(messages) > MaxMessages {
		return nil, &Error{Code: CodeRejected, Step: "sign", Err: fmt.Errorf("an execution signs 1 to %d messages", MaxMessages)}
	}
	x.mu.Lock()
	share, err := x.load(leave.Intent.Key)
	x.mu.Unlock()
	if err != nil {
		return nil, err
	}
	batch, err := x.nonces(ctx, leave, share, signers, len(messages))
	if err != nil {
		return nil, err
	}
	defer batch.Close()
	held := &Held{Execution: leave.Execution, Signers: slices.Clone(signers)}
	partials := make([][]byte, len(messages))
	for i, m := range messages {
		pkg, err := batch.SigningPackage(i, share.Public(), m.Bytes, m.Derivation)
		if err != nil {
			return nil, failed("sign", err)
		}
		nonces, err := batch.Take(i)
		if err != nil {
			return nil, failed("sign", err)
		}
		partial, err := share.Sign(pkg, nonces)
		if err != nil {
			return nil, failed("sign", err)
		}
		held.packages = append(held.packages, pkg)
		partials[i] = partial.Marshal()
	}
	return held, x.put(x.heldRef(leave.Intent.Key, leave.Execution), secret.New(joinPartials(partials)))
}

func (x *Executor) nonces(ctx context.Context, leave permit.Leave, share *frost.KeyShare, signers []tss.PartyID, n int) (*frost.NonceBatch, error) {
	session, err := x.session(ctx, leave, leave.Intent.Key, "sign", share.Public().Suite(), share.Public().Threshold(), signers)
	if err != nil {
		return nil, err
	}
	machine, err := frost.NewPreprocess(session, share, n, x.Notary)
	if err != nil {
		return nil, failed("sign", err)
	}
	return Drive(ctx, x.Sessions, "sign", session.ID(), machine)
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
	byMessage := make([][]frost.Partial, len(h.packages))
	for _, id := range h.Signers {
		parts, err := splitPartials(released[id], len(h.packages))
		if err != nil {
			return nil, &Error{Code: CodeRejected, Step: "publication", Retry: true, Parties: []tss.PartyID{id}, Err: err}
		}
		for i, raw := range parts {
			partial, err := frost.UnmarshalPartial(h.packages[i].Suite(), raw)
			if err != nil || partial.From() != id {
				return nil, &Error{Code: CodeRejected, Step: "publication", Retry: true, Parties: []tss.PartyID{id},
					Err: fmt.Errorf("partial signature of party %d is malformed", id)}
			}
			byMessage[i] = append(byMessage[i], partial)
		}
	}
	out := make([][]byte, len(h.packages))
	for i, pkg := range h.packages {
		sig, err := pkg.Combine(byMessage[i])
		if err != nil {
			return nil, combineFailed(err)
		}
		out[i] = sig
	}
	return out, nil
}
