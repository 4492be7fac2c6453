package frost

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"

	"chancery.dev/internal/group"
	"chancery.dev/internal/secret"
	"chancery.dev/internal/shamir"
	"chancery.dev/tss"
)

// The formats of the ZF FROST crates, version 3 (frost-ed25519, frost-secp256k1, frost-secp256k1-tr), and a participant of
// their key generation, to move keys and to sign together with them. Nothing of ours is sent or stored in them.
//
// They are postcard encodings: a header of version 0 and the CRC-32 of the suite's context string, then the fields in
// order. Scalars, points and identifiers (scalars) have fixed width; lengths are varints; a map is its count and its pairs
// in ascending order. The decoders here take the one encoding that the crates write, and nothing after it.

// zfVersion is the format's version, which has been 0 in every release.
const zfVersion = 0

func (s Suite) zfHeader() []byte {
	return binary.BigEndian.AppendUint32([]byte{zfVersion}, crc32.ChecksumIEEE([]byte(s.name)))
}

func (r *reader) zfHeader(s Suite) {
	if !bytes.Equal(r.take(5), s.zfHeader()) {
		r.failed = true
	}
}

// varint reads a number of up to limit in its shortest encoding.
func (r *reader) varint(limit int) int {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > uint64(limit) || n != len(binary.AppendUvarint(nil, v)) {
		r.failed, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return int(v)
}

// zfID reads an identifier. The crates allow any scalar; a party's number is one of 16 bits that is not zero.
func (r *reader) zfID(s Suite) tss.PartyID {
	b := r.take(s.Curve().ScalarLen())
	id := tss.PartyID(binary.BigEndian.Uint16(b[len(b)-2:]))
	if s.Curve() == group.Edwards25519 {
		id = tss.PartyID(binary.LittleEndian.Uint16(b))
	}
	if id == 0 || !bytes.Equal(b, s.encodeID(id)) {
		r.failed = true
	}
	return id
}

// zfMap reads a map by identifier, whose pairs must be ascending.
func (r *reader) zfMap(s Suite, value func(tss.PartyID)) {
	last := tss.PartyID(0)
	for range r.varint(MaxParties) {
		id := r.zfID(s)
		if id <= last {
			r.failed = true
		}
		if r.failed {
			return
		}
		last = id
		value(id)
	}
}

// MarshalZF is a SigningCommitments: header, hiding and binding commitment.
func (c Commitment) MarshalZF(s Suite) []byte { return append(s.zfHeader(), c.encoded...) }

// UnmarshalZFCommitment reads a SigningCommitments, which does not say whose it is.
func UnmarshalZFCommitment(s Suite, from tss.PartyID, b []byte) (Commitment, error) {
	r := reader{b: b}
	c := r.zfCommitment(s, from)
	if r.end() != nil || from == 0 {
		return Commitment{}, errMessage
	}
	return c, nil
}

func (r *reader) zfCommitment(s Suite, from tss.PartyID) Commitment {
	r.zfHeader(s)
	return newCommitment(from, r.point(s), r.point(s))
}

// MarshalZF is a SigningPackage: header, map of identifiers to SigningCommitments, message. It holds neither the key nor
// the derivation; with Derivation.Taproot, ZF's signers must sign with the tweak of the same merkle root.
func (p *SigningPackage) MarshalZF() []byte {
	s := p.public.suite
	out := binary.AppendUvarint(s.zfHeader(), uint64(len(p.commitments)))
	for _, c := range p.commitments {
		out = append(append(out, s.encodeID(c.id)...), c.MarshalZF(s)...)
	}
	return append(binary.AppendUvarint(out, uint64(len(p.message))), p.message...)
}

// UnmarshalZFSigningPackage reads a SigningPackage for a key that is known here, and checks it as NewSigningPackage does.
// The caller decides on the message (Message) and the derivation before it signs.
func UnmarshalZFSigningPackage(public *PublicKey, b []byte, d Derivation) (*SigningPackage, error) {
	s, r := public.suite, reader{b: b}
	var list []Commitment
	r.zfHeader(s)
	r.zfMap(s, func(id tss.PartyID) { list = append(list, r.zfCommitment(s, id)) })
	message := r.take(r.varint(MaxMessage))
	if r.end() != nil {
		return nil, errMessage
	}
	return NewSigningPackage(public, list, message, d)
}

// Message is what the package is for.
func (p *SigningPackage) Message() []byte { return slices.Clone(p.message) }

// MarshalZF is a SignatureShare: the bare scalar.
func (s Partial) MarshalZF() []byte { return s.z.Bytes() }

// UnmarshalZFPartial reads a SignatureShare, which does not say whose it is.
func UnmarshalZFPartial(suite Suite, from tss.PartyID, b []byte) (Partial, error) {
	r := reader{b: b}
	z := r.scalar(suite)
	if r.end() != nil || from == 0 {
		return Partial{}, errMessage
	}
	return Partial{from, z}, nil
}

// MarshalZF is a PublicKeyPackage: header, map of identifiers to verifying shares, verifying key, threshold (an
// option, which version 2 left out and which must be there here). The chain code has no place in it.
func (p *PublicKey) MarshalZF() []byte {
	out := binary.AppendUvarint(p.suite.zfHeader(), uint64(len(p.ids)))
	for _, id := range p.ids {
		out = append(append(out, p.suite.encodeID(id)...), p.shares[id].Bytes()...)
	}
	return binary.AppendUvarint(append(append(out, p.key.Bytes()...), 1), uint64(p.threshold))
}

// UnmarshalZFPublicKey reads a PublicKeyPackage and checks every public relation. All parties must give the same chain
// code, which ZF's keys lack; zero will do for a key that derives nothing.
func UnmarshalZFPublicKey(s Suite, b []byte, chain [32]byte) (*PublicKey, error) {
	r := reader{b: b}
	shares := map[tss.PartyID]*group.Point{}
	r.zfHeader(s)
	r.zfMap(s, func(id tss.PartyID) { shares[id] = r.point(s) })
	key := r.point(s)
	if r.byte() != 1 {
		r.failed = true
	}
	threshold := r.varint(MaxParties)
	if r.end() != nil {
		return nil, errKey
	}
	return newPublicKey(s, threshold, shares, key, chain)
}

// MarshalZF is a KeyPackage: header, identifier, signing share, verifying share, verifying key, threshold.
func (k *KeyShare) MarshalZF() *secret.Bytes {
	p, share := k.public, k.share.Bytes()
	defer secret.Wipe(share)
	out := slices.Concat(p.suite.zfHeader(), p.suite.encodeID(k.self), share, p.shares[k.self].Bytes(), p.key.Bytes())
	return secret.New(binary.AppendUvarint(out, uint64(p.threshold)))
}

// UnmarshalZFKeyShare reads a KeyPackage of a key whose public part is known, and checks that it is of that key.
func UnmarshalZFKeyShare(public *PublicKey, b []byte) (*KeyShare, error) {
	s, r := public.suite, reader{b: b}
	r.zfHeader(s)
	id, share := r.zfID(s), r.scalar(s)
	defer share.Erase()
	verifying, key, threshold := r.point(s), r.point(s), r.varint(MaxParties)
	if r.end() != nil {
		return nil, errKey
	}
	if !key.Equal(public.key) || threshold != public.threshold || public.shares[id] == nil || !verifying.Equal(public.shares[id]) {
		return nil, errors.New("key package is of another key")
	}
	return newKeyShare(public, id, share)
}

// marshalZF is a round 1 package of key generation: header, commitment with its length, proof of knowledge in the form of
// a signature with its length.
func (p dealt) marshalZF(s Suite) []byte {
	out := binary.AppendUvarint(s.zfHeader(), uint64(len(p.commitment)))
	for _, c := range p.commitment {
		out = append(out, c.Bytes()...)
	}
	return append(binary.AppendUvarint(out, uint64(s.SignatureLen())), s.encodeSignature(p.proof.r, p.proof.z)...)
}

// parseZFPackage reads a round 1 package of exactly this threshold. In the Taproot suite R is x-only and has even y.
func parseZFPackage(s Suite, threshold int, b []byte) (dealt, error) {
	r := reader{b: b}
	var out dealt
	r.zfHeader(s)
	if r.varint(MaxParties) != threshold {
		return dealt{}, errMessage
	}
	for range threshold {
		out.commitment = append(out.commitment, r.point(s))
	}
	if r.varint(s.SignatureLen()) != s.SignatureLen() {
		return dealt{}, errMessage
	}
	if s.xonly() {
		r.b = append([]byte{2}, r.b...)
	}
	out.proof = proof{r.point(s), r.scalar(s)}
	return out, r.end()
}

// ZFDealing is a participant of ZF's key generation (keys::dkg), for a key that is shared with other software. It is
// weaker than NewDKG: the proofs of knowledge are bound to no session, nothing is echoed and nobody confirms. The caller
// must see to it that all participants got the same round 1 packages and ended with the same public key. A fault carries
// no evidence, as nothing is signed.
type ZFDealing struct {
	_         [0]func()
	suite     Suite
	threshold int
	self      tss.PartyID
	ids       []tss.PartyID
	poly      *shamir.Polynomial
	packages  map[tss.PartyID]dealt
}

// NewZFDealing is part 1: it gives the package that goes to all other parties.
func NewZFDealing(s Suite, threshold int, self tss.PartyID, parties []tss.PartyID) (*ZFDealing, []byte, error) {
	if err := shamir.Indices(numbers(parties)); err != nil {
		return nil, nil, err
	}
	if threshold < MinThreshold || threshold > len(parties) || len(parties) > MaxParties || !has(parties, self) {
		return nil, nil, fmt.Errorf("party %d cannot deal for threshold %d of %d parties", self, threshold, len(parties))
	}
	constant := s.Curve().RandomScalar()
	defer constant.Erase()
	poly, err := shamir.NewPolynomial(constant, threshold-1)
	if err != nil {
		return nil, nil, err
	}
	own := dealt{commitment: poly.Commit()}
	own.proof = prove(s, nil, self, constant, own.commitment[0])
	for s.xonly() && !own.proof.r.HasEvenY() { // the format has no room for the other parity
		own.proof = prove(s, nil, self, constant, own.commitment[0])
	}
	d := &ZFDealing{suite: s, threshold: threshold, self: self, ids: slices.Sorted(slices.Values(parties)), poly: poly}
	d.packages = map[tss.PartyID]dealt{self: own}
	return d, own.marshalZF(s), nil
}

// Shares is part 2: it takes the packages of all other parties, verifies their proofs, and gives the round 2 packages,
// each for one party's eyes only. A wrong package is a *tss.Fault.
func (d *ZFDealing) Shares(packages map[tss.PartyID][]byte) (map[tss.PartyID]*secret.Bytes, error) {
	if err := d.others(packages); err != nil || len(d.packages) != 1 {
		return nil, errors.Join(err, errors.New("packages are not those of this step"))
	}
	parsed, out := map[tss.PartyID]dealt{d.self: d.packages[d.self]}, map[tss.PartyID]*secret.Bytes{}
	for _, id := range d.peers() {
		p, err := parseZFPackage(d.suite, d.threshold, packages[id])
		if err != nil {
			return nil, &tss.Fault{Party: id, Round: roundPackage, Check: CheckPackage}
		}
		if !p.proof.verify(d.suite, nil, id, p.commitment[0]) {
			return nil, &tss.Fault{Party: id, Round: roundPackage, Check: CheckProof}
		}
		parsed[id] = p
	}
	for _, id := range d.peers() {
		out[id] = secret.New(append(d.suite.zfHeader(), d.poly.Eval(uint16(id)).Bytes()...))
	}
	d.packages = parsed
	return out, nil
}

// Finish is part 3: it takes the round 2 packages for this party and gives its share. In the Taproot suite the key is
// tweaked, as ZF's crate does it, with the hash that commits to no script tree (BIP341), so that nobody's contribution can
// hide one: sign for the output key with an empty Derivation. A wrong share is a *tss.Fault. The polynomial is erased.
func (d *ZFDealing) Finish(shares map[tss.PartyID][]byte, chain [32]byte) (*KeyShare, error) {
	if err := d.others(shares); err != nil || len(d.packages) != len(d.ids) {
		return nil, errors.Join(err, errors.New("packages are not those of this step"))
	}
	defer d.Close()
	sum, commitment := d.poly.Eval(uint16(d.self)), d.packages[d.self].commitment
	defer func() { sum.Erase() }()
	for _, id := range d.peers() {
		r := reader{b: shares[id]}
		r.zfHeader(d.suite)
		share := r.scalar(d.suite)
		if r.end() != nil || !d.suite.Curve().BaseMul(share).Equal(d.packages[id].commitment.Eval(uint16(d.self))) {
			return nil, &tss.Fault{Party: id, Round: roundShare, Check: CheckShare}
		}
		sum = sum.Add(share)
		share.Erase()
		var err error
		if commitment, err = commitment.Add(d.packages[id].commitment); err != nil {
			return nil, err
		}
	}
	return d.result(sum, commitment, chain)
}

func (d *ZFDealing) result(sum *group.Scalar, commitment shamir.Commitment, chain [32]byte) (*KeyShare, error) {
	tweak, err := zfTweak(d.suite, commitment[0])
	if err != nil {
		return nil, err
	}
	verifying := map[tss.PartyID]*group.Point{}
	for _, id := range d.ids {
		verifying[id] = tweak.point(commitment.Eval(uint16(id)))
	}
	public, err := newPublicKey(d.suite, d.threshold, verifying, tweak.key, chain)
	if err != nil {
		return nil, err
	}
	share := tweak.share(sum)
	defer share.Erase()
	return newKeyShare(public, d.self, share)
}

// zfTweak is what ZF's crates do to a generated key: nothing, or for Taproot y made even and the tweak added. The result's
// y is left as it is.
func zfTweak(s Suite, key *group.Point) (derived, error) {
	out, err := (&PublicKey{suite: s, key: key}).derive(Derivation{})
	if err != nil || !s.xonly() {
		return out, err
	}
	tweak, err := s.Curve().DecodeScalar(taggedHash("TapTweak", out.key.XOnly()))
	if err != nil {
		return out, errDerivation
	}
	return out, out.plus(tweak)
}

// peers are the other parties, ascending.
func (d *ZFDealing) peers() []tss.PartyID {
	return slices.DeleteFunc(slices.Clone(d.ids), func(id tss.PartyID) bool { return id == d.self })
}

// others wants a message of every other party and of nobody else.
func (d *ZFDealing) others(messages map[tss.PartyID][]byte) error {
	if !slices.Equal(slices.Sorted(maps.Keys(messages)), d.peers()) {
		return errors.New("messages of all other parties are needed")
	}
	return nil
}

// Close erases the polynomial. It may be called twice.
func (d *ZFDealing) Close() {
	d.poly.Erase()
	d.packages = nil
}
