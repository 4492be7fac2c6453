package arith

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chancery.dev/internal/secret"
)

func drawBig(t *rapid.T, bits int, name string) *big.Int {
	b := rapid.SliceOfN(rapid.Byte(), (bits+7)/8, (bits+7)/8).Draw(t, name)
	v := new(big.Int).SetBytes(b)
	return v.And(v, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(bits)), big.NewInt(1)))
}

// drawModulus is an odd modulus, often one with all bits set or one just above a power of two.
func drawModulus(t *rapid.T) *Modulus {
	bits := rapid.SampledFrom([]int{2, 3, 63, 64, 65, 127, 128, 129, 511, 512, 521, 1024, 1536, 3072, 6144}).Draw(t, "bits")
	top := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	n := new(big.Int).Or(drawBig(t, bits, "modulus"), top)
	switch rapid.IntRange(0, 3).Draw(t, "shape") {
	case 0:
		n.Sub(new(big.Int).Lsh(top, 1), big.NewInt(1))
	case 1:
		n.Set(top)
	}
	n.SetBit(n, 0, 1)
	m, err := NewModulus(n)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMultiplicationAgreesWithBig(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := drawModulus(rt)
		draw := func(name string) *big.Int {
			v := drawBig(rt, m.v.BitLen(), name)
			if rapid.Bool().Draw(rt, name+" at the edge") {
				v.Sub(m.v, big.NewInt(1))
			}
			return v.Mod(v, m.v)
		}
		x, y := draw("x"), draw("y")
		a, b := m.enter(x), m.enter(y)
		z := make([]uint64, len(a))
		m.mul(z, a, b)
		want := m.Mul(x, y)
		if got := m.leave(z); got.Cmp(want) != 0 {
			rt.Fatalf("%x * %x mod %x = %x, want %x", x, y, m.v, got, want)
		}
		portable := make([]uint64, len(a))
		if m.mulPortable(portable, a, b); m.leave(portable).Cmp(want) != 0 {
			rt.Fatal("portable multiplication differs")
		}
		m.mul(a, a, a) // in place
		if got := m.leave(a); got.Cmp(m.Mul(x, x)) != 0 {
			rt.Fatal("squaring in place is wrong")
		}
	})
}

func TestExponentiationAgreesWithBig(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := drawModulus(rt)
		size := rapid.IntRange(1, 300).Draw(rt, "size")
		e := drawBig(rt, size, "e")
		base := new(big.Int).Mod(drawBig(rt, m.v.BitLen(), "base"), m.v)
		got, err := m.ExpUnsigned(NewInt(base), NewInt(e), size)
		if err != nil || got.Reveal().Cmp(new(big.Int).Exp(base, e, m.v)) != 0 {
			rt.Fatalf("unsigned: %v", err)
		}
		if rapid.Bool().Draw(rt, "negative") {
			e.Neg(e)
		}
		want := new(big.Int).Exp(base, e, m.v)
		if base.Sign() == 0 {
			want = nil
		}
		signed, err := m.Exp(base, NewInt(e), size)
		if new(big.Int).ModInverse(base, m.v) == nil {
			if err == nil {
				rt.Fatal("a base without an inverse was taken")
			}
			return
		}
		if err != nil || signed.Cmp(want) != 0 {
			rt.Fatalf("signed: %x^%x mod %x: %v", base, e, m.v, err)
		}
		teeth, blocks := rapid.IntRange(1, 7).Draw(rt, "teeth"), rapid.IntRange(1, 5).Draw(rt, "blocks")
		comb, err := NewComb(m, base, size, true, teeth, blocks)
		if err != nil {
			rt.Fatal(err)
		}
		if got, err := comb.Exp(NewInt(e)); err != nil || got.Cmp(want) != 0 {
			rt.Fatalf("comb of %d teeth, %d blocks: %v", teeth, blocks, err)
		}
		unsigned, err := NewComb(m, base, size, false, teeth, blocks)
		if err != nil {
			rt.Fatal(err)
		}
		abs := new(big.Int).Abs(e)
		if got, err := unsigned.Exp(NewInt(abs)); err != nil || got.Cmp(new(big.Int).Exp(base, abs, m.v)) != 0 {
			rt.Fatalf("unsigned comb: %v", err)
		}
		if got, err := comb.ExpMul(NewInt(e), unsigned, NewInt(abs)); err != nil || got.Cmp(m.Mul(want, new(big.Int).Exp(base, abs, m.v))) != 0 {
			rt.Fatalf("product: %v", err)
		}
	})
}

func TestExponentsHaveDeclaredSizes(t *testing.T) {
	m, err := NewModulus(big.NewInt(1000003))
	if err != nil {
		t.Fatal(err)
	}
	comb, err := NewComb(m, big.NewInt(5), 8, true, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := NewComb(m, big.NewInt(5), 8, false, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []int64{256, -257, 1000} {
		s := NewInt(big.NewInt(e))
		if _, err := m.Exp(big.NewInt(5), s, 8); err == nil {
			t.Errorf("%d is taken for 8 bits", e)
		}
		if _, err := comb.Exp(s); err == nil {
			t.Errorf("%d is taken by a table for 8 bits", e)
		}
		if _, err := plain.Exp(s); err == nil {
			t.Errorf("%d is taken by an unsigned table", e)
		}
	}
	for _, e := range []int64{-256, -255, 255, 0} { // -256 = -2^8 fits the offset exactly
		if got, err := comb.Exp(NewInt(big.NewInt(e))); err != nil || got.Cmp(new(big.Int).Exp(big.NewInt(5), big.NewInt(e), m.v)) != 0 {
			t.Errorf("%d: %v", e, err)
		}
	}
	if _, err := plain.Exp(NewInt(big.NewInt(-1))); err == nil {
		t.Error("a negative exponent is taken by an unsigned table")
	}
}

func TestModulusRefuses(t *testing.T) {
	for _, n := range []*big.Int{big.NewInt(0), big.NewInt(1), big.NewInt(-7), big.NewInt(8), new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), MaxModulusBits), big.NewInt(1))} {
		if _, err := NewModulus(n); err == nil {
			t.Errorf("modulus of %d bits, sign %d, taken", n.BitLen(), n.Sign())
		}
	}
	m, err := NewModulus(big.NewInt(15))
	if err != nil {
		t.Fatal(err)
	}
	for v, want := range map[int64]bool{-1: false, 0: false, 1: true, 2: true, 3: false, 5: false, 14: true, 15: false, 16: false} {
		if m.IsUnit(big.NewInt(v)) != want {
			t.Errorf("%d: unit is %v", v, !want)
		}
	}
	if m.IsUnit(nil) {
		t.Error("nothing is a unit")
	}
}

func TestRandomRanges(t *testing.T) {
	for _, n := range []int64{1, 2, 3, 255, 256, 257} {
		seen := map[int64]bool{}
		for range 4000 {
			v := RandomBelow(big.NewInt(n)).v.Int64()
			if v < 0 || v >= n {
				t.Fatalf("%d drawn below %d", v, n)
			}
			seen[v] = true
		}
		if n < 4 && int64(len(seen)) != n {
			t.Errorf("below %d: only %v come up", n, seen)
		}
	}
	seen := map[int64]bool{}
	for range 2000 {
		seen[RandomSigned(big.NewInt(2)).v.Int64()] = true
	}
	for v := int64(-2); v <= 2; v++ {
		if !seen[v] {
			t.Errorf("%d never comes up within ±2", v)
		}
	}
	if len(seen) != 5 {
		t.Errorf("%v come up within ±2", seen)
	}
	units := map[int64]bool{}
	for range 2000 {
		units[RandomUnit(big.NewInt(15)).v.Int64()] = true
	}
	if len(units) != 8 {
		t.Errorf("units modulo 15: %v", units)
	}
}

func TestIntsAreSecret(t *testing.T) {
	s := NewInt(big.NewInt(123456789))
	for _, out := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %d %x %s", s, s, s, s, s, s), fmt.Sprintf("%v", []*Int{s})} {
		if !strings.Contains(out, secret.Mark) || strings.Contains(out, "123456789") || strings.Contains(out, "75bcd15") {
			t.Errorf("prints as %q", out)
		}
	}
	if _, err := json.Marshal(struct{ S *Int }{s}); err == nil {
		t.Error("a secret was encoded as JSON")
	}
	words := s.v.Bits()
	s.Erase()
	s.Erase()
	if words[0] != 0 || s.v.Sign() != 0 {
		t.Error("the words outlive Erase")
	}
	var none *Int
	none.Erase()
}

func BenchmarkRing(b *testing.B) {
	for _, bits := range []int{1536, 3072, 6144} {
		n := RandomBelow(new(big.Int).Lsh(big.NewInt(1), uint(bits))).Reveal()
		n.SetBit(n.SetBit(n, bits-1, 1), 0, 1)
		m, err := NewModulus(n)
		if err != nil {
			b.Fatal(err)
		}
		x := m.enter(RandomBelow(n).Reveal())
		b.Run(fmt.Sprint(bits, "/mul"), func(b *testing.B) {
			for b.Loop() {
				m.mul(x, x, x)
			}
		})
		b.Run(fmt.Sprint(bits, "/portable"), func(b *testing.B) {
			for b.Loop() {
				m.mulPortable(x, x, x)
			}
		})
	}
}
