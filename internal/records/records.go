// Package records holds what a node remembers of its work, apart from secrets: intents and their state, ballots, receipts
// and the audit log. It has the types and the rules; the stores are in the adapters below it (sqlite), which share one
// schema. What decides is signed and is verified again when it is read: a store is believed about progress, not about truth.
package records

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// ID is an intent's id.
type ID [32]byte

// String is lower-case hex.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// State is how far an intent has come on this node.
type State string

// The states. A terminal state is never left.
const (
	Collecting State = "collecting" // ballots are coming in
	Admitted   State = "admitted"   // a certificate is in
	Executing  State = "executing"  // a permit is burned, secrets are in use
	Held       State = "held"       // this node's last partial signatures lie in its keystore
	Published  State = "published"  // the transaction went out
	Confirmed  State = "confirmed"  // it is in a block; for a key: it is active. Terminal
	Denied     State = "denied"     // policy, votes or the release gate said no. Terminal
	Failed     State = "failed"     // it broke; Reason says where. Terminal
)

// Terminal says whether nothing can follow.
func (s State) Terminal() bool { return s == Confirmed || s == Denied || s == Failed }

// rank orders the states of the road; going back happens only from executing or held to admitted, for a new attempt.
var rank = map[State]int{Collecting: 1, Admitted: 2, Executing: 3, Held: 4, Published: 5, Confirmed: 6, Denied: 6, Failed: 6}

// CanFollow says whether a record may go from one state to another. The same state again is allowed.
func CanFollow(from, to State) bool {
	if rank[from] == 0 || rank[to] == 0 {
		return false
	}
	if from == to {
		return true
	}
	if from.Terminal() || from == Published && to != Confirmed {
		return false
	}
	retry := to == Admitted && (from == Executing || from == Held)
	return retry || rank[to] > rank[from]
}

// Intent is one row: an intent as this node sees it.
type Intent struct {
	ID            ID
	Act           string
	Initiator     string
	Idempotency   string
	Canonical     []byte // the intent itself
	State         State
	Reason        string // reason code when denied or failed
	Coordinator   bool   // this node took the request and drives it
	Attempt       uint32 // the last attempt begun, from 1
	Result        string // txid, or the group key of a new key, in hex
	Raw           []byte // signed transaction, once combined
	Confirmations int64
	Timeline      []Mark
	CreatedUnix   int64
	UpdatedUnix   int64
}

// Mark says when a record came to a state, for people and for measuring; nothing is decided by it.
type Mark struct {
	State     State `json:"state"`
	UnixMilli int64 `json:"unix_milli"`
}

// MaxMarks bounds a timeline.
const MaxMarks = 64

// Ballot is a stored vote: the canonical bytes, and what it is found by.
type Ballot struct {
	Intent   ID
	Voter    uint16
	Question string
	Bytes    []byte
}

// Event is an entry of the audit log.
type Event struct {
	Sequence int64
	Unix     int64
	Kind     string
	Intent   ID // zero when it is about no intent
	Text     string
	Previous [32]byte
	Hash     [32]byte
}

// HashEvent links an entry to the one before it. The length of each part is hashed before the part.
func HashEvent(e Event) [32]byte {
	h := sha256.New()
	part := func(b []byte) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	part([]byte("chancery/audit/v1"))
	part(e.Previous[:])
	part(binary.BigEndian.AppendUint64(nil, uint64(e.Sequence)))
	part(binary.BigEndian.AppendUint64(nil, uint64(e.Unix)))
	part([]byte(e.Kind))
	part(e.Intent[:])
	part([]byte(e.Text))
	return [32]byte(h.Sum(nil))
}

// Errors of every store.
var (
	ErrNotFound   = errors.New("no such record")
	ErrTransition = errors.New("state may not change so")
	ErrVoted      = errors.New("another ballot of this voter on this question is stored")
	ErrConflict   = errors.New("idempotency key was used for another intent")
)

// TransitionError says which change was refused.
func TransitionError(from, to State) error {
	return fmt.Errorf("%w: %s to %s", ErrTransition, from, to)
}
