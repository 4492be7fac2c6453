package cggmp24

import (
	"encoding/binary"
	"math/big"

	"chancery.dev/internal/group"
)

// reader takes fixed-width values off a message. After a failure everything that it gives is harmless and end says so.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || len(r.b) < n {
		r.failed, r.b = true, nil
		return make([]byte, max(n, 0))
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte     { return r.take(1)[0] }
func (r *reader) uint16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }

func (r *reader) array32() [32]byte { return [32]byte(r.take(32)) }

func (r *reader) point() *group.Point {
	p, err := curve.DecodePoint(r.take(curve.PointLen()))
	if err != nil {
		r.failed = true
		return curve.Generator()
	}
	return p
}

func (r *reader) points(n int) []*group.Point {
	out := make([]*group.Point, n)
	for i := range out {
		out[i] = r.point()
	}
	return out
}

func (r *reader) scalar() *group.Scalar {
	s, err := curve.DecodeScalar(r.take(curve.ScalarLen()))
	if err != nil {
		r.failed = true
		return curve.Zero()
	}
	return s
}

// number is an unsigned number of exactly size bytes.
func (r *reader) number(size int) *big.Int { return new(big.Int).SetBytes(r.take(size)) }

// block is a length of four bytes and as many bytes.
func (r *reader) block() []byte {
	n := binary.BigEndian.Uint32(r.take(4))
	if uint64(n) > uint64(len(r.b)) {
		r.failed, r.b = true, nil
		return nil
	}
	return r.take(int(n))
}

func (r *reader) end() error {
	if r.failed || len(r.b) != 0 {
		return errMessage
	}
	return nil
}

func appendBlock(out, b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(out, uint32(len(b))), b...)
}

// modulusLen is the bytes of a modulus under the parameters.
func modulusLen() int { return params.Modulus / 8 }

func appendNumber(out []byte, v *big.Int, size int) []byte {
	return append(out, v.FillBytes(make([]byte, size))...)
}
