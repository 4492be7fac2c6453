package frost

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"chancery.dev/internal/group"
	"chancery.dev/internal/secret"
	"chancery.dev/internal/shamir"
	"chancery.dev/tss"
)

// PublicKey is what everybody knows of a threshold key: the group key, every party's verifying share, the threshold and
// the chain code. It is immutable and valid by construction: the verifying shares interpolate to the group key.
type PublicKey struct {
	suite     Suite
	threshold int
	ids       []tss.PartyID // ascending
	shares    map[tss.PartyID]*group.Point
	key       *group.Point
	chain     [32]byte
	encoded   []byte // what Marshal gives
}

// KeyShare is one party's part of a key.
type KeyShare struct {
	_      [0]func()
	public *PublicKey
	self   tss.PartyID
	share  *group.Scalar
}

// keyVersion begins every encoded key.
const keyVersion = 1

var errKey = errors.New("encoded key is not valid")

// newPublicKey checks every public relation: the shares of all parties lie on one polynomial of degree threshold-1 whose
// constant term is the group key. The degree is exact: fewer parties than the threshold do not interpolate to the key.
func newPublicKey(suite Suite, threshold int, shares map[tss.PartyID]*group.Point, key *group.Point, chain [32]byte) (*PublicKey, error) {
	ids := make([]tss.PartyID, 0, len(shares))
	for id := range shares {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	if threshold < MinThreshold || threshold > len(ids) || len(ids) > MaxParties {
		return nil, fmt.Errorf("threshold %d of %d parties is not possible", threshold, len(ids))
	}
	if key.IsIdentity() {
		return nil, errors.New("group key is the identity")
	}
	for _, id := range ids {
		if id == 0 || shares[id].IsIdentity() {
			return nil, fmt.Errorf("verifying share of party %d is not valid", id)
		}
	}
	p := assemble(suite, threshold, ids, shares, key, chain)
	return p, p.checkPolynomial()
}

// assemble makes a public key whose relations hold by construction or are checked next.
func assemble(suite Suite, threshold int, ids []tss.PartyID, shares map[tss.PartyID]*group.Point, key *group.Point, chain [32]byte) *PublicKey {
	p := &PublicKey{suite: suite, threshold: threshold, ids: ids, shares: shares, key: key.Encoded(), chain: chain}
	p.encoded = p.encode()
	return p
}

// checkPolynomial interpolates the group key from the first threshold shares, and every further share from the same ones.
func (p *PublicKey) checkPolynomial() error {
	base := p.ids[:p.threshold]
	if !p.interpolate(base, 0).Equal(p.key) {
		return errors.New("verifying shares do not interpolate to the group key")
	}
	for _, id := range p.ids[p.threshold:] {
		if !p.interpolate(base, id).Equal(p.shares[id]) {
			return fmt.Errorf("verifying share of party %d is not on the polynomial", id)
		}
	}
	if p.interpolate(base[:p.threshold-1], 0).Equal(p.key) {
		return errors.New("fewer parties than the threshold hold the key")
	}
	return nil
}

func (p *PublicKey) interpolate(from []tss.PartyID, at tss.PartyID) *group.Point {
	scalars, points := make([]*group.Scalar, len(from)), make([]*group.Point, len(from))
	for i, id := range from {
		l, err := shamir.LagrangeAt(p.suite.Curve(), numbers(from), uint16(id), uint16(at))
		if err != nil {
			panic("frost: " + err.Error()) // ids are ascending and not zero
		}
		scalars[i], points[i] = l, p.shares[id]
	}
	return p.suite.Curve().MultiMulVartime(scalars, points)
}

func numbers(ids []tss.PartyID) []uint16 {
	out := make([]uint16, len(ids))
	for i, id := range ids {
		out[i] = uint16(id)
	}
	return out
}

// Suite is the key's ciphersuite.
func (p *PublicKey) Suite() Suite { return p.suite }

// Threshold is how many parties must sign.
func (p *PublicKey) Threshold() int { return p.threshold }

// Parties are the holders of shares, ascending.
func (p *PublicKey) Parties() []tss.PartyID { return slices.Clone(p.ids) }

// GroupKey is the compressed group key.
func (p *PublicKey) GroupKey() []byte { return p.key.Bytes() }

// ChainCode is BIP32's, made in key generation and kept through refresh and resharing.
func (p *PublicKey) ChainCode() [32]byte { return p.chain }

// VerifyingShare is a party's compressed verifying share.
func (p *PublicKey) VerifyingShare(id tss.PartyID) ([]byte, error) {
	s, ok := p.shares[id]
	if !ok {
		return nil, fmt.Errorf("party %d holds no share", id)
	}
	return s.Bytes(), nil
}

// Equal says whether two public keys are the same in every part.
func (p *PublicKey) Equal(o *PublicKey) bool { return p == o || slices.Equal(p.encoded, o.encoded) }

// Marshal is: version, suite (1 byte each), threshold, count (2 bytes each), chain code, group key, then number and
// verifying share of each party, ascending.
func (p *PublicKey) Marshal() []byte { return slices.Clone(p.encoded) }

func (p *PublicKey) encode() []byte {
	out := []byte{keyVersion, p.suite.id}
	out = binary.BigEndian.AppendUint16(out, uint16(p.threshold))
	out = binary.BigEndian.AppendUint16(out, uint16(len(p.ids)))
	out = append(out, p.chain[:]...)
	out = append(out, p.key.Bytes()...)
	for _, id := range p.ids {
		out = binary.BigEndian.AppendUint16(out, uint16(id))
		out = append(out, p.shares[id].Bytes()...)
	}
	return out
}

// UnmarshalPublicKey reads what Marshal wrote and checks every public relation.
func UnmarshalPublicKey(b []byte) (*PublicKey, error) {
	r := reader{b: b}
	if r.byte() != keyVersion {
		return nil, errKey
	}
	suite, err := suiteByID(r.byte())
	if err != nil {
		return nil, err
	}
	threshold, n := int(r.uint16()), int(r.uint16())
	if n > MaxParties {
		return nil, errKey
	}
	chain := [32]byte(r.take(32))
	key := r.point(suite)
	shares := map[tss.PartyID]*group.Point{}
	last := tss.PartyID(0)
	for range n {
		id := tss.PartyID(r.uint16())
		point := r.point(suite)
		if id <= last {
			return nil, errKey
		}
		last = id
		shares[id] = point
	}
	if r.end() != nil {
		return nil, errKey
	}
	return newPublicKey(suite, threshold, shares, key, chain)
}

// newKeyShare checks that the share is this party's: share*G is its verifying share, and it is not zero.
func newKeyShare(public *PublicKey, self tss.PartyID, share *group.Scalar) (*KeyShare, error) {
	verifying, ok := public.shares[self]
	if !ok || share.IsZero() || !public.suite.Curve().BaseMul(share).Equal(verifying) {
		return nil, errors.New("share does not fit the public key")
	}
	return &KeyShare{public: public, self: self, share: share.Clone()}, nil
}

// Public is the key's public part.
func (k *KeyShare) Public() *PublicKey { return k.public }

// Party is whose share this is.
func (k *KeyShare) Party() tss.PartyID { return k.self }

// Close erases the share. It may be called twice.
func (k *KeyShare) Close() {
	if k != nil {
		k.share.Erase()
	}
}

// Marshal is the party's number, the share, and the public key's encoding.
func (k *KeyShare) Marshal() *secret.Bytes {
	out := binary.BigEndian.AppendUint16(nil, uint16(k.self))
	share := k.share.Bytes()
	out = append(append(out, share...), k.public.Marshal()...)
	secret.Wipe(share)
	return secret.New(out)
}

// UnmarshalKeyShare reads what Marshal wrote and checks every relation, public and secret.
func UnmarshalKeyShare(b []byte) (*KeyShare, error) {
	if len(b) < 34 {
		return nil, errKey
	}
	public, err := UnmarshalPublicKey(b[34:])
	if err != nil {
		return nil, err
	}
	share, err := public.suite.Curve().DecodeScalar(b[2:34])
	if err != nil {
		return nil, errKey
	}
	defer share.Erase()
	return newKeyShare(public, tss.PartyID(binary.BigEndian.Uint16(b)), share)
}

// String prints no share.
func (k *KeyShare) String() string { return "key share of party " + fmt.Sprint(uint16(k.self)) }
