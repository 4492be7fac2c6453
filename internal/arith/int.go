package arith

import (
	"errors"
	"fmt"
	"math/big"

	"chancery.dev/internal/secret"
)

// Int is a secret integer, of either sign.
type Int struct {
	_ [0]func()
	v big.Int
}

// NewInt takes a copy of v. The caller erases its own where that is secret.
func NewInt(v *big.Int) *Int {
	s := new(Int)
	s.v.Set(v)
	return s
}

// IntFromBytes reads an unsigned big-endian number.
func IntFromBytes(b []byte) *Int {
	s := new(Int)
	s.v.SetBytes(b)
	return s
}

// RandomBelow is uniform in [0, n) for n above zero.
func RandomBelow(n *big.Int) *Int {
	size := n.BitLen()
	b := make([]byte, (size+7)/8)
	defer secret.Wipe(b)
	s := new(Int)
	for {
		secret.Read(b)
		b[0] &= byte(0xff >> (len(b)*8 - size))
		if s.v.SetBytes(b); s.v.Cmp(n) < 0 { // how often it is drawn again says nothing of what is kept
			return s
		}
	}
}

// RandomSigned is uniform in [-bound, bound].
func RandomSigned(bound *big.Int) *Int {
	width := new(big.Int).Lsh(bound, 1)
	s := RandomBelow(width.Add(width, big.NewInt(1)))
	s.v.Sub(&s.v, bound)
	return s
}

// RandomUnit is uniform among the units modulo n.
func RandomUnit(n *big.Int) *Int {
	g := new(big.Int)
	for {
		s := RandomBelow(n)
		if g.GCD(nil, nil, &s.v, n).IsUint64() && g.Uint64() == 1 {
			return s
		}
	}
}

// Add is s+o.
func (s *Int) Add(o *Int) *Int {
	r := new(Int)
	r.v.Add(&s.v, &o.v)
	return r
}

// Sub is s-o.
func (s *Int) Sub(o *Int) *Int {
	r := new(Int)
	r.v.Sub(&s.v, &o.v)
	return r
}

// Mul is s*o.
func (s *Int) Mul(o *Int) *Int {
	r := new(Int)
	r.v.Mul(&s.v, &o.v)
	return r
}

// Neg is -s.
func (s *Int) Neg() *Int {
	r := new(Int)
	r.v.Neg(&s.v)
	return r
}

// MulPublic is s*n.
func (s *Int) MulPublic(n *big.Int) *Int {
	r := new(Int)
	r.v.Mul(&s.v, n)
	return r
}

// Mod is s modulo n, in [0, n).
func (s *Int) Mod(n *big.Int) *Int {
	r := new(Int)
	r.v.Mod(&s.v, n)
	return r
}

// BitLen is the length of the absolute value: for tests of declared sizes.
func (s *Int) BitLen() int { return s.v.BitLen() }

// Reveal is a copy as a public number: for what the protocol sends.
func (s *Int) Reveal() *big.Int { return new(big.Int).Set(&s.v) }

// Bytes is the value, big-endian in size bytes. It must not be negative and must fit.
func (s *Int) Bytes(size int) []byte { return s.v.FillBytes(make([]byte, size)) }

// Erase overwrites the words. It may be called twice, and on nil.
func (s *Int) Erase() {
	if s != nil {
		eraseBig(&s.v)
	}
}

// eraseBig overwrites a number's words, those beyond its length too.
func eraseBig(v *big.Int) {
	words := v.Bits()
	clear(words[:cap(words)])
	v.SetInt64(0)
}

// EraseAll erases many.
func EraseAll(s ...*Int) {
	for _, x := range s {
		x.Erase()
	}
}

// String, GoString and Format print the mark of a secret; MarshalJSON refuses.
func (*Int) String() string               { return secret.Mark }
func (*Int) GoString() string             { return secret.Mark }
func (*Int) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte(secret.Mark)) }
func (*Int) MarshalJSON() ([]byte, error) { return nil, errors.New("the number is secret") }

// exponent is s as limbs of a declared size in bits; s must not be negative.
func (s *Int) exponent(size int) ([]uint64, error) {
	if s.v.Sign() < 0 || s.v.BitLen() > size || size > MaxExponentBits {
		return nil, ErrExponent
	}
	return limbs(&s.v, (size+63)/64), nil
}
