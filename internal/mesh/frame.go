package mesh

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"

	"chancery.dev/internal/pki"
	"chancery.dev/tss"
)

// Kind says what a message is for. The node numbers its own kinds; Protocol is the engine's.
type Kind uint8

// Protocol is the kind of engine messages.
const Protocol Kind = 1

// Message is an authenticated message.
type Message struct {
	Kind Kind
	tss.Envelope
}

// Frame layout, big-endian: version 1, kind 1, roster digest 32, epoch 8, session 32, round 1, from 2, to 2, length 4,
// payload, Ed25519 signature 64. The signature is over a tag and all the bytes before it.
const (
	frameVersion  = 1
	headLen       = 1 + 1 + 32 + 8 + 32 + 1 + 2 + 2 + 4
	frameOverhead = headLen + ed25519.SignatureSize
	frameTag      = "chancery/mesh/frame/v1\x00"
)

// Reason codes of refused frames.
const (
	CodeMalformed = "FRAME_MALFORMED"
	CodeStale     = "STALE_EPOCH"
	CodeBinding   = "BINDING_MISMATCH"
	CodeRecipient = "WRONG_RECIPIENT"
	CodeSignature = "SIGNATURE_INVALID"
	CodeQueueFull = "QUEUE_FULL"
	CodeTooLarge  = "MESSAGE_TOO_LARGE"
	CodeUnknown   = "PEER_UNKNOWN"
	CodeReplay    = "REPLAY_OR_CONFLICT"
)

// Error is a refusal with a reason code.
type Error struct {
	Code string
	Err  error
}

// Error is the code and the cause.
func (e *Error) Error() string { return e.Code + ": " + e.Err.Error() }

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// ReasonCode is the code.
func (e *Error) ReasonCode() string { return e.Code }

func refuse(code, format string, args ...any) error { return &Error{code, fmt.Errorf(format, args...)} }

// codec makes and opens frames under one roster.
type codec struct {
	roster *pki.Roster
	digest [32]byte
}

func newCodec(r *pki.Roster) codec { return codec{r, r.Digest()} }

// signer is an identity that signs.
type signer interface {
	Sign(message []byte) []byte
}

func (c codec) seal(m Message, s signer) []byte {
	b := make([]byte, 0, frameOverhead+len(m.Payload))
	b = append(b, frameVersion, byte(m.Kind))
	b = append(b, c.digest[:]...)
	b = binary.BigEndian.AppendUint64(b, c.roster.Epoch)
	b = append(b, m.Session[:]...)
	b = append(b, m.Round)
	b = binary.BigEndian.AppendUint16(b, uint16(m.From))
	b = binary.BigEndian.AppendUint16(b, uint16(m.To))
	b = binary.BigEndian.AppendUint32(b, uint32(len(m.Payload)))
	b = append(b, m.Payload...)
	return append(b, s.Sign(append([]byte(frameTag), b...))...)
}

// open verifies a frame: shape, roster and epoch, sender on the roster, signature. It says nothing of who delivered it.
func (c codec) open(b []byte) (Message, error) {
	if len(b) < frameOverhead || len(b) > maxFrame || b[0] != frameVersion || b[1] == 0 {
		return Message{}, refuse(CodeMalformed, "frame is not well formed")
	}
	if n := binary.BigEndian.Uint32(b[headLen-4:]); int(n) != len(b)-frameOverhead {
		return Message{}, refuse(CodeMalformed, "frame's length is not that of its payload")
	}
	if epoch := binary.BigEndian.Uint64(b[34:]); epoch != c.roster.Epoch {
		return Message{}, refuse(CodeStale, "frame is of epoch %d, this is %d", epoch, c.roster.Epoch)
	}
	if !bytes.Equal(b[2:34], c.digest[:]) {
		return Message{}, refuse(CodeBinding, "frame is of another roster")
	}
	signed, signature := b[:len(b)-ed25519.SignatureSize], b[len(b)-ed25519.SignatureSize:]
	m := Message{Kind: Kind(b[1]), Envelope: tss.Envelope{Session: tss.SessionID(b[42:74]), Round: b[74],
		From: tss.PartyID(binary.BigEndian.Uint16(b[75:])), To: tss.PartyID(binary.BigEndian.Uint16(b[77:])),
		Payload: b[headLen : len(b)-ed25519.SignatureSize], Signed: b}}
	from, known := c.roster.ByParty(uint16(m.From))
	if !known {
		return Message{}, refuse(CodeUnknown, "frame is from party %d, who is not on the roster", m.From)
	}
	if !ed25519.Verify(from.PublicKey(), append([]byte(frameTag), signed...), signature) {
		return Message{}, refuse(CodeSignature, "frame is not signed by party %d", m.From)
	}
	return m, nil
}

// notary signs and opens engine messages.
type notary struct {
	codec
	self tss.PartyID
	key  signer
}

func (n notary) Seal(e tss.Envelope) []byte {
	if e.From != n.self {
		panic("mesh: a machine speaks for another party") // a programming error: nothing must be signed
	}
	return n.seal(Message{Kind: Protocol, Envelope: e}, n.key)
}

func (n notary) Open(signed []byte) (tss.Envelope, error) {
	m, err := n.open(signed)
	if err != nil {
		return tss.Envelope{}, err
	}
	if m.Kind != Protocol {
		return tss.Envelope{}, errors.New("signed message is not the engine's")
	}
	return m.Envelope, nil
}
