package frost

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"chancery.dev/internal/group"
	"chancery.dev/internal/secret"
	"chancery.dev/internal/shamir"
	"chancery.dev/tss"
)

// Nonces is a one-time pair of secret nonces with its public commitment. Sign uses it up.
type Nonces struct {
	_               [0]func()
	hiding, binding *group.Scalar
	commitment      Commitment
	spent           bool
}

// Commitment is a party's public nonce commitment: D = d*G, E = e*G (RFC 9591 section 5.1).
type Commitment struct {
	id              tss.PartyID
	hiding, binding *group.Point
	encoded         []byte // D and E, as they are hashed and sent
}

// Errors of signing.
var (
	ErrNonceUsed = errors.New("nonces were used before")
	errPackage   = errors.New("signing package is not valid")
)

// Commit draws fresh nonces, hedged with the share, and commits to them.
func (k *KeyShare) Commit() *Nonces {
	random := secret.Random(64)
	defer random.Erase()
	return k.commit(random.Reveal()[:32], random.Reveal()[32:])
}

// commit is RFC 9591's nonce_generate for given randomness, 32 bytes each.
func (k *KeyShare) commit(hidingRandom, bindingRandom []byte) *Nonces {
	suite, share := k.public.suite, k.share.Bytes()
	defer secret.Wipe(share)
	d, e := suite.h3(hidingRandom, share), suite.h3(bindingRandom, share)
	curve := suite.Curve()
	return &Nonces{hiding: d, binding: e, commitment: newCommitment(k.self, curve.BaseMul(d), curve.BaseMul(e))}
}

func newCommitment(id tss.PartyID, d, e *group.Point) Commitment {
	return Commitment{id, d, e, append(d.Bytes(), e.Bytes()...)}
}

// Commitment is the public part.
func (n *Nonces) Commitment() Commitment { return n.commitment }

// Close erases the nonces. It may be called twice.
func (n *Nonces) Close() {
	if n != nil {
		n.spent = true
		n.hiding.Erase()
		n.binding.Erase()
	}
}

// From is whose commitment it is.
func (c Commitment) From() tss.PartyID { return c.id }

// Marshal is the party's number and the two compressed points.
func (c Commitment) Marshal() []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(c.id)), c.encoded...)
}

// UnmarshalCommitment reads what Marshal wrote. Neither point may be the identity.
func UnmarshalCommitment(s Suite, b []byte) (Commitment, error) {
	r := reader{b: b}
	id := tss.PartyID(r.uint16())
	d, e := r.point(s), r.point(s)
	if r.end() != nil || id == 0 {
		return Commitment{}, errMessage
	}
	return newCommitment(id, d, e), nil
}

// SigningPackage is what every signer of one message agrees on: the key, the message, the list of commitments. All that
// follows from them is computed once.
type SigningPackage struct {
	public      *PublicKey
	message     []byte
	derived     derived
	commitments []Commitment // ascending
	ids         []uint16
	factors     []*group.Scalar // binding factors
	r           *group.Point    // group commitment
	negateR     bool            // Taproot: R had odd y, so all nonces count negated
	challenge   *group.Scalar
	lambdas     []*group.Scalar // Lagrange coefficients, computed when first asked for
}

// NewSigningPackage checks the list (known parties, ascending, distinct, at least threshold) and computes binding factors,
// group commitment and challenge (RFC 9591 sections 4.4 to 4.6).
func NewSigningPackage(public *PublicKey, commitments []Commitment, message []byte, d Derivation) (*SigningPackage, error) {
	if len(commitments) < public.threshold || len(commitments) > len(public.ids) || len(message) > MaxMessage {
		return nil, fmt.Errorf("%w: %d commitments, threshold %d", errPackage, len(commitments), public.threshold)
	}
	out, err := public.derive(d)
	if err != nil {
		return nil, err
	}
	p := &SigningPackage{public: public, message: slices.Clone(message), derived: out, commitments: slices.Clone(commitments)}
	last := tss.PartyID(0)
	for _, c := range commitments {
		if _, known := public.shares[c.id]; !known || c.id <= last {
			return nil, fmt.Errorf("%w: commitments must be of distinct holders, ascending", errPackage)
		}
		last = c.id
		p.ids = append(p.ids, uint16(c.id))
	}
	p.bind()
	if p.r.IsIdentity() {
		return nil, fmt.Errorf("%w: group commitment is the identity", errPackage)
	}
	if public.suite.xonly() && !p.r.HasEvenY() {
		p.r, p.negateR = p.r.Neg(), true
	}
	p.challenge = public.suite.challenge(p.r, out.key, p.message)
	return p, nil
}

// bind computes the binding factors and R = sum of D_i + rho_i*E_i, as one multi-scalar multiplication over the E_i.
func (p *SigningPackage) bind() {
	suite := p.public.suite
	var list []byte
	for _, c := range p.commitments {
		list = append(append(list, suite.encodeID(c.id)...), c.encoded...)
	}
	prefix := slices.Concat(p.derived.key.Bytes(), suite.h4(p.message), suite.h5(list))
	points := make([]*group.Point, len(p.commitments))
	sum := suite.Curve().Identity()
	for i, c := range p.commitments {
		p.factors = append(p.factors, suite.h1(prefix, suite.encodeID(c.id)))
		points[i] = c.binding
		sum = sum.Add(c.hiding)
	}
	p.r = sum.Add(suite.Curve().MultiMulVartime(p.factors, points)).Encoded()
}

// Suite is the key's ciphersuite.
func (p *SigningPackage) Suite() Suite { return p.public.suite }

// Signers are the parties of the package, ascending.
func (p *SigningPackage) Signers() []tss.PartyID {
	out := make([]tss.PartyID, len(p.ids))
	for i, id := range p.ids {
		out[i] = tss.PartyID(id)
	}
	return out
}

// index is a signer's place in the package.
func (p *SigningPackage) index(id tss.PartyID) (int, bool) {
	return slices.BinarySearch(p.ids, uint16(id))
}

func (p *SigningPackage) lambda(i int) *group.Scalar {
	if p.lambdas == nil {
		p.lambdas = make([]*group.Scalar, len(p.ids))
	}
	if p.lambdas[i] == nil {
		l, err := shamir.Lagrange(p.public.suite.Curve(), p.ids, p.ids[i])
		if err != nil {
			panic("frost: " + err.Error()) // ids are distinct and not zero
		}
		p.lambdas[i] = l
	}
	return p.lambdas[i]
}

// Partial is a party's signature share z_i.
type Partial struct {
	id tss.PartyID
	z  *group.Scalar
}

// From is whose partial signature it is.
func (s Partial) From() tss.PartyID { return s.id }

// Marshal is the party's number and z.
func (s Partial) Marshal() []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(s.id)), s.z.Bytes()...)
}

// UnmarshalPartial reads what Marshal wrote.
func UnmarshalPartial(suite Suite, b []byte) (Partial, error) {
	r := reader{b: b}
	id := tss.PartyID(r.uint16())
	z := r.scalar(suite)
	if r.end() != nil || id == 0 {
		return Partial{}, errMessage
	}
	return Partial{id, z}, nil
}

// Sign makes this party's partial signature (RFC 9591 section 5.2) and uses the nonces up, whatever comes of it: they are
// erased before the error is looked at. The package must hold this party's own commitment, unchanged.
func (k *KeyShare) Sign(p *SigningPackage, n *Nonces) (Partial, error) {
	defer n.Close()
	if n.spent {
		return Partial{}, ErrNonceUsed
	}
	i, in := p.index(k.self)
	if !in || n.commitment.id != k.self || !slices.Equal(p.commitments[i].encoded, n.commitment.encoded) {
		return Partial{}, fmt.Errorf("%w: own commitment is not in it", errPackage)
	}
	if !p.public.Equal(k.public) {
		return Partial{}, fmt.Errorf("%w: it is for another key", errPackage)
	}
	share := p.derived.share(k.share)
	defer share.Erase()
	nonce := n.hiding.Add(n.binding.Mul(p.factors[i]))
	defer nonce.Erase()
	if p.negateR {
		negated := nonce.Neg()
		defer negated.Erase()
		nonce = negated
	}
	return Partial{k.self, nonce.Add(p.lambda(i).Mul(share).Mul(p.challenge))}, nil
}

// Verify checks one partial signature against its maker's verifying share and commitment (RFC 9591 section 5.4). A wrong
// one is a *tss.Fault; the caller adds the evidence.
func (p *SigningPackage) Verify(s Partial) error {
	i, in := p.index(s.id)
	if !in {
		return &tss.Fault{Party: s.id, Check: CheckPartial}
	}
	curve, c := p.public.suite.Curve(), p.commitments[i]
	nonce := c.hiding.Add(curve.MultiMulVartime([]*group.Scalar{p.factors[i]}, []*group.Point{c.binding}))
	if p.negateR {
		nonce = nonce.Neg()
	}
	weight := p.lambda(i).Mul(p.challenge)
	if !curve.DoubleMulVartime(s.z, weight.Neg(), p.derived.point(p.public.shares[s.id])).Equal(nonce) {
		return &tss.Fault{Party: s.id, Check: CheckPartial}
	}
	return nil
}

// Faults is every culprit that one step found.
type Faults []*tss.Fault

// Error names them all.
func (f Faults) Error() string {
	texts := make([]string, len(f))
	for i, fault := range f {
		texts[i] = fault.Error()
	}
	return strings.Join(texts, "; ")
}

// Combine joins the partial signatures of all signers of the package. The signature is verified under the derived key
// before it is returned; when it does not verify, every partial is checked by itself and the error is Faults.
func (p *SigningPackage) Combine(partials []Partial) ([]byte, error) {
	if len(partials) != len(p.ids) {
		return nil, fmt.Errorf("%w: %d partial signatures for %d signers", errPackage, len(partials), len(p.ids))
	}
	z := p.public.suite.Curve().Zero()
	for i, s := range partials {
		if s.id != tss.PartyID(p.ids[i]) {
			return nil, fmt.Errorf("%w: partial signatures must be of the signers, ascending", errPackage)
		}
		z = z.Add(s.z)
	}
	signature := p.public.suite.encodeSignature(p.r, z)
	if p.public.suite.Curve().DoubleMulVartime(z, p.challenge.Neg(), p.derived.key).Equal(p.r) {
		return signature, nil
	}
	var faults Faults
	for _, s := range partials {
		var fault *tss.Fault
		if err := p.Verify(s); errors.As(err, &fault) {
			faults = append(faults, fault)
		}
	}
	if len(faults) == 0 {
		return nil, errSignature // cannot be: the sum of valid shares is valid
	}
	return nil, faults
}
