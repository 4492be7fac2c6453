package zk

import (
	"math/big"

	"chancery.dev/internal/arith"
	"chancery.dev/internal/paillier"
	"chancery.dev/internal/transcript"
)

// Prm is Πprm (Fig. 13): s is a power of t modulo N̂. Its repetitions have one-bit challenges because N̂ may have elements of
// small order; they must not be combined.
type Prm struct {
	A, Z []*big.Int
}

// challengeBits are the first n bits of a transcript's sum.
func challengeBits(t *transcript.Transcript, n int) []bool {
	sum := t.Sum()
	out := make([]bool, n)
	for i := range out {
		out[i] = sum[i/8]>>(i%8)&1 == 1
	}
	return out
}

func (p Params) prmChallenge(c Context, ped *paillier.Pedersen, a []*big.Int) []bool {
	t := p.transcript(c, "prm")
	numbers(t, "statement", ped.N().Big(), ped.S(), ped.T())
	numbers(t, "commitment", a...)
	return challengeBits(t, p.Reps)
}

// ProvePrm makes the proof.
func (p Params) ProvePrm(c Context, own *paillier.PedersenSecret) (*Prm, error) {
	phi, lambda := own.Phi(), own.Lambda()
	defer arith.EraseAll(phi, lambda)
	out := new(Prm)
	nonces := make([]*arith.Int, p.Reps)
	defer func() { arith.EraseAll(nonces...) }()
	for i := range nonces {
		nonces[i] = arith.RandomBelow(phi.Reveal())
		a, err := own.Power(nonces[i])
		if err != nil {
			return nil, err
		}
		out.A = append(out.A, a)
	}
	for i, e := range p.prmChallenge(c, own.Pedersen, out.A) {
		z := nonces[i]
		if e {
			z = z.Add(lambda).Mod(phi.Reveal())
		}
		out.Z = append(out.Z, z.Reveal())
	}
	return out, nil
}

// VerifyPrm checks the proof.
func (p Params) VerifyPrm(c Context, ped *paillier.Pedersen, x *Prm) error {
	fail := func(check string) error { return &Failure{"prm", check} }
	if len(x.A) != p.Reps || len(x.Z) != p.Reps {
		return fail("every repetition is there")
	}
	for i := range x.A {
		if !ped.N().IsUnit(x.A[i]) {
			return fail("A is a unit mod N̂")
		}
		if x.Z[i].Sign() < 0 || x.Z[i].Cmp(ped.N().Big()) >= 0 {
			return fail("0 <= z < N̂")
		}
	}
	for i, e := range p.prmChallenge(c, ped, x.A) {
		want := x.A[i]
		if e {
			want = ped.N().Mul(want, ped.S())
		}
		left, err := ped.Commit(new(arith.Int), 1, arith.NewInt(x.Z[i]), p.pedBits())
		if err != nil || left.Cmp(want) != 0 {
			return fail("t^z = A * s^e")
		}
	}
	return nil
}

func (x *Prm) layout(l *layout) {
	list(l, &x.A, l.p.Reps, func(l *layout, v **big.Int) { l.residues(v) })
	list(l, &x.Z, l.p.Reps, func(l *layout, v **big.Int) { l.residues(v) })
}

// Marshal is the fixed-width encoding.
func (x *Prm) Marshal(p Params) []byte { return encodeWith(p, x.layout) }

// UnmarshalPrm reads what Marshal wrote.
func UnmarshalPrm(p Params, b []byte) (*Prm, error) {
	x := new(Prm)
	return x, decodeWith(p, b, x.layout)
}
