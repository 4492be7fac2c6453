package cggmp24

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"chancery.dev/internal/group"
	"chancery.dev/internal/secret"
	"chancery.dev/internal/transcript"
	"chancery.dev/internal/zk"
	"chancery.dev/tss"
)

// Presignature is one party's part of a signature that lacks only the message. It is used once.
type Presignature struct {
	_       [0]func()
	id      [32]byte
	public  *PublicKey
	self    tss.PartyID
	signers []tss.PartyID
	gamma   *group.Point
	k, chi  *group.Scalar                // k̃ and χ̃: divided by δ
	deltas  map[tss.PartyID]*group.Point // Δ̃_j = k̃_j * Γ
	sums    map[tss.PartyID]*group.Point // S̃_j = χ̃_j * Γ
	spent   bool
}

// Errors of signing.
var (
	ErrSpent      = errors.New("presignature was used before")
	errSigning    = errors.New("signing request does not fit the presignature")
	errDerivation = errors.New("key cannot be derived on this path")
	errSignature  = errors.New("signature does not verify")
)

// CheckPartial is the check of a partial signature.
const CheckPartial = "partial"

// roundPartial is the only round of signing.
const roundPartial = 1

// ID names the presignature; it is the same at every signer.
func (p *Presignature) ID() [32]byte { return p.id }

// Signers are the parties that share it, ascending.
func (p *Presignature) Signers() []tss.PartyID { return slices.Clone(p.signers) }

// Close erases it. It may be called twice.
func (p *Presignature) Close() {
	if p != nil {
		p.spent = true
		p.k.Erase()
		p.chi.Erase()
	}
}

// Marshal is: version, id, own number, count, Γ, k̃, χ̃, then number, Δ̃ and S̃ of each signer, ascending.
func (p *Presignature) Marshal() *secret.Bytes {
	out := slices.Concat([]byte{version}, p.id[:])
	out = binary.BigEndian.AppendUint16(out, uint16(p.self))
	out = binary.BigEndian.AppendUint16(out, uint16(len(p.signers)))
	k, chi := p.k.Bytes(), p.chi.Bytes()
	out = append(append(append(out, p.gamma.Bytes()...), k...), chi...)
	secret.Wipe(k)
	secret.Wipe(chi)
	for _, id := range p.signers {
		out = binary.BigEndian.AppendUint16(out, uint16(id))
		out = append(append(out, p.deltas[id].Bytes()...), p.sums[id].Bytes()...)
	}
	return secret.New(out)
}

// UnmarshalPresignature reads what Marshal wrote, for its key, and checks every relation: the own Δ̃ and S̃ are k̃Γ and χ̃Γ,
// ΣΔ̃ is the base point and ΣS̃ the group key, as δ has been divided out.
func UnmarshalPresignature(public *PublicKey, b []byte) (*Presignature, error) {
	r := reader{b: b}
	v := r.byte()
	p := &Presignature{public: public, deltas: map[tss.PartyID]*group.Point{}, sums: map[tss.PartyID]*group.Point{}}
	p.id, p.self = r.array32(), tss.PartyID(r.uint16())
	n := int(r.uint16())
	p.gamma, p.k, p.chi = r.point(), r.scalar(), r.scalar()
	if r.failed || v != version || n != public.threshold {
		return nil, errKey
	}
	delta, sum := curve.Identity(), curve.Identity()
	for range n {
		id := tss.PartyID(r.uint16())
		if len(p.signers) > 0 && id <= p.signers[len(p.signers)-1] || !has(public.ids, id) {
			return nil, errKey
		}
		p.signers = append(p.signers, id)
		p.deltas[id], p.sums[id] = r.point(), r.point()
		delta, sum = delta.Add(p.deltas[id]), sum.Add(p.sums[id])
	}
	if r.end() != nil || !has(p.signers, p.self) || !delta.Equal(curve.Generator()) || !sum.Equal(public.key) ||
		!p.gamma.Mul(p.k).Equal(p.deltas[p.self]) || !p.gamma.Mul(p.chi).Equal(p.sums[p.self]) {
		return nil, errKey
	}
	return p, nil
}

// Request is one message to sign with one presignature: all that the signers agree on. The digest is made here, from the
// bytes that were signed for: there is no way to ask for a signature on a digest alone.
type Request struct {
	Session tss.SessionID // of the signing: bound to fresh randomness of every signer
	Hash    Hash
	Message []byte
	Path    []uint32 // BIP32 steps below the group key, unhardened
}

// Hash says how a message becomes the number that is signed.
type Hash uint8

// The hashes.
const (
	SHA256       Hash = 1
	DoubleSHA256 Hash = 2 // Bitcoin's
)

// signable is what follows from a presignature's public part and a request: the re-randomised nonce point and the numbers
// that check partial signatures.
type signable struct {
	zeta, tweak, m, r *group.Scalar
	gamma             *group.Point // ζΓ
	key               *group.Point // of the path
}

// prepare re-randomises the presignature for this request (docs/spec/cggmp24.md): Γ' = ζΓ with ζ a hash of the
// presignature, the derived key, the path, the message and the session, which was not known when the presignature was made.
func prepare(id [32]byte, public *PublicKey, signers []tss.PartyID, gamma *group.Point, q Request) (signable, error) {
	key, tweak, err := public.derive(q.Path)
	if err != nil {
		return signable{}, err
	}
	digest, err := q.Hash.digest(q.Message)
	if err != nil {
		return signable{}, err
	}
	t := transcript.New("chancery/cggmp24/zeta/v1")
	t.Bytes("presignature", id[:])
	t.Bytes("gamma", gamma.Bytes())
	t.Bytes("key", key.Bytes())
	for _, i := range q.Path {
		t.Uint64("step", uint64(i))
	}
	for _, j := range signers {
		t.Uint64("signer", uint64(j))
	}
	t.Uint64("hash", uint64(q.Hash))
	t.Bytes("message", q.Message)
	t.Bytes("session", q.Session[:])
	wide := t.Sum64()
	s := signable{zeta: curve.ReduceScalar(wide[:]), tweak: tweak, m: curve.ReduceScalar(digest), key: key}
	s.gamma = curve.MultiMulVartime([]*group.Scalar{s.zeta}, []*group.Point{gamma}).Encoded()
	if s.zeta.IsZero() || s.gamma.IsIdentity() {
		return signable{}, errSigning
	}
	s.r = curve.ReduceScalar(s.gamma.XOnly())
	if s.r.IsZero() {
		return signable{}, errSigning
	}
	return s, nil
}

// Partial is a party's σ.
type Partial struct {
	id    tss.PartyID
	sigma *group.Scalar
}

// From is whose partial signature it is.
func (s Partial) From() tss.PartyID { return s.id }

// Marshal is the party's number and σ.
func (s Partial) Marshal() []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(s.id)), s.sigma.Bytes()...)
}

// UnmarshalPartial reads what Marshal wrote.
func UnmarshalPartial(b []byte) (Partial, error) {
	r := reader{b: b}
	p := Partial{id: tss.PartyID(r.uint16()), sigma: r.scalar()}
	if r.end() != nil || p.id == 0 {
		return Partial{}, errMessage
	}
	return p, nil
}

// Sign makes this party's partial signature and uses the presignature up, whatever comes of it. It returns the public part
// with which partial signatures are checked and combined.
func (p *Presignature) Sign(q Request) (Partial, *Combiner, error) {
	defer p.Close()
	if p.spent {
		return Partial{}, nil, ErrSpent
	}
	s, err := prepare(p.id, p.public, p.signers, p.gamma, q)
	if err != nil {
		return Partial{}, nil, err
	}
	inv, err := s.zeta.Invert()
	if err != nil {
		return Partial{}, nil, err
	}
	// σ = (k̃m + r(χ̃ + τk̃)) / ζ
	chi := p.chi.Add(s.tweak.Mul(p.k))
	defer chi.Erase()
	sigma := p.k.Mul(s.m).Add(s.r.Mul(chi)).Mul(inv)
	c := &Combiner{signable: s, signers: p.signers, deltas: p.deltas, sums: map[tss.PartyID]*group.Point{}}
	for j, sum := range p.sums { // S̃' = S̃ + τΔ̃
		c.sums[j] = sum
		if !s.tweak.IsZero() {
			c.sums[j] = sum.Add(curve.MultiMulVartime([]*group.Scalar{s.tweak}, []*group.Point{p.deltas[j]}))
		}
	}
	return Partial{p.self, sigma}, c, nil
}

// Combiner checks and combines the partial signatures of one request. It holds nothing secret.
type Combiner struct {
	signable
	signers []tss.PartyID
	deltas  map[tss.PartyID]*group.Point
	sums    map[tss.PartyID]*group.Point
}

// Verify checks one partial signature: σΓ' = mΔ̃ + rS̃'. A wrong one is a *tss.Fault.
func (c *Combiner) Verify(s Partial) error {
	if !has(c.signers, s.id) || !curve.MultiMulVartime([]*group.Scalar{s.sigma, c.m.Neg(), c.r.Neg()}, []*group.Point{c.gamma, c.deltas[s.id], c.sums[s.id]}).IsIdentity() {
		return &tss.Fault{Party: s.id, Round: roundPartial, Check: CheckPartial}
	}
	return nil
}

// Signature is r and s, 32 bytes each, s in the lower half; Recovery is the recovery id.
type Signature struct {
	RS       [64]byte
	Recovery byte
}

// Key is the compressed key that the signature verifies under.
func (c *Combiner) Key() []byte { return c.key.Bytes() }

// Combine adds up the partial signatures of all signers, ascending, and verifies the result before it is returned. When it
// does not verify, every partial signature is checked by itself and the first wrong one is the *tss.Fault.
func (c *Combiner) Combine(partials []Partial) (Signature, error) {
	if len(partials) != len(c.signers) {
		return Signature{}, fmt.Errorf("%w: %d partial signatures of %d", errSigning, len(partials), len(c.signers))
	}
	sum := curve.Zero()
	for i, p := range partials {
		if p.id != c.signers[i] {
			return Signature{}, fmt.Errorf("%w: partial signatures must be of the signers, ascending", errSigning)
		}
		sum = sum.Add(p.sigma)
	}
	if c.holds(sum) {
		return c.encode(sum), nil
	}
	for _, p := range partials {
		if err := c.Verify(p); err != nil {
			return Signature{}, err
		}
	}
	return Signature{}, errSignature // cannot be: the sum of right partial signatures is right
}

// holds verifies (r, s): the x of (m/s)G + (r/s)X is r, and s is not zero.
func (c *Combiner) holds(s *group.Scalar) bool {
	inv, err := s.Invert()
	if err != nil {
		return false
	}
	r := curve.DoubleMulVartime(c.m.Mul(inv), c.r.Mul(inv), c.key)
	return !r.IsIdentity() && curve.ReduceScalar(r.XOnly()).Equal(c.r)
}

var halfOrder = func() *big.Int {
	n, _ := new(big.Int).SetString("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0", 16)
	return n
}()

// encode normalises s to the lower half, which negates the nonce point.
func (c *Combiner) encode(s *group.Scalar) Signature {
	var out Signature
	if !c.gamma.HasEvenY() {
		out.Recovery = 1
	}
	if zk.IntOf(s).Reveal().Cmp(halfOrder) > 0 {
		s = s.Neg()
		out.Recovery ^= 1
	}
	x := c.gamma.XOnly()
	if r := c.r.Bytes(); !slices.Equal(r, x) {
		out.Recovery |= 2 // x was above the order
	}
	copy(out.RS[:32], c.r.Bytes())
	copy(out.RS[32:], s.Bytes())
	return out
}

// derive follows an unhardened BIP32 path: the key there and the scalar that was added on the way.
func (p *PublicKey) derive(path []uint32) (*group.Point, *group.Scalar, error) {
	if len(path) > MaxPath {
		return nil, nil, errDerivation
	}
	key, chain, tweak := p.key, p.chain, curve.Zero()
	for _, index := range path {
		if index >= 1<<31 {
			return nil, nil, errDerivation
		}
		mac := hmac.New(sha512.New, chain[:])
		mac.Write(key.Bytes())
		mac.Write(binary.BigEndian.AppendUint32(nil, index))
		sum := mac.Sum(nil)
		step, err := curve.DecodeScalar(sum[:32])
		if err != nil {
			return nil, nil, errDerivation // probability 2^-127; BIP32 says to go to the next index
		}
		tweak, key, chain = tweak.Add(step), key.Add(curve.BaseMul(step)).Encoded(), [32]byte(sum[32:])
		if key.IsIdentity() {
			return nil, nil, errDerivation
		}
	}
	return key, tweak, nil
}

// DerivedKey is the compressed key on a path below the group key.
func (p *PublicKey) DerivedKey(path []uint32) ([]byte, error) {
	key, _, err := p.derive(path)
	if err != nil {
		return nil, err
	}
	return key.Bytes(), nil
}
