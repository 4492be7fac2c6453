// Package group is prime-order groups for the engine: secp256k1 and the prime-order subgroup of edwards25519.
//
// Values are immutable, except that a scalar can be erased. Scalars are treated as secret: they cannot be printed or
// compared with ==, and every operation on them takes constant time, apart from the functions that say Vartime, which are
// for public values only. Decoding is the trust boundary: only canonical encodings of non-identity points of the prime
// order come in. Mixing curves is a programming error and panics.
package group

import (
	"errors"
	"fmt"

	ed "github.com/oasisprotocol/curve25519-voi/curve"
	edscalar "github.com/oasisprotocol/curve25519-voi/curve/scalar"
	k1 "gitlab.com/yawning/secp256k1-voi"

	"chancery.dev/internal/secret"
)

// Curve names a group.
type Curve uint8

// The groups.
const (
	Secp256k1    Curve = 1
	Edwards25519 Curve = 2
)

// ErrEncoding is returned for bytes that are not the canonical encoding of an allowed value.
var ErrEncoding = errors.New("not a canonical encoding of a group value")

// String is the curve's usual name.
func (c Curve) String() string {
	switch c {
	case Secp256k1:
		return "secp256k1"
	case Edwards25519:
		return "edwards25519"
	}
	return fmt.Sprintf("curve(%d)", uint8(c))
}

// Valid says whether the curve is known.
func (c Curve) Valid() bool { return c == Secp256k1 || c == Edwards25519 }

// ScalarLen is the length of an encoded scalar in bytes.
func (c Curve) ScalarLen() int { return 32 }

// PointLen is the length of an encoded point in bytes: SEC 1 compressed, or RFC 8032.
func (c Curve) PointLen() int {
	if c == Secp256k1 {
		return 33
	}
	return 32
}

func (c Curve) must() {
	if !c.Valid() {
		panic("group: unknown curve")
	}
}

// Scalar is an integer modulo the group order.
type Scalar struct {
	_     [0]func()
	curve Curve
	k     k1.Scalar       // of secp256k1
	e     edscalar.Scalar // of edwards25519
}

// Point is a group element.
type Point struct {
	_     [0]func()
	curve Curve
	k     *k1.Point
	e     *ed.EdwardsPoint
	enc   []byte // the encoding, where it is known: finding it costs an inversion
}

func (c Curve) scalar() *Scalar {
	c.must()
	return &Scalar{curve: c}
}

// Zero is 0.
func (c Curve) Zero() *Scalar { return c.scalar() }

// ScalarFromUint64 is v.
func (c Curve) ScalarFromUint64(v uint64) *Scalar {
	s := c.scalar()
	if c == Secp256k1 {
		s.k.Set(k1.NewScalarFromUint64(v))
	} else {
		s.e.SetUint64(v)
	}
	return s
}

// RandomScalar is uniform among the non-zero scalars.
func (c Curve) RandomScalar() *Scalar {
	wide := secret.Random(64)
	defer wide.Erase()
	s := c.ReduceScalar(wide.Reveal())
	if s.IsZero() {
		return c.RandomScalar() // happens with probability 2^-252
	}
	return s
}

// DecodeScalar reads 32 bytes below the order: big-endian for secp256k1, little-endian for edwards25519. Zero is allowed.
func (c Curve) DecodeScalar(b []byte) (*Scalar, error) {
	s := c.scalar()
	if len(b) != c.ScalarLen() {
		return nil, ErrEncoding
	}
	if c == Secp256k1 {
		if _, err := s.k.SetCanonicalBytes((*[32]byte)(b)); err != nil {
			return nil, ErrEncoding
		}
		return s, nil
	}
	if _, err := s.e.SetCanonicalBytes(b); err != nil {
		return nil, ErrEncoding
	}
	return s, nil
}

// ReduceScalar reduces 32 to 64 bytes modulo the order, in the byte order of DecodeScalar. The bytes should be 16 more
// than the order has where the result must be uniform.
func (c Curve) ReduceScalar(b []byte) *Scalar {
	s := c.scalar()
	if len(b) < 32 || len(b) > 64 {
		panic("group: reduction of fewer than 32 or more than 64 bytes")
	}
	if c == Edwards25519 {
		var wide [64]byte
		copy(wide[:], b)
		_, err := s.e.SetBytesModOrderWide(wide[:])
		secret.Wipe(wide[:])
		if err != nil {
			panic("group: " + err.Error()) // the length is right, so it cannot be
		}
		return s
	}
	// b = hi * 2^256 + lo, with hi below 2^256.
	var lo, hi [32]byte
	copy(lo[:], b[len(b)-32:])
	copy(hi[32-(len(b)-32):], b[:len(b)-32])
	low, _ := k1.NewScalarFromBytes(&lo)
	high, _ := k1.NewScalarFromBytes(&hi)
	s.k.Multiply(high, two256)
	s.k.Add(&s.k, low)
	high.Zero()
	low.Zero()
	secret.Wipe(lo[:])
	secret.Wipe(hi[:])
	return s
}

// two256 is 2^256 modulo the order of secp256k1.
var two256 = func() *k1.Scalar {
	half := k1.NewScalarFromUint64(1 << 32)
	out := k1.NewScalarFromUint64(1)
	for range 8 {
		out.Multiply(out, half)
	}
	return out
}()

// Curve is the group that the scalar belongs to.
func (s *Scalar) Curve() Curve { return s.curve }

func (s *Scalar) with(o *Scalar) *Scalar {
	if s.curve != o.curve {
		panic("group: scalars of two curves")
	}
	return s.curve.scalar()
}

// Add is s+o.
func (s *Scalar) Add(o *Scalar) *Scalar {
	r := s.with(o)
	if s.curve == Secp256k1 {
		r.k.Add(&s.k, &o.k)
	} else {
		r.e.Add(&s.e, &o.e)
	}
	return r
}

// Sub is s-o.
func (s *Scalar) Sub(o *Scalar) *Scalar {
	r := s.with(o)
	if s.curve == Secp256k1 {
		r.k.Subtract(&s.k, &o.k)
	} else {
		r.e.Sub(&s.e, &o.e)
	}
	return r
}

// Mul is s*o.
func (s *Scalar) Mul(o *Scalar) *Scalar {
	r := s.with(o)
	if s.curve == Secp256k1 {
		r.k.Multiply(&s.k, &o.k)
	} else {
		r.e.Mul(&s.e, &o.e)
	}
	return r
}

// Neg is -s.
func (s *Scalar) Neg() *Scalar {
	r := s.curve.scalar()
	if s.curve == Secp256k1 {
		r.k.Negate(&s.k)
	} else {
		r.e.Neg(&s.e)
	}
	return r
}

// Invert is 1/s; zero has none.
func (s *Scalar) Invert() (*Scalar, error) {
	if s.IsZero() {
		return nil, errors.New("zero has no inverse")
	}
	r := s.curve.scalar()
	if s.curve == Secp256k1 {
		r.k.Invert(&s.k)
	} else {
		r.e.Invert(&s.e)
	}
	return r, nil
}

// Equal compares in constant time.
func (s *Scalar) Equal(o *Scalar) bool {
	s.with(o)
	if s.curve == Secp256k1 {
		return s.k.Equal(&o.k) == 1
	}
	return s.e.Equal(&o.e) == 1
}

// IsZero compares with zero in constant time.
func (s *Scalar) IsZero() bool {
	if s.curve == Secp256k1 {
		return s.k.IsZero() == 1
	}
	var zero edscalar.Scalar
	return s.e.Equal(&zero) == 1
}

// Bytes is the canonical encoding; the caller erases it where the scalar is secret.
func (s *Scalar) Bytes() []byte {
	if s.curve == Secp256k1 {
		return s.k.Bytes()
	}
	out := make([]byte, 32)
	if err := s.e.ToBytes(out); err != nil {
		panic("group: " + err.Error()) // the length is right, so it cannot be
	}
	return out
}

// Clone is a copy that is erased apart from s.
func (s *Scalar) Clone() *Scalar {
	r := s.curve.scalar()
	if s.curve == Secp256k1 {
		r.k.Set(&s.k)
	} else {
		r.e.Set(&s.e)
	}
	return r
}

// Erase makes the scalar zero. It may be called twice, and on nil.
func (s *Scalar) Erase() {
	if s != nil {
		s.k.Zero()
		s.e.Zero()
	}
}

// String, GoString and Format print the mark of a secret.
func (*Scalar) String() string             { return secret.Mark }
func (*Scalar) GoString() string           { return secret.Mark }
func (*Scalar) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(secret.Mark)) }

// MarshalJSON refuses, so that no struct with a scalar in it is ever encoded by accident.
func (*Scalar) MarshalJSON() ([]byte, error) { return nil, errors.New("a scalar is secret") }
