package mesh

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"chancery.dev/internal/pki"
	"chancery.dev/tss"
)

// Nobody gets in whom the roster does not expect to dial here. The caller hears that it was refused, the log says why.
func TestStrangersAreRefused(t *testing.T) {
	b := newBed(t, 3, days)
	foreign := newBed(t, 3, days)
	stale := b.withClock(t, -int64(48*time.Hour), func() *pki.Identity { return b.enrol(t, "n1", time.Hour) })
	early := b.withClock(t, int64(48*time.Hour), func() *pki.Identity { return b.enrol(t, "n1", time.Hour) })
	log := newJournal()
	target := b.start(t, 2, func(c *Config) { c.Log = slog.New(log) })
	own := certificate(t, b.ids[1])
	for _, c := range []struct {
		what, says, logged string
		config             *tls.Config
	}{
		{"off the roster", "bad certificate", pki.CodeOffRoster, strangerTLS(certificate(t, b.enrol(t, "n9", time.Hour)))},
		{"another key in its name", "bad certificate", pki.CodePin, strangerTLS(certificate(t, b.enrol(t, "n1", time.Hour)))},
		{"an expired certificate", "bad certificate", pki.CodeExpired, strangerTLS(certificate(t, stale))},
		{"a certificate of tomorrow", "bad certificate", pki.CodeNotYet, strangerTLS(certificate(t, early))},
		{"another authority", "bad certificate", pki.CodeUntrusted, strangerTLS(certificate(t, foreign.ids[1]))},
		{"no certificate", "certificate required", "", strangerTLS()},
		{"the node itself", "not a peer that dials here", "", strangerTLS(certificate(t, b.ids[2]))},
		{"a peer that is dialled from here", "not a peer that dials here", "", strangerTLS(certificate(t, b.ids[3]))},
		{"another protocol", "no application protocol", "", &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h3"}, Certificates: []tls.Certificate{own}, InsecureSkipVerify: true}},
		{"another curve", "handshake failure", "", &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{alpn}, Certificates: []tls.Certificate{own}, InsecureSkipVerify: true,
			CurvePreferences: []tls.CurveID{tls.CurveP256}}},
	} {
		conn, err := dialAs(t, c.config, b.address(2))
		if err == nil {
			err = ended(t, conn)
		}
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: the caller hears %v", c.what, err)
		}
		if c.logged != "" {
			log.hasLine(t, "refused", c.logged)
		}
	}
	for _, s := range target.Peers() {
		if s.Connected || !s.Since.IsZero() {
			t.Errorf("a stranger came in as %s", s.ID)
		}
	}
}

func (b *bed) withClock(t *testing.T, ahead int64, f func() *pki.Identity) *pki.Identity {
	t.Helper()
	defer b.ahead.Store(b.ahead.Load())
	b.ahead.Store(ahead)
	return f()
}

// Who answers at a peer's address must be that peer.
func TestImpostorsAreNotSpokenTo(t *testing.T) {
	b := newBed(t, 3, days)
	stale := b.withClock(t, -int64(48*time.Hour), func() *pki.Identity { return b.enrol(t, "n2", time.Hour) })
	for _, c := range []struct {
		what, code string
		as         *pki.Identity
	}{
		{"off the roster", pki.CodeOffRoster, b.enrol(t, "n9", time.Hour)},
		{"another key in its name", pki.CodePin, b.enrol(t, "n2", time.Hour)},
		{"an expired certificate", pki.CodeExpired, stale},
		{"another authority", pki.CodeUntrusted, newBed(t, 2, days).ids[2]},
		{"another node", CodeBinding, b.ids[3]},
	} {
		tr := socket(t, b.address(2))
		listener, err := tr.Listen(strangerTLS(certificate(t, c.as)), quicConfig())
		must(t, err)
		log := newJournal()
		one := b.start(t, 1, func(config *Config) { config.Log = slog.New(log) })
		must(t, one.Send(Protocol, to(2, "for n2 alone")))
		log.hasLine(t, "dial failed", "peer=n2", c.code)
		if s := one.status(2); s.Connected || s.Queued != 1 || !coded(s.LastError, c.code) {
			t.Errorf("%s: %+v", c.what, s)
		}
		one.stop()
		must(t, errors.Join(listener.Close(), tr.Close(), tr.Conn.Close()))
	}
}

// Each row is a frame that party 1 delivers over its own good link. It is dropped, counted against party 1, and named; what
// follows is taken all the same, until there were too many.
func TestForgedFramesAreDropped(t *testing.T) {
	b := newBed(t, 3, days)
	two := b.start(t, 2)
	c := newCodec(b.roster)
	message := func(from, to tss.PartyID, payload string) Message {
		return Message{Protocol, tss.Envelope{Session: tss.SessionID{9}, Round: 1, From: from, To: to, Payload: []byte(payload)}}
	}
	good := func(payload string) []byte { return c.seal(message(1, 2, payload), b.ids[1]) }
	flip := func(i int) []byte {
		f := good("flipped")
		f[(i+len(f))%len(f)] ^= 1
		return f
	}
	later := *b.roster
	later.Epoch++
	moved := *b.roster
	moved.Threshold++
	p := b.pose(t, b.ids[1], 2)
	seq := uint64(0)
	say := func(frame []byte) {
		seq++
		p.say(t, data(seq, frame))
	}
	rows := []struct {
		what, code string
		frame      []byte
	}{
		{"another's true frame", CodeBinding, c.seal(message(3, 2, "x"), b.ids[3])},
		{"one's own frame, sent back", CodeBinding, c.seal(message(2, 2, "x"), b.ids[2])},
		{"another's name, own signature", CodeSignature, c.seal(message(3, 2, "x"), b.ids[1])},
		{"own name, another's signature", CodeSignature, c.seal(message(1, 2, "x"), b.ids[3])},
		{"party off the roster", CodeUnknown, c.seal(message(9, 2, "x"), b.ids[1])},
		{"for another recipient", CodeRecipient, c.seal(message(1, 3, "x"), b.ids[1])},
		{"moved into another session", CodeSignature, flip(42)},
		{"moved into another round", CodeSignature, flip(74)},
		{"another payload", CodeSignature, flip(headLen)},
		{"another signature", CodeSignature, flip(-1)},
		{"of a later epoch", CodeStale, newCodec(&later).seal(message(1, 2, "x"), b.ids[1])},
		{"of another roster", CodeBinding, newCodec(&moved).seal(message(1, 2, "x"), b.ids[1])},
		{"of another version", CodeMalformed, flip(0)},
		{"cut short", CodeMalformed, good("x")[:frameOverhead-1]},
		{"empty", CodeMalformed, nil},
	}
	for i, row := range rows {
		say(row.frame)
		say(good(row.what))
		if m := two.next(t); string(m.Payload) != row.what || m.From != 1 {
			t.Errorf("%s: %q was taken from party %d", row.what, m.Payload, m.From)
		}
		if s := two.status(1); s.Refused != i+1 || !coded(s.LastError, row.code) || !s.Connected {
			t.Errorf("%s: %+v", row.what, s)
		}
	}
	if len(rows) != maxViolations-1 {
		t.Fatalf("there are %d rows: the next frame would not be one too many", len(rows))
	}
	say(flip(-1))
	_ = ended(t, p.conn)
	s := two.until(t, "too many refused frames", 1, func(s PeerStatus) bool { return !s.Connected })
	if !coded(s.LastError, CodeSignature) || !strings.Contains(s.LastError.Error(), fmt.Sprintf("%d frames", maxViolations)) || s.Refused != maxViolations {
		t.Errorf("after the last: %+v", s)
	}
	if s := two.status(3); s.Refused != 0 || s.LastError != nil {
		t.Errorf("party 3 is blamed for what party 1 did: %+v", s)
	}
}

// A frame that was taken is not taken again when its record comes again.
func TestRepeatedRecordsAreTakenOnce(t *testing.T) {
	b := newBed(t, 2, days)
	two := b.start(t, 2)
	c := newCodec(b.roster)
	p := b.pose(t, b.ids[1], 2)
	frame := func(payload string) []byte {
		return c.seal(Message{Protocol, tss.Envelope{From: 1, To: 2, Payload: []byte(payload)}}, b.ids[1])
	}
	for _, seq := range []uint64{1, 1, 2, 1, 2, 3} {
		p.say(t, data(seq, frame(fmt.Sprint(seq))))
	}
	for _, want := range []string{"1", "2", "3"} {
		if m := two.next(t); string(m.Payload) != want {
			t.Errorf("%s was taken, want %s", m.Payload, want)
		}
	}
	if s := two.status(1); s.Refused != 0 || len(two.got) != 0 {
		t.Errorf("repeated records: %+v", s)
	}
}

// A record that no honest peer sends ends the link at once, even when this side waits for the peer to read.
func TestBrokenRecordsEndTheLink(t *testing.T) {
	huge := data(1, nil)
	binary.BigEndian.PutUint32(huge[9:], maxFrame+1)
	for what, c := range map[string]struct {
		record []byte
		code   string
	}{
		"oversize frame":    {huge, CodeTooLarge},
		"length of 4 GiB":   {[]byte{recordData, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff}, CodeTooLarge},
		"record of no type": {make([]byte, 13), CodeMalformed},
	} {
		b := newBed(t, 2, days)
		two := b.start(t, 2)
		p := b.pose(t, b.ids[1], 2)
		large := to(1, "")
		large.Payload = make([]byte, MaxPayload)
		for range 2 * connectionWindow / MaxPayload { // more than fits on the way: the writer waits for a reader that never comes
			must(t, two.Send(Protocol, large))
		}
		p.say(t, c.record)
		_ = ended(t, p.conn)
		s := two.until(t, what, 1, func(s PeerStatus) bool { return !s.Connected })
		if !coded(s.LastError, c.code) {
			t.Errorf("%s: %v", what, s.LastError)
		}
		two.stop()
	}
}

// A peer that sends without end fills its window and no more: the rest stays with the peer.
func TestFloodIsHeldBack(t *testing.T) {
	b := newBed(t, 2, days)
	begun, free := make(chan struct{}, 1), make(chan struct{})
	two := b.start(t, 2, func(c *Config) {
		c.Handler = func(ctx context.Context, _ Message) {
			select {
			case begun <- struct{}{}:
			default:
			}
			<-free
		}
	})
	t.Cleanup(func() { close(free) })
	p := b.pose(t, b.ids[1], 2)
	frame := newCodec(b.roster).seal(Message{Protocol, tss.Envelope{From: 1, To: 2, Payload: make([]byte, MaxPayload)}}, b.ids[1])
	sent := 0
	n, err := p.stream.Write(data(1, frame))
	must(t, err)
	sent += n
	<-begun
	must(t, p.stream.SetWriteDeadline(time.Now().Add(2*time.Second)))
	for seq := uint64(2); err == nil; seq++ {
		if sent > 4*streamWindow {
			t.Fatalf("%d bytes went out to a node that reads nothing", sent)
		}
		n, err = p.stream.Write(data(seq, frame))
		sent += n
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the flood ended with %v", err)
	}
	if most := len(frame) + streamWindow + 128<<10; sent > most {
		t.Errorf("%d bytes went out, more than %d", sent, most)
	}
	var limit *quic.StreamLimitReachedError
	if _, err := p.conn.OpenStream(); !errors.As(err, &limit) {
		t.Errorf("a second stream: %v", err)
	}
	if _, err := p.conn.OpenUniStream(); !errors.As(err, &limit) {
		t.Errorf("a one-way stream: %v", err)
	}
	if s := two.status(1); !s.Connected {
		t.Errorf("the link was lost: %v", s.LastError)
	}
}

// What a peer does not acknowledge is kept up to the bounds; then sending is an error, and nothing grows. An
// acknowledgement makes room again.
func TestQueueIsBounded(t *testing.T) {
	b := newBed(t, 3, days)
	two := b.start(t, 2)
	p := b.pose(t, b.ids[1], 2)
	c := newCodec(b.roster)
	seal := func(from, to tss.PartyID, payload int) []byte {
		return c.seal(Message{Protocol, tss.Envelope{From: from, To: to, Payload: make([]byte, payload)}}, b.ids[from])
	}
	for round, row := range []struct {
		what         string
		payload, fit int
	}{
		{"small frames", 1, maxQueueFrames},
		{"large frames", MaxPayload, maxQueueBytes / maxFrame},
	} {
		frame, sent := seal(2, tss.Everyone, row.payload), 0
		err := two.SendSigned(1, frame)
		for ; err == nil && sent <= maxQueueFrames; err = two.SendSigned(1, frame) {
			sent++
		}
		if !coded(err, CodeQueueFull) || sent != row.fit {
			t.Errorf("%s: %d fit, want %d: %v", row.what, sent, row.fit, err)
		}
		err = two.SendSigned(tss.Everyone, frame)
		if !coded(err, CodeQueueFull) || !strings.Contains(err.Error(), "n1") || strings.Contains(err.Error(), "n3") || two.status(3).Queued != round+1 {
			t.Errorf("%s: broadcast while one queue is full: %v", row.what, err)
		}
		l := two.links[1]
		l.mu.Lock()
		if len(l.queue) != row.fit || l.bytes != row.fit*len(frame) || l.bytes > maxQueueBytes {
			t.Errorf("%s: %d frames, %d bytes are kept", row.what, len(l.queue), l.bytes)
		}
		last := l.next
		l.mu.Unlock()
		p.say(t, binary.BigEndian.AppendUint64([]byte{recordAck}, last))
		p.say(t, data(uint64(round+1), seal(1, 2, 1)))
		two.next(t) // the acknowledgement came before it
		if s := two.status(1); s.Queued != 0 || l.bytes != 0 {
			t.Errorf("%s: after the acknowledgement %d frames, %d bytes are kept", row.what, s.Queued, l.bytes)
		}
	}
}
