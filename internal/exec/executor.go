package exec

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"chancery.dev/internal/intent"
	"chancery.dev/internal/keystore"
	"chancery.dev/internal/permit"
	"chancery.dev/internal/secret"
	"chancery.dev/internal/transcript"
	"chancery.dev/tss"
)

// Vault is what exec needs of a keystore. Put is durable before it returns; Take removes a value durably before it
// returns it, once.
type Vault interface {
	Put(ref keystore.Ref, value *secret.Bytes) error
	Get(ref keystore.Ref) (*secret.Bytes, error)
	Take(ref keystore.Ref) (*secret.Bytes, error)
	Delete(ref keystore.Ref) error
	List(kind keystore.Kind, key [32]byte) ([]keystore.Ref, error)
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
	keys map[intent.KeyID]share // active keys, as loaded; owned by the executor
}

// Load takes the active share of a key from the keystore. A key that was never activated has none.
func (x *Executor) Load(key intent.KeyID) (Key, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.load(key)
}

func (x *Executor) load(key intent.KeyID) (share, error) {
	if s, ok := x.keys[key]; ok {
		return s, nil
	}
	s, err := x.loadSchnorr(key)
	if errors.Is(err, keystore.ErrNotFound) {
		s, err = x.loadECDSA(key)
	}
	if err != nil {
		return nil, &Error{Code: CodeNoKey, Step: "permit", Err: err}
	}
	if x.keys == nil {
		x.keys = map[intent.KeyID]share{}
	}
	x.keys[key] = s
	return s, nil
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
	for id, s := range x.keys {
		s.Close()
		delete(x.keys, id)
	}
}

func (x *Executor) ref(kind keystore.Kind, key intent.KeyID, name string) keystore.Ref {
	return keystore.Ref{Kind: kind, Key: key, Epoch: x.Epoch, Name: name}
}

// session opens a session for one purpose of one execution among the named parties.
func (x *Executor) session(ctx context.Context, leave permit.Leave, key intent.KeyID, purpose, suite string, threshold int, ids []tss.PartyID) (tss.Session, error) {
	return x.sessionWithin(ctx, OpenTimeout, leave, key, purpose, suite, threshold, ids)
}

// sessionWithin gives the others as long as it says to open the session too.
func (x *Executor) sessionWithin(ctx context.Context, patience time.Duration, leave permit.Leave, key intent.KeyID, purpose, suite string, threshold int, ids []tss.PartyID) (tss.Session, error) {
	label := transcript.New("chancery/session-label/v1")
	label.Bytes("execution", leave.Execution[:])
	label.String("purpose", purpose)
	return x.open(ctx, patience, label.Sum(), leave.IntentID, key, purpose, suite, threshold, ids)
}

// open opens the session of a label.
func (x *Executor) open(ctx context.Context, patience time.Duration, label [32]byte, id intent.ID, key intent.KeyID, purpose, suite string, threshold int, ids []tss.PartyID) (tss.Session, error) {
	parties := make([]tss.Party, len(ids))
	for i, id := range ids {
		p, known := x.Parties[id]
		if !known {
			return tss.Session{}, &Error{Code: CodeRejected, Step: purpose, Err: fmt.Errorf("party %d is not on the roster", id)}
		}
		parties[i] = p
	}
	nonces, err := x.Sessions.OpenWithin(ctx, patience, label, ids)
	if err != nil {
		return tss.Session{}, err
	}
	return tss.Session{
		Suite: suite, Purpose: purpose, Cluster: x.Cluster, Key: key, Epoch: x.Epoch, Threshold: threshold,
		Parties: parties, Self: x.Self, Nonces: nonces, Intent: id,
	}, nil
}

// Generate carries out key.generate: a key among all named parties with the protocol that the intent names, tested before
// the share becomes the active one. The key's id is the intent's id.
func (x *Executor) Generate(ctx context.Context, p *permit.Permit) (Key, error) {
	leave, err := p.Use()
	if err != nil {
		return nil, err
	}
	g, ok := leave.Intent.Params.(intent.Generate)
	if !ok {
		return nil, &Error{Code: CodeRejected, Step: "keygen", Err: errors.New("permit is not for key.generate")}
	}
	key, ids := intent.KeyID(leave.IntentID), partyIDs(g.Parties)
	switch g.Protocol {
	case ProtocolFROST:
		err = x.generateSchnorr(ctx, leave, key, g, ids)
	case ProtocolCGGMP24:
		err = x.generateECDSA(ctx, leave, key, g, ids)
	default:
		err = &Error{Code: CodeRejected, Step: "keygen", Err: fmt.Errorf("protocol %q is not known", g.Protocol)}
	}
	if err != nil {
		return nil, err
	}
	// Opening a session is a barrier: each node opens this one when its share is stored.
	if _, err := x.sessionWithin(ctx, CeremonyTimeout, leave, key, "stored", g.Suite, g.Threshold, ids); err != nil {
		return nil, err
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

func partyIDs(in []uint16) []tss.PartyID {
	out := make([]tss.PartyID, len(in))
	for i, p := range in {
		out[i] = tss.PartyID(p)
	}
	return out
}
