package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"strings"
	"time"

	"chancery.dev/internal/httpapi"
)

// maxAnswer bounds what the CLI reads from a node, in bytes.
const maxAnswer = 8 << 20

// maxToken bounds a token's file, in bytes.
const maxToken = 4 << 10

// client calls one node's REST API.
type client struct {
	endpoint string
	token    string
	http     *http.Client
}

func newClient(o *options) (*client, error) {
	u, err := url.Parse(o.endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usage("endpoint must be a URL such as http://127.0.0.1:8080")
	}
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return nil, usage("plain http is for this machine only; use https for %s", u.Hostname())
	}
	if o.tokenFile == "" {
		return nil, usage("no token: name its file with --token-file or CHANCERY_TOKEN_FILE")
	}
	token, err := readToken(o.tokenFile)
	if err != nil {
		return nil, fmt.Errorf("read token: %w", err)
	}
	return &client{
		endpoint: strings.TrimSuffix(o.endpoint, "/"), token: token,
		http: &http.Client{Timeout: o.timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}, nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host) // a name such as 127.example.org is not an address
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// readToken reads a token's file, which nobody else may read. It may be a pipe.
func readToken(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("others can use %s: give it mode 0600", path)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(raw))
	if token == "" || len(raw) > maxToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("%s does not hold one token", path)
	}
	return token, nil
}

// call sends in as JSON, when there is one, and reads the answer into out. A problem comes back as *httpapi.Problem.
func (c *client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.endpoint+path, body)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	res, err := c.http.Do(req)
	if err != nil {
		return &unreachable{err}
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return &unreachable{err}
	}
	if res.StatusCode >= 300 {
		return refusal(res.StatusCode, raw)
	}
	if err := decode(raw, out); err != nil {
		return fmt.Errorf("node's answer is not what was expected: %w", err)
	}
	return nil
}

// refusal is the problem in an answer, fit for a terminal.
func refusal(status int, raw []byte) error {
	var p httpapi.Problem
	if json.Unmarshal(raw, &p) != nil || p.Code == "" {
		return fmt.Errorf("node answered with status %d", status)
	}
	p.Code, p.Detail = printable(p.Code), printable(p.Detail)
	for i := range p.Fields {
		p.Fields[i] = printable(p.Fields[i])
	}
	return &p
}

// decode reads an answer into the struct that out points to. An answer that lacks a field is none: a balance of zero must
// have been said. Fields that this version does not know are passed over.
func decode(raw []byte, out any) error {
	var have map[string]json.RawMessage
	if err := json.Unmarshal(raw, &have); err != nil {
		return err
	}
	t := reflect.TypeOf(out).Elem()
	for i := range t.NumField() {
		name, rest, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if _, ok := have[name]; !ok && rest != "omitempty" {
			return fmt.Errorf("it has no %s", name)
		}
	}
	return json.Unmarshal(raw, out)
}

// unreachable is a node that did not answer; a retry may help.
type unreachable struct{ err error }

func (u *unreachable) Error() string { return "node does not answer: " + u.err.Error() }
func (u *unreachable) Unwrap() error { return u.err }

// usageError is a mistake on the command line.
type usageError struct{ text string }

func (u *usageError) Error() string { return u.text }

func usage(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// Exit codes, as the help text lists them.
const (
	ExitOK          = 0
	ExitFailed      = 1 // anything without a code of its own
	ExitUsage       = 2 // wrong flags or arguments
	ExitRefused     = 3 // the node refused; the reason code says why
	ExitUnreachable = 4 // the node does not answer
	ExitTimeout     = 5 // the wait ended before the work did
)

// ExitCode sorts an error of Run.
func ExitCode(err error) int {
	var u *usageError
	var p *httpapi.Problem
	var n *unreachable
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &u):
		return ExitUsage
	case errors.As(err, &p):
		return ExitRefused
	case errors.As(err, &n): // a request's own timeout too
		return ExitUnreachable
	case errors.Is(err, errWait), errors.Is(err, context.DeadlineExceeded):
		return ExitTimeout
	}
	return ExitFailed
}

var errWait = errors.New("the wait is over, the work is not")

// poll asks again until done says so, the wait is over or ctx ends.
func poll[T any](ctx context.Context, wait time.Duration, ask func(context.Context) (T, error), done func(T) bool) (T, error) {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		v, err := ask(ctx)
		if err != nil || done(v) {
			return v, err
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return v, errWait
		case <-ctx.Done():
			return v, ctx.Err()
		}
	}
}

const pollEvery = 100 * time.Millisecond
