package cggmp24

import (
	"errors"
	"slices"

	"chancery.dev/internal/group"
	"chancery.dev/internal/paillier"
	"chancery.dev/tss"
)

// Protocol names a machine of this package.
type Protocol uint8

// The protocols.
const (
	ProtocolKeygen Protocol = iota + 1
	ProtocolRefresh
	ProtocolReshare
	ProtocolAuxiliary
	ProtocolPresign
)

// Context is the public data that evidence is judged by.
type Context struct {
	Protocol Protocol
	Session  tss.Session               // Self is not looked at
	Public   *PublicKey                // the key before the run; nil in key generation and for auxiliary information
	Reshare  Reshare                   // resharing
	Keys     map[tss.PartyID]AuxPublic // presigning
	Open     func(signed []byte) (tss.Envelope, error)
}

// roundsOf is which checks a protocol makes, each on the messages of one round.
func (p Protocol) roundsOf() map[string]uint8 {
	switch p {
	case ProtocolKeygen, ProtocolRefresh, ProtocolReshare:
		return map[string]uint8{tss.CheckEcho: roundEcho, CheckOpening: roundOpen, CheckPolynomial: roundOpen, CheckShare: roundShare,
			CheckVerdict: roundVerdict, CheckComplaint: roundVerdict, CheckConfirm: roundVerdict, CheckProof: roundVerdict}
	case ProtocolAuxiliary:
		return map[string]uint8{tss.CheckEcho: roundAuxEcho, CheckAuxOpening: roundAuxOpen, CheckModulus: roundAuxOpen, CheckPrm: roundAuxOpen,
			CheckMod: roundAuxMod, CheckFac: roundAuxFac, CheckAuxConfirm: roundAuxConfirm}
	case ProtocolPresign:
		return map[string]uint8{CheckNonces: roundNonces, CheckEncElgK: roundEncElg, CheckEncElgG: roundEncElg, CheckGamma: roundGamma,
			CheckAffG: roundAffine, CheckAffGHat: roundAffine, CheckDelta: roundDelta, CheckAlert: roundAlert, CheckDec: roundAlert}
	}
	return nil
}

// VerifyFault is nil when the evidence convicts the accused. It is pure, checks every proof by itself, and believes nothing
// but signatures. What others sent is taken only from where the accused itself vouched for it.
func VerifyFault(c Context, f *tss.Fault) error {
	shapes, err := c.shapes(f.Party)
	if err != nil {
		return err
	}
	echoes := []uint8{roundCommit}
	if c.Protocol == ProtocolPresign {
		echoes = []uint8{roundNonces, roundDelta}
	}
	switch f.Check {
	case tss.CheckEquivocation:
		return tss.VerifyEquivocation(f, c.Session.ID(), c.Open)
	case tss.CheckRound, tss.CheckRecipient:
		return c.verifyAddress(f, shapes)
	case tss.CheckEcho:
		if !slices.Contains(echoes, f.Round-1) {
			return tss.ErrEvidence
		}
		return tss.VerifyEcho(f, c.Session.ID(), shapes[0].Senders, c.Open)
	}
	if round, made := c.Protocol.roundsOf()[f.Check]; !made || round != f.Round {
		return tss.ErrEvidence
	}
	m, err := c.open(f)
	if err != nil {
		return err
	}
	if !c.judge(f, m) {
		return tss.ErrEvidence
	}
	return nil
}

func (c Context) shapes(self tss.PartyID) ([]tss.Shape, error) {
	switch c.Protocol {
	case ProtocolAuxiliary:
		return auxShapes(c.Session), nil
	case ProtocolPresign:
		return presignShapes(c.Session), nil
	}
	pl, err := c.plan()
	if err != nil {
		return nil, err
	}
	return pl.shapes(self), nil
}

func (c Context) plan() (plan, error) {
	switch c.Protocol {
	case ProtocolKeygen:
		return keygenPlan(c.Session), nil
	case ProtocolRefresh:
		return refreshPlan(c.Session, c.Public)
	case ProtocolReshare:
		return resharePlan(c.Session, c.Public, c.Reshare)
	}
	return plan{}, tss.ErrEvidence
}

// verifyAddress is nil when the accused signed a message for a round or recipient that it has none for.
func (c Context) verifyAddress(f *tss.Fault, _ []tss.Shape) error {
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
	if e.To == tss.Everyone {
		for _, id := range s.IDs() {
			if id != f.Party {
				s.Self = id
			}
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

// open opens every message of the evidence. The first is the accused's own, of the round of the check.
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

// echoed opens the messages of a round that the accused's own echo lists, by sender.
func (c Context) echoed(echo tss.Envelope, accused tss.PartyID, round uint8) map[tss.PartyID]tss.Envelope {
	list, err := tss.DecodeEvidence(echo.Payload)
	ids := c.Session.IDs()
	if err != nil || echo.From != accused || len(list) != len(ids) {
		return nil
	}
	out := map[tss.PartyID]tss.Envelope{}
	for i, signed := range list {
		e, err := c.Open(signed)
		if err != nil || e.Session != c.Session.ID() || e.From != ids[i] || e.Round != round {
			return nil
		}
		out[ids[i]] = e
	}
	return out
}

// byAll is a message of one round from each party of the session, ascending.
func (c Context) byAll(m []tss.Envelope, round uint8) map[tss.PartyID]tss.Envelope {
	ids := c.Session.IDs()
	if len(m) != len(ids) {
		return nil
	}
	out := map[tss.PartyID]tss.Envelope{}
	for i, e := range m {
		if e.From != ids[i] || e.Round != round {
			return nil
		}
		out[ids[i]] = e
	}
	return out
}

// own says whether a message is the accused's, of a round.
func own(e tss.Envelope, f *tss.Fault, round uint8) bool {
	return e.From == f.Party && e.Round == round
}

func (c Context) judge(f *tss.Fault, m []tss.Envelope) bool {
	switch c.Protocol {
	case ProtocolAuxiliary:
		return c.judgeAux(f, m)
	case ProtocolPresign:
		return c.judgePresign(f, m)
	}
	pl, err := c.plan()
	return err == nil && c.judgeDealing(pl, f, m)
}

func (c Context) judgeDealing(pl plan, f *tss.Fault, m []tss.Envelope) bool {
	id := c.Session.ID()
	switch f.Check {
	case CheckOpening, CheckPolynomial:
		if len(m) != 2 || !own(m[1], f, roundCommit) {
			return false
		}
		_, check := pl.checkOpening(id, f.Party, m[1].Payload, m[0].Payload)
		return check == f.Check
	case CheckShare:
		if len(m) != 3 || !own(m[1], f, roundOpen) || !own(m[2], f, roundCommit) || !has(pl.receivers, m[0].To) {
			return false
		}
		o, check := pl.checkOpening(id, f.Party, m[2].Payload, m[1].Payload)
		if check != "" {
			return false
		}
		share, err := curve.DecodeScalar(m[0].Payload)
		return err != nil || !shareFits(o, m[0].To, share)
	}
	if len(m) != 2+len(c.Session.Parties) || !own(m[1], f, roundEcho) {
		return false
	}
	commits, opens := c.echoed(m[1], f.Party, roundCommit), c.byAll(m[2:], roundOpen)
	openings := map[tss.PartyID]opening{}
	for j, e := range opens {
		o, check := pl.checkOpening(id, j, commits[j].Payload, e.Payload)
		if check != "" {
			return false
		}
		openings[j] = o
	}
	if len(openings) != len(c.Session.Parties) {
		return false
	}
	public, err := pl.newPublic(openings)
	if err != nil {
		return false
	}
	fault := pl.judgeVerdict(id, public, openings, m[0], c.Open)
	return fault != nil && fault.Party == f.Party && fault.Check == f.Check
}

func (c Context) judgeAux(f *tss.Fault, m []tss.Envelope) bool {
	id := c.Session.ID()
	switch f.Check {
	case CheckAuxOpening, CheckPrm:
		if len(m) != 2 || !own(m[1], f, roundAuxCommit) {
			return false
		}
		_, _, check := checkAuxOpening(id, f.Party, m[1].Payload, m[0].Payload)
		return check == f.Check
	case CheckModulus:
		if len(m) != 2 || !own(m[1], f, roundAuxCommit) {
			return false
		}
		o, _, check := checkAuxOpening(id, f.Party, m[1].Payload, m[0].Payload)
		return check == f.Check || check == "" && shared(o.n, o.nHat)
	}
	if len(m) != 2+len(c.Session.Parties) || !own(m[1], f, roundAuxEcho) {
		return false
	}
	commits, opens := c.echoed(m[1], f.Party, roundAuxCommit), c.byAll(m[2:], roundAuxOpen)
	keys := map[tss.PartyID]AuxPublic{}
	var rid [32]byte
	for j, e := range opens {
		o, k, check := checkAuxOpening(id, j, commits[j].Payload, e.Payload)
		if check != "" {
			return false
		}
		keys[j] = k
		for i := range rid {
			rid[i] ^= o.rid[i]
		}
	}
	if len(keys) != len(c.Session.Parties) {
		return false
	}
	switch f.Check {
	case CheckMod:
		return checkMod(id, f.Party, keys[f.Party], rid, m[0].Payload) != nil
	case CheckFac:
		to, known := keys[m[0].To]
		return known && m[0].To != f.Party && checkFac(id, f.Party, m[0].To, keys[f.Party], to.Pedersen, rid, m[0].Payload) != nil
	case CheckAuxConfirm:
		digest := auxDigest(id, keys, c.Session.IDs())
		return !slices.Equal(m[0].Payload, digest[:])
	}
	return false
}

func (c Context) judgePresign(f *tss.Fault, m []tss.Envelope) bool {
	s, err := newSigning(c.Session, c.Public, c.Keys)
	if err != nil {
		return false
	}
	switch f.Check {
	case CheckNonces:
		_, err := s.parseNonces(f.Party, m[0].Payload)
		return len(m) == 1 && err != nil
	case CheckEncElgK, CheckEncElgG, CheckGamma:
		if len(m) != 2 || !own(m[1], f, roundNonces) {
			return false
		}
		nonces, err := s.parseNonces(f.Party, m[1].Payload)
		if err != nil {
			return false
		}
		if f.Check == CheckGamma {
			_, check := s.checkGamma(f.Party, nonces, m[0].Payload)
			return check != ""
		}
		return has(s.othersOf(f.Party), m[0].To) && s.checkEncElg(f.Party, m[0].To, nonces, m[0].Payload) == f.Check
	case CheckAffG, CheckAffGHat:
		return c.judgeAffine(s, f, m)
	case CheckDelta:
		if len(m) != 2+len(c.Session.Parties) || !own(m[1], f, roundNonces2) {
			return false
		}
		nonces, _, gamma := c.gammas(s, f, m[1], m[2:])
		if gamma == nil {
			return false
		}
		_, check := s.checkDelta(f.Party, nonces[f.Party], gamma, m[0].Payload)
		return check != ""
	case CheckAlert:
		return c.judgeAlert(s, f, m)
	}
	return c.judgeDec(s, f, m)
}

// nonces are everybody's messages of round 1 as the accused's own echo lists them.
func (c Context) nonces(s signing, f *tss.Fault, echo tss.Envelope) map[tss.PartyID]nonceMessage {
	out := map[tss.PartyID]nonceMessage{}
	for j, e := range c.echoed(echo, f.Party, roundNonces) {
		n, err := s.parseNonces(j, e.Payload)
		if err != nil {
			return nil
		}
		out[j] = n
	}
	if len(out) != len(c.Session.Parties) {
		return nil
	}
	return out
}

// gammas are everybody's Γ, each proved to be what round 1 fixed, and their sum; nil when one is not.
func (c Context) gammas(s signing, f *tss.Fault, echo tss.Envelope, messages []tss.Envelope) (map[tss.PartyID]nonceMessage, map[tss.PartyID]*group.Point, *group.Point) {
	nonces, all := c.nonces(s, f, echo), c.byAll(messages, roundGamma)
	if nonces == nil || all == nil {
		return nil, nil, nil
	}
	sum, out := curve.Identity(), map[tss.PartyID]*group.Point{}
	for j, e := range all {
		gamma, check := s.checkGamma(j, nonces[j], e.Payload)
		if check != "" {
			return nil, nil, nil
		}
		out[j], sum = gamma, sum.Add(gamma)
	}
	return nonces, out, sum
}

func (c Context) judgeAffine(s signing, f *tss.Fault, m []tss.Envelope) bool {
	if len(m) != 3 || !own(m[1], f, roundGamma) || !own(m[2], f, roundNonces2) || !has(s.othersOf(f.Party), m[0].To) {
		return false
	}
	nonces := c.nonces(s, f, m[2])
	if nonces == nil {
		return false
	}
	gamma, check := s.checkGamma(f.Party, nonces[f.Party], m[1].Payload)
	if check != "" {
		return false
	}
	_, check = s.checkAffine(f.Party, m[0].To, nonces[m[0].To].k, gamma, m[0].Payload)
	return check == f.Check
}

// deltas are everybody's messages of round 6 as the accused's own echo lists them.
func (c Context) deltas(f *tss.Fault, echo tss.Envelope) map[tss.PartyID]deltaMessage {
	out := map[tss.PartyID]deltaMessage{}
	for j, e := range c.echoed(echo, f.Party, roundDelta) {
		d, err := parseDelta(e.Payload)
		if err != nil {
			return nil
		}
		out[j] = d
	}
	if len(out) != len(c.Session.Parties) {
		return nil
	}
	return out
}

func (c Context) judgeAlert(s signing, f *tss.Fault, m []tss.Envelope) bool {
	if len(m) != 2 || !own(m[1], f, roundDelta2) {
		return false
	}
	deltas := c.deltas(f, m[1])
	if deltas == nil {
		return false
	}
	alert, err := s.parseAlert(f.Party, m[0].Payload, c.Open)
	if err != nil {
		return true
	}
	_, kind := s.sums(deltas)
	return alert.kind != kind
}

func (c Context) judgeDec(s signing, f *tss.Fault, m []tss.Envelope) bool {
	n := len(c.Session.Parties)
	if len(m) != 3+2*n || !own(m[1], f, roundNonces2) || !own(m[2], f, roundDelta2) {
		return false
	}
	nonces, gammas, gamma := c.gammas(s, f, m[1], m[3:3+n])
	deltas, all := c.deltas(f, m[2]), c.byAll(m[3+n:], roundAlert)
	if gamma == nil || deltas == nil || all == nil {
		return false
	}
	accused, err := s.parseAlert(f.Party, m[0].Payload, c.Open)
	if err != nil {
		return false
	}
	cl := claim{accused.kind, nonces[f.Party].k, gammas[f.Party], gamma, deltas[f.Party], map[tss.PartyID]affineMessage{}, map[tss.PartyID]affineMessage{}}
	for _, j := range s.othersOf(f.Party) {
		theirs, err := s.parseAlert(j, all[j].Payload, c.Open)
		if err != nil {
			return false
		}
		var check1, check2 string
		cl.got[j], check1 = s.checkAffine(j, f.Party, nonces[f.Party].k, gammas[j], accused.shown[j].Payload)
		cl.sent[j], check2 = s.checkAffine(f.Party, j, nonces[j].k, gammas[f.Party], theirs.shown[f.Party].Payload)
		if check1 != "" || check2 != "" {
			return false
		}
	}
	return params.VerifyDec(s.context(f.Party, 0, accused.kind.role()), s.decStatement(f.Party, cl), accused.dec) != nil
}

// PublicKeys are the public part of auxiliary information, without anybody's trapdoor: what a third party has.
func (a *Aux) PublicKeys() map[tss.PartyID]AuxPublic {
	out := map[tss.PartyID]AuxPublic{}
	for id, k := range a.public {
		pk, err1 := paillier.NewPublicKey(k.Paillier.N().Big(), params.Modulus)
		ped, err2 := paillier.NewPedersen(k.Pedersen.N().Big(), k.Pedersen.S(), k.Pedersen.T(), params.Modulus)
		if err1 != nil || err2 != nil {
			panic("cggmp24: keys that were valid are not") // they were made by the same constructors
		}
		out[id] = AuxPublic{pk, ped}
	}
	return out
}
