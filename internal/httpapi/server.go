package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"chancery.dev/internal/secret"
)

// Bounds of the listener.
const (
	MaxBody        = 64 << 10 // bytes of a request body
	MaxHeader      = 16 << 10 // bytes of all headers
	MaxConnections = 256
	readTimeout    = 10 * time.Second
	writeTimeout   = 60 * time.Second
	idleTimeout    = 60 * time.Second
	MinToken       = 32 // characters of the bearer token
)

// Problem is an RFC 9457 problem with a reason code.
type Problem struct {
	Status int      `json:"status"`
	Title  string   `json:"title"`
	Code   string   `json:"code" doc:"reason code, stable"`
	Detail string   `json:"detail,omitempty"`
	Fields []string `json:"fields,omitempty" doc:"which parts of the request were wrong, and how"`
}

// Error is the code and the detail.
func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// GetStatus is the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is that of RFC 9457.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// Codes of refusals that come from this package.
const (
	CodeUnauthorized = "UNAUTHORIZED"
	CodeInvalid      = "REQUEST_INVALID"
	CodeNotFound     = "NOT_FOUND"
	CodeInternal     = "INTERNAL"
)

// New makes the handler: the API behind the token, health and the API's description in front of it.
func New(b Backend, token *secret.Bytes, log *slog.Logger) (http.Handler, error) {
	if token.Len() < MinToken {
		return nil, errors.New("api token is too short")
	}
	huma.NewError = newProblem // huma's documented hook for the error model; set to the same value by every node
	mux := http.NewServeMux()
	config := huma.DefaultConfig("Chancery node", "1")
	config.DocsPath = ""
	config.SchemasPath = ""
	config.CreateHooks = nil
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	config.Security = []map[string][]string{{"token": {}}}
	api := humago.New(mux, config)
	register(api, b, log)
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { writeOK(w) })
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, r *http.Request) {
		if err := b.Ready(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		writeOK(w)
	})
	return guard(mux, sha256.Sum256(token.Reveal())), nil
}

func writeOK(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte("{\"status\":\"ok\"}\n")) // the client may be gone; there is nobody to tell
}

// guard bounds every request and asks for the token on everything below /api/.
func guard(next http.Handler, token [32]byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		if strings.HasPrefix(r.URL.Path, "/api/") && !authorised(r, token) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeProblem(w, &Problem{Status: 401, Title: "Unauthorized", Code: CodeUnauthorized, Detail: "a valid bearer token is needed"})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, MaxBody)
		next.ServeHTTP(w, r)
	})
}

func authorised(r *http.Request, token [32]byte) bool {
	got, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	sum := sha256.Sum256([]byte(got))
	return ok && subtle.ConstantTimeCompare(sum[:], token[:]) == 1
}

// Serve runs the listener until ctx is done, and returns when every connection has ended.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler: handler, MaxHeaderBytes: MaxHeader, ReadTimeout: readTimeout, ReadHeaderTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	done := make(chan error, 1)
	go func() {
		done <- server.Serve(&limitedListener{Listener: listener, slots: make(chan struct{}, MaxConnections)})
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := server.Shutdown(stop)
	if err != nil {
		err = errors.Join(err, server.Close())
	}
	<-done
	return err
}

// limitedListener accepts at most as many connections at a time as it has slots.
type limitedListener struct {
	net.Listener
	slots chan struct{}
}

func (l *limitedListener) Accept() (net.Conn, error) {
	l.slots <- struct{}{}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: conn, release: func() { <-l.slots }}, nil
}
