package zk

import (
	"bytes"
	"crypto/sha512"
	"encoding/binary"
	"math/big"
	"reflect"
	"testing"

	"chancery.dev/internal/arith"
	"chancery.dev/internal/group"
)

// A cheating prover of these tests is as strong as it can be: it knows its own factors, chooses statement, commitments and
// responses, and computes without the honest prover's limits. It does one thing wrong. All else fits, so that the named
// check alone stands in its way; where a prover does nothing wrong it must pass, which shows that the cheater is able.

// wantCheck wants a refusal by the named check, or none when check is empty.
func wantCheck(t testing.TB, what string, err error, check string) {
	t.Helper()
	if check == "" && err != nil {
		t.Errorf("%s: refused: %v", what, err)
	}
	if check != "" && failed(err) != check {
		t.Errorf("%s: got %v, want a refusal by %q", what, err, check)
	}
}

// seeded is a number of exactly size bits that follows from a name; its top seven bits are set, so that a product has as many
// bits as its factors together.
func seeded(name string, size int) *big.Int {
	var b []byte
	for i := uint64(0); len(b)*8 < size; i++ {
		h := sha512.Sum512(binary.BigEndian.AppendUint64([]byte(name), i))
		b = append(b, h[:]...)
	}
	v := new(big.Int).SetBytes(b)
	v.Rsh(v, uint(8*len(b)-size))
	for i := range 7 {
		v.SetBit(v, size-1-i, 1)
	}
	return v
}

// seededPrime is the first prime after a seeded number that is residue modulo m.
func seededPrime(name string, size int, residue, m *big.Int) *big.Int {
	v := seeded(name, size)
	v.Sub(v, new(big.Int).Mod(v, m)).Add(v, residue)
	for !v.ProbablyPrime(4) {
		v.Add(v, m)
	}
	return v
}

// signedBelow is a random integer within ±2^bits.
func signedBelow(bits int) *big.Int { return arith.RandomSigned(pow2(bits)).Reveal() }

func unitOf(n *arith.Modulus) *big.Int { return arith.RandomUnit(n.Big()).Reveal() }

func add(a, b *big.Int) *big.Int { return new(big.Int).Add(a, b) }
func sub(a, b *big.Int) *big.Int { return new(big.Int).Sub(a, b) }
func mul(a, b *big.Int) *big.Int { return new(big.Int).Mul(a, b) }
func neg(a *big.Int) *big.Int    { return new(big.Int).Neg(a) }

// Πsch.

func TestCheatSch(t *testing.T) {
	p, extra := small(), []byte("joint")
	x, k := curve.RandomScalar(), curve.RandomScalar()
	other := curve.BaseMul(curve.RandomScalar())
	const check = "zG = A + eX"
	answer := func(public, a *group.Point, k, x *group.Scalar) *Sch {
		return &Sch{A: a, Z: k.Add(p.schChallenge(context(), public, a, extra).Mul(x))}
	}
	for _, c := range []struct {
		name   string
		public *group.Point
		proof  *Sch
		check  string
	}{
		{"honest", curve.BaseMul(x), answer(curve.BaseMul(x), curve.BaseMul(k), k, x), ""},
		{"the identity, whose logarithm everybody knows", curve.Identity(), answer(curve.Identity(), curve.BaseMul(k), k, curve.Zero()), check},
		{"all is the identity", curve.Identity(), answer(curve.Identity(), curve.Identity(), curve.Zero(), curve.Zero()), check},
		{"identity as commitment, nothing as response", curve.BaseMul(x), &Sch{A: curve.Identity(), Z: curve.Zero()}, check},
		{"another base", other.Mul(x), answer(other.Mul(x), other.Mul(k), k, x), check},
		{"commitment to another base", curve.BaseMul(x), answer(curve.BaseMul(x), other.Mul(k), k, x), check},
		{"another secret", curve.BaseMul(x), answer(curve.BaseMul(x), curve.BaseMul(k), k, x.Add(curve.ScalarFromUint64(1))), check},
		{"negated secret", curve.BaseMul(x), answer(curve.BaseMul(x), curve.BaseMul(k), k, x.Neg()), check},
	} {
		wantCheck(t, c.name, p.VerifySch(context(), c.public, extra, c.proof), c.check)
	}
	// A statement that is solved for after the challenge: X = (zG - A)/e.
	a, z := curve.BaseMul(k), curve.RandomScalar()
	e, err := p.schChallenge(context(), curve.BaseMul(x), a, extra).Invert()
	if err != nil {
		t.Fatal(err)
	}
	wantCheck(t, "statement after challenge", p.VerifySch(context(), curve.BaseMul(z).Sub(a).Mul(e), extra, &Sch{A: a, Z: z}), check)
}

// Πelog. A lie is a statement whose parts hold different secrets; the prover answers with λ and y.

func TestCheatElog(t *testing.T) {
	p, unit := small(), curve.ScalarFromUint64(1)
	lambda, y := curve.RandomScalar(), curve.RandomScalar()
	x, h, other := curve.BaseMul(curve.RandomScalar()), curve.BaseMul(curve.RandomScalar()), curve.BaseMul(curve.RandomScalar())
	honest := ElogStatement{L: curve.BaseMul(lambda), M: curve.BaseMul(y).Add(x.Mul(lambda)), X: x, Y: h.Mul(y), H: h}
	const onL, onM, onY = "zG = A + eL", "uG + zX = N + eM", "uH = B + eY"
	for _, c := range []struct {
		name   string
		change func(*ElogStatement)
		check  string
	}{
		{"honest", func(*ElogStatement) {}, ""},
		{"L holds another λ", func(s *ElogStatement) { s.L = curve.BaseMul(lambda.Add(unit)) }, onL},
		{"L negated", func(s *ElogStatement) { s.L = s.L.Neg() }, onL},
		{"L is the identity", func(s *ElogStatement) { s.L = curve.Identity() }, onL},
		{"L to another base", func(s *ElogStatement) { s.L = other.Mul(lambda) }, onL},
		{"M holds another λ", func(s *ElogStatement) { s.M = curve.BaseMul(y).Add(x.Mul(lambda.Add(unit))) }, onM},
		{"M holds another y", func(s *ElogStatement) { s.M = curve.BaseMul(y.Add(unit)).Add(x.Mul(lambda)) }, onM},
		{"M is the identity", func(s *ElogStatement) { s.M = curve.Identity() }, onM},
		{"M under another key", func(s *ElogStatement) { s.M = curve.BaseMul(y).Add(other.Mul(lambda)) }, onM},
		{"X is the identity", func(s *ElogStatement) { s.X = curve.Identity() }, onM},
		{"Y holds another y", func(s *ElogStatement) { s.Y = h.Mul(y.Add(unit)) }, onY},
		{"Y negated", func(s *ElogStatement) { s.Y = s.Y.Neg() }, onY},
		{"Y is the identity", func(s *ElogStatement) { s.Y = curve.Identity() }, onY},
		{"Y to another base", func(s *ElogStatement) { s.Y = other.Mul(y) }, onY},
		{"H is the identity, Y is not", func(s *ElogStatement) { s.H = curve.Identity() }, onY},
	} {
		s := honest
		c.change(&s)
		wantCheck(t, c.name, p.VerifyElog(context(), s, p.ProveElog(context(), s, lambda, y)), c.check)
	}
	none := &Elog{A: curve.Identity(), N: curve.Identity(), B: curve.Identity(), Z: curve.Zero(), U: curve.Zero()}
	wantCheck(t, "nothing proved", p.VerifyElog(context(), honest, none), onL)
	if _, err := UnmarshalElog(p, none.Marshal(p)); err == nil {
		t.Error("identities were read as commitments")
	}
	if _, err := UnmarshalSch(p, (&Sch{A: curve.Identity(), Z: curve.Zero()}).Marshal(p)); err == nil {
		t.Error("an identity was read as a commitment")
	}
}

// bounds are the responses that are bounded: the field, the bound's power of two and the check.
func bounds(p Params) map[string]map[string]struct {
	bits  int
	check string
} {
	type bound = struct {
		bits  int
		check string
	}
	return map[string]map[string]bound{
		"enc-elg": {"Z1": {p.L + p.Eps, "z1 within ±2^(ℓ+ε)"}, "Z3": {p.pedBits(), "z3 is bounded"}},
		"aff-g": {"Z1": {p.L + p.Eps, "z1 within ±2^(ℓ+ε)"}, "Z2": {p.LPrime + p.Eps, "z2 within ±2^(ℓ'+ε)"},
			"Z3": {p.pedBits(), "z3 and z4 are bounded"}, "Z4": {p.pedBits(), "z3 and z4 are bounded"}},
		"fac": {"Z1": {p.facZ(), "z1 and z2 within ±2^(ℓ+ε)√N0"}, "Z2": {p.facZ(), "z1 and z2 within ±2^(ℓ+ε)√N0"},
			"W1": {p.pedBits(), "w1, w2 and v are bounded"}, "W2": {p.pedBits(), "w1, w2 and v are bounded"}, "V": {p.facV(), "w1, w2 and v are bounded"}},
		"aff-g*": {"Z": {p.L + p.Eps, "z within ±2^(ℓ+ε)"}, "Zy": {p.LPrime + p.Eps, "z' within ±2^(ℓ'+ε)"}},
		"dec":    {"Z": {p.L + p.Eps, "z within ±2^(ℓ+ε)"}, "W": {p.decW(), "w is in range"}},
	}
}

// Every bound is tested at its edge, on both sides of zero: 2^k is no longer a question of form but of an equation, 2^k + 1 is
// refused by the bound's check, and by the decoder. Lists are tested at their last place.
func TestBoundsHoldAtTheEdge(t *testing.T) {
	p := small()
	p.Reps = 2
	seen := 0
	for _, e := range []example{exampleEncElg(t, p, true), exampleAffG(t, p, true), exampleFac(t, p, true), exampleAffGStar(t, p), exampleDec(t, p)} {
		kind := e.name
		for _, owner := range []string{", trapdoor", ", trapdoors"} {
			if n := len(kind) - len(owner); n > 0 && kind[n:] == owner {
				kind = kind[:n]
			}
		}
		for name, b := range bounds(p)[kind] {
			for _, sign := range []int64{1, -1} {
				set := func(v *big.Int) any {
					bad := clone(e.proof)
					f := reflect.ValueOf(bad).Elem().FieldByName(name)
					if f.Kind() == reflect.Slice {
						f = f.Index(f.Len() - 1)
					}
					f.Set(reflect.ValueOf(v.Mul(v, big.NewInt(sign))))
					return bad
				}
				at, above := set(pow2(b.bits)), set(add(pow2(b.bits), one))
				if got := failed(e.verify(p, context(), at)); got == "" || got == b.check {
					t.Errorf("%s: %s at the bound, sign %d: %q", kind, name, sign, got)
				}
				wantCheck(t, kind+": "+name+" above the bound", e.verify(p, context(), above), b.check)
				if _, err := e.unmarshal(encodingOf(p, at)); err != nil {
					t.Errorf("%s: %s at the bound, sign %d, is not read: %v", kind, name, sign, err)
				}
				if _, err := e.unmarshal(encodingOf(p, above)); err == nil {
					t.Errorf("%s: %s above the bound, sign %d, is read", kind, name, sign)
				}
				seen++
			}
		}
	}
	if seen != 2*15 {
		t.Errorf("%d edges were tested", seen)
	}
}

// encodingOf is any proof's encoding.
func encodingOf(p Params, proof any) []byte {
	return proof.(interface{ Marshal(Params) []byte }).Marshal(p)
}

// Every value has one encoding.
func TestValuesHaveOneEncoding(t *testing.T) {
	for _, bits := range []int{7, 8, 15, 768, 769} {
		size := bits/8 + 1
		for name, c := range map[string]struct {
			change func([]byte)
			reads  bool
		}{
			"zero": {func([]byte) {}, true}, "minus zero": {func(b []byte) { b[0] = 1 }, false}, "sign 2": {func(b []byte) { b[0], b[size] = 2, 1 }, false},
			"minus one": {func(b []byte) { b[0], b[size] = 1, 1 }, true}, "all ones": {func(b []byte) {
				for i := range size {
					b[1+i] = 255
				}
			}, false},
		} {
			raw := make([]byte, 1+size)
			c.change(raw)
			var v *big.Int
			err := decodeWith(small(), raw, func(l *layout) { l.signed(&v, bits) })
			if (err == nil) != c.reads {
				t.Errorf("%s in %d bits: %v", name, bits, err)
			}
			if err == nil && string(encodeWith(small(), func(l *layout) { l.signed(&v, bits) })) != string(raw) {
				t.Errorf("%s in %d bits: another encoding", name, bits)
			}
		}
	}
	for name, b := range map[string][]byte{"the order": order.Bytes(), "above the order": bytes.Repeat([]byte{255}, 32), "short": make([]byte, 31)} {
		var v *group.Scalar
		if err := decodeWith(small(), b, func(l *layout) { l.scalars(&v) }); err == nil {
			t.Errorf("%s was read as a scalar", name)
		}
	}
	for name, b := range map[string][]byte{"the identity": make([]byte, 33), "no point": append(append([]byte{2}, make([]byte, 31)...), 5), "x above the field": append([]byte{2}, bytes.Repeat([]byte{255}, 32)...),
		"another prefix": append([]byte{4}, curve.Generator().Bytes()[1:]...)} {
		var v *group.Point
		if err := decodeWith(small(), b, func(l *layout) { l.points(&v) }); err == nil {
			t.Errorf("%s was read as a point", name)
		}
	}
	var v []bool
	if err := decodeWith(small(), []byte{0b1000}, func(l *layout) { l.bits(&v, 3) }); err == nil {
		t.Error("a bit beyond the last was read")
	}
}
