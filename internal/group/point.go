package group

import (
	"bytes"
	"encoding/hex"

	ed "github.com/oasisprotocol/curve25519-voi/curve"
	edscalar "github.com/oasisprotocol/curve25519-voi/curve/scalar"
	k1 "gitlab.com/yawning/secp256k1-voi"
)

// DecodePoint reads a compressed point (SEC 1 section 2.3.4, RFC 8032 section 5.1.3). It refuses the identity, every
// encoding that is not canonical, and on edwards25519 every point with a torsion part.
func (c Curve) DecodePoint(b []byte) (*Point, error) {
	c.must()
	if len(b) != c.PointLen() {
		return nil, ErrEncoding
	}
	if c == Secp256k1 {
		p, err := k1.NewIdentityPoint().SetCompressedBytes(b)
		if err != nil || p.IsIdentity() == 1 {
			return nil, ErrEncoding
		}
		return &Point{curve: c, k: p, enc: bytes.Clone(b)}, nil
	}
	var y ed.CompressedEdwardsY
	if _, err := y.SetBytes(b); err != nil || !y.IsCanonicalVartime() {
		return nil, ErrEncoding
	}
	p, err := ed.NewEdwardsPoint().SetCompressedY(&y)
	if err != nil || p.IsSmallOrder() || !p.IsTorsionFree() {
		return nil, ErrEncoding
	}
	return &Point{curve: c, e: p, enc: bytes.Clone(b)}, nil
}

// Identity is the neutral element. It has no encoding that DecodePoint reads.
func (c Curve) Identity() *Point {
	c.must()
	if c == Secp256k1 {
		return &Point{curve: c, k: k1.NewIdentityPoint()}
	}
	return &Point{curve: c, e: ed.NewEdwardsPoint().Identity()}
}

// Generator is the base point.
func (c Curve) Generator() *Point {
	c.must()
	if c == Secp256k1 {
		return &Point{curve: c, k: k1.NewGeneratorPoint()}
	}
	return &Point{curve: c, e: ed.NewEdwardsPoint().Set(ed.ED25519_BASEPOINT_POINT)}
}

// BaseMul is s times the base point, in constant time.
func (c Curve) BaseMul(s *Scalar) *Point {
	c.check(s)
	if c == Secp256k1 {
		return &Point{curve: c, k: k1.NewIdentityPoint().ScalarBaseMult(&s.k)}
	}
	return &Point{curve: c, e: ed.NewEdwardsPoint().MulBasepoint(ed.ED25519_BASEPOINT_TABLE, &s.e)}
}

func (c Curve) check(s *Scalar) {
	if s.curve != c {
		panic("group: scalar of another curve")
	}
}

// MultiMulVartime is the sum of s[i]*p[i]. Its time depends on the values: public ones only.
func (c Curve) MultiMulVartime(s []*Scalar, p []*Point) *Point {
	c.must()
	if len(s) != len(p) {
		panic("group: as many scalars as points are needed")
	}
	if c == Secp256k1 {
		ks, ps := make([]*k1.Scalar, len(s)), make([]*k1.Point, len(p))
		for i := range s {
			c.check(s[i])
			p[i].on(c)
			ks[i], ps[i] = &s[i].k, p[i].k
		}
		return &Point{curve: c, k: k1.NewIdentityPoint().MultiScalarMultVartime(ks, ps)}
	}
	es, ps := make([]*edscalar.Scalar, len(s)), make([]*ed.EdwardsPoint, len(p))
	for i := range s {
		c.check(s[i])
		p[i].on(c)
		es[i], ps[i] = &s[i].e, p[i].e
	}
	return &Point{curve: c, e: ed.NewEdwardsPoint().MultiscalarMulVartime(es, ps)}
}

// DoubleMulVartime is a*G + b*P. Its time depends on the values: public ones only.
func (c Curve) DoubleMulVartime(a, b *Scalar, p *Point) *Point {
	c.check(a)
	c.check(b)
	p.on(c)
	if c == Secp256k1 {
		return &Point{curve: c, k: k1.NewIdentityPoint().DoubleScalarMultBasepointVartime(&a.k, &b.k, p.k)}
	}
	return &Point{curve: c, e: ed.NewEdwardsPoint().DoubleScalarMulBasepointVartime(&b.e, p.e, &a.e)}
}

func (p *Point) on(c Curve) {
	if p.curve != c {
		panic("group: point of another curve")
	}
}

// Curve is the group that the point belongs to.
func (p *Point) Curve() Curve { return p.curve }

// Add is p+o.
func (p *Point) Add(o *Point) *Point {
	o.on(p.curve)
	if p.curve == Secp256k1 {
		return &Point{curve: p.curve, k: k1.NewIdentityPoint().Add(p.k, o.k)}
	}
	return &Point{curve: p.curve, e: ed.NewEdwardsPoint().Add(p.e, o.e)}
}

// Sub is p-o.
func (p *Point) Sub(o *Point) *Point { return p.Add(o.Neg()) }

// Neg is -p.
func (p *Point) Neg() *Point {
	if p.curve == Secp256k1 {
		out := &Point{curve: p.curve, k: k1.NewIdentityPoint().Negate(p.k)}
		if p.enc != nil && p.enc[0] != 0 {
			out.enc = bytes.Clone(p.enc)
			out.enc[0] ^= 1 // 2 is even y, 3 is odd
		}
		return out
	}
	return &Point{curve: p.curve, e: ed.NewEdwardsPoint().Neg(p.e)}
}

// Double is 2p.
func (p *Point) Double() *Point { return p.Add(p) }

// Mul is s*p, in constant time.
func (p *Point) Mul(s *Scalar) *Point {
	p.curve.check(s)
	if p.curve == Secp256k1 {
		return &Point{curve: p.curve, k: k1.NewIdentityPoint().ScalarMult(&s.k, p.k)}
	}
	return &Point{curve: p.curve, e: ed.NewEdwardsPoint().Mul(p.e, &s.e)}
}

// Equal says whether the points are the same.
func (p *Point) Equal(o *Point) bool {
	o.on(p.curve)
	if p.curve == Secp256k1 {
		return p.k.Equal(o.k) == 1
	}
	return p.e.Equal(o.e) == 1
}

// IsIdentity says whether p is the neutral element.
func (p *Point) IsIdentity() bool {
	if p.curve == Secp256k1 {
		return p.k.IsIdentity() == 1
	}
	return p.e.IsIdentity()
}

// Bytes is the compressed encoding. The identity of secp256k1 has none of this length; it gives 33 zeros, which no decoder
// takes.
func (p *Point) Bytes() []byte {
	if p.enc != nil {
		return bytes.Clone(p.enc)
	}
	if p.curve == Secp256k1 {
		if p.k.IsIdentity() == 1 {
			return make([]byte, 33)
		}
		return p.k.CompressedBytes()
	}
	var y ed.CompressedEdwardsY
	y.SetEdwardsPoint(p.e)
	return y[:]
}

// Encoded is the same point, which remembers its encoding: for a point that is encoded more than once.
func (p *Point) Encoded() *Point {
	if p.enc != nil {
		return p
	}
	out := *p
	out.enc = p.Bytes()
	return &out
}

// HasEvenY is BIP340's parity. secp256k1 only.
func (p *Point) HasEvenY() bool {
	p.on(Secp256k1)
	if p.enc != nil && p.enc[0] != 0 {
		return p.enc[0] == 2
	}
	return p.k.IsYOdd() == 0
}

// XOnly is BIP340's 32-byte encoding. secp256k1 only; the identity gives zeros.
func (p *Point) XOnly() []byte {
	p.on(Secp256k1)
	return p.Bytes()[1:]
}

// String is the encoding in hex: points are public.
func (p *Point) String() string { return hex.EncodeToString(p.Bytes()) }
