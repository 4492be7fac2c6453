package zk

import (
	"encoding/binary"
	"math/big"

	"chancery.dev/internal/arith"
	"chancery.dev/internal/paillier"
	"chancery.dev/internal/transcript"
)

// Mod is Πmod (Fig. 12): N is a product of two primes, both 3 modulo 4, and gcd(N, φ(N)) = 1.
type Mod struct {
	W    *big.Int
	X, Z []*big.Int // one of each for every repetition
	A, B []bool
}

// modChallenges are the numbers y_1 .. y_m modulo N that the hash gives. They depend on N and w and everything before.
func (p Params) modChallenges(c Context, key *paillier.PublicKey, w *big.Int) []*big.Int {
	t := p.transcript(c, "mod")
	numbers(t, "statement", key.N().Big())
	numbers(t, "commitment", w)
	seed := t.Sum()
	out := make([]*big.Int, p.Reps)
	for i := range out {
		var wide []byte // 128 bits more than N has: the remainder is uniform to 2^-128
		for block := uint64(0); len(wide) < p.Modulus/8+16; block++ {
			h := transcript.Hash("chancery/zk/mod/y/v1", seed[:], binary.BigEndian.AppendUint64(nil, uint64(i)), binary.BigEndian.AppendUint64(nil, block))
			wide = append(wide, h[:]...)
		}
		out[i] = new(big.Int).SetBytes(wide[:p.Modulus/8+16])
		out[i].Mod(out[i], key.N().Big())
	}
	return out
}

// turned is (-1)^a * w^b * y mod N.
func turned(n *arith.Modulus, y, w *big.Int, a, b bool) *big.Int {
	out := new(big.Int).Set(y)
	if b {
		out = n.Mul(out, w)
	}
	if a {
		out.Sub(n.Big(), out)
	}
	return out.Mod(out, n.Big())
}

// ProveMod makes the proof.
func (p Params) ProveMod(c Context, own *paillier.SecretKey) (*Mod, error) {
	n := own.N()
	out := &Mod{W: arith.RandomUnit(n.Big()).Reveal()}
	for big.Jacobi(out.W, n.Big()) != -1 {
		out.W = arith.RandomUnit(n.Big()).Reveal()
	}
	for _, y := range p.modChallenges(c, own.PublicKey, out.W) {
		if !n.IsUnit(y) {
			return nil, paillier.ErrKey // finding one would be factoring N
		}
		a, b, square := false, false, y
		for i := range 4 {
			a, b = i&1 == 1, i&2 == 2
			if square = turned(n, y, out.W, a, b); own.IsSquare(square) {
				break
			}
		}
		x, err := own.FourthRoot(square)
		if err != nil {
			return nil, err
		}
		z, err := own.RootOf(y)
		if err != nil {
			return nil, err
		}
		out.X, out.Z, out.A, out.B = append(out.X, x), append(out.Z, z.Reveal()), append(out.A, a), append(out.B, b)
	}
	return out, nil
}

// VerifyMod checks the proof.
func (p Params) VerifyMod(c Context, key *paillier.PublicKey, x *Mod) error {
	fail := func(check string) error { return &Failure{"mod", check} }
	n := key.N()
	switch {
	case n.Big().Bit(0) == 0:
		return fail("N is odd")
	case n.Big().ProbablyPrime(0):
		return fail("N is composite")
	case !n.IsUnit(x.W):
		return fail("gcd(w, N) = 1")
	case big.Jacobi(x.W, n.Big()) != -1:
		return fail("w has Jacobi symbol -1")
	case len(x.X) != p.Reps || len(x.Z) != p.Reps || len(x.A) != p.Reps || len(x.B) != p.Reps:
		return fail("every repetition is there")
	}
	four := big.NewInt(4)
	for i, y := range p.modChallenges(c, key, x.W) {
		if !n.IsUnit(y) || !n.IsUnit(x.X[i]) || !n.IsUnit(x.Z[i]) {
			return fail("x and z are units")
		}
		if new(big.Int).Exp(x.X[i], four, n.Big()).Cmp(turned(n, y, x.W, x.A[i], x.B[i])) != 0 {
			return fail("x^4 = (-1)^a * w^b * y")
		}
		if z, err := n.ExpPublic(x.Z[i], n.Big()); err != nil || z.Cmp(y) != 0 {
			return fail("z^N = y")
		}
	}
	return nil
}

func (x *Mod) layout(l *layout) {
	l.residues(&x.W)
	list(l, &x.X, l.p.Reps, func(l *layout, v **big.Int) { l.residues(v) })
	list(l, &x.Z, l.p.Reps, func(l *layout, v **big.Int) { l.residues(v) })
	l.bits(&x.A, l.p.Reps)
	l.bits(&x.B, l.p.Reps)
}

// Marshal is the fixed-width encoding.
func (x *Mod) Marshal(p Params) []byte { return encodeWith(p, x.layout) }

// UnmarshalMod reads what Marshal wrote.
func UnmarshalMod(p Params, b []byte) (*Mod, error) {
	x := new(Mod)
	return x, decodeWith(p, b, x.layout)
}
