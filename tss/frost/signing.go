package frost

import (
	"errors"
	"fmt"

	"chancery.dev/tss"
)

// Message is what is signed, and under which key below the group key.
type Message struct {
	Bytes      []byte
	Derivation Derivation
}

// Signing is the machine of a whole run: commitments, their echo, partial signatures, signatures. Every party ends with
// every signature. The road does not use it for what must be held: there a Preprocess is followed by Sign, and the
// partial signature stays where it is.
type Signing struct {
	run
	signers
	messages   []Message
	packages   []*SigningPackage
	signatures [][]byte
}

// NewSigning starts signing some messages with all parties of the session.
func NewSigning(s tss.Session, share *KeyShare, messages []Message, notary tss.Notary) (*Signing, error) {
	if len(messages) < 1 || len(messages) > MaxBatch {
		return nil, fmt.Errorf("a run signs 1 to %d messages", MaxBatch)
	}
	if err := checkSigners(s, share); err != nil {
		return nil, err
	}
	everyone := tss.Shape{Senders: s.IDs()}
	r, err := newRun(s, notary, everyone, everyone, everyone)
	if err != nil {
		return nil, err
	}
	m := &Signing{run: r, signers: signers{share: share}, messages: messages}
	m.broadcast(roundCommitments, m.draw(len(messages)))
	return m, m.whole(m.finish)
}

// Step takes one message.
func (m *Signing) Step(e tss.Envelope) error {
	return m.step(e, func() error { return m.whole(m.finish) }, m.Close)
}

func (m *Signing) finish(round uint8) error {
	switch round {
	case roundCommitments:
		m.broadcast(roundAgreed, m.inbox.EchoPayload(roundCommitments))
		return nil
	case roundAgreed:
		if err := m.agree(&m.run); err != nil {
			return err
		}
		return m.sign()
	}
	return m.combine()
}

func (m *Signing) sign() error {
	out := []byte{messageVersion}
	for i, message := range m.messages {
		pkg, err := NewSigningPackage(m.share.public, m.lists[i], message.Bytes, message.Derivation)
		if err != nil {
			return err
		}
		partial, err := m.share.Sign(pkg, m.nonces[i])
		if err != nil {
			return err
		}
		m.packages = append(m.packages, pkg)
		out = append(out, partial.z.Bytes()...)
	}
	m.broadcast(roundPartials, out)
	return nil
}

// parsePartials reads exactly n partial signatures of a party.
func parsePartials(s Suite, from tss.PartyID, n int, b []byte) ([]Partial, error) {
	r := reader{b: b}
	if r.byte() != messageVersion {
		return nil, errMessage
	}
	out := make([]Partial, n)
	for i := range out {
		out[i] = Partial{from, r.scalar(s)}
	}
	return out, r.end()
}

func (m *Signing) combine() error {
	byMessage := make([][]Partial, len(m.packages))
	for _, id := range m.session.IDs() {
		list, err := parsePartials(m.share.public.suite, id, len(m.packages), m.inbox.Get(roundPartials, id).Payload)
		if err != nil {
			return m.blamePartial(id)
		}
		for i, partial := range list {
			byMessage[i] = append(byMessage[i], partial)
		}
	}
	for i, pkg := range m.packages {
		signature, err := pkg.Combine(byMessage[i])
		var faults Faults
		if errors.As(err, &faults) {
			return m.blamePartial(faults[0].Party)
		}
		if err != nil {
			return err
		}
		m.signatures = append(m.signatures, signature)
	}
	m.finished = true
	return nil
}

// blamePartial convicts with the signed partial and the commitments that its maker itself said it had, which it must fit.
func (m *Signing) blamePartial(id tss.PartyID) error {
	return &tss.Fault{Party: id, Round: roundPartials, Check: CheckPartial,
		Evidence: tss.EncodeEvidence(m.inbox.Get(roundPartials, id).Signed, m.inbox.Get(roundAgreed, id).Signed)}
}

// Result is the signatures, in the order of the messages.
func (m *Signing) Result() ([][]byte, bool) { return m.signatures, m.finished }

// Close erases the nonces. It may be called twice.
func (m *Signing) Close() {
	if !m.finished {
		m.dead = true
	}
	closeAll(m.nonces)
}
