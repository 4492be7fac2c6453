// Package quorum counts signed votes.
//
// A ballot is one node's signed answer to one question about one intent, bound to cluster, epoch, roster, expiry and the
// policy that it was cast under. A certificate is a threshold of yes ballots on the same things. Nobody's count is
// believed: every node verifies every ballot by itself, and a certificate carries them all. A signed no is not a fault;
// two signed answers that differ are, and they prove it.
package quorum

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"chancery.dev/internal/intent"
	"chancery.dev/internal/policy"
	"chancery.dev/internal/transcript"
)

// Question is what a ballot answers.
type Question string

// The questions. AdmitAndRelease is one ballot for both, where policy allows it.
const (
	Admit           Question = "admit"
	Release         Question = "release"
	AdmitAndRelease Question = "admit+release"
)

// Covers says whether a yes to q is a yes to asked.
func (q Question) Covers(asked Question) bool {
	return q == asked || q == AdmitAndRelease && (asked == Admit || asked == Release)
}

// MaxReason bounds a ballot's reason code in bytes.
const MaxReason = 64

// MaxBallots bounds a certificate.
const MaxBallots = intent.MaxNodes

// Ballot is a node's signed vote. Signature covers every other field.
type Ballot struct {
	Cluster   Digest      `json:"cluster"` // roster digest: cluster, epoch and nodes
	Epoch     uint64      `json:"epoch"`
	Intent    intent.ID   `json:"intent"`
	Question  Question    `json:"question"`
	Yes       bool        `json:"yes"`
	Reason    string      `json:"reason,omitempty"` // reason code of a no
	Policy    policy.Root `json:"policy"`
	Expires   int64       `json:"expires_unix_seconds"`
	Voter     uint16      `json:"voter"` // roster party number
	Signature []byte      `json:"signature"`
}

// Digest is a roster digest.
type Digest [32]byte

// digest is what a voter signs: tagged, typed and with no field left out.
func (b Ballot) digest() [32]byte {
	t := transcript.New("chancery/ballot/v1")
	t.Bytes("cluster", b.Cluster[:])
	t.Uint64("epoch", b.Epoch)
	t.Bytes("intent", b.Intent[:])
	t.String("question", string(b.Question))
	yes := uint64(0)
	if b.Yes {
		yes = 1
	}
	t.Uint64("yes", yes)
	t.String("reason", b.Reason)
	t.Bytes("policy", b.Policy[:])
	t.Uint64("expires", uint64(b.Expires))
	t.Uint64("voter", uint64(b.Voter))
	return t.Sum()
}

// Signer signs with a node's identity key. The key itself stays where it is.
type Signer interface {
	Sign(message []byte) []byte
}

// Sign returns the ballot with the voter's Ed25519 signature.
func (b Ballot) Sign(s Signer) Ballot {
	d := b.digest()
	b.Signature = s.Sign(d[:])
	return b
}

// Electorate is who may vote, in one epoch of one roster.
type Electorate struct {
	Cluster   Digest
	Epoch     uint64
	Threshold int
	Keys      map[uint16]ed25519.PublicKey // by party number
}

// Error is a refusal with a reason code.
type Error struct{ Code, Text string }

// Error is the code and the sentence.
func (e *Error) Error() string { return e.Code + ": " + e.Text }

// ReasonCode is the code.
func (e *Error) ReasonCode() string { return e.Code }

// Reason codes.
const (
	CodeStaleEpoch   = "STALE_EPOCH"
	CodeBinding      = "BINDING_MISMATCH"
	CodeNotAVoter    = "VOTER_UNKNOWN"
	CodeBadSignature = "SIGNATURE_INVALID"
	CodeExpired      = "INTENT_EXPIRED"
	CodeTooFew       = "QUORUM_MISSING"
)

// Verify checks one ballot against the roster: bindings first, then the signature.
func (e Electorate) Verify(b Ballot, now time.Time) error {
	key, known := e.Keys[b.Voter]
	switch {
	case b.Epoch != e.Epoch:
		return &Error{CodeStaleEpoch, fmt.Sprintf("ballot is of epoch %d, this is %d", b.Epoch, e.Epoch)}
	case b.Cluster != e.Cluster:
		return &Error{CodeBinding, "ballot is of another roster"}
	case !known:
		return &Error{CodeNotAVoter, fmt.Sprintf("party %d is not on the roster", b.Voter)}
	case b.Question != Admit && b.Question != Release && b.Question != AdmitAndRelease:
		return &Error{CodeBinding, "ballot answers no known question"}
	case len(b.Reason) > MaxReason:
		return &Error{CodeBinding, "ballot's reason is too long"}
	case now.Unix() >= b.Expires:
		return &Error{CodeExpired, "ballot has expired"}
	}
	d := b.digest()
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, d[:], b.Signature) {
		return &Error{CodeBadSignature, fmt.Sprintf("ballot of party %d is not signed by it", b.Voter)}
	}
	return nil
}

// DoubleVote is two valid ballots of one voter on one question of one intent that do not say the same. It proves itself.
type DoubleVote struct{ First, Second Ballot }

// Error names the voter.
func (d *DoubleVote) Error() string {
	return fmt.Sprintf("party %d voted twice and differently", d.First.Voter)
}

// Verify is nil when the two ballots convict the voter under this roster, at whatever time it is looked at.
func (d *DoubleVote) Verify(e Electorate) error {
	a, b := d.First, d.Second
	before := time.Unix(min(a.Expires, b.Expires)-1, 0)
	if err := errors.Join(e.Verify(a, before), e.Verify(b, before)); err != nil {
		return err
	}
	if a.Voter != b.Voter || a.Intent != b.Intent || !overlap(a.Question, b.Question) {
		return &Error{CodeBinding, "the two ballots are not answers of one voter to one question"}
	}
	if a.Yes == b.Yes {
		return &Error{CodeBinding, "the two ballots agree"}
	}
	return nil
}

func overlap(a, b Question) bool { return a.Covers(b) || b.Covers(a) }

// Tally collects the ballots on one intent. It keeps the first of each voter and question.
type Tally struct {
	electorate Electorate
	id         intent.ID
	ballots    map[tallyKey]Ballot
}

type tallyKey struct {
	voter    uint16
	question Question
}

// NewTally starts an empty count.
func NewTally(e Electorate, id intent.ID) *Tally {
	return &Tally{electorate: e, id: id, ballots: map[tallyKey]Ballot{}}
}

// Add verifies and keeps a ballot. A second ballot that says the same is ignored; one that differs is a *DoubleVote.
func (t *Tally) Add(b Ballot, now time.Time) error {
	if b.Intent != t.id {
		return &Error{CodeBinding, "ballot is on another intent"}
	}
	if err := t.electorate.Verify(b, now); err != nil {
		return err
	}
	for key, first := range t.ballots {
		if key.voter == b.Voter && overlap(key.question, b.Question) && first.Yes != b.Yes {
			return &DoubleVote{First: first, Second: b}
		}
	}
	key := tallyKey{b.Voter, b.Question}
	if _, have := t.ballots[key]; !have {
		t.ballots[key] = b
	}
	return nil
}

// Count is how many voters said yes and no to a question.
func (t *Tally) Count(q Question) (yes, no int) {
	y, n := map[uint16]bool{}, map[uint16]bool{}
	for key, b := range t.ballots {
		if key.question.Covers(q) && b.Yes {
			y[key.voter] = true
		} else if key.question.Covers(q) {
			n[key.voter] = true
		}
	}
	return len(y), len(n)
}

// Refused says whether a yes of threshold nodes has become impossible.
func (t *Tally) Refused(q Question) bool {
	_, no := t.Count(q)
	return len(t.electorate.Keys)-no < t.electorate.Threshold
}

// Ballots are all ballots kept, by voter and question.
func (t *Tally) Ballots() []Ballot {
	out := make([]Ballot, 0, len(t.ballots))
	for _, b := range t.ballots {
		out = append(out, b)
	}
	sortBallots(out)
	return out
}

func sortBallots(bs []Ballot) {
	sort.Slice(bs, func(i, j int) bool {
		if bs[i].Voter != bs[j].Voter {
			return bs[i].Voter < bs[j].Voter
		}
		return bs[i].Question < bs[j].Question
	})
}

// Certificate is a threshold of yes ballots on one question of one intent. It verifies by itself, with the roster alone.
type Certificate struct {
	Question Question `json:"question"`
	Ballots  []Ballot `json:"ballots"` // ascending by voter, one each
}

// Certify makes a certificate from the yes ballots that are in. When all of them answer both questions, so does it.
func (t *Tally) Certify(q Question, now time.Time) (Certificate, error) {
	c := Certificate{Question: q}
	last := uint16(0)
	for _, b := range t.Ballots() {
		if b.Yes && b.Question.Covers(q) && b.Voter != last {
			c.Ballots = append(c.Ballots, b)
			last = b.Voter
		}
	}
	if len(c.Ballots) > 0 && !slices.ContainsFunc(c.Ballots, func(b Ballot) bool { return b.Question != AdmitAndRelease }) {
		c.Question = AdmitAndRelease
	}
	return c, t.electorate.VerifyCertificate(c, t.id, q, now)
}

// VerifyCertificate checks every ballot: at least threshold different voters, all yes, all on this question of this
// intent under one policy, all valid now.
func (e Electorate) VerifyCertificate(c Certificate, id intent.ID, q Question, now time.Time) error {
	if len(c.Ballots) > MaxBallots {
		return &Error{CodeBinding, "certificate has too many ballots"}
	}
	if !c.Question.Covers(q) {
		return &Error{CodeBinding, "certificate answers another question"}
	}
	last := uint16(0)
	for i, b := range c.Ballots {
		if b.Voter <= last {
			return &Error{CodeBinding, "certificate's voters are not ascending and distinct"}
		}
		last = b.Voter
		if b.Intent != id || !b.Yes || !b.Question.Covers(q) || b.Policy != c.Ballots[0].Policy {
			return &Error{CodeBinding, fmt.Sprintf("ballot %d does not say yes to this under one policy", i)}
		}
		if err := e.Verify(b, now); err != nil {
			return fmt.Errorf("ballot %d: %w", i, err)
		}
	}
	if e.Threshold < 1 || len(c.Ballots) < e.Threshold {
		return &Error{CodeTooFew, fmt.Sprintf("%d of %d ballots needed", len(c.Ballots), e.Threshold)}
	}
	return nil
}

// Voters are the parties whose ballots the certificate carries, ascending.
func (c Certificate) Voters() []uint16 {
	out := make([]uint16, len(c.Ballots))
	for i, b := range c.Ballots {
		out[i] = b.Voter
	}
	return out
}

// FromRoster is an electorate whose keys are still to be filled in: who reads a roster gives them party by party.
func FromRoster(digest [32]byte, epoch uint64, threshold int) Electorate {
	return Electorate{Cluster: digest, Epoch: epoch, Threshold: threshold, Keys: map[uint16]ed25519.PublicKey{}}
}
