package arith

import (
	"context"
	"errors"
	"math/big"
	"testing"
)

func TestSafePrimesAreSafePrimes(t *testing.T) {
	for _, size := range []int{MinPrimeBits, 33, 64, 96, 256, 384} {
		seen := map[string]bool{}
		for range 3 {
			s, err := SafePrime(t.Context(), size)
			if err != nil {
				t.Fatal(err)
			}
			p := s.Reveal()
			half := new(big.Int).Rsh(p, 1)
			if p.BitLen() != size || p.Bit(size-2) != 1 || !p.ProbablyPrime(30) || !half.ProbablyPrime(30) {
				t.Errorf("%d bits: %x is not a safe prime with its top two bits set", size, p)
			}
			seen[p.String()] = true
		}
		if size > 40 && len(seen) != 3 {
			t.Errorf("%d bits: the same prime came twice", size)
		}
	}
}

// The sieve strikes nothing but multiples of small primes, and strikes all of them.
func TestSieveIsExact(t *testing.T) {
	start := new(big.Int).SetBit(new(big.Int).Lsh(big.NewInt(3), 126), 0, 1)
	left := map[uint32]bool{}
	for _, i := range survivors(start) {
		left[i] = true
	}
	product := big.NewInt(1)
	for _, p := range smallPrimes()[:3000] {
		product.Mul(product, big.NewInt(int64(p)))
	}
	for i := range uint32(3000) {
		h := new(big.Int).Add(start, big.NewInt(2*int64(i)))
		p := new(big.Int).Add(new(big.Int).Lsh(h, 1), big.NewInt(1))
		both := new(big.Int).Mul(h, p)
		small := new(big.Int).GCD(nil, nil, both, product).Cmp(big.NewInt(1)) != 0
		if small && left[i] {
			t.Fatalf("candidate %d has a small factor and was left", i)
		}
		if !left[i] && h.ProbablyPrime(10) && p.ProbablyPrime(10) {
			t.Fatalf("candidate %d is a safe prime and was struck", i)
		}
	}
	if len(left) == 0 || len(left) > sieveWindow/20 {
		t.Errorf("%d of %d candidates are left", len(left), sieveWindow)
	}
}

func TestSafePrimeStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := SafePrime(ctx, 1536); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	for _, size := range []int{-1, 0, MinPrimeBits - 1, MaxPrimeBits + 1} {
		if _, err := SafePrime(t.Context(), size); err == nil {
			t.Errorf("%d bits were taken", size)
		}
	}
}

func BenchmarkSafePrime1536(b *testing.B) {
	for b.Loop() {
		if _, err := SafePrime(b.Context(), 1536); err != nil {
			b.Fatal(err)
		}
	}
}
