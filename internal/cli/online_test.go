package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"chancery.dev/internal/httpapi"
)

// asking is every command that asks a node, with good arguments.
var asking = []string{
	"wallet address",
	"wallet balance",
	"send --to " + somebody + " --amount 50000",
	"tx status " + idOf(1),
	"tx list",
	"tx receipts " + idOf(1),
	"dkg start",
	"dkg status",
	"cluster status",
	"cluster nodes",
}

func TestTablesAndJSON(t *testing.T) {
	for _, format := range []string{"table", "json"} {
		b, env := node(t)
		var lines []string
		for _, line := range asking {
			lines = append(lines, line+" --output "+format)
		}
		transcript(t, format+".txt", script(t, env, lines))
		if len(b.asked) != len(asking) {
			t.Errorf("node was asked %v", b.asked)
		}
	}
}

// What a program reads with --output json is the API's own type: nothing added, nothing lost.
func TestJSONIsTheAPIsAnswer(t *testing.T) {
	b, env := node(t)
	ctx := context.Background()
	address, _ := b.Address(ctx)
	balance, _ := b.Balance(ctx)
	list, _ := b.ListTransactions(ctx, 50)
	keys, _ := b.DKGStatus(ctx)
	status, _ := b.Status(ctx)
	nodes, _ := b.Nodes(ctx)
	receipts, _ := b.Receipts(ctx, idOf(1))
	for i, want := range []any{address, balance, b.payment(idOf(1)), b.payment(idOf(1)), list, receipts, keys, keys, status, nodes} {
		got := reflect.New(reflect.TypeOf(want))
		d := json.NewDecoder(strings.NewReader(works(t, env, append(strings.Fields(asking[i]), "-o", "json")...)))
		d.DisallowUnknownFields()
		if err := d.Decode(got.Interface()); err != nil {
			t.Errorf("%s: %v", asking[i], err)
			continue
		}
		a, _ := json.Marshal(got.Elem().Interface())
		e, _ := json.Marshal(want)
		if !bytes.Equal(a, e) || d.More() {
			t.Errorf("%s:\nhave %s\nwant %s", asking[i], a, e)
		}
	}
}

func TestRequestsCarryTheFlags(t *testing.T) {
	b, env := node(t)
	works(t, env, "send", "--to", "x", "--amount", "2100000000000000", "--fee-rate", "1500", "--idempotency-key", "rent-7")
	works(t, env, "send", "--to", "x", "--amount", "1")
	works(t, env, "dkg", "start", "--protocol", "frost", "--threshold", "2", "--total", "3", "--idempotency-key", "k")
	works(t, env, "dkg", "start")
	works(t, env, "tx", "list", "--limit", "500")
	if want := []httpapi.SendRequest{{Recipient: "x", AmountSats: 21e14, FeeRate: 1500, IdempotencyKey: "rent-7"}, {Recipient: "x", AmountSats: 1}}; !slices.Equal(b.sent, want) {
		t.Errorf("sent %+v", b.sent)
	}
	if want := []httpapi.DKGRequest{{Protocol: "frost", Threshold: 2, Total: 3, IdempotencyKey: "k"}, {Protocol: "frost", Threshold: 4, Total: 5}}; !slices.Equal(b.made, want) {
		t.Errorf("made %+v", b.made)
	}
	if b.limit != 500 {
		t.Errorf("limit %d", b.limit)
	}
}

// Whatever is not a whole number of satoshis in plain digits never reaches the node.
func TestAmountsRefused(t *testing.T) {
	b, env := node(t)
	for _, amount := range []string{"", "0", "-1", "-0", "+1", "0.1", "1.0", ".5", "1e3", "1E3", "0x10", "0b1", "0o17", "010", "00", "1_000", "1,000", "1 000", " 1", "1 ", "١",
		"21000001BTC", "21000001 BTC", "0.123456789", "1btc", "NaN", "Inf", "2100000000000001", "9223372036854775807", "9223372036854775808", "18446744073709551617", strings.Repeat("9", 400)} {
		fails(t, env, ExitUsage, "want a whole number from 1 to 2100000000000000", "send", "--to", somebody, "--amount", amount)
	}
	for _, rate := range []string{"0", "-1", "1.5", "010", "100000001", "1e3"} {
		fails(t, env, ExitUsage, "want a whole number from 1 to 100000000", "send", "--to", somebody, "--amount", "1", "--fee-rate", rate)
	}
	if len(b.asked) != 0 {
		t.Errorf("node was asked %v", b.asked)
	}
}

func TestWrongCommandLines(t *testing.T) {
	b, env := node(t)
	for _, c := range []struct{ text, line string }{
		{"--to and --amount are needed", "send"},
		{"--to is needed", "send --amount 5"},
		{"--amount is needed", "send --to x"},
		{"want 0 arguments", "send x --to x --amount 5"},
		{"needs an argument", "send --to"},
		{"unknown flag", "send --too x"},
		{"unknown flag", "--frobnicate"},
		{"unknown shorthand", "wallet balance -x"},
		{"no command \"frobnicate\"", "frobnicate"},
		{"no command \"balanec\"", "wallet balanec"},
		{"no command \"statsu\"", "cluster statsu"},
		{"no command \"begin\"", "dkg begin"},
		{"no command \"cancel\"", "tx cancel"},
		{"no command \"sign\"", "ca sign"},
		{"no command \"make\"", "identity make"},
		{"no command \"sign\"", "roster sign"},
		{"want 1 arguments, have 0", "tx status"},
		{"want 1 arguments, have 2", "tx status a b"},
		{"want 1 arguments", "tx receipts"},
		{"want 0 arguments", "wallet balance x"},
		{"want 0 arguments", "cluster nodes x"},
		{"want 0 arguments", "dkg start x"},
		{"want 0 arguments", "tx list x"},
		{"invalid argument", "tx list --limit many"},
		{"invalid argument", "tx list --limit 1e2"},
		{"invalid argument", "dkg start --threshold four"},
		{"invalid argument", "dkg start --total 99999999999999999999"},
		{"invalid argument", "tx status x --wait 5"},
		{"invalid argument", "wallet balance --timeout soon"},
		{"output is table or json", "wallet balance --output yaml"},
		{"output is table or json", "wallet balance -o JSON"},
		{"output is table or json", "ca list -o yaml"},
		{"output is table or json", "roster check x -o csv"},
		{"endpoint must be a URL", "wallet balance --endpoint localhost:8080"},
		{"endpoint must be a URL", "wallet balance --endpoint ftp://127.0.0.1"},
		{"endpoint must be a URL", "wallet balance --endpoint http://"},
		{"endpoint must be a URL", "wallet balance --endpoint ://"},
		{"plain http is for this machine only", "wallet balance --endpoint http://node.example.org"},
		{"plain http is for this machine only", "wallet balance --endpoint http://10.0.0.1:8080"},
		{"plain http is for this machine only", "wallet balance --endpoint http://127.0.0.1.example.org"},
		{"plain http is for this machine only", "wallet balance --endpoint http://127.example.org:8080"},
		{"plain http is for this machine only", "wallet balance --endpoint http://localhost.example.org"},
		{"plain http is for this machine only", "wallet balance --endpoint http://[::2]:8080"},
		{"plain http is for this machine only", "wallet balance --endpoint http://127.0.0.1@example.org"},
	} {
		fails(t, env, ExitUsage, c.text, strings.Fields(c.line)...)
	}
	if len(b.asked) != 0 {
		t.Errorf("node was asked %v", b.asked)
	}
}

func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{"localhost": true, "127.0.0.1": true, "127.9.8.7": true, "::1": true, "": false, "0.0.0.0": false, "127.1": false,
		"127.": false, "127.example.org": false, "::ffff:127.0.0.1": true, "10.0.0.1": false, "localhost.": false} {
		if isLoopback(host) != want {
			t.Errorf("%q: %v", host, !want)
		}
	}
}

func TestHelp(t *testing.T) {
	_, env := node(t)
	for _, line := range []string{"", "--help", "help", "wallet", "wallet --help", "help send", "send -h", "tx", "dkg", "cluster", "ca", "identity", "roster", "roster make --help", "completion bash"} {
		if out := works(t, env, strings.Fields(line)...); len(out) < 40 {
			t.Errorf("%q prints %q", line, out)
		}
	}
	for code, text := range map[int]string{0: "done", 1: "failed", 2: "wrong flags or arguments", 3: "the node refused", 4: "the node does not answer", 5: "the wait ended"} {
		if out := works(t, env, "--help"); !strings.Contains(strings.ReplaceAll(out, "\n", " "), fmt.Sprintf("%d %s", code, text)) {
			t.Errorf("help does not explain exit code %d", code)
		}
	}
}

// Every refusal of the node is exit code 3, and its reason code and words are what the user reads.
func TestRefusals(t *testing.T) {
	b, env := node(t)
	for _, err := range []error{refused{"FUNDS_INSUFFICIENT", "want 50154 sat, have 7"}, refused{"QUORUM_MISSING", "2 of 5"}, refused{"REPLAY_OR_CONFLICT", "key was used"}} {
		b.err = err
		for _, line := range asking {
			fails(t, env, ExitRefused, err.Error(), strings.Fields(line)...)
		}
	}
	b.err = errBroken
	for _, line := range asking {
		if r := fails(t, env, ExitRefused, "INTERNAL", strings.Fields(line)...); strings.Contains(r.err.Error(), "fire") {
			t.Error(r.err)
		}
	}
	b.err = nil
	fails(t, env, ExitRefused, "query.limit", "tx", "list", "--limit", "0")
	fails(t, env, ExitRefused, "body.threshold", "dkg", "start", "--threshold", "1")
	fails(t, env, ExitRefused, "body.protocol", "dkg", "start", "--protocol", "rsa")
	fails(t, env, ExitRefused, "body.recipient", "send", "--to", strings.Repeat("q", 101), "--amount", "1")
	fails(t, env, ExitRefused, "UNAUTHORIZED", "wallet", "balance", "--token-file", tokenFile(t, strings.Repeat("x", 48)))
}

// An id is one part of a path, whatever stands in it.
func TestIDsStayInTheirPlace(t *testing.T) {
	b, env := node(t)
	for _, id := range []string{"x", "../dkg", "../../../openapi.json", "..", idOf(1) + "/receipts", idOf(1) + "?x=1", idOf(1) + "#x", "%2e%2e", "a b", "\x00", "ü", ""} {
		for _, command := range []string{"status", "receipts"} {
			r := run(t, env, "tx", command, id)
			if r.code != ExitRefused && r.code != ExitFailed || r.out != "" {
				t.Errorf("tx %s %q: exit code %d, %q, %v", command, id, r.code, r.out, r.err)
			}
		}
	}
	if len(b.asked) != 0 {
		t.Errorf("node was asked %v", b.asked)
	}
}

func TestReceiptsFile(t *testing.T) {
	_, env := node(t)
	path := filepath.Join(t.TempDir(), "receipts.json")
	screen := works(t, env, "tx", "receipts", idOf(1))
	for _, before := range []func(){func() {}, func() { _ = os.WriteFile(path, bytes.Repeat([]byte("old"), 1000), 0o644) }, func() { _ = os.Chmod(path, 0o666) }} {
		before()
		if out := works(t, env, "tx", "receipts", idOf(1), "--file", path); out != "" {
			t.Errorf("prints %q", out)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := os.ReadFile(path)
		if info.Mode().Perm() != 0o600 || string(raw) != screen {
			t.Errorf("mode %v, %q", info.Mode(), raw)
		}
	}
	fails(t, env, ExitFailed, "no such file", "tx", "receipts", idOf(1), "--file", filepath.Join(path+"x", "y"))
}

// Long work: what is shown last is what it came to, and the exit code says how.
func TestWaiting(t *testing.T) {
	const pay, key = "send --to x --amount 1 --wait 30s", "dkg start --wait 30s"
	status := "tx status " + idOf(1)
	for _, c := range []struct {
		line   string
		states string
		code   int
		shows  string
		text   string
	}{
		{pay, "pending approved published", ExitOK, "published", ""},
		{pay, "pending confirmed", ExitOK, "confirmed", ""},
		{pay, "pending denied", ExitRefused, "denied", "FEE_OVER_CAP: payment was denied"},
		{pay, "pending signing failed", ExitRefused, "failed", "FEE_OVER_CAP: payment was failed"},
		{"send --to x --amount 1 --wait 1ms", "pending", ExitTimeout, "pending", "the work is not"},
		{"send --to x --amount 1", "pending", ExitOK, "pending", ""},
		{status, "pending", ExitOK, "pending", ""},
		{status, "denied", ExitRefused, "FEE_OVER_CAP", "FEE_OVER_CAP: payment was denied"},
		{status + " --wait 30s", "published published confirmed", ExitOK, "confirmed", ""},
		{status + " --wait 1ms", "published", ExitTimeout, "published", "the work is not"},
		{key, "pending confirmed", ExitOK, idOf(0xab), ""},
		{key, "pending denied", ExitRefused, "denied", "FEE_OVER_CAP: key generation was denied"},
		{key, "pending failed", ExitRefused, "failed", "FEE_OVER_CAP: key generation was failed"},
		{"dkg start --wait 1ms", "pending", ExitTimeout, "pending", "the work is not"},
	} {
		for _, format := range []string{"table", "json"} {
			t.Run(c.line+" "+c.states+" "+format, func(t *testing.T) {
				t.Parallel()
				b, env := node(t)
				b.states, b.reason = strings.Fields(c.states), "FEE_OVER_CAP"
				r := run(t, env, strings.Fields(c.line+" -o "+format)...)
				if r.code != c.code || r.err != nil && !strings.Contains(r.err.Error(), c.text) || !strings.Contains(r.out, c.shows) {
					t.Errorf("exit code %d, error %v, output\n%s", r.code, r.err, r.out)
				}
				if format == "json" && !json.Valid([]byte(r.out)) {
					t.Errorf("not one JSON value:\n%s", r.out)
				}
			})
		}
	}
}

func TestPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, start := 0, time.Now()
		ask := func(context.Context) (int, error) { asked++; return asked, nil }
		if v, err := poll(t.Context(), time.Minute, ask, func(v int) bool { return v == 4 }); v != 4 || err != nil || time.Since(start) != 3*pollEvery {
			t.Errorf("%d after %s: %v", v, time.Since(start), err)
		}
		start = time.Now()
		_, err := poll(t.Context(), time.Minute+pollEvery/2, ask, func(int) bool { return false })
		if ExitCode(err) != ExitTimeout || time.Since(start) != time.Minute+pollEvery/2 {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		start = time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second+pollEvery/2, cancel)
		if _, err := poll(ctx, time.Minute, ask, func(int) bool { return false }); ExitCode(err) != ExitFailed || time.Since(start) != time.Second+pollEvery/2 {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		if _, err := poll(t.Context(), time.Minute, func(context.Context) (int, error) { return 0, errBroken }, func(int) bool { return false }); err != errBroken {
			t.Error(err)
		}
	})
}
