package arith

import (
	"math/big"
	"math/bits"
)

// Modulus is an odd modulus. Whether it is secret (a prime factor) or public is the owner's business; the value is not
// printed.
type Modulus struct {
	_ [0]func()
	ring
	v *big.Int
}

// NewModulus takes a copy of n.
func NewModulus(n *big.Int) (*Modulus, error) {
	if n.Sign() <= 0 || n.Bit(0) == 0 || n.BitLen() < 2 || n.BitLen() > MaxModulusBits {
		return nil, ErrModulus
	}
	v := new(big.Int).Set(n)
	return &Modulus{ring: newRing(v), v: v}, nil
}

// Big is the modulus itself: it must not be changed.
func (m *Modulus) Big() *big.Int { return m.v }

// Size is the length in bytes.
func (m *Modulus) Size() int { return (m.v.BitLen() + 7) / 8 }

// String prints nothing of the value.
func (m *Modulus) String() string { return "modulus" }

// reduced is v mod m, for any sign.
func (m *Modulus) reduced(v *big.Int) *big.Int {
	if v.Sign() >= 0 && v.Cmp(m.v) < 0 {
		return v
	}
	return new(big.Int).Mod(v, m.v)
}

// Mul is x*y mod m, in variable time.
func (m *Modulus) Mul(x, y *big.Int) *big.Int {
	z := new(big.Int).Mul(x, y)
	return z.Mod(z, m.v)
}

// Inverse is 1/x mod m, in variable time.
func (m *Modulus) Inverse(x *big.Int) (*big.Int, error) {
	z := new(big.Int).ModInverse(x, m.v)
	if z == nil {
		return nil, ErrNoUnit
	}
	return z, nil
}

// IsUnit says whether 0 < x < m and x has an inverse. Public x.
func (m *Modulus) IsUnit(x *big.Int) bool {
	if x == nil || x.Sign() <= 0 || x.Cmp(m.v) >= 0 {
		return false
	}
	g := new(big.Int).GCD(nil, nil, x, m.v)
	return g.IsUint64() && g.Uint64() == 1
}

// ExpPublic is base^e mod m for a public exponent of either sign. The time depends on exponent and modulus.
func (m *Modulus) ExpPublic(base, e *big.Int) (*big.Int, error) {
	z := new(big.Int).Exp(base, e, m.v) // nil when e is negative and base has no inverse
	if z == nil {
		return nil, ErrNoUnit
	}
	return z, nil
}

// Exp is base^e mod m for a secret exponent of at most size bits, of either sign. Time depends on size and modulus alone;
// the base is public where the exponent may be negative, since it is inverted in variable time.
func (m *Modulus) Exp(base *big.Int, e *Int, size int) (*big.Int, error) {
	abs := new(Int)
	defer abs.Erase()
	abs.v.Abs(&e.v)
	words, err := abs.exponent(size)
	if err != nil {
		return nil, err
	}
	defer clear(words)
	inverse, err := m.Inverse(base)
	if err != nil {
		return nil, err
	}
	b := m.enter(m.reduced(base))
	negative := uint64(bits.Len(uint(1-e.v.Sign()))) >> 1 // 1 for sign -1, else 0
	pick(b, [][]uint64{append([]uint64(nil), b...), m.enter(inverse)}, negative)
	return m.leave(m.exp(b, words)), nil
}

// ExpUnsigned is base^e mod m for a secret exponent of at most size bits that is not negative, and a base that may be secret.
func (m *Modulus) ExpUnsigned(base *Int, e *Int, size int) (*Int, error) {
	words, err := e.exponent(size)
	if err != nil {
		return nil, err
	}
	defer clear(words)
	out := new(Int)
	out.v.Set(m.leave(m.exp(m.enter(m.reduced(&base.v)), words)))
	return out, nil
}
