// Package tss is the public face of the threshold engine: parties, sessions, envelopes, machines and faults.
//
// An engine protocol is a Machine: a value that is stepped with messages and puts out messages. It has no I/O, clock,
// goroutine or global; the driver sends, stores and keeps time. Every message is signed by its sender and bound to its
// session, so that a fault carries evidence which a third party can verify with public keys alone.
package tss

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
)

// PartyID is a party's number on the roster, which is also its x-coordinate in secret sharing.
type PartyID uint16

// Everyone is the recipient of a broadcast.
const Everyone PartyID = 0

// SessionID is the digest of everything that a session is bound to.
type SessionID [32]byte

// String is lower-case hex.
func (id SessionID) String() string { return hex.EncodeToString(id[:]) }

// Envelope is one protocol message. Signed is the sender's signed encoding of all of it: made by Notary.Seal on the way
// out, checked by whoever received it before Step sees it, kept for evidence.
type Envelope struct {
	Session SessionID
	Round   uint8
	From    PartyID
	To      PartyID
	Payload []byte
	Signed  []byte
}

// Notary signs this party's messages and opens anybody's. Both are pure: the same envelope gives the same bytes.
type Notary interface {
	// Seal returns the signed bytes of an envelope from this party.
	Seal(Envelope) []byte
	// Open verifies the signature and returns what was signed, with Signed set.
	Open(signed []byte) (Envelope, error)
}

// Machine is one run of a protocol on one party.
type Machine[Result any] interface {
	// Step takes one message. A *Fault blames its sender; any other error is ours, or of nobody. After an error the
	// machine is dead and its secrets are erased.
	Step(Envelope) error
	// Outbox gives the messages to send, each once.
	Outbox() []Envelope
	// Waiting names the parties whose silence holds up the round.
	Waiting() []PartyID
	// Result is there once the run is over.
	Result() (Result, bool)
	// Close erases every secret that was not handed out as the result. It may be called twice.
	Close()
}

// Fault is a party's misdeed, with the evidence that proves it where it can be proved.
type Fault struct {
	Party    PartyID
	Round    uint8
	Check    string // name of the check that failed; VerifyFault of the protocol knows it
	Evidence []byte // signed messages, as EncodeEvidence has them; empty when nothing can be proved to others
}

// Error names the party and the check.
func (f *Fault) Error() string {
	return fmt.Sprintf("party %d failed check %q in round %d", f.Party, f.Check, f.Round)
}

// Errors that blame nobody.
var (
	ErrSession  = errors.New("message is of another session") // parties are configured differently, or it is late
	ErrSender   = errors.New("message is from nobody in this session")
	ErrDead     = errors.New("machine has ended")
	ErrEvidence = errors.New("evidence does not convict")
)

// CheckEquivocation is the check that every protocol shares: one sender, one round, one recipient, two messages.
const CheckEquivocation = "equivocation"

// CheckEcho says that a party echoed something that its alleged sender never signed.
const CheckEcho = "echo"

// Checks that the inbox makes: a message for a round, or to a recipient, that its sender has none for.
const (
	CheckRound     = "round"
	CheckRecipient = "recipient"
)

// EncodeEvidence joins signed messages: count, then length and bytes of each.
func EncodeEvidence(signed ...[]byte) []byte { return appendList(nil, signed) }

// DecodeEvidence splits what EncodeEvidence joined.
func DecodeEvidence(b []byte) ([][]byte, error) {
	list, rest, err := readList(b, MaxEvidence, MaxSigned)
	if err != nil || len(rest) != 0 {
		return nil, ErrEvidence
	}
	return list, nil
}

// VerifyEquivocation is nil when the evidence is two different messages that one party signed for the same session,
// round and recipient.
func VerifyEquivocation(f *Fault, session SessionID, open func([]byte) (Envelope, error)) error {
	signed, err := DecodeEvidence(f.Evidence)
	if err != nil || len(signed) != 2 {
		return ErrEvidence
	}
	a, errA := open(signed[0])
	b, errB := open(signed[1])
	same := a.Session == session && b.Session == session && a.Round == b.Round && a.From == f.Party && b.From == f.Party && a.To == b.To
	if errA != nil || errB != nil || !same || bytes.Equal(a.Payload, b.Payload) {
		return ErrEvidence
	}
	return nil
}
