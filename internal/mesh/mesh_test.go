package mesh

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery.dev/internal/pki"
	"chancery.dev/tss"
)

func TestFiveNodesExchange(t *testing.T) {
	const each = 30
	b := newBed(t, 5, days)
	var nodes []*node
	for p := tss.PartyID(1); p <= 5; p++ {
		nodes = append(nodes, b.start(t, p))
	}
	for _, n := range nodes {
		must(t, n.WaitConnected(patient(t), 4))
	}
	for p, n := range nodes {
		for i := range each {
			must(t, n.Send(Kind(2), to(tss.Everyone, fmt.Sprintf("all %d", i))))
			for other := tss.PartyID(1); other <= 5; other++ {
				if other != tss.PartyID(p+1) {
					must(t, n.Send(Protocol, to(other, fmt.Sprintf("only %d %d", other, i))))
				}
			}
		}
	}
	for p, n := range nodes {
		got := map[tss.PartyID][]string{}
		for range 4 * 2 * each {
			m := n.next(t)
			if (m.Kind == 2) != (m.To == tss.Everyone) || m.Session != (tss.SessionID{9}) || m.Round != 1 {
				t.Fatalf("message came as %+v", m)
			}
			got[m.From] = append(got[m.From], string(m.Payload))
		}
		var want []string
		for i := range each {
			want = append(want, fmt.Sprintf("all %d", i), fmt.Sprintf("only %d %d", p+1, i))
		}
		for from, list := range got {
			if from == tss.PartyID(p+1) || !slices.Equal(list, want) {
				t.Errorf("party %d took from %d: %q", p+1, from, list)
			}
		}
		for _, s := range n.Peers() {
			if !s.Connected || s.Refused != 0 || s.LastError != nil || !s.Since.Equal(start) || s.ID != pki.NodeID(fmt.Sprint("n", s.Party)) {
				t.Errorf("party %d sees %+v", p+1, s)
			}
		}
		if len(n.Peers()) != 4 || len(got) != 4 {
			t.Errorf("party %d has %d peers and heard %d", p+1, len(n.Peers()), len(got))
		}
	}
}

// waiting is what a node keeps for a peer, in order.
func (n *node) waiting(t *testing.T, peer tss.PartyID) []string {
	t.Helper()
	l := n.links[peer]
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, q := range l.queue {
		m, err := n.codec.open(q.frame)
		must(t, err)
		out = append(out, string(m.Payload))
	}
	return out
}

// What is sent while a node is away waits, and reaches its next process once and in order.
func TestRestartedNodeTakesWhatWaited(t *testing.T) {
	const away = tss.PartyID(3)
	b := newBed(t, 5, days)
	nodes := map[tss.PartyID]*node{}
	for p := tss.PartyID(1); p <= 5; p++ {
		nodes[p] = b.start(t, p)
	}
	for _, n := range nodes {
		must(t, n.WaitConnected(patient(t), 4))
	}
	nodes[away].stop()
	delete(nodes, away)
	want, total := map[tss.PartyID][]string{}, 0
	for p, n := range nodes {
		n.until(t, "after the stop", away, func(s PeerStatus) bool { return !s.Connected })
		for i := range 50 {
			must(t, n.Send(Protocol, to(away, fmt.Sprintf("%d from %d", i, p))))
		}
		want[p] = n.waiting(t, away)
		if len(want[p]) != 50 || n.status(away).Queued != 50 {
			t.Fatalf("party %d keeps %d messages", p, len(want[p]))
		}
		total += len(want[p])
	}
	back := b.start(t, away)
	must(t, back.WaitConnected(patient(t), 4))
	for p, n := range nodes {
		must(t, n.Send(Protocol, to(away, "last")))
		want[p] = append(want[p], "last")
		total++
	}
	got := map[tss.PartyID][]string{}
	for range total {
		m := back.next(t)
		got[m.From] = append(got[m.From], string(m.Payload))
	}
	for p := range nodes {
		if !slices.Equal(got[p], want[p]) {
			t.Errorf("from party %d came %q", p, got[p])
		}
	}
	must(t, back.Send(Protocol, to(tss.Everyone, "back")))
	for p, n := range nodes {
		if m := n.next(t); m.From != away || string(m.Payload) != "back" {
			t.Errorf("party %d took %q from %d", p, m.Payload, m.From)
		}
	}
	if len(back.got) != 0 {
		t.Errorf("%d messages came twice", len(back.got))
	}
}

// A new process counts its messages from one again. What its peer took from the process before is not held against them, and
// what it queued before its first hello is not taken for delivered.
func TestNewProcessCountsFromOne(t *testing.T) {
	for _, restarted := range []tss.PartyID{1, 2} {
		b := newBed(t, 2, days)
		stays, old := b.start(t, 3-restarted), b.start(t, restarted)
		for _, life := range []string{"first", "second", "third"} {
			for i := range 20 {
				must(t, old.Send(Protocol, to(3-restarted, fmt.Sprint(life, i))))
			}
			if old.stop == nil {
				old.run(t)
			}
			for i := range 20 {
				if m := stays.next(t); string(m.Payload) != fmt.Sprint(life, i) {
					t.Fatalf("in its %s life, message %d came as %q", life, i, m.Payload)
				}
			}
			old.stop()
			old = b.build(t, restarted)
		}
	}
}

// Connections that break in the middle lose nothing, double nothing and turn nothing round.
func TestBrokenConnectionsDeliverOnce(t *testing.T) {
	const messages, breakEvery = 400, 50
	b := newBed(t, 2, days)
	one, two := b.start(t, 1), b.start(t, 2)
	must(t, one.WaitConnected(patient(t), 1))
	for i := range messages {
		must(t, one.Send(Protocol, to(2, fmt.Sprint(i))))
		must(t, two.Send(Protocol, to(1, fmt.Sprint(i))))
	}
	for i := range messages {
		for _, n := range []*node{one, two} {
			if m := n.next(t); string(m.Payload) != fmt.Sprint(i) {
				t.Fatalf("%s came as number %d", m.Payload, i)
			}
		}
		if i%breakEvery == 0 {
			one.hangUp(2)
		}
	}
	must(t, one.Send(Protocol, to(2, "end")))
	if m := two.next(t); string(m.Payload) != "end" {
		t.Errorf("after all came %s", m.Payload)
	}
}

// hangUp ends the connection with a peer, if there is one.
func (n *node) hangUp(peer tss.PartyID) {
	l := n.links[peer]
	l.mu.Lock()
	conn := l.conn
	l.mu.Unlock()
	if conn != nil {
		_ = conn.CloseWithError(0, "the test hangs up") // it may have ended already
	}
}

// A message whose handling outlasts its connection is not handed over again by the next one, nor overtaken: the next
// conversation begins when the handler is done, and its hello then counts the message.
func TestSlowHandlerSeesAMessageOnce(t *testing.T) {
	b := newBed(t, 2, days)
	begun, free := make(chan string, 8), make(chan struct{})
	b.start(t, 2, func(c *Config) {
		c.Handler = func(_ context.Context, m Message) {
			begun <- string(m.Payload)
			<-free
		}
	})
	c := newCodec(b.roster)
	frame := func(payload string) []byte {
		return c.seal(Message{Protocol, tss.Envelope{From: 1, To: 2, Payload: []byte(payload)}}, b.ids[1])
	}
	p := b.pose(t, b.ids[1], 2)
	p.say(t, data(1, frame("first")))
	if got := <-begun; got != "first" {
		t.Fatalf("began with %q", got)
	}
	again := b.knock(t, b.ids[1], 2)
	_ = ended(t, p.conn) // replaced
	must(t, again.stream.SetReadDeadline(time.Now().Add(300*time.Millisecond)))
	hello := make([]byte, helloLen)
	_, err := again.stream.Read(hello)
	close(free)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("two conversations of one link at once: %v", err)
	}
	must(t, again.stream.SetReadDeadline(time.Time{}))
	_, err = io.ReadFull(again.stream, hello)
	must(t, err)
	if took := binary.BigEndian.Uint64(hello[32:]); took != 1 {
		t.Errorf("the next hello counts %d messages", took)
	}
	again.say(t, data(1, frame("first")))
	again.say(t, data(2, frame("second")))
	if got := <-begun; got != "second" {
		t.Errorf("after the first came %q", got)
	}
}

func TestNewRefusesWhoIsNotOnTheRoster(t *testing.T) {
	b := newBed(t, 3, days)
	foreign := newBed(t, 3, days)
	for _, c := range []struct {
		what, code string
		change     func(c *Config)
	}{
		{"one of the roster", "", func(*Config) {}},
		{"a name off the roster", CodeUnknown, func(c *Config) { c.Identity = b.enrol(t, "n9", time.Hour) }},
		{"a cluster of another name", CodeUnknown, func(c *Config) { r := *b.roster; r.Cluster = "beta"; c.Roster = &r }},
		{"another identity key", CodeBinding, func(c *Config) { c.Identity = b.enrol(t, "n1", time.Hour) }},
		{"another authority", pki.CodeUntrusted, func(c *Config) { c.Root = foreign.ca.Cert }},
		{"an expired certificate", pki.CodeExpired, func(c *Config) { c.Now = func() time.Time { return start.Add(25 * time.Hour) } }},
		{"a certificate of tomorrow", pki.CodeNotYet, func(c *Config) { c.Now = func() time.Time { return start.Add(-time.Hour) } }},
	} {
		config := b.config(1)
		c.change(&config)
		_, err := New(config)
		if c.code == "" && err != nil || c.code != "" && !coded(err, c.code) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func TestSendRefusesWhatItCannotCarry(t *testing.T) {
	b := newBed(t, 2, days)
	m, err := New(b.config(1))
	must(t, err)
	large := to(2, "")
	large.Payload = make([]byte, MaxPayload+1)
	if err := m.Send(Protocol, large); !coded(err, CodeTooLarge) {
		t.Errorf("message too large: %v", err)
	}
	for _, party := range []tss.PartyID{1, 3} {
		if err := m.Send(Protocol, to(party, "x")); !coded(err, CodeUnknown) {
			t.Errorf("message to party %d: %v", party, err)
		}
	}
	e := to(2, "x")
	e.From = 2 // the caller's word does not count
	must(t, m.Send(Protocol, e))
	if got, err := m.Notary().Open(m.links[2].queue[0].frame); err != nil || got.From != 1 {
		t.Errorf("the message is from party %d, %v", got.From, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.WaitConnected(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("wait for nobody: %v", err)
	}
	taken, err := net.ListenPacket("udp", b.address(1))
	must(t, err)
	defer taken.Close()
	if err := m.Run(t.Context()); err == nil {
		t.Error("two listen at one address")
	}
}

// No flight of a link can be replayed, and its keys outlast a quantum computer.
func TestTLSState(t *testing.T) {
	b := newBed(t, 3, days)
	one, two := b.start(t, 1), b.start(t, 2)
	must(t, one.WaitConnected(patient(t), 1))
	must(t, two.WaitConnected(patient(t), 1))
	for from, n := range map[tss.PartyID]*node{2: one, 1: two} {
		l := n.links[from]
		l.mu.Lock()
		state := l.conn.ConnectionState()
		l.mu.Unlock()
		s := state.TLS
		if s.Version != tls.VersionTLS13 || s.CurveID != tls.X25519MLKEM768 || s.NegotiatedProtocol != alpn || s.DidResume || state.Used0RTT {
			t.Errorf("link has version %x, curve %s, protocol %q, resumed %t, 0-RTT %t", s.Version, s.CurveID, s.NegotiatedProtocol, s.DidResume, state.Used0RTT)
		}
		if len(s.PeerCertificates) != 1 {
			t.Errorf("peer showed %d certificates", len(s.PeerCertificates))
		}
	}
	if quicConfig().Allow0RTT || !one.tls.SessionTicketsDisabled {
		t.Error("resumption or 0-RTT is on")
	}
	one.stop()
	cache := &countingCache{ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	for range 2 {
		config := strangerTLS(certificate(t, b.ids[1]))
		config.ClientSessionCache, config.ServerName = cache, "n2"
		conn, err := dialAs(t, config, b.address(2))
		must(t, err)
		s := &stranger{conn: conn}
		s.stream, err = conn.OpenStreamSync(patient(t))
		must(t, err)
		s.say(t, make([]byte, helloLen))
		_, err = s.stream.Read(make([]byte, helloLen)) // what came with the handshake has come by now
		must(t, err)
		if state := conn.ConnectionState(); state.TLS.DidResume || state.Used0RTT {
			t.Error("a session was resumed")
		}
		must(t, conn.CloseWithError(0, ""))
	}
	if cache.puts != 0 || cache.gets == 0 {
		t.Errorf("the node gave %d tickets; the cache was asked %d times", cache.puts, cache.gets)
	}
}

type countingCache struct {
	tls.ClientSessionCache
	gets, puts int
}

func (c *countingCache) Get(key string) (*tls.ClientSessionState, bool) {
	c.gets++
	return c.ClientSessionCache.Get(key)
}

func (c *countingCache) Put(key string, s *tls.ClientSessionState) {
	if s != nil {
		c.puts++
	}
	c.ClientSessionCache.Put(key, s)
}

// A live link does not outlive the certificate that opened it, whichever side's it is and however it ends.
func TestLiveLinkIsCut(t *testing.T) {
	for _, c := range []struct {
		what, code string
		peer       tss.PartyID
		end        func(b *bed, by *node, serial string)
	}{
		{"dialler's certificate expires", pki.CodeExpired, 1, func(b *bed, _ *node, _ string) { b.ahead.Store(int64(2 * time.Hour)) }},
		{"listener's certificate expires", pki.CodeExpired, 2, func(b *bed, _ *node, _ string) { b.ahead.Store(int64(2 * time.Hour)) }},
		{"dialler's certificate is revoked", pki.CodeRevoked, 1, func(_ *bed, by *node, serial string) {
			by.Revoke(&pki.Revocations{Serials: map[string]bool{serial: true}})
		}},
		{"listener's certificate is revoked", pki.CodeRevoked, 2, func(_ *bed, by *node, serial string) {
			by.Revoke(&pki.Revocations{Serials: map[string]bool{serial: true}})
		}},
	} {
		b := newBed(t, 2, func(party int) time.Duration {
			if tss.PartyID(party) == c.peer {
				return time.Hour
			}
			return 24 * time.Hour
		})
		nodes := map[tss.PartyID]*node{1: b.start(t, 1), 2: b.start(t, 2)}
		by, other := nodes[3-c.peer], nodes[c.peer]
		must(t, by.WaitConnected(patient(t), 1))
		must(t, other.Send(Protocol, to(3-c.peer, "while it is valid")))
		by.next(t)
		c.end(b, by, serialOf(t, b.ids[c.peer]))
		s := by.until(t, c.what, c.peer, func(s PeerStatus) bool { return !s.Connected && s.LastError != nil })
		if !coded(s.LastError, c.code) {
			t.Errorf("%s: the reason is %v", c.what, s.LastError)
		}
		must(t, other.Send(Protocol, to(3-c.peer, "too late")))
		other.stop()
		by.stop()
		if len(by.got) != 0 {
			t.Errorf("%s: a message came over the dead link", c.what)
		}
	}
}

// A peer that takes connections and then refuses them is not dialled in a hurry.
func TestPausesGrowWhilePeerRefuses(t *testing.T) {
	const tries = 6
	b := newBed(t, 2, days)
	listener, err := socket(t, b.address(2)).Listen(strangerTLS(certificate(t, b.ids[2])), quicConfig())
	must(t, err)
	begun := time.Now()
	b.start(t, 1)
	for range tries {
		conn, err := listener.Accept(patient(t))
		must(t, err)
		must(t, conn.CloseWithError(1, "not now"))
	}
	least, pause := time.Duration(0), minBackoff
	for range tries - 1 {
		least += pause / 2
		pause = min(2*pause, maxBackoff)
	}
	if took := time.Since(begun); took < least {
		t.Errorf("%d connections in %s, want at least %s", tries, took, least)
	}
}

// hasLine waits for a line of the journal with all of these words.
func (j journal) hasLine(t *testing.T, words ...string) {
	t.Helper()
	ctx := patient(t)
	for {
		select {
		case line := <-j.lines:
			missing := slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) })
			if !missing {
				return
			}
		case <-ctx.Done():
			t.Fatalf("no line with %q", words)
		}
	}
}
