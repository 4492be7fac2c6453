package exec

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"chancery.dev/internal/intent"
	"chancery.dev/internal/keystore"
	"chancery.dev/internal/permit"
	"chancery.dev/internal/secret"
	"chancery.dev/internal/transcript"
	"chancery.dev/tss"
	"chancery.dev/tss/frost"
)

// Vault is what exec needs of a keystore. Put is durable before it returns; Take removes a value durably before it
// returns it, once.
type Vault interface {
	Put(ref keystore.Ref, value *secret.Bytes) error
	Get(ref keystore.Ref) (*secret.Bytes, error)
	Take(ref keystore.Ref) (*secret.Bytes, error)
	Delete(ref keystore.Ref) error
}

// Executor carries out permits on one node, in one epoch of one roster. It is safe for use by many goroutines.
type Executor struct {
	Self     tss.PartyID
	Cluster  [32]byte // roster digest
	Epoch    uint64
	Parties  map[tss.PartyID]tss.Party
	Sessions *Sessions
	Notary   tss.Notary
	Vault    Vault

	mu   sync.Mutex
	keys map[intent.KeyID]*frost.KeyShare // active keys, as loaded; owned by the executor
}

// Load takes the active share of a key from the keystore. A key that was never activated has none.
func (x *Executor) Load(key intent.KeyID) (*frost.PublicKey, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	share, err := x.load(key)
	if err != nil {
		return nil, err
	}
	return share.Public(), nil
}

func (x *Executor) load(key intent.KeyID) (*frost.KeyShare, error) {
	if share, ok := x.keys[key]; ok {
		return share, nil
	}
	stored, err := x.Vault.Get(x.ref(keystore.KindShare, key, "share"))
	if err != nil {
		return nil, &Error{Code: CodeNoKey, Step: "permit", Err: err}
	}
	defer stored.Erase()
	share, err := frost.UnmarshalKeyShare(stored.Reveal())
	if err != nil {
		return nil, &Error{Code: CodeNoKey, Step: "permit", Err: fmt.Errorf("stored share: %w", err)}
	}
	if x.keys == nil {
		x.keys = map[intent.KeyID]*frost.KeyShare{}
	}
	x.keys[key] = share
	return share, nil
}

// Active is the key authority that permits ask: a key is active when its share passed the test signature and was stored.
func (x *Executor) Active(key intent.KeyID) error {
	_, err := x.Load(key)
	return err
}

// Close erases the loaded shares.
func (x *Executor) Close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id, share := range x.keys {
		share.Close()
		delete(x.keys, id)
	}
}

func (x *Executor) ref(kind keystore.Kind, key intent.KeyID, name string) keystore.Ref {
	return keystore.Ref{Kind: kind, Key: key, Epoch: x.Epoch, Name: name}
}

// session opens a session for one purpose of one execution among the named parties.
func (x *Executor) session(ctx context.Context, leave permit.Leave, key intent.KeyID, purpose string, suite frost.Suite, threshold int, ids []tss.PartyID) (tss.Session, error) {
	parties := make([]tss.Party, len(ids))
	for i, id := range ids {
		p, known := x.Parties[id]
		if !known {
			return tss.Session{}, &Error{Code: CodeRejected, Step: purpose, Err: fmt.Errorf("party %d is not on the roster", id)}
		}
		parties[i] = p
	}
	label := transcript.New("chancery/session-label/v1")
	label.Bytes("execution", leave.Execution[:])
	label.String("purpose", purpose)
	nonces, err := x.Sessions.Open(ctx, label.Sum(), ids)
	if err != nil {
		return tss.Session{}, err
	}
	return tss.Session{
		Suite: suite.Name(), Purpose: purpose, Cluster: x.Cluster, Key: key, Epoch: x.Epoch, Threshold: threshold,
		Parties: parties, Self: x.Self, Nonces: nonces, Intent: leave.IntentID,
	}, nil
}

// Generate carries out key.generate: distributed key generation among all named parties, a test signature by all of them,
// and only then the share becomes the active one. The key's id is the intent's id.
func (x *Executor) Generate(ctx context.Context, p *permit.Permit) (*frost.PublicKey, error) {
	leave, err := p.Use()
	if err != nil {
		return nil, err
	}
	g, ok := leave.Intent.Params.(intent.Generate)
	if !ok {
		return nil, &Error{Code: CodeRejected, Step: "keygen", Err: errors.New("permit is not for key.generate")}
	}
	suite, err := frost.SuiteByName(g.Suite)
	if err != nil {
		return nil, &Error{Code: CodeRejected, Step: "keygen", Err: err}
	}
	key, ids := intent.KeyID(leave.IntentID), partyIDs(g.Parties)
	share, err := x.keygen(ctx, leave, key, suite, g.Threshold, ids)
	if err != nil {
		return nil, err
	}
	defer share.Close()
	pending := x.ref(keystore.KindPendingShare, key, fmt.Sprintf("share/%d", leave.Attempt))
	if err := x.put(pending, share.Marshal()); err != nil {
		return nil, err
	}
	if err := x.testSignature(ctx, leave, key, share, ids); err != nil {
		return nil, err
	}
	if err := x.put(x.ref(keystore.KindShare, key, "share"), share.Marshal()); err != nil {
		return nil, err
	}
	if err := x.Vault.Delete(pending); err != nil {
		return nil, failed("keygen", err)
	}
	return x.Load(key)
}

func (x *Executor) put(ref keystore.Ref, value *secret.Bytes) error {
	defer value.Erase()
	if err := x.Vault.Put(ref, value); err != nil {
		return failed("store", err)
	}
	return nil
}

func (x *Executor) keygen(ctx context.Context, leave permit.Leave, key intent.KeyID, suite frost.Suite, threshold int, ids []tss.PartyID) (*frost.KeyShare, error) {
	session, err := x.session(ctx, leave, key, "keygen", suite, threshold, ids)
	if err != nil {
		return nil, err
	}
	machine, err := frost.NewDKG(session, suite, x.Notary)
	if err != nil {
		return nil, failed("keygen", err)
	}
	return Drive(ctx, x.Sessions, "keygen", session.ID(), machine)
}

// testSignature proves, before any coin can lie on a key, that the shares fit together: all parties sign a message that
// can be nothing else.
func (x *Executor) testSignature(ctx context.Context, leave permit.Leave, key intent.KeyID, share *frost.KeyShare, ids []tss.PartyID) error {
	session, err := x.session(ctx, leave, key, "test-signature", share.Public().Suite(), share.Public().Threshold(), ids)
	if err != nil {
		return err
	}
	message := transcript.Hash("chancery/test-signature/v1", key[:], share.Public().Marshal())
	machine, err := frost.NewSigning(session, share, []frost.Message{{Bytes: message[:]}}, x.Notary)
	if err != nil {
		return failed("test-signature", err)
	}
	_, err = Drive(ctx, x.Sessions, "test-signature", session.ID(), machine)
	return err
}

func partyIDs(in []uint16) []tss.PartyID {
	out := make([]tss.PartyID, len(in))
	for i, p := range in {
		out[i] = tss.PartyID(p)
	}
	return out
}
