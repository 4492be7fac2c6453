package exec

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"chancery.dev/internal/intent"
	"chancery.dev/internal/keystore"
	"chancery.dev/internal/mesh"
	"chancery.dev/internal/permit"
	"chancery.dev/internal/pki"
	"chancery.dev/internal/quorum"
	"chancery.dev/tss"
	"chancery.dev/tss/frost"
)

// The cluster of these tests: five nodes with real identities and a real roster, made once for the package. Every test
// makes keystores of its own.
const (
	maxParties  = 5
	clusterName = "exec-test"
)

type directory struct {
	roster     *pki.Roster
	identities []*pki.Identity
	root       *x509.Certificate
	err        error
}

var enrolled = sync.OnceValue(func() directory {
	dir, err := os.MkdirTemp("", "exec-test-")
	if err != nil {
		return directory{err: err}
	}
	defer os.RemoveAll(dir)
	d, err := enroll(dir)
	d.err = err
	return d
})

func enroll(dir string) (d directory, err error) {
	now := time.Now()
	ca, err := pki.CreateCA(filepath.Join(dir, "ca"), clusterName, now)
	if err != nil {
		return d, err
	}
	root, err := os.ReadFile(filepath.Join(dir, "ca", "ca.crt"))
	if err != nil {
		return d, err
	}
	var issued []pki.Issued
	var addresses []string
	for n := range maxParties {
		id := fmt.Sprintf("node-%d", n+1)
		home := filepath.Join(dir, id)
		request, err := pki.NewIdentity(home, clusterName, pki.NodeID(id))
		if err != nil {
			return d, err
		}
		cert, entry, err := ca.Enroll(request, pki.MaxLeafLifetime, now)
		if err != nil {
			return d, err
		}
		if err := pki.InstallCertificate(home, cert, root); err != nil {
			return d, err
		}
		identity, trusted, err := pki.LoadIdentity(home)
		if err != nil {
			return d, err
		}
		d.identities, d.root = append(d.identities, identity), trusted
		issued, addresses = append(issued, entry), append(addresses, fmt.Sprintf("%s=127.0.0.1:%d", id, 9001+n))
	}
	d.roster, err = pki.MakeRoster(clusterName, 1, 3, issued, addresses)
	return d, err
}

// party is one node's executor with its keystore.
type party struct {
	*Executor
	identity *pki.Identity
	options  keystore.Options
	store    *keystore.Store
	office   permit.Office
}

// bench is some parties of the cluster on one wire.
type bench struct {
	t          *testing.T
	electorate quorum.Electorate
	wire       *wire
	parties    []*party // party i+1 at i
	asked      int
}

// newBench opens n executors with fresh keystores.
func newBench(t *testing.T, n int) *bench {
	t.Helper()
	d := enrolled()
	if d.err != nil {
		t.Fatal(d.err)
	}
	b := &bench{t: t, wire: &wire{to: map[tss.PartyID]*Sessions{}}}
	b.electorate = quorum.FromRoster(d.roster.Digest(), d.roster.Epoch, 2)
	for _, e := range d.roster.Nodes[:n] {
		b.electorate.Keys[e.Party] = e.PublicKey()
	}
	b.parties = make([]*party, n)
	var opened sync.WaitGroup // the passphrase's key derivation takes its time
	for i := range b.parties {
		dir := filepath.Join(t.TempDir(), fmt.Sprint("party-", i+1))
		if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "passphrase"), []byte("a long enough passphrase\n"), 0o600)); err != nil {
			t.Fatal(err)
		}
		b.parties[i] = &party{identity: d.identities[i], options: keystore.Options{Path: filepath.Join(dir, "keystore.db"),
			PassphraseFile: filepath.Join(dir, "passphrase"), Cluster: d.roster.Digest(), Node: fmt.Sprint("node-", i+1), Create: true}}
		opened.Go(func() { b.open(b.parties[i]) })
	}
	opened.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return b
}

// open opens a party's keystore and makes an executor on it, as a process does at its start.
func (b *bench) open(p *party) {
	d, self := enrolled(), tss.PartyID(slices.Index(b.parties, p)+1)
	store, err := keystore.Open(b.t.Context(), p.options)
	if err != nil {
		b.t.Error(err)
		return
	}
	b.t.Cleanup(func() { store.Close() })
	m, err := mesh.New(mesh.Config{Roster: d.roster, Identity: p.identity, Root: d.root, Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		b.t.Error(err)
		return
	}
	members := map[tss.PartyID]tss.Party{}
	for _, e := range d.roster.Nodes[:len(b.parties)] {
		members[tss.PartyID(e.Party)] = tss.Party{ID: tss.PartyID(e.Party), Identity: e.Identity}
	}
	p.store = store
	p.Executor = &Executor{Self: self, Cluster: d.roster.Digest(), Epoch: d.roster.Epoch, Parties: members, Notary: m.Notary(), Vault: store,
		Sessions: NewSessions(self, link{b.wire, self, m.Notary()})}
	p.office = permit.Office{Electorate: b.electorate, Burner: burner{store}, Authority: p.Executor}
	b.wire.join(self, p.Sessions)
}

// restart is what a power cut leaves behind: the file of the keystore, opened anew, and nothing of the memory.
func (b *bench) restart(p *party) {
	b.t.Helper()
	p.Executor.Close()
	if err := p.store.Close(); err != nil {
		b.t.Fatal(err)
	}
	if b.open(p); b.t.Failed() {
		b.t.FailNow()
	}
}

type burner struct{ store *keystore.Store }

func (b burner) Burn(id permit.ID) error {
	return b.store.Burn(keystore.Ref{Kind: keystore.KindPermit, Key: id, Epoch: 1, Name: "permit"})
}

// wire brings messages from party to party in memory. Who delivers is checked as the mesh does it: by the signature.
type wire struct {
	mu   sync.Mutex
	to   map[tss.PartyID]*Sessions
	seen []tss.Envelope // all that was sent, once for each message
	// tamper is asked about every message for every recipient; it returns what is delivered in its place.
	tamper func(e tss.Envelope, to tss.PartyID) []tss.Envelope
	silent map[tss.PartyID]bool // whose openings and messages are lost
}

func (w *wire) join(id tss.PartyID, s *Sessions) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.to[id] = s
}

func (w *wire) spoil(f func(e tss.Envelope, to tss.PartyID) []tss.Envelope) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tamper = f
}

func (w *wire) mute(ids ...tss.PartyID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.silent = map[tss.PartyID]bool{}
	for _, id := range ids {
		w.silent[id] = true
	}
}

// link is one party's end of the wire.
type link struct {
	wire   *wire
	self   tss.PartyID
	notary tss.Notary
}

func (l link) Send(ctx context.Context, e tss.Envelope) error {
	l.wire.mu.Lock()
	defer l.wire.mu.Unlock()
	l.wire.seen = append(l.wire.seen, e)
	if l.wire.silent[l.self] {
		return ctx.Err()
	}
	for id, s := range l.wire.to {
		if id == l.self || e.To != tss.Everyone && e.To != id {
			continue
		}
		deliver := []tss.Envelope{e}
		if l.wire.tamper != nil {
			deliver = l.wire.tamper(e, id)
		}
		for _, d := range deliver {
			opened, err := l.notary.Open(d.Signed)
			if err != nil {
				return fmt.Errorf("message is not signed by its sender: %w", err)
			}
			s.Deliver(opened)
		}
	}
	return nil
}

func (l link) SendOpen(_ context.Context, to tss.PartyID, label, nonce [32]byte) error {
	l.wire.mu.Lock()
	defer l.wire.mu.Unlock()
	if s := l.wire.to[to]; s != nil && !l.wire.silent[l.self] {
		s.DeliverOpen(l.self, label, nonce)
	}
	return nil
}

// forge is another message of the same sender in place of e, signed by it.
func (b *bench) forge(e tss.Envelope, change func(*tss.Envelope)) tss.Envelope {
	change(&e)
	e.Signed = b.parties[e.From-1].Notary.Seal(e)
	return e
}

// certify has every party of the bench vote yes.
func (b *bench) certify(id intent.ID, q quorum.Question, expires time.Time) quorum.Certificate {
	b.t.Helper()
	c := quorum.Certificate{Question: q}
	for _, p := range b.parties {
		ballot := quorum.Ballot{Cluster: b.electorate.Cluster, Epoch: b.electorate.Epoch, Intent: id, Question: q, Yes: true, Expires: expires.Unix(), Voter: uint16(p.Self)}
		c.Ballots = append(c.Ballots, ballot.Sign(p.identity))
	}
	return c
}

// request is an intent with its certificate.
type request struct {
	intent intent.Intent
	id     intent.ID
	cert   quorum.Certificate
}

func (b *bench) ask(key intent.KeyID, params intent.Params) request {
	b.t.Helper()
	b.asked++
	i := intent.Intent{Cluster: clusterName, Key: key, Initiator: "test", Idempotency: fmt.Sprint("request ", b.asked), Expires: time.Now().Add(time.Hour).UTC().Truncate(time.Second), Params: params}
	id, err := i.ID()
	if err != nil {
		b.t.Fatal(err)
	}
	return request{i, id, b.certify(id, quorum.AdmitAndRelease, i.Expires)}
}

// askKey asks for a key among all parties of the bench, two of whom must sign.
func (b *bench) askKey() request {
	g := intent.Generate{Protocol: "frost", Suite: frost.Secp256k1Taproot.Name(), Purpose: "wallet", Threshold: 2}
	for _, p := range b.parties {
		g.Parties = append(g.Parties, uint16(p.Self))
	}
	return b.ask(intent.KeyID{}, g)
}

func (b *bench) askSpend(key intent.KeyID) request {
	return b.ask(key, intent.Spend{Network: "regtest", Inputs: []intent.Input{{Outpoint: fmt.Sprintf("%064d:0", b.asked), Value: 1000}},
		Outputs: []intent.Output{{Address: "somewhere", Amount: 900}}, Fee: 100})
}

func (b *bench) grant(p *party, r request, attempt uint32) *permit.Permit {
	b.t.Helper()
	out, err := p.office.Grant(r.intent, r.cert, attempt, time.Now())
	if err != nil {
		b.t.Error(err)
	}
	return out
}

// together runs something on some parties at a time and returns how each ended.
func together[T any](parties []*party, f func(p *party) (T, error)) (map[tss.PartyID]T, map[tss.PartyID]error) {
	var mu sync.Mutex
	var wait sync.WaitGroup
	results, errs := map[tss.PartyID]T{}, map[tss.PartyID]error{}
	for _, p := range parties {
		wait.Go(func() {
			v, err := f(p)
			mu.Lock()
			defer mu.Unlock()
			results[p.Self], errs[p.Self] = v, err
		})
	}
	wait.Wait()
	return results, errs
}

// within bounds a step of a test; what ends sooner ends sooner.
func (b *bench) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(b.t.Context(), d)
	b.t.Cleanup(cancel)
	return ctx
}

// long is more time than anything takes that is expected to succeed.
const long = 30 * time.Second

// makeKey generates a key among all parties.
func (b *bench) makeKey() intent.KeyID {
	b.t.Helper()
	r := b.askKey()
	_, errs := b.generate(b.within(long), r, 1)
	for id, err := range errs {
		if err != nil {
			b.t.Fatalf("party %d: %v", id, err)
		}
	}
	return intent.KeyID(r.id)
}

func (b *bench) generate(ctx context.Context, r request, attempt uint32) (map[tss.PartyID]Key, map[tss.PartyID]error) {
	b.t.Helper()
	return together(b.parties, func(p *party) (Key, error) { return p.Generate(ctx, b.grant(p, r, attempt)) })
}

// messages are n different messages, each under a path of its own.
func messages(n int) []Message {
	out := make([]Message, n)
	for i := range out {
		digest := sha256.Sum256(fmt.Append(nil, "message ", i))
		out[i] = Message{Bytes: digest[:], Path: []uint32{0, uint32(i)}}
	}
	return out
}

func ids(parties []*party) []tss.PartyID {
	out := make([]tss.PartyID, len(parties))
	for i, p := range parties {
		out[i] = p.Self
	}
	return out
}

// sign has some parties sign; each ends with its part held.
func (b *bench) sign(ctx context.Context, r request, attempt uint32, signers []*party, m []Message) (map[tss.PartyID]*Held, map[tss.PartyID]error) {
	b.t.Helper()
	return together(signers, func(p *party) (*Held, error) { return p.Sign(ctx, b.grant(p, r, attempt), ids(signers), m) })
}

// mustSign is sign where nobody fails.
func (b *bench) mustSign(r request, attempt uint32, signers []*party, m []Message) map[tss.PartyID]*Held {
	b.t.Helper()
	held, errs := b.sign(b.within(long), r, attempt, signers, m)
	for id, err := range errs {
		if err != nil {
			b.t.Fatalf("party %d: %v", id, err)
		}
	}
	return held
}

// release takes a party's held part out with the request's certificate.
func (b *bench) release(p *party, r request, attempt uint32) ([]byte, error) {
	return p.Release(b.electorate, r.cert, b.order(p, r, attempt))
}

func (b *bench) order(p *party, r request, attempt uint32) ReleaseOrder {
	return ReleaseOrder{Intent: r.id, Key: r.intent.Key, Execution: p.office.IDFor(r.id, attempt), Now: time.Now()}
}

// refused fails the test unless err is an Error with this code, and returns it.
func refused(t *testing.T, err error, code string) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("%v, want %s", err, code)
	}
	return e
}

// fileOf is the bytes of a party's keystore as they lie on the disk.
func fileOf(t *testing.T, p *party) []byte {
	t.Helper()
	raw, err := os.ReadFile(p.options.Path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
