package frost

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/binary"
	"errors"

	"chancery.dev/internal/group"
)

// Derivation says which key below the group key signs. The engine computes every tweak itself; it takes none from outside.
type Derivation struct {
	Path       []uint32 // BIP32 steps, unhardened
	Taproot    bool     // BIP341 key path: the output key of the derived internal key
	MerkleRoot []byte   // of the script tree; nil for none, as in BIP86
}

var (
	errDerivation = errors.New("derivation is not possible for this key")
	errHardened   = errors.New("a threshold key has no hardened children")
)

// derived is the affine map from the group key to the key that signs: key = sign*(group key) + add*G, and the same for
// every share, because the constant add is the same polynomial for all.
type derived struct {
	negate bool
	add    *group.Scalar
	key    *group.Point // the key that verifies; even y in the Taproot suite
}

// derive follows the path, and for the Taproot suite normalises, tweaks and normalises again (BIP341, BIP340).
func (p *PublicKey) derive(d Derivation) (derived, error) {
	out := derived{add: p.suite.Curve().Zero(), key: p.key}
	if (len(d.Path) > 0 || d.Taproot) && p.suite.Curve() != group.Secp256k1 || d.Taproot && !p.suite.xonly() || len(d.Path) > MaxPath {
		return out, errDerivation
	}
	if len(d.MerkleRoot) != 0 && (len(d.MerkleRoot) != 32 || !d.Taproot) {
		return out, errDerivation
	}
	chain := p.chain
	for _, index := range d.Path {
		tweak, next, err := childTweak(out.key, chain, index)
		if err != nil {
			return out, err
		}
		if err := out.plus(tweak); err != nil {
			return out, err
		}
		chain = next
	}
	if p.suite.xonly() {
		out.normalise()
	}
	if d.Taproot {
		tweak, err := p.suite.Curve().DecodeScalar(taggedHash("TapTweak", out.key.XOnly(), d.MerkleRoot))
		if err != nil {
			return out, errDerivation
		}
		if err := out.plus(tweak); err != nil {
			return out, err
		}
		out.normalise()
	}
	return out, nil
}

func (d *derived) plus(tweak *group.Scalar) error {
	d.add = d.add.Add(tweak)
	d.key = d.key.Add(d.key.Curve().BaseMul(tweak)).Encoded()
	if d.key.IsIdentity() {
		return errDerivation
	}
	return nil
}

// normalise makes the key's y even, negating the map when it must.
func (d *derived) normalise() {
	if !d.key.HasEvenY() {
		d.key, d.add, d.negate = d.key.Neg(), d.add.Neg(), !d.negate
	}
}

// share maps a secret share; point maps a verifying share.
func (d derived) share(s *group.Scalar) *group.Scalar {
	if d.negate {
		s = s.Neg()
	}
	return s.Add(d.add)
}

func (d derived) point(p *group.Point) *group.Point {
	if d.negate {
		p = p.Neg()
	}
	if d.add.IsZero() {
		return p
	}
	return p.Add(p.Curve().BaseMul(d.add))
}

// childTweak is BIP32's CKDpub: the scalar to add and the child's chain code.
func childTweak(parent *group.Point, chain [32]byte, index uint32) (*group.Scalar, [32]byte, error) {
	if index >= 1<<31 {
		return nil, chain, errHardened
	}
	mac := hmac.New(sha512.New, chain[:])
	mac.Write(parent.Bytes())
	mac.Write(binary.BigEndian.AppendUint32(nil, index))
	sum := mac.Sum(nil)
	tweak, err := group.Secp256k1.DecodeScalar(sum[:32])
	if err != nil {
		return nil, chain, errDerivation // probability 2^-127; BIP32 says to go to the next index
	}
	return tweak, [32]byte(sum[32:]), nil
}

// DerivedKey is the key that a derivation signs under: x-only (32 bytes) in the Taproot suite, compressed otherwise.
func (p *PublicKey) DerivedKey(d Derivation) ([]byte, error) {
	out, err := p.derive(d)
	if err != nil {
		return nil, err
	}
	if p.suite.xonly() {
		return out.key.XOnly(), nil
	}
	return out.key.Bytes(), nil
}
