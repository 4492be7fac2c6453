package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
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
	if status == http.StatusInternalServerError && message == "cannot read request body" {
		status = http.StatusBadRequest // the client broke off, or its chunks are malformed
	}
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

// statusOf is the HTTP status of a domain's reason code. What is not here is the request's fault: 422; but a code of the
// keystore is never that.
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
	"EXECUTION_FAILED":     http.StatusInternalServerError,
}

// problem turns an error of the domain into an answer. An error without a code, or about the keystore, is ours: it is
// logged, and the client learns only that it happened.
func problem(log *slog.Logger, err error) error {
	if err == nil {
		return nil
	}
	code, status := CodeInternal, http.StatusInternalServerError
	var coded Coded
	if errors.As(err, &coded) {
		code = coded.ReasonCode()
		known := false
		if status, known = statusOf[code]; !known {
			status = http.StatusUnprocessableEntity
		}
		if strings.HasPrefix(code, "KEYSTORE_") {
			status = http.StatusInternalServerError
		}
		if status != http.StatusInternalServerError {
			return &Problem{Status: status, Title: http.StatusText(status), Code: code, Detail: err.Error()}
		}
	}
	if errors.Is(err, context.Canceled) {
		return &Problem{Status: http.StatusServiceUnavailable, Title: http.StatusText(http.StatusServiceUnavailable), Code: CodeInterrupted,
			Detail: "the request was broken off: its client left, or the node stops"}
	}
	log.Error("request failed", "error", err)
	return &Problem{Status: status, Title: http.StatusText(status), Code: code, Detail: "the node could not answer; its log says why"}
}

// notReady is 503 whatever the cause. A cause without a code may name hosts and paths: it goes to the log alone, since
// readiness is asked without a token.
func notReady(log *slog.Logger, err error) error {
	if err == nil {
		return nil
	}
	p := &Problem{Status: http.StatusServiceUnavailable, Title: http.StatusText(http.StatusServiceUnavailable), Code: CodeNotReady, Detail: "the node cannot take part"}
	var coded Coded
	if errors.As(err, &coded) {
		p.Code = coded.ReasonCode()
	}
	log.Debug("not ready", "error", err)
	return p
}

func writeProblem(w http.ResponseWriter, p *Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client may be gone
}
