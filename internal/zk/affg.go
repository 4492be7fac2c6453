package zk

import (
	"math/big"

	"chancery.dev/internal/arith"
	"chancery.dev/internal/group"
	"chancery.dev/internal/paillier"
)

// AffG is Πaff-g (Fig. 25): D = C^x * enc_N0(y; ρ), Y = enc_N1(y; ρ_y) and X = xG for an x within ±2^ℓ and a y within
// ±2^ℓ'. N0 and the ring-Pedersen key are the verifier's, N1 is the prover's. D and Y hold the same y: CGGMP24's -β.
type AffG struct {
	A              *big.Int // mod N0²
	Bx             *group.Point
	By             *big.Int // mod N1²
	E, S, F, T     *big.Int // mod N̂
	Z1, Z2, Z3, Z4 *big.Int
	W, Wy          *big.Int // mod N0, N1
}

// AffGStatement is the public part.
type AffGStatement struct {
	Key0, Key1 *paillier.PublicKey
	Ped        *paillier.Pedersen
	C, D, Y    *big.Int
	X          *group.Point
}

// AffGWitness is the secret part. Powers is a table of C modulo N0².
type AffGWitness struct {
	Own    *paillier.SecretKey
	Powers *arith.Comb
	X, Y   *arith.Int
	Rho    *paillier.Nonce
	RhoY   *paillier.OwnNonce
}

// PowersOf is the table that ProveAffG needs of a ciphertext C: it serves every proof about it.
func (p Params) PowersOf(key *paillier.PublicKey, c *big.Int) (*arith.Comb, error) {
	return arith.NewComb(key.NN(), c, p.L+p.Eps+1, true, 5, 2)
}

func (p Params) affGChallenge(c Context, s AffGStatement, x *AffG) (*group.Scalar, *big.Int) {
	t := p.transcript(c, "aff-g")
	numbers(t, "setup", s.Key0.N().Big(), s.Key1.N().Big(), s.Ped.N().Big(), s.Ped.S(), s.Ped.T())
	numbers(t, "statement", s.C, s.D, s.Y)
	points(t, "statement", s.X)
	numbers(t, "commitment", x.A, x.By, x.E, x.S, x.F, x.T)
	points(t, "commitment", x.Bx)
	return challenge(t)
}

// ProveAffG makes the proof.
func (p Params) ProveAffG(c Context, s AffGStatement, w AffGWitness) (*AffG, error) {
	alpha, beta := arith.RandomSigned(pow2(p.L+p.Eps)), arith.RandomSigned(pow2(p.LPrime+p.Eps))
	wide, narrow := new(big.Int).Lsh(s.Ped.N().Big(), uint(p.L+p.Eps)), new(big.Int).Lsh(s.Ped.N().Big(), uint(p.L))
	gamma, delta := arith.RandomSigned(wide), arith.RandomSigned(wide)
	m, mu := arith.RandomSigned(narrow), arith.RandomSigned(narrow)
	defer arith.EraseAll(alpha, beta, gamma, delta, m, mu)
	r, err := s.Key0.NewNonce()
	if err != nil {
		return nil, err
	}
	defer r.Erase()
	ry := w.Own.NewOwnNonce()
	defer ry.Erase()
	out := &AffG{Bx: curve.BaseMul(ScalarOf(alpha))}
	power, err := w.Powers.Exp(alpha)
	if err != nil {
		return nil, err
	}
	out.A = s.Key0.NN().Mul(power, s.Key0.Encrypt(beta, r.Power))
	if out.By, err = w.Own.EncryptOwn(beta, ry); err != nil {
		return nil, err
	}
	for _, pair := range []struct {
		out  **big.Int
		x    *arith.Int
		bits int
		y    *arith.Int
	}{{&out.E, alpha, p.L + p.Eps, gamma}, {&out.S, w.X, p.L + p.Eps, m}, {&out.F, beta, p.LPrime + p.Eps, delta}, {&out.T, w.Y, p.LPrime + p.Eps, mu}} {
		if *pair.out, err = p.commit(s.Ped, pair.x, pair.bits, pair.y); err != nil {
			return nil, err
		}
	}
	_, e := p.affGChallenge(c, s, out)
	out.Z1, out.Z2 = alpha.Add(w.X.MulPublic(e)).Reveal(), beta.Add(w.Y.MulPublic(e)).Reveal()
	out.Z3, out.Z4 = gamma.Add(m.MulPublic(e)).Reveal(), delta.Add(mu.MulPublic(e)).Reveal()
	rho, err := s.Key0.N().ExpPublic(w.Rho.Root.Reveal(), e)
	if err != nil {
		return nil, err
	}
	out.W = s.Key0.N().Mul(r.Root.Reveal(), rho)
	out.Wy, err = w.Own.Response(ry, w.RhoY, e)
	return out, err
}

// VerifyAffG checks the proof.
func (p Params) VerifyAffG(c Context, s AffGStatement, x *AffG) error {
	fail := func(check string) error { return &Failure{"aff-g", check} }
	if check := p.affGForm(s, x); check != "" {
		return fail(check)
	}
	es, e := p.affGChallenge(c, s, x)
	if !curve.DoubleMulVartime(publicScalar(x.Z1), es.Neg(), s.X).Equal(x.Bx) {
		return fail("z1*G = Bx + eX")
	}
	if !equalCommitment(s.Ped, x.Z1, x.Z3, x.E, x.S, e) {
		return fail("s^z1 * t^z3 = E * S^e")
	}
	if !equalCommitment(s.Ped, x.Z2, x.Z4, x.F, x.T, e) {
		return fail("s^z2 * t^z4 = F * T^e")
	}
	if !equalEncryption(s.Key1, x.Z2, x.Wy, x.By, s.Y, e) {
		return fail("enc1(z2; wy) = By * Y^e")
	}
	if !equalAffine(s.Key0, s.C, x.Z1, x.Z2, x.W, x.A, s.D, e) {
		return fail("C^z1 * enc0(z2; w) = A * D^e")
	}
	return nil
}

// affGForm checks what can be checked without an exponentiation, and names the check that fails.
func (p Params) affGForm(s AffGStatement, x *AffG) string {
	switch {
	case !s.Key0.IsCiphertext(s.C):
		return "C is a unit mod N0²"
	case !s.Key0.IsCiphertext(s.D):
		return "D is a unit mod N0²"
	case !s.Key0.IsCiphertext(x.A):
		return "A is a unit mod N0²"
	case !s.Key1.IsCiphertext(s.Y):
		return "Y is a unit mod N1²"
	case !s.Key1.IsCiphertext(x.By):
		return "By is a unit mod N1²"
	case !s.Ped.N().IsUnit(x.E) || !s.Ped.N().IsUnit(x.S) || !s.Ped.N().IsUnit(x.F) || !s.Ped.N().IsUnit(x.T):
		return "E, S, F and T are units mod N̂"
	case !s.Key0.N().IsUnit(x.W) || !s.Key1.N().IsUnit(x.Wy):
		return "w and wy are units"
	case !within(x.Z1, p.L+p.Eps):
		return "z1 within ±2^(ℓ+ε)"
	case !within(x.Z2, p.LPrime+p.Eps):
		return "z2 within ±2^(ℓ'+ε)"
	case !within(x.Z3, p.pedBits()) || !within(x.Z4, p.pedBits()):
		return "z3 and z4 are bounded"
	}
	return ""
}

// equalAffine says whether C^z1 * enc(z2; w) = a * d^e.
func equalAffine(key *paillier.PublicKey, c, z1, z2, w, a, d, e *big.Int) bool {
	left, err1 := key.NN().ExpPublic(c, z1)
	enc, err2 := key.EncryptPublic(z2, w)
	right, err3 := key.NN().ExpPublic(d, e)
	if err1 != nil || err2 != nil || err3 != nil {
		return false
	}
	return key.NN().Mul(left, enc).Cmp(key.NN().Mul(a, right)) == 0
}

func (x *AffG) layout(l *layout) {
	l.squares(&x.A, &x.By)
	l.points(&x.Bx)
	l.residues(&x.E, &x.S, &x.F, &x.T, &x.W, &x.Wy)
	l.signed(&x.Z1, l.p.L+l.p.Eps)
	l.signed(&x.Z2, l.p.LPrime+l.p.Eps)
	l.signed(&x.Z3, l.p.pedBits())
	l.signed(&x.Z4, l.p.pedBits())
}

// Marshal is the fixed-width encoding.
func (x *AffG) Marshal(p Params) []byte { return encodeWith(p, x.layout) }

// UnmarshalAffG reads what Marshal wrote.
func UnmarshalAffG(p Params, b []byte) (*AffG, error) {
	x := new(AffG)
	return x, decodeWith(p, b, x.layout)
}
