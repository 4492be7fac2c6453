package zk

import (
	"math/big"
	"reflect"
	"slices"
	"testing"

	"chancery.dev/internal/paillier"
)

// The proofs with one-bit challenges. A lie in one equation is noticed in the repetitions whose bit is 1, so that provers draw again while there is none; a prover that
// prepares each repetition for a guess of its bit is right in half of them.

// power is base^e in a ring of ciphertexts.
func power(t testing.TB, k *paillier.PublicKey, base, e *big.Int) *big.Int {
	t.Helper()
	return must[*big.Int](t)(k.NN().ExpPublic(base, e))
}

func encrypted(t testing.TB, k *paillier.PublicKey, x, w *big.Int) *big.Int {
	t.Helper()
	return must[*big.Int](t)(k.EncryptPublic(x, w))
}

// choose is v when the bit is set, nothing otherwise.
func choose(bit bool, v *big.Int) *big.Int {
	if bit {
		return v
	}
	return new(big.Int)
}

// Πaff-g*.

// starLie is what a cheating prover of Πaff-g* puts into the places that should hold one x and one y, and answers with.
type starLie struct {
	dx, x, zx   *big.Int
	dy, y, zy   *big.Int
	alpha, beta *big.Int // nonces, drawn when nil
}

func oneStar(x, y *big.Int) starLie { return starLie{dx: x, x: x, zx: x, dy: y, y: y, zy: y} }

func (l starLie) with(change func(*starLie)) starLie { change(&l); return l }

// state makes the statement; the nonces of D and Y are returned.
func (l starLie) state(t testing.TB, s AffGStatement) (_ AffGStatement, rho, rhoY *big.Int) {
	t.Helper()
	rho, rhoY = unitOf(s.Key0.N()), unitOf(s.Key1.N())
	s.D = s.Key0.NN().Mul(power(t, s.Key0, s.C, l.dx), encrypted(t, s.Key0, l.dy, rho))
	s.Y, s.X = encrypted(t, s.Key1, l.y, rhoY), curve.BaseMul(scalarOf(l.x))
	return s, rho, rhoY
}

func (l starLie) prove(t testing.TB, p Params, s AffGStatement) (AffGStatement, *AffGStar) {
	t.Helper()
	s, rho, rhoY := l.state(t, s)
	out := new(AffGStar)
	for !slices.Contains(p.affGStarChallenge(context(), s, out), true) || len(out.A) == 0 { // with zeros alone no lie is asked about
		out = l.commit(t, p, s)
	}
	for i, e := range p.affGStarChallenge(context(), s, out) {
		if e {
			out.Z[i], out.Zy[i] = add(out.Z[i], l.zx), add(out.Zy[i], l.zy)
			out.W[i], out.Wy[i] = s.Key0.N().Mul(out.W[i], rho), s.Key1.N().Mul(out.Wy[i], rhoY)
		}
	}
	return s, out
}

func (l starLie) commit(t testing.TB, p Params, s AffGStatement) *AffGStar {
	t.Helper()
	out := new(AffGStar)
	for range p.Reps {
		alpha, beta := l.alpha, l.beta
		if alpha == nil {
			alpha = signedBelow(p.L + p.Eps - 1)
		}
		if beta == nil {
			beta = signedBelow(p.LPrime + p.Eps - 1)
		}
		out.simulated(t, s, alpha, beta, false)
	}
	return out
}

// simulated appends a repetition that answers the guessed bit with z and zy, without a witness.
func (x *AffGStar) simulated(t testing.TB, s AffGStatement, z, zy *big.Int, guess bool) {
	t.Helper()
	nn0, nn1, r, ry := s.Key0.NN(), s.Key1.NN(), unitOf(s.Key0.N()), unitOf(s.Key1.N())
	minus := choose(guess, big.NewInt(-1))
	x.A = append(x.A, nn0.Mul(nn0.Mul(power(t, s.Key0, s.C, z), encrypted(t, s.Key0, zy, r)), power(t, s.Key0, s.D, minus)))
	x.B = append(x.B, nn1.Mul(encrypted(t, s.Key1, zy, ry), power(t, s.Key1, s.Y, minus)))
	x.R = append(x.R, curve.BaseMul(scalarOf(z)).Add(s.X.Mul(scalarOf(minus))))
	x.Z, x.Zy, x.W, x.Wy = append(x.Z, z), append(x.Zy, zy), append(x.W, r), append(x.Wy, ry)
}

func starBase(t testing.TB) AffGStatement {
	t.Helper()
	key0 := parties()[1].own.PublicKey
	return AffGStatement{Key0: key0, Key1: parties()[0].own.PublicKey, C: encrypted(t, key0, seeded("k", 255), unitOf(key0.N()))}
}

func TestCheatAffGStar(t *testing.T) {
	p := small()
	p.Reps = 2
	const boundX, boundY, onX, onY, onD = "z within ±2^(ℓ+ε)", "z' within ±2^(ℓ'+ε)", "zG = R + eX", "enc1(z'; wy) = B * Y^e", "C^z * enc0(z'; w) = A * D^e"
	x, y, edgeX, edgeY, zero := seeded("x", 255), seeded("y", p.LPrime-1), pow2(p.L+p.Eps), pow2(p.LPrime+p.Eps), new(big.Int)
	base, honest := starBase(t), oneStar(x, y)
	still := func(alpha, beta *big.Int) starLie {
		return oneStar(zero, zero).with(func(l *starLie) { l.alpha, l.beta = alpha, beta })
	}
	for _, c := range []struct {
		name  string
		lie   starLie
		check string
	}{
		{"honest", honest, ""}, {"at the upper bounds", still(edgeX, edgeY), ""}, {"at the lower bounds", still(neg(edgeX), neg(edgeY)), ""},
		{"z above", still(add(edgeX, one), nil), boundX}, {"z below", still(sub(neg(edgeX), one), nil), boundX},
		{"z' above", still(nil, add(edgeY, one)), boundY}, {"z' below", still(nil, sub(neg(edgeY), one)), boundY},
		{"x out of range", oneStar(mul(edgeX, big.NewInt(4)), y), boundX}, {"y out of range", oneStar(x, mul(edgeY, big.NewInt(-4))), boundY},
		{"X holds another x", honest.with(func(l *starLie) { l.x = add(x, one) }), onX}, {"X holds -x", honest.with(func(l *starLie) { l.x = neg(x) }), onX},
		{"Y holds another y", honest.with(func(l *starLie) { l.y = add(y, one) }), onY}, {"the sign of y is flipped in Y", honest.with(func(l *starLie) { l.y = neg(y) }), onY},
		{"D holds another y", honest.with(func(l *starLie) { l.dy = add(y, one) }), onD}, {"D holds another x", honest.with(func(l *starLie) { l.dx = add(x, one) }), onD},
		{"D and X hold another x than is shown", honest.with(func(l *starLie) { l.zx = add(x, order) }), onD},
	} {
		s, proof := c.lie.prove(t, p, base)
		wantCheck(t, c.name, p.VerifyAffGStar(context(), s, proof), c.check)
	}
}

// A prover without a witness guesses every bit. It is right in some repetitions and refused; when all guesses of a few are
// right it passes, which is why there must be many.
func TestCheatAffGStarGuesses(t *testing.T) {
	p, few := small(), small()
	p.Reps, few.Reps = 6, 2
	s, _, _ := oneStar(seeded("x", 255), seeded("y", p.LPrime-1)).with(func(l *starLie) { l.dy, l.x = one, one }).state(t, starBase(t))
	guess := func(p Params) (*AffGStar, []bool) {
		out, bits := new(AffGStar), make([]bool, p.Reps)
		for i := range bits {
			bits[i] = i%2 == 0
			out.simulated(t, s, signedBelow(p.L+p.Eps), signedBelow(p.LPrime+p.Eps), bits[i])
		}
		return out, bits
	}
	proof, bits := guess(p)
	for equalBits(bits, p.affGStarChallenge(context(), s, proof)) == p.Reps { // once in 64
		proof, bits = guess(p)
	}
	wantCheck(t, "guessed", p.VerifyAffGStar(context(), s, proof), "zG = R + eX")
	for proof, bits = guess(few); equalBits(bits, few.affGStarChallenge(context(), s, proof)) != few.Reps; {
		proof, bits = guess(few)
	}
	wantCheck(t, "all guesses right", few.VerifyAffGStar(context(), s, proof), "")
	// The last of many repetitions is wrong, the others are right.
	honest, whole := oneStar(seeded("x", 255), seeded("y", p.LPrime-1)).prove(t, small(), starBase(t))
	last := len(whole.W) - 1
	whole.W[last] = honest.Key0.N().Mul(whole.W[last], four)
	wantCheck(t, "the last repetition is wrong", small().VerifyAffGStar(context(), honest, whole), "C^z * enc0(z'; w) = A * D^e")
}

// Πdec.

// decLie is what a cheating prover of Πdec puts into the places that should hold one x and one y.
type decLie struct {
	dx, x, zx   *big.Int
	dy, y, zy   *big.Int
	alpha, beta *big.Int
	change      func(*DecStatement) // what else is done to the statement
}

func oneDec(x, y *big.Int) decLie { return decLie{dx: x, x: x, zx: x, dy: y, y: y, zy: y} }

func (l decLie) with(change func(*decLie)) decLie { change(&l); return l }

// state makes D so that K^dx * D decrypts to dy, with a known nonce.
func (l decLie) state(t testing.TB, key *paillier.PublicKey) (s DecStatement, rho *big.Int) {
	t.Helper()
	rho = unitOf(key.N())
	s = DecStatement{Key: key, K: encrypted(t, key, seeded("k", 255), unitOf(key.N())), H: curve.BaseMul(curve.RandomScalar())}
	s.D = key.NN().Mul(encrypted(t, key, l.dy, rho), power(t, key, s.K, neg(l.dx)))
	s.X, s.S = curve.BaseMul(scalarOf(l.x)), s.H.Mul(scalarOf(l.y))
	if l.change != nil {
		l.change(&s)
	}
	return s, rho
}

func (l decLie) prove(t testing.TB, p Params, key *paillier.PublicKey) (DecStatement, *Dec) {
	t.Helper()
	s, rho := l.state(t, key)
	out := new(Dec)
	for !slices.Contains(p.decChallenge(context(), s, out), true) || len(out.A) == 0 {
		out = l.commit(t, p, s)
	}
	for i, e := range p.decChallenge(context(), s, out) {
		if e {
			out.Z[i], out.W[i], out.V[i] = add(out.Z[i], l.zx), add(out.W[i], l.zy), key.N().Mul(out.V[i], rho)
		}
	}
	return s, out
}

func (l decLie) commit(t testing.TB, p Params, s DecStatement) *Dec {
	t.Helper()
	out := new(Dec)
	for range p.Reps {
		alpha, beta := l.alpha, l.beta
		if alpha == nil {
			alpha = signedBelow(p.L + p.Eps - 1)
		}
		if beta == nil {
			beta = signedBelow(p.decW() - 1)
		}
		out.simulated(t, s, alpha, beta, false)
	}
	return out
}

// simulated appends a repetition that answers the guessed bit with z and w, without a witness.
func (x *Dec) simulated(t testing.TB, s DecStatement, z, w *big.Int, guess bool) {
	t.Helper()
	nn, r, minus := s.Key.NN(), unitOf(s.Key.N()), choose(guess, big.NewInt(-1))
	x.A = append(x.A, nn.Mul(nn.Mul(power(t, s.Key, s.K, neg(z)), encrypted(t, s.Key, w, r)), power(t, s.Key, s.D, minus)))
	x.B = append(x.B, s.H.Mul(scalarOf(w)).Add(s.S.Mul(scalarOf(minus))))
	x.C = append(x.C, curve.BaseMul(scalarOf(z)).Add(s.X.Mul(scalarOf(minus))))
	x.Z, x.W, x.V = append(x.Z, z), append(x.W, w), append(x.V, r)
}

func TestCheatDec(t *testing.T) {
	p := small()
	p.Reps = 2
	const boundZ, boundW, onX, onS, onD = "z within ±2^(ℓ+ε)", "w is in range", "zG = C + eX", "wH = B + eS", "enc(w; ν) * K^-z = A * D^e"
	key := parties()[0].own.PublicKey
	x, y, edgeZ, edgeW, zero := seeded("x", 255), seeded("sum", p.LPrime+p.Eps), pow2(p.L+p.Eps), pow2(p.decW()), new(big.Int)
	honest := oneDec(x, y)
	still := func(alpha, beta *big.Int) decLie {
		return oneDec(zero, zero).with(func(l *decLie) { l.alpha, l.beta = alpha, beta })
	}
	for _, c := range []struct {
		name  string
		lie   decLie
		check string
	}{
		{"honest", honest, ""}, {"honest, negative", oneDec(neg(x), neg(y)), ""}, {"at the upper bounds", still(edgeZ, edgeW), ""}, {"at the lower bounds", still(neg(edgeZ), neg(edgeW)), ""},
		{"the largest sum of 256 products", oneDec(x, pow2(p.LPrime+p.Eps+1+maxSummands)), ""},
		{"z above", still(add(edgeZ, one), nil), boundZ}, {"z below", still(sub(neg(edgeZ), one), nil), boundZ},
		{"w above", still(nil, add(edgeW, one)), boundW}, {"w below", still(nil, sub(neg(edgeW), one)), boundW},
		{"x out of range", oneDec(mul(edgeZ, four), y), boundZ}, {"y out of range", oneDec(x, mul(edgeW, four)), boundW},
		{"y out of range, the scalar is right", oneDec(x, add(y, mul(order, edgeW))), boundW}, {"y + N", oneDec(x, add(y, key.N().Big())), boundW},
		{"X holds another x", honest.with(func(l *decLie) { l.x = add(x, one) }), onX},
		{"S holds another sum", honest.with(func(l *decLie) { l.y = add(y, one) }), onS}, {"S holds the negative", honest.with(func(l *decLie) { l.y = neg(y) }), onS},
		{"S to another base", honest.with(func(l *decLie) { l.change = func(s *DecStatement) { s.S = curve.BaseMul(scalarOf(y)) } }), onS},
		{"the base is the identity", honest.with(func(l *decLie) { l.change = func(s *DecStatement) { s.H = curve.Identity() } }), onS},
		{"S is the identity", honest.with(func(l *decLie) { l.change = func(s *DecStatement) { s.S = curve.Identity() } }), onS},
		{"X is the identity", honest.with(func(l *decLie) { l.change = func(s *DecStatement) { s.X = curve.Identity() } }), onX},
		{"another sum in S and in the response", honest.with(func(l *decLie) { l.y, l.zy = add(y, one), add(y, one) }), onD},
		{"a sum changed by q", honest.with(func(l *decLie) { l.zy = add(y, order) }), onD},
		{"D holds another sum", honest.with(func(l *decLie) { l.dy = sub(y, one) }), onD}, {"another x in D", honest.with(func(l *decLie) { l.dx = add(x, one) }), onD},
	} {
		s, proof := c.lie.prove(t, p, key)
		wantCheck(t, c.name, p.VerifyDec(context(), s, proof), c.check)
	}
}

func TestCheatDecGuesses(t *testing.T) {
	p, few := small(), small()
	p.Reps, few.Reps = 6, 2
	s, _ := oneDec(seeded("x", 255), seeded("sum", p.LPrime)).with(func(l *decLie) { l.y = one }).state(t, parties()[0].own.PublicKey)
	guess := func(p Params) (*Dec, []bool) {
		out, bits := new(Dec), make([]bool, p.Reps)
		for i := range bits {
			bits[i] = i%2 == 0
			out.simulated(t, s, signedBelow(p.L+p.Eps), signedBelow(p.decW()), bits[i])
		}
		return out, bits
	}
	proof, bits := guess(p)
	for equalBits(bits, p.decChallenge(context(), s, proof)) == p.Reps { // once in 64
		proof, bits = guess(p)
	}
	wantCheck(t, "guessed", p.VerifyDec(context(), s, proof), "zG = C + eX")
	for proof, bits = guess(few); equalBits(bits, few.decChallenge(context(), s, proof)) != few.Reps; {
		proof, bits = guess(few)
	}
	wantCheck(t, "all guesses right", few.VerifyDec(context(), s, proof), "")
	honest, whole := oneDec(seeded("x", 255), seeded("sum", p.LPrime)).prove(t, small(), parties()[0].own.PublicKey)
	last := len(whole.V) - 1
	whole.V[last] = honest.Key.N().Mul(whole.V[last], four)
	wantCheck(t, "the last repetition is wrong", small().VerifyDec(context(), honest, whole), "enc(w; ν) * K^-z = A * D^e")
}

// Places that must hold units, and lists that must be whole.
func TestCheatOneBitForm(t *testing.T) {
	p := small()
	p.Reps = 2
	f0, f1 := testPrime(4).Reveal(), testPrime(0).Reveal()
	ss, star := oneStar(four, four).prove(t, p, starBase(t))
	ds, dec := oneDec(four, four).prove(t, p, parties()[0].own.PublicKey)
	onStar, onDec := func() error { return p.VerifyAffGStar(context(), ss, star) }, func() error { return p.VerifyDec(context(), ds, dec) }
	at := func(v any, field string) reflect.Value {
		f := reflect.ValueOf(v).Elem().FieldByName(field)
		if f.Kind() == reflect.Slice {
			return f.Index(0)
		}
		return f
	}
	nn0, n0, nn1, n1 := ss.Key0.NN().Big(), ss.Key0.N().Big(), ds.Key.NN().Big(), ds.Key.N().Big()
	const statement, proof = "C, D and Y are units", "A, B, w and wy are units"
	for name, c := range map[string]unitCase{
		"aff-g* C": {at(&ss, "C"), nn0, f0, onStar, statement, false}, "aff-g* D": {at(&ss, "D"), nn0, f0, onStar, statement, false}, "aff-g* Y": {at(&ss, "Y"), nn1, f1, onStar, statement, false},
		"aff-g* A": {at(star, "A"), nn0, f0, onStar, proof, true}, "aff-g* B": {at(star, "B"), nn1, f1, onStar, proof, true},
		"aff-g* w": {at(star, "W"), n0, f0, onStar, proof, true}, "aff-g* wy": {at(star, "Wy"), n1, f1, onStar, proof, true},
		"dec K": {at(&ds, "K"), nn1, f1, onDec, "K and D are units", false}, "dec D": {at(&ds, "D"), nn1, f1, onDec, "K and D are units", false},
		"dec A": {at(dec, "A"), nn1, f1, onDec, "A and ν are units", true}, "dec ν": {at(dec, "V"), n1, f1, onDec, "A and ν are units", true},
	} {
		notUnits(t, name, c)
	}
	wantCheck(t, "aff-g* restored", onStar(), "")
	wantCheck(t, "dec restored", onDec(), "")
	for _, c := range []struct {
		proof  any
		verify func() error
	}{{star, onStar}, {dec, onDec}} {
		s := reflect.ValueOf(c.proof).Elem()
		resize := func(field reflect.Value, by int) {
			if by > 0 {
				field.Set(reflect.Append(field, field.Index(0)))
				return
			}
			field.Set(field.Slice(0, field.Len()+by))
		}
		for _, by := range []int{-2, -1, 1} {
			kept := reflect.New(s.Type()).Elem()
			kept.Set(s)
			for i := range s.NumField() {
				resize(s.Field(i), by)
				wantCheck(t, s.Type().Field(i).Name+" of another length", c.verify(), "every repetition is there")
				s.Set(kept)
			}
			for i := range s.NumField() {
				resize(s.Field(i), by)
			}
			wantCheck(t, "all lists of another length", c.verify(), "every repetition is there")
			s.Set(kept)
		}
	}
}

// The sum of Πdec is an integer only while N is larger than all sums that pass: with a smaller N the proof would hold for y + N,
// which is another scalar. Such parameters are not valid.
func TestDecNeedsALargeModulus(t *testing.T) {
	p := small()
	p.Reps, p.Modulus = 2, 2048
	key := shapeOf(blum("short p", 1024), blum("short q", 1024)).key(t, p)
	y := seeded("sum", p.LPrime)
	s, proof := oneDec(seeded("x", 255), y).with(func(l *decLie) { l.y, l.zy = add(y, key.N().Big()), add(y, key.N().Big()) }).prove(t, p, key)
	if err := p.VerifyDec(context(), s, proof); err != nil {
		t.Errorf("the lie is refused even so: %v", err)
	}
	for _, modulus := range []int{1920, 2048, 2176, 2304} {
		if p.Modulus = modulus; p.Validate() == nil {
			t.Errorf("moduli of %d bits are valid for sums of %d bits", modulus, p.decW())
		}
	}
}
