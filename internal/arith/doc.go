// Package arith is integer arithmetic for the engine: secret integers, odd moduli, constant-time exponentiation, safe
// primes.
//
// There are two kinds of numbers. A *big.Int is public: whoever may see messages may see it, and what is done with it may
// take time that depends on it. An *Int is secret: it cannot be printed, it is erased, and it is used as an exponent only
// by the functions of this package, whose time depends on its declared size and never on its value. Sums and products of
// secret integers go through math/big, whose time depends on the number of words; the sizes of all secrets are fixed by
// the protocols, so the number of words says nothing.
package arith

import "errors"

// Bounds.
const (
	MaxModulusBits  = 6144 // squares of 3072-bit moduli
	maxLimbs        = MaxModulusBits / 64
	MaxExponentBits = 3 * MaxModulusBits
)

// Errors.
var (
	ErrModulus  = errors.New("modulus must be odd, above one, and within bounds")
	ErrNoUnit   = errors.New("number has no inverse modulo the modulus")
	ErrExponent = errors.New("exponent is larger than was declared")
)
