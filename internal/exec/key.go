package exec

import (
	"context"
	"errors"

	"chancery.dev/internal/permit"
	"chancery.dev/tss"
)

// Protocols that keys are made with, as intents name them.
const (
	ProtocolFROST   = "frost"
	ProtocolCGGMP24 = "cggmp24"
)

// Key is the public side of an active key of this node.
type Key interface {
	Protocol() string
	Suite() string
	Threshold() int
	GroupKey() []byte                           // compressed
	ChainCode() [32]byte                        // BIP32's
	VerifyingKey(path []uint32) ([]byte, error) // what signatures at a path verify under: x-only and tweaked for Taproot, else compressed
}

// Message is what is signed, with the key at a path below the group key. FROST signs the bytes as they are: the digest that
// BIP341 defines. ECDSA hashes them twice: they are BIP143's preimage, and no digest is taken from anybody.
type Message struct {
	Bytes []byte
	Path  []uint32
	// Presignature, for ECDSA, is one of the pool to use; nil to make one now.
	Presignature *PresignatureID
}

// share is a key with this node's part of it, which signs.
type share interface {
	Key
	// sign makes this node's partial signature on each message, and what joins everybody's.
	sign(ctx context.Context, x *Executor, leave permit.Leave, signers []tss.PartyID, messages []Message) ([]joiner, [][]byte, error)
	Close()
}

// joiner joins the partial signatures of all signers, in their order, on one message. A partial that does not fit convicts
// its maker. The signature is verified before it is returned.
type joiner interface {
	join(signers []tss.PartyID, partials [][]byte) ([]byte, error)
}

// malformed blames the maker of a partial signature that cannot be read.
func malformed(id tss.PartyID) error {
	return &Error{Code: CodeRejected, Step: "publication", Retry: true, Parties: []tss.PartyID{id}, Err: errors.New("a partial signature is malformed")}
}
