package tss

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Inbox keeps the messages of one run: at most one for each round and sender. It checks what is the same for every
// protocol, so that a phase sees only messages of its session, from its parties, to this party.
type Inbox struct {
	session SessionID
	self    PartyID
	parties []PartyID
	shape   []Shape // by round, from round 1
	got     map[slot]Envelope
}

// Shape says who sends in a round, and to whom.
type Shape struct {
	Senders []PartyID
	Direct  bool // each message is to one party; otherwise it is to everyone
}

type slot struct {
	round uint8
	from  PartyID
}

// NewInbox makes the inbox of a session whose rounds have these shapes.
func NewInbox(s Session, shape ...Shape) *Inbox {
	return &Inbox{session: s.ID(), self: s.Self, parties: s.IDs(), shape: shape, got: map[slot]Envelope{}}
}

// Accept checks and keeps a message. The same message again is ignored. A second, different one is a Fault.
func (b *Inbox) Accept(e Envelope) error {
	if e.Session != b.session {
		return ErrSession
	}
	if !contains(b.parties, e.From) || e.From == b.self {
		return ErrSender
	}
	if e.Round < 1 || int(e.Round) > len(b.shape) || !contains(b.shape[e.Round-1].Senders, e.From) {
		return &Fault{Party: e.From, Round: e.Round, Check: CheckRound, Evidence: EncodeEvidence(e.Signed)}
	}
	want := Everyone
	if b.shape[e.Round-1].Direct {
		want = b.self
	}
	if e.To != want || len(e.Payload) > MaxPayload {
		return &Fault{Party: e.From, Round: e.Round, Check: CheckRecipient, Evidence: EncodeEvidence(e.Signed)}
	}
	at := slot{e.Round, e.From}
	if first, twice := b.got[at]; twice {
		if bytes.Equal(first.Payload, e.Payload) {
			return nil
		}
		return &Fault{Party: e.From, Round: e.Round, Check: CheckEquivocation, Evidence: EncodeEvidence(first.Signed, e.Signed)}
	}
	b.got[at] = e
	return nil
}

// Keep stores this party's own broadcast, so that it is echoed and counted like the others'.
func (b *Inbox) Keep(e Envelope) { b.got[slot{e.Round, e.From}] = e }

// Get is the message of a sender in a round; it must have come.
func (b *Inbox) Get(round uint8, from PartyID) Envelope { return b.got[slot{round, from}] }

// Missing names the senders of a round that are still silent, this party not counted.
func (b *Inbox) Missing(round uint8) []PartyID {
	if int(round) > len(b.shape) {
		return nil
	}
	var out []PartyID
	for _, p := range b.shape[round-1].Senders {
		if _, ok := b.got[slot{round, p}]; !ok && p != b.self {
			out = append(out, p)
		}
	}
	return out
}

// EchoPayload is the signed originals of a round, in the order of its senders. Broadcasting it in the next round is the
// echo: after it, either everybody has the same messages or somebody has proof of who said two things.
func (b *Inbox) EchoPayload(round uint8) []byte {
	var originals [][]byte
	for _, p := range b.shape[round-1].Senders {
		originals = append(originals, b.Get(round, p).Signed)
	}
	return appendList(nil, originals)
}

// CheckEchoes compares every party's echo of a round with what came here. Two different originals convict their sender.
// An echo that is not made of the senders' own signed messages convicts the echoer.
func (b *Inbox) CheckEchoes(round uint8, open func([]byte) (Envelope, error)) error {
	senders := b.shape[round-1].Senders
	for _, echoer := range b.shape[round].Senders {
		if echoer == b.self {
			continue
		}
		echo := b.Get(round+1, echoer)
		originals, err := openEcho(echo.Payload, round, b.session, senders, open)
		if err != nil {
			return &Fault{Party: echoer, Round: round + 1, Check: CheckEcho, Evidence: EncodeEvidence(echo.Signed)}
		}
		for i, p := range senders {
			if mine := b.Get(round, p); !bytes.Equal(mine.Payload, originals[i].Payload) {
				return &Fault{Party: p, Round: round, Check: CheckEquivocation, Evidence: EncodeEvidence(mine.Signed, originals[i].Signed)}
			}
		}
	}
	return nil
}

// openEcho opens an echo: one broadcast of each sender, signed by it, for this session and round.
func openEcho(payload []byte, round uint8, session SessionID, senders []PartyID, open func([]byte) (Envelope, error)) ([]Envelope, error) {
	list, rest, err := readList(payload, MaxParties, MaxSigned)
	if err != nil || len(rest) != 0 || len(list) != len(senders) {
		return nil, errEcho
	}
	out := make([]Envelope, len(list))
	for i, signed := range list {
		e, err := open(signed)
		if err != nil || e.Session != session || e.Round != round || e.From != senders[i] || e.To != Everyone {
			return nil, errEcho
		}
		e.Signed = signed
		out[i] = e
	}
	return out, nil
}

// VerifyEcho is nil when the evidence is an echo, signed by the accused, that is not made of the senders' own messages.
func VerifyEcho(f *Fault, session SessionID, senders []PartyID, open func([]byte) (Envelope, error)) error {
	signed, err := DecodeEvidence(f.Evidence)
	if err != nil || len(signed) != 1 || f.Round < 2 {
		return ErrEvidence
	}
	echo, err := open(signed[0])
	if err != nil || echo.From != f.Party || echo.Session != session || echo.Round != f.Round {
		return ErrEvidence
	}
	if _, err := openEcho(echo.Payload, f.Round-1, session, senders, open); err == nil {
		return ErrEvidence
	}
	return nil
}

var errEcho = errors.New("echo is not made of the senders' messages")

func contains(ids []PartyID, id PartyID) bool {
	for _, p := range ids {
		if p == id {
			return true
		}
	}
	return false
}

func appendList(out []byte, items [][]byte) []byte {
	out = binary.BigEndian.AppendUint16(out, uint16(len(items)))
	for _, item := range items {
		out = binary.BigEndian.AppendUint32(out, uint32(len(item)))
		out = append(out, item...)
	}
	return out
}

func readList(b []byte, maxItems, maxItem int) (list [][]byte, rest []byte, err error) {
	if len(b) < 2 {
		return nil, nil, errors.New("list is cut short")
	}
	n := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	if n > maxItems {
		return nil, nil, fmt.Errorf("list has more than %d items", maxItems)
	}
	for range n {
		if len(b) < 4 {
			return nil, nil, errors.New("list is cut short")
		}
		size := int(binary.BigEndian.Uint32(b))
		if size > maxItem || len(b)-4 < size {
			return nil, nil, errors.New("list item is too long or cut short")
		}
		list = append(list, b[4:4+size])
		b = b[4+size:]
	}
	return list, b, nil
}
