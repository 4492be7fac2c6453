package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chancery.dev/internal/evidence"
	"chancery.dev/internal/exec"
	"chancery.dev/internal/intent"
	"chancery.dev/internal/policy"
	"chancery.dev/internal/quorum"
	"chancery.dev/internal/records"
	"chancery.dev/tss"
)

// Bounds of courses.
const (
	maxCourses     = 256 // intents under way at a time
	mailbox        = 256 // events waiting for one course
	maxEarly       = 128 // intents that messages came for before the proposal
	maxEarlyEvents = 64  // of one of them
)

// event is something that a peer sent about an intent. One field is set.
type event struct {
	from      tss.PartyID
	ballot    *quorum.Ballot
	begin     *begin
	partials  *partials
	failure   *failure
	published *published
}

// course is one intent's way through this node. Its goroutine owns everything but the mailbox.
type course struct {
	id          intent.ID
	intent      intent.Intent
	coordinator tss.PartyID // who proposed it; 0 when that is not known any more
	caller      tss.PartyID // who called for the attempt under way
	events      chan event
	later       []event // taken out of the mailbox too early; next gives them first
	tally       *quorum.Tally
	chain       evidence.Chain
	expires     time.Time
	violations  map[string]bool // recorded on this intent, by kind and party
}

// Refusal is an error of the road with a reason code; the API and the records carry the code.
type Refusal struct {
	Code string
	Step string
	Err  error
}

// Error is the code, the step and the cause.
func (r *Refusal) Error() string { return fmt.Sprintf("%s at %s: %v", r.Code, r.Step, r.Err) }

// Unwrap is the cause.
func (r *Refusal) Unwrap() error { return r.Err }

// ReasonCode is what the API answers with.
func (r *Refusal) ReasonCode() string { return r.Code }

// Reason codes of the road that no part below has.
const (
	CodeExpired       = "INTENT_EXPIRED"
	CodeDenied        = "ADMISSION_DENIED"
	CodeQuorumMissing = "QUORUM_MISSING"
	CodeConflict      = "REPLAY_OR_CONFLICT"
	CodeNoKey         = "KEY_NOT_ACTIVE"
	CodeKeyExists     = "KEY_EXISTS"
	CodeBusy          = "SESSIONS_EXHAUSTED"
	CodeNotFound      = "NOT_FOUND"
	CodeInvalid       = "REQUEST_INVALID"
	CodeInternal      = "INTERNAL"
)

func refuse(code, step, format string, args ...any) error {
	return &Refusal{code, step, fmt.Errorf(format, args...)}
}

// codeOf finds the reason code of an error from any part of the node.
func codeOf(err error) string {
	var coded interface{ ReasonCode() string }
	switch {
	case errors.As(err, &coded):
		return coded.ReasonCode()
	case errors.Is(err, context.DeadlineExceeded):
		return CodeExpired
	}
	return CodeInternal
}

// start begins a course, once for each intent, and hands it what came early.
func (n *Node) start(i intent.Intent, id intent.ID, coordinator tss.PartyID) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, running := n.courses[id]; running {
		return nil
	}
	if n.closing || len(n.courses) >= maxCourses {
		return refuse(CodeBusy, "intent", "too many intents are under way")
	}
	c := &course{id: id, intent: i, coordinator: coordinator, events: make(chan event, mailbox), tally: quorum.NewTally(n.electorate, id), expires: i.Expires,
		violations: map[string]bool{}}
	for _, e := range n.early[id] {
		c.events <- e
	}
	delete(n.early, id)
	n.courses[id] = c
	n.wait.Add(1)
	go func() {
		defer n.wait.Done()
		n.take(n.ctx, c)
		n.mu.Lock()
		delete(n.courses, id)
		n.mu.Unlock()
	}()
	return nil
}

// post brings an event to its course, or keeps it for a while when the proposal has not come yet.
func (n *Node) post(id intent.ID, e event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c, ok := n.courses[id]; ok {
		select {
		case c.events <- e:
		default:
			n.log.Warn("event dropped: mailbox is full", "intent", id, "from", e.from)
		}
		return
	}
	if _, ok := n.early[id]; !ok && len(n.early) >= maxEarly {
		for other := range n.early { // any one makes room: none is known to be real
			delete(n.early, other)
			break
		}
	}
	if len(n.early[id]) < maxEarlyEvents {
		n.early[id] = append(n.early[id], e)
	}
}

// take is the road, from the vote to the end, on one node.
func (n *Node) take(ctx context.Context, c *course) {
	ctx, cancel := context.WithDeadline(ctx, c.expires)
	defer cancel()
	err := n.walk(ctx, c)
	if err == nil || n.ctx.Err() != nil { // a node that stops leaves the record as it is, and takes it up again
		return
	}
	code := codeOf(err)
	n.log.Warn("intent ended", "intent", c.id, "reason", code, "error", err)
	state := records.Failed
	if code == CodeDenied || code == exec.CodeNoRelease {
		state = records.Denied
	}
	n.release(c.id)
	bg := context.WithoutCancel(ctx)
	if _, err := n.advance(bg, c.id, state, func(r *records.Intent) { r.Reason = code }); err != nil && !errors.Is(err, records.ErrTransition) {
		n.log.Error("record not updated", "intent", c.id, "error", err)
		return
	}
	n.receipt(bg, c, evidence.StepDenial, map[string]string{"reason": code}, nil)
}

func (n *Node) walk(ctx context.Context, c *course) error {
	if err := n.restoreChain(ctx, c); err != nil {
		return err
	}
	if err := n.vote(ctx, c); err != nil {
		return err
	}
	cert, err := n.admission(ctx, c)
	if err != nil {
		return err
	}
	if c.coordinator == n.self {
		return n.lead(ctx, c, cert)
	}
	return n.follow(ctx, c)
}

// vote checks the intent against this node's own view, decides, and casts one ballot, stored before it is sent. After a
// restart the stored ballot is sent again; there is never a second one.
func (n *Node) vote(ctx context.Context, c *course) error {
	stored, err := n.records.Ballots(ctx, records.ID(c.id))
	if err != nil {
		return err
	}
	var mine *quorum.Ballot
	for _, raw := range stored {
		b, err := quorum.Decode[quorum.Ballot](raw.Bytes)
		if err != nil {
			return fmt.Errorf("stored ballot: %w", err)
		}
		if b.Voter == uint16(n.self) {
			mine = &b
		}
		n.count(c, tss.PartyID(b.Voter), b)
	}
	if mine == nil {
		b := n.decide(ctx, c)
		raw, err := quorum.Encode(b)
		if err != nil {
			return err
		}
		if err := n.records.PutBallot(ctx, records.Ballot{Intent: records.ID(c.id), Voter: b.Voter, Question: string(b.Question), Bytes: raw}); err != nil {
			return err
		}
		mine = &b
		n.count(c, n.self, b)
	}
	raw, err := quorum.Encode(*mine)
	if err != nil {
		return err
	}
	n.broadcast(ctx, kindBallot, raw)
	return nil
}

func (n *Node) decide(ctx context.Context, c *course) quorum.Ballot {
	err := n.check(ctx, c)
	if err == nil {
		err = n.alone(ctx, c)
	}
	d := n.policy.Decide(c.intent, n.facts(err))
	question := quorum.Admit
	if d.Release == policy.ReleaseWithAdmission {
		question = quorum.AdmitAndRelease
	}
	b := quorum.Ballot{
		Cluster: n.electorate.Cluster, Epoch: n.electorate.Epoch, Intent: c.id, Question: question,
		Policy: d.Root, Expires: c.expires.Unix(), Voter: uint16(n.self), Yes: d.Verdict == allow,
	}
	if err != nil {
		b.Reason = codeOf(err)
		n.log.Info("ballot is no", "intent", c.id, "reason", b.Reason, "error", err)
	} else if !b.Yes && len(d.Reasons) > 0 {
		b.Reason = d.Reasons[0]
	}
	return b.Sign(n.signer)
}

// count adds a ballot to the tally. Two differing ballots are recorded against the voter, who signed both. One that is not
// signed by its voter is recorded against the peer that delivered it: the name inside may be anybody's.
func (n *Node) count(c *course, from tss.PartyID, b quorum.Ballot) {
	err := c.tally.Add(b, n.now())
	var double *quorum.DoubleVote
	var refused *quorum.Error
	switch {
	case errors.As(err, &double):
		n.violation(c, "DoubleVote", tss.PartyID(b.Voter))
	case errors.As(err, &refused) && refused.Code == quorum.CodeBadSignature && from != n.self:
		n.violation(c, "InvalidSignature", from)
	}
	if err != nil {
		n.log.Warn("ballot refused", "intent", c.id, "from", from, "error", err)
	}
}

// violation records a party's misdeed, each kind once for each intent.
func (n *Node) violation(c *course, kind string, party tss.PartyID) {
	text := fmt.Sprintf("party %d", party)
	if c.violations[kind+text] {
		return
	}
	c.violations[kind+text] = true
	n.log.Error("violation", "kind", kind, "intent", c.id, "party", party)
	n.audit("violation."+kind, c.id, text)
}

// accuse records what this node's own engine convicted parties of. A report of others convicts nobody.
func (n *Node) accuse(c *course, err error) {
	var ex *exec.Error
	if errors.As(err, &ex) && ex.Code == exec.CodeRejected {
		for _, p := range ex.Parties {
			n.violation(c, "ProtocolFault", p)
		}
	}
}

// admission waits until the ballots allow the intent or can no longer do so.
func (n *Node) admission(ctx context.Context, c *course) (quorum.Certificate, error) {
	var later []event
	defer func() { c.later = later }()
	for {
		if cert, err := c.tally.Certify(quorum.Admit, n.now()); err == nil {
			if _, err := n.advance(ctx, c.id, records.Admitted, nil); err != nil && !errors.Is(err, records.ErrTransition) {
				return cert, err
			}
			if len(c.chain) == 0 {
				n.receipt(ctx, c, evidence.StepAdmission, map[string]string{"act": string(c.intent.Act())}, &cert)
			}
			return cert, nil
		}
		if c.tally.Refused(quorum.Admit) {
			return quorum.Certificate{}, refuse(CodeDenied, "admission", "too many nodes said no: %s", reasons(c.tally.Ballots()))
		}
		e, err := c.next(ctx)
		if err != nil {
			return quorum.Certificate{}, refuse(CodeQuorumMissing, "admission", "not enough ballots before the intent expired: %w", err)
		}
		if e.ballot != nil {
			n.keep(ctx, c, e.from, *e.ballot)
		} else if e.begin != nil { // the coordinator was faster; its certificate is evidence like any other
			n.adopt(ctx, c, e.from, e.begin.Certificate)
			later = append(later, e)
		} else {
			later = append(later, e)
		}
	}
}

// keep counts and stores a peer's ballot.
func (n *Node) keep(ctx context.Context, c *course, from tss.PartyID, b quorum.Ballot) {
	n.count(c, from, b)
	raw, err := quorum.Encode(b)
	if err != nil || n.electorate.Verify(b, n.now()) != nil {
		return
	}
	if err := n.records.PutBallot(ctx, records.Ballot{Intent: records.ID(c.id), Voter: b.Voter, Question: string(b.Question), Bytes: raw}); err != nil && !errors.Is(err, records.ErrVoted) {
		n.log.Error("ballot not stored", "intent", c.id, "error", err)
	}
}

// adopt takes the ballots out of a certificate that somebody else collected. Each is verified like one that came alone.
func (n *Node) adopt(ctx context.Context, c *course, from tss.PartyID, cert quorum.Certificate) {
	for _, b := range cert.Ballots[:min(len(cert.Ballots), quorum.MaxBallots)] {
		if b.Voter != uint16(n.self) {
			n.keep(ctx, c, from, b)
		}
	}
}

// next is the next event, or the end of the intent's life.
func (c *course) next(ctx context.Context) (event, error) {
	if len(c.later) > 0 {
		e := c.later[0]
		c.later = c.later[1:]
		return e, nil
	}
	select {
	case e := <-c.events:
		return e, nil
	case <-ctx.Done():
		return event{}, ctx.Err()
	}
}

func reasons(ballots []quorum.Ballot) string {
	out := ""
	for _, b := range ballots {
		if !b.Yes {
			out += fmt.Sprintf("party %d %s; ", b.Voter, b.Reason)
		}
	}
	return out
}
