package arith

import (
	"context"
	"errors"
	"math/big"
	"math/bits"
	"sync"

	"chancery.dev/internal/secret"
)

// Shape of the search for safe primes.
const (
	MinPrimeBits = 32
	MaxPrimeBits = MaxModulusBits / 4
	sieveBound   = 1 << 23 // small primes of the joint sieve
	sieveWindow  = 1 << 19 // odd candidates of one window
	primeRounds  = 20      // Miller-Rabin rounds of the last check, on top of Baillie-PSW
)

// smallPrimes are the odd primes below sieveBound.
var smallPrimes = sync.OnceValue(func() []uint32 {
	composite := make([]bool, sieveBound/2) // i stands for 2i+1
	var out []uint32
	for i := 1; i < len(composite); i++ {
		if composite[i] {
			continue
		}
		p := 2*i + 1
		out = append(out, uint32(p))
		for j := p * p / 2; j < len(composite); j += p {
			composite[j] = true
		}
	}
	return out
})

// SafePrime draws a prime p of exactly bits bits, its top two bits set, with (p-1)/2 prime as well. Candidates lie in a
// window at a random place that is sieved for both numbers at once, and are tried in random order. The search takes
// variable time: what it shows is about candidates that are thrown away. It ends early only when the context does.
func SafePrime(ctx context.Context, size int) (*Int, error) {
	if size < MinPrimeBits || size > MaxPrimeBits {
		return nil, errors.New("safe prime must have a size within bounds")
	}
	for {
		start := randomStart(size - 1)
		for _, i := range shuffled(survivors(start)) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			half := new(big.Int).Add(start, big.NewInt(2*int64(i)))
			if p := safePrimeOf(half, size); p != nil {
				out := NewInt(p)
				eraseBig(half)
				eraseBig(p)
				eraseBig(start)
				return out, nil
			}
		}
		eraseBig(start)
	}
}

// randomStart is odd, of exactly size bits, its top two bits set.
func randomStart(size int) *big.Int {
	s := RandomBelow(new(big.Int).Lsh(big.NewInt(1), uint(size)))
	v := &s.v
	v.SetBit(v, size-1, 1)
	v.SetBit(v, size-2, 1)
	return v.SetBit(v, 0, 1)
}

// survivors are the i for which neither h = start+2i nor 2h+1 has a small factor.
func survivors(start *big.Int) []uint32 {
	struck := make([]bool, sieveWindow)
	words := limbs(start, (start.BitLen()+63)/64)
	primes := smallPrimes()
	strike := func(r, s uint64) {
		inv2 := (r + 1) / 2
		for _, want := range [2]uint64{0, (r - 1) / 2} { // residues of h that make h, or 2h+1, a multiple of r
			for i := (want + r - s) % r * inv2 % r; i < sieveWindow; i += r {
				struck[i] = true
			}
		}
	}
	bound := start.BitLen() / 2 // for small sizes: a prime of the window must not strike itself
	for len(primes) > 0 && bits.Len32(primes[0]) < bound {
		group, product := 0, uint64(1) // as many primes as fit a word share one division
		for group < len(primes) && bits.Len64(product)+bits.Len32(primes[group]) <= 64 && bits.Len32(primes[group]) < bound {
			product *= uint64(primes[group])
			group++
		}
		rem := uint64(0)
		for i := len(words) - 1; i >= 0; i-- {
			_, rem = bits.Div64(rem, words[i], product)
		}
		for _, r := range primes[:group] {
			strike(uint64(r), rem%uint64(r))
		}
		primes = primes[group:]
	}
	var out []uint32
	for i, s := range struck {
		if !s {
			out = append(out, uint32(i))
		}
	}
	return out
}

// shuffled is a random order, by Fisher and Yates.
func shuffled(v []uint32) []uint32 {
	var b [8]byte
	for i := len(v) - 1; i > 0; i-- {
		secret.Read(b[:])
		r := uint64(0)
		for _, x := range b {
			r = r<<8 | uint64(x)
		}
		j, _ := bits.Mul64(r, uint64(i+1))
		v[i], v[j] = v[j], v[i]
	}
	return v
}

// safePrimeOf is 2h+1 when both are prime. The cheap test comes first: one Fermat test to base 2.
func safePrimeOf(h *big.Int, size int) *big.Int {
	one, two := big.NewInt(1), big.NewInt(2)
	minus := new(big.Int).Sub(h, one)
	if new(big.Int).Exp(two, minus, h).Cmp(one) != 0 {
		return nil
	}
	p := new(big.Int).Lsh(h, 1)
	p.Add(p, one)
	if p.BitLen() != size || new(big.Int).Exp(two, minus.Lsh(h, 1), p).Cmp(one) != 0 {
		return nil
	}
	if !h.ProbablyPrime(primeRounds) || !p.ProbablyPrime(primeRounds) {
		return nil
	}
	return p
}
