package arith

import (
	"math/big"
	"math/bits"
)

// ring is Montgomery arithmetic modulo an odd number, with R = 2^(64k) for k limbs. Elements are k limbs, little-endian, in
// Montgomery form, below the modulus. Nothing here branches on or indexes by an element.
type ring struct {
	n   []uint64 // the modulus
	n0  uint64   // -1/n mod 2^64
	rr  []uint64 // R^2 mod n, in plain form: multiplying by it goes into Montgomery form
	one []uint64 // R mod n: 1 in Montgomery form
}

func newRing(n *big.Int) ring {
	k := (n.BitLen() + 63) / 64
	r := ring{n: limbs(n, k)}
	inv := r.n[0] // Newton's iteration: each step doubles the number of right bits
	for range 5 {
		inv *= 2 - r.n[0]*inv
	}
	r.n0 = -inv
	x := new(big.Int).Lsh(big.NewInt(1), uint(64*k))
	r.one = limbs(new(big.Int).Mod(x, n), k)
	r.rr = limbs(x.Mod(x.Mul(x, x), n), k)
	return r
}

// limbs are the k low words of a number that is not negative.
func limbs(v *big.Int, k int) []uint64 {
	out := make([]uint64, k)
	for i, w := range v.Bits() {
		if i < k {
			out[i] = uint64(w)
		}
	}
	return out
}

func fromLimbs(x []uint64) *big.Int {
	words := make([]big.Word, len(x))
	for i, w := range x {
		words[i] = big.Word(w)
	}
	return new(big.Int).SetBits(words)
}

// mul sets z = x*y/R mod n. z may be x or y.
func (r *ring) mul(z, x, y []uint64) {
	if hasRows && len(r.n)%8 == 0 {
		r.mulRows(z, x, y)
		return
	}
	r.mulPortable(z, x, y)
}

// mulRows multiplies and reduces row by row, with addMulRow8.
func (r *ring) mulRows(z, x, y []uint64) {
	var t [2 * maxLimbs]uint64
	k := len(r.n)
	top := uint64(0)
	for i, yi := range y[:k] {
		c1 := addMulRow8(&t[i], &x[0], yi, k)
		c2 := addMulRow8(&t[i], &r.n[0], t[i]*r.n0, k)
		t[i+k], top = bits.Add64(c1, c2, top)
	}
	r.reduce(z, t[k:2*k], top)
}

// mulPortable interleaves multiplication and reduction word by word (CIOS, fused).
func (r *ring) mulPortable(z, x, y []uint64) {
	var buf [maxLimbs]uint64
	k := len(r.n)
	n, t := r.n[:k], buf[:k]
	x, y = x[:k], y[:k]
	top := uint64(0)
	for _, yi := range y {
		var c uint64
		hi, lo := bits.Mul64(x[0], yi)
		lo, c = bits.Add64(lo, t[0], 0)
		a := hi + c
		m := lo * r.n0
		hi, low := bits.Mul64(m, n[0])
		_, c = bits.Add64(low, lo, 0)
		b := hi + c
		for j := 1; j < k; j++ {
			hi, lo := bits.Mul64(x[j], yi)
			lo, c := bits.Add64(lo, t[j], 0)
			hi += c
			lo, c = bits.Add64(lo, a, 0)
			a = hi + c
			hi2, lo2 := bits.Mul64(m, n[j])
			lo2, c = bits.Add64(lo2, lo, 0)
			hi2 += c
			lo2, c = bits.Add64(lo2, b, 0)
			b = hi2 + c
			t[j-1] = lo2
		}
		var c2 uint64
		t[k-1], c = bits.Add64(a, b, 0)
		t[k-1], c2 = bits.Add64(t[k-1], top, 0)
		top = c + c2
	}
	r.reduce(z, t, top)
}

// reduce sets z to (top, t) minus the modulus once where that is not negative; the value is below twice the modulus.
func (r *ring) reduce(z, t []uint64, top uint64) {
	var buf [maxLimbs]uint64
	k := len(r.n)
	d, borrow := buf[:k], uint64(0)
	for i := range d {
		d[i], borrow = bits.Sub64(t[i], r.n[i], borrow)
	}
	_, borrow = bits.Sub64(top, 0, borrow)
	keep := -borrow // all ones when t was below the modulus
	for i := range d {
		z[i] = t[i]&keep | d[i]&^keep
	}
}

// enter brings a number below the modulus into Montgomery form.
func (r *ring) enter(v *big.Int) []uint64 {
	z := limbs(v, len(r.n))
	r.mul(z, z, r.rr)
	return z
}

// leave brings an element out of Montgomery form.
func (r *ring) leave(x []uint64) *big.Int {
	one := make([]uint64, len(x))
	one[0] = 1
	z := make([]uint64, len(x))
	r.mul(z, x, one)
	return fromLimbs(z)
}

// pick sets z = table[i], reading every entry.
func pick(z []uint64, table [][]uint64, i uint64) {
	clear(z)
	for j, entry := range table {
		mask := equalMask(uint64(j), i)
		for l, w := range entry {
			z[l] |= w & mask
		}
	}
}

// equalMask is all ones when a = b, zero otherwise.
func equalMask(a, b uint64) uint64 {
	d := a ^ b
	return (d|-d)>>63 - 1
}

// window is the size in bits of the fixed windows of exp.
const window = 5

// exp is base^e for an exponent of exactly len(e) words, little-endian, with fixed windows.
func (r *ring) exp(base, e []uint64) []uint64 {
	k := len(r.n)
	table := make([][]uint64, 1<<window)
	table[0] = r.one
	for i := 1; i < len(table); i++ {
		table[i] = make([]uint64, k)
		r.mul(table[i], table[i-1], base)
	}
	acc, entry := append([]uint64(nil), r.one...), make([]uint64, k)
	total := 64 * len(e)
	for at := (total + window - 1) / window * window; at > 0; {
		at -= window
		for range window {
			r.mul(acc, acc, acc)
		}
		pick(entry, table, bitsAt(e, at, window))
		r.mul(acc, acc, entry)
	}
	return acc
}

// bitsAt is count bits of e from position at; beyond the end they are zero. Position and count are public.
func bitsAt(e []uint64, at, count int) uint64 {
	word, shift := at/64, at%64
	if word >= len(e) {
		return 0
	}
	v := e[word] >> shift
	if shift+count > 64 && word+1 < len(e) {
		v |= e[word+1] << (64 - shift)
	}
	return v & (1<<count - 1)
}
