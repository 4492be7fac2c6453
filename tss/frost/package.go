package frost

import (
	"encoding/binary"
	"errors"
	"fmt"

	"chancery.dev/internal/group"
	"chancery.dev/internal/secret"
	"chancery.dev/internal/shamir"
	"chancery.dev/internal/transcript"
	"chancery.dev/tss"
)

// dealt is a dealer's package: commitment and proof of knowledge of the constant term.
type dealt struct {
	commitment shamir.Commitment
	proof      proof
}

// proof is a Schnorr proof of knowledge: z*G = R + c*A.
type proof struct {
	r *group.Point
	z *group.Scalar
}

// messageVersion begins every message of a dealing.
const messageVersion = 1

const (
	verdictConfirm   = 1
	verdictComplaint = 2
)

func parseVerdict(b []byte) (kind byte, body []byte, err error) {
	switch {
	case len(b) == 33 && b[0] == verdictConfirm:
		return b[0], b[1:], nil
	case len(b) > 1 && len(b) <= tss.MaxPayload && b[0] == verdictComplaint:
		return b[0], b[1:], nil
	}
	return 0, nil, errMessage
}

// makePackage commits to this dealer's polynomial and proves that it knows the constant term.
func (d *Dealing) makePackage() dealt {
	out := dealt{commitment: d.poly.Commit()}
	if d.constant != constantZero {
		out.proof = prove(d.suite, d.id[:], d.session.Self, d.poly.Constant(), out.commitment[0])
	}
	return out
}

// prove makes the proof; bind is what it is bound to (the session id). ZF's crates bind nothing: there it is empty.
func prove(s Suite, bind []byte, id tss.PartyID, secretTerm *group.Scalar, public *group.Point) proof {
	k := s.Curve().RandomScalar()
	defer k.Erase()
	r := s.Curve().BaseMul(k)
	c := proofChallenge(s, bind, id, public, r)
	return proof{r, k.Add(c.Mul(secretTerm))}
}

func proofChallenge(s Suite, bind []byte, id tss.PartyID, public, r *group.Point) *group.Scalar {
	return s.hdkg(bind, s.encodeID(id), public.Bytes(), r.Bytes())
}

func (p proof) verify(s Suite, bind []byte, id tss.PartyID, public *group.Point) bool {
	c := proofChallenge(s, bind, id, public, p.r)
	return s.Curve().DoubleMulVartime(p.z, c.Neg(), public).Equal(p.r)
}

// marshal is: version, number of points (2 bytes), the points, and R and z where a proof is due. In a refresh the constant
// term is zero and is not sent.
func (p dealt) marshal(rule constantRule) []byte {
	points := p.commitment
	if rule == constantZero {
		points = points[1:]
	}
	out := binary.BigEndian.AppendUint16([]byte{messageVersion}, uint16(len(points)))
	for _, c := range points {
		out = append(out, c.Bytes()...)
	}
	if rule != constantZero {
		out = append(append(out, p.proof.r.Bytes()...), p.proof.z.Bytes()...)
	}
	return out
}

// parsePackage reads a package of exactly the plan's threshold. A longer polynomial would raise the threshold, a shorter
// one lower it; a zero leading coefficient is not a point and is refused with it.
func (pl plan) parsePackage(b []byte) (dealt, error) {
	r := reader{b: b}
	want := pl.threshold
	var out dealt
	if pl.constant == constantZero {
		want--
		out.commitment = shamir.Commitment{pl.suite.Curve().Identity()}
	}
	if r.byte() != messageVersion || int(r.uint16()) != want {
		return dealt{}, errMessage
	}
	for range want {
		out.commitment = append(out.commitment, r.point(pl.suite))
	}
	if pl.constant != constantZero {
		out.proof = proof{r.point(pl.suite), r.scalar(pl.suite)}
	}
	return out, r.end()
}

// checkPackages parses every package and verifies every proof, all proofs at once; the first that is wrong names its
// dealer.
func (d *Dealing) checkPackages() error {
	for _, j := range d.dealers {
		p, err := d.parsePackage(d.inbox.Get(roundPackage, j).Payload)
		if err != nil || !d.constantAllowed(j, p) {
			return d.blamePackage(j, CheckPackage)
		}
		d.packages[j] = p
	}
	if d.constant == constantZero || d.proofsHold() {
		return nil
	}
	for _, j := range d.dealers {
		if p := d.packages[j]; !p.proof.verify(d.suite, d.id[:], j, p.commitment[0]) {
			return d.blamePackage(j, CheckProof)
		}
	}
	return errors.New("proofs fail together but not one by one") // cannot be
}

// constantAllowed holds the rule of resharing: a dealer shares the very share that everybody knows it to have.
func (pl plan) constantAllowed(j tss.PartyID, p dealt) bool {
	return pl.constant != constantShare || p.commitment[0].Equal(pl.old.shares[j])
}

func (d *Dealing) blamePackage(j tss.PartyID, check string) error {
	return &tss.Fault{Party: j, Round: roundPackage, Check: check, Evidence: tss.EncodeEvidence(d.inbox.Get(roundPackage, j).Signed)}
}

// proofsHold verifies all proofs as one random linear combination: sum of g_j*(R_j + c_j*A_j - z_j*G) = 0. In a group of
// prime order a wrong proof survives with probability 2^-128.
func (d *Dealing) proofsHold() bool {
	curve := d.suite.Curve()
	var scalars []*group.Scalar
	var points []*group.Point
	z := curve.Zero()
	for _, j := range d.dealers {
		if j == d.session.Self {
			continue
		}
		p := d.packages[j]
		g := randomWeight(curve)
		scalars = append(scalars, g, g.Mul(proofChallenge(d.suite, d.id[:], j, p.commitment[0], p.proof.r)))
		points = append(points, p.proof.r, p.commitment[0])
		z = z.Add(g.Mul(p.proof.z))
	}
	scalars, points = append(scalars, z.Neg()), append(points, curve.Generator())
	return curve.MultiMulVartime(scalars, points).IsIdentity()
}

// randomWeight is 128 random bits as a scalar.
func randomWeight(curve group.Curve) *group.Scalar {
	var b [32]byte
	if curve == group.Edwards25519 {
		secret.Read(b[:16])
	} else {
		secret.Read(b[16:])
	}
	w, err := curve.DecodeScalar(b[:])
	if err != nil {
		panic("frost: 128 bits are no scalar") // cannot be
	}
	return w
}

// newPublic is the public key that the packages determine: the (weighted) sum of the commitments, on top of the old one
// in a refresh.
func (d *Dealing) newPublic() (*PublicKey, error) {
	sum, err := d.sumCommitments()
	if err != nil {
		return nil, err
	}
	if sum[len(sum)-1].IsIdentity() {
		return nil, errors.New("the sum of the polynomials has a lower degree than the threshold asks for")
	}
	chain := d.chainCode(sum[0])
	if d.old != nil {
		chain = d.old.chain
	}
	shares := map[tss.PartyID]*group.Point{}
	for _, id := range d.receivers {
		shares[id] = sum.Eval(uint16(id))
		if d.constant == constantZero {
			shares[id] = shares[id].Add(d.old.shares[id])
		}
		if shares[id].IsIdentity() {
			return nil, fmt.Errorf("verifying share of party %d is the identity", id)
		}
	}
	key := sum[0]
	if d.constant == constantZero {
		key = d.old.key
	}
	if key.IsIdentity() || d.constant == constantShare && !key.Equal(d.old.key) {
		return nil, errors.New("the dealing does not give the group key")
	}
	return assemble(d.suite, d.threshold, d.receivers, shares, key, chain), nil
}

func (d *Dealing) sumCommitments() (shamir.Commitment, error) {
	var sum shamir.Commitment
	for _, j := range d.dealers {
		c := d.packages[j].commitment
		if w := d.weights[j]; w != nil {
			weighted := make(shamir.Commitment, len(c))
			for i, point := range c {
				weighted[i] = d.suite.Curve().MultiMulVartime([]*group.Scalar{w}, []*group.Point{point})
			}
			c = weighted
		}
		if sum == nil {
			sum = c
			continue
		}
		var err error
		if sum, err = sum.Add(c); err != nil {
			return nil, err
		}
	}
	return sum, nil
}

// chainCode is a hash over the session and all packages: nobody chooses it, everybody has it.
func (d *Dealing) chainCode(key *group.Point) [32]byte {
	t := transcript.New("chancery/frost/chaincode/v1")
	t.Bytes("session", d.id[:])
	for _, j := range d.dealers {
		t.Bytes("package", d.inbox.Get(roundPackage, j).Payload)
	}
	t.Bytes("key", key.Bytes())
	return t.Sum()
}
