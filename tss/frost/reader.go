package frost

import (
	"encoding/binary"
	"errors"

	"chancery.dev/internal/group"
)

// reader takes fixed-width values off the front of a message. The first failure sticks; end reports it, and anything left.
type reader struct {
	b      []byte
	failed bool
}

var errMessage = errors.New("message is malformed")

func (r *reader) take(n int) []byte {
	if len(r.b) < n {
		r.failed, r.b = true, nil
		return make([]byte, n)
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte     { return r.take(1)[0] }
func (r *reader) uint16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }

// point reads a point; after a failure it gives the generator, which the caller never gets past end with.
func (r *reader) point(s Suite) *group.Point {
	p, err := s.Curve().DecodePoint(r.take(s.Curve().PointLen()))
	if err != nil {
		r.failed = true
		return s.Curve().Generator()
	}
	return p
}

func (r *reader) scalar(s Suite) *group.Scalar {
	v, err := s.Curve().DecodeScalar(r.take(s.Curve().ScalarLen()))
	if err != nil {
		r.failed = true
		return s.Curve().Zero()
	}
	return v
}

func (r *reader) end() error {
	if r.failed || len(r.b) != 0 {
		return errMessage
	}
	return nil
}
