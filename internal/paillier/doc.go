// Package paillier is Paillier encryption and ring-Pedersen commitments as CGGMP24 uses them.
//
// Paillier's modulus is N = pq with safe primes p and q; plaintexts are integers in [-N/2, N/2), ciphertexts units modulo
// N². A ring-Pedersen key is another modulus of the same kind with s = t^λ. Whoever knows the factors computes modulo
// them, in constant time; everybody else computes modulo N or N², where only public numbers are exponents or the
// constant-time functions of arith are used. Nonces under one's own key are kept as exponents of generators modulo p and
// q, which is exact (docs/spec/cggmp24.md) and much cheaper than drawing them modulo N.
package paillier

import "errors"

// Errors.
var (
	ErrKey        = errors.New("key of Paillier or ring-Pedersen is not valid")
	ErrCiphertext = errors.New("not a ciphertext under the key")
)

// DecryptMargin is how many bits a decrypted sum must stay below half the modulus.
const DecryptMargin = 1
