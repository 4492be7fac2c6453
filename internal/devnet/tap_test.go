package devnet

import (
	"net/http"
	"strings"
	"testing"
)

// What the tap refuses needs no node behind it.
func TestTapRefuses(t *testing.T) {
	handler := (&Devnet{}).tap(http.NotFoundHandler())
	for _, c := range []struct {
		path, body string
	}{
		{"/devnet/faucet", ""}, {"/devnet/faucet", "{"}, {"/devnet/faucet", `{"address":"x"}`}, {"/devnet/faucet", `{"address":"x","sats":-1}`},
		{"/devnet/faucet", `{"address":"x","sats":1000000001}`}, {"/devnet/faucet", `{"address":"` + strings.Repeat("x", maxTapBody) + `","sats":1}`},
		{"/devnet/mine", `{}`}, {"/devnet/mine", `{"blocks":101}`}, {"/devnet/mine", `{"blocks":-1}`}, {"/devnet/mine", "[]"},
	} {
		w := &recorder{header: http.Header{}}
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://devnet"+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		handler.ServeHTTP(w, r)
		if w.status != http.StatusBadRequest {
			t.Errorf("%s %q: %d", c.path, c.body, w.status)
		}
	}
}

type recorder struct {
	header http.Header
	status int
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) Write(b []byte) (int, error) { return len(b), nil }
func (r *recorder) WriteHeader(status int)      { r.status = status }
