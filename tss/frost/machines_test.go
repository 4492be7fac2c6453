package frost

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"chancery.dev/internal/group"
	"chancery.dev/tss"
)

// testNotary signs with real Ed25519 keys made from the party's number.
type testNotary struct{ self tss.PartyID }

func identity(id tss.PartyID) ed25519.PrivateKey {
	seed := sha256.Sum256(fmt.Appendf(nil, "identity of party %d", id))
	return ed25519.NewKeyFromSeed(seed[:])
}

func body(e tss.Envelope) []byte {
	b := append([]byte(nil), e.Session[:]...)
	b = append(b, e.Round)
	b = binary.BigEndian.AppendUint16(b, uint16(e.From))
	b = binary.BigEndian.AppendUint16(b, uint16(e.To))
	return append(b, e.Payload...)
}

func seal(e tss.Envelope) []byte {
	b := body(e)
	return append(ed25519.Sign(identity(e.From), b), b...)
}

func (n testNotary) Seal(e tss.Envelope) []byte {
	if e.From != n.self {
		panic("a party signs for itself")
	}
	return seal(e)
}

func open(signed []byte) (tss.Envelope, error) {
	if len(signed) < 64+37 {
		return tss.Envelope{}, errors.New("short")
	}
	b := signed[64:]
	e := tss.Envelope{Session: tss.SessionID(b[:32]), Round: b[32], From: tss.PartyID(binary.BigEndian.Uint16(b[33:])),
		To: tss.PartyID(binary.BigEndian.Uint16(b[35:])), Payload: b[37:], Signed: signed}
	if !ed25519.Verify(identity(e.From).Public().(ed25519.PublicKey), b, signed[:64]) {
		return tss.Envelope{}, errors.New("bad signature")
	}
	return e, nil
}

func (testNotary) Open(signed []byte) (tss.Envelope, error) { return open(signed) }

// testRun makes sessions of different runs different.
var testRun int

// testSession is a session of some parties, as one of them sees it.
func testSession(suite Suite, purpose string, threshold int, self tss.PartyID, ids ...tss.PartyID) tss.Session {
	s := tss.Session{Suite: suite.Name(), Purpose: purpose, Cluster: [32]byte{1}, Key: [32]byte{2}, Epoch: 3, Threshold: threshold, Self: self,
		Nonces: map[tss.PartyID][32]byte{}}
	for _, id := range ids {
		s.Parties = append(s.Parties, tss.Party{ID: id, Identity: [32]byte(identity(id).Public().(ed25519.PublicKey))})
		s.Nonces[id] = sha256.Sum256(fmt.Appendf(nil, "nonce %s %d %d", purpose, id, testRun))
	}
	return s
}

// stepper is a machine without its result type.
type stepper interface {
	Step(tss.Envelope) error
	Outbox() []tss.Envelope
	Waiting() []tss.PartyID
	Close()
}

// network carries messages between machines until nothing moves. tamper may change, drop or multiply what is on the wire.
type network struct {
	machines map[tss.PartyID]stepper
	errs     map[tss.PartyID]error
	tamper   func(e tss.Envelope, to tss.PartyID) []tss.Envelope
}

func newNetwork(machines map[tss.PartyID]stepper) *network {
	return &network{machines: machines, errs: map[tss.PartyID]error{}}
}

func (n *network) ids() []tss.PartyID {
	var ids []tss.PartyID
	for id := range n.machines {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (n *network) run() {
	type delivery struct {
		e  tss.Envelope
		to tss.PartyID
	}
	for {
		var queue []delivery
		for _, from := range n.ids() {
			for _, e := range n.machines[from].Outbox() {
				for _, to := range n.ids() {
					if to != from && (e.To == to || e.To == tss.Everyone) {
						queue = append(queue, delivery{e, to})
					}
				}
			}
		}
		if len(queue) == 0 {
			return
		}
		for _, d := range queue {
			copies := []tss.Envelope{d.e}
			if n.tamper != nil {
				copies = n.tamper(d.e, d.to)
			}
			for _, e := range copies {
				if n.errs[d.to] == nil {
					n.errs[d.to] = n.machines[d.to].Step(e)
				}
			}
		}
	}
}

func (n *network) mustSucceed(t testing.TB) {
	t.Helper()
	n.run()
	for id, err := range n.errs {
		if err != nil {
			t.Fatalf("party %d: %v", id, err)
		}
	}
}

func ids(n int) []tss.PartyID {
	out := make([]tss.PartyID, n)
	for i := range out {
		out[i] = tss.PartyID(i + 1)
	}
	return out
}

// startDKG makes the machines of a key generation.
func startDKG(t testing.TB, suite Suite, threshold int, parties []tss.PartyID) (map[tss.PartyID]*Dealing, *network) {
	t.Helper()
	machines, steppers := map[tss.PartyID]*Dealing{}, map[tss.PartyID]stepper{}
	for _, id := range parties {
		m, err := NewDKG(testSession(suite, "keygen", threshold, id, parties...), suite, testNotary{id})
		if err != nil {
			t.Fatal(err)
		}
		machines[id], steppers[id] = m, m
	}
	return machines, newNetwork(steppers)
}

func runDKG(t testing.TB, suite Suite, threshold int, parties []tss.PartyID) map[tss.PartyID]*KeyShare {
	t.Helper()
	machines, net := startDKG(t, suite, threshold, parties)
	net.mustSucceed(t)
	return results(t, machines)
}

func results(t testing.TB, machines map[tss.PartyID]*Dealing) map[tss.PartyID]*KeyShare {
	t.Helper()
	out := map[tss.PartyID]*KeyShare{}
	for id, m := range machines {
		share, done := m.Result()
		if !done {
			t.Fatalf("party %d did not end; it waits for %v", id, m.Waiting())
		}
		if share != nil {
			out[id] = share
		}
	}
	var first *PublicKey
	for _, s := range out {
		if first == nil {
			first = s.Public()
		}
		if !s.Public().Equal(first) {
			t.Fatal("parties have different public keys")
		}
		if err := s.Public().checkPolynomial(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// sign runs a whole signing and verifies the signature with an independent verifier where the suite has one.
func sign(t testing.TB, shares map[tss.PartyID]*KeyShare, signers []tss.PartyID, message []byte, d Derivation) []byte {
	t.Helper()
	machines, net := startSigning(t, shares, signers, []Message{{message, d}})
	net.mustSucceed(t)
	var signature []byte
	for id, m := range machines {
		got, done := m.Result()
		if !done || len(got) != 1 || signature != nil && !bytes.Equal(signature, got[0]) {
			t.Fatalf("party %d has no or another signature", id)
		}
		signature = got[0]
	}
	public := shares[signers[0]].Public()
	key, err := public.DerivedKey(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := public.Suite().Verify(key, message, signature); err != nil {
		t.Fatal(err)
	}
	if public.Suite() == Ed25519SHA512 && !ed25519.Verify(key, message, signature) {
		t.Fatal("crypto/ed25519 refuses the signature")
	}
	return signature
}

func startSigning(t testing.TB, shares map[tss.PartyID]*KeyShare, signers []tss.PartyID, messages []Message) (map[tss.PartyID]*Signing, *network) {
	t.Helper()
	machines, steppers := map[tss.PartyID]*Signing{}, map[tss.PartyID]stepper{}
	for _, id := range signers {
		public := shares[id].Public()
		m, err := NewSigning(testSession(public.Suite(), "sign", public.Threshold(), id, signers...), shares[id], messages, testNotary{id})
		if err != nil {
			t.Fatal(err)
		}
		machines[id], steppers[id] = m, m
	}
	return machines, newNetwork(steppers)
}

func TestEverySuiteGeneratesAndSigns(t *testing.T) {
	for _, suite := range Suites() {
		t.Run(suite.Name(), func(t *testing.T) {
			shares := runDKG(t, suite, 4, ids(5))
			sign(t, shares, ids(4), []byte("message"), Derivation{})
			sign(t, shares, []tss.PartyID{1, 2, 4, 5}, []byte("another"), Derivation{})
			sign(t, shares, ids(5), nil, Derivation{})
			if suite.xonly() {
				for i := range uint32(6) { // both parities of child, internal and output keys come up
					sign(t, shares, ids(4), []byte("message"), Derivation{Path: []uint32{0, i}, Taproot: true})
				}
			}
		})
	}
}

func TestSignaturesOfAnyQuorumVerify(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		suite := rapid.SampledFrom(Suites()).Draw(rt, "suite")
		n := rapid.IntRange(2, 6).Draw(rt, "n")
		threshold := rapid.IntRange(2, n).Draw(rt, "t")
		parties := rapid.Permutation([]tss.PartyID{1, 2, 3, 7, 300, 65535}).Draw(rt, "parties")[:n]
		slices.Sort(parties)
		shares := runDKG(t, suite, threshold, parties)
		signers := slices.Clone(rapid.Permutation(parties).Draw(rt, "signers")[:rapid.IntRange(threshold, n).Draw(rt, "how many")])
		slices.Sort(signers)
		message := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(rt, "message")
		d := Derivation{}
		if suite.xonly() {
			d = Derivation{Path: rapid.SliceOfN(rapid.Uint32Range(0, 1<<31-1), 0, 3).Draw(rt, "path"), Taproot: rapid.Bool().Draw(rt, "taproot")}
		}
		sign(t, shares, signers, message, d)
	})
}

func startRefresh(t testing.TB, shares map[tss.PartyID]*KeyShare) (map[tss.PartyID]*Dealing, *network) {
	t.Helper()
	machines, steppers := map[tss.PartyID]*Dealing{}, map[tss.PartyID]stepper{}
	for id, s := range shares {
		m, err := NewRefresh(testSession(s.Public().Suite(), "refresh", s.Public().Threshold(), id, s.Public().Parties()...), s, testNotary{id})
		if err != nil {
			t.Fatal(err)
		}
		machines[id], steppers[id] = m, m
	}
	return machines, newNetwork(steppers)
}

func TestRefreshKeepsTheKeyAndChangesEveryShare(t *testing.T) {
	for _, suite := range Suites() {
		old := runDKG(t, suite, 3, ids(4))
		machines, net := startRefresh(t, old)
		net.mustSucceed(t)
		fresh := results(t, machines)
		for id := range old {
			a, b := old[id], fresh[id]
			if !bytes.Equal(a.Public().GroupKey(), b.Public().GroupKey()) || a.Public().ChainCode() != b.Public().ChainCode() {
				t.Fatal("refresh changed the key or the chain code")
			}
			if a.share.Equal(b.share) {
				t.Fatalf("refresh left the share of party %d as it was", id)
			}
		}
		sign(t, fresh, []tss.PartyID{1, 3, 4}, []byte("after refresh"), Derivation{})
		// Old and new shares do not sign together.
		mixed := []*KeyShare{old[1], fresh[2], fresh[3]}
		if _, err := signTogether(mixed, fresh[1].Public(), []byte("mixed")); err == nil {
			t.Fatal("an old share signed with new ones")
		}
	}
}

// signTogether is the pure layer, with whatever shares it is given.
func signTogether(shares []*KeyShare, public *PublicKey, message []byte) ([]byte, error) {
	var nonces []*Nonces
	var commitments []Commitment
	for _, s := range shares {
		n := s.Commit()
		nonces, commitments = append(nonces, n), append(commitments, n.Commitment())
	}
	pkg, err := NewSigningPackage(public, commitments, message, Derivation{})
	if err != nil {
		return nil, err
	}
	var partials []Partial
	for i, s := range shares {
		p, err := s.Sign(pkg, nonces[i])
		if err != nil {
			return nil, err
		}
		partials = append(partials, p)
	}
	return pkg.Combine(partials)
}

func startReshare(t testing.TB, shares map[tss.PartyID]*KeyShare, r Reshare, threshold int) (map[tss.PartyID]*Dealing, *network) {
	t.Helper()
	all := slices.Clone(r.Dealers)
	for _, id := range r.Receivers {
		if !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	slices.Sort(all)
	public := shares[r.Dealers[0]].Public()
	machines, steppers := map[tss.PartyID]*Dealing{}, map[tss.PartyID]stepper{}
	for _, id := range all {
		m, err := NewReshare(testSession(public.Suite(), "reshare", threshold, id, all...), public, shares[id], r, testNotary{id})
		if err != nil {
			t.Fatal(err)
		}
		machines[id], steppers[id] = m, m
	}
	return machines, newNetwork(steppers)
}

func TestReshareMovesTheKey(t *testing.T) {
	for _, suite := range Suites() {
		for _, c := range []struct {
			r         Reshare
			threshold int
		}{
			{Reshare{Dealers: []tss.PartyID{1, 2, 4}, Receivers: []tss.PartyID{6, 7, 8, 9}}, 4}, // disjoint, higher threshold
			{Reshare{Dealers: []tss.PartyID{2, 3, 4}, Receivers: []tss.PartyID{1, 2, 3}}, 2},    // overlapping, lower threshold
		} {
			old := runDKG(t, suite, 3, ids(4))
			machines, net := startReshare(t, old, c.r, c.threshold)
			net.mustSucceed(t)
			fresh := results(t, machines)
			if len(fresh) != len(c.r.Receivers) {
				t.Fatalf("%d shares for %d receivers", len(fresh), len(c.r.Receivers))
			}
			any := fresh[c.r.Receivers[0]].Public()
			if !bytes.Equal(any.GroupKey(), old[1].Public().GroupKey()) || any.ChainCode() != old[1].Public().ChainCode() || any.Threshold() != c.threshold {
				t.Fatal("resharing changed the key, the chain code, or not the threshold")
			}
			sign(t, fresh, c.r.Receivers[:c.threshold], []byte("after resharing"), Derivation{})
		}
	}
}

func startRepair(t testing.TB, shares map[tss.PartyID]*KeyShare, recipient tss.PartyID, helpers []tss.PartyID) (map[tss.PartyID]*Repair, *network) {
	t.Helper()
	all := append(slices.Clone(helpers), recipient)
	slices.Sort(all)
	public := shares[helpers[0]].Public()
	machines, steppers := map[tss.PartyID]*Repair{}, map[tss.PartyID]stepper{}
	for _, id := range all {
		share := shares[id]
		if id == recipient {
			share = nil
		}
		m, err := NewRepair(testSession(public.Suite(), "repair", public.Threshold(), id, all...), public, share, recipient, testNotary{id})
		if err != nil {
			t.Fatal(err)
		}
		machines[id], steppers[id] = m, m
	}
	return machines, newNetwork(steppers)
}

func TestRepairGivesTheVeryShareBack(t *testing.T) {
	for _, suite := range Suites() {
		shares := runDKG(t, suite, 3, ids(5))
		machines, net := startRepair(t, shares, 2, []tss.PartyID{1, 4, 5})
		net.mustSucceed(t)
		for id, m := range machines {
			got, done := m.Result()
			if !done || (got != nil) != (id == 2) {
				t.Fatalf("party %d: done %v, share %v", id, done, got)
			}
			if id == 2 && !got.share.Equal(shares[2].share) {
				t.Fatal("repaired share is another one")
			}
		}
	}
}

func TestPreprocessedNoncesSignOnceEach(t *testing.T) {
	shares := runDKG(t, Secp256k1Taproot, 2, ids(3))
	signers := []tss.PartyID{1, 3}
	machines, steppers := map[tss.PartyID]*Preprocess{}, map[tss.PartyID]stepper{}
	for _, id := range signers {
		m, err := NewPreprocess(testSession(Secp256k1Taproot, "preprocess", 2, id, signers...), shares[id], 3, testNotary{id})
		if err != nil {
			t.Fatal(err)
		}
		machines[id], steppers[id] = m, m
	}
	newNetwork(steppers).mustSucceed(t)
	batches := map[tss.PartyID]*NonceBatch{}
	for id, m := range machines {
		b, done := m.Result()
		if !done || b.Len() != 3 {
			t.Fatalf("party %d has no batch", id)
		}
		batches[id] = b
	}
	for i := range 3 {
		var partials []Partial
		var pkg *SigningPackage
		for _, id := range signers {
			var err error
			if pkg, err = batches[id].SigningPackage(i, shares[id].Public(), []byte{byte(i)}, Derivation{Taproot: true}); err != nil {
				t.Fatal(err)
			}
			nonces, err := batches[id].Take(i)
			if err != nil {
				t.Fatal(err)
			}
			p, err := shares[id].Sign(pkg, nonces)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := shares[id].Sign(pkg, nonces); !errors.Is(err, ErrNonceUsed) {
				t.Fatalf("second use of nonces: %v", err)
			}
			if _, err := batches[id].Take(i); !errors.Is(err, ErrNonceUsed) {
				t.Fatalf("second taking of nonces: %v", err)
			}
			partials = append(partials, p)
		}
		if _, err := pkg.Combine(partials); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKeysSurviveEncoding(t *testing.T) {
	for _, suite := range Suites() {
		for _, s := range runDKG(t, suite, 2, ids(3)) {
			raw := s.Marshal()
			again, err := UnmarshalKeyShare(raw.Reveal())
			if err != nil || !again.share.Equal(s.share) || !again.Public().Equal(s.Public()) {
				t.Fatalf("share did not survive: %v", err)
			}
			for i := range raw.Reveal() { // every byte matters: no bit of a stored share can change unnoticed
				if i >= 34+6 && i < 34+6+32 || i == 34+1 && suite.Curve() == group.Secp256k1 {
					continue // the chain code is any 32 bytes, and two suites share a curve; the keystore's seal covers both
				}
				changed := slices.Clone(raw.Reveal())
				changed[i] ^= 1
				if _, err := UnmarshalKeyShare(changed); err == nil {
					t.Fatalf("%s: share with byte %d changed was accepted", suite.Name(), i)
				}
			}
		}
	}
}
