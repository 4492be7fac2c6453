package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"chancery.dev/internal/secret"
)

const (
	testToken = "0123456789abcdef0123456789abcdef0123456789abcdef"
	someID    = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
)

// backend answers with fixed values, or with err; hold, when it is set, runs first.
type backend struct {
	mu    sync.Mutex
	err   error
	ready error
	hold  func(context.Context)
	calls []string
	sent  SendRequest
	made  DKGRequest
	limit int
	id    string
	who   string
}

func (b *backend) note(ctx context.Context, call string, keep func()) error {
	b.mu.Lock()
	b.calls = append(b.calls, call)
	if keep != nil {
		keep()
	}
	hold, err := b.hold, b.err
	b.mu.Unlock()
	if hold != nil {
		hold(ctx)
	}
	return err
}

func (b *backend) Balance(ctx context.Context) (Balance, error) {
	return Balance{ConfirmedSats: 5, PendingSats: 4, ReservedSats: 3, Coins: 2, Network: "regtest", Height: 101}, b.note(ctx, "Balance", nil)
}

func (b *backend) Address(ctx context.Context) (Address, error) {
	return Address{Address: "bcrt1q", Path: "0/7", Descriptor: "tr()", Network: "regtest", KeyID: someID}, b.note(ctx, "Address", nil)
}

func payment(id string) Transaction {
	return Transaction{ID: id, State: "pending", Recipient: "bcrt1q", AmountSats: 1000, Ballots: []Vote{}, Timeline: []Mark{}, Display: []Field{}}
}

func (b *backend) Send(ctx context.Context, initiator string, r SendRequest) (Transaction, error) {
	return payment(someID), b.note(ctx, "Send", func() { b.sent, b.who = r, initiator })
}

func (b *backend) Transaction(ctx context.Context, id string) (Transaction, error) {
	return payment(id), b.note(ctx, "Transaction", func() { b.id = id })
}

func (b *backend) ListTransactions(ctx context.Context, limit int) ([]Transaction, error) {
	return []Transaction{payment(someID)}, b.note(ctx, "ListTransactions", func() { b.limit = limit })
}

func (b *backend) Receipts(ctx context.Context, id string) (Receipts, error) {
	return Receipts{Intent: json.RawMessage(`{"act":"bitcoin.spend"}`), Chains: []json.RawMessage{[]byte(`{}`)}}, b.note(ctx, "Receipts", func() { b.id = id })
}

func (b *backend) StartDKG(ctx context.Context, initiator string, r DKGRequest) (Ceremony, error) {
	return Ceremony{ID: someID, Protocol: r.Protocol, Threshold: r.Threshold, Total: r.Total, Timeline: []Mark{}}, b.note(ctx, "StartDKG", func() { b.made, b.who = r, initiator })
}

func (b *backend) DKGStatus(ctx context.Context) ([]Ceremony, error) {
	return []Ceremony{}, b.note(ctx, "DKGStatus", nil)
}

func (b *backend) MakePresignatures(ctx context.Context, _ int) (Pool, error) {
	return Pool{Sets: []PoolSet{}}, b.note(ctx, "MakePresignatures", nil)
}

func (b *backend) Pool(ctx context.Context) (Pool, error) {
	return Pool{Sets: []PoolSet{}}, b.note(ctx, "Pool", nil)
}

func (b *backend) Status(ctx context.Context) (ClusterStatus, error) {
	return ClusterStatus{Cluster: "treasury", Nodes: 5, Threshold: 4, Node: "node-1"}, b.note(ctx, "Status", nil)
}

func (b *backend) Nodes(ctx context.Context) ([]NodeStatus, error) {
	return []NodeStatus{{ID: "node-1", Party: 1}}, b.note(ctx, "Nodes", nil)
}

func (b *backend) Ready(context.Context) error { return b.ready }

// operation is one row of the API.
type operation struct {
	method, template, path, body string
	call                         string // the one backend method that a good request reaches
	status                       int
}

const (
	goodSend = `{"recipient":"bcrt1q","amount_sats":1000,"fee_rate_sat_per_kvb":2000,"idempotency_key":"k"}`
	goodDKG  = `{"protocol":"frost","threshold":4,"total":5}`
	goodPool = `{"count":3}`
)

var operations = []operation{
	{"GET", "/api/v1/wallet/balance", "/api/v1/wallet/balance", "", "Balance", 200},
	{"GET", "/api/v1/wallet/address", "/api/v1/wallet/address", "", "Address", 200},
	{"POST", "/api/v1/transactions", "/api/v1/transactions", goodSend, "Send", 202},
	{"GET", "/api/v1/transactions", "/api/v1/transactions?limit=7", "", "ListTransactions", 200},
	{"GET", "/api/v1/transactions/{id}", "/api/v1/transactions/" + someID, "", "Transaction", 200},
	{"GET", "/api/v1/transactions/{id}/receipts", "/api/v1/transactions/" + someID + "/receipts", "", "Receipts", 200},
	{"POST", "/api/v1/dkg", "/api/v1/dkg", goodDKG, "StartDKG", 202},
	{"GET", "/api/v1/dkg", "/api/v1/dkg", "", "DKGStatus", 200},
	{"POST", "/api/v1/presignatures", "/api/v1/presignatures", goodPool, "MakePresignatures", 202},
	{"GET", "/api/v1/presignatures", "/api/v1/presignatures", "", "Pool", 200},
	{"GET", "/api/v1/cluster/status", "/api/v1/cluster/status", "", "Status", 200},
	{"GET", "/api/v1/cluster/nodes", "/api/v1/cluster/nodes", "", "Nodes", 200},
}

// api is a handler under test with its backend and its log.
type api struct {
	*backend
	handler http.Handler
	logged  *bytes.Buffer
}

func newAPI(t testing.TB) *api {
	t.Helper()
	a := &api{backend: &backend{}, logged: &bytes.Buffer{}}
	h, err := New(a.backend, secret.New([]byte(testToken)), slog.New(slog.NewTextHandler(a.logged, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	a.handler = h
	return a
}

// answer is what a client sees.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// ask sends a request with the right token; edit may change it.
func (a *api) ask(t testing.TB, method, path, body string, edit func(*http.Request)) answer {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req := httptest.NewRequestWithContext(t.Context(), method, path, reader)
	req.Header.Set("Authorization", "Bearer "+testToken)
	req.Header.Set("Content-Type", "application/json")
	if edit != nil {
		edit(req)
	}
	rec := httptest.NewRecorder()
	a.handler.ServeHTTP(rec, req)
	return answer{rec.Code, rec.Header(), rec.Body.Bytes()}
}

// called is the backend's calls since the last time.
func (a *api) called() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := a.calls
	a.calls = nil
	return out
}

// wantProblem checks that an answer is a problem as RFC 9457 and our document have it, and returns it.
func wantProblem(t testing.TB, res answer, status int, code string) Problem {
	t.Helper()
	var p Problem
	d := json.NewDecoder(bytes.NewReader(res.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		t.Fatalf("status %d, body %q: %v", res.status, res.body, err)
	}
	if res.status != status || p.Status != status || p.Code != code || p.Title != http.StatusText(status) || p.Detail == "" {
		t.Errorf("status %d, problem %+v; want %d %s", res.status, p, status, code)
	}
	if ct := res.header.Values("Content-Type"); !slices.Equal(ct, []string{"application/problem+json"}) {
		t.Errorf("content type is %q", ct)
	}
	for _, leak := range []string{"goroutine", ".go:", "runtime.", "panic", testToken} {
		if bytes.Contains(res.body, []byte(leak)) {
			t.Errorf("body has %q: %s", leak, res.body)
		}
	}
	wantHeaders(t, res)
	return p
}

// wantHeaders checks what every answer carries.
func wantHeaders(t testing.TB, res answer) {
	t.Helper()
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"} {
		if got := res.header.Values(name); !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %q", name, got)
		}
	}
}
