package cggmp24

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ecdsa"

	"chancery.dev/internal/arith"
	"chancery.dev/internal/zk"
	"chancery.dev/tss"
)

// Tests run with the least moduli that the ranges allow and few repetitions: what they test is checks, not sizes.
func TestMain(m *testing.M) {
	params = zk.Params{L: 256, Eps: 512, LPrime: 1280, Reps: 8, Modulus: 2432}
	os.Exit(m.Run())
}

// fixedPrimes are safe primes that everybody knows.
var fixedPrimes = sync.OnceValue(func() []*arith.Int {
	text, err := os.ReadFile("testdata/primes.txt")
	if err != nil {
		panic(err)
	}
	var out []*arith.Int
	for _, line := range strings.Fields(string(text)) {
		v, ok := new(big.Int).SetString(line, 16)
		if !ok {
			panic("no prime")
		}
		out = append(out, arith.NewInt(v))
	}
	return out
})

func primesOf(id tss.PartyID) Primes {
	p := fixedPrimes()[4*(int(id)-1):]
	return Primes{p[0], p[1], p[2], p[3]}
}

type testNotary struct{ self tss.PartyID }

func identity(id tss.PartyID) ed25519.PrivateKey {
	seed := sha256.Sum256(fmt.Appendf(nil, "identity of party %d", id))
	return ed25519.NewKeyFromSeed(seed[:])
}

func seal(e tss.Envelope) []byte {
	b := append([]byte(nil), e.Session[:]...)
	b = append(b, e.Round)
	b = binary.BigEndian.AppendUint16(b, uint16(e.From))
	b = binary.BigEndian.AppendUint16(b, uint16(e.To))
	b = append(b, e.Payload...)
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

func testSession(purpose string, threshold int, self tss.PartyID, ids ...tss.PartyID) tss.Session {
	s := tss.Session{Suite: Suite, Purpose: purpose, Cluster: [32]byte{1}, Key: [32]byte{2}, Epoch: 3, Threshold: threshold, Self: self,
		Nonces: map[tss.PartyID][32]byte{}}
	for _, id := range ids {
		s.Parties = append(s.Parties, tss.Party{ID: id, Identity: [32]byte(identity(id).Public().(ed25519.PublicKey))})
		s.Nonces[id] = sha256.Sum256(fmt.Appendf(nil, "nonce %s %d %d", purpose, id, testRun))
	}
	return s
}

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

func newNetwork[M stepper](machines map[tss.PartyID]M) *network {
	n := &network{machines: map[tss.PartyID]stepper{}, errs: map[tss.PartyID]error{}}
	for id, m := range machines {
		n.machines[id] = m
	}
	return n
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

func startKeygen(t testing.TB, threshold int, parties []tss.PartyID) map[tss.PartyID]*Dealing {
	t.Helper()
	out := map[tss.PartyID]*Dealing{}
	for _, id := range parties {
		m, err := NewKeygen(testSession("keygen", threshold, id, parties...), testNotary{id})
		if err != nil {
			t.Fatal(err)
		}
		out[id] = m
	}
	return out
}

func dealt(t testing.TB, machines map[tss.PartyID]*Dealing) map[tss.PartyID]*KeyShare {
	t.Helper()
	newNetwork(machines).mustSucceed(t)
	out := map[tss.PartyID]*KeyShare{}
	var first *PublicKey
	for id, m := range machines {
		share, done := m.Result()
		if !done {
			t.Fatalf("party %d did not end; it waits for %v", id, m.Waiting())
		}
		if share == nil {
			continue
		}
		if first == nil {
			first = share.Public()
		}
		if !share.Public().Equal(first) {
			t.Fatal("parties have different public keys")
		}
		out[id] = share
	}
	return out
}

func startAux(t testing.TB, parties []tss.PartyID) map[tss.PartyID]*Auxiliary {
	t.Helper()
	out := map[tss.PartyID]*Auxiliary{}
	for _, id := range parties {
		m, err := NewAuxiliary(testSession("aux", 2, id, parties...), primesOf(id), testNotary{id})
		if err != nil {
			t.Fatal(err)
		}
		out[id] = m
	}
	return out
}

// fixture is a 2-of-3 key with auxiliary information, made once.
type fixture struct {
	shares map[tss.PartyID]*KeyShare
	aux    map[tss.PartyID]*Aux
}

var (
	fixtureOnce, threeOnce sync.Once
	fixed, three           fixture
)

func keys(t testing.TB) fixture {
	t.Helper()
	fixtureOnce.Do(func() {
		fixed.shares = dealt(t, startKeygen(t, 2, ids(3)))
		machines := startAux(t, ids(3))
		newNetwork(machines).mustSucceed(t)
		fixed.aux = map[tss.PartyID]*Aux{}
		for id, m := range machines {
			aux, done := m.Result()
			if !done {
				t.Fatalf("party %d did not end; it waits for %v", id, m.Waiting())
			}
			fixed.aux[id] = aux
		}
	})
	return fixed
}

// keysOfThree is a 3-of-3 key with the same auxiliary information: the least with two honest signers.
func keysOfThree(t testing.TB) fixture {
	t.Helper()
	f := keys(t)
	threeOnce.Do(func() { three = fixture{dealt(t, startKeygen(t, 3, ids(3))), f.aux} })
	return three
}

func startPresign(t testing.TB, f fixture, signers ...tss.PartyID) map[tss.PartyID]*Presign {
	t.Helper()
	out := map[tss.PartyID]*Presign{}
	for _, id := range signers {
		m, err := NewPresign(testSession("presign", f.shares[id].public.threshold, id, signers...), f.shares[id], f.aux[id], testNotary{id})
		if err != nil {
			t.Fatal(err)
		}
		out[id] = m
	}
	return out
}

func presign(t testing.TB, f fixture, signers ...tss.PartyID) map[tss.PartyID]*Presignature {
	t.Helper()
	machines := startPresign(t, f, signers...)
	newNetwork(machines).mustSucceed(t)
	out := map[tss.PartyID]*Presignature{}
	for id, m := range machines {
		p, done := m.Result()
		if !done {
			t.Fatalf("party %d did not end; it waits for %v", id, m.Waiting())
		}
		out[id] = p
	}
	return out
}

// sign completes a signature and verifies it with btcec.
func sign(t testing.TB, presigs map[tss.PartyID]*Presignature, q Request) Signature {
	t.Helper()
	var partials []Partial
	var combiner *Combiner
	var public *PublicKey
	for _, id := range ids(16) {
		if presigs[id] == nil {
			continue
		}
		public = presigs[id].public
		partial, c, err := presigs[id].Sign(q)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := UnmarshalPartial(partial.Marshal()); err != nil || back.id != partial.id || !back.sigma.Equal(partial.sigma) {
			t.Fatalf("partial signature does not survive encoding: %v", err)
		}
		partials, combiner = append(partials, partial), c
	}
	signature, err := combiner.Combine(partials)
	if err != nil {
		t.Fatal(err)
	}
	key, err := public.DerivedKey(q.Path)
	if err != nil {
		t.Fatal(err)
	}
	verify(t, key, q, signature)
	return signature
}

func verify(t testing.TB, key []byte, q Request, s Signature) {
	t.Helper()
	parsed, err := btcec.ParsePubKey(key)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := q.Hash.digest(q.Message)
	if err != nil {
		t.Fatal(err)
	}
	var r, sc btcec.ModNScalar
	if r.SetByteSlice(s.RS[:32]) || sc.SetByteSlice(s.RS[32:]) || sc.IsOverHalfOrder() {
		t.Fatal("r or s is out of range")
	}
	if !ecdsa.NewSignature(&r, &sc).Verify(digest, parsed) {
		t.Fatal("btcec refuses the signature")
	}
	compact := append([]byte{27 + 4 + s.Recovery}, s.RS[:]...)
	recovered, _, err := ecdsa.RecoverCompact(compact, digest)
	if err != nil || !bytes.Equal(recovered.SerializeCompressed(), key) {
		t.Fatalf("the recovery id does not recover the key: %v", err)
	}
}
