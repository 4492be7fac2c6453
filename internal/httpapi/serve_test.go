package httpapi

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// memory is a listener without a network, so that the clock of a test bubble is the only clock.
type memory struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newMemory() *memory { return &memory{make(chan net.Conn), make(chan struct{})} }

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error {
	select {
	case <-m.closed:
	default:
		close(m.closed)
	}
	return nil
}

func (m *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

// dial connects, or says that nobody listens any more.
func (m *memory) dial() (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case m.conns <- server:
		return client, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

// serving is a server in a bubble.
type serving struct {
	*api
	*memory
	stop context.CancelFunc
	done chan error
}

func serve(t *testing.T) *serving {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	s := &serving{newAPI(t), newMemory(), stop, make(chan error, 1)}
	go func() { s.done <- Serve(ctx, s.memory, s.handler, slog.New(slog.DiscardHandler)) }()
	return s
}

func (s *serving) end(t *testing.T) {
	t.Helper()
	s.stop()
	if err := <-s.done; err != nil {
		t.Errorf("serve: %v", err)
	}
}

func (s *serving) open(t *testing.T, text string) net.Conn {
	t.Helper()
	conn, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

// untilCut reads until the server ends the connection, and says what came and how long that took.
func untilCut(t *testing.T, conn net.Conn) (string, time.Duration) {
	t.Helper()
	start := time.Now()
	got, err := io.ReadAll(conn)
	if err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.Fatal(err)
	}
	return string(got), time.Since(start)
}

const (
	line = "GET /api/v1/dkg HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer " + testToken + "\r\n"
	post = "POST /api/v1/transactions HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nAuthorization: Bearer " + testToken + "\r\n"
)

// A client that is slow at any point loses its connection at a time that is known.
func TestSlowClientsAreCut(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want string // in the answer
		cut  time.Duration
	}{
		"says nothing":          {"", "", readTimeout},
		"half a request line":   {"GET /hea", " 400 ", readTimeout},
		"half of the headers":   {line, "", readTimeout},
		"half of the body":      {post + "Content-Length: 90\r\n\r\n{\"recipient\":", " 408 ", 5 * time.Second},
		"half of a chunk":       {post + "Transfer-Encoding: chunked\r\n\r\nff\r\n{", " 408 ", 5 * time.Second},
		"idle after an answer":  {line + "\r\n", " 200 ", idleTimeout},
		"idle after a refusal":  {"GET /api/v1/dkg HTTP/1.1\r\nHost: node\r\n\r\n", " 401 ", idleTimeout},
		"closes after one":      {line + "Connection: close\r\n\r\n", " 200 ", 0},
		"too many header bytes": {line + "X: " + strings.Repeat("x", MaxHeader+4096) + "\r\n\r\n", " 431 ", 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t)
				conn, err := s.dial()
				if err != nil {
					t.Fatal(err)
				}
				go func() { _, _ = io.WriteString(conn, c.text) }() // the server may answer before it has read all
				got, after := untilCut(t, conn)
				if after != c.cut || !strings.Contains(got, c.want) || c.want == "" && got != "" {
					t.Errorf("cut after %s with %q; want %s and %q", after, got, c.cut, c.want)
				}
				_ = conn.Close()
				s.end(t)
			})
		})
	}
}

// The bounds of the listener. A change of one is a decision, not an accident.
func TestServerBounds(t *testing.T) {
	s := newServer(t.Context(), http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	if s.ReadHeaderTimeout != 10*time.Second || s.ReadTimeout != 10*time.Second || s.WriteTimeout != time.Minute || s.IdleTimeout != time.Minute ||
		s.MaxHeaderBytes != 16<<10 || s.BaseContext(nil) != t.Context() || s.ErrorLog == nil {
		t.Errorf("server has %+v", s)
	}
	if MaxBody != 64<<10 || MaxConnections != 256 || stopTimeout != 5*time.Second || MinToken != 32 {
		t.Error("a bound has changed")
	}
}

func readAnswer(t *testing.T, conn net.Conn) *http.Response {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// One client more than there are slots waits for another to leave; it is not refused, and it holds nothing.
func TestConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t)
		conns := make([]net.Conn, MaxConnections)
		for i := range conns {
			conns[i] = s.open(t, "GET /health HTTP/1.1\r\nHost: node\r\n\r\n")
			if res := readAnswer(t, conns[i]); res.StatusCode != 200 {
				t.Fatalf("connection %d: %s", i, res.Status)
			}
		}
		waiting := make(chan net.Conn)
		go func() {
			conn, err := s.dial()
			if err != nil {
				t.Error(err)
			}
			waiting <- conn
		}()
		synctest.Wait()
		select {
		case <-waiting:
			t.Fatal("one connection too many was taken")
		default:
		}
		_ = conns[0].Close()
		conns[0] = <-waiting
		if _, err := io.WriteString(conns[0], "GET /health HTTP/1.1\r\nHost: node\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if res := readAnswer(t, conns[0]); res.StatusCode != 200 {
			t.Error(res.Status)
		}
		s.end(t) // with every slot taken, too
		for _, c := range conns {
			_ = c.Close()
		}
	})
}

// When the node stops, a request under way is told, gets its answer, and only then Serve returns.
func TestStopAnswersWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t)
		s.hold = func(ctx context.Context) {
			<-ctx.Done()
			<-time.After(stopTimeout / 2)
		}
		conn := s.open(t, line+"\r\n")
		synctest.Wait()
		if calls := s.called(); len(calls) != 1 {
			t.Fatalf("backend was asked %v", calls)
		}
		s.stop()
		synctest.Wait()
		if _, err := s.dial(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a connection after the stop: %v", err)
		}
		select {
		case err := <-s.done:
			t.Fatalf("Serve returned before the request ended: %v", err)
		default:
		}
		if res := readAnswer(t, conn); res.StatusCode != 200 {
			t.Errorf("answer is %s", res.Status)
		}
		_ = conn.Close()
		if err := <-s.done; err != nil {
			t.Error(err)
		}
	})
}

func TestInterruptedRequestsSaySo(t *testing.T) {
	a := newAPI(t)
	a.err = context.Canceled
	wantProblem(t, a.ask(t, "GET", "/api/v1/dkg", "", nil), 503, CodeInterrupted)
	if a.logged.Len() != 0 {
		t.Errorf("a client that left is logged as our error: %s", a.logged)
	}
}

// A request that does not end is cut, and Serve says so.
func TestStopDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, release := serve(t), make(chan struct{})
		s.hold = func(context.Context) { <-release }
		conn := s.open(t, line+"\r\n")
		synctest.Wait()
		start := time.Now()
		s.stop()
		err := <-s.done
		if took := time.Since(start); took != stopTimeout || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stopped after %s: %v", took, err)
		}
		if got, _ := untilCut(t, conn); got != "" {
			t.Errorf("got %q", got)
		}
		close(release)
	})
}

func TestServeReportsItsListener(t *testing.T) {
	m := newMemory()
	_ = m.Close()
	if err := Serve(t.Context(), m, http.NotFoundHandler(), slog.New(slog.DiscardHandler)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("serve: %v", err)
	}
}
