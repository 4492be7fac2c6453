package exec

import (
	"context"
	"fmt"

	"chancery.dev/internal/intent"
	"chancery.dev/internal/keystore"
	"chancery.dev/internal/permit"
	"chancery.dev/internal/transcript"
	"chancery.dev/tss"
	"chancery.dev/tss/frost"
)

// schnorrKey is a FROST key; its signatures are for Taproot outputs, by the key path, tweaked as BIP86 says.
type schnorrKey struct{ *frost.KeyShare }

func (schnorrKey) Protocol() string      { return ProtocolFROST }
func (k schnorrKey) Suite() string       { return k.Public().Suite().Name() }
func (k schnorrKey) Threshold() int      { return k.Public().Threshold() }
func (k schnorrKey) GroupKey() []byte    { return k.Public().GroupKey() }
func (k schnorrKey) ChainCode() [32]byte { return k.Public().ChainCode() }

func (k schnorrKey) VerifyingKey(path []uint32) ([]byte, error) {
	return k.Public().DerivedKey(frost.Derivation{Path: path, Taproot: true})
}

// loadSchnorr reads a stored FROST share.
func (x *Executor) loadSchnorr(key intent.KeyID) (share, error) {
	stored, err := x.Vault.Get(x.ref(keystore.KindShare, key, "share"))
	if err != nil {
		return nil, err
	}
	defer stored.Erase()
	s, err := frost.UnmarshalKeyShare(stored.Reveal())
	if err != nil {
		return nil, fmt.Errorf("stored share: %w", err)
	}
	return schnorrKey{s}, nil
}

// generateSchnorr is distributed key generation, a test signature by all parties, and only then the active share.
func (x *Executor) generateSchnorr(ctx context.Context, leave permit.Leave, key intent.KeyID, g intent.Generate, ids []tss.PartyID) error {
	suite, err := frost.SuiteByName(g.Suite)
	if err != nil {
		return &Error{Code: CodeRejected, Step: "keygen", Err: err}
	}
	session, err := x.session(ctx, leave, key, "keygen", suite.Name(), g.Threshold, ids)
	if err != nil {
		return err
	}
	machine, err := frost.NewDKG(session, suite, x.Notary)
	if err != nil {
		return failed("keygen", err)
	}
	s, err := Drive(ctx, x.Sessions, "keygen", session.ID(), machine)
	if err != nil {
		return err
	}
	defer s.Close()
	pending := x.ref(keystore.KindPendingShare, key, fmt.Sprintf("share/%d", leave.Attempt))
	if err := x.put(pending, s.Marshal()); err != nil {
		return err
	}
	if err := x.testSchnorr(ctx, leave, key, s, ids); err != nil {
		return err
	}
	if err := x.put(x.ref(keystore.KindShare, key, "share"), s.Marshal()); err != nil {
		return err
	}
	if err := x.Vault.Delete(pending); err != nil {
		return failed("keygen", err)
	}
	return nil
}

// testSchnorr proves, before any coin can lie on a key, that the shares fit together: all parties sign a message that can be
// nothing else.
func (x *Executor) testSchnorr(ctx context.Context, leave permit.Leave, key intent.KeyID, s *frost.KeyShare, ids []tss.PartyID) error {
	session, err := x.session(ctx, leave, key, "test-signature", s.Public().Suite().Name(), s.Public().Threshold(), ids)
	if err != nil {
		return err
	}
	message := testMessage(key, s.Public().Marshal())
	machine, err := frost.NewSigning(session, s, []frost.Message{{Bytes: message[:]}}, x.Notary)
	if err != nil {
		return failed("test-signature", err)
	}
	_, err = Drive(ctx, x.Sessions, "test-signature", session.ID(), machine)
	return err
}

func testMessage(key intent.KeyID, public []byte) [32]byte {
	return transcript.Hash("chancery/test-signature/v1", key[:], public)
}

// sign draws fresh nonces, agrees with the others on the list of commitments, and signs every message.
func (k schnorrKey) sign(ctx context.Context, x *Executor, leave permit.Leave, signers []tss.PartyID, messages []Message) ([]joiner, [][]byte, error) {
	session, err := x.session(ctx, leave, leave.Intent.Key, "sign", k.Suite(), k.Threshold(), signers)
	if err != nil {
		return nil, nil, err
	}
	machine, err := frost.NewPreprocess(session, k.KeyShare, len(messages), x.Notary)
	if err != nil {
		return nil, nil, failed("sign", err)
	}
	batch, err := Drive(ctx, x.Sessions, "sign", session.ID(), machine)
	if err != nil {
		return nil, nil, err
	}
	defer batch.Close()
	joiners, partials := make([]joiner, len(messages)), make([][]byte, len(messages))
	for i, m := range messages {
		pkg, err := batch.SigningPackage(i, k.Public(), m.Bytes, frost.Derivation{Path: m.Path, Taproot: true})
		if err != nil {
			return nil, nil, failed("sign", err)
		}
		nonces, err := batch.Take(i)
		if err != nil {
			return nil, nil, failed("sign", err)
		}
		partial, err := k.Sign(pkg, nonces)
		if err != nil {
			return nil, nil, failed("sign", err)
		}
		joiners[i], partials[i] = schnorrJoiner{pkg}, partial.Marshal()
	}
	return joiners, partials, nil
}

type schnorrJoiner struct{ *frost.SigningPackage }

func (j schnorrJoiner) join(signers []tss.PartyID, raw [][]byte) ([]byte, error) {
	partials := make([]frost.Partial, len(raw))
	for i, b := range raw {
		partial, err := frost.UnmarshalPartial(j.SigningPackage.Suite(), b)
		if err != nil || partial.From() != signers[i] {
			return nil, malformed(signers[i])
		}
		partials[i] = partial
	}
	sig, err := j.Combine(partials)
	if err != nil {
		return nil, combineFailed(err)
	}
	return sig, nil
}
