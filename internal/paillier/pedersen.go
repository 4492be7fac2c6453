package paillier

import (
	"math/big"
	"sync"

	"chancery.dev/internal/arith"
)

// Pedersen is a ring-Pedersen key: commitments s^x * t^y modulo N̂. The owner, who knows the factors and λ, checks equations
// about them with one exponentiation modulo each factor.
type Pedersen struct {
	n     *arith.Modulus
	s, t  *big.Int
	mu    sync.Mutex
	combs map[combKey]*arith.Comb // for proving to the owner of this key
	own   *trapdoor
}

type combKey struct {
	ofT  bool
	bits int
}

type trapdoor struct {
	f      *factors
	lambda *big.Int
	tp, tq *arith.Comb // powers of t modulo each factor
}

// PedersenSecret is a ring-Pedersen key with its trapdoor.
type PedersenSecret struct {
	_ [0]func()
	*Pedersen
}

// NewPedersen takes a modulus of exactly size bits and units s and t, neither of them 1. That s is a power of t is shown by
// Πprm.
func NewPedersen(n, s, t *big.Int, size int) (*Pedersen, error) {
	if n.Sign() <= 0 || n.BitLen() != size || n.Bit(0) == 0 {
		return nil, ErrKey
	}
	m, err := arith.NewModulus(n)
	if err != nil {
		return nil, err
	}
	minus := new(big.Int).Sub(n, one)
	for _, v := range []*big.Int{s, t} {
		if !m.IsUnit(v) || v.Cmp(one) == 0 || v.Cmp(minus) == 0 {
			return nil, ErrKey
		}
	}
	if s.Cmp(t) == 0 {
		return nil, ErrKey
	}
	return &Pedersen{n: m, s: s, t: t, combs: map[combKey]*arith.Comb{}}, nil
}

// GeneratePedersen draws t, a random square, and λ, for two safe primes.
func GeneratePedersen(p, q *arith.Int) (*PedersenSecret, error) {
	f, err := newFactors(p.Reveal(), q.Reveal())
	if err != nil {
		return nil, err
	}
	n := new(big.Int).Mul(f.p.m.Big(), f.q.m.Big())
	r := arith.RandomUnit(n).Reveal()
	t := r.Mod(r.Mul(r, r), n)
	lambda := arith.RandomBelow(new(big.Int).Rsh(f.phi, 2))
	return NewPedersenSecret(p, q, t, lambda)
}

// NewPedersenSecret makes the key of its factors, t and λ.
func NewPedersenSecret(p, q *arith.Int, t *big.Int, lambda *arith.Int) (*PedersenSecret, error) {
	f, err := newFactors(p.Reveal(), q.Reveal())
	if err != nil {
		return nil, err
	}
	n := new(big.Int).Mul(f.p.m.Big(), f.q.m.Big())
	own := &trapdoor{f: f, lambda: lambda.Reveal()}
	size := f.p.m.Big().BitLen()
	if own.tp, err = arith.NewComb(f.p.m, t, size, false, 6, 8); err != nil {
		return nil, err
	}
	if own.tq, err = arith.NewComb(f.q.m, t, size, false, 6, 8); err != nil {
		return nil, err
	}
	s, err := own.power(lambda.Reveal())
	if err != nil {
		return nil, err
	}
	public, err := NewPedersen(n, s, t, 2*size)
	if err != nil {
		return nil, err
	}
	public.own = own
	return &PedersenSecret{Pedersen: public}, nil
}

// power is t^e modulo N̂ by the factors, for any exponent.
func (d *trapdoor) power(e *big.Int) (*big.Int, error) {
	a, err := d.tp.Exp(arith.NewInt(e).Mod(d.f.p.order))
	if err != nil {
		return nil, err
	}
	b, err := d.tq.Exp(arith.NewInt(e).Mod(d.f.q.order))
	if err != nil {
		return nil, err
	}
	return d.f.join(arith.NewInt(a), arith.NewInt(b)).Reveal(), nil
}

// N is the modulus.
func (r *Pedersen) N() *arith.Modulus { return r.n }

// S and T are the bases; they must not be changed.
func (r *Pedersen) S() *big.Int { return r.s }

// T is the second base.
func (r *Pedersen) T() *big.Int { return r.t }

// comb is the table of a base for exponents of at most bits bits, made when it is first needed.
func (r *Pedersen) comb(ofT bool, bits int) (*arith.Comb, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := combKey{ofT, bits}
	if c := r.combs[key]; c != nil {
		return c, nil
	}
	base := r.s
	if ofT {
		base = r.t
	}
	c, err := arith.NewComb(r.n, base, bits, true, 6, 8)
	if err != nil {
		return nil, err
	}
	r.combs[key] = c
	return c, nil
}

// Commit is s^x * t^y for secret exponents of at most the given sizes in bits, in constant time.
func (r *Pedersen) Commit(x *arith.Int, xBits int, y *arith.Int, yBits int) (*big.Int, error) {
	cs, err := r.comb(false, xBits)
	if err != nil {
		return nil, err
	}
	ct, err := r.comb(true, yBits)
	if err != nil {
		return nil, err
	}
	return cs.ExpMul(x, ct, y)
}

// Combine is s^x * t^y for public exponents of either sign.
func (r *Pedersen) Combine(x, y *big.Int) (*big.Int, error) {
	if r.own != nil {
		e := new(big.Int).Mul(r.own.lambda, x)
		return r.own.power(e.Add(e, y))
	}
	a, err := r.n.ExpPublic(r.s, x)
	if err != nil {
		return nil, err
	}
	b, err := r.n.ExpPublic(r.t, y)
	if err != nil {
		return nil, err
	}
	return r.n.Mul(a, b), nil
}

// Phi is the order of the units, and Lambda the exponent of s: for Πprm and for the keystore.
func (r *PedersenSecret) Phi() *arith.Int { return arith.NewInt(r.own.f.phi) }

// Lambda is the discrete logarithm of s to base t.
func (r *PedersenSecret) Lambda() *arith.Int { return arith.NewInt(r.own.lambda) }

// Power is t^e for a secret exponent.
func (r *PedersenSecret) Power(e *arith.Int) (*big.Int, error) { return r.own.power(e.Reveal()) }

// Factors are the two primes, for the keystore.
func (r *PedersenSecret) Factors() (p, q *arith.Int) {
	return arith.NewInt(r.own.f.p.m.Big()), arith.NewInt(r.own.f.q.m.Big())
}

// String prints nothing.
func (r *PedersenSecret) String() string { return "ring-Pedersen key" }
