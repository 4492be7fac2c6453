// Package zk is the zero-knowledge proofs of CGGMP24 (ePrint 2021/060, revision of October 2024), one file each, made
// non-interactive by Fiat and Shamir.
//
// A proof is a struct of its commitments and responses. Each verifier's check has a name, and a refusal says which check
// failed: Verify returns a *Failure. Challenges are never sent; they are recomputed from a transcript that binds the
// parameters, the session, prover and verifier, the proof's role and place, the whole statement and every commitment.
// Encodings have fixed widths that follow from the parameters, so nothing of another size is even parsed.
//
// The notation is the paper's: N0 and N1 are Paillier moduli, (N̂, s, t) is the verifier's ring-Pedersen key, ℓ, ε and ℓ'
// are the sizes of ranges. ±2^a means the integers from -2^a to 2^a, ends included. Challenges are uniform in [0, q).
package zk

import (
	"errors"
	"fmt"
	"math/big"

	"chancery.dev/internal/arith"
	"chancery.dev/internal/group"
	"chancery.dev/internal/transcript"
)

// curve is the only group that the proofs are used with.
const curve = group.Secp256k1

// Params are the sizes that all proofs of a run share.
type Params struct {
	L       int // ℓ: bits of k, γ and x
	Eps     int // ε: slack of ranges
	LPrime  int // ℓ': bits of β
	Reps    int // repetitions of proofs with one-bit challenges
	Modulus int // bits of N and N̂
}

// Standard is the parameters for 128-bit security.
func Standard() Params { return Params{L: 256, Eps: 512, LPrime: 1280, Reps: 128, Modulus: 3072} }

// MaxReps bounds the repetitions: as many bits as one challenge has.
const MaxReps = 256

// Validate holds the relations that the proofs need of the sizes.
func (p Params) Validate() error {
	switch {
	case p.L < 256, p.Eps < 2*256, p.LPrime < 3*p.L+p.Eps:
		return errors.New("ranges are too small for the curve")
	case p.Modulus < p.decW()+16, // the sums that Πdec lets pass are integers, not residues modulo N
		p.Modulus%128 != 0, 2*p.Modulus > arith.MaxModulusBits:
		return errors.New("moduli are too small for the ranges, or too large")
	case p.Reps < 1 || p.Reps > MaxReps:
		return errors.New("repetitions are out of bounds")
	}
	return nil
}

// Context is what a proof is bound to apart from its statement.
type Context struct {
	Session  [32]byte
	Prover   uint16
	Verifier uint16 // 0 when the proof is for everybody
	Role     string // which of a protocol's proofs of this kind it is
	Index    uint32 // which of a batch
}

// Failure names the check that a proof did not pass.
type Failure struct{ Proof, Check string }

// Error names proof and check.
func (f *Failure) Error() string { return fmt.Sprintf("proof %s fails check %q", f.Proof, f.Check) }

// transcript begins the transcript of one proof.
func (p Params) transcript(c Context, proof string) *transcript.Transcript {
	t := transcript.New("chancery/zk/" + proof + "/v1")
	for _, v := range []int{p.L, p.Eps, p.LPrime, p.Reps, p.Modulus} {
		t.Uint64("parameter", uint64(v))
	}
	t.Bytes("session", c.Session[:])
	t.Uint64("prover", uint64(c.Prover))
	t.Uint64("verifier", uint64(c.Verifier))
	t.String("role", c.Role)
	t.Uint64("index", uint64(c.Index))
	return t
}

// number adds a public integer, sign and all.
func number(t *transcript.Transcript, label string, v *big.Int) {
	t.Uint64(label+" sign", uint64(v.Sign()+1))
	t.Bytes(label, v.Bytes())
}

func numbers(t *transcript.Transcript, label string, v ...*big.Int) {
	for _, x := range v {
		number(t, label, x)
	}
}

func points(t *transcript.Transcript, label string, v ...*group.Point) {
	for _, x := range v {
		t.Bytes(label, x.Bytes())
	}
}

// challenge ends a transcript with a scalar, which is also its integer in [0, q).
func challenge(t *transcript.Transcript) (*group.Scalar, *big.Int) {
	wide := t.Sum64()
	e := curve.ReduceScalar(wide[:])
	return e, new(big.Int).SetBytes(e.Bytes())
}

var (
	one = big.NewInt(1)
	// order is the order of secp256k1 (SEC 2 section 2.4.1).
	order, _ = new(big.Int).SetString("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16)
)

// pow2 is 2^n.
func pow2(n int) *big.Int { return new(big.Int).Lsh(one, uint(n)) }

// within says whether |v| <= 2^n.
func within(v *big.Int, n int) bool { return v != nil && v.CmpAbs(pow2(n)) <= 0 }

// ScalarOf is an integer modulo the curve's order.
func ScalarOf(v *arith.Int) *group.Scalar {
	m := v.Mod(order)
	defer m.Erase()
	s, err := curve.DecodeScalar(m.Bytes(32))
	if err != nil {
		panic("zk: reduced integer is no scalar") // cannot be
	}
	return s
}

func publicScalar(v *big.Int) *group.Scalar { return ScalarOf(arith.NewInt(v)) }

// IntOf is a scalar's integer in [0, q).
func IntOf(s *group.Scalar) *arith.Int { return arith.IntFromBytes(s.Bytes()) }
