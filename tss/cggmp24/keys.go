package cggmp24

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

// PublicKey is what everybody knows of a threshold key. It is immutable and valid by construction: the verifying shares lie
// on one polynomial of degree threshold-1 whose constant term is the group key.
type PublicKey struct {
	threshold int
	ids       []tss.PartyID // ascending
	shares    map[tss.PartyID]*group.Point
	key       *group.Point
	chain     [32]byte
	rid       [32]byte // joint randomness of key generation
	encoded   []byte
}

// KeyShare is one party's part of a key.
type KeyShare struct {
	_      [0]func()
	public *PublicKey
	self   tss.PartyID
	share  *group.Scalar
}

// newPublicKey checks every public relation.
func newPublicKey(threshold int, shares map[tss.PartyID]*group.Point, key *group.Point, chain, rid [32]byte) (*PublicKey, error) {
	p := &PublicKey{threshold: threshold, shares: shares, key: key.Encoded(), chain: chain, rid: rid}
	for id := range shares {
		p.ids = append(p.ids, id)
	}
	slices.Sort(p.ids)
	if threshold < MinThreshold || threshold > min(len(p.ids), MaxThreshold) || len(p.ids) > MaxParties {
		return nil, fmt.Errorf("threshold %d of %d parties is not possible", threshold, len(p.ids))
	}
	if key.IsIdentity() {
		return nil, errors.New("group key is the identity")
	}
	for _, id := range p.ids {
		if id == 0 || shares[id].IsIdentity() {
			return nil, fmt.Errorf("verifying share of party %d is not valid", id)
		}
	}
	if err := p.checkPolynomial(); err != nil {
		return nil, err
	}
	p.encoded = p.encode()
	return p, nil
}

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
		scalars[i], points[i] = lagrange(from, id, at), p.shares[id]
	}
	return curve.MultiMulVartime(scalars, points)
}

// lagrange is the coefficient of a party among ascending, distinct parties.
func lagrange(ids []tss.PartyID, id, at tss.PartyID) *group.Scalar {
	numbers := make([]uint16, len(ids))
	for i, other := range ids {
		numbers[i] = uint16(other)
	}
	l, err := shamir.LagrangeAt(curve, numbers, uint16(id), uint16(at))
	if err != nil {
		panic("cggmp24: " + err.Error()) // callers hold valid lists
	}
	return l
}

// Threshold is how many parties must sign.
func (p *PublicKey) Threshold() int { return p.threshold }

// Parties are the holders of shares, ascending.
func (p *PublicKey) Parties() []tss.PartyID { return slices.Clone(p.ids) }

// GroupKey is the compressed group key.
func (p *PublicKey) GroupKey() []byte { return p.key.Bytes() }

// ChainCode is BIP32's, made in key generation and kept through refresh and resharing.
func (p *PublicKey) ChainCode() [32]byte { return p.chain }

// Equal says whether two public keys are the same in every part.
func (p *PublicKey) Equal(o *PublicKey) bool { return p == o || slices.Equal(p.encoded, o.encoded) }

// Marshal is: version, threshold, count (2 bytes each), chain code, rid, group key, then number and verifying share of each
// party, ascending.
func (p *PublicKey) Marshal() []byte { return slices.Clone(p.encoded) }

func (p *PublicKey) encode() []byte {
	out := binary.BigEndian.AppendUint16([]byte{version}, uint16(p.threshold))
	out = binary.BigEndian.AppendUint16(out, uint16(len(p.ids)))
	out = append(append(append(out, p.chain[:]...), p.rid[:]...), p.key.Bytes()...)
	for _, id := range p.ids {
		out = binary.BigEndian.AppendUint16(out, uint16(id))
		out = append(out, p.shares[id].Bytes()...)
	}
	return out
}

// UnmarshalPublicKey reads what Marshal wrote and checks every public relation.
func UnmarshalPublicKey(b []byte) (*PublicKey, error) {
	r := reader{b: b}
	if r.byte() != version {
		return nil, errKey
	}
	threshold, n := int(r.uint16()), int(r.uint16())
	chain, rid, key := r.array32(), r.array32(), r.point()
	if n > MaxParties {
		return nil, errKey
	}
	shares := map[tss.PartyID]*group.Point{}
	last := tss.PartyID(0)
	for range n {
		id := tss.PartyID(r.uint16())
		if id <= last {
			return nil, errKey
		}
		last, shares[id] = id, r.point()
	}
	if r.end() != nil {
		return nil, errKey
	}
	return newPublicKey(threshold, shares, key, chain, rid)
}

// newKeyShare checks that the share is this party's, and not zero.
func newKeyShare(public *PublicKey, self tss.PartyID, share *group.Scalar) (*KeyShare, error) {
	verifying, ok := public.shares[self]
	if !ok || share.IsZero() || !curve.BaseMul(share).Equal(verifying) {
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
	share, err := curve.DecodeScalar(b[2:34])
	if err != nil {
		return nil, errKey
	}
	defer share.Erase()
	return newKeyShare(public, tss.PartyID(binary.BigEndian.Uint16(b)), share)
}

// String prints no share.
func (k *KeyShare) String() string { return "key share of party " + fmt.Sprint(uint16(k.self)) }
