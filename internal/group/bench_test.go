package group

import "testing"

func BenchmarkGroup(b *testing.B) {
	for _, c := range curves {
		s, t := c.RandomScalar(), c.RandomScalar()
		p := c.BaseMul(c.RandomScalar())
		var ss []*Scalar
		var ps []*Point
		for range 4 {
			ss, ps = append(ss, c.RandomScalar()), append(ps, c.BaseMul(c.RandomScalar()))
		}
		enc := p.Bytes()
		for name, f := range map[string]func(){
			"BaseMul":          func() { c.BaseMul(s) },
			"Mul":              func() { p.Mul(s) },
			"DoubleMulVartime": func() { c.DoubleMulVartime(s, t, p) },
			"MultiMul1":        func() { c.MultiMulVartime(ss[:1], ps[:1]) },
			"MultiMul2":        func() { c.MultiMulVartime(ss[:2], ps[:2]) },
			"MultiMul3":        func() { c.MultiMulVartime(ss[:3], ps[:3]) },
			"MultiMul4":        func() { c.MultiMulVartime(ss, ps) },
			"Add":              func() { p.Add(ps[0]) },
			"Bytes":            func() { p.Bytes() },
			"Decode":           func() { _, _ = c.DecodePoint(enc) },
			"Random":           func() { c.RandomScalar() },
			"Invert":           func() { _, _ = s.Invert() },
			"ScalarMul":        func() { s.Mul(t) },
		} {
			b.Run(c.String()+"/"+name, func(b *testing.B) {
				for b.Loop() {
					f()
				}
			})
		}
	}
}
