package paillier

import (
	"math/big"
	"testing"
	"testing/cryptotest"

	"chancery.dev/internal/arith"
)

func offset(v *big.Int, d int64) *big.Int { return new(big.Int).Add(v, big.NewInt(d)) }

// Plaintexts at the ends of the range. N is odd: N/2 rounds to h = (N-1)/2, and the range is -h to h. One beyond either end
// comes out at the other.
func TestPlaintextsAtTheEnds(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 1)
	k := newKey(t, 256)
	public := others(t, k)
	n := k.N().Big()
	h := new(big.Int).Rsh(n, 1)
	low := new(big.Int).Neg(h)
	for name, c := range map[string]struct{ plain, want *big.Int }{
		"-N/2": {low, low}, "-N/2 + 1": {offset(low, 1), offset(low, 1)}, "N/2 - 1": {offset(h, -1), offset(h, -1)}, "N/2": {h, h},
		"N/2 + 1": {offset(h, 1), low}, "-N/2 - 1": {offset(low, -1), h}, "-1": {big.NewInt(-1), big.NewInt(-1)}, "0": {new(big.Int), new(big.Int)}, "1": {one, one},
		"N": {n, new(big.Int)}, "-N": {new(big.Int).Neg(n), new(big.Int)}, "N - 1": {offset(n, -1), big.NewInt(-1)}, "N + 1": {offset(n, 1), one},
		"N²": {k.NN().Big(), new(big.Int)}, "-N² - 1": {offset(new(big.Int).Neg(k.NN().Big()), -1), big.NewInt(-1)},
	} {
		own, err := k.EncryptOwn(arith.NewInt(c.plain), k.NewOwnNonce())
		if err != nil {
			t.Fatal(err)
		}
		nonce, err := public.NewNonce()
		if err != nil {
			t.Fatal(err)
		}
		shown, err := public.EncryptPublic(c.plain, nonce.Root.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		bare := k.NN().Mul(public.embed(c.plain), one) // with the nonce 1
		for i, cipher := range []*big.Int{own, public.Encrypt(arith.NewInt(c.plain), nonce.Power), shown, bare} {
			if !public.IsCiphertext(cipher) {
				t.Errorf("%s, way %d: no ciphertext", name, i)
			}
			if m, err := k.Decrypt(cipher); err != nil || m.Reveal().Cmp(c.want) != 0 {
				t.Errorf("%s, way %d: decrypts to another value: %v", name, i, err)
			}
		}
	}
}

// The owner's way modulo the factors gives what everybody computes, for arguments of every size, sign and shape that a
// verifier's equations can have.
func TestOwnersArithmeticAgreesEverywhere(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 2)
	k := newKey(t, 256)
	public := others(t, k)
	p, q := k.Factors()
	n, nn := k.N().Big(), k.NN().Big()
	roots := []*big.Int{one, big.NewInt(2), offset(n, -1), p.Reveal(), q.Reveal(), new(big.Int).Lsh(p.Reveal(), 1), new(big.Int), n, offset(n, 1), offset(nn, -1), nn, big.NewInt(-1), new(big.Int).Neg(p.Reveal())}
	plains := []*big.Int{new(big.Int), one, big.NewInt(-1), n, new(big.Int).Neg(n), new(big.Int).Lsh(one, 5000), new(big.Int).Neg(new(big.Int).Lsh(one, 5000))}
	for _, w := range roots {
		for _, x := range plains {
			mine, err1 := k.EncryptPublic(x, w)
			theirs, err2 := public.EncryptPublic(x, w)
			if err1 != nil || err2 != nil || mine.Cmp(theirs) != 0 {
				t.Errorf("enc(%x; %x) is %x for the owner, %x for others: %v, %v", x, w, mine, theirs, err1, err2)
			}
		}
	}
	own, err := GeneratePedersen(p, q)
	if err != nil {
		t.Fatal(err)
	}
	ped, err := NewPedersen(n, own.S(), own.T(), 256)
	if err != nil {
		t.Fatal(err)
	}
	phi, lambda := own.Phi().Reveal(), own.Lambda().Reveal()
	exponents := append(plains, phi, new(big.Int).Neg(phi), offset(phi, -1), offset(p.Reveal(), -1), lambda, new(big.Int).Neg(lambda))
	for _, x := range exponents {
		for _, y := range exponents {
			mine, err1 := own.Combine(x, y)
			theirs, err2 := ped.Combine(x, y)
			if err1 != nil || err2 != nil || mine.Cmp(theirs) != 0 {
				t.Errorf("s^%x * t^%x is %x for the owner, %x for others: %v, %v", x, y, mine, theirs, err1, err2)
			}
		}
	}
}

// Commit takes exponents of the declared size, both ends included, and refuses larger ones rather than commit to others.
func TestCommitHoldsTheDeclaredSize(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 3)
	own, err := GeneratePedersen(safePrime(t, 128), safePrime(t, 128))
	if err != nil {
		t.Fatal(err)
	}
	edge := new(big.Int).Lsh(one, 100)
	for name, c := range map[string]struct {
		x, y  *big.Int
		taken bool
	}{
		"zeros": {new(big.Int), new(big.Int), true}, "largest": {offset(edge, -1), offset(edge, -1), true}, "smallest": {new(big.Int).Neg(edge), new(big.Int).Neg(edge), true},
		"x above": {edge, one, false}, "y above": {one, edge, false}, "x below": {offset(new(big.Int).Neg(edge), -1), one, false}, "y below": {one, offset(new(big.Int).Neg(edge), -1), false},
	} {
		got, err := own.Commit(arith.NewInt(c.x), 100, arith.NewInt(c.y), 100)
		if (err == nil) != c.taken {
			t.Errorf("%s: %v", name, err)
		}
		if want, err := own.Combine(c.x, c.y); c.taken && (err != nil || want.Cmp(got) != 0) {
			t.Errorf("%s: another commitment: %v", name, err)
		}
	}
}

// What is no ciphertext is not decrypted, and never with a wrong result: the numbers that share a factor with N among it.
func TestDecryptRefuses(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 4)
	k := newKey(t, 256)
	p, q := k.Factors()
	c, err := k.EncryptOwn(arith.NewInt(big.NewInt(42)), k.NewOwnNonce())
	if err != nil {
		t.Fatal(err)
	}
	nn := k.NN().Big()
	for name, v := range map[string]*big.Int{
		"p": p.Reveal(), "q²": q.Mul(q).Reveal(), "a multiple of p": k.NN().Mul(c, p.Reveal()), "a multiple of N": new(big.Int).Mul(k.N().Big(), big.NewInt(77)),
		"above N²": new(big.Int).Add(c, nn), "negative": new(big.Int).Sub(c, nn), "nothing": nil,
	} {
		if _, err := k.Decrypt(v); err == nil {
			t.Errorf("%s was decrypted", name)
		}
	}
	if m, err := k.Decrypt(offset(nn, -1)); err != nil || m.Reveal().Sign() != 0 { // -1 is an N-th power
		t.Errorf("-1 is an encryption of zero: %v", err)
	}
}

// Stored keys come back through constructors that look at every factor. A flipped bit anywhere in one is found.
func TestDamagedStoredKeys(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 5)
	k := newKey(t, 256)
	sp, sq := k.Factors()
	p, q := sp.Reveal(), sq.Reveal()
	if again, err := NewSecretKey(sp, sq); err != nil || again.N().Big().Cmp(k.N().Big()) != 0 {
		t.Fatalf("an undamaged key does not come back: %v", err)
	}
	square := k.N().Mul(big.NewInt(77), big.NewInt(77))
	refused := func(name string, p, q *big.Int) {
		t.Helper()
		if _, err := NewSecretKey(arith.NewInt(p), arith.NewInt(q)); err == nil {
			t.Errorf("%s: a Paillier key was made", name)
		}
		if _, err := NewPedersenSecret(arith.NewInt(p), arith.NewInt(q), square, arith.NewInt(big.NewInt(12345))); err == nil {
			t.Errorf("%s: a ring-Pedersen key was made", name)
		}
	}
	for bit := range p.BitLen() + 8 {
		bad := new(big.Int).SetBit(p, bit, p.Bit(bit)^1)
		refused("a bit of p", bad, q)
		refused("a bit of q", p, new(big.Int).SetBit(q, bit, q.Bit(bit)^1))
	}
	for name, pair := range map[string][2]*big.Int{
		"p is zero": {new(big.Int), q}, "q is zero": {p, new(big.Int)}, "p negative": {new(big.Int).Neg(p), q}, "both negative": {new(big.Int).Neg(p), new(big.Int).Neg(q)},
		"p is one": {one, q}, "p twice": {p, p}, "p is N": {k.N().Big(), q}, "p is half of itself": {new(big.Int).Rsh(p, 1), q}, "p is 2q + 1": {offset(new(big.Int).Lsh(q, 1), 1), q},
		"short": {new(big.Int).Rsh(p, 8), new(big.Int).Rsh(q, 8)},
	} {
		refused(name, pair[0], pair[1])
	}
	n := k.N().Big()
	for name, c := range map[string]struct{ t, lambda *big.Int }{
		"t is zero": {new(big.Int), big.NewInt(12345)}, "t is one": {one, big.NewInt(12345)}, "t is -1": {offset(n, -1), big.NewInt(12345)}, "t is p": {p, big.NewInt(12345)}, "t is N": {n, big.NewInt(12345)},
		"t above N": {offset(n, 4), big.NewInt(12345)}, "t negative": {big.NewInt(-4), big.NewInt(12345)}, "λ is zero": {square, new(big.Int)}, "λ is one": {square, one},
		"λ is the order": {square, new(big.Int).Mul(offset(p, -1), offset(q, -1))}, "t is 1 modulo p": {offset(new(big.Int).Mul(p, big.NewInt(3)), 1), new(big.Int).Mul(offset(p, -1), offset(q, -1))},
	} {
		if _, err := NewPedersenSecret(sp, sq, c.t, arith.NewInt(c.lambda)); err == nil {
			t.Errorf("%s: a ring-Pedersen key was made", name)
		}
	}
}

// A product of two primes of one size may be a bit short; it is no key.
func TestShortProducts(t *testing.T) {
	p, q := big.NewInt(2147483783), big.NewInt(0) // the least safe primes of 32 bits: their product has 63
	for q.Set(offset(p, 2)); !q.ProbablyPrime(10) || !new(big.Int).Rsh(q, 1).ProbablyPrime(10); {
		q.Add(q, big.NewInt(2))
	}
	for !p.ProbablyPrime(10) || !new(big.Int).Rsh(p, 1).ProbablyPrime(10) || p.Cmp(q) == 0 {
		p.Add(p, big.NewInt(2))
	}
	if size := new(big.Int).Mul(p, q).BitLen(); size != 63 {
		t.Fatalf("the product has %d bits", size)
	}
	if _, err := NewSecretKey(arith.NewInt(p), arith.NewInt(q)); err == nil {
		t.Error("a key with a short modulus was made")
	}
}
