package paillier

import (
	"math/big"

	"chancery.dev/internal/arith"
)

// PublicKey is a Paillier modulus with what is computed from it once.
type PublicKey struct {
	n, nn *arith.Modulus
	own   *factors // the owner's: public operations are cheaper with them; nil for others
	inv   *big.Int // the owner's: 1/q² mod p²
}

// SecretKey is a Paillier key with its factors.
type SecretKey struct {
	_ [0]func()
	*PublicKey
	f *factors
}

// NewPublicKey takes a modulus of exactly size bits. That it is a product of two large primes is shown by Πmod and Πfac.
func NewPublicKey(n *big.Int, size int) (*PublicKey, error) {
	if n.Sign() <= 0 || n.BitLen() != size || n.Bit(0) == 0 {
		return nil, ErrKey
	}
	m, err := arith.NewModulus(n)
	if err != nil {
		return nil, err
	}
	mm, err := arith.NewModulus(new(big.Int).Mul(n, n))
	if err != nil {
		return nil, err
	}
	return &PublicKey{n: m, nn: mm}, nil
}

// NewSecretKey takes two safe primes of half the size each. They stay the caller's to erase.
func NewSecretKey(p, q *arith.Int) (*SecretKey, error) {
	f, err := newFactors(p.Reveal(), q.Reveal())
	if err != nil {
		return nil, err
	}
	n := new(big.Int).Mul(f.p.m.Big(), f.q.m.Big())
	public, err := NewPublicKey(n, 2*f.p.m.Big().BitLen())
	if err != nil {
		return nil, err
	}
	if err := f.p.tables(n); err != nil {
		return nil, err
	}
	if err := f.q.tables(n); err != nil {
		return nil, err
	}
	public.own = f
	public.inv, err = f.p.mm.Inverse(f.q.mm.Big())
	return &SecretKey{PublicKey: public, f: f}, err
}

// N is the modulus.
func (k *PublicKey) N() *arith.Modulus { return k.n }

// NN is its square.
func (k *PublicKey) NN() *arith.Modulus { return k.nn }

// IsCiphertext says whether c is a unit modulo N², in canonical form.
func (k *PublicKey) IsCiphertext(c *big.Int) bool { return k.nn.IsUnit(c) }

// embed is (1+N)^x = 1 + xN mod N².
func (k *PublicKey) embed(x *big.Int) *big.Int {
	e := new(big.Int).Mod(x, k.n.Big())
	e.Mul(e, k.n.Big())
	return e.Add(e, one)
}

// Encrypt is (1+N)^x * power, where power is a nonce's N-th power.
func (k *PublicKey) Encrypt(x *arith.Int, power *arith.Int) *big.Int {
	return k.nn.Mul(k.embed(x.Reveal()), power.Reveal())
}

// EncryptPublic is enc(x; w) for public x and w: a verifier's side of an equation.
func (k *PublicKey) EncryptPublic(x, w *big.Int) (*big.Int, error) {
	power, err := k.Power(w)
	if err != nil {
		return nil, err
	}
	return k.nn.Mul(k.embed(x), power), nil
}

// Power is w^N mod N² for a public unit w. The owner computes modulo the factors.
func (k *PublicKey) Power(w *big.Int) (*big.Int, error) {
	if k.own == nil {
		return k.nn.ExpPublic(w, k.n.Big())
	}
	a, err := k.own.p.lift(w)
	if err != nil {
		return nil, err
	}
	b, err := k.own.q.lift(w)
	if err != nil {
		return nil, err
	}
	return k.joinSquares(a, b).Reveal(), nil
}

func (k *PublicKey) joinSquares(a, b *arith.Int) *arith.Int {
	pp, qq := k.own.p.mm.Big(), k.own.q.mm.Big()
	d := a.Sub(b).MulPublic(k.inv).Mod(pp)
	return b.Add(d.MulPublic(qq))
}

// Nonce is a random unit modulo somebody else's N with its N-th power. The exponent N is public and the base is used once.
type Nonce struct{ Root, Power *arith.Int }

// NewNonce draws a nonce.
func (k *PublicKey) NewNonce() (*Nonce, error) {
	root := arith.RandomUnit(k.n.Big())
	power, err := k.nn.ExpPublic(root.Reveal(), k.n.Big())
	if err != nil {
		return nil, err
	}
	return &Nonce{root, arith.NewInt(power)}, nil
}

// Erase overwrites both.
func (n *Nonce) Erase() { arith.EraseAll(n.Root, n.Power) }

// OwnNonce is a random unit modulo one's own N, as exponents of the generators modulo p and q: a uniform pair of exponents
// is a uniform unit.
type OwnNonce struct{ a, b *arith.Int }

// NewOwnNonce draws a nonce.
func (k *SecretKey) NewOwnNonce() *OwnNonce {
	return &OwnNonce{arith.RandomBelow(k.f.p.order), arith.RandomBelow(k.f.q.order)}
}

// Erase overwrites the exponents.
func (n *OwnNonce) Erase() { arith.EraseAll(n.a, n.b) }

// OwnPower is the nonce's N-th power modulo N².
func (k *SecretKey) OwnPower(n *OwnNonce) (*arith.Int, error) {
	a, err := k.f.p.pow.Exp(n.a)
	if err != nil {
		return nil, err
	}
	b, err := k.f.q.pow.Exp(n.b)
	if err != nil {
		return nil, err
	}
	return k.joinSquares(arith.NewInt(a), arith.NewInt(b)), nil
}

// OwnRoot is the nonce itself, modulo N.
func (k *SecretKey) OwnRoot(n *OwnNonce) (*arith.Int, error) {
	a, err := k.f.p.root.Exp(n.a)
	if err != nil {
		return nil, err
	}
	b, err := k.f.q.root.Exp(n.b)
	if err != nil {
		return nil, err
	}
	return k.f.join(arith.NewInt(a), arith.NewInt(b)), nil
}

// Response is the nonce r*rho^e that a proof shows, for a public challenge e.
func (k *SecretKey) Response(r, rho *OwnNonce, e *big.Int) (*big.Int, error) {
	joint := &OwnNonce{r.a.Add(rho.a.MulPublic(e)).Mod(k.f.p.order), r.b.Add(rho.b.MulPublic(e)).Mod(k.f.q.order)}
	defer joint.Erase()
	root, err := k.OwnRoot(joint)
	if err != nil {
		return nil, err
	}
	return root.Reveal(), nil
}

// EncryptOwn is enc(x; nonce) under one's own key.
func (k *SecretKey) EncryptOwn(x *arith.Int, n *OwnNonce) (*big.Int, error) {
	power, err := k.OwnPower(n)
	if err != nil {
		return nil, err
	}
	defer power.Erase()
	return k.Encrypt(x, power), nil
}

// Decrypt is the plaintext in [-N/2, N/2), modulo each prime apart: c^(p-1) = 1 + m(p-1)q*p mod p².
func (k *SecretKey) Decrypt(c *big.Int) (*arith.Int, error) {
	if !k.IsCiphertext(c) {
		return nil, ErrCiphertext
	}
	a, err := k.f.p.decrypt(c)
	if err != nil {
		return nil, err
	}
	b, err := k.f.q.decrypt(c)
	if err != nil {
		return nil, err
	}
	m := k.f.join(a, b)
	half := new(big.Int).Rsh(k.n.Big(), 1)
	shifted := m.Add(arith.NewInt(half)).Mod(k.n.Big()) // centre without a branch: (m + N/2 mod N) - N/2
	return shifted.Sub(arith.NewInt(half)), nil
}

func (x *prime) decrypt(c *big.Int) (*arith.Int, error) {
	base := arith.NewInt(new(big.Int).Mod(c, x.mm.Big()))
	u, err := x.mm.ExpUnsigned(base, arith.NewInt(x.order), x.m.Big().BitLen())
	if err != nil {
		return nil, err
	}
	l := u.Reveal()
	l.Sub(l, one)
	l.Quo(l, x.m.Big())
	return arith.NewInt(l).MulPublic(x.hp).Mod(x.m.Big()), nil
}

// RootOf is the N-th root of a unit modulo N: the nonce of an encryption of zero. It is unique, for gcd(N, phi) = 1.
func (k *SecretKey) RootOf(c *big.Int) (*arith.Int, error) {
	d := new(big.Int).ModInverse(k.n.Big(), k.f.phi)
	if d == nil {
		return nil, ErrKey
	}
	a, err := k.f.p.power(c, d)
	if err != nil {
		return nil, err
	}
	b, err := k.f.q.power(c, d)
	if err != nil {
		return nil, err
	}
	return k.f.join(a, b), nil
}

// power is c^d mod p for a secret exponent.
func (x *prime) power(c, d *big.Int) (*arith.Int, error) {
	e := arith.NewInt(d).Mod(x.order)
	defer e.Erase()
	return x.m.ExpUnsigned(arith.NewInt(new(big.Int).Mod(c, x.m.Big())), e, x.m.Big().BitLen())
}

// FourthRoot is the principal fourth root of a square of a square modulo N, with p and q 3 mod 4: the square root that is
// itself a square is y^((p+1)/4), taken twice.
func (k *SecretKey) FourthRoot(y *big.Int) (*big.Int, error) {
	var halves [2]*arith.Int
	for i, x := range []*prime{k.f.p, k.f.q} {
		e := new(big.Int).Add(x.m.Big(), one)
		e.Rsh(e, 2)
		e.Mul(e, e)
		r, err := x.power(y, e)
		if err != nil {
			return nil, err
		}
		halves[i] = r
	}
	return k.f.join(halves[0], halves[1]).Reveal(), nil
}

// IsSquare says whether a public number is a square modulo both factors.
func (k *SecretKey) IsSquare(y *big.Int) bool {
	return big.Jacobi(new(big.Int).Mod(y, k.f.p.m.Big()), k.f.p.m.Big()) == 1 && big.Jacobi(new(big.Int).Mod(y, k.f.q.m.Big()), k.f.q.m.Big()) == 1
}

// Factors are p and q, for Πfac and for the keystore.
func (k *SecretKey) Factors() (p, q *arith.Int) {
	return arith.NewInt(k.f.p.m.Big()), arith.NewInt(k.f.q.m.Big())
}

// String prints nothing.
func (k *SecretKey) String() string { return "Paillier key" }
