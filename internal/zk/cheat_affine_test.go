package zk

import (
	"math/big"
	"reflect"
	"testing"

	"chancery.dev/internal/group"
	"chancery.dev/internal/paillier"
)

// scalarOf is any integer, or any fraction, modulo the order of the curve.
func scalarOf(v *big.Int) *group.Scalar { return publicScalar(v) }

// opening is a commitment to a value in the ring, s^x * t^y, of which the owner of λ and φ(N̂) may open the proof as it likes.
type opening struct {
	x, y, alpha, gamma *big.Int
	held, nonce        *big.Int // the two group elements
}

// commitTo makes an opening of x with the nonce alpha. With a trapdoor both are powers of t alone.
func commitTo(t testing.TB, p Params, ped *paillier.Pedersen, x, alpha, gamma *big.Int, trapdoor *paillier.PedersenSecret) opening {
	t.Helper()
	o := opening{x: x, y: signedBelow(p.L + p.Modulus), alpha: alpha, gamma: gamma}
	if trapdoor != nil {
		o.x, o.alpha = new(big.Int), new(big.Int)
	}
	if o.gamma == nil {
		o.gamma = signedBelow(p.pedBits() - 2)
	} else {
		o.y = new(big.Int)
	}
	o.held, o.nonce = must[*big.Int](t)(ped.Combine(o.x, o.y)), must[*big.Int](t)(ped.Combine(o.alpha, o.gamma))
	return o
}

// respond is the response of the randomness for a challenge and the shown z.
func (o opening) respond(e, z *big.Int, trapdoor *paillier.PedersenSecret) *big.Int {
	out := add(o.gamma, mul(e, o.y))
	if trapdoor == nil {
		return out
	}
	return out.Mod(out.Sub(out, mul(trapdoor.Lambda().Reveal(), z)), trapdoor.Phi().Reveal())
}

// shown is what a response adds to its nonce for the challenge e: e*v, or e/v for a fraction 1/v, or nil for a challenge for
// which the prover would rather draw again.
type shown func(e *big.Int) *big.Int

func times(v *big.Int) shown { return func(e *big.Int) *big.Int { return mul(e, v) } }

func over(v *big.Int) shown {
	return func(e *big.Int) *big.Int {
		q, r := new(big.Int).QuoRem(e, v, new(big.Int))
		if r.Sign() != 0 {
			return nil
		}
		return q
	}
}

// Πenc-elg.

// encElgLie is what a cheating prover puts into the places that should hold one value.
type encElgLie struct {
	c, x, s      *big.Int // in the ciphertext, in the ElGamal commitment, in the ring-Pedersen commitment
	z            shown
	alpha, gamma *big.Int      // nonces, drawn when nil
	b            *group.Scalar // what B holds more than X
	trapdoor     *paillier.PedersenSecret
}

func (l encElgLie) prove(t testing.TB, p Params, key *paillier.PublicKey, ped *paillier.Pedersen) (EncElgStatement, *EncElg) {
	t.Helper()
	rho, r, b := unitOf(key.N()), unitOf(key.N()), curve.RandomScalar()
	a := curve.BaseMul(curve.RandomScalar())
	s := EncElgStatement{Key: key, Ped: ped, C: must[*big.Int](t)(key.EncryptPublic(l.c, rho)), A: a, B: curve.BaseMul(b), X: a.Mul(b).Add(curve.BaseMul(scalarOf(l.x)))}
	if l.b != nil {
		s.B = curve.BaseMul(b.Add(l.b))
	}
	for {
		alpha, beta := l.alpha, curve.RandomScalar()
		if alpha == nil {
			alpha = signedBelow(p.L + p.Eps - 1)
		}
		o := commitTo(t, p, ped, l.s, alpha, l.gamma, l.trapdoor)
		out := &EncElg{S: o.held, T: o.nonce, D: must[*big.Int](t)(key.EncryptPublic(alpha, r)), Z: curve.BaseMul(beta), Y: a.Mul(beta).Add(curve.BaseMul(scalarOf(alpha)))}
		es, e := p.encElgChallenge(context(), s, out)
		z := l.z(e)
		if z == nil {
			continue
		}
		out.Z1, out.W = add(alpha, z), beta.Add(es.Mul(b))
		out.Z3 = o.respond(e, out.Z1, l.trapdoor)
		out.Z2 = key.N().Mul(r, must[*big.Int](t)(key.N().ExpPublic(rho, e)))
		return s, out
	}
}

func TestCheatEncElg(t *testing.T) {
	p := small()
	prover, verifier := parties()[0], parties()[1]
	const bound, enc, elgamal, base, ring = "z1 within ±2^(ℓ+ε)", "enc(z1; z2) = D * C^e", "wA + z1*G = Y + eX", "wG = Z + eB", "s^z1 * t^z3 = T * S^e"
	x, wide, edge, n := seeded("x", 255), pow2(p.L+p.Eps+1), pow2(p.L+p.Eps), prover.own.N().Big()
	all := func(v *big.Int) encElgLie { return encElgLie{c: v, x: v, s: v, z: times(v)} }
	differ := func(c, x, s, z *big.Int) encElgLie { return encElgLie{c: c, x: x, s: s, z: times(z)} }
	still := func(alpha *big.Int) encElgLie {
		return encElgLie{c: new(big.Int), x: new(big.Int), s: new(big.Int), z: times(new(big.Int)), alpha: alpha}
	}
	slack := func(gamma *big.Int) encElgLie { l := all(x); l.gamma = gamma; return l }
	reduced := all(wide)
	reduced.z = func(e *big.Int) *big.Int { return new(big.Int).Mod(mul(e, wide), order) }
	other := all(x)
	other.b = curve.ScalarFromUint64(1)
	// 1/8 modulo N0 and modulo q: the plaintext is as large as N0, but e/8 is small for one challenge in eight.
	eighth := big.NewInt(8)
	fraction := encElgLie{c: new(big.Int).ModInverse(eighth, n), x: new(big.Int).ModInverse(eighth, order), s: new(big.Int), z: over(eighth)}
	opened := fraction
	opened.trapdoor = prover.ped
	for _, c := range []struct {
		name  string
		lie   encElgLie
		ped   *paillier.Pedersen
		check string
	}{
		{"honest", all(x), verifier.ped.Pedersen, ""}, {"honest, negative", all(neg(x)), verifier.ped.Pedersen, ""},
		{"x = 2^(ℓ+ε+1)", all(wide), verifier.ped.Pedersen, bound}, {"x = -2^(ℓ+ε+1)", all(neg(wide)), verifier.ped.Pedersen, bound},
		{"x = N0/2", all(new(big.Int).Rsh(n, 1)), verifier.ped.Pedersen, bound}, {"x + N0", all(add(x, n)), verifier.ped.Pedersen, bound},
		{"x = 2^(ℓ+ε+1), z1 modulo q", reduced, verifier.ped.Pedersen, enc},
		{"z1 = 2^(ℓ+ε)", still(edge), verifier.ped.Pedersen, ""}, {"z1 = -2^(ℓ+ε)", still(neg(edge)), verifier.ped.Pedersen, ""},
		{"z1 = 2^(ℓ+ε) + 1", still(add(edge, one)), verifier.ped.Pedersen, bound}, {"z1 = -2^(ℓ+ε) - 1", still(sub(neg(edge), one)), verifier.ped.Pedersen, bound},
		{"z3 at its bound", slack(pow2(p.pedBits())), verifier.ped.Pedersen, ""}, {"z3 at its lower bound", slack(neg(pow2(p.pedBits()))), verifier.ped.Pedersen, ""},
		{"z3 above its bound", slack(add(pow2(p.pedBits()), one)), verifier.ped.Pedersen, "z3 is bounded"},
		{"z3 below its bound", slack(sub(neg(pow2(p.pedBits())), one)), verifier.ped.Pedersen, "z3 is bounded"},
		{"C holds another value", differ(add(x, one), x, x, x), verifier.ped.Pedersen, enc}, {"C holds -x", differ(neg(x), x, x, x), verifier.ped.Pedersen, enc},
		{"C of another session", differ(seeded("another x", 255), x, x, x), verifier.ped.Pedersen, enc},
		{"the commitment holds another value", differ(x, add(x, one), x, x), verifier.ped.Pedersen, elgamal},
		{"the commitment holds -x", differ(x, neg(x), x, x), verifier.ped.Pedersen, elgamal},
		{"the commitment holds x + N0", differ(x, add(x, n), x, x), verifier.ped.Pedersen, elgamal},
		{"the commitment holds x + q", differ(x, add(x, order), x, x), verifier.ped.Pedersen, ""}, // the same scalar
		{"B holds another b", other, verifier.ped.Pedersen, base},
		{"S holds another value", differ(x, x, add(x, one), x), verifier.ped.Pedersen, ring},
		{"a fraction, the prover's own ring-Pedersen key", opened, prover.ped.Pedersen, ""}, // why it must be the verifier's
		{"a fraction, opened with the prover's own trapdoor", opened, verifier.ped.Pedersen, ring},
		{"a fraction", fraction, verifier.ped.Pedersen, ring},
	} {
		s, proof := c.lie.prove(t, p, prover.own.PublicKey, c.ped)
		wantCheck(t, c.name, p.VerifyEncElg(context(), s, proof), c.check)
	}
	// A whole proof under the prover's own key, shown to the verifier under the verifier's.
	s, proof := opened.prove(t, p, prover.own.PublicKey, prover.ped.Pedersen)
	s.Ped = verifier.ped.Pedersen
	if failed(p.VerifyEncElg(context(), s, proof)) == "" {
		t.Error("a proof under the prover's own ring-Pedersen key passes")
	}
}

// Πaff-g.

// affGLie is what a cheating prover puts into the places that should hold one x and one y.
type affGLie struct {
	from                      *big.Int // the ciphertext that D is made of; C when nil
	dx, x, s                  *big.Int // x in D, in X and in the ring-Pedersen commitment
	dy, y, t                  *big.Int // y in D, in Y and in the ring-Pedersen commitment
	zx, zy                    shown
	alpha, beta, gamma, delta *big.Int // nonces, drawn when nil
	trapdoor                  *paillier.PedersenSecret
}

// oneXY is a prover who puts one x and one y everywhere.
func oneXY(x, y *big.Int) affGLie {
	return affGLie{dx: x, x: x, s: x, dy: y, y: y, t: y, zx: times(x), zy: times(y)}
}

func (l affGLie) with(change func(*affGLie)) affGLie { change(&l); return l }

func (l affGLie) prove(t testing.TB, p Params, s AffGStatement) (AffGStatement, *AffG) {
	t.Helper()
	n0, n1, nn := s.Key0.N(), s.Key1.N(), s.Key0.NN()
	exp := func(m interface {
		ExpPublic(b, e *big.Int) (*big.Int, error)
	}, b, e *big.Int) *big.Int {
		return must[*big.Int](t)(m.ExpPublic(b, e))
	}
	enc := func(k *paillier.PublicKey, v, w *big.Int) *big.Int { return must[*big.Int](t)(k.EncryptPublic(v, w)) }
	rho, rhoY, r, ry := unitOf(n0), unitOf(n1), unitOf(n0), unitOf(n1)
	from := l.from
	if from == nil {
		from = s.C
	}
	s.D, s.Y, s.X = nn.Mul(exp(nn, from, l.dx), enc(s.Key0, l.dy, rho)), enc(s.Key1, l.y, rhoY), curve.BaseMul(scalarOf(l.x))
	for {
		alpha, beta := l.alpha, l.beta
		if alpha == nil {
			alpha = signedBelow(p.L + p.Eps - 1)
		}
		if beta == nil {
			beta = signedBelow(p.LPrime + p.Eps - 1)
		}
		ox, oy := commitTo(t, p, s.Ped, l.s, alpha, l.gamma, l.trapdoor), commitTo(t, p, s.Ped, l.t, beta, l.delta, l.trapdoor)
		out := &AffG{S: ox.held, E: ox.nonce, T: oy.held, F: oy.nonce, Bx: curve.BaseMul(scalarOf(alpha)),
			By: enc(s.Key1, beta, ry), A: nn.Mul(exp(nn, from, alpha), enc(s.Key0, beta, r))}
		_, e := p.affGChallenge(context(), s, out)
		zx, zy := l.zx(e), l.zy(e)
		if zx == nil || zy == nil {
			continue
		}
		out.Z1, out.Z2 = add(alpha, zx), add(beta, zy)
		out.Z3, out.Z4 = ox.respond(e, out.Z1, l.trapdoor), oy.respond(e, out.Z2, l.trapdoor)
		out.W, out.Wy = n0.Mul(r, exp(n0, rho, e)), n1.Mul(ry, exp(n1, rhoY, e))
		return s, out
	}
}

// The names of the checks of Πaff-g that a well-formed lie meets.
const (
	affZ1, affZ2, affZ34 = "z1 within ±2^(ℓ+ε)", "z2 within ±2^(ℓ'+ε)", "z3 and z4 are bounded"
	affX, affRingX       = "z1*G = Bx + eX", "s^z1 * t^z3 = E * S^e"
	affRingY, affY, affD = "s^z2 * t^z4 = F * T^e", "enc1(z2; wy) = By * Y^e", "C^z1 * enc0(z2; w) = A * D^e"
)

type affGCase struct {
	name  string
	lie   affGLie
	check string
}

// affGRanges are lies about sizes.
func affGRanges(p Params, x, y *big.Int) []affGCase {
	wideX, wideY, edgeX, edgeY, edgeZ, zero := pow2(p.L+p.Eps+1), pow2(p.LPrime+p.Eps+1), pow2(p.L+p.Eps), pow2(p.LPrime+p.Eps), pow2(p.pedBits()), new(big.Int)
	still := func(alpha, beta *big.Int) affGLie {
		return oneXY(zero, zero).with(func(l *affGLie) { l.alpha, l.beta = alpha, beta })
	}
	slack := func(gamma, delta *big.Int) affGLie {
		return oneXY(x, y).with(func(l *affGLie) { l.gamma, l.delta = gamma, delta })
	}
	return []affGCase{
		{"honest", oneXY(x, y), ""}, {"honest, negative", oneXY(neg(x), neg(y)), ""},
		{"x = 2^(ℓ+ε+1)", oneXY(wideX, y), affZ1}, {"x = -2^(ℓ+ε+1)", oneXY(neg(wideX), y), affZ1},
		{"y = 2^(ℓ'+ε+1)", oneXY(x, wideY), affZ2}, {"y = -2^(ℓ'+ε+1)", oneXY(x, neg(wideY)), affZ2},
		{"x = 2^(ℓ+ε+1), z1 modulo q", oneXY(wideX, y).with(func(l *affGLie) { l.zx = func(e *big.Int) *big.Int { return new(big.Int).Mod(mul(e, wideX), order) } }), affRingX},
		{"x negative, X of x modulo q", oneXY(neg(x), y).with(func(l *affGLie) { l.x = sub(order, x) }), ""}, // the same scalar
		{"at the upper bounds", still(edgeX, edgeY), ""}, {"at the lower bounds", still(neg(edgeX), neg(edgeY)), ""},
		{"z1 above", still(add(edgeX, one), nil), affZ1}, {"z1 below", still(sub(neg(edgeX), one), nil), affZ1},
		{"z2 above", still(nil, add(edgeY, one)), affZ2}, {"z2 below", still(nil, sub(neg(edgeY), one)), affZ2},
		{"z3, z4 at their bounds", slack(edgeZ, neg(edgeZ)), ""}, {"z3, z4 at their other bounds", slack(neg(edgeZ), edgeZ), ""},
		{"z3 above", slack(add(edgeZ, one), nil), affZ34}, {"z3 below", slack(sub(neg(edgeZ), one), nil), affZ34},
		{"z4 above", slack(nil, add(edgeZ, one)), affZ34}, {"z4 below", slack(nil, sub(neg(edgeZ), one)), affZ34},
	}
}

// affGValues are lies about values: places that should hold the same do not.
func affGValues(t testing.TB, x, y *big.Int) []affGCase {
	t.Helper()
	honest, verifier := oneXY(x, y), parties()[1].own.PublicKey
	another := must[*big.Int](t)(verifier.EncryptPublic(seeded("k of another session", 255), unitOf(verifier.N())))
	n0, n1 := verifier.N().Big(), parties()[0].own.N().Big()
	return []affGCase{
		{"X holds another x", honest.with(func(l *affGLie) { l.x = add(x, one) }), affX}, {"X holds -x", honest.with(func(l *affGLie) { l.x = neg(x) }), affX},
		{"S holds another x", honest.with(func(l *affGLie) { l.s = add(x, one) }), affRingX},
		{"T holds another y", honest.with(func(l *affGLie) { l.t = add(y, one) }), affRingY},
		{"Y holds another y than D", honest.with(func(l *affGLie) { l.y = add(y, one) }), affY},
		{"D holds another y than Y", honest.with(func(l *affGLie) { l.dy = add(y, one) }), affD},
		{"the sign of y is flipped in Y", honest.with(func(l *affGLie) { l.y = neg(y) }), affY},
		{"the sign of y is flipped in D", honest.with(func(l *affGLie) { l.dy = neg(y) }), affD},
		{"Y holds y + N0", honest.with(func(l *affGLie) { l.y = add(y, n0) }), affY}, {"D holds y + N1", honest.with(func(l *affGLie) { l.dy = add(y, n1) }), affD},
		{"D holds another x", honest.with(func(l *affGLie) { l.dx = add(x, one) }), affD}, {"D holds x + q", honest.with(func(l *affGLie) { l.dx = add(x, order) }), affD},
		{"D is made of K of another session", honest.with(func(l *affGLie) { l.from = another }), affD},
		{"D is not made of K", honest.with(func(l *affGLie) { l.from = one }), affD},
	}
}

func TestCheatAffG(t *testing.T) {
	p := small()
	prover, verifier := parties()[0], parties()[1]
	k := must[*big.Int](t)(verifier.own.EncryptPublic(seeded("k", 255), unitOf(verifier.own.N())))
	base := AffGStatement{Key0: verifier.own.PublicKey, Key1: prover.own.PublicKey, Ped: verifier.ped.Pedersen, C: k}
	x, y, eighth := seeded("x", 255), seeded("y", p.LPrime-1), big.NewInt(8)
	for _, c := range append(affGRanges(p, x, y), affGValues(t, x, y)...) {
		s, proof := c.lie.prove(t, p, base)
		wantCheck(t, c.name, p.VerifyAffG(context(), s, proof), c.check)
	}
	// y = 1/8: the plaintext is as large as N, but e/8 is small for one challenge in eight. Only the ring-Pedersen commitment
	// shows it, and only when the prover does not know the key's trapdoor.
	inverse := func(k *paillier.PublicKey) *big.Int { return new(big.Int).ModInverse(eighth, k.N().Big()) }
	fraction := oneXY(x, y).with(func(l *affGLie) {
		l.dy, l.y, l.t, l.zy = inverse(base.Key0), inverse(base.Key1), new(big.Int), over(eighth)
	})
	opened := fraction.with(func(l *affGLie) { l.trapdoor = prover.ped })
	own := base
	own.Ped = prover.ped.Pedersen
	s, proof := opened.prove(t, p, own)
	wantCheck(t, "a fraction, the prover's own ring-Pedersen key", p.VerifyAffG(context(), s, proof), "") // why it must be the verifier's
	s.Ped = verifier.ped.Pedersen
	if failed(p.VerifyAffG(context(), s, proof)) == "" {
		t.Error("a proof under the prover's own ring-Pedersen key passes")
	}
	s, proof = opened.prove(t, p, base)
	wantCheck(t, "a fraction, opened with the prover's own trapdoor", p.VerifyAffG(context(), s, proof), affRingX)
	s, proof = fraction.prove(t, p, base)
	wantCheck(t, "a fraction", p.VerifyAffG(context(), s, proof), affRingY)
}

// unitCase is a place that must hold a unit below a modulus.
type unitCase struct {
	place  reflect.Value
	n, f   *big.Int // the modulus and one of its factors
	verify func() error
	check  string
	filled bool // a decoder fills the place, and it is hashed before it is looked at
}

// notUnits tries every number that is no canonical unit in a place.
func notUnits(t *testing.T, name string, c unitCase) {
	t.Helper()
	kept := c.place.Interface().(*big.Int)
	for what, v := range map[string]*big.Int{
		"zero": new(big.Int), "a factor": c.f, "a multiple of a factor": new(big.Int).Mod(mul(kept, c.f), c.n), "the modulus": c.n,
		"above the modulus": add(kept, c.n), "negative": sub(kept, c.n), "nothing": nil,
	} {
		if v == nil && c.filled {
			continue
		}
		c.place.Set(reflect.ValueOf(v))
		wantCheck(t, name+" is "+what, c.verify(), c.check)
	}
	c.place.Set(reflect.ValueOf(kept))
}

// Ciphertexts, commitments and responses that are not units, or not canonical. The prover knows its own factors; that it knows
// the verifier's, too, makes it only stronger.
func TestCheatNotUnits(t *testing.T) {
	p := small()
	prover, verifier := parties()[0], parties()[1]
	f0, f1, fp := testPrime(4).Reveal(), testPrime(0).Reveal(), testPrime(6).Reveal()
	nn0, nn1, n0, n1, np := verifier.own.NN().Big(), prover.own.NN().Big(), verifier.own.N().Big(), prover.own.N().Big(), verifier.ped.N().Big()
	at := func(v any, field string) reflect.Value { return reflect.ValueOf(v).Elem().FieldByName(field) }

	es, ep := encElgLie{c: four, x: four, s: four, z: times(four)}.prove(t, p, prover.own.PublicKey, verifier.ped.Pedersen)
	enc := func() error { return p.VerifyEncElg(context(), es, ep) }
	for field, c := range map[string]unitCase{
		"C": {at(&es, "C"), nn1, f1, enc, "C is a unit mod N0²", false}, "D": {at(ep, "D"), nn1, f1, enc, "D is a unit mod N0²", false}, "S": {at(ep, "S"), np, fp, enc, "S and T are units mod N̂", false},
		"T": {at(ep, "T"), np, fp, enc, "S and T are units mod N̂", false}, "z2": {at(ep, "Z2"), n1, f1, enc, "z2 is a unit mod N0", false},
	} {
		notUnits(t, "enc-elg: "+field, c)
	}
	wantCheck(t, "enc-elg restored", enc(), "")

	as, ap := oneXY(four, four).prove(t, p, AffGStatement{Key0: verifier.own.PublicKey, Key1: prover.own.PublicKey, Ped: verifier.ped.Pedersen, C: es.C})
	aff := func() error { return p.VerifyAffG(context(), as, ap) }
	const ring, roots = "E, S, F and T are units mod N̂", "w and wy are units"
	for field, c := range map[string]unitCase{
		"C": {at(&as, "C"), nn0, f0, aff, "C is a unit mod N0²", false}, "D": {at(&as, "D"), nn0, f0, aff, "D is a unit mod N0²", false}, "A": {at(ap, "A"), nn0, f0, aff, "A is a unit mod N0²", false},
		"Y": {at(&as, "Y"), nn1, f1, aff, "Y is a unit mod N1²", false}, "By": {at(ap, "By"), nn1, f1, aff, "By is a unit mod N1²", false}, "E": {at(ap, "E"), np, fp, aff, ring, false},
		"S": {at(ap, "S"), np, fp, aff, ring, false}, "F": {at(ap, "F"), np, fp, aff, ring, false}, "T": {at(ap, "T"), np, fp, aff, ring, false}, "w": {at(ap, "W"), n0, f0, aff, roots, false}, "wy": {at(ap, "Wy"), n1, f1, aff, roots, false},
	} {
		notUnits(t, "aff-g: "+field, c)
	}
	wantCheck(t, "aff-g restored", aff(), "")
	fs, fac := facLie{n: n1, a: f1, b: testPrime(1).Reveal()}.prove(t, p, verifier.ped.Pedersen)
	for _, field := range []string{"P", "Q", "A", "B", "T"} {
		verify := func() error { return p.VerifyFac(context(), fs, fac) }
		notUnits(t, "fac: "+field, unitCase{at(fac, field), np, fp, verify, "P, Q, A, B and T are units mod N̂", false})
	}
	// All zeros satisfy both sides of every equation in the ring.
	ep.S, ep.T, ep.D, ep.Z2, es.C = new(big.Int), new(big.Int), new(big.Int), new(big.Int), new(big.Int)
	wantCheck(t, "zeros", enc(), "C is a unit mod N0²")
}
