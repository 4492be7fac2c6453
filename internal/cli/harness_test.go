package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"chancery.dev/internal/httpapi"
	"chancery.dev/internal/secret"
)

var update = flag.Bool("update", false, "write the transcripts in testdata anew")

const (
	testToken = "fedcba9876543210fedcba9876543210fedcba9876543210"
	somebody  = "bcrt1p0000000000000000000000000000000000000000000000000000000000"
)

func idOf(n int) string { return strings.Repeat(fmt.Sprintf("%02x", n), 32) }

type refused struct{ code, text string }

func (r refused) Error() string      { return r.code + ": " + r.text }
func (r refused) ReasonCode() string { return r.code }

// backend is a node that answers with fixed values. states are what a payment or a key goes through, one for each time that
// it is asked for; err is its answer when it is set.
type backend struct {
	mu     sync.Mutex
	err    error
	states []string
	reason string
	sent   []httpapi.SendRequest
	made   []httpapi.DKGRequest
	asked  []string
	limit  int
}

func (b *backend) note(call string, keep func()) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, call)
	if keep != nil {
		keep()
	}
	return b.err
}

// next is the state to show now.
func (b *backend) next() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.states) == 0 {
		return "pending"
	}
	s := b.states[0]
	if len(b.states) > 1 {
		b.states = b.states[1:]
	}
	return s
}

func (b *backend) Balance(context.Context) (httpapi.Balance, error) {
	return httpapi.Balance{ConfirmedSats: 2099999999999999, PendingSats: 1, ReservedSats: 250000000, Coins: 3, Network: "regtest", Height: 117}, b.note("balance", nil)
}

func (b *backend) Address(context.Context) (httpapi.Address, error) {
	return httpapi.Address{Address: somebody, Path: "0/7", Descriptor: "tr([d34db33f]xpub/<0;1>/*)#checksum", Network: "regtest", KeyID: idOf(9)}, b.note("address", nil)
}

func (b *backend) payment(id string) httpapi.Transaction {
	t := httpapi.Transaction{ID: id, State: b.next(), Recipient: somebody, AmountSats: 50000, FeeSats: 154, Attempt: 1, CreatedUnix: 1700000000,
		Ballots:  []httpapi.Vote{{Node: "node-1", Question: "admit", Yes: true}, {Node: "node-2", Question: "admit", Reason: "FEE_OVER_CAP"}},
		Timeline: []httpapi.Mark{{State: "pending", UnixMilli: 1700000000123}}, Display: []httpapi.Field{{Label: "Pay", Text: "50000 sat"}}}
	switch t.State {
	case "published", "confirmed":
		t.TxID, t.Confirmations = idOf(0xee), 6
	case "denied", "failed":
		t.Reason = b.reason
	}
	return t
}

func (b *backend) Send(_ context.Context, _ string, r httpapi.SendRequest) (httpapi.Transaction, error) {
	return b.payment(idOf(1)), b.note("send", func() { b.sent = append(b.sent, r) })
}

func (b *backend) Transaction(_ context.Context, id string) (httpapi.Transaction, error) {
	return b.payment(id), b.note("transaction "+id, nil)
}

func (b *backend) ListTransactions(_ context.Context, limit int) ([]httpapi.Transaction, error) {
	return []httpapi.Transaction{b.payment(idOf(2)), b.payment(idOf(1))}, b.note("list", func() { b.limit = limit })
}

func (b *backend) Receipts(_ context.Context, id string) (httpapi.Receipts, error) {
	return httpapi.Receipts{Intent: json.RawMessage(`{"act":"bitcoin.spend"}`), Chains: []json.RawMessage{[]byte(`[{"step":"admission"}]`)}}, b.note("receipts "+id, nil)
}

func (b *backend) ceremony(r httpapi.DKGRequest) httpapi.Ceremony {
	k := httpapi.Ceremony{ID: idOf(9), Protocol: r.Protocol, Suite: "FROST-secp256k1-SHA256-TR-v1", Threshold: r.Threshold, Total: r.Total, State: b.next(),
		Timeline: []httpapi.Mark{}, CreatedUnix: 1700000000}
	switch k.State {
	case "confirmed":
		k.GroupKey = "02" + idOf(0xab)
	case "denied", "failed":
		k.Reason = b.reason
	}
	return k
}

func (b *backend) StartDKG(_ context.Context, _ string, r httpapi.DKGRequest) (httpapi.Ceremony, error) {
	return b.ceremony(r), b.note("start", func() { b.made = append(b.made, r) })
}

func (b *backend) DKGStatus(context.Context) ([]httpapi.Ceremony, error) {
	return []httpapi.Ceremony{b.ceremony(httpapi.DKGRequest{Protocol: "frost", Threshold: 4, Total: 5})}, b.note("ceremonies", nil)
}

func (b *backend) pool(running bool, done int) httpapi.Pool {
	return httpapi.Pool{Sets: []httpapi.PoolSet{{Signers: []string{"node-1", "node-2"}, Presignatures: []string{idOf(4), idOf(5)}}}, Target: 50, Running: running, Done: done, Total: 3}
}

func (b *backend) MakePresignatures(_ context.Context, count int) (httpapi.Pool, error) {
	return b.pool(true, 0), b.note(fmt.Sprint("presign ", count), nil)
}

func (b *backend) Pool(context.Context) (httpapi.Pool, error) {
	running := b.next() == "pending"
	if running {
		return b.pool(true, 1), b.note("pool", nil)
	}
	p := b.pool(false, 3)
	p.LastError = b.reason
	return p, b.note("pool", nil)
}

func (b *backend) Status(context.Context) (httpapi.ClusterStatus, error) {
	return httpapi.ClusterStatus{Cluster: "treasury", Epoch: 3, RosterDigest: idOf(7), Threshold: 4, Nodes: 5, Connected: 3, ActiveKey: idOf(9), Node: "node-1"}, b.note("status", nil)
}

func (b *backend) Nodes(context.Context) ([]httpapi.NodeStatus, error) {
	return []httpapi.NodeStatus{
		{ID: "node-1", Party: 1, Address: "10.0.0.1:9000", Self: true},
		{ID: "node-2", Party: 2, Address: "10.0.0.2:9000", Connected: true, RTTMillis: 1.2345},
		{ID: "node-3", Party: 3, Address: "10.0.0.3:9000", LastError: "CERT_EXPIRED: certificate ended at 2026-01-01T00:00:00Z"},
	}, b.note("nodes", nil)
}

func (b *backend) Ready(context.Context) error { return nil }

// node starts a server that speaks the real API.
func node(t *testing.T) (*backend, Environment) {
	t.Helper()
	b := &backend{}
	handler, err := httpapi.New(b, secret.New([]byte(testToken)), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return b, Environment{Endpoint: server.URL, TokenFile: tokenFile(t, testToken+"\n")}
}

func tokenFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// result is what a command line did.
type result struct {
	out  string
	err  error
	code int
}

// run executes a command line as cmd/chancery does. No run may print the token.
func run(t *testing.T, env Environment, args ...string) result {
	t.Helper()
	var out bytes.Buffer
	err := Run(t.Context(), env, args, &out)
	r := result{out.String(), err, ExitCode(err)}
	if strings.Contains(r.out, testToken) || strings.Contains(fmt.Sprint(err), testToken) {
		t.Errorf("%v prints the token:\n%s\n%v", args, r.out, err)
	}
	if (err == nil) != (r.code == ExitOK) {
		t.Errorf("%v: exit code %d for %v", args, r.code, err)
	}
	return r
}

// fails runs a command line that must fail, with a code and a text in its error, and print nothing.
func fails(t *testing.T, env Environment, code int, text string, args ...string) result {
	t.Helper()
	r := run(t, env, args...)
	if r.err == nil || r.code != code || !strings.Contains(r.err.Error(), text) {
		t.Errorf("%v: exit code %d, error %v; want %d and %q", args, r.code, r.err, code, text)
	}
	if r.out != "" {
		t.Errorf("%v fails and prints %q", args, r.out)
	}
	return r
}

// works runs a command line that must succeed.
func works(t *testing.T, env Environment, args ...string) string {
	t.Helper()
	r := run(t, env, args...)
	if r.err != nil {
		t.Fatalf("%v: %v", args, r.err)
	}
	return r.out
}

// transcript compares what was printed with a file of testdata, or writes it.
func transcript(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: output has changed; if it should, run: go test ./internal/cli -update\nhave:\n%s\nwant:\n%s", name, got, want)
	}
}

// script runs command lines and writes down what a person would see.
func script(t *testing.T, env Environment, lines []string) string {
	t.Helper()
	var out strings.Builder
	for _, line := range lines {
		r := run(t, env, strings.Fields(line)...)
		fmt.Fprintf(&out, "$ chancery %s\n%s", line, r.out)
		if r.err != nil {
			fmt.Fprintf(&out, "chancery: %v\n[exit %d]\n", r.err, r.code)
		}
		out.WriteByte('\n')
	}
	return out.String()
}

var errBroken = errors.New("database is on fire")
