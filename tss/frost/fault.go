package frost

import (
	"errors"

	"chancery.dev/internal/group"
	"chancery.dev/tss"
)

// Protocol names a machine of this package.
type Protocol uint8

// The protocols.
const (
	ProtocolKeygen Protocol = iota + 1
	ProtocolRefresh
	ProtocolReshare
	ProtocolPreprocess
	ProtocolSigning
	ProtocolRepair
)

// Context is the public data that evidence is judged by: what the run was about, and how to open signed messages.
type Context struct {
	Protocol  Protocol
	Session   tss.Session // Self is not looked at
	Suite     Suite
	Public    *PublicKey  // the key before the run; nil in key generation
	Reshare   Reshare     // resharing
	Recipient tss.PartyID // repair
	Batch     int         // preprocessing
	Messages  []Message   // signing
	Open      func(signed []byte) (tss.Envelope, error)
}

// roundsOf is which checks a protocol makes, each on the messages of one round. An accusation of anything else is refused:
// a message is judged only by the rules of the round that it was signed for.
func (p Protocol) roundsOf() map[string]uint8 {
	switch p {
	case ProtocolKeygen, ProtocolRefresh, ProtocolReshare:
		return map[string]uint8{CheckPackage: roundPackage, CheckProof: roundPackage, tss.CheckEcho: roundEcho, CheckShare: roundShare,
			CheckVerdict: roundVerdict, CheckComplaint: roundVerdict, CheckConfirm: roundVerdict}
	case ProtocolPreprocess:
		return map[string]uint8{CheckCommitments: roundCommitments, tss.CheckEcho: roundAgreed}
	case ProtocolSigning:
		return map[string]uint8{CheckCommitments: roundCommitments, tss.CheckEcho: roundAgreed, CheckPartial: roundPartials}
	case ProtocolRepair:
		return map[string]uint8{CheckSplit: roundSplit, tss.CheckEcho: roundSplits, CheckPart: roundPart, CheckColumn: roundColumn}
	}
	return nil
}

// VerifyFault is nil when the evidence convicts the accused. It is pure, looks at each message by itself, and believes
// nothing but signatures: an honest party has never signed anything that it accepts.
func VerifyFault(c Context, f *tss.Fault) error {
	shapes, err := c.shapes(f.Party)
	if err != nil {
		return err
	}
	switch f.Check {
	case tss.CheckEquivocation:
		return tss.VerifyEquivocation(f, c.Session.ID(), c.Open)
	case tss.CheckRound, tss.CheckRecipient:
		return c.verifyAddress(f)
	}
	if round, made := c.Protocol.roundsOf()[f.Check]; !made || round != f.Round {
		return tss.ErrEvidence
	}
	if f.Check == tss.CheckEcho {
		return tss.VerifyEcho(f, c.Session.ID(), shapes[0].Senders, c.Open)
	}
	signed, err := c.open(f)
	if err != nil {
		return err
	}
	if guilty, err := c.judge(f, signed); err != nil || !guilty {
		return errors.Join(tss.ErrEvidence, err)
	}
	return nil
}

// open opens every message of the evidence. The first is the accused's own.
func (c Context) open(f *tss.Fault) ([]tss.Envelope, error) {
	list, err := tss.DecodeEvidence(f.Evidence)
	if err != nil || len(list) == 0 {
		return nil, tss.ErrEvidence
	}
	out := make([]tss.Envelope, len(list))
	for i, signed := range list {
		e, err := c.Open(signed)
		if err != nil || e.Session != c.Session.ID() {
			return nil, tss.ErrEvidence
		}
		e.Signed = signed
		out[i] = e
	}
	if out[0].From != f.Party || out[0].Round != f.Round {
		return nil, tss.ErrEvidence
	}
	return out, nil
}

// plan is the dealing that the context speaks of.
func (c Context) plan() (plan, error) {
	switch c.Protocol {
	case ProtocolKeygen:
		return dkgPlan(c.Session, c.Suite, c.Session.IDs()), nil
	case ProtocolRefresh:
		return refreshPlan(c.Session, c.Public)
	case ProtocolReshare:
		return resharePlan(c.Session, c.Public, c.Reshare)
	}
	return plan{}, tss.ErrEvidence
}

func (c Context) helpers() []tss.PartyID {
	var out []tss.PartyID
	for _, id := range c.Session.IDs() {
		if id != c.Recipient {
			out = append(out, id)
		}
	}
	return out
}

// shapes is who sends what, as seen by one party.
func (c Context) shapes(self tss.PartyID) ([]tss.Shape, error) {
	everyone := tss.Shape{Senders: c.Session.IDs()}
	switch c.Protocol {
	case ProtocolPreprocess:
		return []tss.Shape{everyone, everyone}, nil
	case ProtocolSigning:
		return []tss.Shape{everyone, everyone, everyone}, nil
	case ProtocolRepair:
		parts, columns := tss.Shape{Direct: true}, tss.Shape{Direct: true}
		if self == c.Recipient {
			columns.Senders = c.helpers()
		} else {
			parts.Senders = c.helpers()
		}
		return []tss.Shape{{Senders: c.helpers()}, everyone, parts, columns}, nil
	}
	p, err := c.plan()
	if err != nil {
		return nil, err
	}
	shares := tss.Shape{Direct: true}
	if has(p.receivers, self) {
		shares.Senders = p.dealers
	}
	return []tss.Shape{{Senders: p.dealers}, everyone, shares, everyone}, nil
}

// verifyAddress is nil when the accused signed a message in a round, or to a recipient, that it may not send in or to.
func (c Context) verifyAddress(f *tss.Fault) error {
	list, err := tss.DecodeEvidence(f.Evidence)
	if err != nil || len(list) != 1 {
		return tss.ErrEvidence
	}
	e, err := c.Open(list[0])
	if err != nil || e.From != f.Party || e.Session != c.Session.ID() {
		return tss.ErrEvidence
	}
	s := c.Session
	s.Self = e.To
	for _, id := range s.IDs() {
		if e.To == tss.Everyone && id != f.Party {
			s.Self = id
			break
		}
	}
	shapes, err := c.shapes(s.Self)
	if err != nil {
		return err
	}
	var fault *tss.Fault
	if err := tss.NewInbox(s, shapes...).Accept(e); !errors.As(err, &fault) || fault.Check != f.Check {
		return tss.ErrEvidence
	}
	return nil
}

// echoed opens the messages of a round that the accused's own echo lists. Evidence that needs other parties' messages takes
// them from there: a message that the accused never saw, signed later by whoever wants to frame it, is not in its echo.
func (c Context) echoed(echo tss.Envelope, accused tss.PartyID, round uint8, senders []tss.PartyID) ([]tss.Envelope, bool) {
	list, err := tss.DecodeEvidence(echo.Payload) // an echo has the same form
	if err != nil || echo.From != accused || echo.Round != round+1 || len(list) != len(senders) {
		return nil, false
	}
	out := make([]tss.Envelope, len(list))
	for i, signed := range list {
		e, err := c.Open(signed)
		if err != nil || e.Session != c.Session.ID() || e.From != senders[i] || e.Round != round {
			return nil, false
		}
		out[i] = e
	}
	return out, true
}

// judge says whether the opened evidence convicts. Each check is the one that the machine makes, for one message.
func (c Context) judge(f *tss.Fault, m []tss.Envelope) (bool, error) {
	switch f.Check {
	case CheckPackage, CheckProof, CheckShare, CheckVerdict, CheckComplaint, CheckConfirm:
		p, err := c.plan()
		if err != nil {
			return false, err
		}
		return c.judgeDealing(p, f, m)
	case CheckCommitments:
		n := c.Batch
		if c.Protocol == ProtocolSigning {
			n = len(c.Messages)
		}
		_, err := parseCommitments(c.Suite, f.Party, n, m[0].Payload)
		return err != nil, nil
	case CheckPartial:
		return c.judgePartial(f, m)
	case CheckSplit, CheckPart, CheckColumn:
		return c.judgeRepair(f, m)
	}
	return false, nil
}

func (c Context) judgeDealing(p plan, f *tss.Fault, m []tss.Envelope) (bool, error) {
	session := c.Session.ID()
	switch f.Check {
	case CheckPackage:
		pkg, err := p.parsePackage(m[0].Payload)
		return err != nil || !p.constantAllowed(f.Party, pkg), nil
	case CheckProof:
		pkg, err := p.parsePackage(m[0].Payload)
		return p.constant != constantZero && err == nil && !pkg.proof.verify(p.suite, session[:], f.Party, pkg.commitment[0]), nil
	case CheckShare:
		if len(m) != 2 || m[1].From != f.Party || m[1].Round != roundPackage {
			return false, nil
		}
		fits, err := p.shareFits(m[0], m[1])
		return err == nil && !fits, nil
	case CheckVerdict:
		_, _, err := parseVerdict(m[0].Payload)
		return err != nil, nil
	}
	return c.judgeVerdict(p, f, m)
}

// shareFits checks a signed share against a signed package.
func (p plan) shareFits(share, pkg tss.Envelope) (bool, error) {
	d, err := p.parsePackage(pkg.Payload)
	if err != nil {
		return false, err
	}
	value, err := p.suite.Curve().DecodeScalar(share.Payload)
	if err != nil || share.To == tss.Everyone || !has(p.receivers, share.To) {
		return false, nil
	}
	return p.suite.Curve().BaseMul(value).Equal(d.commitment.Eval(uint16(share.To))), nil
}

// judgeVerdict replays the packages that the verdict speaks of.
func (c Context) judgeVerdict(p plan, f *tss.Fault, m []tss.Envelope) (bool, error) {
	if len(m) != 2 {
		return false, nil
	}
	packages, ok := c.echoed(m[1], f.Party, roundPackage, p.dealers)
	if !ok {
		return false, nil
	}
	d := &Dealing{plan: p, packages: map[tss.PartyID]dealt{}}
	d.session, d.id, d.notary = c.Session, c.Session.ID(), opener{c.Open}
	d.inbox = tss.NewInbox(c.Session)
	for i, j := range p.dealers {
		pkg, err := p.parsePackage(packages[i].Payload)
		if err != nil {
			return false, nil
		}
		d.packages[j] = pkg
		d.inbox.Keep(packages[i])
	}
	public, err := d.newPublic()
	if err != nil {
		return false, err
	}
	d.digest = d.confirmation(public)
	var fault *tss.Fault
	return errors.As(d.judge(m[0]), &fault) && fault.Party == f.Party && fault.Check == f.Check, nil
}

// opener is a notary that signs nothing.
type opener struct {
	open func([]byte) (tss.Envelope, error)
}

func (o opener) Open(signed []byte) (tss.Envelope, error) { return o.open(signed) }
func (opener) Seal(tss.Envelope) []byte                   { return nil }

func (c Context) judgePartial(f *tss.Fault, m []tss.Envelope) (bool, error) {
	ids := c.Session.IDs()
	if len(m) != 2 {
		return false, nil
	}
	commitments, ok := c.echoed(m[1], f.Party, roundCommitments, ids)
	if !ok {
		return false, nil
	}
	lists := make([][]Commitment, len(c.Messages))
	for i, id := range ids {
		all, err := parseCommitments(c.Suite, id, len(c.Messages), commitments[i].Payload)
		if err != nil {
			return false, nil
		}
		for j, commitment := range all {
			lists[j] = append(lists[j], commitment)
		}
	}
	partials, err := parsePartials(c.Suite, f.Party, len(c.Messages), m[0].Payload)
	if err != nil {
		return true, nil
	}
	for j, message := range c.Messages {
		pkg, err := NewSigningPackage(c.Public, lists[j], message.Bytes, message.Derivation)
		if err != nil {
			return false, err
		}
		if pkg.Verify(partials[j]) != nil {
			return true, nil
		}
	}
	return false, nil
}

func (c Context) judgeRepair(f *tss.Fault, m []tss.Envelope) (bool, error) {
	helpers, curve := c.helpers(), c.Suite.Curve()
	splitOf := func(e tss.Envelope) ([]*group.Point, error) {
		return parseSplit(c.Public, helpers, c.Recipient, e.From, e.Payload)
	}
	switch {
	case f.Check == CheckSplit:
		_, err := splitOf(m[0])
		return err != nil, nil
	case f.Check == CheckPart && len(m) == 2 && m[1].From == f.Party && m[1].Round == roundSplit:
		split, err := splitOf(m[1])
		place := placeOf(helpers, m[0].To)
		if err != nil || place < 0 {
			return false, nil
		}
		part, err := curve.DecodeScalar(m[0].Payload)
		return err != nil || !curve.BaseMul(part).Equal(split[place]), nil
	case f.Check == CheckColumn && len(m) == 2:
		listed, ok := c.echoed(m[1], f.Party, roundSplit, helpers)
		if !ok {
			return false, nil
		}
		splits := map[tss.PartyID][]*group.Point{}
		for i, id := range helpers {
			split, err := splitOf(listed[i])
			if err != nil {
				return false, nil
			}
			splits[id] = split
		}
		sum, err := curve.DecodeScalar(m[0].Payload)
		return err != nil || !curve.BaseMul(sum).Equal(column(splits, placeOf(helpers, f.Party), curve)), nil
	}
	return false, nil
}
