package frost

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"hash"
	"slices"

	"chancery.dev/internal/group"
	"chancery.dev/tss"
)

// Suite is a FROST ciphersuite: a curve and the hash functions of RFC 9591 section 6.
type Suite struct {
	id   uint8
	name string // context string
}

// The suites. The first two are RFC 9591 sections 6.1 and 6.5; the third is that of the ZF FROST crates for BIP340.
var (
	Ed25519SHA512    = Suite{1, "FROST-ED25519-SHA512-v1"}
	Secp256k1SHA256  = Suite{2, "FROST-secp256k1-SHA256-v1"}
	Secp256k1Taproot = Suite{3, "FROST-secp256k1-SHA256-TR-v1"}
)

// Suites is all of them.
func Suites() []Suite { return []Suite{Ed25519SHA512, Secp256k1SHA256, Secp256k1Taproot} }

// ErrSuite is returned for a suite that is not known.
var ErrSuite = errors.New("ciphersuite is not known")

// SuiteByName finds a suite by its context string.
func SuiteByName(name string) (Suite, error) {
	for _, s := range Suites() {
		if s.name == name {
			return s, nil
		}
	}
	return Suite{}, ErrSuite
}

func suiteByID(id uint8) (Suite, error) {
	for _, s := range Suites() {
		if s.id == id {
			return s, nil
		}
	}
	return Suite{}, ErrSuite
}

// Name is the context string of RFC 9591.
func (s Suite) Name() string { return s.name }

// Curve is the suite's group.
func (s Suite) Curve() group.Curve {
	if s.id == Ed25519SHA512.id {
		return group.Edwards25519
	}
	return group.Secp256k1
}

// xonly says whether keys and nonces have even y, as BIP340 wants.
func (s Suite) xonly() bool { return s.id == Secp256k1Taproot.id }

// SignatureLen is the length of a signature in bytes: 64, or 65 for plain secp256k1, which RFC 9591 encodes with the
// compressed point.
func (s Suite) SignatureLen() int {
	if s.id == Secp256k1SHA256.id {
		return 65
	}
	return 64
}

func (s Suite) newHash() hash.Hash {
	if s.id == Ed25519SHA512.id {
		return sha512.New()
	}
	return sha256.New()
}

// toScalar is H1, H3 and HDKG: the hash of a domain and a message, reduced to a scalar.
func (s Suite) toScalar(domain string, parts ...[]byte) *group.Scalar {
	if s.id == Ed25519SHA512.id {
		return s.Curve().ReduceScalar(s.sum(s.name+domain, parts...))
	}
	return s.Curve().ReduceScalar(expandMessageXMD(s.name+domain, 48, parts...))
}

func (s Suite) sum(prefix string, parts ...[]byte) []byte {
	h := s.newHash()
	h.Write([]byte(prefix))
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// H1 is the binding factor's hash.
func (s Suite) h1(parts ...[]byte) *group.Scalar { return s.toScalar("rho", parts...) }

// challenge is H2 over R, the key and the message: RFC 8032's for Ed25519, BIP340's for Taproot.
func (s Suite) challenge(r, key *group.Point, message []byte) *group.Scalar {
	switch s.id {
	case Ed25519SHA512.id:
		return s.Curve().ReduceScalar(s.sum("", r.Bytes(), key.Bytes(), message))
	case Secp256k1Taproot.id:
		return s.Curve().ReduceScalar(taggedHash("BIP0340/challenge", r.XOnly(), key.XOnly(), message))
	}
	return s.toScalar("chal", r.Bytes(), key.Bytes(), message)
}

// h3 derives a nonce from randomness and the secret share.
func (s Suite) h3(parts ...[]byte) *group.Scalar { return s.toScalar("nonce", parts...) }

func (s Suite) h4(message []byte) []byte { return s.sum(s.name+"msg", message) }
func (s Suite) h5(list []byte) []byte    { return s.sum(s.name+"com", list) }

// hdkg is the challenge of the proof of knowledge in key generation.
func (s Suite) hdkg(parts ...[]byte) *group.Scalar { return s.toScalar("dkg", parts...) }

// encodeID is a party's number as a scalar.
func (s Suite) encodeID(id tss.PartyID) []byte {
	return s.Curve().ScalarFromUint64(uint64(id)).Bytes()
}

// taggedHash is BIP340's.
func taggedHash(tag string, parts ...[]byte) []byte {
	t := sha256.Sum256([]byte(tag))
	h := sha256.New()
	h.Write(t[:])
	h.Write(t[:])
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// expandMessageXMD is RFC 9380 section 5.3.1 with SHA-256, for outputs of up to 255*32 bytes.
func expandMessageXMD(dst string, n int, parts ...[]byte) []byte {
	dstPrime := append([]byte(dst), byte(len(dst)))
	h := sha256.New()
	h.Write(make([]byte, sha256.BlockSize))
	for _, p := range parts {
		h.Write(p)
	}
	h.Write(binary.BigEndian.AppendUint16(nil, uint16(n)))
	h.Write([]byte{0})
	h.Write(dstPrime)
	b0 := h.Sum(nil)
	var out, prev []byte
	for i := byte(1); len(out) < n; i++ {
		x := slices.Clone(b0)
		for j := range prev {
			x[j] ^= prev[j]
		}
		h.Reset()
		h.Write(x)
		h.Write([]byte{i})
		h.Write(dstPrime)
		prev = h.Sum(nil)
		out = append(out, prev...)
	}
	return out[:n]
}

// verify checks a Schnorr signature under a key: z*G = R + c*P, with the encoding of the suite.
func (s Suite) verify(key *group.Point, message, signature []byte) error {
	if len(signature) != s.SignatureLen() {
		return errSignature
	}
	curve := s.Curve()
	split := len(signature) - 32
	z, err := curve.DecodeScalar(signature[split:])
	if err != nil {
		return errSignature
	}
	rBytes := signature[:split]
	if s.xonly() {
		rBytes = append([]byte{2}, rBytes...)
	}
	r, err := curve.DecodePoint(rBytes)
	if err != nil {
		return errSignature
	}
	c := s.challenge(r, key, message)
	if !curve.DoubleMulVartime(z, c.Neg(), key).Equal(r) {
		return errSignature
	}
	return nil
}

var errSignature = errors.New("signature does not verify")

// Verify checks a signature under an encoded key: compressed, or x-only for the Taproot suite.
func (s Suite) Verify(key, message, signature []byte) error {
	if s.xonly() && len(key) == 32 {
		key = append([]byte{2}, key...)
	}
	p, err := s.Curve().DecodePoint(key)
	if err != nil {
		return err
	}
	if s.xonly() && !p.HasEvenY() {
		return errSignature
	}
	return s.verify(p, message, signature)
}

// encodeSignature is R and z in the suite's form. R must have even y in the Taproot suite.
func (s Suite) encodeSignature(r *group.Point, z *group.Scalar) []byte {
	if s.xonly() {
		return append(r.XOnly(), z.Bytes()...)
	}
	return append(r.Bytes(), z.Bytes()...)
}
