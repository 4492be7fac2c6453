package zk

import (
	"math/big"
	"testing"

	"chancery.dev/internal/paillier"
)

// Πfac.

// facLie is what a cheating prover shows of N: P and Q hold a and b, the responses are made for shownA and shownB.
type facLie struct {
	n, a, b        *big.Int
	shownA, shownB *big.Int                 // nil where the responses are honest
	trapdoor       *paillier.PedersenSecret // opens commitments to whatever is wanted
}

func (l facLie) prove(t testing.TB, p Params, ped *paillier.Pedersen) (FacStatement, *Fac) {
	t.Helper()
	s := FacStatement{must[*paillier.PublicKey](t)(paillier.NewPublicKey(l.n, p.Modulus)), ped}
	com := func(x, y *big.Int) *big.Int { return must[*big.Int](t)(ped.Combine(x, y)) }
	alpha, beta, mu, nu := signedBelow(p.facZ()-1), signedBelow(p.facZ()-1), signedBelow(p.L+p.Modulus), signedBelow(p.L+p.Modulus)
	x, y, r := signedBelow(p.pedBits()-2), signedBelow(p.pedBits()-2), signedBelow(p.facV()-2)
	if l.trapdoor != nil {
		return l.equivocate(p, s, com, mu, nu, x, y, r)
	}
	a, b := l.a, l.b
	if l.shownA != nil {
		a = l.shownA
	}
	if l.shownB != nil {
		b = l.shownB
	}
	out := &Fac{P: com(l.a, mu), Q: com(l.b, nu), A: com(alpha, x), B: com(beta, y), T: com(mul(l.b, alpha), add(mul(nu, alpha), r))}
	e := p.facChallenge(context(), s, out)
	out.Z1, out.Z2 = add(alpha, mul(e, a)), add(beta, mul(e, b))
	out.W1, out.W2 = add(x, mul(e, mu)), add(y, mul(e, nu))
	out.V = sub(r, mul(e, mul(nu, a)))
	return s, out
}

// equivocate commits to nothing, by powers of t alone, and chooses z1 and z2 when it knows the challenge: with λ and φ(N̂) the
// other responses follow.
func (l facLie) equivocate(p Params, s FacStatement, com func(x, y *big.Int) *big.Int, mu, nu, x, y, r *big.Int) (FacStatement, *Fac) {
	lambda, phi, zero := l.trapdoor.Lambda().Reveal(), l.trapdoor.Phi().Reveal(), new(big.Int)
	out := &Fac{P: com(zero, mu), Q: com(zero, nu), A: com(zero, x), B: com(zero, y), T: com(zero, r), Z1: signedBelow(p.facZ()), Z2: signedBelow(p.facZ())}
	e := p.facChallenge(context(), s, out)
	open := func(v, z *big.Int) *big.Int { return v.Mod(sub(v, mul(lambda, z)), phi) }
	out.W1, out.W2 = open(add(x, mul(e, mu)), out.Z1), open(add(y, mul(e, nu)), out.Z2)
	v := sub(add(r, mul(mul(e, lambda), l.n)), mul(nu, out.Z1))
	out.V = v.Mod(v, phi)
	return s, out
}

func TestCheatFac(t *testing.T) {
	p := small()
	verifier, own := parties()[1].ped.Pedersen, parties()[0].ped
	const bound, first, second, third = "z1 and z2 within ±2^(ℓ+ε)√N0", "s^z1 * t^w1 = A * P^e", "s^z2 * t^w2 = B * Q^e", "Q^z1 * t^v = T * R^e"
	pair := func(size int) (a, b, n *big.Int) { // that b is a prime as well is not what Πfac shows
		a, b = seeded("factor", size), seeded("cofactor", p.Modulus-size)
		a.SetBit(a, 0, 1)
		b.SetBit(b, 0, 1)
		return a, b, mul(a, b)
	}
	fp, fq := testPrime(0).Reveal(), testPrime(1).Reveal()
	n := mul(fp, fq)
	a64, b64, n64 := pair(64)
	a256, b256, n256 := pair(256)
	a440, b440, n440 := pair(440) // what the bound is known to exclude begins below √N0 / 2^(ℓ+ε)
	a960, b960, n960 := pair(p.Modulus/2 - p.L + 1)
	for _, c := range []struct {
		name  string
		lie   facLie
		ped   *paillier.Pedersen
		check string
	}{
		{"honest", facLie{n: n, a: fp, b: fq}, verifier, ""},
		{"honest, both negative", facLie{n: n, a: neg(fp), b: neg(fq)}, verifier, ""},
		{"q just below 2^ℓ√N0", facLie{n: n960, a: a960, b: b960}, verifier, ""},
		{"a factor of 64 bits", facLie{n: n64, a: a64, b: b64}, verifier, bound},
		{"a factor of 64 bits, the other way around", facLie{n: n64, a: b64, b: a64}, verifier, bound},
		{"a factor of 64 bits, negative", facLie{n: n64, a: neg(a64), b: neg(b64)}, verifier, bound},
		{"a factor of 256 bits", facLie{n: n256, a: a256, b: b256}, verifier, bound},
		{"a factor of 440 bits", facLie{n: n440, a: a440, b: b440}, verifier, bound},
		{"1 and N", facLie{n: n, a: one, b: n}, verifier, bound},
		{"N and 1", facLie{n: n, a: n, b: one}, verifier, bound},
		{"factors of another modulus", facLie{n: n64, a: fp, b: fq}, verifier, third},
		{"factors of -N", facLie{n: n, a: neg(fp), b: fq}, verifier, third},
		{"nothing as factors", facLie{n: n64, a: new(big.Int), b: new(big.Int)}, verifier, third},
		{"large factor in Q, small one shown", facLie{n: n64, a: a64, b: b64, shownB: a64}, verifier, second},
		{"large factor in P, small one shown", facLie{n: n64, a: b64, b: a64, shownA: a64}, verifier, first},
		{"the prover's own ring-Pedersen key", facLie{n: n64, trapdoor: own}, own.Pedersen, ""}, // why it must be the verifier's
		{"opened with the prover's own trapdoor", facLie{n: n64, trapdoor: own}, verifier, first},
	} {
		s, proof := c.lie.prove(t, p, c.ped)
		wantCheck(t, c.name, p.VerifyFac(context(), s, proof), c.check)
	}
}

// Πprm.

// prmKeys are ring-Pedersen keys whose s is, or is not, a power of t. The cheating prover of the others knows the factors.
func prmKeys(t testing.TB, p Params) map[string]*paillier.Pedersen {
	t.Helper()
	fp, fq := blum("prm p", p.Modulus/2), blum("prm q", p.Modulus/2)
	n := mul(fp, fq)
	square := func(v int64) *big.Int { return new(big.Int).Exp(big.NewInt(v), big.NewInt(2), n) }
	base := square(12345)
	power := new(big.Int).Exp(base, seeded("lambda", p.Modulus), n)
	low := shapeOf(fp, fq).join([]*big.Int{base, one}) // 1 modulo q
	mixed := shapeOf(fp, fq).join([]*big.Int{power, sub(fq, power)})
	key := func(s, base *big.Int) *paillier.Pedersen {
		return must[*paillier.Pedersen](t)(paillier.NewPedersen(n, s, base, p.Modulus))
	}
	return map[string]*paillier.Pedersen{
		"s = -t^λ": key(sub(n, power), base), "s = -t^λ modulo one factor": key(mixed, base), "t is 1 modulo one factor": key(power, low),
		"s is minus another square": key(sub(n, big.NewInt(4)), base), "λ not known": key(power, base),
	}
}

// simulate answers each repetition for a guess of its bit.
func simulate(t testing.TB, ped *paillier.Pedersen, guess []bool) *Prm {
	t.Helper()
	out := new(Prm)
	inverse := must[*big.Int](t)(ped.N().Inverse(ped.S()))
	for _, g := range guess {
		z := unitOf(ped.N())
		a := must[*big.Int](t)(ped.Combine(new(big.Int), z))
		if g {
			a = ped.N().Mul(a, inverse)
		}
		out.A, out.Z = append(out.A, a), append(out.Z, z)
	}
	return out
}

func equalBits(a, b []bool) int {
	n := 0
	for i := range a {
		if a[i] == b[i] {
			n++
		}
	}
	return n
}

func TestCheatPrm(t *testing.T) {
	p := modParams()
	few := p
	few.Reps = 3
	const check = "t^z = A * s^e"
	for name, ped := range prmKeys(t, p) {
		for how, guess := range map[string]func(i int) bool{
			"zeros": func(int) bool { return false }, "ones": func(int) bool { return true }, "alternating": func(i int) bool { return i%2 == 0 },
		} {
			guesses := make([]bool, p.Reps)
			for i := range guesses {
				guesses[i] = guess(i)
			}
			proof := simulate(t, ped, guesses)
			if right := equalBits(guesses, p.prmChallenge(context(), ped, proof.A)); right < 20 || right > 108 {
				t.Errorf("%s, %s: %d of 128 repetitions are right", name, how, right)
			}
			wantCheck(t, name+", bits guessed: "+how, p.VerifyPrm(context(), ped, proof), check)
			// With few repetitions the same prover draws again until all guesses are right, and passes.
			for {
				proof = simulate(t, ped, guesses[:few.Reps])
				if equalBits(guesses[:few.Reps], few.prmChallenge(context(), ped, proof.A)) == few.Reps {
					break
				}
			}
			wantCheck(t, name+", all guesses right", few.VerifyPrm(context(), ped, proof), "")
		}
	}
	n := parties()[0].ped.N()
	for name, c := range map[string][2]*big.Int{"t is one": {four, one}, "s is one": {one, four}, "both are one": {one, one}, "s is t": {four, four}, "s is -1": {sub(n.Big(), one), four}} {
		if _, err := paillier.NewPedersen(n.Big(), c[0], c[1], n.Big().BitLen()); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// Each of the 128 repetitions counts by itself, and responses have one form.
func TestCheatPrmRepetitions(t *testing.T) {
	p := modParams()
	fp, fq := blum("prm p", p.Modulus/2), blum("prm q", p.Modulus/2)
	n, phi := mul(fp, fq), mul(sub(fp, one), sub(fq, one))
	base, lambda := big.NewInt(12345*12345), seeded("lambda", p.Modulus)
	ped := must[*paillier.Pedersen](t)(paillier.NewPedersen(n, new(big.Int).Exp(base, lambda, n), base, p.Modulus))
	honest := simulate(t, ped, make([]bool, p.Reps))
	for i, e := range p.prmChallenge(context(), ped, honest.A) {
		if e {
			honest.Z[i] = new(big.Int).Mod(add(honest.Z[i], lambda), phi)
		}
	}
	wantCheck(t, "honest", p.VerifyPrm(context(), ped, honest), "")
	for i := range honest.Z {
		bad := clone(honest).(*Prm)
		bad.Z[i].Add(bad.Z[i], one)
		if bad.Z[i].Cmp(n) < 0 {
			wantCheck(t, "one repetition is wrong", p.VerifyPrm(context(), ped, bad), "t^z = A * s^e")
		}
	}
	const missing, unit, low = "every repetition is there", "A is a unit mod N̂", "0 <= z < N̂"
	for name, c := range map[string]struct {
		change func(*Prm)
		check  string
	}{
		"none": {func(x *Prm) { x.A, x.Z = nil, nil }, missing}, "too few": {func(x *Prm) { x.A, x.Z = x.A[1:], x.Z[1:] }, missing},
		"too many": {func(x *Prm) { x.A, x.Z = append(x.A, one), append(x.Z, new(big.Int)) }, missing}, "z too few": {func(x *Prm) { x.Z = x.Z[1:] }, missing},
		"A too few": {func(x *Prm) { x.A = x.A[1:] }, missing}, "A too many": {func(x *Prm) { x.A = append(x.A, one) }, missing},
		"A is zero": {func(x *Prm) { x.A[127] = new(big.Int) }, unit}, "A is a factor": {func(x *Prm) { x.A[127] = fp }, unit}, "A above N̂": {func(x *Prm) { x.A[127] = add(x.A[127], n) }, unit},
		"z negative": {func(x *Prm) { x.Z[127] = sub(x.Z[127], phi) }, low}, "z is -1": {func(x *Prm) { x.Z[127] = big.NewInt(-1) }, low}, "z is N̂": {func(x *Prm) { x.Z[127] = n }, low},
		"z just below N̂": {func(x *Prm) { x.Z[127] = sub(n, one) }, "t^z = A * s^e"}, "z is zero": {func(x *Prm) { x.Z[127] = new(big.Int) }, "t^z = A * s^e"},
	} {
		bad := clone(honest).(*Prm)
		c.change(bad)
		wantCheck(t, name, p.VerifyPrm(context(), ped, bad), c.check)
	}
}
