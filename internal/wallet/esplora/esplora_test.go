package esplora

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"chancery.dev/internal/wallet"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// answers are the bodies that a server gives, by method and path. What is not there is answered with 404.
type answers map[string]string

// serve starts a server and a client that may dial it. A body that begins with "status " is a status and a body.
func serve(t *testing.T, a answers) (*Client, *atomic.Int64) {
	t.Helper()
	var asked atomic.Int64
	return dial(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		body, ok := a[r.Method+" "+r.URL.Path]
		var status int
		if n, _ := fmt.Sscanf(body, "status %d", &status); n == 1 {
			w.WriteHeader(status)
		} else if !ok {
			w.WriteHeader(http.StatusNotFound)
		}
		io.WriteString(w, body)
	})), &asked
}

func dial(t *testing.T, h http.Handler) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c, err := New(server.URL+"/", []string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.http.CloseIdleConnections)
	return c
}

func wantCode(t *testing.T, what string, err error, want string) {
	t.Helper()
	var e *wallet.Error
	got := ""
	if errors.As(err, &e) {
		got = e.ReasonCode()
	} else if err != nil {
		got = "no code"
	}
	if got != want {
		t.Errorf("%s: got %q (%v), want %q", what, got, err, want)
	}
}

// payment is a transaction with one output, and its id.
func payment(t *testing.T, value int64, script []byte) ([]byte, wallet.TxID) {
	t.Helper()
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{Hash: chainhash.Hash{9}}, nil, wire.TxWitness{make([]byte, 64)}))
	tx.AddTxOut(wire.NewTxOut(value, script))
	var b bytes.Buffer
	if err := tx.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), wallet.TxID(tx.TxHash().String())
}

var script = append([]byte{0x51, 32}, make([]byte, 32)...)

func account(t *testing.T) *wallet.Account {
	t.Helper()
	key, _ := btcec.PrivKeyFromBytes(bytes.Repeat([]byte{1}, 32))
	a, err := wallet.NewAccount(wallet.Regtest, [33]byte(key.PubKey().SerializeCompressed()), [32]byte{2})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// calls are all that ask the server something, so that each failure below is tried on each.
func calls(c *Client, id wallet.TxID, raw []byte) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"UTXOs":       func(ctx context.Context) error { _, err := c.UTXOs(ctx, script); return err },
		"Used":        func(ctx context.Context) error { _, err := c.Used(ctx, script); return err },
		"Transaction": func(ctx context.Context) error { _, err := c.Transaction(ctx, id); return err },
		"Spent":       func(ctx context.Context) error { _, err := c.Spent(ctx, wallet.Outpoint{TxID: id}); return err },
		"Tip":         func(ctx context.Context) error { _, err := c.Tip(ctx); return err },
		"FeeRate":     func(ctx context.Context) error { _, err := c.FeeRate(ctx, 6); return err },
		"Broadcast":   func(ctx context.Context) error { _, err := c.Broadcast(ctx, raw); return err },
		"Status":      func(ctx context.Context) error { _, err := c.Status(ctx, id); return err },
	}
}

func TestEveryCall(t *testing.T) {
	raw, id := payment(t, 5000, script)
	name := "/scripthash/" + scriptHash(script)
	c, _ := serve(t, answers{
		"GET " + name + "/utxo": `[{"txid":"` + string(id) + `","vout":3,"value":5000,"status":{"confirmed":true,"block_height":77}},
			{"txid":"` + string(id) + `","vout":4,"value":6000,"status":{"confirmed":false}}]`,
		"GET " + name:                           `{"chain_stats":{"tx_count":0},"mempool_stats":{"tx_count":1}}`,
		"GET /tx/" + string(id) + "/raw":        string(raw),
		"GET /tx/" + string(id) + "/outspend/3": `{"spent":true}`,
		"GET /tx/" + string(id) + "/outspend/4": `{"spent":false}`,
		"GET /tx/" + string(id):                 `{"status":{"confirmed":true,"block_height":77}}`,
		"GET /blocks/tip/height":                "812345\n",
		"GET /fee-estimates":                    `{"1":20.5,"6":3.0001,"10":0.1}`,
		"POST /tx":                              string(id),
	})
	ctx := context.Background()
	for name, call := range calls(c, id, raw) {
		if name != "Spent" { // its output 0 stands in no answer
			wantCode(t, name, call(ctx), "")
		}
	}
	utxos, _ := c.UTXOs(ctx, script)
	want := []wallet.UTXO{{Outpoint: wallet.Outpoint{TxID: id, Vout: 3}, Value: 5000, Confirmed: true, Height: 77}, {Outpoint: wallet.Outpoint{TxID: id, Vout: 4}, Value: 6000}}
	if len(utxos) != 2 || utxos[0] != want[0] || utxos[1] != want[1] {
		t.Errorf("UTXOs: %+v", utxos)
	}
	if used, _ := c.Used(ctx, script); !used {
		t.Error("Used: false")
	}
	if got, _ := c.Transaction(ctx, id); !bytes.Equal(got, raw) {
		t.Errorf("Transaction: %x", got)
	}
	for vout, want := range map[uint32]bool{3: true, 4: false} {
		if spent, err := c.Spent(ctx, wallet.Outpoint{TxID: id, Vout: vout}); err != nil || spent != want {
			t.Errorf("Spent: output %d is %v (%v)", vout, spent, err)
		}
	}
	if height, _ := c.Tip(ctx); height != 812345 {
		t.Errorf("Tip: %d", height)
	}
	for target, want := range map[int]wallet.FeeRate{0: 0, 1: 20500, 5: 20500, 6: 3001, 9: 3001, 10: 1000, 5000: 1000} {
		if rate, err := c.FeeRate(ctx, target); err != nil || rate != want {
			t.Errorf("FeeRate: %d for target %d, want %d (%v)", rate, target, want, err)
		}
	}
	if got, _ := c.Broadcast(ctx, raw); got != id {
		t.Errorf("Broadcast: %s", got)
	}
	if s, _ := c.Status(ctx, id); s != (wallet.Status{Known: true, Confirmed: true, Height: 77}) {
		t.Errorf("Status: %+v", s)
	}
}

// What the server does not know: an unknown transaction is told apart from a server that fails.
func TestNotFound(t *testing.T) {
	raw, id := payment(t, 5000, script)
	c, _ := serve(t, answers{})
	for name, call := range calls(c, id, raw) {
		want := wallet.CodeChain
		switch name {
		case "Transaction":
			want = wallet.CodeInputUnknown
		case "Status":
			want = ""
		}
		wantCode(t, name, call(context.Background()), want)
	}
	if s, err := c.Status(context.Background(), id); err != nil || s.Known {
		t.Errorf("Status: %+v (%v)", s, err)
	}
}

// Every call fails with the chain's code for every way in which a server can fail.
func TestEveryCallFailsClosed(t *testing.T) {
	raw, id := payment(t, 5000, script)
	status := func(n int) http.HandlerFunc { return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(n) } }
	for name, h := range map[string]http.HandlerFunc{
		"500": status(500), "502": status(502), "503": status(503), "429": status(429), "403": status(403), "204": status(204), "301 to nowhere": status(301),
		"hangs up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"cut short": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "[")
		},
	} {
		for call, f := range calls(dial(t, h), id, raw) {
			wantCode(t, call+", "+name, f(context.Background()), wallet.CodeChain)
		}
	}
	for _, body := range []string{"<html>", `{"status":`, "{}{}", `"x"`, "", "\xff\xfe"} {
		c := dial(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) }))
		for call, f := range calls(c, id, raw) {
			want := wallet.CodeChain
			if call == "Broadcast" {
				want = "" // any answer of 200 is a yes: the id is the transaction's own
			}
			wantCode(t, fmt.Sprintf("%s, %q", call, body), f(context.Background()), want)
		}
	}
}

// A server that answers without end is cut off, and a bound is a bound: one byte less is read.
func TestOversizeIsRefused(t *testing.T) {
	raw, id := payment(t, 5000, script)
	endless := dial(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for spaces := bytes.Repeat([]byte{' '}, 1<<16); ; {
			if _, err := w.Write(spaces); err != nil {
				return
			}
		}
	}))
	for name, call := range calls(endless, id, raw) {
		wantCode(t, name, call(context.Background()), wallet.CodeChain)
	}
	for size, want := range map[int]string{maxSmall: "", maxSmall + 1: wallet.CodeChain} {
		c, _ := serve(t, answers{"GET /blocks/tip/height": strings.Repeat(" ", size-1) + "7"})
		height, err := c.Tip(context.Background())
		wantCode(t, fmt.Sprintf("a height of %d bytes", size), err, want)
		if want == "" && height != 7 {
			t.Errorf("height is %d", height)
		}
	}
	for size, want := range map[int]string{maxJSON: "", maxJSON + 1: wallet.CodeChain} {
		c, _ := serve(t, answers{"GET /fee-estimates": strings.Repeat(" ", size-2) + "{}"})
		_, err := c.FeeRate(context.Background(), 6)
		wantCode(t, fmt.Sprintf("estimates of %d bytes", size), err, want)
	}
	many := strings.Repeat(`{"txid":"`+string(id)+`","value":1},`, maxUTXOs)
	for list, want := range map[string]string{many[:len(many)-1]: "", many + `{"txid":"` + string(id) + `","value":1}`: wallet.CodeChain} {
		c, _ := serve(t, answers{"GET /scripthash/" + scriptHash(script) + "/utxo": "[" + list + "]"})
		_, err := c.UTXOs(context.Background(), script)
		wantCode(t, fmt.Sprintf("%d bytes of outputs", len(list)), err, want)
	}
}

// Redirects are not followed, wherever they lead, and a POST's body goes nowhere else.
func TestRedirectIsRefused(t *testing.T) {
	raw, id := payment(t, 5000, script)
	var inside atomic.Int64
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { inside.Add(1); io.WriteString(w, "7") }))
	t.Cleanup(target.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		c := dial(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target.URL, status) }))
		for name, call := range calls(c, id, raw) {
			wantCode(t, fmt.Sprintf("%s, %d", name, status), call(context.Background()), wallet.CodeChain)
		}
	}
	if inside.Load() != 0 {
		t.Errorf("%d redirects were followed", inside.Load())
	}
}

// A private address is dialled only when the operator names the host.
func TestPrivateAddressIsRefused(t *testing.T) {
	raw, id := payment(t, 5000, script)
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { asked.Add(1); io.WriteString(w, "7") }))
	t.Cleanup(server.Close)
	for _, allow := range [][]string{nil, {"localhost"}, {"127.0.0.2"}, {"example.org"}, {""}} {
		c, err := New(server.URL, allow)
		if err != nil {
			t.Fatal(err)
		}
		for name, call := range calls(c, id, raw) {
			wantCode(t, name, call(context.Background()), wallet.CodeChain)
		}
	}
	if asked.Load() != 0 {
		t.Errorf("dialled %d times", asked.Load())
	}
	c, err := New(server.URL, []string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.http.CloseIdleConnections)
	if height, err := c.Tip(context.Background()); err != nil || height != 7 {
		t.Errorf("a host that was named: %d (%v)", height, err)
	}
}

func TestPublic(t *testing.T) {
	for _, a := range []string{"127.0.0.1", "127.255.0.1", "::1", "0.0.0.0", "::", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1",
		"100.127.255.255", "fe80::1", "fc00::1", "fd00:ec2::254", "224.0.0.1", "ff02::1", "255.255.255.255", "::ffff:127.0.0.1", "::ffff:10.0.0.1"} {
		if public(netip.MustParseAddr(a).Unmap()) {
			t.Errorf("%s is called public", a)
		}
	}
	for _, a := range []string{"1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111"} {
		if !public(netip.MustParseAddr(a).Unmap()) {
			t.Errorf("%s is called private", a)
		}
	}
	if public(netip.Addr{}) {
		t.Error("no address is called public")
	}
}

func TestNewRefusesURLs(t *testing.T) {
	for _, bad := range []string{"", "example.org", "/path", "ftp://example.org", "file:///etc/hosts", "http://", "https://user:word@example.org", "http://user@example.org", "http://ex ample.org", "://"} {
		if _, err := New(bad, nil); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for _, good := range []string{"http://example.org", "https://example.org:3000/api/"} {
		if _, err := New(good, nil); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
}

// A cancelled call ends at once, while the server still thinks, and says that it was cancelled.
func TestCancel(t *testing.T) {
	raw, id := payment(t, 5000, script)
	entered := make(chan struct{}, 8)
	stop := make(chan struct{})
	c := dial(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // the server sees the client leave only once the body is read
		entered <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-stop:
		}
	}))
	defer close(stop)
	for name, call := range calls(c, id, raw) {
		ctx, cancel := context.WithCancel(context.Background())
		result := make(chan error, 1)
		go func() { result <- call(ctx) }()
		<-entered
		cancel()
		err := <-result
		wantCode(t, name, err, wallet.CodeChain)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		if err := call(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled before: %v", name, err)
		}
	}
}

// A transaction that does not hash to the id asked for is a lie, whatever it is otherwise.
func TestLyingTransaction(t *testing.T) {
	raw, id := payment(t, 5000, script)
	richer, _ := payment(t, 5_000_000, script)
	for name, body := range map[string][]byte{"richer": richer, "cut": raw[:len(raw)-1], "longer": append(bytes.Clone(raw), 0), "hex": []byte(hex.EncodeToString(raw)), "empty": nil} {
		c, _ := serve(t, answers{"GET /tx/" + string(id) + "/raw": string(body)})
		got, err := c.Transaction(context.Background(), id)
		wantCode(t, name, err, wallet.CodeChain)
		if got != nil {
			t.Errorf("%s: bytes were returned", name)
		}
	}
}

// Numbers and names that cannot be are refused, and nothing is read into a silence.
func TestImpossibleAnswers(t *testing.T) {
	_, id := payment(t, 5000, script)
	hash := "/scripthash/" + scriptHash(script)
	output := func(id, value string) string { return `[{"txid":"` + id + `","value":` + value + `}]` }
	for path, bodies := range map[string][]string{
		hash + "/utxo": {output(string(id), "0"), output(string(id), "-1"), output(string(id), "2100000000000001"), output(string(id), "1e99"), output(string(id), "0.5"), output("ab", "5"),
			`[{"txid":"` + string(id) + `","value":5,"vout":-1}]`, `[{"txid":"` + string(id) + `","value":5,"vout":4294967296}]`, `[{}]`, `{}`},
		hash:                                {`{"chain_stats":{"tx_count":"1"}}`, `[]`},
		"/tx/" + string(id) + "/outspend/0": {`{}`, `null`, `{"spent":null}`, `{"spent":"no"}`, `{"spent":0}`},
		"/blocks/tip/height":                {"-1", "1.5", "0x10", "", "9223372036854775808", "1 2"},
		"/fee-estimates":                    {`{"6":-1}`, `{"6":0}`, `{"6":1000001}`, `{"6":1e999}`, `{"6":"2"}`, `[]`},
		"/tx/" + string(id):                 {`{"status":{"block_height":"1"}}`, `[]`, `{"status":1}`},
	} {
		for _, body := range bodies {
			c, _ := serve(t, answers{"GET " + path: body})
			call := map[string]string{hash + "/utxo": "UTXOs", hash: "Used", "/tx/" + string(id) + "/outspend/0": "Spent", "/blocks/tip/height": "Tip", "/fee-estimates": "FeeRate", "/tx/" + string(id): "Status"}[path]
			wantCode(t, call+": "+body, calls(c, id, nil)[call](context.Background()), wallet.CodeChain)
		}
	}
}

func TestBroadcast(t *testing.T) {
	raw, id := payment(t, 5000, script)
	known := answers{"GET /tx/" + string(id) + "/raw": string(raw)}
	other, _ := payment(t, 6000, script)
	for name, c := range map[string]struct {
		answers answers
		want    string
	}{
		"refused":                        {answers{"POST /tx": "status 400 sendrawtransaction RPC error: bad-txns-inputs-missingorspent"}, wallet.CodeRejected},
		"fails":                          {answers{"POST /tx": "status 500"}, wallet.CodeChain},
		"refused, but known":             {answers{"POST /tx": "status 400 txn-already-in-mempool"}, ""},
		"fails, but known":               {answers{"POST /tx": "status 500"}, ""},
		"refused, and lies that it does": {answers{"POST /tx": "status 400", "GET /tx/" + string(id) + "/raw": string(other)}, wallet.CodeRejected},
	} {
		if strings.HasSuffix(name, "but known") {
			maps.Copy(c.answers, known)
		}
		client, _ := serve(t, c.answers)
		got, err := client.Broadcast(context.Background(), raw)
		wantCode(t, name, err, c.want)
		if want := map[bool]wallet.TxID{true: id}[c.want == ""]; got != want {
			t.Errorf("%s: id %q", name, got)
		}
	}
	var sent atomic.Value
	c := dial(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		sent.Store(r.Method + " " + r.URL.Path + " " + string(body))
		io.WriteString(w, strings.Repeat("00", 32)) // the server's word for the id is not taken
	}))
	if got, err := c.Broadcast(context.Background(), raw); err != nil || got != id || sent.Load() != "POST /tx "+hex.EncodeToString(raw) {
		t.Errorf("id %s, sent %v (%v)", got, sent.Load(), err)
	}
	client, asked := serve(t, answers{})
	_, err := client.Broadcast(context.Background(), raw[:len(raw)-1])
	wantCode(t, "malformed", err, wallet.CodeInputUnknown)
	if asked.Load() != 0 {
		t.Error("a malformed transaction was sent")
	}
}

// An id is put into a path as one segment: it cannot reach another page of the server.
func TestPathsAreEscaped(t *testing.T) {
	var paths []string
	c := dial(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.URL.EscapedPath())
		w.WriteHeader(http.StatusNotFound)
	}))
	_, _ = c.Transaction(context.Background(), "../blocks?x=1#y")
	_, _ = c.Status(context.Background(), "a/b")
	_, _ = c.Spent(context.Background(), wallet.Outpoint{TxID: "a/b"})
	if want := []string{"/tx/..%2Fblocks%3Fx=1%23y/raw", "/tx/a%2Fb", "/tx/a%2Fb/outspend/0"}; fmt.Sprint(paths) != fmt.Sprint(want) {
		t.Errorf("asked for %q", paths)
	}
}

// The client does not compare a coin's value with its transaction: it has no transaction when it lists coins. Check does,
// and finds the lie of a server that lists a coin as worth more than it is.
func TestFalseCoinValueIsFoundByCheck(t *testing.T) {
	a := account(t)
	own, err := a.Script(wallet.Path{})
	if err != nil {
		t.Fatal(err)
	}
	to, err := a.Address(wallet.Path{Index: 30})
	if err != nil {
		t.Fatal(err)
	}
	raw, id := payment(t, 20_000, own)
	for value, want := range map[string]string{"20000": "", "90000": wallet.CodeInputUnknown} {
		pages := answers{
			"GET /tx/" + string(id) + "/raw":               string(raw),
			"GET /tx/" + string(id) + "/outspend/0":        `{"spent":false}`,
			"GET /scripthash/" + scriptHash(own) + "/utxo": `[{"txid":"` + string(id) + `","vout":0,"value":` + value + `,"status":{"confirmed":true,"block_height":5}}]`,
			"GET /scripthash/" + scriptHash(own):           `{"chain_stats":{"tx_count":1}}`,
		}
		for chain := range uint32(2) {
			for index := range uint32(wallet.GapLimit + 1) {
				s, err := a.Script(wallet.Path{Chain: chain, Index: index})
				if err != nil {
					t.Fatal(err)
				}
				if page := "GET /scripthash/" + scriptHash(s); pages[page] == "" {
					pages[page] = "{}"
				}
			}
		}
		c, _ := serve(t, pages)
		found, err := a.Scan(context.Background(), c)
		if err != nil || len(found.Coins) != 1 || found.NextReceive != 1 {
			t.Fatalf("scan: %+v (%v)", found, err)
		}
		s, err := a.Plan(found.Coins, wallet.Request{Outputs: []wallet.SpendOutput{{Address: to, Amount: 10_000}}, Rate: 2000})
		if err != nil {
			t.Fatal(err)
		}
		wantCode(t, "a coin said to be worth "+value, a.Check(context.Background(), c, s, wallet.Caps{}), want)
	}
}
