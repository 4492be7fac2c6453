// Package shamir shares a scalar among numbered parties: polynomials, Feldman commitments, Lagrange coefficients.
//
// A party's x-coordinate is its number, 1 to 65535, so it is never zero modulo the order and two parties never coincide;
// Indices checks that in one place.
package shamir

import (
	"errors"
	"fmt"

	"chancery.dev/internal/group"
)

// MaxDegree bounds a polynomial.
const MaxDegree = 255

// Indices refuses zero and repeated party numbers.
func Indices(ids []uint16) error {
	seen := make(map[uint16]bool, len(ids))
	for _, id := range ids {
		if id == 0 {
			return errors.New("party number 0 is the secret's own place")
		}
		if seen[id] {
			return fmt.Errorf("party number %d stands twice", id)
		}
		seen[id] = true
	}
	return nil
}

// Polynomial is a secret polynomial, constant term first.
type Polynomial struct {
	_      [0]func()
	coeffs []*group.Scalar
}

// NewPolynomial draws a polynomial of exactly this degree with the given constant term. The leading coefficient is not zero.
func NewPolynomial(constant *group.Scalar, degree int) (*Polynomial, error) {
	if degree < 0 || degree > MaxDegree {
		return nil, fmt.Errorf("degree %d is not within 0 to %d", degree, MaxDegree)
	}
	p := &Polynomial{coeffs: []*group.Scalar{constant.Clone()}}
	for range degree {
		p.coeffs = append(p.coeffs, constant.Curve().RandomScalar())
	}
	return p, nil
}

// FromCoefficients takes given coefficients, constant term first. It is for vectors and for repair, where they are not drawn.
func FromCoefficients(coeffs []*group.Scalar) (*Polynomial, error) {
	if len(coeffs) == 0 || len(coeffs) > MaxDegree+1 {
		return nil, errors.New("polynomial has no or too many coefficients")
	}
	p := &Polynomial{}
	for _, c := range coeffs {
		p.coeffs = append(p.coeffs, c.Clone())
	}
	return p, nil
}

// Eval is f(x), by Horner's rule, in constant time.
func (p *Polynomial) Eval(id uint16) *group.Scalar {
	curve := p.coeffs[0].Curve()
	x := curve.ScalarFromUint64(uint64(id))
	y := curve.Zero()
	for i := len(p.coeffs) - 1; i >= 0; i-- {
		y = y.Mul(x).Add(p.coeffs[i])
	}
	return y
}

// Constant is f(0); the caller must not keep it past Erase.
func (p *Polynomial) Constant() *group.Scalar { return p.coeffs[0] }

// Commit is the coefficients times the base point.
func (p *Polynomial) Commit() Commitment {
	c := make(Commitment, len(p.coeffs))
	for i, a := range p.coeffs {
		c[i] = a.Curve().BaseMul(a)
	}
	return c
}

// Erase overwrites the coefficients.
func (p *Polynomial) Erase() {
	for _, a := range p.coeffs {
		a.Erase()
	}
}

// Commitment is a Feldman commitment, constant term first. It is public.
type Commitment []*group.Point

// Eval is F(x) = f(x)*G. Multiplying by a small party number is a few doublings, so Horner's rule is cheap.
func (c Commitment) Eval(id uint16) *group.Point {
	y := c[len(c)-1]
	for i := len(c) - 2; i >= 0; i-- {
		y = mulSmall(y, id).Add(c[i])
	}
	return y
}

// mulSmall is n*p for a public n, by double and add.
func mulSmall(p *group.Point, n uint16) *group.Point {
	out := p.Curve().Identity()
	started := false
	for bit := 15; bit >= 0; bit-- {
		if started {
			out = out.Double()
		}
		if n>>bit&1 == 1 {
			if started {
				out = out.Add(p)
			} else {
				out, started = p, true
			}
		}
	}
	return out
}

// Add adds two commitments of the same length, coefficient by coefficient.
func (c Commitment) Add(o Commitment) (Commitment, error) {
	if len(c) != len(o) {
		return nil, errors.New("commitments have different lengths")
	}
	sum := make(Commitment, len(c))
	for i := range c {
		sum[i] = c[i].Add(o[i])
	}
	return sum, nil
}

// Lagrange is the coefficient of party i for interpolating at 0 over ids.
func Lagrange(curve group.Curve, ids []uint16, i uint16) (*group.Scalar, error) {
	return LagrangeAt(curve, ids, i, 0)
}

// LagrangeAt is the coefficient of party i for interpolating at x over ids: the product of (x-j)/(i-j) over the others.
func LagrangeAt(curve group.Curve, ids []uint16, i, x uint16) (*group.Scalar, error) {
	if err := Indices(ids); err != nil {
		return nil, err
	}
	num, den := curve.ScalarFromUint64(1), curve.ScalarFromUint64(1)
	xi, xx := curve.ScalarFromUint64(uint64(i)), curve.ScalarFromUint64(uint64(x))
	found := false
	for _, j := range ids {
		if j == i {
			found = true
			continue
		}
		xj := curve.ScalarFromUint64(uint64(j))
		num = num.Mul(xx.Sub(xj))
		den = den.Mul(xi.Sub(xj))
	}
	if !found {
		return nil, fmt.Errorf("party %d is not among those who interpolate", i)
	}
	inverse, err := den.Invert()
	if err != nil {
		return nil, err
	}
	return num.Mul(inverse), nil
}
