// Package policy decides, on one node and by that node alone, whether an intent may go on.
//
// Decide is pure: the same intent, facts and policy give the same decision on every machine. What cannot be evaluated is
// denied. Today there is one policy, AllowAll, which says yes to every well-formed intent whose facts were checked; it has
// a root all the same, so that every ballot names the policy that it was cast under.
package policy

import (
	"chancery.dev/internal/intent"
	"chancery.dev/internal/transcript"
)

// Verdict is the outcome of a decision. The zero value is Deny: a forgotten field fails closed.
type Verdict uint8

// The verdicts.
const (
	Deny Verdict = iota
	Allow
	NeedApprovals
)

// String is the verdict's word in receipts and ballots.
func (v Verdict) String() string {
	switch v {
	case Allow:
		return "allow"
	case NeedApprovals:
		return "need-approvals"
	}
	return "deny"
}

// ReleaseMode says whether publishing needs its own certificate.
type ReleaseMode uint8

// The release modes. The zero value asks for two certificates.
const (
	ReleaseSeparately    ReleaseMode = iota // a second ballot after execution
	ReleaseWithAdmission                    // one ballot answers both questions
)

// Root is the digest of a policy set. Two nodes that decide under different roots do not agree.
type Root [32]byte

// Facts are what the node found out by itself. Decide believes nothing else.
type Facts struct {
	Rebuilt bool // the node rebuilt from its own view what would be signed, and it is the same
}

// Decision is what policy says of an intent on one node.
type Decision struct {
	Verdict Verdict
	Reasons []string // reason codes, in order
	Root    Root
	Release ReleaseMode
}

// Policy is a policy set with its root.
type Policy struct {
	root    Root
	release ReleaseMode
}

// AllowAll allows every intent whose facts were checked, and releases with admission.
func AllowAll() Policy {
	return Policy{root: transcript.Hash("chancery/policy/v1", []byte("allow-all"), []byte("release-with-admission")), release: ReleaseWithAdmission}
}

// Root is the digest of the set.
func (p Policy) Root() Root { return p.root }

// Reasons that Decide gives.
const (
	ReasonNoPolicy   = "POLICY_MISSING"
	ReasonNotRebuilt = "PAYLOAD_REJECTED"
)

// Decide says what the policy says of an intent. An empty policy and an unchecked intent are denied.
func (p Policy) Decide(_ intent.Intent, f Facts) Decision {
	d := Decision{Verdict: Deny, Root: p.root, Release: p.release}
	switch {
	case p.root == Root{}:
		d.Reasons = []string{ReasonNoPolicy}
	case !f.Rebuilt:
		d.Reasons = []string{ReasonNotRebuilt}
	default:
		d.Verdict = Allow
	}
	return d
}
