package paillier

import (
	"math/big"

	"chancery.dev/internal/arith"
)

var one = big.NewInt(1)

// factors are the safe primes of a modulus, and what follows from them. All of it is secret.
type factors struct {
	p, q *prime
	qinv *big.Int // 1/q mod p
	phi  *big.Int // (p-1)(q-1)
}

// prime is one factor: safe, so that p-1 = 2h and the group modulo p is cyclic with generators all around.
type prime struct {
	m     *arith.Modulus // p
	mm    *arith.Modulus // p²
	order *big.Int       // p-1
	g     *big.Int       // generator modulo p
	other *big.Int       // the cofactor: exponent of the first step of a lift, mod p-1
	root  *arith.Comb    // powers of g mod p
	pow   *arith.Comb    // powers of g^N mod p²
	hp    *big.Int       // for decryption: 1/L(((1+N)^(p-1)) mod p²) mod p
}

// newFactors checks that p and q are different safe primes of one size; what a store holds may be damaged.
func newFactors(p, q *big.Int) (*factors, error) {
	if p.BitLen() != q.BitLen() || p.Cmp(q) == 0 || p.Sign() <= 0 {
		return nil, ErrKey
	}
	for _, v := range []*big.Int{p, q} {
		if !v.ProbablyPrime(0) || !new(big.Int).Rsh(v, 1).ProbablyPrime(0) || v.Bit(0) == 0 {
			return nil, ErrKey
		}
	}
	f := &factors{qinv: new(big.Int).ModInverse(q, p)}
	var err error
	if f.p, err = newPrime(p, q); err != nil {
		return nil, err
	}
	if f.q, err = newPrime(q, p); err != nil {
		return nil, err
	}
	f.phi = new(big.Int).Mul(f.p.order, f.q.order)
	return f, nil
}

func newPrime(p, cofactor *big.Int) (*prime, error) {
	out := &prime{order: new(big.Int).Sub(p, one)}
	var err error
	if out.m, err = arith.NewModulus(p); err != nil {
		return nil, err
	}
	if out.mm, err = arith.NewModulus(new(big.Int).Mul(p, p)); err != nil {
		return nil, err
	}
	out.other = new(big.Int).Mod(cofactor, out.order)
	// A number is a generator modulo a safe prime when it is no square and not -1.
	minus := out.order
	for v := int64(2); ; v++ {
		if c := big.NewInt(v); big.Jacobi(c, p) == -1 && c.Cmp(minus) != 0 {
			out.g = c
			return out, nil
		}
	}
}

// tables of an own Paillier key: fixed-base powers for nonces.
func (x *prime) tables(n *big.Int) error {
	size := x.m.Big().BitLen()
	var err error
	if x.root, err = arith.NewComb(x.m, x.g, size, false, 6, 8); err != nil {
		return err
	}
	gn, err := x.mm.ExpPublic(x.g, n)
	if err != nil {
		return err
	}
	if x.pow, err = arith.NewComb(x.mm, gn, size, false, 6, 8); err != nil {
		return err
	}
	// (1+N)^(p-1) = 1 + (p-1)N mod p²; L gives (p-1)q mod p = -q mod p.
	h := new(big.Int).Mul(x.order, new(big.Int).Quo(n, x.m.Big()))
	h.Mod(h, x.m.Big())
	x.hp, err = x.m.Inverse(h)
	return err
}

// lift is w^N mod p² for a public w: it depends on w mod p alone, and w^q mod p comes first, with q reduced mod p-1.
func (x *prime) lift(w *big.Int) (*arith.Int, error) {
	size := x.m.Big().BitLen()
	small, err := x.m.ExpUnsigned(arith.NewInt(new(big.Int).Mod(w, x.m.Big())), arith.NewInt(x.other), size)
	if err != nil {
		return nil, err
	}
	defer small.Erase()
	return x.mm.ExpUnsigned(small, arith.NewInt(x.m.Big()), size)
}

// join is the number modulo N that is a mod p and b mod q.
func (f *factors) join(a, b *arith.Int) *arith.Int {
	p, q := f.p.m.Big(), f.q.m.Big()
	d := a.Sub(b).MulPublic(f.qinv).Mod(p)
	return b.Mod(q).Add(d.MulPublic(q))
}
