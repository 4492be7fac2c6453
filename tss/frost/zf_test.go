package frost

import (
	"bytes"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"testing"

	"chancery.dev/internal/group"
	"chancery.dev/tss"
)

// The crates' own snapshots (tests/snapshots/ of each, release 3.0.0), of party 42 with the points G and 2*G and the
// scalar 1/3: header, identifier, points, scalar, and the start of a proof (length and R) of which the snapshots are made.
var zfSnapshots = map[string]struct{ header, id, g, d, s, proofR string }{
	Ed25519SHA512.Name(): {"00b169f0da", "2a00000000000000000000000000000000000000000000000000000000000000",
		"5866666666666666666666666666666666666666666666666666666666666666", "c9a3f86aae465f0e56513864510f3997561fa2c9e85ea21dc2292309f3cd6022",
		"498d4e9311420c903913a56c94a694b8aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa0a", "405866666666666666666666666666666666666666666666666666666666666666"},
	Secp256k1SHA256.Name(): {"00eed6b1b1", "000000000000000000000000000000000000000000000000000000000000002a",
		"0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798", "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa9d1c9e899ca306ad27fe1945de0242b81", "410279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"},
	Secp256k1Taproot.Name(): {"00230f8ab3", "000000000000000000000000000000000000000000000000000000000000002a",
		"0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798", "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa9d1c9e899ca306ad27fe1945de0242b81", "4079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"},
}

func TestZFSnapshots(t *testing.T) {
	const id = tss.PartyID(42)
	for _, s := range Suites() {
		v := zfSnapshots[s.Name()]
		g, third := s.Curve().Generator(), s.Curve().ScalarFromUint64(3)
		third, err := third.Invert()
		if err != nil {
			t.Fatal(err)
		}
		commitment := newCommitment(id, g, g.Double())
		public := assemble(s, 2, []tss.PartyID{id}, map[tss.PartyID]*group.Point{id: g}, g, [32]byte{})
		for _, c := range []struct {
			name string
			got  []byte
			want string
		}{
			{"signing commitments", commitment.MarshalZF(s), v.header + v.g + v.d},
			{"signing package", (&SigningPackage{public: public, message: []byte("hello world"), commitments: []Commitment{commitment}}).MarshalZF(),
				v.header + "01" + v.id + v.header + v.g + v.d + "0b68656c6c6f20776f726c64"},
			{"signature share", Partial{id, third}.MarshalZF(), v.s},
			{"public key package", public.MarshalZF(), v.header + "01" + v.id + v.g + v.g + "0102"},
			{"key package", (&KeyShare{public: public, self: id, share: third}).MarshalZF().Reveal(), v.header + v.id + v.s + v.g + v.g + "02"},
			{"round 1 package", dealt{[]*group.Point{g}, proof{g, third}}.marshalZF(s), v.header + "01" + v.g + v.proofR + v.s},
		} {
			if hex.EncodeToString(c.got) != c.want {
				t.Errorf("%s: %s is %x, want %s", s.Name(), c.name, c.got, c.want)
			}
		}
	}
}

// zfParts runs the first two parts of ZF's key generation among parties of ours.
func zfParts(t testing.TB, s Suite, threshold int, parties []tss.PartyID) (map[tss.PartyID]*ZFDealing, map[tss.PartyID][]byte, map[tss.PartyID]map[tss.PartyID][]byte) {
	t.Helper()
	dealings, packages, shares := map[tss.PartyID]*ZFDealing{}, map[tss.PartyID][]byte{}, map[tss.PartyID]map[tss.PartyID][]byte{}
	for _, id := range parties {
		var err error
		if dealings[id], packages[id], err = NewZFDealing(s, threshold, id, parties); err != nil {
			t.Fatal(err)
		}
		shares[id] = map[tss.PartyID][]byte{}
	}
	for from, d := range dealings {
		out, err := d.Shares(without(packages, from))
		if err != nil {
			t.Fatal(err)
		}
		for to, share := range out {
			shares[to][from] = share.Reveal()
		}
	}
	return dealings, packages, shares
}

func without(m map[tss.PartyID][]byte, id tss.PartyID) map[tss.PartyID][]byte {
	out := maps.Clone(m)
	delete(out, id)
	return out
}

func zfKeys(t testing.TB, s Suite, threshold int, parties []tss.PartyID) map[tss.PartyID]*KeyShare {
	t.Helper()
	dealings, _, shares := zfParts(t, s, threshold, parties)
	out := map[tss.PartyID]*KeyShare{}
	for id, d := range dealings {
		key, err := d.Finish(shares[id], [32]byte{7})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Finish(shares[id], [32]byte{7}); err == nil {
			t.Error("a dealing finished twice")
		}
		out[id] = key
	}
	return out
}

func TestZFDealing(t *testing.T) {
	for _, s := range Suites() {
		dealings, _, shares := zfParts(t, s, 3, ids(5))
		sum := s.Curve().Identity()
		keys := map[tss.PartyID]*KeyShare{}
		for id, d := range dealings {
			sum = sum.Add(d.packages[id].commitment[0])
			key, err := d.Finish(shares[id], [32]byte{7})
			if err != nil {
				t.Fatal(err)
			}
			keys[id] = key
		}
		want, err := (&PublicKey{suite: s, key: sum}).DerivedKey(Derivation{Taproot: s.xonly()})
		if err != nil {
			t.Fatal(err)
		}
		public := keys[1].Public()
		if got, err := public.DerivedKey(Derivation{}); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: key %x, want %x (%v)", s.Name(), got, want, err)
		}
		for id, k := range keys {
			again, err := UnmarshalZFPublicKey(s, k.Public().MarshalZF(), [32]byte{7})
			if err != nil || !again.Equal(public) {
				t.Fatalf("%s: public key of party %d did not survive: %v", s.Name(), id, err)
			}
			if keys[id], err = UnmarshalZFKeyShare(again, k.MarshalZF().Reveal()); err != nil {
				t.Fatalf("%s: share of party %d did not survive: %v", s.Name(), id, err)
			}
		}
		zfSign(t, keys, []tss.PartyID{1, 3, 4}, []byte("through the formats"))
	}
}

// zfSign signs with everything that is sent encoded and decoded again.
func zfSign(t *testing.T, keys map[tss.PartyID]*KeyShare, signers []tss.PartyID, message []byte) {
	t.Helper()
	public := keys[signers[0]].Public()
	s := public.Suite()
	nonces := map[tss.PartyID]*Nonces{}
	var list []Commitment
	for _, id := range signers {
		nonces[id] = keys[id].Commit()
		c, err := UnmarshalZFCommitment(s, id, nonces[id].Commitment().MarshalZF(s))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	pkg, err := NewSigningPackage(public, list, message, Derivation{})
	if err != nil {
		t.Fatal(err)
	}
	var partials []Partial
	for _, id := range signers {
		received, err := UnmarshalZFSigningPackage(keys[id].Public(), pkg.MarshalZF(), Derivation{})
		if err != nil || !bytes.Equal(received.Message(), message) {
			t.Fatalf("signing package did not survive: %v", err)
		}
		z, err := keys[id].Sign(received, nonces[id])
		if err != nil {
			t.Fatal(err)
		}
		if z, err = UnmarshalZFPartial(s, id, z.MarshalZF()); err != nil {
			t.Fatal(err)
		}
		partials = append(partials, z)
	}
	signature, err := pkg.Combine(partials)
	if err != nil {
		t.Fatal(err)
	}
	key, err := public.DerivedKey(Derivation{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(key, message, signature); err != nil {
		t.Fatal(err)
	}
}

func TestZFDealingBlames(t *testing.T) {
	for _, s := range Suites() {
		wrong := s.Curve().RandomScalar().Bytes()
		blamed := func(err error, check string) {
			t.Helper()
			var fault *tss.Fault
			if !errors.As(err, &fault) || fault.Party != 2 || fault.Check != check {
				t.Errorf("%s: %v, want party 2 and check %q", s.Name(), err, check)
			}
		}
		dealings, packages, shares := zfParts(t, s, 2, ids(3))
		d, _, err := NewZFDealing(s, 2, 1, ids(3))
		if err != nil {
			t.Fatal(err)
		}
		good := packages[2]
		received := map[tss.PartyID][]byte{2: slices.Concat(good[:len(good)-32], wrong), 3: packages[3]}
		_, err = d.Shares(received)
		blamed(err, CheckProof)
		received[2] = packages[3] // another party's proof
		_, err = d.Shares(received)
		blamed(err, CheckProof)
		_, long, err := NewZFDealing(s, 3, 2, ids(3)) // a polynomial of a higher degree
		if err != nil {
			t.Fatal(err)
		}
		received[2] = long
		_, err = d.Shares(received)
		blamed(err, CheckPackage)
		if _, err := d.Shares(packages); err == nil {
			t.Error("a party took a package from itself")
		}
		if _, err := d.Finish(shares[1], [32]byte{}); err == nil {
			t.Error("part 3 ran before part 2")
		}
		shares[1][2] = append(s.zfHeader(), wrong...)
		_, err = dealings[1].Finish(shares[1], [32]byte{})
		blamed(err, CheckShare)
		shares[3][2] = shares[3][2][1:]
		_, err = dealings[3].Finish(shares[3], [32]byte{})
		blamed(err, CheckShare)
		for _, c := range []struct {
			threshold int
			self      tss.PartyID
			parties   []tss.PartyID
		}{{1, 1, ids(3)}, {4, 1, ids(3)}, {2, 4, ids(3)}, {2, 1, []tss.PartyID{0, 1}}, {2, 1, []tss.PartyID{1, 1}}} {
			if _, _, err := NewZFDealing(s, c.threshold, c.self, c.parties); err == nil {
				t.Errorf("%v was accepted", c)
			}
		}
	}
}

// zfFormat is one format: an example, and decoding followed by encoding.
type zfFormat struct {
	name    string
	example []byte
	recode  func([]byte) ([]byte, error)
}

func zfFormats(t testing.TB, s Suite) []zfFormat {
	t.Helper()
	keys := zfKeys(t, s, 2, ids(3))
	public := keys[1].Public()
	own := keys[1].Commit().Commitment()
	pkg, err := NewSigningPackage(public, []Commitment{own, keys[3].Commit().Commitment()}, []byte("message"), Derivation{})
	if err != nil {
		t.Fatal(err)
	}
	_, first, err := NewZFDealing(s, 2, 1, ids(3))
	if err != nil {
		t.Fatal(err)
	}
	return []zfFormat{
		{"commitment", own.MarshalZF(s), func(b []byte) ([]byte, error) {
			c, err := UnmarshalZFCommitment(s, 1, b)
			return c.MarshalZF(s), err
		}},
		{"signing package", pkg.MarshalZF(), func(b []byte) ([]byte, error) {
			p, err := UnmarshalZFSigningPackage(public, b, Derivation{})
			if err != nil {
				return nil, err
			}
			return p.MarshalZF(), nil
		}},
		{"public key", public.MarshalZF(), func(b []byte) ([]byte, error) {
			p, err := UnmarshalZFPublicKey(s, b, [32]byte{})
			if p == nil {
				return nil, err
			}
			return p.MarshalZF(), err
		}},
		{"key share", keys[1].MarshalZF().Reveal(), func(b []byte) ([]byte, error) {
			k, err := UnmarshalZFKeyShare(public, b)
			if err != nil {
				return nil, err
			}
			return k.MarshalZF().Reveal(), nil
		}},
		{"round 1 package", first, func(b []byte) ([]byte, error) {
			p, err := parseZFPackage(s, 2, b)
			if err != nil {
				return nil, err
			}
			return p.marshalZF(s), nil
		}},
	}
}

// One value has one encoding: whatever is accepted is what would have been written.
func TestZFFormatsAreStrict(t *testing.T) {
	for _, s := range Suites() {
		for _, f := range zfFormats(t, s) {
			if again, err := f.recode(f.example); err != nil || !bytes.Equal(again, f.example) {
				t.Fatalf("%s: %s became %x (%v)", s.Name(), f.name, again, err)
			}
			for i := range f.example {
				if _, err := f.recode(f.example[:i]); err == nil {
					t.Errorf("%s: %s was accepted with %d bytes of %d", s.Name(), f.name, i, len(f.example))
				}
				for bit := range 8 {
					changed := slices.Clone(f.example)
					changed[i] ^= 1 << bit
					if again, err := f.recode(changed); err == nil && !bytes.Equal(again, changed) {
						t.Errorf("%s: %s with byte %d changed was accepted as %x", s.Name(), f.name, i, again)
					}
				}
			}
			if _, err := f.recode(append(slices.Clone(f.example), 0)); err == nil {
				t.Errorf("%s: %s was accepted with a byte more", s.Name(), f.name)
			}
		}
	}
}

func TestZFRefuses(t *testing.T) {
	for _, s := range Suites() {
		keys := zfKeys(t, s, 2, ids(3))
		good := keys[1].Public().MarshalZF()
		pair := s.Curve().ScalarLen() + s.Curve().PointLen()
		pairs := func(order ...int) []byte {
			out := append(s.zfHeader(), byte(len(order)))
			for _, i := range order {
				out = append(out, good[6+i*pair:][:pair]...)
			}
			return append(out, good[6+3*pair:]...)
		}
		if !bytes.Equal(pairs(0, 1, 2), good) {
			t.Fatal("the test takes the encoding apart wrongly")
		}
		large := slices.Clone(good)
		large[6] ^= 1 << 4 // an identifier beyond 16 bits, whichever end is the low one
		large[6+31] ^= 1
		long := slices.Concat(good[:5], []byte{0x83, 0}, good[6:])
		for name, b := range map[string][]byte{
			"descending parties":      pairs(1, 0, 2),
			"a party twice":           pairs(0, 1, 1, 2),
			"no party":                pairs(),
			"an identifier too large": large,
			"a count padded":          long,
			"no threshold":            good[:len(good)-2],
			"threshold not given":     append(slices.Clone(good[:len(good)-2]), 0),
			"threshold one":           append(slices.Clone(good[:len(good)-1]), 1),
		} {
			if _, err := UnmarshalZFPublicKey(s, b, [32]byte{}); err == nil {
				t.Errorf("%s: %s was accepted", s.Name(), name)
			}
		}
		other := zfKeys(t, s, 2, ids(3))[1].Public()
		if _, err := UnmarshalZFKeyShare(other, keys[1].MarshalZF().Reveal()); err == nil {
			t.Errorf("%s: a share of another key was accepted", s.Name())
		}
		for _, wrong := range Suites() {
			if wrong != s {
				if _, err := UnmarshalZFPublicKey(wrong, good, [32]byte{}); err == nil {
					t.Errorf("a key of %s was accepted for %s", s.Name(), wrong.Name())
				}
			}
		}
	}
}

func FuzzZF(f *testing.F) {
	var formats []zfFormat
	for _, s := range Suites() {
		formats = append(formats, zfFormats(f, s)...)
	}
	for i, format := range formats {
		f.Add(i, format.example)
	}
	f.Fuzz(func(t *testing.T, which int, b []byte) {
		format := formats[uint(which)%uint(len(formats))]
		if again, err := format.recode(b); err == nil && !bytes.Equal(again, b) {
			t.Errorf("%s %x was accepted as %x", format.name, b, again)
		}
	})
}
