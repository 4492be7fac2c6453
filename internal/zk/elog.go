package zk

import "chancery.dev/internal/group"

// Elog is Πelog (Fig. 23): L = λG, M = yG + λX and Y = yH for one λ and one y. An ElGamal commitment (L, M) under X holds
// what Y is to the base H.
type Elog struct {
	A, N, B *group.Point
	Z, U    *group.Scalar
}

// ElogStatement is the public part.
type ElogStatement struct{ L, M, X, Y, H *group.Point }

func (p Params) elogChallenge(c Context, s ElogStatement, a, n, b *group.Point) *group.Scalar {
	t := p.transcript(c, "elog")
	points(t, "statement", s.L, s.M, s.X, s.Y, s.H)
	points(t, "commitment", a, n, b)
	e, _ := challenge(t)
	return e
}

// ProveElog needs λ and y.
func (p Params) ProveElog(c Context, s ElogStatement, lambda, y *group.Scalar) *Elog {
	alpha, m := curve.RandomScalar(), curve.RandomScalar()
	defer alpha.Erase()
	defer m.Erase()
	out := &Elog{A: curve.BaseMul(alpha), N: curve.BaseMul(m).Add(s.X.Mul(alpha)), B: s.H.Mul(m)}
	e := p.elogChallenge(c, s, out.A, out.N, out.B)
	out.Z, out.U = alpha.Add(e.Mul(lambda)), m.Add(e.Mul(y))
	return out
}

// VerifyElog checks the three equations.
func (p Params) VerifyElog(c Context, s ElogStatement, proof *Elog) error {
	e := p.elogChallenge(c, s, proof.A, proof.N, proof.B)
	minus := e.Neg()
	switch {
	case !curve.DoubleMulVartime(proof.Z, minus, s.L).Equal(proof.A):
		return &Failure{"elog", "zG = A + eL"}
	case !curve.DoubleMulVartime(proof.U, minus, s.M).Add(curve.MultiMulVartime([]*group.Scalar{proof.Z}, []*group.Point{s.X})).Equal(proof.N):
		return &Failure{"elog", "uG + zX = N + eM"}
	case !curve.MultiMulVartime([]*group.Scalar{proof.U, minus}, []*group.Point{s.H, s.Y}).Equal(proof.B):
		return &Failure{"elog", "uH = B + eY"}
	}
	return nil
}

func (x *Elog) layout(l *layout) { l.points(&x.A, &x.N, &x.B); l.scalars(&x.Z, &x.U) }

// Marshal is the fixed-width encoding.
func (x *Elog) Marshal(p Params) []byte { return encodeWith(p, x.layout) }

// UnmarshalElog reads what Marshal wrote.
func UnmarshalElog(p Params, b []byte) (*Elog, error) {
	x := new(Elog)
	return x, decodeWith(p, b, x.layout)
}
