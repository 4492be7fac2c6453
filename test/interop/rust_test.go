//go:build interop

package interop

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"chancery.dev/tss"
	"chancery.dev/tss/frost"
)

// TestMain builds the program with ZF's crates. A machine without cargo fails here: who asks for this tag wants the tests.
func TestMain(m *testing.M) {
	build := exec.Command("cargo", "build", "--quiet", "--release", "--target-dir", "target")
	build.Dir, build.Stdout, build.Stderr = "zf", os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building zf:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// hexBytes is a byte string that travels as hex.
type hexBytes []byte

func (b hexBytes) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, b), nil }

func (b *hexBytes) UnmarshalText(text []byte) error {
	out, err := hex.AppendDecode(nil, text)
	*b = out
	return err
}

type byParty map[tss.PartyID]hexBytes

// request and reply are what zf/src/main.rs reads and writes; it says what the fields mean.
type request struct {
	Op        string      `json:"op"`
	Suite     string      `json:"suite"`
	Party     tss.PartyID `json:"party"`
	Parties   int         `json:"parties"`
	Threshold int         `json:"threshold"`
	Packages  byParty     `json:"packages,omitempty"`
	Shares    byParty     `json:"shares,omitempty"`
	Package   hexBytes    `json:"package"`
	Key       hexBytes    `json:"key"`
	Public    hexBytes    `json:"public"`
	Message   hexBytes    `json:"message"`
	Signature hexBytes    `json:"signature"`
	Tweak     *hexBytes   `json:"tweak,omitempty"`
}

type reply struct {
	Error     string        `json:"error"`
	Culprits  []tss.PartyID `json:"culprits"`
	Package   hexBytes      `json:"package"`
	Public    hexBytes      `json:"public"`
	Share     hexBytes      `json:"share"`
	Signature hexBytes      `json:"signature"`
	Keys      byParty       `json:"keys"`
	Shares    byParty       `json:"shares"`
}

// rust is one process, which holds the Rust participants of one test.
type rust struct {
	suite frost.Suite
	in    *json.Encoder
	out   *json.Decoder
}

func startRust(t *testing.T, suite frost.Suite) *rust {
	t.Helper()
	program, err := filepath.Abs("zf/target/release/zf")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Stderr = os.Stderr
	in, errIn := cmd.StdinPipe()
	out, errOut := cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // it ends at the end of its input
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Errorf("zf ended with %v", err)
		}
	})
	return &rust{suite: suite, in: json.NewEncoder(in), out: json.NewDecoder(out)}
}

// ask gives the answer, which may be a refusal.
func (r *rust) ask(t *testing.T, q request) reply {
	t.Helper()
	q.Suite = r.suite.Name()
	var a reply
	if err := errors.Join(r.in.Encode(q), r.out.Decode(&a)); err != nil {
		t.Fatalf("%s: %v", q.Op, err)
	}
	return a
}

// must gives the answer, which may not be a refusal.
func (r *rust) must(t *testing.T, q request) reply {
	t.Helper()
	a := r.ask(t, q)
	if a.Error != "" {
		t.Fatalf("%s of party %d: %s, culprits %v", q.Op, q.Party, a.Error, a.Culprits)
	}
	return a
}

// mustBlame wants a refusal that names exactly these parties.
func (r *rust) mustBlame(t *testing.T, q request, culprits ...tss.PartyID) {
	t.Helper()
	if a := r.ask(t, q); a.Error == "" || !slices.Equal(a.Culprits, culprits) {
		t.Errorf("%s of party %d: %q, culprits %v, want %v", q.Op, q.Party, a.Error, a.Culprits, culprits)
	}
}
