package exec

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"chancery.dev/tss"
)

// Link sends what a machine puts out, and the openings of sessions. It signs, queues and retries; it does not wait for
// the other side.
type Link interface {
	Send(ctx context.Context, e tss.Envelope) error
	SendOpen(ctx context.Context, to tss.PartyID, label, nonce [32]byte) error
}

// Sessions brings the messages of many sessions to the machines that wait for them. Deliver and DeliverOpen are called
// by the mesh and never wait.
type Sessions struct {
	// Observe, when it is set before the first session, is told how long each run took that ended well.
	Observe func(step string, took time.Duration)

	self tss.PartyID
	link Link

	mu      sync.Mutex
	running map[tss.SessionID]chan tss.Envelope
	early   map[tss.SessionID][]tss.Envelope
	order   []tss.SessionID // of early, oldest first
	held    int             // bytes of payloads in early
	opens   map[[32]byte]*opening
	waiting [][32]byte // labels of opens that this node has not opened, oldest first
}

// opening collects the parties' fresh randomness for one label.
type opening struct {
	nonces  map[tss.PartyID][32]byte
	mine    bool
	changed chan struct{} // closed and replaced at every change
}

// NewSessions makes an empty switchboard for one node.
func NewSessions(self tss.PartyID, link Link) *Sessions {
	return &Sessions{
		self: self, link: link,
		running: map[tss.SessionID]chan tss.Envelope{},
		early:   map[tss.SessionID][]tss.Envelope{},
		opens:   map[[32]byte]*opening{},
	}
}

// Deliver hands over an authenticated engine message. A message for a session that is not open yet is kept, within bounds.
func (s *Sessions) Deliver(e tss.Envelope) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if inbox, ok := s.running[e.Session]; ok {
		select {
		case inbox <- e:
		default: // the machine takes each message once and there are few: a full inbox is a flood
		}
		return
	}
	if _, known := s.early[e.Session]; !known {
		if len(s.order) == MaxEarlySessions {
			s.dropOldest()
		}
		s.order = append(s.order, e.Session)
		s.early[e.Session] = nil
	}
	for s.held+len(e.Payload) > MaxEarlyBytes && s.order[0] != e.Session {
		s.dropOldest()
	}
	if len(s.early[e.Session]) < MaxEarly && s.held+len(e.Payload) <= MaxEarlyBytes {
		s.early[e.Session] = append(s.early[e.Session], e)
		s.held += len(e.Payload)
	}
}

// dropOldest forgets the early messages that have waited longest.
func (s *Sessions) dropOldest() {
	s.forgetEarly(s.order[0])
	s.order = s.order[1:]
}

func (s *Sessions) forgetEarly(id tss.SessionID) {
	for _, e := range s.early[id] {
		s.held -= len(e.Payload)
	}
	delete(s.early, id)
}

// DeliverOpen hands over a peer's randomness for a session label. The first one of each peer counts.
func (s *Sessions) DeliverOpen(from tss.PartyID, label, nonce [32]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.opening(label)
	if _, have := o.nonces[from]; have {
		return
	}
	o.nonces[from] = nonce
	close(o.changed)
	o.changed = make(chan struct{})
}

// opening finds or makes the entry of a label; the oldest entry that nobody here waits for makes room.
func (s *Sessions) opening(label [32]byte) *opening {
	if o, ok := s.opens[label]; ok {
		return o
	}
	if len(s.waiting) == MaxEarlyOpens {
		if o := s.opens[s.waiting[0]]; o != nil && !o.mine {
			delete(s.opens, s.waiting[0])
		}
		s.waiting = s.waiting[1:]
	}
	o := &opening{nonces: map[tss.PartyID][32]byte{}, changed: make(chan struct{})}
	s.opens[label] = o
	s.waiting = append(s.waiting, label)
	return o
}

// Open exchanges fresh randomness with the parties and returns everyone's. The label names the session on all nodes; it
// comes from a permit, so it is used once.
func (s *Sessions) Open(ctx context.Context, label [32]byte, parties []tss.PartyID) (map[tss.PartyID][32]byte, error) {
	return s.OpenWithin(ctx, OpenTimeout, label, parties)
}

// OpenWithin is Open for parties that may take longer.
func (s *Sessions) OpenWithin(ctx context.Context, patience time.Duration, label [32]byte, parties []tss.PartyID) (map[tss.PartyID][32]byte, error) {
	var nonce [32]byte
	rand.Read(nonce[:])
	s.mu.Lock()
	o := s.opening(label)
	if o.mine {
		s.mu.Unlock()
		return nil, &Error{Code: CodeConflict, Step: "open", Err: errors.New("session was opened before")}
	}
	o.mine = true
	o.nonces[s.self] = nonce
	s.mu.Unlock()
	defer s.forget(label)
	for _, p := range parties {
		if p != s.self {
			if err := s.link.SendOpen(ctx, p, label, nonce); err != nil {
				return nil, &Error{Code: CodeTimeout, Step: "open", Retry: true, Parties: []tss.PartyID{p}, Err: err}
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		got, missing, changed := s.opened(label, parties)
		if len(missing) == 0 {
			return got, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, &Error{Code: CodeTimeout, Step: "open", Retry: true, Parties: missing, Err: fmt.Errorf("parties %v did not open the session", missing)}
		}
	}
}

func (s *Sessions) opened(label [32]byte, parties []tss.PartyID) (map[tss.PartyID][32]byte, []tss.PartyID, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.opens[label]
	got, missing := map[tss.PartyID][32]byte{}, []tss.PartyID(nil)
	for _, p := range parties {
		if nonce, ok := o.nonces[p]; ok {
			got[p] = nonce
		} else {
			missing = append(missing, p)
		}
	}
	return got, missing, o.changed
}

// forget drops an opening that is over. What a late peer sends for it makes an entry that nobody waits for, and that newer
// ones push out.
func (s *Sessions) forget(label [32]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.opens, label)
}

// begin registers a running session and takes what came early.
func (s *Sessions) begin(id tss.SessionID) (<-chan tss.Envelope, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, twice := s.running[id]; twice {
		return nil, &Error{Code: CodeConflict, Step: "open", Err: errors.New("session is running already")}
	}
	if len(s.running) >= MaxSessions {
		return nil, &Error{Code: CodeBusy, Step: "open", Retry: true, Err: errors.New("too many sessions are running")}
	}
	inbox := make(chan tss.Envelope, inboxSize)
	for _, e := range s.early[id] {
		inbox <- e
	}
	s.forgetEarly(id)
	for i, other := range s.order {
		if other == id {
			s.order = append(s.order[:i], s.order[i+1:]...)
			break
		}
	}
	s.running[id] = inbox
	return inbox, nil
}

func (s *Sessions) end(id tss.SessionID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, id)
}

// Drive runs a machine to its end: it sends what the machine puts out, steps it with what comes in, and closes it. It
// returns the result, or an *Error that says whom the run waited for or who broke the rules.
func Drive[R any](ctx context.Context, s *Sessions, step string, id tss.SessionID, m tss.Machine[R]) (R, error) {
	return DriveWithin(ctx, RunTimeout, s, step, id, m)
}

// DriveWithin is Drive for machines that may take longer.
func DriveWithin[R any](ctx context.Context, patience time.Duration, s *Sessions, step string, id tss.SessionID, m tss.Machine[R]) (R, error) {
	var zero R
	defer m.Close()
	inbox, err := s.begin(id)
	if err != nil {
		return zero, err
	}
	defer s.end(id)
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		for _, e := range m.Outbox() {
			if err := s.link.Send(ctx, e); err != nil {
				return zero, &Error{Code: CodeTimeout, Step: step, Retry: true, Err: fmt.Errorf("send: %w", err)}
			}
		}
		if r, done := m.Result(); done {
			if s.Observe != nil {
				s.Observe(step, time.Since(began))
			}
			return r, nil
		}
		select {
		case e := <-inbox:
			if err := m.Step(e); err != nil && !errors.Is(err, tss.ErrSession) && !errors.Is(err, tss.ErrSender) {
				for _, last := range m.Outbox() { // a complaint goes out although its machine has ended
					err = errors.Join(err, s.link.Send(ctx, last))
				}
				return zero, failed(step, err)
			}
		case <-ctx.Done():
			waiting := m.Waiting()
			return zero, &Error{Code: CodeTimeout, Step: step, Retry: true, Parties: waiting, Err: fmt.Errorf("parties %v were silent: %w", waiting, context.Cause(ctx))}
		}
	}
}
