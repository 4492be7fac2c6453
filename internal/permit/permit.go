// Package permit is leave to run one execution of one intent on one node, once.
//
// A permit cannot be made outside this package, and this package makes one only from a certificate that it verified
// itself, for a key and an epoch that the node says are active, and only after the leave has been burned durably. What
// comes out is used up by Use; a copy or a second Use is refused.
package permit

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"chancery.dev/internal/intent"
	"chancery.dev/internal/quorum"
	"chancery.dev/internal/transcript"
)

// MaxAttempts bounds how often one certificate may be executed. An attempt that failed is never taken up again: the next
// one is a new execution with fresh one-time material, and has a permit of its own.
const MaxAttempts = 5

// ID names one permit: hash of cluster, epoch, intent and attempt. It is also the id of the execution.
type ID [32]byte

// Burner writes one-use markers. Burn returns only after the marker is durable, and fails the second time.
type Burner interface {
	Burn(id ID) error
}

// Authority says whether a key may be used in the current epoch, with a reason when not.
type Authority interface {
	Active(key intent.KeyID) error
}

// Office mints permits for one node in one epoch.
type Office struct {
	Electorate quorum.Electorate
	Burner     Burner
	Authority  Authority
}

// Permit is leave for one execution. It is made only by Grant and used up by Use.
type Permit struct {
	id      ID
	intent  intent.Intent
	iid     intent.ID
	attempt uint32
	cert    quorum.Certificate
	used    atomic.Bool
}

// Error is a refusal with a reason code.
type Error struct{ Code, Text string }

// Error is the code and the sentence.
func (e *Error) Error() string { return e.Code + ": " + e.Text }

// ReasonCode is the code.
func (e *Error) ReasonCode() string { return e.Code }

// Reason codes.
const (
	CodeReused  = "STEP_PERMIT_REUSED"
	CodeExpired = "INTENT_EXPIRED"
	CodeAttempt = "ATTEMPTS_EXHAUSTED"
)

// IDFor is the id that a permit for this attempt has or would have.
func (o Office) IDFor(id intent.ID, attempt uint32) ID {
	t := transcript.New("chancery/permit/v1")
	t.Bytes("cluster", o.Electorate.Cluster[:])
	t.Uint64("epoch", o.Electorate.Epoch)
	t.Bytes("intent", id[:])
	t.Uint64("attempt", uint64(attempt))
	return t.Sum()
}

// Grant verifies everything and burns the leave before it returns it. Attempts count from 1.
func (o Office) Grant(i intent.Intent, c quorum.Certificate, attempt uint32, now time.Time) (*Permit, error) {
	id, err := i.ID()
	if err != nil {
		return nil, err
	}
	if attempt == 0 || attempt > MaxAttempts {
		return nil, &Error{CodeAttempt, fmt.Sprintf("attempt %d is not within 1 to %d", attempt, MaxAttempts)}
	}
	if !now.Before(i.Expires) {
		return nil, &Error{CodeExpired, "intent has expired"}
	}
	if err := o.Electorate.VerifyCertificate(c, id, quorum.Admit, now); err != nil {
		return nil, err
	}
	if !i.Key.IsZero() {
		if err := o.Authority.Active(i.Key); err != nil {
			return nil, err
		}
	}
	p := &Permit{id: o.IDFor(id, attempt), intent: i, iid: id, attempt: attempt, cert: c}
	if err := o.Burner.Burn(p.id); err != nil {
		return nil, fmt.Errorf("burn permit: %w", err)
	}
	return p, nil
}

// Leave is what a used permit allowed. It can be had once from each permit.
type Leave struct {
	Execution   ID
	Intent      intent.Intent
	IntentID    intent.ID
	Attempt     uint32
	Certificate quorum.Certificate
}

// ErrNil is returned for a permit that nobody granted.
var ErrNil = errors.New("no permit")

// Use spends the permit. The second call is refused with STEP_PERMIT_REUSED.
func (p *Permit) Use() (Leave, error) {
	if p == nil || p.id == (ID{}) {
		return Leave{}, ErrNil
	}
	if p.used.Swap(true) {
		return Leave{}, &Error{CodeReused, "permit was used before"}
	}
	return Leave{Execution: p.id, Intent: p.intent, IntentID: p.iid, Attempt: p.attempt, Certificate: p.cert}, nil
}

// ID names the permit without using it.
func (p *Permit) ID() ID { return p.id }
