package shamir

import (
	"testing"

	"pgregory.net/rapid"

	"chancery.dev/internal/group"
)

var curves = []group.Curve{group.Secp256k1, group.Edwards25519}

func drawIDs(t *rapid.T, n int) []uint16 {
	return rapid.SliceOfNDistinct(rapid.Uint16Min(1), n, n, rapid.ID).Draw(t, "ids")
}

// Any threshold of shares gives the secret, at zero and at every other place; one fewer does not.
func TestInterpolation(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		curve := rapid.SampledFrom(curves).Draw(rt, "curve")
		degree := rapid.IntRange(0, 6).Draw(rt, "degree")
		secret := curve.RandomScalar()
		p, err := NewPolynomial(secret, degree)
		if err != nil {
			rt.Fatal(err)
		}
		ids := drawIDs(rt, degree+1)
		at := rapid.Uint16().Draw(rt, "at")
		interpolate := func(ids []uint16, x uint16) *group.Scalar {
			sum := curve.Zero()
			for _, id := range ids {
				l, err := LagrangeAt(curve, ids, id, x)
				if err != nil {
					rt.Fatal(err)
				}
				sum = sum.Add(l.Mul(p.Eval(id)))
			}
			return sum
		}
		if !interpolate(ids, 0).Equal(secret) {
			rt.Fatal("enough shares do not give the secret")
		}
		if at != 0 && !interpolate(ids, at).Equal(p.Eval(at)) {
			rt.Fatalf("enough shares do not give the share of %d", at)
		}
		if degree > 0 && interpolate(ids[:degree], 0).Equal(secret) {
			rt.Fatal("too few shares give the secret")
		}
	})
}

// A commitment evaluates to what the shares commit to, at every place, and adds up.
func TestCommitment(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		curve := rapid.SampledFrom(curves).Draw(rt, "curve")
		degree := rapid.IntRange(0, 6).Draw(rt, "degree")
		p, errP := NewPolynomial(curve.RandomScalar(), degree)
		q, errQ := NewPolynomial(curve.RandomScalar(), degree)
		if errP != nil || errQ != nil {
			rt.Fatal(errP, errQ)
		}
		sum, err := p.Commit().Add(q.Commit())
		if err != nil {
			rt.Fatal(err)
		}
		for _, id := range append(drawIDs(rt, 3), 1, 2, 255, 256, 65535) {
			if !p.Commit().Eval(id).Equal(curve.BaseMul(p.Eval(id))) {
				rt.Fatalf("commitment does not fit the share of %d", id)
			}
			if !sum.Eval(id).Equal(curve.BaseMul(p.Eval(id).Add(q.Eval(id)))) {
				rt.Fatalf("sum does not fit the shares of %d", id)
			}
		}
		shorter, err := NewPolynomial(curve.RandomScalar(), degree+1)
		if err != nil {
			rt.Fatal(err)
		}
		if _, err := p.Commit().Add(shorter.Commit()); err == nil {
			rt.Fatal("commitments of two degrees were added")
		}
	})
}

func TestIndices(t *testing.T) {
	for _, c := range []struct {
		name string
		ids  []uint16
		good bool
	}{
		{"one", []uint16{1}, true},
		{"any order", []uint16{3, 1, 65535}, true},
		{"none", nil, true},
		{"zero", []uint16{1, 0}, false},
		{"twice", []uint16{2, 5, 2}, false},
	} {
		if err := Indices(c.ids); (err == nil) != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	curve := group.Secp256k1
	for name, f := range map[string]func() error{
		"not among them": func() error { _, err := Lagrange(curve, []uint16{1, 2}, 3); return err },
		"twice":          func() error { _, err := Lagrange(curve, []uint16{1, 1}, 1); return err },
		"zero":           func() error { _, err := Lagrange(curve, []uint16{0, 1}, 1); return err },
		"degree":         func() error { _, err := NewPolynomial(curve.RandomScalar(), MaxDegree+1); return err },
		"negative":       func() error { _, err := NewPolynomial(curve.RandomScalar(), -1); return err },
		"no terms":       func() error { _, err := FromCoefficients(nil); return err },
	} {
		if f() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestEraseAndCopies(t *testing.T) {
	secret := group.Secp256k1.ScalarFromUint64(7)
	p, err := FromCoefficients([]*group.Scalar{secret, group.Secp256k1.ScalarFromUint64(2)})
	if err != nil {
		t.Fatal(err)
	}
	secret.Erase()
	if !p.Eval(3).Equal(group.Secp256k1.ScalarFromUint64(13)) {
		t.Error("the polynomial lives off the caller's scalars")
	}
	p.Erase()
	p.Erase()
	if !p.Constant().IsZero() {
		t.Error("the constant term outlives Erase")
	}
}
