package mesh

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"chancery.dev/internal/pki"
	"chancery.dev/tss"
)

// patience bounds every wait of these tests; nothing waits for it to pass.
const patience = 30 * time.Second

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// coded says whether an error carries a reason code, of this package or of pki.
func coded(err error, code string) bool {
	var ours *Error
	var theirs *pki.Error
	return errors.As(err, &ours) && ours.ReasonCode() == code || errors.As(err, &theirs) && theirs.ReasonCode() == code
}

// bed is a cluster's directory of keys, and a clock that the test turns.
type bed struct {
	dir    string
	ca     *pki.CA
	roster *pki.Roster
	ids    map[tss.PartyID]*pki.Identity
	ahead  atomic.Int64 // the clock, after start
}

func (b *bed) now() time.Time { return start.Add(time.Duration(b.ahead.Load())) }

// newBed enrols n nodes at addresses of 127.0.0.1 that were free a moment ago.
func newBed(t testing.TB, n int, lifetime func(party int) time.Duration) *bed {
	t.Helper()
	b := &bed{dir: t.TempDir(), ids: map[tss.PartyID]*pki.Identity{}}
	var err error
	b.ca, err = pki.CreateCA(filepath.Join(b.dir, "ca"), "alpha", start)
	must(t, err)
	var args []string
	var held []net.PacketConn // until all addresses are known, so that no two are the same
	for i := 1; i <= n; i++ {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		must(t, err)
		held = append(held, c)
		b.ids[tss.PartyID(i)] = b.enrol(t, pki.NodeID(fmt.Sprint("n", i)), lifetime(i))
		args = append(args, fmt.Sprintf("n%d=%s", i, c.LocalAddr()))
	}
	for _, c := range held {
		must(t, c.Close())
	}
	issued, err := b.ca.List()
	must(t, err)
	b.roster, err = pki.MakeRoster("alpha", 7, n/2+1, issued, args)
	must(t, err)
	return b
}

func days(int) time.Duration { return 24 * time.Hour }

// enrol makes an identity that the authority vouches for. It need not be on the roster.
func (b *bed) enrol(t testing.TB, id pki.NodeID, lifetime time.Duration) *pki.Identity {
	t.Helper()
	dir := filepath.Join(t.TempDir(), string(id))
	r, err := pki.NewIdentity(dir, "alpha", id)
	must(t, err)
	cert, _, err := b.ca.Enroll(r, lifetime, b.now())
	must(t, err)
	root, err := os.ReadFile(filepath.Join(b.dir, "ca", "ca.crt"))
	must(t, err)
	must(t, pki.InstallCertificate(dir, cert, root))
	i, _, err := pki.LoadIdentity(dir)
	must(t, err)
	return i
}

func (b *bed) address(party tss.PartyID) string {
	n, _ := b.roster.ByParty(uint16(party))
	return n.Address
}

// node is a running mesh. What it takes lies in got.
type node struct {
	*Mesh
	got  chan Message
	stop func()
}

func (b *bed) config(party tss.PartyID) Config {
	return Config{Roster: b.roster, Identity: b.ids[party], Root: b.ca.Cert, Now: b.now, Recheck: 5 * time.Millisecond,
		Log: slog.New(slog.DiscardHandler), Handler: func(context.Context, Message) {}}
}

func (b *bed) start(t *testing.T, party tss.PartyID, change ...func(*Config)) *node {
	t.Helper()
	n := b.build(t, party, change...)
	n.run(t)
	return n
}

// build makes a node that does not run yet. It can queue messages.
func (b *bed) build(t *testing.T, party tss.PartyID, change ...func(*Config)) *node {
	t.Helper()
	n := &node{got: make(chan Message, 4096)}
	c := b.config(party)
	c.Handler = func(_ context.Context, m Message) { n.got <- m }
	for _, f := range change {
		f(&c)
	}
	var err error
	n.Mesh, err = New(c)
	must(t, err)
	return n
}

func (n *node) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", n.self.ID, err)
		}
	})
	t.Cleanup(n.stop)
}

func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// next is the next message that the node takes.
func (n *node) next(t *testing.T) Message {
	t.Helper()
	select {
	case m := <-n.got:
		return m
	case <-patient(t).Done():
		t.Fatal("no message came")
		return Message{}
	}
}

// until waits, over the comings and goings of links, for a state of one peer.
func (n *node) until(t *testing.T, what string, peer tss.PartyID, is func(PeerStatus) bool) PeerStatus {
	t.Helper()
	ctx := patient(t)
	for {
		n.mu.Lock()
		changed := n.changed
		n.mu.Unlock()
		s := n.status(peer)
		if is(s) {
			return s
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%s: party %d stays %+v", what, peer, s)
		}
	}
}

func (n *node) status(peer tss.PartyID) PeerStatus {
	for _, s := range n.Peers() {
		if s.Party == peer {
			return s
		}
	}
	return PeerStatus{}
}

func to(party tss.PartyID, payload string) tss.Envelope {
	return tss.Envelope{Session: tss.SessionID{9}, Round: 1, To: party, Payload: []byte(payload)}
}

// stranger is a peer that the test plays: it speaks QUIC, but what it says is the test's.
type stranger struct {
	conn   *quic.Conn
	stream *quic.Stream
}

func strangerTLS(certificates ...tls.Certificate) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{alpn}, Certificates: certificates, InsecureSkipVerify: true, ClientAuth: tls.RequireAnyClientCert}
}

func certificate(t testing.TB, i *pki.Identity) tls.Certificate {
	t.Helper()
	c, err := i.Certificate()
	must(t, err)
	return c
}

func socket(t *testing.T, address string) *quic.Transport {
	t.Helper()
	addr, err := net.ResolveUDPAddr("udp", address)
	must(t, err)
	c, err := net.ListenUDP("udp", addr)
	must(t, err)
	tr := &quic.Transport{Conn: c}
	t.Cleanup(func() { _ = errors.Join(tr.Close(), c.Close()) })
	return tr
}

// dialAs connects to a node. The refusal of a client's certificate comes after the dial, so it is waited for elsewhere.
func dialAs(t *testing.T, config *tls.Config, address string) (*quic.Conn, error) {
	t.Helper()
	addr, err := net.ResolveUDPAddr("udp", address)
	must(t, err)
	return socket(t, "127.0.0.1:0").Dial(patient(t), addr, config, quicConfig())
}

// pose connects to a node as the holder of an identity and exchanges hellos. It says that it knows nothing.
func (b *bed) pose(t *testing.T, as *pki.Identity, target tss.PartyID) *stranger {
	t.Helper()
	s := b.knock(t, as, target)
	_, err := io.ReadFull(s.stream, make([]byte, helloLen))
	must(t, err)
	return s
}

// knock connects and says hello, and leaves the answer to be read. All who knock are one process.
func (b *bed) knock(t *testing.T, as *pki.Identity, target tss.PartyID) *stranger {
	t.Helper()
	conn, err := dialAs(t, strangerTLS(certificate(t, as)), b.address(target))
	must(t, err)
	s := &stranger{conn: conn}
	s.stream, err = conn.OpenStreamSync(patient(t))
	must(t, err)
	hello := make([]byte, helloLen)
	hello[0] = 1
	s.say(t, hello)
	return s
}

func data(seq uint64, frame []byte) []byte {
	out := binary.BigEndian.AppendUint64([]byte{recordData}, seq)
	return append(binary.BigEndian.AppendUint32(out, uint32(len(frame))), frame...)
}

func (s *stranger) say(t *testing.T, record []byte) {
	t.Helper()
	_, err := s.stream.Write(record)
	must(t, err)
}

// ended waits for the other side to end the connection and says how it did.
func ended(t *testing.T, conn *quic.Conn) error {
	t.Helper()
	select {
	case <-conn.Context().Done():
		return context.Cause(conn.Context())
	case <-patient(t).Done():
		t.Fatal("the connection lives on")
		return nil
	}
}

// journal collects what a node logs.
type journal struct {
	slog.Handler
	lines chan string
}

func newJournal() journal { return journal{slog.DiscardHandler, make(chan string, 1024)} }

func (j journal) Enabled(context.Context, slog.Level) bool { return true }

func (j journal) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	select {
	case j.lines <- line:
	default:
	}
	return nil
}

// serialOf is the serial number of an identity's certificate, as revocations name it.
func serialOf(t *testing.T, i *pki.Identity) string {
	t.Helper()
	c, err := x509.ParseCertificate(i.Chain[0])
	must(t, err)
	return c.SerialNumber.String()
}
