package zk

import (
	"math/big"

	"chancery.dev/internal/arith"
	"chancery.dev/internal/group"
)

// AffGStar is Πaff-g* (Fig. 27): what Πaff-g shows, to everybody, without a ring-Pedersen key, by repetitions with one-bit
// challenges. It is made only when a presigning has failed.
type AffGStar struct {
	A, B  []*big.Int // mod N0², N1²
	R     []*group.Point
	Z, Zy []*big.Int
	W, Wy []*big.Int // mod N0, N1
}

func (p Params) affGStarChallenge(c Context, s AffGStatement, x *AffGStar) []bool {
	t := p.transcript(c, "aff-g*")
	numbers(t, "setup", s.Key0.N().Big(), s.Key1.N().Big())
	numbers(t, "statement", s.C, s.D, s.Y)
	points(t, "statement", s.X)
	numbers(t, "commitment", x.A...)
	numbers(t, "commitment", x.B...)
	points(t, "commitment", x.R...)
	return challengeBits(t, p.Reps)
}

// ProveAffGStar makes the proof. The statement's Ped is not used.
func (p Params) ProveAffGStar(c Context, s AffGStatement, w AffGWitness) (*AffGStar, error) {
	out := new(AffGStar)
	var alphas, betas, roots, rootsY []*arith.Int
	defer func() {
		arith.EraseAll(alphas...)
		arith.EraseAll(betas...)
		arith.EraseAll(roots...)
		arith.EraseAll(rootsY...)
	}()
	for range p.Reps {
		alpha, beta := arith.RandomSigned(pow2(p.L+p.Eps)), arith.RandomSigned(pow2(p.LPrime+p.Eps))
		r, err := s.Key0.NewNonce()
		if err != nil {
			return nil, err
		}
		power, err := w.Powers.Exp(alpha)
		if err != nil {
			return nil, err
		}
		ry := w.Own.NewOwnNonce()
		b, err := w.Own.EncryptOwn(beta, ry)
		if err != nil {
			return nil, err
		}
		rootY, err := w.Own.OwnRoot(ry)
		if err != nil {
			return nil, err
		}
		out.A, out.B = append(out.A, s.Key0.NN().Mul(power, s.Key0.Encrypt(beta, r.Power))), append(out.B, b)
		out.R = append(out.R, curve.BaseMul(ScalarOf(alpha)))
		alphas, betas, roots, rootsY = append(alphas, alpha), append(betas, beta), append(roots, r.Root), append(rootsY, rootY)
		r.Power.Erase()
		ry.Erase()
	}
	rhoY, err := w.Own.OwnRoot(w.RhoY)
	if err != nil {
		return nil, err
	}
	defer rhoY.Erase()
	for i, e := range p.affGStarChallenge(c, s, out) {
		z, zy, root, rootY := alphas[i], betas[i], roots[i], rootsY[i]
		if e {
			z, zy = z.Add(w.X), zy.Add(w.Y)
			root, rootY = root.Mul(w.Rho.Root).Mod(s.Key0.N().Big()), rootY.Mul(rhoY).Mod(s.Key1.N().Big())
		}
		out.Z, out.Zy = append(out.Z, z.Reveal()), append(out.Zy, zy.Reveal())
		out.W, out.Wy = append(out.W, root.Reveal()), append(out.Wy, rootY.Reveal())
	}
	return out, nil
}

// VerifyAffGStar checks the proof.
func (p Params) VerifyAffGStar(c Context, s AffGStatement, x *AffGStar) error {
	fail := func(check string) error { return &Failure{"aff-g*", check} }
	for _, n := range []int{len(x.A), len(x.B), len(x.R), len(x.Z), len(x.Zy), len(x.W), len(x.Wy)} {
		if n != p.Reps {
			return fail("every repetition is there")
		}
	}
	if !s.Key0.IsCiphertext(s.C) || !s.Key0.IsCiphertext(s.D) || !s.Key1.IsCiphertext(s.Y) {
		return fail("C, D and Y are units")
	}
	for i, bit := range p.affGStarChallenge(c, s, x) {
		e, es := new(big.Int), curve.Zero()
		if bit {
			e, es = one, curve.ScalarFromUint64(1)
		}
		switch {
		case !s.Key0.IsCiphertext(x.A[i]) || !s.Key1.IsCiphertext(x.B[i]) || !s.Key0.N().IsUnit(x.W[i]) || !s.Key1.N().IsUnit(x.Wy[i]):
			return fail("A, B, w and wy are units")
		case !within(x.Z[i], p.L+p.Eps):
			return fail("z within ±2^(ℓ+ε)")
		case !within(x.Zy[i], p.LPrime+p.Eps):
			return fail("z' within ±2^(ℓ'+ε)")
		case !curve.DoubleMulVartime(publicScalar(x.Z[i]), es.Neg(), s.X).Equal(x.R[i]):
			return fail("zG = R + eX")
		case !equalEncryption(s.Key1, x.Zy[i], x.Wy[i], x.B[i], s.Y, e):
			return fail("enc1(z'; wy) = B * Y^e")
		case !equalAffine(s.Key0, s.C, x.Z[i], x.Zy[i], x.W[i], x.A[i], s.D, e):
			return fail("C^z * enc0(z'; w) = A * D^e")
		}
	}
	return nil
}

func (x *AffGStar) layout(l *layout) {
	n := l.p.Reps
	list(l, &x.A, n, func(l *layout, v **big.Int) { l.squares(v) })
	list(l, &x.B, n, func(l *layout, v **big.Int) { l.squares(v) })
	list(l, &x.R, n, func(l *layout, v **group.Point) { l.points(v) })
	list(l, &x.Z, n, func(l *layout, v **big.Int) { l.signed(v, l.p.L+l.p.Eps) })
	list(l, &x.Zy, n, func(l *layout, v **big.Int) { l.signed(v, l.p.LPrime+l.p.Eps) })
	list(l, &x.W, n, func(l *layout, v **big.Int) { l.residues(v) })
	list(l, &x.Wy, n, func(l *layout, v **big.Int) { l.residues(v) })
}

// Marshal is the fixed-width encoding.
func (x *AffGStar) Marshal(p Params) []byte { return encodeWith(p, x.layout) }

// UnmarshalAffGStar reads what Marshal wrote.
func UnmarshalAffGStar(p Params, b []byte) (*AffGStar, error) {
	x := new(AffGStar)
	return x, decodeWith(p, b, x.layout)
}
