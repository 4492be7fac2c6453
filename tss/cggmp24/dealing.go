package cggmp24

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"chancery.dev/internal/group"
	"chancery.dev/internal/secret"
	"chancery.dev/internal/shamir"
	"chancery.dev/internal/transcript"
	"chancery.dev/internal/zk"
	"chancery.dev/tss"
)

// Rounds of a dealing: key generation, refresh of the shares, resharing.
const (
	roundCommit  = 1 // everyone to everyone: hash of the opening
	roundEcho    = 2 // everyone to everyone: the signed hashes
	roundOpen    = 3 // everyone to everyone: Feldman commitment, Schnorr commitment, randomness
	roundShare   = 4 // dealer to receiver: the receiver's share
	roundVerdict = 5 // everyone to everyone: result and proof of the share, or a complaint with the signed share
)

// Names of the checks of a dealing.
const (
	CheckOpening    = "opening"    // malformed, or not what was committed to
	CheckPolynomial = "polynomial" // wrong length, or a constant term that is not allowed
	CheckShare      = "share"      // a share that does not lie on the committed polynomial
	CheckVerdict    = "verdict"    // malformed verdict
	CheckComplaint  = "complaint"  // a complaint about a share that is right, or about nothing
	CheckConfirm    = "confirm"    // a confirmation of another result
	CheckProof      = "proof"      // proof of knowledge of the share
)

type constantRule uint8

const (
	constantFree  constantRule = iota // key generation
	constantZero                      // refresh: the identity, which is not sent
	constantShare                     // resharing: the dealer's known share
)

// plan says who deals, who receives, and what the constant terms must be.
type plan struct {
	session   tss.Session
	threshold int
	dealers   []tss.PartyID
	receivers []tss.PartyID
	constant  constantRule
	old       *PublicKey // refresh, reshare
}

// opening is what a party committed to: a dealer's polynomial, a receiver's commitment for the proof of its share, and its
// part of the joint randomness.
type opening struct {
	polynomial shamir.Commitment
	proof      *group.Point
	rid, chain [32]byte
	salt       [32]byte
}

func (pl plan) degreePoints() int {
	if pl.constant == constantZero {
		return pl.threshold - 1
	}
	return pl.threshold
}

// marshal is: version, rid, chain code part, salt, number of points (2 bytes), the points, and A of a receiver.
func (o opening) marshal(pl plan, from tss.PartyID) []byte {
	out := slices.Concat([]byte{version}, o.rid[:], o.chain[:], o.salt[:])
	points := o.polynomial
	if pl.constant == constantZero && len(points) > 0 {
		points = points[1:]
	}
	out = binary.BigEndian.AppendUint16(out, uint16(len(points)))
	for _, p := range points {
		out = append(out, p.Bytes()...)
	}
	if has(pl.receivers, from) {
		out = append(out, o.proof.Bytes()...)
	}
	return out
}

// parseOpening reads an opening. The number of points is exactly what the plan says: more would raise the threshold, fewer
// lower it.
func (pl plan) parseOpening(from tss.PartyID, b []byte) (opening, string) {
	r := reader{b: b}
	var o opening
	if r.byte() != version {
		return o, CheckOpening
	}
	o.rid, o.chain, o.salt = r.array32(), r.array32(), r.array32()
	n, want := int(r.uint16()), 0
	if has(pl.dealers, from) {
		want = pl.degreePoints()
	}
	if r.failed {
		return o, CheckOpening
	}
	if n != want {
		return o, CheckPolynomial
	}
	if pl.constant == constantZero {
		o.polynomial = shamir.Commitment{curve.Identity()}
	}
	o.polynomial = append(o.polynomial, r.points(n)...)
	if has(pl.receivers, from) {
		o.proof = r.point()
	}
	if r.end() != nil {
		return o, CheckOpening
	}
	if pl.constant == constantShare && n > 0 && !o.polynomial[0].Equal(pl.old.shares[from]) {
		return o, CheckPolynomial
	}
	return o, ""
}

// commitmentTo is V: a hash of an opening, bound to the session and its maker.
func commitmentTo(session tss.SessionID, kind string, from tss.PartyID, opening []byte) [32]byte {
	t := transcript.New("chancery/cggmp24/" + kind + "/commitment/v1")
	t.Bytes("session", session[:])
	t.Uint64("party", uint64(from))
	t.Bytes("opening", opening)
	return t.Sum()
}

// Dealing is the machine of key generation, refresh and resharing. Its result is this party's new share, or nil for a
// dealer that receives none.
type Dealing struct {
	run
	plan
	poly     *shamir.Polynomial
	own      opening
	nonce    *zk.SchNonce
	oldShare *KeyShare // not owned
	openings map[tss.PartyID]opening
	result   *KeyShare
	pending  *KeyShare
	digest   [32]byte
}

// NewKeygen starts t-of-n key generation among all parties of the session.
func NewKeygen(s tss.Session, notary tss.Notary) (*Dealing, error) {
	constant := curve.RandomScalar()
	defer constant.Erase()
	return newDealing(keygenPlan(s), notary, constant, nil)
}

func keygenPlan(s tss.Session) plan {
	return plan{session: s, threshold: s.Threshold, dealers: s.IDs(), receivers: s.IDs()}
}

// NewRefresh starts a refresh of the shares: every holder deals zero. All holders take part; set and threshold stay.
func NewRefresh(s tss.Session, old *KeyShare, notary tss.Notary) (*Dealing, error) {
	pl, err := refreshPlan(s, old.public)
	if err != nil {
		return nil, err
	}
	if old.self != s.Self {
		return nil, errors.New("share is of another party")
	}
	return newDealing(pl, notary, curve.Zero(), old)
}

func refreshPlan(s tss.Session, old *PublicKey) (plan, error) {
	if !slices.Equal(s.IDs(), old.ids) || s.Threshold != old.threshold {
		return plan{}, errors.New("a refresh keeps the holders and the threshold; reshare to change them")
	}
	return plan{session: s, threshold: old.threshold, dealers: old.ids, receivers: old.ids, constant: constantZero, old: old}, nil
}

// Reshare says who deals and who receives. Dealers are exactly the old threshold of holders; all nodes name the same.
type Reshare struct{ Dealers, Receivers []tss.PartyID }

// NewReshare moves a key to another set of holders or another threshold (session.Threshold). old is nil for a receiver that
// holds no share yet.
func NewReshare(s tss.Session, public *PublicKey, old *KeyShare, r Reshare, notary tss.Notary) (*Dealing, error) {
	pl, err := resharePlan(s, public, r)
	if err != nil {
		return nil, err
	}
	constant := curve.Zero()
	if has(r.Dealers, s.Self) {
		if old == nil || old.self != s.Self || !old.public.Equal(public) {
			return nil, errors.New("a dealer needs its share of this very key")
		}
		constant = old.share
	}
	return newDealing(pl, notary, constant, nil)
}

func resharePlan(s tss.Session, public *PublicKey, r Reshare) (plan, error) {
	pl := plan{session: s, threshold: s.Threshold, dealers: r.Dealers, receivers: r.Receivers, constant: constantShare, old: public}
	if len(r.Dealers) != public.threshold {
		return pl, errors.New("as many dealers as the old threshold are needed")
	}
	for _, ids := range [][]tss.PartyID{r.Dealers, r.Receivers} {
		for i, id := range ids {
			if !s.Has(id) || i > 0 && id <= ids[i-1] {
				return pl, errors.New("dealers and receivers must be ascending parties of the session")
			}
		}
	}
	for _, id := range s.IDs() {
		if !has(r.Dealers, id) && !has(r.Receivers, id) {
			return pl, errors.New("session has a party with no part")
		}
	}
	for _, id := range r.Dealers {
		if !has(public.ids, id) {
			return pl, errors.New("a dealer holds no share")
		}
	}
	return pl, nil
}

func (pl plan) shapes(self tss.PartyID) []tss.Shape {
	everyone := tss.Shape{Senders: pl.session.IDs()}
	shares := tss.Shape{Direct: true}
	if has(pl.receivers, self) {
		shares.Senders = pl.dealers
	}
	return []tss.Shape{everyone, everyone, everyone, shares, everyone}
}

func newDealing(pl plan, notary tss.Notary, constant *group.Scalar, old *KeyShare) (*Dealing, error) {
	s := pl.session
	if s.Suite != Suite {
		return nil, errors.New("session is of another suite")
	}
	if pl.threshold < MinThreshold || pl.threshold > min(len(pl.receivers), MaxThreshold) {
		return nil, fmt.Errorf("threshold %d of %d parties is not possible", pl.threshold, len(pl.receivers))
	}
	r, err := newRun(s, notary, pl.shapes(s.Self)...)
	if err != nil {
		return nil, err
	}
	d := &Dealing{run: r, plan: pl, oldShare: old, openings: map[tss.PartyID]opening{}}
	for _, b := range [][]byte{d.own.rid[:], d.own.chain[:], d.own.salt[:]} {
		secret.Read(b)
	}
	if has(pl.dealers, s.Self) {
		if d.poly, err = shamir.NewPolynomial(constant, pl.threshold-1); err != nil {
			return nil, err
		}
		d.own.polynomial = d.poly.Commit()
	}
	if has(pl.receivers, s.Self) {
		d.nonce = zk.NewSchNonce()
		d.own.proof = d.nonce.A
	}
	v := commitmentTo(d.id, "dealing", s.Self, d.own.marshal(pl, s.Self))
	d.broadcast(roundCommit, v[:])
	return d, d.whole(d.finish)
}

// Step takes one message and goes as far as the messages that are in allow.
func (d *Dealing) Step(e tss.Envelope) error {
	return d.step(e, func() error { return d.whole(d.finish) }, d.Close)
}

// finish is the protocol: each round, once it is whole, is finished in turn.
func (d *Dealing) finish(round uint8) error {
	switch round {
	case roundCommit:
		d.broadcast(roundEcho, d.inbox.EchoPayload(roundCommit))
	case roundEcho:
		if err := d.inbox.CheckEchoes(roundCommit, d.notary.Open); err != nil {
			return err
		}
		d.broadcast(roundOpen, d.own.marshal(d.plan, d.session().Self))
	case roundOpen:
		return d.finishOpenings()
	case roundShare:
		return d.finishShares()
	case roundVerdict:
		return d.finishVerdicts()
	}
	return nil
}

func (d *Dealing) session() tss.Session { return d.plan.session }

// checkOpening compares one opening with its commitment and reads it.
func (pl plan) checkOpening(id tss.SessionID, from tss.PartyID, commit, open []byte) (opening, string) {
	if v := commitmentTo(id, "dealing", from, open); !bytes.Equal(v[:], commit) {
		return opening{}, CheckOpening
	}
	return pl.parseOpening(from, open)
}

// finishOpenings checks everybody's opening, and only then lets shares go.
func (d *Dealing) finishOpenings() error {
	for _, j := range d.session().IDs() {
		o, check := d.checkOpening(d.id, j, d.inbox.Get(roundCommit, j).Payload, d.inbox.Get(roundOpen, j).Payload)
		if check != "" {
			return &tss.Fault{Party: j, Round: roundOpen, Check: check, Evidence: tss.EncodeEvidence(d.inbox.Get(roundOpen, j).Signed, d.inbox.Get(roundCommit, j).Signed)}
		}
		d.openings[j] = o
	}
	if d.poly == nil {
		return nil
	}
	for _, to := range d.receivers {
		if to != d.session().Self {
			d.send(roundShare, to, d.poly.Eval(uint16(to)).Bytes())
		}
	}
	return nil
}

// joint is the exclusive or of everybody's randomness: rid, and the chain code part.
func joint(openings map[tss.PartyID]opening) (rid, chain [32]byte) {
	for _, o := range openings {
		for i := range rid {
			rid[i] ^= o.rid[i]
			chain[i] ^= o.chain[i]
		}
	}
	return rid, chain
}

// newPublic is the public key that the openings determine.
func (pl plan) newPublic(openings map[tss.PartyID]opening) (*PublicKey, error) {
	rid, chain := joint(openings)
	var sum shamir.Commitment
	for _, j := range pl.dealers {
		c := openings[j].polynomial
		if pl.constant == constantShare {
			w := lagrange(pl.dealers, j, 0)
			weighted := make(shamir.Commitment, len(c))
			for i, p := range c {
				weighted[i] = curve.MultiMulVartime([]*group.Scalar{w}, []*group.Point{p})
			}
			c = weighted
		}
		if sum == nil {
			sum = slices.Clone(c)
			continue
		}
		var err error
		if sum, err = sum.Add(c); err != nil {
			return nil, err
		}
	}
	if sum[len(sum)-1].IsIdentity() {
		return nil, errors.New("the sum of the polynomials has a lower degree than the threshold asks for")
	}
	key := sum[0]
	shares := map[tss.PartyID]*group.Point{}
	for _, id := range pl.receivers {
		shares[id] = sum.Eval(uint16(id))
		if pl.constant == constantZero {
			shares[id] = shares[id].Add(pl.old.shares[id])
		}
	}
	if pl.old != nil {
		chain = pl.old.chain
		if pl.constant == constantZero {
			key = pl.old.key
		}
		if !key.Equal(pl.old.key) {
			return nil, errors.New("the dealing does not give the group key")
		}
	}
	return newPublicKey(pl.threshold, shares, key, chain, rid)
}

// finishShares adds up the shares. Only when the sum does not fit is each share looked at.
func (d *Dealing) finishShares() error {
	public, err := d.newPublic(d.openings)
	if err != nil {
		return err
	}
	d.digest = d.confirmation(d.id, public, d.openings)
	verdict := append([]byte{verdictConfirm}, d.digest[:]...)
	if has(d.receivers, d.session().Self) {
		if d.pending, err = d.collect(public); err != nil {
			return d.complain(err)
		}
		proof := params.Respond(shareContext(d.id, d.session().Self), d.nonce, d.pending.share, public.rid[:])
		verdict = append(verdict, proof.Z.Bytes()...)
	}
	d.broadcast(roundVerdict, verdict)
	return nil
}

func shareContext(id tss.SessionID, from tss.PartyID) zk.Context {
	return zk.Context{Session: id, Prover: uint16(from), Role: "share"}
}

func (d *Dealing) collect(public *PublicKey) (*KeyShare, error) {
	sum := curve.Zero()
	if d.constant == constantZero {
		sum = d.oldShare.share.Clone()
	}
	self := d.session().Self
	for _, j := range d.dealers {
		share := d.shareFrom(j)
		if share == nil {
			return nil, d.blameShare(j)
		}
		if d.constant == constantShare {
			share = share.Mul(lagrange(d.dealers, j, 0))
		}
		sum = sum.Add(share)
	}
	defer sum.Erase()
	result, err := newKeyShare(public, self, sum)
	if err == nil {
		return result, nil
	}
	for _, j := range d.dealers {
		if !shareFits(d.openings[j], self, d.shareFrom(j)) {
			return nil, d.blameShare(j)
		}
	}
	return nil, err
}

func (d *Dealing) shareFrom(j tss.PartyID) *group.Scalar {
	if j == d.session().Self {
		return d.poly.Eval(uint16(j))
	}
	share, err := curve.DecodeScalar(d.inbox.Get(roundShare, j).Payload)
	if err != nil {
		return nil
	}
	return share
}

// shareFits checks one share: f_j(i)*G = F_j(i).
func shareFits(o opening, i tss.PartyID, share *group.Scalar) bool {
	return share != nil && curve.BaseMul(share).Equal(o.polynomial.Eval(uint16(i)))
}

func (d *Dealing) blameShare(j tss.PartyID) error {
	return &tss.Fault{Party: j, Round: roundShare, Check: CheckShare,
		Evidence: tss.EncodeEvidence(d.inbox.Get(roundShare, j).Signed, d.inbox.Get(roundOpen, j).Signed, d.inbox.Get(roundCommit, j).Signed)}
}

const (
	verdictConfirm   = 1
	verdictComplaint = 2
)

// complain shows everybody the signed share. It goes out although this machine ends here.
func (d *Dealing) complain(err error) error {
	var fault *tss.Fault
	if errors.As(err, &fault) {
		d.broadcast(roundVerdict, append([]byte{verdictComplaint}, d.inbox.Get(roundShare, fault.Party).Signed...))
	}
	return err
}

// confirmation is the digest that all parties must arrive at.
func (pl plan) confirmation(id tss.SessionID, public *PublicKey, openings map[tss.PartyID]opening) [32]byte {
	t := transcript.New("chancery/cggmp24/dealing/v1")
	t.Bytes("session", id[:])
	for _, j := range pl.session.IDs() {
		t.Bytes("opening", openings[j].marshal(pl, j))
	}
	t.Bytes("public", public.encoded)
	return t.Sum()
}

// finishVerdicts ends the run well only when every party confirmed the same result and proved its share.
func (d *Dealing) finishVerdicts() error {
	public, err := d.newPublic(d.openings)
	if err != nil {
		return err
	}
	for _, p := range d.session().IDs() {
		if p == d.session().Self {
			continue
		}
		e := d.inbox.Get(roundVerdict, p)
		if fault := d.judgeVerdict(d.id, public, d.openings, e, d.notary.Open); fault != nil {
			fault.Evidence = d.evidenceOf(fault, e)
			return fault
		}
	}
	d.finished, d.result, d.pending = true, d.pending, nil
	return nil
}

// evidenceOf a verdict is the verdict, its sender's own echo of the commitments, and the openings, which those commitments
// fix: what others sign later to frame it does not open them. Of a bad share that was shown in it, it is the share.
func (d *Dealing) evidenceOf(f *tss.Fault, e tss.Envelope) []byte {
	if f.Check == CheckShare {
		return tss.EncodeEvidence(e.Payload[1:], d.inbox.Get(roundOpen, f.Party).Signed, d.inbox.Get(roundCommit, f.Party).Signed)
	}
	return tss.EncodeEvidence(append([][]byte{e.Signed, d.inbox.Get(roundEcho, e.From).Signed}, d.originals(roundOpen, d.session().IDs())...)...)
}

// judgeVerdict names whoever a verdict convicts: the complainer, or the dealer whose share it shows. Evidence is the
// caller's to add.
func (pl plan) judgeVerdict(id tss.SessionID, public *PublicKey, openings map[tss.PartyID]opening, e tss.Envelope, open func([]byte) (tss.Envelope, error)) *tss.Fault {
	blame := func(check string) *tss.Fault { return &tss.Fault{Party: e.From, Round: roundVerdict, Check: check} }
	receives := has(pl.receivers, e.From)
	switch {
	case len(e.Payload) > 1 && e.Payload[0] == verdictComplaint:
		share, err := open(e.Payload[1:])
		if err != nil || share.Session != id || share.Round != roundShare || share.To != e.From || !has(pl.dealers, share.From) || !receives {
			return blame(CheckComplaint)
		}
		value, err := curve.DecodeScalar(share.Payload)
		if err != nil || !shareFits(openings[share.From], e.From, value) {
			return &tss.Fault{Party: share.From, Round: roundShare, Check: CheckShare}
		}
		return blame(CheckComplaint)
	case len(e.Payload) == 33 && e.Payload[0] == verdictConfirm && !receives, len(e.Payload) == 65 && e.Payload[0] == verdictConfirm && receives:
	default:
		return blame(CheckVerdict)
	}
	if digest := pl.confirmation(id, public, openings); !bytes.Equal(e.Payload[1:33], digest[:]) {
		return blame(CheckConfirm)
	}
	if !receives {
		return nil
	}
	z, err := curve.DecodeScalar(e.Payload[33:])
	if err != nil {
		return blame(CheckVerdict)
	}
	proof := &zk.Sch{A: openings[e.From].proof, Z: z}
	if params.VerifySch(shareContext(id, e.From), public.shares[e.From], public.rid[:], proof) != nil {
		return blame(CheckProof)
	}
	return nil
}

// Result is the new share once everybody has confirmed; nil for a dealer that receives none. The caller owns it.
func (d *Dealing) Result() (*KeyShare, bool) { return d.result, d.finished }

// Public is the new public key once everybody has confirmed.
func (d *Dealing) Public() (*PublicKey, error) { return d.newPublic(d.openings) }

// Close erases the polynomial, the nonce, and the share when it was never confirmed.
func (d *Dealing) Close() {
	if d.poly != nil {
		d.poly.Erase()
	}
	if d.nonce != nil {
		d.nonce.Erase()
	}
	d.pending.Close()
	if !d.finished {
		d.dead = true
	}
}
