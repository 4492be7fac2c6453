package exec

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chancery.dev/tss"
)

// deaf is a link on which everything is sent and nothing arrives.
type deaf struct{ err error }

func (d deaf) Send(context.Context, tss.Envelope) error                        { return d.err }
func (d deaf) SendOpen(context.Context, tss.PartyID, [32]byte, [32]byte) error { return d.err }

func message(session byte, n int) tss.Envelope {
	return tss.Envelope{Session: tss.SessionID{session, byte(n >> 8), byte(n)}, Round: 1, From: 2}
}

func TestEarlyMessagesAreKept(t *testing.T) {
	s := NewSessions(1, deaf{})
	for round := range uint8(3) {
		s.Deliver(tss.Envelope{Session: tss.SessionID{7}, Round: round, From: 2})
	}
	s.Deliver(tss.Envelope{Session: tss.SessionID{8}, Round: 9})
	inbox, err := s.begin(tss.SessionID{7})
	if err != nil {
		t.Fatal(err)
	}
	s.Deliver(tss.Envelope{Session: tss.SessionID{7}, Round: 3, From: 2})
	for round := range uint8(4) {
		if e := <-inbox; e.Round != round {
			t.Fatalf("message %d came in place of %d", e.Round, round)
		}
	}
	if len(inbox) != 0 {
		t.Error("a message of another session came")
	}
	if _, kept := s.early[tss.SessionID{7}]; kept || slices.Contains(s.order, tss.SessionID{7}) {
		t.Error("what was handed over is kept")
	}
}

func TestEarlyMessagesAreBounded(t *testing.T) {
	s := NewSessions(1, deaf{})
	for range 3 * MaxEarly {
		s.Deliver(message(1, 0))
	}
	if n := len(s.early[message(1, 0).Session]); n != MaxEarly {
		t.Errorf("%d early messages of one session are kept, want %d", n, MaxEarly)
	}
	for n := range 10 * MaxEarlySessions {
		s.Deliver(message(2, n))
	}
	if len(s.early) != MaxEarlySessions || len(s.order) != MaxEarlySessions {
		t.Errorf("%d unknown sessions are kept in an order of %d, want %d", len(s.early), len(s.order), MaxEarlySessions)
	}
	if _, kept := s.early[message(1, 0).Session]; kept {
		t.Error("the oldest session did not make room")
	}
	newest := message(2, 10*MaxEarlySessions-1)
	if inbox, err := s.begin(newest.Session); err != nil || len(inbox) != 1 {
		t.Errorf("the newest session has lost its message: %v", err)
	}
}

// A flood of openings that nobody here waits for takes no room from the ones that somebody waits for.
func TestOpeningsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSessions(1, deaf{})
		label, done := [32]byte{0xff}, make(chan error, 1)
		go func() {
			got, err := s.Open(t.Context(), label, []tss.PartyID{1, 2, 3})
			if err == nil && (len(got) != 3 || got[2] != [32]byte{2} || got[3] != [32]byte{3}) {
				err = errors.New("openings of the parties were not returned")
			}
			done <- err
		}()
		s.DeliverOpen(2, label, [32]byte{2})
		synctest.Wait()
		for n := range 5 * MaxEarlyOpens {
			s.DeliverOpen(3, [32]byte{1, byte(n >> 8), byte(n)}, [32]byte{9})
		}
		if len(s.opens) > MaxEarlyOpens+1 || len(s.waiting) > MaxEarlyOpens {
			t.Errorf("%d openings are kept, %d in line", len(s.opens), len(s.waiting))
		}
		s.DeliverOpen(2, label, [32]byte{4}) // the first one counts
		s.DeliverOpen(3, label, [32]byte{3})
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, kept := s.opens[label]; kept {
			t.Error("an opening that is over is kept")
		}
	})
}

// Nobody who keeps silent holds up a session for longer than OpenTimeout, and the error names exactly who it was.
func TestOpenNamesTheSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSessions(1, deaf{})
		s.DeliverOpen(2, [32]byte{1}, [32]byte{2})
		start := time.Now()
		_, err := s.Open(t.Context(), [32]byte{1}, []tss.PartyID{1, 2, 3, 4})
		e := refused(t, err, CodeTimeout)
		if !slices.Equal(e.Parties, []tss.PartyID{3, 4}) || !e.Retry || e.Step != "open" {
			t.Errorf("%+v", e)
		}
		if took := time.Since(start); took != OpenTimeout {
			t.Errorf("waited %s", took)
		}
	})
}

func TestOpenTwiceAtATimeIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSessions(1, deaf{})
		first := make(chan error, 1)
		go func() {
			_, err := s.Open(t.Context(), [32]byte{1}, []tss.PartyID{1, 2})
			first <- err
		}()
		synctest.Wait()
		_, err := s.Open(t.Context(), [32]byte{1}, []tss.PartyID{1, 2})
		refused(t, err, CodeConflict)
		s.DeliverOpen(2, [32]byte{1}, [32]byte{2})
		if err := <-first; err != nil {
			t.Errorf("the second opening broke the first: %v", err)
		}
	})
}

func TestOpenSaysWhoCannotBeSentTo(t *testing.T) {
	s := NewSessions(1, deaf{errors.New("queue is full")})
	_, err := s.Open(t.Context(), [32]byte{1}, []tss.PartyID{1, 2})
	if e := refused(t, err, CodeTimeout); !slices.Equal(e.Parties, []tss.PartyID{2}) || !strings.Contains(e.Error(), "queue is full") {
		t.Errorf("%+v", e)
	}
	if len(s.opens) != 0 {
		t.Error("a failed opening is kept")
	}
}

func TestSessionsAreBounded(t *testing.T) {
	s := NewSessions(1, deaf{})
	for n := range MaxSessions {
		if _, err := s.begin(message(1, n).Session); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.begin(message(1, 0).Session)
	refused(t, err, CodeConflict)
	_, err = s.begin(message(2, 0).Session)
	if e := refused(t, err, CodeBusy); !e.Retry {
		t.Error("a full node is not worth another try")
	}
	s.end(message(1, 0).Session)
	if _, err := s.begin(message(2, 0).Session); err != nil {
		t.Errorf("a session that ended gives no room: %v", err)
	}
}

// A peer that sends more than any machine takes loses its own messages and makes nobody wait.
func TestFullInboxDrops(t *testing.T) {
	s := NewSessions(1, deaf{})
	inbox, err := s.begin(tss.SessionID{1})
	if err != nil {
		t.Fatal(err)
	}
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() {
			for range inboxSize {
				s.Deliver(tss.Envelope{Session: tss.SessionID{1}})
			}
		})
	}
	senders.Wait()
	if len(inbox) != inboxSize {
		t.Errorf("inbox has %d messages, want %d", len(inbox), inboxSize)
	}
}

// machine is a machine that a test plays by hand.
type machine struct {
	out     []tss.Envelope
	step    func(tss.Envelope) error
	done    bool
	waiting []tss.PartyID
	closed  int
}

func (m *machine) Step(e tss.Envelope) error { return m.step(e) }
func (m *machine) Outbox() []tss.Envelope {
	out := m.out
	m.out = nil
	return out
}
func (m *machine) Waiting() []tss.PartyID { return m.waiting }
func (m *machine) Result() (string, bool) { return "done", m.done }
func (m *machine) Close()                 { m.closed++ }

func TestDriveEndsASession(t *testing.T) {
	s := NewSessions(1, deaf{})
	m := &machine{}
	m.step = func(e tss.Envelope) error {
		m.done = e.Round == 2
		return nil
	}
	s.Deliver(tss.Envelope{Session: tss.SessionID{1}, Round: 1})
	s.Deliver(tss.Envelope{Session: tss.SessionID{1}, Round: 2})
	out, err := Drive(t.Context(), s, "step", tss.SessionID{1}, m)
	if err != nil || out != "done" || m.closed == 0 {
		t.Fatalf("%q, %v, closed %d times", out, err, m.closed)
	}
	if len(s.running) != 0 {
		t.Error("a finished session is still running")
	}
}

// Messages that blame nobody change nothing: a late one of another run must not end this one.
func TestDriveShrugsOffStrangers(t *testing.T) {
	s := NewSessions(1, deaf{})
	m := &machine{}
	m.step = func(e tss.Envelope) error {
		switch e.Round {
		case 1:
			return tss.ErrSession
		case 2:
			return tss.ErrSender
		}
		m.done = true
		return nil
	}
	for round := range uint8(3) {
		s.Deliver(tss.Envelope{Session: tss.SessionID{1}, Round: round + 1})
	}
	if _, err := Drive(t.Context(), s, "step", tss.SessionID{1}, m); err != nil {
		t.Error(err)
	}
}

func TestDriveNamesTheSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSessions(1, deaf{})
		m := &machine{waiting: []tss.PartyID{3, 5}}
		start := time.Now()
		_, err := Drive(t.Context(), s, "keygen", tss.SessionID{1}, m)
		e := refused(t, err, CodeTimeout)
		if !slices.Equal(e.Parties, []tss.PartyID{3, 5}) || !e.Retry || e.Step != "keygen" || !strings.Contains(e.Error(), "[3 5]") {
			t.Errorf("%v: %+v", e, e)
		}
		if took := time.Since(start); took != RunTimeout {
			t.Errorf("waited %s", took)
		}
		if m.closed == 0 || len(s.running) != 0 {
			t.Error("the run is not over")
		}
	})
}

// A caller that gives up ends the run at once, and its reason stands in the error.
func TestDriveEndsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopped := errors.New("the node stops")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(stopped)
		_, err := Drive(ctx, NewSessions(1, deaf{}), "sign", tss.SessionID{1}, &machine{waiting: []tss.PartyID{2}})
		if refused(t, err, CodeTimeout); !errors.Is(err, stopped) {
			t.Errorf("%v does not say why", err)
		}
	})
}

func TestDriveSortsErrors(t *testing.T) {
	fault := &tss.Fault{Party: 4, Round: 2, Check: "proof", Evidence: []byte("evidence")}
	for _, c := range []struct {
		name    string
		err     error
		code    string
		parties []tss.PartyID
		retry   bool
	}{
		{"a peer's fault", fault, CodeRejected, []tss.PartyID{4}, true},
		{"our own", errors.New("out of order"), CodeInternal, nil, false},
	} {
		s := NewSessions(1, deaf{})
		m := &machine{step: func(tss.Envelope) error { return c.err }}
		s.Deliver(tss.Envelope{Session: tss.SessionID{1}})
		_, err := Drive(t.Context(), s, "sign", tss.SessionID{1}, m)
		e := refused(t, err, c.code)
		if !slices.Equal(e.Parties, c.parties) || e.Retry != c.retry || !errors.Is(err, c.err) {
			t.Errorf("%s: %+v", c.name, e)
		}
	}
}

// The last words of a machine that found a fault go out: they are its complaint, with the evidence.
func TestDriveSendsTheComplaint(t *testing.T) {
	var sent []tss.Envelope
	s := NewSessions(1, recorder(func(e tss.Envelope) { sent = append(sent, e) }))
	m := &machine{}
	m.step = func(tss.Envelope) error {
		m.out = []tss.Envelope{{Round: 9}}
		return &tss.Fault{Party: 2, Check: "share"}
	}
	s.Deliver(tss.Envelope{Session: tss.SessionID{1}})
	_, err := Drive(t.Context(), s, "keygen", tss.SessionID{1}, m)
	if refused(t, err, CodeRejected); len(sent) != 1 || sent[0].Round != 9 {
		t.Errorf("sent %v", sent)
	}
}

type recorder func(tss.Envelope)

func (r recorder) Send(_ context.Context, e tss.Envelope) error {
	r(e)
	return nil
}
func (r recorder) SendOpen(context.Context, tss.PartyID, [32]byte, [32]byte) error { return nil }

// However many sessions a peer names, what is kept for them stays within bytes.
func TestEarlyMessagesAreBoundedInBytes(t *testing.T) {
	s := NewSessions(1, nil)
	for i := range 4 * MaxEarlyBytes / tss.MaxPayload {
		s.Deliver(tss.Envelope{Session: tss.SessionID{byte(i), byte(i >> 8)}, From: 2, Payload: make([]byte, tss.MaxPayload)})
		if s.held > MaxEarlyBytes {
			t.Fatalf("%d bytes are held", s.held)
		}
	}
	if s.held == 0 || len(s.order) != len(s.early) {
		t.Errorf("%d bytes, %d sessions in order, %d kept", s.held, len(s.order), len(s.early))
	}
	last := s.order[len(s.order)-1]
	inbox, err := s.begin(last)
	if err != nil || len(inbox) == 0 {
		t.Errorf("the newest session's messages are gone: %v", err)
	}
	for len(s.order) > 0 {
		s.dropOldest()
	}
	if s.held != 0 {
		t.Errorf("%d bytes are counted with nothing held", s.held)
	}
}
