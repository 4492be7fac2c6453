package frost

import (
	"bytes"
	"errors"
	"fmt"

	"chancery.dev/internal/group"
	"chancery.dev/internal/shamir"
	"chancery.dev/internal/transcript"
	"chancery.dev/tss"
)

// Rounds of a dealing.
const (
	roundPackage = 1 // dealers to everyone: Feldman commitment, proof of knowledge
	roundEcho    = 2 // everyone to everyone: the signed packages
	roundShare   = 3 // dealer to receiver: the receiver's share
	roundVerdict = 4 // everyone to everyone: confirmation of the result, or a complaint with the signed share
)

// Names of the checks of a dealing, as faults carry them.
const (
	CheckPackage   = "package"   // malformed, wrong length, or a constant term that is not allowed
	CheckProof     = "proof"     // proof of knowledge of the constant term
	CheckShare     = "share"     // a share that does not lie on the committed polynomial
	CheckVerdict   = "verdict"   // malformed verdict
	CheckComplaint = "complaint" // a complaint about a share that is right, or about nothing
	CheckConfirm   = "confirm"   // a confirmation of another result
)

// plan is what distinguishes key generation, refresh and resharing: who deals, who receives, and what the constant terms
// must be.
type plan struct {
	suite     Suite
	threshold int
	dealers   []tss.PartyID
	receivers []tss.PartyID
	constant  constantRule
	old       *PublicKey                    // refresh, reshare
	weights   map[tss.PartyID]*group.Scalar // reshare: Lagrange coefficients of the dealers
}

type constantRule uint8

const (
	constantFree  constantRule = iota // key generation: any, with a proof of knowledge
	constantZero                      // refresh: zero; it is not sent
	constantShare                     // resharing: the dealer's old share, with a proof of knowledge
)

// Dealing is the machine of key generation, refresh and resharing. Its result is this party's new share, or nil for a
// dealer that receives none.
type Dealing struct {
	run
	plan
	poly     *shamir.Polynomial
	oldShare *KeyShare // refresh: to add to; not owned
	packages map[tss.PartyID]dealt
	result   *KeyShare
	digest   [32]byte
}

func newDealing(s tss.Session, p plan, notary tss.Notary, constant *group.Scalar, old *KeyShare) (*Dealing, error) {
	if s.Suite != p.suite.Name() || s.Threshold != p.threshold {
		return nil, errors.New("session is for another suite or threshold")
	}
	if p.threshold < MinThreshold || p.threshold > len(p.receivers) {
		return nil, fmt.Errorf("threshold %d of %d parties is not possible", p.threshold, len(p.receivers))
	}
	shares := tss.Shape{Direct: true}
	if has(p.receivers, s.Self) {
		shares.Senders = p.dealers
	}
	everyone := tss.Shape{Senders: s.IDs()}
	r, err := newRun(s, notary, tss.Shape{Senders: p.dealers}, everyone, shares, everyone)
	if err != nil {
		return nil, err
	}
	d := &Dealing{run: r, plan: p, oldShare: old, packages: map[tss.PartyID]dealt{}}
	if has(p.dealers, s.Self) {
		poly, err := shamir.NewPolynomial(constant, p.threshold-1)
		if err != nil {
			return nil, err
		}
		d.poly = poly
		d.broadcast(roundPackage, d.makePackage().marshal(p.constant))
	}
	return d, d.whole(d.finish)
}

// Step takes one message and goes as far as the messages that are in allow.
func (d *Dealing) Step(e tss.Envelope) error {
	return d.step(e, func() error { return d.whole(d.finish) }, d.Close)
}

// finish is the protocol: each round, once it is whole, is finished in turn.
func (d *Dealing) finish(round uint8) error {
	switch round {
	case roundPackage:
		d.broadcast(roundEcho, d.inbox.EchoPayload(roundPackage))
		return nil
	case roundEcho:
		return d.finishEcho()
	case roundShare:
		return d.finishShares()
	}
	return d.finishVerdicts()
}

// finishEcho knows that everybody has the same packages, checks them, and only then lets shares go.
func (d *Dealing) finishEcho() error {
	if err := d.inbox.CheckEchoes(roundPackage, d.notary.Open); err != nil {
		return err
	}
	if err := d.checkPackages(); err != nil {
		return err
	}
	if d.poly == nil {
		return nil
	}
	for _, to := range d.receivers {
		if to != d.session.Self {
			d.send(roundShare, to, d.poly.Eval(uint16(to)).Bytes())
		}
	}
	return nil
}

// finishShares adds up the shares. When the sum fits the summed commitments every result is right; only when it does not
// is each share looked at, to complain about the first that is wrong.
func (d *Dealing) finishShares() error {
	public, err := d.newPublic()
	if err != nil {
		return err
	}
	if has(d.receivers, d.session.Self) {
		if err := d.collect(public); err != nil {
			return d.complain(err)
		}
	}
	d.digest = d.confirmation(public)
	d.broadcast(roundVerdict, append([]byte{verdictConfirm}, d.digest[:]...))
	return nil
}

func (d *Dealing) collect(public *PublicKey) error {
	curve := d.suite.Curve()
	sum := curve.Zero()
	if d.constant == constantZero {
		sum = d.oldShare.share.Clone()
	}
	for _, j := range d.dealers {
		share := d.shareFrom(j)
		if share == nil {
			return d.blameShare(j)
		}
		if w := d.weights[j]; w != nil {
			share = share.Mul(w)
		}
		sum = sum.Add(share)
	}
	defer sum.Erase()
	result, err := newKeyShare(public, d.session.Self, sum)
	if err == nil {
		d.result = result
		return nil
	}
	for _, j := range d.dealers {
		if !d.shareFits(j, d.session.Self, d.shareFrom(j)) {
			return d.blameShare(j)
		}
	}
	return err
}

// shareFrom is the share that a dealer sent here, or nil when it is no scalar.
func (d *Dealing) shareFrom(j tss.PartyID) *group.Scalar {
	if j == d.session.Self {
		return d.poly.Eval(uint16(j))
	}
	share, err := d.suite.Curve().DecodeScalar(d.inbox.Get(roundShare, j).Payload)
	if err != nil {
		return nil
	}
	return share
}

// shareFits checks one share against one dealer's commitment: f_j(i)*G = F_j(i).
func (d *Dealing) shareFits(j, i tss.PartyID, share *group.Scalar) bool {
	return share != nil && d.suite.Curve().BaseMul(share).Equal(d.packages[j].commitment.Eval(uint16(i)))
}

func (d *Dealing) blameShare(j tss.PartyID) error {
	return &tss.Fault{Party: j, Round: roundShare, Check: CheckShare,
		Evidence: tss.EncodeEvidence(d.inbox.Get(roundShare, j).Signed, d.inbox.Get(roundPackage, j).Signed)}
}

// complain shows everybody the signed share. It goes out although this machine ends here.
func (d *Dealing) complain(err error) error {
	var fault *tss.Fault
	if errors.As(err, &fault) {
		d.broadcast(roundVerdict, append([]byte{verdictComplaint}, d.inbox.Get(roundShare, fault.Party).Signed...))
	}
	return err
}

// confirmation is the digest that all parties must arrive at.
func (d *Dealing) confirmation(public *PublicKey) [32]byte {
	t := transcript.New("chancery/frost/dealing/v1")
	t.Bytes("session", d.id[:])
	for _, j := range d.dealers {
		t.Bytes("package", d.inbox.Get(roundPackage, j).Payload)
	}
	t.Bytes("public", public.encoded)
	return t.Sum()
}

// finishVerdicts ends the run well only when every party confirmed the same result.
func (d *Dealing) finishVerdicts() error {
	for _, p := range d.session.IDs() {
		if p == d.session.Self {
			continue
		}
		if err := d.judge(d.inbox.Get(roundVerdict, p)); err != nil {
			return err
		}
	}
	d.finished = true
	return nil
}

func (d *Dealing) judge(e tss.Envelope) error {
	kind, body, err := parseVerdict(e.Payload)
	if err != nil {
		return &tss.Fault{Party: e.From, Round: roundVerdict, Check: CheckVerdict, Evidence: tss.EncodeEvidence(e.Signed)}
	}
	if kind == verdictConfirm {
		if !bytes.Equal(body, d.digest[:]) {
			return &tss.Fault{Party: e.From, Round: roundVerdict, Check: CheckConfirm, Evidence: d.withEcho(e)}
		}
		return nil
	}
	share, err := d.notary.Open(body)
	if err != nil || !d.isShare(share, e.From) {
		return &tss.Fault{Party: e.From, Round: roundVerdict, Check: CheckComplaint, Evidence: d.withEcho(e)}
	}
	value, err := d.suite.Curve().DecodeScalar(share.Payload)
	if err != nil || !d.shareFits(share.From, e.From, value) {
		return &tss.Fault{Party: share.From, Round: roundShare, Check: CheckShare,
			Evidence: tss.EncodeEvidence(body, d.inbox.Get(roundPackage, share.From).Signed)}
	}
	return &tss.Fault{Party: e.From, Round: roundVerdict, Check: CheckComplaint, Evidence: d.withEcho(e)}
}

// isShare says whether a message is a dealer's share of this session to a certain receiver.
func (d *Dealing) isShare(e tss.Envelope, to tss.PartyID) bool {
	return e.Session == d.id && e.Round == roundShare && e.To == to && has(d.dealers, e.From) && has(d.receivers, to)
}

// withEcho is evidence about a verdict: it is judged beside the packages that its sender itself said it had.
func (d *Dealing) withEcho(e tss.Envelope) []byte {
	return tss.EncodeEvidence(e.Signed, d.inbox.Get(roundEcho, e.From).Signed)
}

// Result is the new share once everybody has confirmed; nil for a dealer that receives none. The caller owns it.
func (d *Dealing) Result() (*KeyShare, bool) { return d.result, d.finished }

// Public is the new public key once everybody has confirmed.
func (d *Dealing) Public() (*PublicKey, error) { return d.newPublic() }

// Close erases the polynomial, and the share when it was never confirmed.
func (d *Dealing) Close() {
	if d.poly != nil {
		d.poly.Erase()
	}
	if !d.finished {
		d.result.Close()
		d.dead = true
	}
}
