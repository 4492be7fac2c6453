//go:build interop

// Package interop signs together with other implementations: here with the ZF FROST crates, in processes of their own.
package interop

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"chancery.dev/internal/secret"
	"chancery.dev/tss"
	"chancery.dev/tss/frost"
)

const threshold = 3

// Who is who of the five parties of every key.
var (
	everyone = []tss.PartyID{1, 2, 3, 4, 5}
	inGo     = []tss.PartyID{1, 4}
	inRust   = []tss.PartyID{2, 3, 5}
	signers  = [][]tss.PartyID{{1, 2, 3}, {1, 2, 4}, {2, 4, 5}, everyone}
)

var suites = []frost.Suite{frost.Ed25519SHA512, frost.Secp256k1Taproot}

// chain is the chain code of all keys; ZF's have none.
var chain = sha256.Sum256([]byte("chain code"))

// shared is one key whose shares are partly held by us and partly by the Rust process.
type shared struct {
	rust     *rust
	public   *frost.PublicKey
	publicZF hexBytes // the same, as the crates have it
	ours     map[tss.PartyID]*frost.KeyShare
}

// origins are the ways in which a key comes to be.
var origins = map[string]func(t *testing.T, r *rust) shared{
	"dealer of ZF": func(t *testing.T, r *rust) shared {
		dealt := r.must(t, request{Op: "deal", Parties: len(everyone), Threshold: threshold})
		return r.distribute(t, dealt.Public, dealt.Keys)
	},
	"DKG of ZF": func(t *testing.T, r *rust) shared {
		c := newCeremony(t, r, nil)
		c.exchangePackages(t)
		c.exchangeShares(t)
		_, theirs := c.finish(t)
		return r.distribute(t, c.public(t, nil, theirs), keysOf(theirs))
	},
	"DKG of both": func(t *testing.T, r *rust) shared {
		c := newCeremony(t, r, inGo)
		c.exchangePackages(t)
		c.exchangeShares(t)
		ours, theirs := c.finish(t)
		return shared{rust: r, public: ours[1].Public(), publicZF: c.public(t, ours, theirs), ours: ours}
	},
	"DKG of ours": func(t *testing.T, r *rust) shared {
		shares := engineKey(t, r.suite)
		keys := byParty{}
		for id, s := range shares {
			keys[id] = s.MarshalZF().Reveal()
		}
		return r.distribute(t, shares[1].Public().MarshalZF(), keys)
	},
}

// distribute gives every party its share of a key that was made in one place.
func (r *rust) distribute(t *testing.T, publicZF hexBytes, keys byParty) shared {
	t.Helper()
	public, err := frost.UnmarshalZFPublicKey(r.suite, publicZF, chain)
	if err != nil {
		t.Fatal(err)
	}
	if public.Threshold() != threshold || !slices.Equal(public.Parties(), everyone) {
		t.Fatalf("key is %d of %v", public.Threshold(), public.Parties())
	}
	out := shared{rust: r, public: public, publicZF: publicZF, ours: map[tss.PartyID]*frost.KeyShare{}}
	for _, id := range inGo {
		if out.ours[id], err = frost.UnmarshalZFKeyShare(public, keys[id]); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range inRust {
		r.must(t, request{Op: "load", Party: id, Key: keys[id]})
	}
	return out
}

// ceremony is a run of ZF's key generation in which some of the five participants are ours and the others are Rust's.
type ceremony struct {
	rust     *rust
	theirs   []tss.PartyID
	dealings map[tss.PartyID]*frost.ZFDealing
	packages byParty
	shares   map[tss.PartyID]byParty // by receiver, then by sender
}

func newCeremony(t *testing.T, r *rust, ours []tss.PartyID) *ceremony {
	t.Helper()
	c := &ceremony{rust: r, dealings: map[tss.PartyID]*frost.ZFDealing{}, packages: byParty{}, shares: map[tss.PartyID]byParty{}}
	for _, id := range everyone {
		c.shares[id] = byParty{}
		if !slices.Contains(ours, id) {
			c.theirs = append(c.theirs, id)
			continue
		}
		d, first, err := frost.NewZFDealing(r.suite, threshold, id, everyone)
		if err != nil {
			t.Fatal(err)
		}
		c.dealings[id], c.packages[id] = d, first
	}
	return c
}

// exchangePackages gets the round 1 packages of Rust's participants; ours are there.
func (c *ceremony) exchangePackages(t *testing.T) {
	t.Helper()
	for _, id := range c.theirs {
		c.packages[id] = c.rust.must(t, request{Op: "dkg1", Party: id, Parties: len(everyone), Threshold: threshold}).Package
	}
}

func (c *ceremony) packagesFor(id tss.PartyID) byParty {
	out := maps.Clone(c.packages)
	delete(out, id)
	return out
}

// exchangeShares hands out the packages and gets the shares.
func (c *ceremony) exchangeShares(t *testing.T) {
	t.Helper()
	for id, d := range c.dealings {
		out, err := d.Shares(plain(c.packagesFor(id)))
		if err != nil {
			t.Fatal(err)
		}
		for to, share := range out {
			c.shares[to][id] = share.Reveal()
		}
	}
	for _, id := range c.theirs {
		for to, share := range c.rust.must(t, c.second(id)).Shares {
			c.shares[to][id] = share
		}
	}
}

func (c *ceremony) second(id tss.PartyID) request {
	return request{Op: "dkg2", Party: id, Packages: c.packagesFor(id)}
}

func (c *ceremony) third(id tss.PartyID) request {
	return request{Op: "dkg3", Party: id, Shares: c.shares[id]}
}

// finish hands out the shares and gets every participant's result.
func (c *ceremony) finish(t *testing.T) (map[tss.PartyID]*frost.KeyShare, map[tss.PartyID]reply) {
	t.Helper()
	ours, theirs := map[tss.PartyID]*frost.KeyShare{}, map[tss.PartyID]reply{}
	for id, d := range c.dealings {
		var err error
		if ours[id], err = d.Finish(plain(c.shares[id]), chain); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range c.theirs {
		theirs[id] = c.rust.must(t, c.third(id))
	}
	return ours, theirs
}

// public is the public key, about which all participants must agree to the byte.
func (c *ceremony) public(t *testing.T, ours map[tss.PartyID]*frost.KeyShare, theirs map[tss.PartyID]reply) hexBytes {
	t.Helper()
	want := theirs[c.theirs[0]].Public
	for id, s := range ours {
		if got := s.Public().MarshalZF(); !bytes.Equal(got, want) {
			t.Fatalf("party %d has public key %x, party %d %x", id, got, c.theirs[0], want)
		}
	}
	for id, a := range theirs {
		if !bytes.Equal(a.Public, want) {
			t.Fatalf("party %d has public key %x, party %d %x", id, a.Public, c.theirs[0], want)
		}
	}
	return want
}

func keysOf(replies map[tss.PartyID]reply) byParty {
	out := byParty{}
	for id, a := range replies {
		out[id] = a.Keys[id]
	}
	return out
}

func plain(m byParty) map[tss.PartyID][]byte {
	out := map[tss.PartyID][]byte{}
	for id, b := range m {
		out[id] = b
	}
	return out
}

// signing is one message on its way: what every party has seen of it.
type signing struct {
	shared
	derivation frost.Derivation
	message    []byte
	pkg        *frost.SigningPackage
	pkgZF      hexBytes
	shares     byParty
}

// sign lets the signers, of both kinds, make their shares.
func (k shared) sign(t *testing.T, who []tss.PartyID, message []byte, d frost.Derivation) *signing {
	t.Helper()
	s := &signing{shared: k, derivation: d, message: message, shares: byParty{}}
	nonces, commitments := map[tss.PartyID]*frost.Nonces{}, byParty{}
	var list []frost.Commitment
	for _, id := range who {
		if share := k.ours[id]; share != nil {
			nonces[id] = share.Commit()
			commitments[id] = nonces[id].Commitment().MarshalZF(k.rust.suite)
		} else {
			commitments[id] = k.rust.must(t, request{Op: "commit", Party: id}).Package
		}
		c, err := frost.UnmarshalZFCommitment(k.rust.suite, id, commitments[id])
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	pkg, err := frost.NewSigningPackage(k.public, list, message, d)
	if err != nil {
		t.Fatal(err)
	}
	s.pkgZF = k.rust.must(t, request{Op: "package", Packages: commitments, Message: message}).Package
	if !bytes.Equal(pkg.MarshalZF(), s.pkgZF) {
		t.Fatalf("signing package is %x, in Rust %x", pkg.MarshalZF(), s.pkgZF)
	}
	if s.pkg, err = frost.UnmarshalZFSigningPackage(k.public, s.pkgZF, d); err != nil {
		t.Fatal(err)
	}
	for _, id := range who {
		if nonces[id] == nil {
			s.shares[id] = k.rust.must(t, request{Op: "sign", Party: id, Package: s.pkgZF, Tweak: tweak(d)}).Share
			continue
		}
		partial, err := k.ours[id].Sign(s.pkg, nonces[id])
		if err != nil {
			t.Fatal(err)
		}
		s.shares[id] = partial.MarshalZF()
	}
	return s
}

// tweak says the derivation in the words of the Rust program.
func tweak(d frost.Derivation) *hexBytes {
	if !d.Taproot {
		return nil
	}
	root := hexBytes(d.MerkleRoot)
	return &root
}

// combine aggregates in Go.
func (s *signing) combine(t *testing.T) ([]byte, error) {
	t.Helper()
	var list []frost.Partial
	for _, id := range slices.Sorted(maps.Keys(s.shares)) {
		p, err := frost.UnmarshalZFPartial(s.rust.suite, id, s.shares[id])
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return s.pkg.Combine(list)
}

// aggregate is the request to aggregate in Rust.
func (s *signing) aggregate() request {
	return request{Op: "aggregate", Package: s.pkgZF, Shares: s.shares, Public: s.publicZF, Tweak: tweak(s.derivation)}
}

// verifyInGo verifies with the engine, and with a verifier that knows nothing of thresholds.
func (s *signing) verifyInGo(t *testing.T, signature []byte) {
	t.Helper()
	key, err := s.public.DerivedKey(s.derivation)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.rust.suite.Verify(key, s.message, signature); err != nil {
		t.Errorf("engine: %v", err)
	}
	if s.rust.suite == frost.Ed25519SHA512 {
		if !ed25519.Verify(key, s.message, signature) {
			t.Error("crypto/ed25519 refuses the signature")
		}
		return
	}
	public, errKey := schnorr.ParsePubKey(key)
	parsed, errSignature := schnorr.ParseSignature(signature)
	if err := errors.Join(errKey, errSignature); err != nil {
		t.Fatal(err)
	}
	if !parsed.Verify(s.message, public) {
		t.Error("btcec refuses the signature")
	}
}

// verifyInRust verifies with ZF's crate, which must also refuse the signature for another message.
func (s *signing) verifyInRust(t *testing.T, signature []byte) {
	t.Helper()
	q := request{Op: "verify", Public: s.publicZF, Message: s.message, Signature: signature, Tweak: tweak(s.derivation)}
	s.rust.must(t, q)
	other := sha256.Sum256(s.message)
	q.Message = other[:]
	s.rust.mustBlame(t, q)
}

// derivations are the keys below a group key that ZF's crates can sign for.
func derivations(suite frost.Suite) []frost.Derivation {
	if suite != frost.Secp256k1Taproot {
		return []frost.Derivation{{}}
	}
	root := sha256.Sum256([]byte("a script tree"))
	return []frost.Derivation{{}, {Taproot: true}, {Taproot: true, MerkleRoot: root[:]}}
}

func digest(format string, values ...any) []byte {
	d := sha256.Sum256(fmt.Appendf(nil, format, values...))
	return d[:]
}

func forEachOrigin(t *testing.T, test func(t *testing.T, k shared)) {
	for _, suite := range suites {
		for _, name := range slices.Sorted(maps.Keys(origins)) {
			t.Run(suite.Name()+"/"+name, func(t *testing.T) {
				r := startRust(t, suite)
				parities := map[byte]bool{}
				for range 64 { // in the Taproot suite both parities of the group key must be seen
					k := origins[name](t, r)
					if parity := k.public.GroupKey()[0]; suite == frost.Ed25519SHA512 || !parities[parity] {
						parities[parity] = true
						test(t, k)
					}
					if suite == frost.Ed25519SHA512 || len(parities) == 2 {
						return
					}
				}
				t.Error("64 keys had the same parity")
			})
		}
	}
}

func (k shared) forEachMessage(t *testing.T, test func(s *signing)) {
	for _, d := range derivations(k.rust.suite) {
		for _, who := range signers {
			for i := range 4 { // the parity of R differs by the message
				test(k.sign(t, who, digest("message %d of %v", i, who), d))
			}
		}
	}
}

// Both kinds of signers sign together; Go aggregates, Rust verifies.
func TestGoAggregates(t *testing.T) {
	forEachOrigin(t, func(t *testing.T, k shared) {
		k.forEachMessage(t, func(s *signing) {
			signature, err := s.combine(t)
			if err != nil {
				t.Fatal(err)
			}
			s.verifyInRust(t, signature)
			s.verifyInGo(t, signature)
		})
	})
}

// Both kinds of signers sign together; Rust aggregates, Go verifies.
func TestRustAggregates(t *testing.T) {
	forEachOrigin(t, func(t *testing.T, k shared) {
		k.forEachMessage(t, func(s *signing) {
			signature := s.rust.must(t, s.aggregate()).Signature
			s.verifyInGo(t, signature)
			s.verifyInRust(t, signature)
			if ours, err := s.combine(t); err != nil || !bytes.Equal(ours, signature) {
				t.Errorf("the same shares give %x in Go and %x in Rust (%v)", ours, signature, err)
			}
		})
	})
}

// spoil changes one of the low bits of the scalar that ends a message. Two culprits spoil different bits, as otherwise
// one's error could make up for the other's, and the signature would be valid.
func spoil(suite frost.Suite, b hexBytes, culprit tss.PartyID) hexBytes {
	out := slices.Clone(b)
	low := len(out) - 1
	if suite == frost.Ed25519SHA512 { // little-endian
		low = len(out) - 32
	}
	out[low] ^= 1 << culprit
	return out
}

// A signature share that was tampered with is blamed on its maker and on nobody else, by either side on the other.
func TestTamperedSignatureShares(t *testing.T) {
	forEachOrigin(t, func(t *testing.T, k shared) {
		for _, d := range derivations(k.rust.suite) {
			for _, culprits := range [][]tss.PartyID{{2}, {5}, {1}, {4}, {2, 3}, {1, 2, 4}} {
				s := k.sign(t, everyone, digest("tampered by %v", culprits), d)
				for _, id := range culprits {
					s.shares[id] = spoil(k.rust.suite, s.shares[id], id)
				}
				s.rust.mustBlame(t, s.aggregate(), culprits...)
				_, err := s.combine(t)
				var faults frost.Faults
				if !errors.As(err, &faults) {
					t.Fatalf("culprits %v: %v", culprits, err)
				}
				var named []tss.PartyID
				for _, f := range faults {
					named = append(named, f.Party)
					if f.Check != frost.CheckPartial {
						t.Errorf("party %d is blamed for %q", f.Party, f.Check)
					}
				}
				if !slices.Equal(named, culprits) {
					t.Errorf("Go names %v, want %v", named, culprits)
				}
			}
		}
	})
}

// In a key generation of both, what is wrong is blamed on who sent it.
func TestTamperedKeyGeneration(t *testing.T) {
	for _, suite := range suites {
		t.Run(suite.Name(), func(t *testing.T) {
			r := startRust(t, suite)
			blamed := func(err error, party tss.PartyID, check string) {
				t.Helper()
				var f *tss.Fault
				if !errors.As(err, &f) || f.Party != party || f.Check != check {
					t.Errorf("%v, want party %d and check %q", err, party, check)
				}
			}
			start := func() *ceremony {
				c := newCeremony(t, r, inGo)
				c.exchangePackages(t)
				return c
			}

			c := start() // Rust's proof of knowledge
			c.packages[2] = spoil(suite, c.packages[2], 2)
			_, err := c.dealings[1].Shares(plain(c.packagesFor(1)))
			blamed(err, 2, frost.CheckProof)

			c = start() // our proof of knowledge
			c.packages[1] = spoil(suite, c.packages[1], 1)
			r.mustBlame(t, c.second(2), 1)

			c = start() // Rust's share to us
			c.exchangeShares(t)
			c.shares[4][5] = spoil(suite, c.shares[4][5], 5)
			_, err = c.dealings[4].Finish(plain(c.shares[4]), chain)
			blamed(err, 5, frost.CheckShare)

			c = start() // our share to Rust
			c.exchangeShares(t)
			c.shares[3][4] = spoil(suite, c.shares[3][4], 4)
			r.mustBlame(t, c.third(3), 4)
		})
	}
}

// engineKey runs the engine's own key generation among five parties of ours.
func engineKey(t *testing.T, suite frost.Suite) map[tss.PartyID]*frost.KeyShare {
	t.Helper()
	s := tss.Session{Suite: suite.Name(), Purpose: "keygen", Threshold: threshold, Nonces: map[tss.PartyID][32]byte{}}
	book := notary{}
	for _, id := range everyone {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		book[id] = private
		s.Parties = append(s.Parties, tss.Party{ID: id, Identity: [32]byte(public)})
		s.Nonces[id] = [32]byte(secret.Random(32).Reveal())
	}
	machines := map[tss.PartyID]*frost.Dealing{}
	for _, id := range everyone {
		s.Self = id
		m, err := frost.NewDKG(s, suite, book)
		if err != nil {
			t.Fatal(err)
		}
		machines[id] = m
	}
	for moved := true; moved; {
		moved = false
		for _, id := range everyone {
			for _, e := range machines[id].Outbox() {
				moved = true
				book.deliver(t, machines, e)
			}
		}
	}
	out := map[tss.PartyID]*frost.KeyShare{}
	for id, m := range machines {
		share, done := m.Result()
		if !done {
			t.Fatalf("party %d waits for %v", id, m.Waiting())
		}
		out[id] = share
	}
	return out
}

// notary signs for all parties of a test.
type notary map[tss.PartyID]ed25519.PrivateKey

func sealed(e tss.Envelope) []byte {
	out := append(slices.Clone(e.Session[:]), e.Round, byte(e.From), byte(e.To))
	return append(out, e.Payload...)
}

func (n notary) Seal(e tss.Envelope) []byte {
	return append(ed25519.Sign(n[e.From], sealed(e)), sealed(e)...)
}

func (n notary) Open(signed []byte) (tss.Envelope, error) {
	if len(signed) < 64+35 {
		return tss.Envelope{}, errors.New("too short")
	}
	b := signed[64:]
	e := tss.Envelope{Session: tss.SessionID(b[:32]), Round: b[32], From: tss.PartyID(b[33]), To: tss.PartyID(b[34]), Payload: b[35:], Signed: signed}
	if key := n[e.From]; key == nil || !ed25519.Verify(key.Public().(ed25519.PublicKey), b, signed[:64]) {
		return tss.Envelope{}, errors.New("wrong signature")
	}
	return e, nil
}

func (n notary) deliver(t *testing.T, machines map[tss.PartyID]*frost.Dealing, e tss.Envelope) {
	t.Helper()
	for id, m := range machines {
		if id == e.From || e.To != tss.Everyone && e.To != id {
			continue
		}
		if err := m.Step(e); err != nil {
			t.Fatalf("party %d: %v", id, err)
		}
	}
}
