package mesh

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"chancery.dev/internal/pki"
	"chancery.dev/tss"
)

// alpn is the protocol that both sides must speak.
const alpn = "chancery/1"

// Config is what a mesh needs.
type Config struct {
	Roster   *pki.Roster
	Identity *pki.Identity
	Root     *x509.Certificate
	Listen   string // UDP address; default: this node's on the roster
	Now      func() time.Time
	Recheck  time.Duration // how often live links' certificates are verified again; default 5 s
	Log      *slog.Logger
	// Handler takes each message, one at a time for each peer. It must not wait for another message.
	Handler func(ctx context.Context, m Message)
}

// Mesh is one node's side of the full mesh. Run owns every goroutine of it.
type Mesh struct {
	Config
	self  pki.Node
	codec codec
	tls   *tls.Config
	links map[tss.PartyID]*link

	mu      sync.Mutex
	revoked *pki.Revocations
	changed chan struct{} // closed and replaced when a link comes or goes
}

// PeerStatus is a peer as this node sees it.
type PeerStatus struct {
	ID        pki.NodeID
	Party     tss.PartyID
	Connected bool
	Since     time.Time
	RTT       time.Duration
	LastError error
	Refused   int // frames counted against the peer
	Queued    int
}

// New checks the identity against the roster. Nothing is opened yet.
func New(c Config) (*Mesh, error) {
	self, ok := c.Roster.ByID(c.Identity.ID)
	if !ok || c.Identity.Cluster != c.Roster.Cluster {
		return nil, refuse(CodeUnknown, "%s is not on the roster", c.Identity.ID)
	}
	if [32]byte(c.Identity.PublicKey()) != self.Identity {
		return nil, refuse(CodeBinding, "identity key is not the one on the roster")
	}
	if c.Recheck == 0 {
		c.Recheck = recheckDefault
	}
	if c.Listen == "" {
		c.Listen = self.Address
	}
	m := &Mesh{Config: c, self: self, codec: newCodec(c.Roster), links: map[tss.PartyID]*link{}, changed: make(chan struct{})}
	if _, err := m.verify(c.Identity.Chain); err != nil {
		return nil, fmt.Errorf("own certificate: %w", err)
	}
	certificate, err := c.Identity.Certificate()
	if err != nil {
		return nil, err
	}
	m.tls = m.tlsConfig(certificate)
	var incarnation [16]byte
	rand.Read(incarnation[:])
	for _, n := range c.Roster.Nodes {
		if n.ID != self.ID {
			m.links[tss.PartyID(n.Party)] = newLink(n, incarnation)
		}
	}
	return m, nil
}

// tlsConfig is the same for both roles: TLS 1.3, our own verification in place of host names, no tickets.
func (m *Mesh) tlsConfig(certificate tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{alpn}, Certificates: []tls.Certificate{certificate},
		CurvePreferences:       []tls.CurveID{tls.X25519MLKEM768, tls.X25519},
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // host names mean nothing here: VerifyPeerCertificate below checks chain, name and pin
		SessionTicketsDisabled: true,
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			_, err := m.verify(raw)
			if err != nil {
				m.Log.Debug("peer refused", "error", err) // the peer itself is told no more than that its certificate is bad
			}
			return err
		},
	}
}

func (m *Mesh) verify(chain [][]byte) (pki.Node, error) {
	m.mu.Lock()
	revoked := m.revoked
	m.mu.Unlock()
	return pki.VerifyPeer(m.Roster, m.Root, revoked, m.Now(), chain)
}

// Revoke replaces the set of revoked certificates. Live links of theirs are cut at the next recheck.
func (m *Mesh) Revoke(r *pki.Revocations) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.revoked = r
}

func quicConfig() *quic.Config {
	return &quic.Config{
		HandshakeIdleTimeout: handshakeTimeout, MaxIdleTimeout: idleTimeout, KeepAlivePeriod: keepAlive, Allow0RTT: false,
		MaxIncomingStreams: 1, MaxIncomingUniStreams: -1,
		InitialStreamReceiveWindow: streamWindow, MaxStreamReceiveWindow: streamWindow,
		InitialConnectionReceiveWindow: connectionWindow, MaxConnectionReceiveWindow: connectionWindow,
	}
}

// Run listens, dials and serves until ctx is done, and returns when everything it started has ended.
func (m *Mesh) Run(ctx context.Context) error {
	addr, err := net.ResolveUDPAddr("udp", m.Listen)
	if err != nil {
		return fmt.Errorf("mesh address: %w", err)
	}
	socket, err := net.ListenUDP("udp", addr)
	if err != nil {
		return fmt.Errorf("mesh: %w", err)
	}
	transport := &quic.Transport{Conn: socket}
	listener, err := transport.Listen(m.tls, quicConfig())
	if err != nil {
		return errors.Join(fmt.Errorf("mesh: %w", err), transport.Close(), socket.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() { m.accept(ctx, &wait, listener) })
	for _, l := range m.links {
		if l.peer.Party > m.self.Party {
			wait.Go(func() { m.dial(ctx, transport, l) })
		}
	}
	<-ctx.Done()
	cancel()
	err = listener.Close()
	for _, l := range m.links {
		l.attach(nil, m.Now())
	}
	wait.Wait()
	return errors.Join(err, transport.Close(), socket.Close())
}

func (m *Mesh) accept(ctx context.Context, wait *sync.WaitGroup, listener *quic.Listener) {
	for {
		conn, err := listener.Accept(ctx)
		if err != nil {
			return
		}
		wait.Go(func() {
			node, err := m.verify(rawChain(conn))
			l := m.links[tss.PartyID(node.Party)]
			if err != nil || l == nil || node.Party > m.self.Party {
				_ = conn.CloseWithError(1, "not a peer that dials here") // nothing to do if it is gone
				return
			}
			_ = m.serve(ctx, l, conn, conn.AcceptStream) // the link keeps the error; the peer dials again
		})
	}
}

func rawChain(conn *quic.Conn) [][]byte {
	var out [][]byte
	for _, c := range conn.ConnectionState().TLS.PeerCertificates {
		out = append(out, c.Raw)
	}
	return out
}

// dial keeps one link up: it dials again for ever, with growing pauses after failures.
func (m *Mesh) dial(ctx context.Context, transport *quic.Transport, l *link) {
	pause := minBackoff
	for ctx.Err() == nil {
		if err := m.dialOnce(ctx, transport, l); err != nil {
			l.failed(err)
			m.Log.Debug("dial failed", "peer", l.peer.ID, "error", err)
		} else {
			pause = minBackoff
		}
		timer := time.NewTimer(pause/2 + mrand.N(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		pause = min(2*pause, maxBackoff)
	}
}

// dialOnce is nil when a connection was up, however it ended.
func (m *Mesh) dialOnce(ctx context.Context, transport *quic.Transport, l *link) error {
	addr, err := net.ResolveUDPAddr("udp", l.peer.Address)
	if err != nil {
		return err
	}
	conn, err := transport.Dial(ctx, addr, m.tls, quicConfig())
	if err != nil {
		return err
	}
	node, err := m.verify(rawChain(conn))
	if err != nil || node.ID != l.peer.ID {
		_ = conn.CloseWithError(1, "not the peer that was dialled") // nothing to do if it is gone
		return errors.Join(refuse(CodeBinding, "another node answers at the address of %s", l.peer.ID), err)
	}
	return m.serve(ctx, l, conn, conn.OpenStreamSync)
}

// serve runs one connection of a link to its end. It is nil when the link was up, however it ended. Conversations of one
// link take turns: the one before has lost its connection, but its last frame may still be with the handler.
func (m *Mesh) serve(ctx context.Context, l *link, conn *quic.Conn, stream func(context.Context) (*quic.Stream, error)) error {
	l.attach(conn, m.Now())
	l.turn.Lock()
	ctx, cancel := context.WithCancel(ctx)
	up, err := m.converse(ctx, cancel, l, conn, stream)
	cancel()
	_ = conn.CloseWithError(0, "") // both ends may close; the first counts
	l.turn.Unlock()
	l.detach(conn, err)
	m.notify()
	m.Log.Debug("link down", "peer", l.peer.ID, "error", err)
	if up {
		return nil
	}
	return err
}

// converse says whether the link came up, and why it ended.
func (m *Mesh) converse(ctx context.Context, cancel context.CancelFunc, l *link, conn *quic.Conn, open func(context.Context) (*quic.Stream, error)) (bool, error) {
	opening, stop := context.WithTimeout(ctx, helloTimeout)
	defer stop()
	stream, err := open(opening)
	if err != nil {
		return false, err
	}
	if err := l.greet(stream); err != nil {
		return false, err
	}
	m.Log.Debug("link up", "peer", l.peer.ID)
	m.notify()
	var wait sync.WaitGroup
	var cut error
	wait.Go(func() {
		defer cancel()
		if err := l.write(ctx, stream); err != nil {
			_ = conn.CloseWithError(0, "write ended") // ends the reader too
		}
	})
	wait.Go(func() { cut = m.watch(ctx, l, conn) })
	err = l.read(stream, func(frame []byte) error { return m.take(ctx, l, frame) })
	cancel()
	_ = conn.CloseWithError(0, "") // a writer that waits for the peer to read ends with the connection only
	wait.Wait()
	if cut != nil {
		return true, cut // the reader saw no more than that the connection was closed
	}
	return true, err
}

// watch verifies the peer's certificate again while the link lives, and cuts it when it has expired or been revoked: then it
// says why.
func (m *Mesh) watch(ctx context.Context, l *link, conn *quic.Conn) error {
	tick := time.NewTicker(m.Recheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if _, err := m.verify(rawChain(conn)); err != nil {
				m.Log.Warn("link cut", "peer", l.peer.ID, "error", err)
				_ = conn.CloseWithError(2, "certificate no longer valid") // it may be gone
				return err
			}
		}
	}
}

// take checks a frame against the link that it came on and hands it over.
func (m *Mesh) take(ctx context.Context, l *link, frame []byte) error {
	msg, err := m.codec.open(frame)
	if err != nil {
		return err
	}
	if msg.From != tss.PartyID(l.peer.Party) {
		return refuse(CodeBinding, "frame of party %d came over the link of %s", msg.From, l.peer.ID)
	}
	if msg.To != tss.Everyone && msg.To != tss.PartyID(m.self.Party) {
		return refuse(CodeRecipient, "frame is for party %d", msg.To)
	}
	m.Handler(ctx, msg)
	return nil
}

// Send signs a message and queues it for its recipient, or for every peer when it is a broadcast. It does not wait for
// delivery. A broadcast goes to all whose queue has room; the error names the others.
func (m *Mesh) Send(kind Kind, e tss.Envelope) error {
	if len(e.Payload) > MaxPayload {
		return refuse(CodeTooLarge, "message has %d bytes, more than %d", len(e.Payload), MaxPayload)
	}
	e.From = tss.PartyID(m.self.Party)
	return m.SendSigned(e.To, m.codec.seal(Message{Kind: kind, Envelope: e}, m.Identity))
}

// SendSigned queues a frame that Notary or Send has signed.
func (m *Mesh) SendSigned(to tss.PartyID, frame []byte) error {
	if to != tss.Everyone {
		l := m.links[to]
		if l == nil {
			return refuse(CodeUnknown, "party %d is not a peer", to)
		}
		return l.enqueue(frame)
	}
	var errs []error
	for _, l := range m.links {
		errs = append(errs, l.enqueue(frame))
	}
	return errors.Join(errs...)
}

// Notary signs and opens engine messages for this node.
func (m *Mesh) Notary() tss.Notary {
	return notary{m.codec, tss.PartyID(m.self.Party), m.Identity}
}

// Peers is every other node of the roster, ascending by party.
func (m *Mesh) Peers() []PeerStatus {
	var out []PeerStatus
	for _, n := range m.Roster.Nodes {
		l := m.links[tss.PartyID(n.Party)]
		if l == nil {
			continue
		}
		l.mu.Lock()
		s := PeerStatus{ID: n.ID, Party: tss.PartyID(n.Party), Connected: l.conn != nil, Since: l.since, LastError: l.lastErr, Refused: l.refused, Queued: len(l.queue)}
		if l.conn != nil {
			s.RTT = l.conn.ConnectionStats().SmoothedRTT
		}
		l.mu.Unlock()
		out = append(out, s)
	}
	return out
}

func (m *Mesh) notify() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.changed)
	m.changed = make(chan struct{})
}

// WaitConnected waits until n peers are connected.
func (m *Mesh) WaitConnected(ctx context.Context, n int) error {
	for {
		m.mu.Lock()
		changed := m.changed
		m.mu.Unlock()
		up := 0
		for _, p := range m.Peers() {
			if p.Connected {
				up++
			}
		}
		if up >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d peers are connected: %w", up, n, ctx.Err())
		}
	}
}
