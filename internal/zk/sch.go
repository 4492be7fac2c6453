package zk

import (
	"chancery.dev/internal/group"
)

// Sch is Πsch (Fig. 22): knowledge of x with X = xG. The commitment is made first, so that a protocol can commit to it.
type Sch struct {
	A *group.Point
	Z *group.Scalar
}

// SchNonce is the secret behind A. Respond uses it up.
type SchNonce struct {
	_ [0]func()
	k *group.Scalar
	A *group.Point
}

// NewSchNonce draws the commitment.
func NewSchNonce() *SchNonce {
	k := curve.RandomScalar()
	return &SchNonce{k: k, A: curve.BaseMul(k)}
}

// Erase overwrites the nonce.
func (n *SchNonce) Erase() { n.k.Erase() }

func (p Params) schChallenge(c Context, x, a *group.Point, extra []byte) *group.Scalar {
	t := p.transcript(c, "sch")
	points(t, "statement", x)
	points(t, "commitment", a)
	t.Bytes("extra", extra)
	e, _ := challenge(t)
	return e
}

// Respond proves knowledge of x. extra is bound too: joint randomness that was not known when A was made.
func (p Params) Respond(c Context, n *SchNonce, x *group.Scalar, extra []byte) *Sch {
	defer n.Erase()
	e := p.schChallenge(c, curve.BaseMul(x), n.A, extra)
	return &Sch{A: n.A, Z: n.k.Add(e.Mul(x))}
}

// VerifySch checks a proof. A caller that holds an earlier commitment compares it with A itself.
func (p Params) VerifySch(c Context, x *group.Point, extra []byte, proof *Sch) error {
	e := p.schChallenge(c, x, proof.A, extra)
	if x.IsIdentity() || !curve.DoubleMulVartime(proof.Z, e.Neg(), x).Equal(proof.A) {
		return &Failure{"sch", "zG = A + eX"}
	}
	return nil
}

func (s *Sch) layout(l *layout) { l.points(&s.A); l.scalars(&s.Z) }

// Marshal is the fixed-width encoding.
func (s *Sch) Marshal(p Params) []byte { return encodeWith(p, s.layout) }

// UnmarshalSch reads what Marshal wrote.
func UnmarshalSch(p Params, b []byte) (*Sch, error) {
	s := new(Sch)
	return s, decodeWith(p, b, s.layout)
}
