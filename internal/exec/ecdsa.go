package exec

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chancery.dev/internal/arith"
	"chancery.dev/internal/intent"
	"chancery.dev/internal/keystore"
	"chancery.dev/internal/permit"
	"chancery.dev/tss"
	"chancery.dev/tss/cggmp24"
)

// ecdsaKey is a CGGMP24 key: a share and the auxiliary information that goes with it.
type ecdsaKey struct {
	*cggmp24.KeyShare
	aux *cggmp24.Aux
}

func (ecdsaKey) Protocol() string      { return ProtocolCGGMP24 }
func (ecdsaKey) Suite() string         { return cggmp24.Suite }
func (k ecdsaKey) Threshold() int      { return k.Public().Threshold() }
func (k ecdsaKey) GroupKey() []byte    { return k.Public().GroupKey() }
func (k ecdsaKey) ChainCode() [32]byte { return k.Public().ChainCode() }

func (k ecdsaKey) VerifyingKey(path []uint32) ([]byte, error) { return k.Public().DerivedKey(path) }

// Names of the values of an ECDSA key in the keystore.
const (
	ecdsaShare = "cggmp24/share"
	ecdsaAux   = "cggmp24/aux"
)

func (x *Executor) loadECDSA(key intent.KeyID) (share, error) {
	stored, err := x.Vault.Get(x.ref(keystore.KindShare, key, ecdsaShare))
	if err != nil {
		return nil, err
	}
	defer stored.Erase()
	s, err := cggmp24.UnmarshalKeyShare(stored.Reveal())
	if err != nil {
		return nil, fmt.Errorf("stored share: %w", err)
	}
	raw, err := x.Vault.Get(x.ref(keystore.KindShare, key, ecdsaAux))
	if err != nil {
		return nil, err
	}
	defer raw.Erase()
	aux, err := cggmp24.UnmarshalAux(raw.Reveal())
	if err != nil {
		return nil, fmt.Errorf("stored auxiliary information: %w", err)
	}
	if aux.Party() != s.Party() {
		return nil, errors.New("stored auxiliary information is of another party")
	}
	return ecdsaKey{s, aux}, nil
}

// generateECDSA is key generation, safe primes, auxiliary information, and test signatures in which every party signs at
// least once; only then the share is the active one.
func (x *Executor) generateECDSA(ctx context.Context, leave permit.Leave, key intent.KeyID, g intent.Generate, ids []tss.PartyID) error {
	if g.Suite != cggmp24.Suite {
		return &Error{Code: CodeRejected, Step: "keygen", Err: errors.New("suite is not known")}
	}
	session, err := x.session(ctx, leave, key, "keygen", cggmp24.Suite, g.Threshold, ids)
	if err != nil {
		return err
	}
	machine, err := cggmp24.NewKeygen(session, x.Notary)
	if err != nil {
		return failed("keygen", err)
	}
	s, err := Drive(ctx, x.Sessions, "keygen", session.ID(), machine)
	if err != nil {
		return err
	}
	aux, err := x.auxiliary(ctx, leave, key, g.Threshold, ids)
	if err != nil {
		s.Close()
		return err
	}
	k := ecdsaKey{s, aux}
	defer k.Close()
	if err := x.testECDSA(ctx, leave, key, k, ids); err != nil {
		return err
	}
	if err := x.put(x.ref(keystore.KindShare, key, ecdsaAux), aux.Marshal()); err != nil {
		return err
	}
	return x.put(x.ref(keystore.KindShare, key, ecdsaShare), s.Marshal()) // last: without it the key is not active
}

// auxiliary makes this node's primes, which takes seconds and not the same for all, and then the auxiliary information.
func (x *Executor) auxiliary(ctx context.Context, leave permit.Leave, key intent.KeyID, threshold int, ids []tss.PartyID) (*cggmp24.Aux, error) {
	began := time.Now()
	var primes cggmp24.Primes
	defer func() { primes.Erase() }()
	for _, p := range []**arith.Int{&primes.P, &primes.Q, &primes.PHat, &primes.QHat} {
		var err error
		if *p, err = arith.SafePrime(ctx, cggmp24.PrimeBits()); err != nil {
			return nil, &Error{Code: CodeTimeout, Step: "primes", Retry: true, Err: err}
		}
	}
	if x.Sessions.Observe != nil {
		x.Sessions.Observe("primes", time.Since(began))
	}
	session, err := x.sessionWithin(ctx, CeremonyTimeout, leave, key, "aux", cggmp24.Suite, threshold, ids)
	if err != nil {
		return nil, err
	}
	machine, err := cggmp24.NewAuxiliary(session, primes, x.Notary)
	if err != nil {
		return nil, failed("aux", err)
	}
	return DriveWithin(ctx, CeremonyTimeout, x.Sessions, "aux", session.ID(), machine)
}

// testECDSA signs a message that can be nothing else, by the first threshold parties and by the last.
func (x *Executor) testECDSA(ctx context.Context, leave permit.Leave, key intent.KeyID, k ecdsaKey, ids []tss.PartyID) error {
	message := testMessage(key, k.Public().Marshal())
	for i, signers := range [][]tss.PartyID{ids[:k.Threshold()], ids[len(ids)-k.Threshold():]} {
		purpose := fmt.Sprintf("test-signature/%d", i)
		if !contains(signers, x.Self) {
			continue
		}
		joiner, partial, err := k.signOne(ctx, x, leave, key, purpose, signers, Message{Bytes: message[:]})
		if err != nil {
			return err
		}
		// Each signer sees that its own partial signature fits; all of them together are then right.
		if err := joiner.Verify(partial); err != nil {
			return failed(purpose, err)
		}
	}
	return nil
}

func contains(ids []tss.PartyID, id tss.PartyID) bool {
	for _, other := range ids {
		if other == id {
			return true
		}
	}
	return false
}

// sign signs each message, with a presignature of the pool or in one go. In one go the presignature is made for this
// execution, after its request is fixed, and never leaves memory.
func (k ecdsaKey) sign(ctx context.Context, x *Executor, leave permit.Leave, signers []tss.PartyID, messages []Message) ([]joiner, [][]byte, error) {
	joiners, partials := make([]joiner, len(messages)), make([][]byte, len(messages))
	for i, m := range messages {
		j, partial, err := k.signOne(ctx, x, leave, leave.Intent.Key, fmt.Sprintf("sign/%d", i), signers, m)
		if err != nil {
			return nil, nil, err
		}
		joiners[i], partials[i] = ecdsaJoiner{j}, partial.Marshal()
	}
	return joiners, partials, nil
}

func (k ecdsaKey) signOne(ctx context.Context, x *Executor, leave permit.Leave, key intent.KeyID, purpose string, signers []tss.PartyID, m Message) (*cggmp24.Combiner, cggmp24.Partial, error) {
	session, presignature, err := k.presignature(ctx, x, leave, key, purpose, signers, m)
	if err != nil {
		return nil, cggmp24.Partial{}, err
	}
	defer presignature.Close()
	began := time.Now()
	partial, combiner, err := presignature.Sign(cggmp24.Request{Session: session.ID(), Hash: cggmp24.DoubleSHA256, Message: m.Bytes, Path: m.Path})
	if err != nil {
		return nil, cggmp24.Partial{}, failed(purpose, err)
	}
	if x.Sessions.Observe != nil {
		x.Sessions.Observe(purpose+" online", time.Since(began))
	}
	return combiner, partial, nil
}

// presignature is the one to sign with, and the session that re-randomises it: its id holds randomness that every signer
// drew after the request was fixed. One of the pool is taken before the session is opened, so a failure spends it.
func (k ecdsaKey) presignature(ctx context.Context, x *Executor, leave permit.Leave, key intent.KeyID, purpose string, signers []tss.PartyID, m Message) (tss.Session, *cggmp24.Presignature, error) {
	if m.Presignature != nil {
		p, err := x.fromPool(k, key, signers, *m.Presignature)
		if err != nil {
			return tss.Session{}, nil, err
		}
		session, err := x.session(ctx, leave, key, purpose+"/online", cggmp24.Suite, k.Threshold(), signers)
		if err != nil {
			p.Close()
		}
		return session, p, err
	}
	session, err := x.session(ctx, leave, key, purpose, cggmp24.Suite, k.Threshold(), signers)
	if err != nil {
		return session, nil, err
	}
	machine, err := cggmp24.NewPresign(session, k.KeyShare, k.aux, x.Notary)
	if err != nil {
		return session, nil, failed(purpose, err)
	}
	p, err := Drive(ctx, x.Sessions, purpose, session.ID(), machine)
	return session, p, err
}

type ecdsaJoiner struct{ *cggmp24.Combiner }

func (j ecdsaJoiner) join(signers []tss.PartyID, raw [][]byte) ([]byte, error) {
	partials := make([]cggmp24.Partial, len(raw))
	for i, b := range raw {
		partial, err := cggmp24.UnmarshalPartial(b)
		if err != nil || partial.From() != signers[i] {
			return nil, malformed(signers[i])
		}
		partials[i] = partial
	}
	sig, err := j.Combine(partials)
	if err != nil {
		return nil, combineFailed(err)
	}
	return sig.RS[:], nil
}
