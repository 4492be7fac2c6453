package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
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
	stopTimeout    = 5 * time.Second // for requests under way when the node stops
	MinToken       = 32              // characters of the bearer token
)

// Problem is an RFC 9457 problem with a reason code.
type Problem struct {
	Status int      `json:"status"`
	Title  string   `json:"title"`
	Code   string   `json:"code" doc:"reason code, stable"`
	Detail string   `json:"detail,omitempty"`
	Fields []string `json:"fields,omitempty" doc:"which parts of the request were wrong, and how"`
}

// Error is the code, the detail and what was wrong with the request.
func (p *Problem) Error() string {
	text := p.Code + ": " + p.Detail
	if len(p.Fields) > 0 {
		text += " (" + strings.Join(p.Fields, "; ") + ")"
	}
	return text
}

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
	CodeNotReady     = "NOT_READY" // a cause that has no code of its own; the log has it
	CodeInterrupted  = "INTERRUPTED"
)

// hooks sets huma's process-wide settings, once: nodes that run in one process would otherwise write them while another reads.
var hooks = sync.OnceFunc(func() {
	huma.NewError = newProblem
	// The validator must see the field that the decoder will take. Were case ignored, a second spelling of a field could
	// pass by its bounds.
	huma.ValidateStrictCasing = true
})

// New makes the handler: the API behind the token, health and the API's description in front of it.
func New(b Backend, token *secret.Bytes, log *slog.Logger) (http.Handler, error) {
	if token.Len() < MinToken {
		return nil, errors.New("api token is too short")
	}
	hooks()
	mux := http.NewServeMux()
	config := huma.DefaultConfig("Chancery node", "1")
	config.OpenAPIPath = "" // huma makes the document at the first request, without a lock
	config.DocsPath = ""
	config.SchemasPath = ""
	config.CreateHooks = nil
	config.RejectUnknownQueryParameters = true
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	config.Security = []map[string][]string{{"token": {}}}
	api := humago.New(mux, config)
	register(api, b, log)
	document, err := json.Marshal(api.OpenAPI())
	if err != nil {
		return nil, fmt.Errorf("describe the api: %w", err)
	}
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(document) // the client may be gone; there is nobody to tell
	})
	return guard(mux, sha256.Sum256(token.Reveal())), nil
}

// guard bounds every request and asks for the token on everything below /api/.
func guard(mux *http.ServeMux, token [32]byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		if strings.HasPrefix(r.URL.Path, "/api/") && !authorised(r, token) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeProblem(w, &Problem{Status: 401, Title: "Unauthorized", Code: CodeUnauthorized, Detail: "a valid bearer token is needed"})
			return
		}
		if h, pattern := mux.Handler(r); pattern == "" {
			refused := &refusal{header: w.Header()}
			h.ServeHTTP(refused, r)
			p := &Problem{Status: refused.status, Title: http.StatusText(refused.status), Code: codeOf(refused.status), Detail: "no operation has this path"}
			if refused.status == http.StatusMethodNotAllowed {
				p.Detail = "the operation at this path has another method"
			}
			writeProblem(w, p)
			return
		}
		// On a copy: net/http closes a connection whose body was left half read, which it sees only in the request of its own.
		bounded := r.WithContext(r.Context())
		bounded.Body = http.MaxBytesReader(w, r.Body, MaxBody)
		mux.ServeHTTP(w, bounded)
	})
}

// refusal takes the mux's own plain-text refusal apart: its headers go to the client, its text does not.
type refusal struct {
	header http.Header
	status int
}

func (r *refusal) Header() http.Header         { return r.header }
func (r *refusal) Write(b []byte) (int, error) { return len(b), nil }
func (r *refusal) WriteHeader(status int)      { r.status = status }

func authorised(r *http.Request, token [32]byte) bool {
	got, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	sum := sha256.Sum256([]byte(got))
	return ok && subtle.ConstantTimeCompare(sum[:], token[:]) == 1
}

// newServer bounds what a client can hold. The context of every request is ctx.
func newServer(ctx context.Context, handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: handler, MaxHeaderBytes: MaxHeader, ReadTimeout: readTimeout, ReadHeaderTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
}

// Serve runs the listener until ctx is done, and returns when every connection has ended.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	server := newServer(ctx, handler, log)
	done := make(chan error, 1)
	go func() {
		done <- server.Serve(&limitedListener{Listener: listener, slots: make(chan struct{}, MaxConnections)})
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
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
