package zk

import (
	"errors"
	"math/big"

	"chancery.dev/internal/group"
)

// ErrEncoding is returned for bytes that are not the encoding of a proof of these parameters.
var ErrEncoding = errors.New("not an encoding of the proof")

// layout is a proof's fields in the order of its encoding. A proof gives pointers to its fields, so that one description
// serves both ways.
type layout struct {
	p       Params
	writing bool
	out     []byte
	in      []byte
	failed  bool
}

func encodeWith(p Params, fields func(*layout)) []byte {
	l := &layout{p: p, writing: true}
	fields(l)
	return l.out
}

func decodeWith(p Params, b []byte, fields func(*layout)) error {
	l := &layout{p: p, in: b}
	fields(l)
	if l.failed || len(l.in) != 0 {
		return ErrEncoding
	}
	return nil
}

func (l *layout) take(n int) []byte {
	if l.failed || len(l.in) < n {
		l.failed = true
		return make([]byte, n)
	}
	b := l.in[:n]
	l.in = l.in[n:]
	return b
}

// unsigned is a number of size bytes.
func (l *layout) unsigned(v **big.Int, size int) {
	if l.writing {
		l.out = append(l.out, (*v).FillBytes(make([]byte, size))...)
		return
	}
	*v = new(big.Int).SetBytes(l.take(size))
}

// residues are numbers below N, squares below N².
func (l *layout) residues(v ...**big.Int) {
	for _, x := range v {
		l.unsigned(x, l.p.Modulus/8)
	}
}

func (l *layout) squares(v ...**big.Int) {
	for _, x := range v {
		l.unsigned(x, l.p.Modulus/4)
	}
}

// signed is a number within ±2^bits: a sign byte, 0 or 1, and the magnitude. Zero has sign 0.
func (l *layout) signed(v **big.Int, bits int) {
	size := bits/8 + 1
	if l.writing {
		sign := byte(0)
		if (*v).Sign() < 0 {
			sign = 1
		}
		l.out = append(l.out, sign)
		l.out = append(l.out, new(big.Int).Abs(*v).FillBytes(make([]byte, size))...)
		return
	}
	sign := l.take(1)[0]
	*v = new(big.Int).SetBytes(l.take(size))
	if sign > 1 || sign == 1 && (*v).Sign() == 0 || !within(*v, bits) {
		l.failed = true
	}
	if sign == 1 {
		(*v).Neg(*v)
	}
}

func (l *layout) points(v ...**group.Point) {
	for _, x := range v {
		if l.writing {
			l.out = append(l.out, (*x).Bytes()...)
			continue
		}
		p, err := curve.DecodePoint(l.take(curve.PointLen()))
		if err != nil {
			l.failed = true
			p = curve.Generator()
		}
		*x = p
	}
}

func (l *layout) scalars(v ...**group.Scalar) {
	for _, x := range v {
		if l.writing {
			l.out = append(l.out, (*x).Bytes()...)
			continue
		}
		s, err := curve.DecodeScalar(l.take(curve.ScalarLen()))
		if err != nil {
			l.failed = true
			s = curve.Zero()
		}
		*x = s
	}
}

// bits are n truth values, packed, the rest of the last byte zero.
func (l *layout) bits(v *[]bool, n int) {
	size := (n + 7) / 8
	if l.writing {
		b := make([]byte, size)
		for i, x := range *v {
			if x {
				b[i/8] |= 1 << (i % 8)
			}
		}
		l.out = append(l.out, b...)
		return
	}
	b := l.take(size)
	*v = make([]bool, n)
	for i := range *v {
		(*v)[i] = b[i/8]>>(i%8)&1 == 1
	}
	if n%8 != 0 && b[size-1]>>(n%8) != 0 {
		l.failed = true
	}
}

// list is exactly n elements, each laid out by a function.
func list[T any](l *layout, v *[]T, n int, element func(*layout, *T)) {
	if !l.writing {
		*v = make([]T, n)
	}
	for i := range *v {
		element(l, &(*v)[i])
	}
}
