package zk

import (
	"math/big"

	"chancery.dev/internal/arith"
	"chancery.dev/internal/group"
	"chancery.dev/internal/paillier"
)

// Dec is Πdec (Fig. 28): K^x * D decrypts to y, with X = xG and S = yH. The base H is explicit: G for a failed nonce, Γ for a
// failed chi. y is the sum before it is reduced modulo q, so its range is wider than the figure's: β is drawn from
// ±2^(ℓ'+2ε+n) where 2^n bounds the number of summands (docs/spec/cggmp24.md).
type Dec struct {
	A    []*big.Int // mod N²
	B, C []*group.Point
	Z, W []*big.Int
	V    []*big.Int // mod N
}

// DecStatement is the public part. Key is the prover's.
type DecStatement struct {
	Key  *paillier.PublicKey
	K, D *big.Int
	X    *group.Point
	S, H *group.Point
}

// DecWitness is the secret part: y is not reduced.
type DecWitness struct {
	Own  *paillier.SecretKey
	X, Y *arith.Int
}

// maxSummands bounds in bits how many products a decrypted sum has.
const maxSummands = 8

func (p Params) decW() int { return p.LPrime + 2*p.Eps + 1 + maxSummands }

func (p Params) decChallenge(c Context, s DecStatement, x *Dec) []bool {
	t := p.transcript(c, "dec")
	numbers(t, "setup", s.Key.N().Big())
	numbers(t, "statement", s.K, s.D)
	points(t, "statement", s.X, s.S, s.H)
	numbers(t, "commitment", x.A...)
	points(t, "commitment", x.B...)
	points(t, "commitment", x.C...)
	return challengeBits(t, p.Reps)
}

// ProveDec makes the proof. The nonce of K^x * D is found by taking a root.
func (p Params) ProveDec(c Context, s DecStatement, w DecWitness) (*Dec, error) {
	powers, err := arith.NewComb(s.Key.NN(), s.K, p.L+p.Eps+1, true, 5, 2)
	if err != nil {
		return nil, err
	}
	kx, err := powers.Exp(w.X)
	if err != nil {
		return nil, err
	}
	rho, err := w.Own.RootOf(new(big.Int).Mod(s.Key.NN().Mul(kx, s.D), s.Key.N().Big()))
	if err != nil {
		return nil, err
	}
	defer rho.Erase()
	out := new(Dec)
	var alphas, betas, roots []*arith.Int
	defer func() {
		arith.EraseAll(alphas...)
		arith.EraseAll(betas...)
		arith.EraseAll(roots...)
	}()
	for range p.Reps {
		alpha, beta := arith.RandomSigned(pow2(p.L+p.Eps)), arith.RandomSigned(pow2(p.decW()))
		r := w.Own.NewOwnNonce()
		enc, err := w.Own.EncryptOwn(beta, r)
		if err != nil {
			return nil, err
		}
		power, err := powers.Exp(alpha.Neg())
		if err != nil {
			return nil, err
		}
		root, err := w.Own.OwnRoot(r)
		if err != nil {
			return nil, err
		}
		r.Erase()
		out.A = append(out.A, s.Key.NN().Mul(power, enc))
		out.B, out.C = append(out.B, s.H.Mul(ScalarOf(beta))), append(out.C, curve.BaseMul(ScalarOf(alpha)))
		alphas, betas, roots = append(alphas, alpha), append(betas, beta), append(roots, root)
	}
	for i, e := range p.decChallenge(c, s, out) {
		z, v, root := alphas[i], betas[i], roots[i]
		if e {
			z, v, root = z.Add(w.X), v.Add(w.Y), root.Mul(rho).Mod(s.Key.N().Big())
		}
		out.Z, out.W, out.V = append(out.Z, z.Reveal()), append(out.W, v.Reveal()), append(out.V, root.Reveal())
	}
	return out, nil
}

// VerifyDec checks the proof.
func (p Params) VerifyDec(c Context, s DecStatement, x *Dec) error {
	fail := func(check string) error { return &Failure{"dec", check} }
	for _, n := range []int{len(x.A), len(x.B), len(x.C), len(x.Z), len(x.W), len(x.V)} {
		if n != p.Reps {
			return fail("every repetition is there")
		}
	}
	if !s.Key.IsCiphertext(s.K) || !s.Key.IsCiphertext(s.D) {
		return fail("K and D are units")
	}
	for i, bit := range p.decChallenge(c, s, x) {
		e, es := new(big.Int), curve.Zero()
		if bit {
			e, es = one, curve.ScalarFromUint64(1)
		}
		switch {
		case !s.Key.IsCiphertext(x.A[i]) || !s.Key.N().IsUnit(x.V[i]):
			return fail("A and ν are units")
		case !within(x.Z[i], p.L+p.Eps):
			return fail("z within ±2^(ℓ+ε)")
		case !within(x.W[i], p.decW()):
			return fail("w is in range")
		case !curve.DoubleMulVartime(publicScalar(x.Z[i]), es.Neg(), s.X).Equal(x.C[i]):
			return fail("zG = C + eX")
		case !curve.MultiMulVartime([]*group.Scalar{publicScalar(x.W[i]), es.Neg()}, []*group.Point{s.H, s.S}).Equal(x.B[i]):
			return fail("wH = B + eS")
		case !equalAffine(s.Key, s.K, new(big.Int).Neg(x.Z[i]), x.W[i], x.V[i], x.A[i], s.D, e):
			return fail("enc(w; ν) * K^-z = A * D^e")
		}
	}
	return nil
}

func (x *Dec) layout(l *layout) {
	n := l.p.Reps
	list(l, &x.A, n, func(l *layout, v **big.Int) { l.squares(v) })
	list(l, &x.B, n, func(l *layout, v **group.Point) { l.points(v) })
	list(l, &x.C, n, func(l *layout, v **group.Point) { l.points(v) })
	list(l, &x.Z, n, func(l *layout, v **big.Int) { l.signed(v, l.p.L+l.p.Eps) })
	list(l, &x.W, n, func(l *layout, v **big.Int) { l.signed(v, l.p.decW()) })
	list(l, &x.V, n, func(l *layout, v **big.Int) { l.residues(v) })
}

// Marshal is the fixed-width encoding.
func (x *Dec) Marshal(p Params) []byte { return encodeWith(p, x.layout) }

// UnmarshalDec reads what Marshal wrote.
func UnmarshalDec(p Params, b []byte) (*Dec, error) {
	x := new(Dec)
	return x, decodeWith(p, b, x.layout)
}
