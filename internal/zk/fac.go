package zk

import (
	"math/big"

	"chancery.dev/internal/arith"
	"chancery.dev/internal/paillier"
)

// Fac is Πfac (Fig. 26): the prover's N0 = pq has no small factor: p and q are both below 2^ℓ * √N0. For one verifier.
type Fac struct {
	P, Q, A, B, T *big.Int // mod N̂
	Z1, Z2        *big.Int
	W1, W2, V     *big.Int
}

// FacStatement is the public part: the prover's modulus and the verifier's ring-Pedersen key.
type FacStatement struct {
	Key *paillier.PublicKey
	Ped *paillier.Pedersen
}

// Sizes of the responses in bits. √N0 is taken as 2^(bits/2), the same for both sides.
func (p Params) facZ() int { return p.L + p.Eps + p.Modulus/2 }
func (p Params) facV() int { return p.L + p.Eps + 2*p.Modulus + 1 }

func (p Params) facChallenge(c Context, s FacStatement, x *Fac) *big.Int {
	t := p.transcript(c, "fac")
	numbers(t, "setup", s.Ped.N().Big(), s.Ped.S(), s.Ped.T())
	numbers(t, "statement", s.Key.N().Big())
	numbers(t, "commitment", x.P, x.Q, x.A, x.B, x.T)
	_, e := challenge(t)
	return e
}

// ProveFac makes the proof. T = Q^α * t^r is computed as s^(qα) * t^(να+r), with fixed bases.
func (p Params) ProveFac(c Context, s FacStatement, own *paillier.SecretKey) (*Fac, error) {
	fp, fq := own.Factors()
	n := s.Ped.N().Big()
	alpha, beta := arith.RandomSigned(pow2(p.facZ())), arith.RandomSigned(pow2(p.facZ()))
	mu, nu := arith.RandomSigned(new(big.Int).Lsh(n, uint(p.L))), arith.RandomSigned(new(big.Int).Lsh(n, uint(p.L)))
	wide := new(big.Int).Lsh(n, uint(p.L+p.Eps))
	x, y := arith.RandomSigned(wide), arith.RandomSigned(wide)
	r := arith.RandomSigned(new(big.Int).Mul(wide, s.Key.N().Big()))
	defer arith.EraseAll(fp, fq, alpha, beta, mu, nu, x, y, r)
	out := new(Fac)
	for _, pair := range []struct {
		out  **big.Int
		x, y *arith.Int
	}{{&out.P, fp, mu}, {&out.Q, fq, nu}, {&out.A, alpha, x}, {&out.B, beta, y}} {
		var err error
		if *pair.out, err = p.commit(s.Ped, pair.x, p.facZ(), pair.y); err != nil {
			return nil, err
		}
	}
	left, right := fq.Mul(alpha), nu.Mul(alpha).Add(r)
	defer arith.EraseAll(left, right)
	var err error
	if out.T, err = s.Ped.Commit(left, p.facZ()+p.Modulus/2+1, right, p.facV()+1); err != nil {
		return nil, err
	}
	e := p.facChallenge(c, s, out)
	out.Z1, out.Z2 = alpha.Add(fp.MulPublic(e)).Reveal(), beta.Add(fq.MulPublic(e)).Reveal()
	out.W1, out.W2 = x.Add(mu.MulPublic(e)).Reveal(), y.Add(nu.MulPublic(e)).Reveal()
	out.V = r.Sub(nu.Mul(fp).MulPublic(e)).Reveal()
	return out, nil
}

// VerifyFac checks the proof.
func (p Params) VerifyFac(c Context, s FacStatement, x *Fac) error {
	fail := func(check string) error { return &Failure{"fac", check} }
	for _, v := range []*big.Int{x.P, x.Q, x.A, x.B, x.T} {
		if !s.Ped.N().IsUnit(v) {
			return fail("P, Q, A, B and T are units mod N̂")
		}
	}
	switch {
	case !within(x.Z1, p.facZ()) || !within(x.Z2, p.facZ()):
		return fail("z1 and z2 within ±2^(ℓ+ε)√N0")
	case !within(x.W1, p.pedBits()) || !within(x.W2, p.pedBits()) || !within(x.V, p.facV()):
		return fail("w1, w2 and v are bounded")
	}
	e := p.facChallenge(c, s, x)
	if !equalCommitment(s.Ped, x.Z1, x.W1, x.A, x.P, e) {
		return fail("s^z1 * t^w1 = A * P^e")
	}
	if !equalCommitment(s.Ped, x.Z2, x.W2, x.B, x.Q, e) {
		return fail("s^z2 * t^w2 = B * Q^e")
	}
	left, err1 := s.Ped.N().ExpPublic(x.Q, x.Z1)
	tv, err2 := s.Ped.Combine(new(big.Int), x.V)
	re, err3 := s.Ped.Combine(new(big.Int).Mul(s.Key.N().Big(), e), new(big.Int)) // R^e with R = s^N0
	if err1 != nil || err2 != nil || err3 != nil || s.Ped.N().Mul(left, tv).Cmp(s.Ped.N().Mul(x.T, re)) != 0 {
		return fail("Q^z1 * t^v = T * R^e")
	}
	return nil
}

func (x *Fac) layout(l *layout) {
	l.residues(&x.P, &x.Q, &x.A, &x.B, &x.T)
	l.signed(&x.Z1, l.p.facZ())
	l.signed(&x.Z2, l.p.facZ())
	l.signed(&x.W1, l.p.pedBits())
	l.signed(&x.W2, l.p.pedBits())
	l.signed(&x.V, l.p.facV())
}

// Marshal is the fixed-width encoding.
func (x *Fac) Marshal(p Params) []byte { return encodeWith(p, x.layout) }

// UnmarshalFac reads what Marshal wrote.
func UnmarshalFac(p Params, b []byte) (*Fac, error) {
	x := new(Fac)
	return x, decodeWith(p, b, x.layout)
}
