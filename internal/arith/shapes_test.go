package arith

import (
	"fmt"
	"math/big"
	"testing"
	"testing/cryptotest"
)

// ones is 2^bits - 1.
func ones(bits int) *big.Int { return new(big.Int).Sub(pow(bits), big.NewInt(1)) }

func pow(bits int) *big.Int { return new(big.Int).Lsh(big.NewInt(1), uint(bits)) }

// edgeModuli lie on both sides of the boundaries of limbs: all limbs full, the top limb one, the low limb one.
func edgeModuli(t testing.TB) []*Modulus {
	t.Helper()
	var out []*Modulus
	for _, bits := range []int{2, 63, 64, 65, 127, 128, 129, 192, 193, 1024} {
		for _, n := range []*big.Int{ones(bits), new(big.Int).SetBit(pow(bits-1), 0, 1), new(big.Int).Sub(ones(bits), pow(bits/2))} {
			if n.Bit(0) == 0 || n.BitLen() < 2 {
				continue
			}
			m, err := NewModulus(n)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, m)
		}
	}
	return out
}

// edgeExponents are exponents of at most size bits whose leading words may be zero.
func edgeExponents(size int) []*big.Int {
	out := []*big.Int{new(big.Int), big.NewInt(1), ones(size), pow(size - 1), RandomBelow(pow(size)).Reveal()}
	for _, bits := range []int{1, 5, 63, 64, 65, 128} {
		if bits < size {
			out = append(out, ones(bits), pow(bits), RandomBelow(pow(bits)).Reveal())
		}
	}
	return out
}

// Exponents of every shape give right results, whatever size is declared for them: leading zero words are worked through
// like others.
func TestExponentsOfEveryShape(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 1)
	for _, m := range edgeModuli(t) {
		base := new(big.Int).Sub(m.v, big.NewInt(2)) // odd, and a unit below an odd modulus
		if base.Sign() == 0 || !m.IsUnit(base) {
			base.SetInt64(1)
		}
		for _, size := range []int{1, 5, 63, 64, 65, 128, 129, 320} {
			comb, err := NewComb(m, base, size, true, 5, 2)
			if err != nil {
				t.Fatal(err)
			}
			plain, err := NewComb(m, base, size, false, 6, 8)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range edgeExponents(size) {
				want, minus := new(big.Int).Exp(base, e, m.v), new(big.Int).Neg(e)
				wantMinus := new(big.Int).Exp(base, minus, m.v)
				unsigned, err1 := m.ExpUnsigned(NewInt(base), NewInt(e), size)
				signed, err2 := m.Exp(base, NewInt(e), size)
				inverse, err3 := m.Exp(base, NewInt(minus), size)
				table, err4 := comb.Exp(NewInt(e))
				tableMinus, err5 := comb.Exp(NewInt(minus))
				both, err6 := comb.ExpMul(NewInt(minus), plain, NewInt(e))
				for i, err := range []error{err1, err2, err3, err4, err5, err6} {
					if err != nil {
						t.Fatalf("%d: %x of %d bits modulo %x: %v", i, e, size, m.v, err)
					}
				}
				for i, pair := range [][2]*big.Int{{unsigned.Reveal(), want}, {signed, want}, {inverse, wantMinus}, {table, want}, {tableMinus, wantMinus}, {both, m.reduced(big.NewInt(1))}} {
					if pair[0].Cmp(pair[1]) != 0 {
						t.Fatalf("%d: %x^%x, declared as %d bits, modulo %x is %x, want %x", i, base, e, size, m.v, pair[0], pair[1])
					}
				}
			}
		}
	}
}

// What the loops run over follows from declared sizes and from nothing else: the words of an exponent, a table's columns, the
// words of an element.
func TestWorkFollowsFromDeclaredSizes(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 2)
	m, err := NewModulus(ones(127))
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 63, 64, 65, 128, 129, 320, 3000} {
		for _, e := range edgeExponents(size) {
			words, err := NewInt(e).exponent(size)
			if err != nil || len(words) != (size+63)/64 {
				t.Errorf("%d bits declared as %d: %d words, %v", e.BitLen(), size, len(words), err)
			}
			if fromLimbs(words).Cmp(e) != 0 {
				t.Errorf("%x as words is %x", e, words)
			}
		}
		for _, signed := range []bool{false, true} {
			c, err := NewComb(m, big.NewInt(3), size, signed, 5, 2)
			if err != nil {
				t.Fatal(err)
			}
			if c.row*c.teeth < c.size || c.block*len(c.tables) != c.row {
				t.Errorf("%d bits: rows of %d, blocks of %d do not cover the exponent", size, c.row, c.block)
			}
			for _, table := range c.tables {
				if len(table) != 1<<c.teeth {
					t.Errorf("a table has %d entries", len(table))
				}
			}
		}
	}
	for _, v := range []*big.Int{new(big.Int), big.NewInt(1), ones(64), ones(126)} {
		if x := m.enter(v); len(x) != 2 || m.leave(x).Cmp(v) != 0 {
			t.Errorf("%x has %d words", v, len(x))
		}
	}
	if _, err := NewInt(new(big.Int)).exponent(MaxExponentBits + 1); err == nil {
		t.Error("an exponent of any size can be declared")
	}
	if words, err := NewInt(ones(MaxExponentBits)).exponent(MaxExponentBits); err != nil || len(words) != MaxExponentBits/64 {
		t.Errorf("the largest exponent: %v", err)
	}
}

// Products at the boundaries of limbs, where the final subtraction happens or does not, with every way of aliasing.
func TestMultiplicationAtTheEdges(t *testing.T) {
	for _, m := range edgeModuli(t) {
		var values []*big.Int
		for _, v := range []*big.Int{new(big.Int), big.NewInt(1), big.NewInt(2), ones(63), ones(64), pow(64), ones(128), pow(127),
			new(big.Int).Sub(m.v, big.NewInt(1)), new(big.Int).Sub(m.v, big.NewInt(2)), new(big.Int).Rsh(m.v, 1), fromLimbs(m.one), fromLimbs(m.rr)} {
			values = append(values, new(big.Int).Mod(v, m.v))
		}
		for _, x := range values {
			for _, y := range values {
				checkProduct(t, m, x, y)
			}
		}
	}
}

func checkProduct(t *testing.T, m *Modulus, x, y *big.Int) {
	t.Helper()
	clone := func(v []uint64) []uint64 { return append([]uint64(nil), v...) }
	a, b := m.enter(x), m.enter(y)
	z := make([]uint64, len(a))
	for i := range z {
		z[i] = ^uint64(0) // what was there does not matter
	}
	a2, b2 := clone(a), clone(b)
	m.mul(z, a, b)
	if fmt.Sprint(a, b) != fmt.Sprint(a2, b2) {
		t.Fatal("a factor was changed")
	}
	if fromLimbs(z).Cmp(m.v) >= 0 {
		t.Fatalf("%x * %x modulo %x is not reduced", x, y, m.v)
	}
	m.mul(a2, a2, b)
	m.mul(b2, a, b2)
	square := clone(a)
	m.mul(square, square, square)
	for name, c := range map[string]struct {
		got  []uint64
		want *big.Int
	}{"apart": {z, m.Mul(x, y)}, "into the first": {a2, m.Mul(x, y)}, "into the second": {b2, m.Mul(x, y)}, "square in place": {square, m.Mul(x, x)}} {
		if got := m.leave(c.got); got.Cmp(c.want) != 0 {
			t.Fatalf("%s: %x * %x modulo %x is %x, want %x", name, x, y, m.v, got, c.want)
		}
	}
}

// reduce subtracts once where the value is not below the modulus, at both sides of it and with a top word.
func TestReduceAtTheEdges(t *testing.T) {
	for _, m := range edgeModuli(t) {
		k := len(m.n)
		for _, delta := range []int64{-2, -1, 0, 1} {
			for _, v := range []*big.Int{new(big.Int).Add(m.v, big.NewInt(delta)), new(big.Int).Add(new(big.Int).Lsh(m.v, 1), big.NewInt(-1)), big.NewInt(delta + 2)} {
				if v.Cmp(new(big.Int).Lsh(m.v, 1)) >= 0 {
					continue
				}
				top := new(big.Int).Rsh(v, uint(64*k)).Uint64()
				z := make([]uint64, k)
				m.reduce(z, limbs(v, k), top)
				if want := new(big.Int).Mod(v, m.v); fromLimbs(z).Cmp(want) != 0 {
					t.Errorf("%x modulo %x is %x", v, m.v, z)
				}
			}
		}
	}
}

func TestBitsAtEveryPlace(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 3)
	v := RandomBelow(pow(256)).Reveal()
	words := limbs(v, 4)
	for at := range 300 {
		for count := 1; count <= 8; count++ {
			want := new(big.Int).And(new(big.Int).Rsh(v, uint(at)), ones(count)).Uint64()
			if got := bitsAt(words, at, count); got != want {
				t.Fatalf("%d bits at %d are %b, want %b", count, at, got, want)
			}
		}
	}
	for i := range uint64(40) {
		table := make([][]uint64, 32)
		for j := range table {
			table[j] = []uint64{uint64(j) + 1, ^uint64(j)}
		}
		z := []uint64{7, 7}
		if pick(z, table, i); i < 32 && (z[0] != i+1 || z[1] != ^i) || i >= 32 && (z[0] != 0 || z[1] != 0) {
			t.Fatalf("entry %d is %v", i, z)
		}
	}
	for _, pair := range [][2]uint64{{0, 0}, {0, 1}, {1, 1 << 63}, {1 << 63, 1 << 63}, {^uint64(0), ^uint64(0)}, {^uint64(0), 0}} {
		if got, same := equalMask(pair[0], pair[1]), pair[0] == pair[1]; got != 0 && got != ^uint64(0) || (got != 0) != same {
			t.Errorf("mask of %x and %x is %x", pair[0], pair[1], got)
		}
	}
}

// One number in several places, and results that share no words with what they were made of: erasing one leaves the other.
func TestIntsDoNotShareWords(t *testing.T) {
	v := new(big.Int).Add(pow(200), big.NewInt(12345))
	s, public := NewInt(v), new(big.Int).Set(v)
	results := map[string]struct {
		got  *Int
		want *big.Int
	}{
		"s + s": {s.Add(s), new(big.Int).Lsh(v, 1)}, "s - s": {s.Sub(s), new(big.Int)}, "s * s": {s.Mul(s), new(big.Int).Mul(v, v)}, "-s": {s.Neg(), new(big.Int).Neg(v)},
		"s + 0": {s.Add(new(Int)), v}, "0 + s": {new(Int).Add(s), v}, "s - 0": {s.Sub(new(Int)), v}, "s * 1": {s.MulPublic(big.NewInt(1)), v},
		"s modulo more": {s.Mod(pow(300)), v}, "s modulo s": {s.Mod(public), new(big.Int)}, "-s modulo more": {s.Neg().Mod(pow(300)), new(big.Int).Sub(pow(300), v)},
		"s * s public": {s.MulPublic(public), new(big.Int).Mul(v, v)}, "a copy": {NewInt(v), v}, "of bytes": {IntFromBytes(s.Bytes(32)), v},
	}
	revealed := s.Reveal()
	if s.v.Cmp(v) != 0 || public.Cmp(v) != 0 {
		t.Fatal("an operand was changed")
	}
	m, err := NewModulus(ones(201))
	if err != nil {
		t.Fatal(err)
	}
	same, err := m.ExpUnsigned(s, s, 201)
	if err != nil || same.Reveal().Cmp(new(big.Int).Exp(v, v, m.v)) != 0 {
		t.Errorf("s^s: %v", err)
	}
	s.Erase()
	if revealed.Cmp(v) != 0 {
		t.Error("what was revealed was erased with the secret")
	}
	for name, r := range results {
		if r.got.Reveal().Cmp(r.want) != 0 {
			t.Errorf("%s is %x after s was erased, want %x", name, r.got.Reveal(), r.want)
		}
		r.got.Erase()
	}
	if public.Cmp(v) != 0 || v.Cmp(revealed) != 0 {
		t.Error("erasing results changed what they were made of")
	}
	EraseAll(nil, new(Int))
}

// A modulus and a table keep copies of what they were made of, and one table may be used for both factors of a product.
func TestModulusAndTableKeepCopies(t *testing.T) {
	n, base := ones(127), big.NewInt(12345)
	m, err := NewModulus(n)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewComb(m, base, 64, true, 4, 2)
	if err != nil {
		t.Fatal(err)
	}
	n.SetInt64(15)
	base.SetInt64(1)
	e := NewInt(ones(64))
	for range 2 { // a table is not used up
		got, err := c.ExpMul(e, c, e)
		if want := new(big.Int).Exp(big.NewInt(12345), new(big.Int).Lsh(ones(64), 1), ones(127)); err != nil || got.Cmp(want) != 0 {
			t.Errorf("%x, want %x: %v", got, want, err)
		}
	}
	if e.Reveal().Cmp(ones(64)) != 0 {
		t.Error("the exponent was changed")
	}
	x := m.Big()
	power, err := m.Exp(big.NewInt(1), NewInt(new(big.Int)), 1)
	if err != nil || power.Cmp(big.NewInt(1)) != 0 {
		t.Fatal("1^0 is not 1")
	}
	power.SetInt64(99) // is the caller's
	if again, err := m.Exp(big.NewInt(1), NewInt(new(big.Int)), 1); err != nil || again.Cmp(big.NewInt(1)) != 0 || x.Cmp(ones(127)) != 0 {
		t.Error("changing a result changed the modulus")
	}
}
