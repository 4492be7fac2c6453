package frost

import (
	"encoding/binary"
	"errors"

	"chancery.dev/internal/group"
	"chancery.dev/internal/shamir"
	"chancery.dev/tss"
)

// Rounds of a repair.
const (
	roundSplit  = 1 // helpers to everyone: commitments to the parts of their weighted share
	roundSplits = 2 // everyone to everyone: the signed commitments
	roundPart   = 3 // helper to helper: the part
	roundColumn = 4 // helper to the recipient: the sum of the parts it got
)

// Names of the checks of a repair.
const (
	CheckSplit  = "split"  // malformed, or the parts do not add up to the helper's known share
	CheckPart   = "part"   // a part that does not fit its commitment
	CheckColumn = "column" // a sum that does not fit the parts' commitments
)

// Repair is the machine that gives a party its lost share back (Stinson and Wei's enrolment). Each of exactly threshold
// helpers splits its share, weighted for the recipient's place, into one random part for each helper; each adds up the
// parts that it got and sends the sum to the recipient, who adds those. Nobody learns another's share. Here the parts are
// committed to first, so that a wrong value names its sender.
type Repair struct {
	run
	public    *PublicKey
	recipient tss.PartyID
	helpers   []tss.PartyID
	parts     map[tss.PartyID]*group.Scalar // of this helper's share
	splits    map[tss.PartyID][]*group.Point
	result    *KeyShare
}

// NewRepair starts a repair. The session holds the helpers and the recipient; share is nil at the recipient.
func NewRepair(s tss.Session, public *PublicKey, share *KeyShare, recipient tss.PartyID, notary tss.Notary) (*Repair, error) {
	if !has(public.ids, recipient) || !s.Has(recipient) || s.Suite != public.suite.Name() || s.Threshold != public.threshold {
		return nil, errors.New("session does not fit the key or the recipient")
	}
	var helpers []tss.PartyID
	for _, id := range s.IDs() {
		if !has(public.ids, id) {
			return nil, errors.New("a helper holds no share")
		}
		if id != recipient {
			helpers = append(helpers, id)
		}
	}
	if len(helpers) != public.threshold {
		return nil, errors.New("exactly threshold helpers are needed")
	}
	if helping := s.Self != recipient; helping && (share == nil || share.self != s.Self || !share.public.Equal(public)) {
		return nil, errors.New("a helper needs its share of this very key")
	}
	parts, columns := tss.Shape{Direct: true}, tss.Shape{Direct: true}
	if s.Self == recipient {
		columns.Senders = helpers
	} else {
		parts.Senders = helpers
	}
	r, err := newRun(s, notary, tss.Shape{Senders: helpers}, tss.Shape{Senders: s.IDs()}, parts, columns)
	if err != nil {
		return nil, err
	}
	m := &Repair{run: r, public: public, recipient: recipient, helpers: helpers, parts: map[tss.PartyID]*group.Scalar{}, splits: map[tss.PartyID][]*group.Point{}}
	if s.Self != recipient {
		if err := m.split(share); err != nil {
			return nil, err
		}
	}
	return m, m.whole(m.finish)
}

// split draws random parts that add up to lambda*share, and commits to them.
func (m *Repair) split(share *KeyShare) error {
	curve := m.public.suite.Curve()
	lambda, err := shamir.LagrangeAt(curve, numbers(m.helpers), uint16(share.self), uint16(m.recipient))
	if err != nil {
		return err
	}
	rest := lambda.Mul(share.share)
	out := binary.BigEndian.AppendUint16([]byte{messageVersion}, uint16(len(m.helpers)))
	for i, id := range m.helpers {
		part := rest
		if i < len(m.helpers)-1 {
			part = curve.RandomScalar()
			rest = rest.Sub(part)
		}
		m.parts[id] = part
		out = append(out, curve.BaseMul(part).Bytes()...)
	}
	m.broadcast(roundSplit, out)
	return nil
}

// parseSplit reads a helper's commitments and checks that they add up to its weighted verifying share.
func parseSplit(public *PublicKey, helpers []tss.PartyID, recipient, from tss.PartyID, b []byte) ([]*group.Point, error) {
	r := reader{b: b}
	if r.byte() != messageVersion || int(r.uint16()) != len(helpers) {
		return nil, errMessage
	}
	sum := public.suite.Curve().Identity()
	var out []*group.Point
	for range helpers {
		p := r.point(public.suite)
		out, sum = append(out, p), sum.Add(p)
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	lambda, err := shamir.LagrangeAt(public.suite.Curve(), numbers(helpers), uint16(from), uint16(recipient))
	if err != nil {
		return nil, err
	}
	if !sum.Equal(public.suite.Curve().MultiMulVartime([]*group.Scalar{lambda}, []*group.Point{public.shares[from]})) {
		return nil, errMessage
	}
	return out, nil
}

// Step takes one message.
func (m *Repair) Step(e tss.Envelope) error {
	return m.step(e, func() error { return m.whole(m.finish) }, m.Close)
}

func (m *Repair) finish(round uint8) error {
	switch round {
	case roundSplit:
		m.broadcast(roundSplits, m.inbox.EchoPayload(roundSplit))
		return nil
	case roundSplits:
		return m.finishSplits()
	case roundPart:
		return m.finishParts()
	}
	return m.finishColumns()
}

func (m *Repair) finishSplits() error {
	if err := m.inbox.CheckEchoes(roundSplit, m.notary.Open); err != nil {
		return err
	}
	for _, id := range m.helpers {
		e := m.inbox.Get(roundSplit, id)
		split, err := parseSplit(m.public, m.helpers, m.recipient, id, e.Payload)
		if err != nil {
			return &tss.Fault{Party: id, Round: roundSplit, Check: CheckSplit, Evidence: tss.EncodeEvidence(e.Signed)}
		}
		m.splits[id] = split
	}
	for _, to := range m.helpers {
		if m.session.Self != m.recipient && to != m.session.Self {
			m.send(roundPart, to, m.parts[to].Bytes())
		}
	}
	return nil
}

// placeOf is a helper's position, which is its column in every split; -1 for others.
func placeOf(helpers []tss.PartyID, id tss.PartyID) int {
	for i, h := range helpers {
		if h == id {
			return i
		}
	}
	return -1
}

func (m *Repair) finishParts() error {
	self := m.session.Self
	if self == m.recipient {
		return nil
	}
	curve, sum := m.public.suite.Curve(), m.parts[self]
	for _, id := range m.helpers {
		if id == self {
			continue
		}
		e := m.inbox.Get(roundPart, id)
		part, err := curve.DecodeScalar(e.Payload)
		if err != nil || !curve.BaseMul(part).Equal(m.splits[id][placeOf(m.helpers, self)]) {
			return &tss.Fault{Party: id, Round: roundPart, Check: CheckPart, Evidence: tss.EncodeEvidence(e.Signed, m.inbox.Get(roundSplit, id).Signed)}
		}
		sum = sum.Add(part)
	}
	m.send(roundColumn, m.recipient, sum.Bytes())
	sum.Erase()
	return nil
}

// column is the commitment to the sum that helper id must send.
func column(splits map[tss.PartyID][]*group.Point, place int, curve group.Curve) *group.Point {
	sum := curve.Identity()
	for _, split := range splits {
		sum = sum.Add(split[place])
	}
	return sum
}

func (m *Repair) finishColumns() error {
	m.finished = true
	if m.session.Self != m.recipient {
		return nil
	}
	curve := m.public.suite.Curve()
	share := curve.Zero()
	for i, id := range m.helpers {
		e := m.inbox.Get(roundColumn, id)
		sum, err := curve.DecodeScalar(e.Payload)
		if err != nil || !curve.BaseMul(sum).Equal(column(m.splits, i, curve)) {
			m.finished = false
			return &tss.Fault{Party: id, Round: roundColumn, Check: CheckColumn, Evidence: tss.EncodeEvidence(e.Signed, m.inbox.Get(roundSplits, id).Signed)}
		}
		share = share.Add(sum)
	}
	defer share.Erase()
	result, err := newKeyShare(m.public, m.recipient, share)
	m.result = result
	return err
}

// Result is the repaired share at the recipient, nil at a helper. The caller owns it.
func (m *Repair) Result() (*KeyShare, bool) { return m.result, m.finished && !m.dead }

// Close erases the parts. It may be called twice.
func (m *Repair) Close() {
	for _, p := range m.parts {
		p.Erase()
	}
	if !m.finished {
		m.dead = true
	}
}
