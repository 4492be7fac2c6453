package httpapi

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

type limitedConn struct {
	net.Conn
	once    sync.Once
	release func()
}

func (c *limitedConn) Close() error {
	c.once.Do(c.release)
	return c.Conn.Close()
}

// newProblem is huma's error constructor: what it finds wrong in a request becomes a problem with a code.
func newProblem(status int, message string, errs ...error) huma.StatusError {
	p := &Problem{Status: status, Title: http.StatusText(status), Code: codeOf(status), Detail: message}
	for _, err := range errs {
		var detail huma.ErrorDetailer
		if errors.As(err, &detail) {
			p.Fields = append(p.Fields, detail.ErrorDetail().Location+": "+detail.ErrorDetail().Message)
		}
	}
	return p
}

func codeOf(status int) string {
	switch {
	case status == http.StatusNotFound:
		return CodeNotFound
	case status == http.StatusUnauthorized:
		return CodeUnauthorized
	case status >= 500:
		return CodeInternal
	}
	return CodeInvalid
}

// statusOf is the HTTP status of a domain's reason code. What is not here is the request's fault: 422.
var statusOf = map[string]int{
	CodeNotFound:           http.StatusNotFound,
	"REPLAY_OR_CONFLICT":   http.StatusConflict,
	"REMOTE_TIMEOUT":       http.StatusServiceUnavailable,
	"QUORUM_MISSING":       http.StatusServiceUnavailable,
	"CHAIN_UNAVAILABLE":    http.StatusServiceUnavailable,
	"KEY_NOT_ACTIVE":       http.StatusConflict,
	"KEY_EXISTS":           http.StatusConflict,
	"SESSIONS_EXHAUSTED":   http.StatusTooManyRequests,
	"FEES_UNAVAILABLE":     http.StatusServiceUnavailable,
	"TRANSACTION_REJECTED": http.StatusBadGateway,
}

// problem turns an error of the domain into an answer. An error without a code is ours: it is logged, and the client
// learns only that it happened.
func problem(log *slog.Logger, err error) error {
	if err == nil {
		return nil
	}
	var coded Coded
	if errors.As(err, &coded) {
		status, known := statusOf[coded.ReasonCode()]
		if !known {
			status = http.StatusUnprocessableEntity
		}
		return &Problem{Status: status, Title: http.StatusText(status), Code: coded.ReasonCode(), Detail: err.Error()}
	}
	log.Error("request failed", "error", err)
	return &Problem{Status: 500, Title: "Internal Server Error", Code: CodeInternal, Detail: "the node could not answer; its log says why"}
}

func writeProblem(w http.ResponseWriter, p *Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client may be gone
}
