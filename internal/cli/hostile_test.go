package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"chancery.dev/internal/httpapi"
)

func TestTokenFiles(t *testing.T) {
	_, env := node(t)
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		want string // in the error; none: it is taken
	}{
		"as it should be":     {testToken, 0o600, ""},
		"read only":           {testToken + "\n", 0o400, ""},
		"white space around":  {"  " + testToken + "\r\n\n", 0o600, ""},
		"others can read":     {testToken, 0o644, "others can use"},
		"group can read":      {testToken, 0o640, "others can use"},
		"others can write":    {testToken, 0o602, "others can use"},
		"empty":               {"", 0o600, "does not hold one token"},
		"blank":               {" \n\t\n", 0o600, "does not hold one token"},
		"two lines":           {testToken + "\n" + testToken, 0o600, "does not hold one token"},
		"two words":           {testToken + " " + testToken, 0o600, "does not hold one token"},
		"header smuggled":     {testToken + "\r\nX-Other: 1", 0o600, "does not hold one token"},
		"control characters":  {testToken + "\x00", 0o600, "does not hold one token"},
		"not ASCII":           {testToken + "ü", 0o600, "does not hold one token"},
		"not text":            {"\xff\xfe" + testToken, 0o600, "does not hold one token"},
		"larger than a token": {strings.Repeat("a", maxToken+1), 0o600, "does not hold one token"},
	} {
		t.Run(name, func(t *testing.T) {
			path := tokenFile(t, c.text)
			if err := os.Chmod(path, c.mode); err != nil {
				t.Fatal(err)
			}
			if c.want == "" {
				works(t, env, "wallet", "balance", "--token-file", path)
				return
			}
			fails(t, env, ExitFailed, c.want, "wallet", "balance", "--token-file", path)
		})
	}
	dir := t.TempDir()
	fails(t, env, ExitFailed, "no such file", "wallet", "balance", "--token-file", filepath.Join(dir, "none"))
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	fails(t, env, ExitFailed, "is a directory", "wallet", "balance", "--token-file", dir)
	fails(t, Environment{Endpoint: env.Endpoint}, ExitUsage, "no token", "wallet", "balance")
}

// A token may come out of a password manager through a pipe.
func TestTokenFromAPipe(t *testing.T) {
	_, env := node(t)
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	wrote := make(chan error, 1)
	go func() { wrote <- os.WriteFile(pipe, []byte(testToken), 0) }()
	works(t, env, "wallet", "balance", "--token-file", pipe)
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}

// stranger is a server that is no node. Its environment has a good token.
func stranger(t *testing.T, h http.HandlerFunc) Environment {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return Environment{Endpoint: server.URL, TokenFile: tokenFile(t, testToken)}
}

func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// Answers that are not a node's: an error for every command, never a panic, never a made-up zero.
func TestGarbage(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		text   string
	}{
		"nothing":             {200, "", "not what was expected"},
		"no content":          {204, "", "not what was expected"},
		"a web page":          {200, "<!doctype html><title>Login</title>", "not what was expected"},
		"a number":            {200, "7", "not what was expected"},
		"a string":            {200, `"ok"`, "not what was expected"},
		"a list":              {200, "[]", "not what was expected"},
		"null":                {200, "null", "not what was expected"},
		"an empty object":     {200, "{}", "not what was expected"},
		"somebody else's":     {200, `{"status":"ok"}`, "not what was expected"},
		"two values":          {200, "{}{}", "not what was expected"},
		"cut off":             {200, `{"address":"bcrt1`, "not what was expected"},
		"wrong types":         {200, `{"id":7,"address":7,"coins":"x","nodes":7,"transactions":7,"ceremonies":7,"cluster":7,"chains":7,"confirmed_sats":"x"}`, "not what was expected"},
		"deep":                {200, strings.Repeat(`{"a":`, 100000), "not what was expected"},
		"a page of a proxy":   {502, "<html>Bad Gateway</html>", "status 502"},
		"a teapot":            {418, "", "status 418"},
		"another's error":     {500, `{"error":"x"}`, "status 500"},
		"a problem, no code":  {422, `{"status":422,"title":"x"}`, "status 422"},
		"an error and escape": {500, "\x1b[2J", "status 500"},
	} {
		t.Run(name, func(t *testing.T) {
			env := stranger(t, answering(c.status, c.body))
			for _, line := range asking {
				if r := fails(t, env, ExitFailed, c.text, strings.Fields(line)...); strings.Contains(r.err.Error(), "\x1b") {
					t.Errorf("%s: %q", line, r.err)
				}
			}
		})
	}
}

// Lists of half-empty things are shown as they are.
func TestSparseLists(t *testing.T) {
	env := stranger(t, answering(200, `{"nodes":[{}],"transactions":[{},{"id":"short"}],"ceremonies":[{},{"id":"short"}]}`))
	for _, line := range []string{"cluster nodes", "tx list", "dkg status"} {
		works(t, env, strings.Fields(line)...)
	}
}

// A redirect is not followed: the token is for this node alone.
func TestRedirects(t *testing.T) {
	asked := make(chan string, 100)
	other := stranger(t, func(_ http.ResponseWriter, r *http.Request) { asked <- r.Header.Get("Authorization") })
	for _, status := range []int{301, 302, 303, 307, 308} {
		env := stranger(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.Endpoint+r.URL.Path, status) })
		for _, line := range asking {
			fails(t, env, ExitFailed, fmt.Sprintf("status %d", status), strings.Fields(line)...)
		}
	}
	if len(asked) != 0 {
		t.Errorf("the other server was asked, with %q", <-asked)
	}
}

func TestHugeAnswers(t *testing.T) {
	sent := make(chan int64, 1)
	chunk := bytes.Repeat([]byte(" "), 1<<20)
	env := stranger(t, func(w http.ResponseWriter, _ *http.Request) {
		n, _ := io.WriteString(w, `{"address":"`)
		total := int64(n)
		for range 64 {
			n, err := w.Write(chunk)
			total += int64(n)
			if err != nil {
				break
			}
		}
		sent <- total
	})
	fails(t, env, ExitFailed, "not what was expected", "wallet", "address")
	if n := <-sent; n > 4*maxAnswer {
		t.Errorf("%d bytes were taken", n)
	}
}

func TestServerDown(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	env := Environment{Endpoint: "http://" + listener.Addr().String(), TokenFile: tokenFile(t, testToken)}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	for _, line := range append(asking, asking[2]+" --wait 1m", "dkg start --wait 1m", asking[3]+" --wait 1m") {
		fails(t, env, ExitUnreachable, "node does not answer", strings.Fields(line)...)
	}
}

func TestServerThatBreaksOff(t *testing.T) {
	for name, text := range map[string]string{
		"at once":           "",
		"not HTTP":          "SSH-2.0-OpenSSH_9.9\r\n",
		"in the headers":    "HTTP/1.1 200 OK\r\nContent-",
		"in the body":       "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"addr",
		"in a chunk":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{",
		"endless header":    "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 11<<20) + "\r\n\r\n",
		"escape in the way": "HTTP/1.1 \x1b[2J OK\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			env := stranger(t, func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(conn, text)
				_ = conn.Close()
			})
			if r := fails(t, env, ExitUnreachable, "node does not answer", "wallet", "address"); strings.Contains(r.err.Error(), "\x1b") {
				t.Errorf("%q", r.err)
			}
		})
	}
}

// A node that takes the request and says nothing does not answer; that is not the end of a wait.
func TestServerThatHangs(t *testing.T) {
	release := make(chan struct{})
	env := stranger(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	fails(t, env, ExitUnreachable, "node does not answer", "wallet", "balance", "--timeout", "30ms")
}

func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	env := stranger(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if err := Run(ctx, env, []string{"wallet", "balance"}, io.Discard); !errors.Is(err, context.Canceled) || ExitCode(err) == ExitOK {
		t.Error(err)
	}
}

// What a node says is text: it cannot move the cursor, change colours or make rows of a table.
func TestTerminalEscapes(t *testing.T) {
	const controls = "\x1b\x07\r\t\x00\u009b\u202e"
	const evil = "x\x1b[2J\x1b]0;title\x07\r\n\tCONFIRMED\u009b31m\u202egnp"
	env := stranger(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "nodes") {
			raw, _ := json.Marshal(map[string]any{"nodes": []httpapi.NodeStatus{{ID: evil, Address: evil, LastError: evil}}})
			_, _ = w.Write(raw)
			return
		}
		w.WriteHeader(409)
		_, _ = w.Write([]byte(`{"status":409,"code":"A\u001b[2J","detail":"b\r\u009b2Jc","fields":["d\u001b]0;e"]}`))
	})
	r := fails(t, env, ExitRefused, "A\uFFFD[2J: b\uFFFD\uFFFD2Jc (d\uFFFD]0;e)", "wallet", "balance")
	if strings.ContainsAny(r.err.Error(), "\x1b\u009b\r") {
		t.Errorf("%q", r.err)
	}
	if out := works(t, env, "cluster", "nodes"); strings.ContainsAny(out, controls) || strings.Count(out, "\n") != 2 {
		t.Errorf("%q", out)
	}
	var out bytes.Buffer
	o := &options{out: &out, output: "table"}
	err := o.print(nil, func() [][]string {
		return [][]string{{"NODE", "STATE"}, {evil, o.state(evil)}, {stateMark + evil, "y"}}
	})
	if err != nil || strings.ContainsAny(out.String(), controls) || strings.Count(out.String(), "\n") != 3 {
		t.Errorf("%v %q", err, out.String())
	}
}

func TestColours(t *testing.T) {
	for state, want := range map[string]string{"confirmed": "\x1b[32mconfirmed\x1b[0m", "published": "\x1b[32mpublished\x1b[0m", "yes": "\x1b[32myes\x1b[0m",
		"denied": "\x1b[31mdenied\x1b[0m", "failed": "\x1b[31mfailed\x1b[0m", "no": "\x1b[31mno\x1b[0m", "pending": "\x1b[33mpending\x1b[0m"} {
		for _, terminal := range []bool{true, false} {
			var out bytes.Buffer
			o := &options{out: &out, output: "table", terminal: terminal}
			if err := o.print(nil, func() [][]string { return [][]string{{state, o.state(state)}} }); err != nil {
				t.Fatal(err)
			}
			cell := want
			if !terminal {
				cell = state
			}
			if out.String() != state+"  "+cell+"\n" {
				t.Errorf("%q", out.String())
			}
		}
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	_, env := node(t)
	if err := Run(t.Context(), env, []string{"cluster", "status"}, file); err != nil {
		t.Fatal(err)
	}
	if raw, _ := os.ReadFile(file.Name()); bytes.Contains(raw, []byte("\x1b")) || len(raw) == 0 {
		t.Errorf("colour in a file: %q", raw)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errBroken }

// A screen that cannot be written to is an error, in both formats.
func TestOutputThatFails(t *testing.T) {
	_, env := node(t)
	for _, line := range asking {
		for _, format := range []string{"table", "json"} {
			if err := Run(t.Context(), env, append(strings.Fields(line), "-o", format), failingWriter{}); !errors.Is(err, errBroken) || ExitCode(err) != ExitFailed {
				t.Errorf("%s %s: %v", line, format, err)
			}
		}
	}
}

func TestAmountsAreShownExactly(t *testing.T) {
	for v, want := range map[int64]string{0: "0 sat (0.00000000 BTC)", 1: "1 sat (0.00000001 BTC)", 99999999: "99999999 sat (0.99999999 BTC)", 100000000: "100000000 sat (1.00000000 BTC)",
		21e14: "2100000000000000 sat (21000000.00000000 BTC)", -1: "-1 sat (-0.00000001 BTC)", -150000000: "-150000000 sat (-1.50000000 BTC)",
		-1 << 63: "-9223372036854775808 sat (-92233720368.54775808 BTC)"} {
		if got := sats(v); got != want {
			t.Errorf("%d is %q", v, got)
		}
	}
}

func TestExitCodes(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("while asking: %w", err) }
	for want, errs := range map[int][]error{
		ExitOK: {nil}, ExitFailed: {errBroken, context.Canceled, os.ErrNotExist}, ExitUsage: {usage("x"), errors.Join(usage("x"), errBroken)},
		ExitRefused: {&httpapi.Problem{Code: "X"}}, ExitUnreachable: {&unreachable{errBroken}, &unreachable{context.DeadlineExceeded}},
		ExitTimeout: {errWait, context.DeadlineExceeded},
	} {
		for _, err := range errs {
			if got := ExitCode(err); got != want {
				t.Errorf("%v: %d", err, got)
			}
			if err != nil && ExitCode(wrap(err)) != want {
				t.Errorf("wrapped %v: %d", err, ExitCode(wrap(err)))
			}
		}
	}
}
