package zk

import (
	"math/big"

	"chancery.dev/internal/arith"
	"chancery.dev/internal/group"
	"chancery.dev/internal/paillier"
)

// EncElg is Πenc-elg (Fig. 24): C = enc_N0(x; ρ) for an x within ±2^ℓ that the ElGamal commitment (B, X) under A holds:
// B = bG, X = bA + xG. For one verifier.
type EncElg struct {
	S, D, T    *big.Int
	Y, Z       *group.Point
	Z1, Z2, Z3 *big.Int
	W          *group.Scalar
}

// EncElgStatement is the public part. Key is the prover's, Ped the verifier's.
type EncElgStatement struct {
	Key     *paillier.PublicKey
	Ped     *paillier.Pedersen
	C       *big.Int
	A, B, X *group.Point
}

// EncElgWitness is the secret part.
type EncElgWitness struct {
	Own *paillier.SecretKey
	X   *arith.Int
	Rho *paillier.OwnNonce
	B   *group.Scalar
}

func (p Params) encElgChallenge(c Context, s EncElgStatement, x *EncElg) (*group.Scalar, *big.Int) {
	t := p.transcript(c, "enc-elg")
	numbers(t, "setup", s.Key.N().Big(), s.Ped.N().Big(), s.Ped.S(), s.Ped.T())
	numbers(t, "statement", s.C)
	points(t, "statement", s.A, s.B, s.X)
	numbers(t, "commitment", x.S, x.D, x.T)
	points(t, "commitment", x.Y, x.Z)
	return challenge(t)
}

// ProveEncElg makes the proof.
func (p Params) ProveEncElg(c Context, s EncElgStatement, w EncElgWitness) (*EncElg, error) {
	alpha := arith.RandomSigned(pow2(p.L + p.Eps))
	mu := arith.RandomSigned(new(big.Int).Lsh(s.Ped.N().Big(), uint(p.L)))
	gamma := arith.RandomSigned(new(big.Int).Lsh(s.Ped.N().Big(), uint(p.L+p.Eps)))
	r, beta := w.Own.NewOwnNonce(), curve.RandomScalar()
	defer arith.EraseAll(alpha, mu, gamma)
	defer r.Erase()
	defer beta.Erase()
	out := new(EncElg)
	var err error
	if out.S, err = p.commit(s.Ped, w.X, p.L+p.Eps, mu); err != nil {
		return nil, err
	}
	if out.T, err = p.commit(s.Ped, alpha, p.L+p.Eps, gamma); err != nil {
		return nil, err
	}
	if out.D, err = w.Own.EncryptOwn(alpha, r); err != nil {
		return nil, err
	}
	out.Z = curve.BaseMul(beta)
	out.Y = s.A.Mul(beta).Add(curve.BaseMul(ScalarOf(alpha)))
	es, e := p.encElgChallenge(c, s, out)
	out.Z1 = alpha.Add(w.X.MulPublic(e)).Reveal()
	out.Z3 = gamma.Add(mu.MulPublic(e)).Reveal()
	out.W = beta.Add(es.Mul(w.B))
	out.Z2, err = w.Own.Response(r, w.Rho, e)
	return out, err
}

// commit is s^x * t^y in constant time, for x within ±2^bits and y within ±2^(ℓ+ε) times N̂.
func (p Params) commit(ped *paillier.Pedersen, x *arith.Int, bits int, y *arith.Int) (*big.Int, error) {
	return ped.Commit(x, bits+1, y, p.pedBits())
}

// pedBits bounds responses about ring-Pedersen randomness.
func (p Params) pedBits() int { return p.L + p.Eps + p.Modulus + 1 }

// VerifyEncElg checks the proof.
func (p Params) VerifyEncElg(c Context, s EncElgStatement, x *EncElg) error {
	fail := func(check string) error { return &Failure{"enc-elg", check} }
	switch {
	case !s.Key.IsCiphertext(s.C):
		return fail("C is a unit mod N0²")
	case !s.Key.IsCiphertext(x.D):
		return fail("D is a unit mod N0²")
	case !s.Ped.N().IsUnit(x.S) || !s.Ped.N().IsUnit(x.T):
		return fail("S and T are units mod N̂")
	case !s.Key.N().IsUnit(x.Z2):
		return fail("z2 is a unit mod N0")
	case !within(x.Z1, p.L+p.Eps):
		return fail("z1 within ±2^(ℓ+ε)")
	case !within(x.Z3, p.pedBits()):
		return fail("z3 is bounded")
	}
	es, e := p.encElgChallenge(c, s, x)
	if !equalEncryption(s.Key, x.Z1, x.Z2, x.D, s.C, e) {
		return fail("enc(z1; z2) = D * C^e")
	}
	z1, minus := publicScalar(x.Z1), es.Neg()
	if !curve.DoubleMulVartime(z1, minus, s.X).Add(curve.MultiMulVartime([]*group.Scalar{x.W}, []*group.Point{s.A})).Equal(x.Y) {
		return fail("wA + z1*G = Y + eX")
	}
	if !curve.DoubleMulVartime(x.W, minus, s.B).Equal(x.Z) {
		return fail("wG = Z + eB")
	}
	if !equalCommitment(s.Ped, x.Z1, x.Z3, x.T, x.S, e) {
		return fail("s^z1 * t^z3 = T * S^e")
	}
	return nil
}

// equalEncryption says whether enc(z; w) = a * c^e.
func equalEncryption(key *paillier.PublicKey, z, w, a, c, e *big.Int) bool {
	left, errL := key.EncryptPublic(z, w)
	right, errR := key.NN().ExpPublic(c, e)
	return errL == nil && errR == nil && left.Cmp(key.NN().Mul(a, right)) == 0
}

// equalCommitment says whether s^x * t^y = a * c^e.
func equalCommitment(ped *paillier.Pedersen, x, y, a, c, e *big.Int) bool {
	left, errL := ped.Combine(x, y)
	right, errR := ped.N().ExpPublic(c, e)
	return errL == nil && errR == nil && left.Cmp(ped.N().Mul(a, right)) == 0
}

func (x *EncElg) layout(l *layout) {
	l.residues(&x.S, &x.T, &x.Z2)
	l.squares(&x.D)
	l.points(&x.Y, &x.Z)
	l.signed(&x.Z1, l.p.L+l.p.Eps)
	l.signed(&x.Z3, l.p.pedBits())
	l.scalars(&x.W)
}

// Marshal is the fixed-width encoding.
func (x *EncElg) Marshal(p Params) []byte { return encodeWith(p, x.layout) }

// UnmarshalEncElg reads what Marshal wrote.
func UnmarshalEncElg(p Params, b []byte) (*EncElg, error) {
	x := new(EncElg)
	return x, decodeWith(p, b, x.layout)
}
