package paillier

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"chancery.dev/internal/arith"
)

func safePrime(t testing.TB, bits int) *arith.Int {
	t.Helper()
	p, err := arith.SafePrime(t.Context(), bits)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newKey(t testing.TB, bits int) *SecretKey {
	t.Helper()
	k, err := NewSecretKey(safePrime(t, bits/2), safePrime(t, bits/2))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// others is the key as everybody else has it.
func others(t testing.TB, k *SecretKey) *PublicKey {
	t.Helper()
	p, err := NewPublicKey(k.N().Big(), k.N().Big().BitLen())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func drawPlain(t *rapid.T, k *SecretKey, name string) *big.Int {
	half := new(big.Int).Rsh(k.N().Big(), 1)
	switch rapid.IntRange(0, 4).Draw(t, name+" kind") {
	case 0:
		return new(big.Int).Neg(half)
	case 1:
		return new(big.Int).Sub(half, big.NewInt(1))
	case 2:
		return big.NewInt(rapid.Int64Range(-2, 2).Draw(t, name))
	}
	b := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, name)
	v := new(big.Int).Mod(new(big.Int).SetBytes(b), half)
	if b[0]&1 == 1 {
		v.Neg(v)
	}
	return v
}

func TestEncryptionRoundTripAndHomomorphism(t *testing.T) {
	k := newKey(t, 384)
	public := others(t, k)
	half := new(big.Int).Rsh(k.N().Big(), 1)
	centred := func(v *big.Int) *big.Int {
		v = new(big.Int).Mod(new(big.Int).Add(v, half), k.N().Big())
		return v.Sub(v, half)
	}
	rapid.Check(t, func(rt *rapid.T) {
		x, y := drawPlain(rt, k, "x"), drawPlain(rt, k, "y")
		own, err := k.EncryptOwn(arith.NewInt(x), k.NewOwnNonce())
		if err != nil {
			rt.Fatal(err)
		}
		nonce, err := public.NewNonce()
		if err != nil {
			rt.Fatal(err)
		}
		theirs := public.Encrypt(arith.NewInt(y), nonce.Power)
		same, err := public.EncryptPublic(y, nonce.Root.Reveal())
		if err != nil || same.Cmp(theirs) != 0 {
			rt.Fatalf("the two ways to encrypt differ: %v", err)
		}
		for _, c := range []struct{ c, want *big.Int }{
			{own, x}, {theirs, y}, {k.NN().Mul(own, theirs), centred(new(big.Int).Add(x, y))},
			{new(big.Int).Exp(own, big.NewInt(77), k.NN().Big()), centred(new(big.Int).Mul(x, big.NewInt(77)))},
		} {
			m, err := k.Decrypt(c.c)
			if err != nil || m.Reveal().Cmp(centred(c.want)) != 0 {
				rt.Fatalf("decrypts to %v, want %v: %v", m.Reveal(), c.want, err)
			}
		}
	})
}

func TestOwnNoncesAreNonces(t *testing.T) {
	k := newKey(t, 256)
	public := others(t, k)
	for range 20 {
		r, rho := k.NewOwnNonce(), k.NewOwnNonce()
		root, err := k.OwnRoot(rho)
		if err != nil {
			t.Fatal(err)
		}
		power, err := k.OwnPower(rho)
		if err != nil {
			t.Fatal(err)
		}
		want, err := public.Power(root.Reveal())
		if err != nil || want.Cmp(power.Reveal()) != 0 {
			t.Fatalf("the N-th power is another: %v", err)
		}
		lifted, err := k.Power(root.Reveal())
		if err != nil || lifted.Cmp(want) != 0 {
			t.Fatalf("the owner's N-th power is another: %v", err)
		}
		e := big.NewInt(123457)
		z, err := k.Response(r, rho, e)
		if err != nil {
			t.Fatal(err)
		}
		base, err := k.OwnRoot(r)
		if err != nil {
			t.Fatal(err)
		}
		if product := k.N().Mul(base.Reveal(), new(big.Int).Exp(root.Reveal(), e, k.N().Big())); product.Cmp(z) != 0 {
			t.Fatal("the response is another")
		}
	}
}

// With tiny primes every unit can be counted: own nonces reach each unit equally often.
func TestOwnNoncesCoverEveryUnit(t *testing.T) {
	f, err := newFactors(big.NewInt(23), big.NewInt(29+18)) // 23 = 2*11+1, 47 = 2*23+1; sizes differ, so it is refused
	if err == nil {
		t.Fatalf("primes of two sizes were taken: %v", f)
	}
	p, q := big.NewInt(47), big.NewInt(59) // 47 = 2*23+1, 59 = 2*29+1
	f, err = newFactors(p, q)
	if err != nil {
		t.Fatal(err)
	}
	n := int64(47 * 59)
	if err := f.p.tables(big.NewInt(n)); err != nil {
		t.Fatal(err)
	}
	if err := f.q.tables(big.NewInt(n)); err != nil {
		t.Fatal(err)
	}
	public, err := NewPublicKey(big.NewInt(n), 12)
	if err != nil {
		t.Fatal(err)
	}
	k := &SecretKey{PublicKey: public, f: f}
	seen := map[int64]int{}
	for a := range int64(46) {
		for b := range int64(58) {
			root, err := k.OwnRoot(&OwnNonce{arith.NewInt(big.NewInt(a)), arith.NewInt(big.NewInt(b))})
			if err != nil {
				t.Fatal(err)
			}
			seen[root.Reveal().Int64()]++
		}
	}
	if len(seen) != 46*58 {
		t.Fatalf("%d of %d units come up", len(seen), 46*58)
	}
	for unit, times := range seen {
		if times != 1 || unit%47 == 0 || unit%59 == 0 {
			t.Fatalf("%d comes up %d times", unit, times)
		}
	}
}

func TestRoots(t *testing.T) {
	k := newKey(t, 256)
	for range 20 {
		y := arith.RandomUnit(k.N().Big()).Reveal()
		root, err := k.RootOf(y)
		if err != nil || new(big.Int).Exp(root.Reveal(), k.N().Big(), k.N().Big()).Cmp(y) != 0 {
			t.Fatalf("N-th root: %v", err)
		}
		square := k.N().Mul(y, y)
		if !k.IsSquare(square) {
			t.Fatal("a square is not seen to be one")
		}
		fourth, err := k.FourthRoot(square)
		if err != nil || new(big.Int).Exp(fourth, big.NewInt(4), k.N().Big()).Cmp(square) != 0 {
			t.Fatalf("fourth root: %v", err)
		}
	}
}

func TestKeysRefuse(t *testing.T) {
	p, q := safePrime(t, 128), safePrime(t, 128)
	notSafe := new(big.Int).SetInt64(0)
	for notSafe.Set(arith.RandomBelow(new(big.Int).Lsh(one, 128)).Reveal()).SetBit(notSafe, 127, 1); !notSafe.ProbablyPrime(10); {
		notSafe.SetBit(notSafe.Add(notSafe, big.NewInt(2)), 0, 1)
	}
	for name, pair := range map[string][2]*big.Int{
		"the same prime":  {p.Reveal(), p.Reveal()},
		"not safe":        {p.Reveal(), notSafe},
		"composite":       {p.Reveal(), new(big.Int).Add(q.Reveal(), big.NewInt(2))},
		"of another size": {p.Reveal(), safePrime(t, 130).Reveal()},
		"zero":            {big.NewInt(0), big.NewInt(0)},
	} {
		if _, err := NewSecretKey(arith.NewInt(pair[0]), arith.NewInt(pair[1])); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	n := new(big.Int).Mul(p.Reveal(), q.Reveal())
	for name, c := range map[string]struct {
		n    *big.Int
		size int
	}{"too long": {n, 255}, "too short": {n, 257}, "even": {new(big.Int).Lsh(one, 255), 256}, "negative": {new(big.Int).Neg(n), 256}, "zero": {new(big.Int), 256}} {
		if _, err := NewPublicKey(c.n, c.size); err == nil {
			t.Errorf("modulus %s: taken", name)
		}
		if _, err := NewPedersen(c.n, big.NewInt(4), big.NewInt(9), c.size); err == nil {
			t.Errorf("ring-Pedersen modulus %s: taken", name)
		}
	}
	minus := new(big.Int).Sub(n, one)
	for name, c := range map[string][2]*big.Int{
		"s is one": {one, big.NewInt(4)}, "t is one": {big.NewInt(4), one}, "s is minus one": {minus, big.NewInt(4)}, "s is t": {big.NewInt(4), big.NewInt(4)},
		"s is zero": {new(big.Int), big.NewInt(4)}, "t is a factor": {big.NewInt(4), p.Reveal()}, "t above n": {big.NewInt(4), new(big.Int).Add(n, big.NewInt(4))},
	} {
		if _, err := NewPedersen(n, c[0], c[1], 256); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	k := newKey(t, 256)
	for name, c := range map[string]*big.Int{"zero": new(big.Int), "N": k.N().Big(), "N squared": k.NN().Big(), "negative": big.NewInt(-5), "nothing": nil} {
		if k.IsCiphertext(c) {
			t.Errorf("%s is a ciphertext", name)
		}
		if _, err := k.Decrypt(c); err == nil {
			t.Errorf("%s was decrypted", name)
		}
	}
}

func TestPedersenOwnerAgreesWithOthers(t *testing.T) {
	own, err := GeneratePedersen(safePrime(t, 128), safePrime(t, 128))
	if err != nil {
		t.Fatal(err)
	}
	public, err := NewPedersen(own.N().Big(), own.S(), own.T(), 256)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []*big.Int{own.S(), own.T()} {
		p, _ := own.Factors()
		if big.Jacobi(new(big.Int).Mod(v, p.Reveal()), p.Reveal()) != 1 {
			t.Error("a base is no square")
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(name string) *big.Int {
			v := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(rt, name))
			if rapid.Bool().Draw(rt, name+" negative") {
				v.Neg(v)
			}
			return v
		}
		x, y := draw("x"), draw("y")
		a, errA := own.Combine(x, y)
		b, errB := public.Combine(x, y)
		c, errC := public.Commit(arith.NewInt(x), 480, arith.NewInt(y), 480)
		if errA != nil || errB != nil || errC != nil || a.Cmp(b) != 0 || a.Cmp(c) != 0 {
			rt.Fatalf("owner, others and prover differ: %v %v %v", errA, errB, errC)
		}
	})
	p, q := own.Factors()
	again, err := NewPedersenSecret(p, q, own.T(), own.Lambda())
	if err != nil || again.S().Cmp(own.S()) != 0 {
		t.Errorf("the key does not survive storing: %v", err)
	}
}
