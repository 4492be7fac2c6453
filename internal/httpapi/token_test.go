package httpapi

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"chancery.dev/internal/secret"
)

func TestShortTokenIsRefused(t *testing.T) {
	for n := range MinToken {
		if _, err := New(&backend{}, secret.New(make([]byte, n)), slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("a token of %d characters is taken", n)
		}
	}
	if _, err := New(&backend{}, secret.New(make([]byte, MinToken)), slog.New(slog.DiscardHandler)); err != nil {
		t.Error(err)
	}
}

// Nothing but the token itself opens anything.
func TestTokensRefused(t *testing.T) {
	a := newAPI(t)
	cases := []string{"", "Bearer", "Bearer ", "bearer" + testToken, "Token " + testToken, testToken, "Bearer  " + testToken, "Bearer " + testToken + " ", "Bearer\t" + testToken,
		"Bearer " + testToken + testToken, "Bearer " + testToken + "\x00", "Bearer " + strings.ToUpper(testToken), "Bearer " + strings.Repeat("a", 1<<20)}
	for i := range len(testToken) {
		flipped := []byte(testToken)
		flipped[i] ^= 1
		cases = append(cases, "Bearer "+testToken[:i], "Bearer "+string(flipped))
	}
	for _, c := range cases {
		res := a.ask(t, "GET", "/api/v1/cluster/status", "", func(r *http.Request) { r.Header["Authorization"] = []string{c} })
		wantProblem(t, res, 401, CodeUnauthorized)
	}
	res := a.ask(t, "GET", "/api/v1/cluster/status", "", func(r *http.Request) { r.Header["Authorization"] = []string{"Bearer x", "Bearer " + testToken} })
	wantProblem(t, res, 401, CodeUnauthorized)
	if calls := a.called(); len(calls) != 0 {
		t.Errorf("backend was asked %v", calls)
	}
	if strings.Contains(a.logged.String(), testToken) {
		t.Error("the token is in the log")
	}
}

// Whatever way a path is written, the backend hears of it only behind the token.
func TestNoPathGoesAroundTheToken(t *testing.T) {
	a := newAPI(t)
	for _, path := range []string{"//api/v1/wallet/balance", "/./api/v1/wallet/balance", "/x/../api/v1/wallet/balance", "/%61pi/v1/wallet/balance", "/api%2fv1/wallet/balance",
		"/api/../api/v1/wallet/balance", "/API/v1/wallet/balance", "/api;x/v1/wallet/balance", "/api//v1/wallet/balance", "/health/../api/v1/wallet/balance", "/health/%2e%2e/api/v1/wallet/balance"} {
		for _, method := range []string{"GET", "HEAD", "CONNECT", "POST"} {
			res := a.ask(t, method, path, "", func(r *http.Request) { r.Header.Del("Authorization") })
			if res.status < 300 || len(a.called()) != 0 {
				t.Errorf("%s %s: status %d: %s", method, path, res.status, res.body)
			}
		}
	}
}

// The comparison must not tell how much of a token is right: it is of digests, by crypto/subtle, and by nothing else.
func TestTokenIsComparedInConstantTime(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "server.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	subtle, plain := 0, 0
	ast.Inspect(file, func(n ast.Node) bool {
		f, ok := n.(*ast.FuncDecl)
		if !ok || f.Name.Name != "authorised" {
			return true
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if n.Sel.Name == "ConstantTimeCompare" {
					subtle++
				}
				if n.Sel.Name == "Equal" || n.Sel.Name == "EqualFold" || n.Sel.Name == "Compare" {
					plain++
				}
			case *ast.BinaryExpr:
				one, isNumber := n.Y.(*ast.BasicLit)
				if (n.Op == token.EQL || n.Op == token.NEQ) && (!isNumber || one.Value != "1") {
					plain++
				}
			}
			return true
		})
		return false
	})
	if subtle != 1 || plain != 0 {
		t.Errorf("%d comparisons in constant time, %d others", subtle, plain)
	}
}

func TestHealthAndReadiness(t *testing.T) {
	a := newAPI(t)
	open := func(r *http.Request) { r.Header.Del("Authorization") }
	for _, path := range []string{"/health", "/ready"} {
		res := a.ask(t, "GET", path, "", open)
		if res.status != 200 || string(res.body) != "{\"status\":\"ok\"}\n" || res.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %q", path, res.status, res.body)
		}
		wantHeaders(t, res)
		wantProblem(t, a.ask(t, "POST", path, "", open), 405, CodeInvalid)
		wantProblem(t, a.ask(t, "GET", path+"/", "", open), 404, CodeNotFound)
	}
	for _, path := range []string{"/", "/docs", "/schemas/Problem.json", "/openapi.yaml", "/metrics", "/debug/pprof/"} {
		wantProblem(t, a.ask(t, "GET", path, "", open), 404, CodeNotFound)
	}
	a.ready = codedError{"QUORUM_MISSING", "2 of 5 nodes"}
	wantProblem(t, a.ask(t, "GET", "/ready", "", open), 503, "QUORUM_MISSING")
	a.ready = errors.New("dial tcp 10.1.2.3:8332: password hunter2")
	res := a.ask(t, "GET", "/ready", "", open)
	wantProblem(t, res, 503, CodeNotReady)
	if strings.Contains(string(res.body), "10.1.2.3") || !strings.Contains(a.logged.String(), "10.1.2.3") {
		t.Errorf("the cause belongs into the log alone: %s", res.body)
	}
	if res := a.ask(t, "GET", "/health", "", open); res.status != 200 {
		t.Errorf("a node that is not ready is not healthy: %d", res.status)
	}
}

// Handlers share huma's settings and nothing else; made and asked at once, they must not race.
func TestHandlersAtOnce(t *testing.T) {
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			a := newAPI(t)
			for range 4 {
				all.Go(func() {
					for _, path := range []string{"/openapi.json", "/ready", "/api/v1/dkg", "/api/v1/transactions/" + someID} {
						if res := a.ask(t, "GET", path, "", nil); res.status != 200 {
							t.Errorf("%s: %d", path, res.status)
						}
					}
				})
			}
		})
	}
	all.Wait()
}

func TestOpenAPINeedsNoToken(t *testing.T) {
	want, err := os.ReadFile("../../api/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	res := newAPI(t).ask(t, "GET", "/openapi.json", "", func(r *http.Request) { r.Header.Del("Authorization") })
	if res.status != 200 || len(res.body) == 0 || len(res.body) > len(want) {
		t.Errorf("status %d, %d bytes", res.status, len(res.body))
	}
	wantHeaders(t, res)
}
