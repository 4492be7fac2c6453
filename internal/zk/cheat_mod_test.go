package zk

import (
	"math/big"
	"testing"

	"chancery.dev/internal/paillier"
)

// modParams have many repetitions and small moduli: the shapes of moduli are tested here, not their sizes.
func modParams() Params {
	p := small()
	p.Reps, p.Modulus = 128, 512
	return p
}

// shape is the factorization of a modulus, which the cheating prover knows: primes with their powers.
type shape []struct {
	p *big.Int
	k int
}

var four = big.NewInt(4)

func blum(name string, size int) *big.Int { return seededPrime(name, size, big.NewInt(3), four) }

func shapeOf(primes ...*big.Int) shape {
	var out shape
next:
	for _, p := range primes {
		for i := range out {
			if out[i].p.Cmp(p) == 0 {
				out[i].k++
				continue next
			}
		}
		out = append(out, struct {
			p *big.Int
			k int
		}{p, 1})
	}
	return out
}

// power is the i-th prime power.
func (s shape) power(i int) *big.Int {
	return new(big.Int).Exp(s[i].p, big.NewInt(int64(s[i].k)), nil)
}

func (s shape) n() *big.Int {
	n := big.NewInt(1)
	for i := range s {
		n.Mul(n, s.power(i))
	}
	return n
}

func (s shape) key(t testing.TB, p Params) *paillier.PublicKey {
	t.Helper()
	return must[*paillier.PublicKey](t)(paillier.NewPublicKey(s.n(), p.Modulus))
}

// join is the number that has the given residues modulo the prime powers.
func (s shape) join(residues []*big.Int) *big.Int {
	n, out := s.n(), new(big.Int)
	for i, r := range residues {
		rest := new(big.Int).Quo(n, s.power(i))
		out.Add(out, mul(mul(r, rest), new(big.Int).ModInverse(rest, s.power(i))))
	}
	return out.Mod(out, n)
}

// fourth is a fourth root of y, where there is one: of square roots modulo each prime, lifted to the prime's power by Newton's
// iteration.
func (s shape) fourth(y *big.Int) *big.Int {
	var residues []*big.Int
	for i, f := range s {
		var root *big.Int
		for _, sign := range []int64{1, -1} {
			half := new(big.Int).ModSqrt(new(big.Int).Mod(y, f.p), f.p)
			if half == nil {
				return nil
			}
			if root == nil {
				root = new(big.Int).ModSqrt(half.Mod(half.Mul(half, big.NewInt(sign)), f.p), f.p)
			}
		}
		if root == nil {
			return nil
		}
		m := s.power(i)
		for range f.k - 1 { // x - (x^4 - y) / 4x³
			slope := new(big.Int).ModInverse(mul(four, new(big.Int).Exp(root, big.NewInt(3), m)), m)
			root.Mod(root.Sub(root, slope.Mul(slope, sub(new(big.Int).Exp(root, four, m), y))), m)
		}
		residues = append(residues, root)
	}
	return s.join(residues)
}

// root is the N-th root of y modulo every prime power that has one, anything modulo the others.
func (s shape) root(y *big.Int) *big.Int {
	var residues []*big.Int
	for i, f := range s {
		r := big.NewInt(1)
		order := mul(new(big.Int).Quo(s.power(i), f.p), sub(f.p, one))
		if d := new(big.Int).ModInverse(s.n(), order); d != nil {
			r = new(big.Int).Exp(y, d, s.power(i))
		}
		residues = append(residues, r)
	}
	return s.join(residues)
}

// prove answers every repetition that can be answered with this w, and says how many those are.
func (s shape) prove(p Params, key *paillier.PublicKey, w *big.Int) (*Mod, int) {
	out, answered := &Mod{W: w}, 0
	for _, y := range p.modChallenges(context(), key, w) {
		x, a, b := big.NewInt(1), false, false
		for i := range 4 {
			if root := s.fourth(turned(key.N(), y, w, i&1 == 1, i&2 == 2)); root != nil && key.N().IsUnit(root) {
				x, a, b = root, i&1 == 1, i&2 == 2
				answered++
				break
			}
		}
		out.X, out.Z, out.A, out.B = append(out.X, x), append(out.Z, s.root(y)), append(out.A, a), append(out.B, b)
	}
	return out, answered
}

// best tries several w of the wanted Jacobi symbol and keeps the proof with the most answers.
func (s shape) best(t testing.TB, p Params, symbol int) (*Mod, int) {
	t.Helper()
	key := s.key(t, p)
	var out *Mod
	most := -1
	for w, tries := int64(2), 0; tries < 4; w++ {
		if big.Jacobi(big.NewInt(w), s.n()) != symbol {
			continue
		}
		tries++
		if proof, answered := s.prove(p, key, big.NewInt(w)); answered > most {
			out, most = proof, answered
		}
	}
	return out, most
}

// What N must be: a product of two primes, both 3 modulo 4, without common factor with φ(N).
func TestCheatModShapes(t *testing.T) {
	p := modParams()
	const fourth, nth = "x^4 = (-1)^a * w^b * y", "z^N = y"
	narrow := seededPrime("gcd", 168, big.NewInt(3), four)
	wide := seededPrime("gcd", 344, new(big.Int).Mod(add(one, mul(narrow, big.NewInt(2))), mul(four, narrow)), mul(four, narrow)) // 1 mod narrow
	var sixteen []*big.Int
	for i := range 16 {
		sixteen = append(sixteen, blum("sixteen"+string(rune('a'+i)), 32))
	}
	for _, c := range []struct {
		name     string
		s        shape
		check    string
		from, to int // how many of 128 repetitions can be answered with a fourth root
	}{
		{"two primes", shapeOf(blum("p", 256), blum("q", 256)), "", 128, 128},
		{"two primes of different sizes", shapeOf(blum("p", 150), blum("q", 362)), "", 128, 128},
		{"three primes", shapeOf(blum("p", 170), blum("q", 170), blum("r", 171)), fourth, 40, 90},
		{"sixteen primes", shapeOf(sixteen...), fourth, 0, 4},
		{"p²q", shapeOf(blum("p", 170), blum("p", 170), blum("q", 171)), nth, 128, 128},
		{"p³", shapeOf(blum("p", 171), blum("p", 171), blum("p", 171)), nth, 128, 128},
		{"p = 1 mod 4", shapeOf(seededPrime("p", 256, big.NewInt(5), big.NewInt(8)), blum("q", 256)), fourth, 40, 90},
		{"p = 1 mod 8", shapeOf(seededPrime("p", 256, one, big.NewInt(8)), blum("q", 256)), fourth, 40, 90},
		{"both 5 mod 8", shapeOf(seededPrime("p", 256, big.NewInt(5), big.NewInt(8)), seededPrime("q", 256, big.NewInt(5), big.NewInt(8))), fourth, 15, 60},
		{"a factor 3", shapeOf(big.NewInt(3), seededPrime("q", 510, big.NewInt(11), big.NewInt(12))), "x and z are units", 60, 110}, // a third of all y are no units
		{"p divides q-1", shapeOf(narrow, wide), nth, 128, 128},
	} {
		size := p
		size.Modulus = c.s.n().BitLen()
		proof, answered := c.s.best(t, size, -1)
		if answered < c.from || answered > c.to {
			t.Errorf("%s: the prover answers %d of 128", c.name, answered)
		}
		wantCheck(t, c.name, size.VerifyMod(context(), c.s.key(t, size), proof), c.check)
	}
	prime := shapeOf(blum("prime", 512))
	proof, _ := prime.best(t, p, -1)
	wantCheck(t, "prime", p.VerifyMod(context(), prime.key(t, p), proof), "N is composite")
	square := shapeOf(blum("p", 256), blum("p", 256)) // no w has the symbol -1
	proof, _ = square.best(t, p, 1)
	wantCheck(t, "p²", p.VerifyMod(context(), square.key(t, p), proof), "w has Jacobi symbol -1")
}

// An even N has no key. Behind the constructor the verifier looks again.
func TestCheatModEven(t *testing.T) {
	p := modParams()
	s := shapeOf(blum("p", 256), blum("q", 256))
	if _, err := paillier.NewPublicKey(mul(blum("p", 511), big.NewInt(2)), 512); err == nil {
		t.Error("an even modulus was taken")
	}
	key := s.key(t, p)
	proof, _ := s.best(t, p, -1)
	n := key.N().Big()
	n.SetBit(n, 0, 0)
	wantCheck(t, "even", p.VerifyMod(context(), key, proof), "N is odd")
}

// What w must be.
func TestCheatModW(t *testing.T) {
	p := modParams()
	s := shapeOf(blum("p", 256), blum("q", 256))
	key, n := s.key(t, p), s.n()
	const unit, symbol = "gcd(w, N) = 1", "w has Jacobi symbol -1"
	good := big.NewInt(2)
	for big.Jacobi(good, n) != -1 {
		good.Add(good, one)
	}
	square := new(big.Int).Exp(big.NewInt(12345), big.NewInt(2), n)
	for _, c := range []struct {
		name  string
		w     *big.Int
		check string
	}{
		{"good", good, ""}, {"zero", new(big.Int), unit}, {"p", s[0].p, unit}, {"a multiple of q", mul(s[1].p, big.NewInt(6)), unit},
		{"N", n, unit}, {"above N", add(n, good), unit}, {"negative", neg(good), unit}, {"nothing", nil, unit},
		{"one", one, symbol}, {"minus one", sub(n, one), symbol}, {"a square", square, symbol}, {"a square negated", sub(n, square), symbol},
	} {
		w := c.w
		if w == nil {
			w = good
		}
		proof, _ := s.prove(p, key, w)
		proof.W = c.w
		wantCheck(t, "w is "+c.name, p.VerifyMod(context(), key, proof), c.check)
	}
}

// CVE-2025-66016: with w = 0 every y can be turned into zero, whose fourth root is zero, so that a modulus of sixteen small
// primes passes all equations. What stands in the way is the check of w, and behind it that of x.
func TestCheatModForgedFourthRoots(t *testing.T) {
	p := modParams()
	var primes []*big.Int
	for i := range 16 {
		primes = append(primes, blum("cve"+string(rune('a'+i)), 32))
	}
	s := shapeOf(primes...)
	key, n := s.key(t, p), s.n()
	most := new(big.Int).Quo(n, primes[15]) // zero modulo fifteen primes
	for _, w := range []*big.Int{new(big.Int), n, most} {
		forged := &Mod{W: w}
		for _, y := range p.modChallenges(context(), key, w) {
			forged.X, forged.Z = append(forged.X, new(big.Int)), append(forged.Z, s.root(y))
			forged.A, forged.B = append(forged.A, false), append(forged.B, true)
		}
		for i, y := range p.modChallenges(context(), key, w) {
			if new(big.Int).Exp(forged.Z[i], n, n).Cmp(y) != 0 {
				t.Fatal("the forger has no N-th root")
			}
			if w != most && turned(key.N(), y, w, false, true).Sign() != 0 {
				t.Fatal("the forger's fourth root is none")
			}
		}
		wantCheck(t, "forged fourth roots", p.VerifyMod(context(), key, forged), "gcd(w, N) = 1")
		w = big.NewInt(2)
		for big.Jacobi(w, n) != -1 {
			w.Add(w, one)
		}
		forged.W = w
		wantCheck(t, "zeros as fourth roots", p.VerifyMod(context(), key, forged), "x and z are units")
	}
}

// Lists of every wrong length, and repetitions that stand in for each other.
func TestCheatModRepetitions(t *testing.T) {
	p := modParams()
	s := shapeOf(blum("p", 256), blum("q", 256))
	key := s.key(t, p)
	honest, _ := s.best(t, p, -1)
	const missing, units, fourth, nth = "every repetition is there", "x and z are units", "x^4 = (-1)^a * w^b * y", "z^N = y"
	for name, c := range map[string]struct {
		change func(*Mod)
		check  string
	}{
		"honest":      {func(*Mod) {}, ""},
		"none":        {func(m *Mod) { m.X, m.Z, m.A, m.B = nil, nil, nil, nil }, missing},
		"one":         {func(m *Mod) { m.X, m.Z, m.A, m.B = m.X[:1], m.Z[:1], m.A[:1], m.B[:1] }, missing},
		"one too few": {func(m *Mod) { m.X, m.Z, m.A, m.B = m.X[1:], m.Z[1:], m.A[1:], m.B[1:] }, missing},
		"one too many": {func(m *Mod) {
			m.X, m.Z, m.A, m.B = append(m.X, one), append(m.Z, one), append(m.A, true), append(m.B, true)
		}, missing},
		"x too few":     {func(m *Mod) { m.X = m.X[1:] }, missing},
		"z too many":    {func(m *Mod) { m.Z = append(m.Z, one) }, missing},
		"a is missing":  {func(m *Mod) { m.A = nil }, missing},
		"b too few":     {func(m *Mod) { m.B = m.B[1:] }, missing},
		"x repeated":    {func(m *Mod) { m.X[127] = m.X[0] }, fourth},
		"all x the one": {func(m *Mod) { fill(m.X) }, fourth},
		"z repeated":    {func(m *Mod) { m.Z[127] = m.Z[0] }, nth},
		"all z the one": {func(m *Mod) { fill(m.Z) }, nth},
		"exchanged": {func(m *Mod) {
			m.X[0], m.X[1], m.A[0], m.A[1], m.B[0], m.B[1] = m.X[1], m.X[0], m.A[1], m.A[0], m.B[1], m.B[0]
		}, fourth},
		"z exchanged":   {func(m *Mod) { m.Z[0], m.Z[1] = m.Z[1], m.Z[0] }, nth},
		"z above N":     {func(m *Mod) { m.Z[127] = add(m.Z[127], key.N().Big()) }, units},
		"x above N":     {func(m *Mod) { m.X[127] = add(m.X[127], key.N().Big()) }, units},
		"x is a factor": {func(m *Mod) { m.X[127] = s[0].p }, units},
		"z is a factor": {func(m *Mod) { m.Z[127] = s[1].p }, units},
	} {
		bad := clone(honest).(*Mod)
		c.change(bad)
		wantCheck(t, name, p.VerifyMod(context(), key, bad), c.check)
	}
	// Fewer repetitions by agreement are other parameters, and the proof is bound to them.
	fewer := p
	fewer.Reps = 64
	cut := clone(honest).(*Mod)
	cut.X, cut.Z, cut.A, cut.B = cut.X[:64], cut.Z[:64], cut.A[:64], cut.B[:64]
	wantCheck(t, "cut to other parameters", fewer.VerifyMod(context(), key, cut), fourth)
}

func fill(v []*big.Int) {
	for i := range v {
		v[i] = v[0]
	}
}
