package exec

import (
	"errors"
	"fmt"

	"chancery.dev/tss"
)

// Reason codes of an execution that failed.
const (
	CodeTimeout   = "REMOTE_TIMEOUT"
	CodeRejected  = "PAYLOAD_REJECTED"
	CodeBusy      = "SESSIONS_EXHAUSTED"
	CodeConflict  = "REPLAY_OR_CONFLICT"
	CodeNoRelease = "PUBLICATION_DENIED"
	CodeNoKey     = "KEY_NOT_ACTIVE"
	CodeInternal  = "EXECUTION_FAILED"
	// CodeNoPresignature says that a presignature is not in the pool, or was used.
	CodeNoPresignature = "PRESIGNATURE_MISSING"
)

// Error says where an execution broke, whether a new attempt may help, and which parties it would be better without:
// the ones that were waited for in vain, or the one that the engine convicted.
type Error struct {
	Code    string
	Step    string
	Retry   bool
	Parties []tss.PartyID
	Err     error
}

// Error is the code, the step and the cause.
func (e *Error) Error() string { return fmt.Sprintf("%s at %s: %v", e.Code, e.Step, e.Err) }

// ReasonCode is the code.
func (e *Error) ReasonCode() string { return e.Code }

// Unwrap is the cause; a *tss.Fault among them has evidence.
func (e *Error) Unwrap() error { return e.Err }

// failed sorts an engine error by who is to blame.
func failed(step string, err error) error {
	var fault *tss.Fault
	if errors.As(err, &fault) {
		return &Error{Code: CodeRejected, Step: step, Retry: true, Parties: []tss.PartyID{fault.Party}, Err: err}
	}
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	return &Error{Code: CodeInternal, Step: step, Err: err}
}
