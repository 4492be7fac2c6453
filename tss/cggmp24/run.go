package cggmp24

import (
	"errors"

	"chancery.dev/tss"
)

// run is what every machine of this package has in common: a session, an inbox, the round it is in, what it puts out.
type run struct {
	session  tss.Session
	id       tss.SessionID
	notary   tss.Notary
	inbox    *tss.Inbox
	round    uint8
	out      []tss.Envelope
	finished bool
	dead     bool
}

func newRun(s tss.Session, notary tss.Notary, shape ...tss.Shape) (run, error) {
	if err := s.Validate(); err != nil {
		return run{}, err
	}
	if notary == nil {
		return run{}, errors.New("a machine needs a notary")
	}
	return run{session: s, id: s.ID(), notary: notary, inbox: tss.NewInbox(s, shape...), round: 1}, nil
}

// step takes one message and advances. Messages of other sessions or strangers are refused and change nothing; after any
// other error the machine is dead.
func (r *run) step(e tss.Envelope, advance func() error, erase func()) error {
	if r.dead || r.finished {
		return tss.ErrDead
	}
	err := r.inbox.Accept(e)
	if errors.Is(err, tss.ErrSession) || errors.Is(err, tss.ErrSender) {
		return err
	}
	if err == nil {
		err = advance()
	}
	if err != nil {
		r.dead = true
		erase()
	}
	return err
}

// whole finishes rounds, one after the other, as long as all their messages are in.
func (r *run) whole(finish func(round uint8) error) error {
	for !r.finished && len(r.inbox.Missing(r.round)) == 0 {
		if err := finish(r.round); err != nil {
			return err
		}
		r.round++
	}
	return nil
}

func (r *run) broadcast(round uint8, payload []byte) {
	r.inbox.Keep(r.send(round, tss.Everyone, payload))
}

func (r *run) send(round uint8, to tss.PartyID, payload []byte) tss.Envelope {
	e := tss.Envelope{Session: r.id, Round: round, From: r.session.Self, To: to, Payload: payload}
	e.Signed = r.notary.Seal(e)
	r.out = append(r.out, e)
	return e
}

// originals is the signed messages of a round, in the order of its senders.
func (r *run) originals(round uint8, senders []tss.PartyID) [][]byte {
	var out [][]byte
	for _, p := range senders {
		out = append(out, r.inbox.Get(round, p).Signed)
	}
	return out
}

// Outbox gives each message once.
func (r *run) Outbox() []tss.Envelope {
	out := r.out
	r.out = nil
	return out
}

// Waiting names who is silent in this round.
func (r *run) Waiting() []tss.PartyID {
	if r.finished || r.dead {
		return nil
	}
	return r.inbox.Missing(r.round)
}

func has(ids []tss.PartyID, id tss.PartyID) bool {
	for _, other := range ids {
		if other == id {
			return true
		}
	}
	return false
}
