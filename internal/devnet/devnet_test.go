package devnet

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"chancery.dev/internal/wallet"
	"chancery.dev/internal/wallet/esplora"
)

// binaries are built once for the package, into a folder of its own.
var binaries struct {
	dir             string
	once            sync.Once
	btcd, chanceryd string
	err             error
}

// network is one devnet that tests share; each looks at addresses of its own.
var network struct {
	once sync.Once
	net  *Devnet
	err  error
}

// patience bounds everything that a test waits for.
const patience = 60 * time.Second

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "devnet-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaries.dir = dir
	code := m.Run()
	if network.net != nil {
		err = network.net.Stop()
	}
	if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func built(t *testing.T) (btcd, chanceryd string) {
	t.Helper()
	binaries.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		binaries.btcd, binaries.chanceryd = filepath.Join(binaries.dir, "btcd"), filepath.Join(binaries.dir, "chanceryd")
		out, err := exec.CommandContext(ctx, "go", "build", "-o", binaries.chanceryd, "chancery.dev/cmd/chanceryd").CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		binaries.err = errors.Join(err, BuildBtcd(ctx, binaries.btcd))
	})
	must(t, binaries.err)
	return binaries.btcd, binaries.chanceryd
}

func shared(t *testing.T) *Devnet {
	t.Helper()
	btcd, _ := built(t)
	network.once.Do(func() {
		network.net, network.err = Start(context.Background(), Options{Dir: filepath.Join(binaries.dir, "bitcoin"), Btcd: btcd})
	})
	must(t, network.err)
	return network.net
}

// fresh is an address that nobody has used, with its key.
func fresh(t *testing.T) *Faucet {
	t.Helper()
	f, err := newFaucet()
	must(t, err)
	return f
}

// get asks the gateway for text.
func get(t *testing.T, d *Devnet, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.EsploraURL()+path, nil)
	must(t, err)
	return do(t, req)
}

func post(t *testing.T, d *Devnet, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.EsploraURL()+"/tx", strings.NewReader(body))
	must(t, err)
	return do(t, req)
}

func do(t *testing.T, req *http.Request) (int, string) {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	must(t, err)
	return res.StatusCode, string(body)
}

// answer asks the gateway for JSON.
func answer[T any](t *testing.T, d *Devnet, path string) T {
	t.Helper()
	var v T
	status, body := get(t, d, path)
	if err := json.Unmarshal([]byte(body), &v); status != http.StatusOK || err != nil {
		t.Fatalf("%s: %d %q, %v", path, status, body, err)
	}
	return v
}

func height(t *testing.T, d *Devnet) int64 {
	t.Helper()
	_, body := get(t, d, "/blocks/tip/height")
	h, err := strconv.ParseInt(body, 10, 64)
	must(t, err)
	return h
}

func TestGatewayFollowsBlocks(t *testing.T) {
	d := shared(t)
	before := height(t, d)
	must(t, d.Mine(t.Context(), 3))
	if after := height(t, d); after != before+3 {
		t.Errorf("height %d after three blocks on %d", after, before)
	}
	want, err := d.rpc.GetBestBlockHash()
	must(t, err)
	if _, got := get(t, d, "/blocks/tip/hash"); got != want.String() {
		t.Errorf("tip is %s, btcd's is %s", got, want)
	}
	if _, got := get(t, d, fmt.Sprint("/block-height/", before+3)); got != want.String() {
		t.Errorf("block at %d is %s, btcd's is %s", before+3, got, want)
	}
	for _, bad := range []string{fmt.Sprint(before + 4), "-1", "x"} {
		if status, body := get(t, d, "/block-height/"+bad); status != http.StatusNotFound {
			t.Errorf("block at %s: %d %s", bad, status, body)
		}
	}
	for target, rate := range answer[map[string]float64](t, d, "/fee-estimates") {
		if n, err := strconv.Atoi(target); err != nil || n < 1 || rate < 1 {
			t.Errorf("estimate for %s blocks: %f", target, rate)
		}
	}
}

// One payment, from the mempool into a block, as every endpoint shows it.
func TestGatewayFollowsAPayment(t *testing.T) {
	d, to := shared(t), fresh(t)
	address, hash := "/address/"+to.Address(), "/scripthash/"+scriptHash(to.script)
	if got := answer[[]utxoJSON](t, d, address+"/utxo"); len(got) != 0 {
		t.Fatalf("a new address has %v", got)
	}
	txid, err := d.Faucet.Pay(t.Context(), to.Address(), 50_000)
	must(t, err)
	check := func(want statusJSON) {
		t.Helper()
		for _, at := range []string{address, hash} {
			if got := answer[[]utxoJSON](t, d, at+"/utxo"); len(got) != 1 || got[0] != (utxoJSON{txid, 0, 50_000, want}) {
				t.Errorf("%s/utxo: %+v", at, got)
			}
			if got := answer[[]txJSON](t, d, at+"/txs"); len(got) != 1 || got[0].TxID != txid || got[0].Status != want {
				t.Errorf("%s/txs: %+v", at, got)
			}
			got := answer[map[string]json.RawMessage](t, d, at)
			chain, pool := string(got["chain_stats"]), string(got["mempool_stats"])
			if (chain == `{"tx_count":1}`) != want.Confirmed || (pool == `{"tx_count":1}`) == want.Confirmed {
				t.Errorf("%s: %s in blocks, %s in the mempool", at, chain, pool)
			}
		}
		if got := answer[statusJSON](t, d, "/tx/"+txid+"/status"); got != want {
			t.Errorf("status: %+v, want %+v", got, want)
		}
	}
	check(statusJSON{})
	must(t, d.Mine(t.Context(), 1))
	_, tip := get(t, d, "/blocks/tip/hash")
	check(statusJSON{true, height(t, d), tip})
	_, text := get(t, d, "/tx/"+txid+"/hex")
	raw, err := hex.DecodeString(text)
	must(t, err)
	var tx wire.MsgTx
	must(t, tx.Deserialize(bytes.NewReader(raw)))
	if _, binary := get(t, d, "/tx/"+txid+"/raw"); tx.TxHash().String() != txid || binary != string(raw) {
		t.Errorf("hex is of %s; raw has %d bytes, hex %d", tx.TxHash(), len(binary), len(raw))
	}
	j := answer[txJSON](t, d, "/tx/"+txid)
	if j.TxID != txid || len(j.In) != 1 || len(j.In[0].Witness) != 2 || len(j.Out) != 2 || j.Out[0].Value != 50_000 || j.Size != len(raw) {
		t.Errorf("%+v", j)
	}
	spent := answer[map[string]any](t, d, fmt.Sprintf("/tx/%s/outspend/%d", j.In[0].TxID, j.In[0].Vout))
	if spent["spent"] != true || spent["txid"] != txid {
		t.Errorf("the faucet's coin: %v", spent)
	}
	if own := answer[map[string]any](t, d, "/tx/"+txid+"/outspend/0"); own["spent"] != false {
		t.Errorf("the new coin: %v", own)
	}
}

func TestGatewayRefusesQuestions(t *testing.T) {
	d := shared(t)
	unknown := strings.Repeat("ab", 32)
	mainnet, err := address.NewAddressWitnessPubKeyHash(make([]byte, 20), &chaincfg.MainNetParams)
	must(t, err)
	for path, want := range map[string]int{
		"/tx/" + unknown:                           http.StatusNotFound,
		"/tx/" + unknown + "/hex":                  http.StatusNotFound,
		"/tx/" + unknown + "/raw":                  http.StatusNotFound,
		"/tx/" + unknown + "/outspend/0":           http.StatusNotFound,
		"/tx/none/hex":                             http.StatusNotFound,
		"/tx/" + unknown + "/status":               http.StatusOK, // as Esplora does
		"/address/nobody/utxo":                     http.StatusBadRequest,
		"/address/" + mainnet.String() + "/utxo":   http.StatusBadRequest,
		"/scripthash/" + unknown + "/utxo":         http.StatusOK,
		"/nothing":                                 http.StatusNotFound,
		"/tx/" + unknown + "/outspend/99999999999": http.StatusNotFound,
	} {
		if status, body := get(t, d, path); status != want {
			t.Errorf("%s: %d %q, want %d", path, status, body, want)
		}
	}
	if got := answer[statusJSON](t, d, "/tx/"+unknown+"/status"); got != (statusJSON{}) {
		t.Errorf("status of nothing: %+v", got)
	}
}

// spend is a transaction that pays a fresh address's coin on, signed.
func spend(t *testing.T, from *Faucet, coin wire.OutPoint, value, fee int64) *wire.MsgTx {
	t.Helper()
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(&coin, nil, nil))
	tx.AddTxOut(wire.NewTxOut(value-fee, from.script))
	previous := txscript.NewCannedPrevOutputFetcher(from.script, value)
	witness, err := txscript.WitnessSignature(tx, txscript.NewTxSigHashes(tx, previous), 0, value, from.script, txscript.SigHashAll, from.key, true)
	must(t, err)
	tx.TxIn[0].Witness = witness
	return tx
}

func encode(t *testing.T, tx *wire.MsgTx) string {
	t.Helper()
	var b bytes.Buffer
	must(t, tx.Serialize(&b))
	return hex.EncodeToString(b.Bytes())
}

// What btcd does not take is answered 400 with btcd's reason, and changes nothing.
func TestBroadcast(t *testing.T) {
	d, from := shared(t), fresh(t)
	txid, err := d.Faucet.Pay(t.Context(), from.Address(), 50_000)
	must(t, err)
	must(t, d.Mine(t.Context(), 1))
	raw, err := hex.DecodeString(txid)
	must(t, err)
	slices.Reverse(raw)
	coin := wire.OutPoint{Hash: [32]byte(raw)}
	unsigned := spend(t, from, coin, 50_000, 1000)
	unsigned.TxIn[0].Witness[0][10] ^= 1
	nowhere := spend(t, from, wire.OutPoint{Hash: [32]byte{1}}, 50_000, 1000)
	good := spend(t, from, coin, 50_000, 1000)
	for name, c := range map[string]struct{ body, reason string }{
		"nothing":             {"", "malformed"},
		"not hex":             {"transaction", "malformed"},
		"cut short":           {encode(t, good)[:100], "malformed"},
		"huge":                {strings.Repeat("00", maxPost), "too large"},
		"a wrong signature":   {encode(t, unsigned), "signature"},
		"a coin that is none": {encode(t, nowhere), "orphan"},
		"more than it has":    {encode(t, spend(t, from, coin, 60_000, -1000)), "total value"},
		"dust":                {encode(t, spend(t, from, coin, 50_000, 49_999)), "dust"},
	} {
		if status, body := post(t, d, c.body); status != http.StatusBadRequest || !strings.Contains(body, c.reason) {
			t.Errorf("%s: %d %q, want a word about %q", name, status, body, c.reason)
		}
	}
	if got := answer[[]utxoJSON](t, d, "/address/"+from.Address()+"/utxo"); len(got) != 1 || got[0].TxID != txid {
		t.Fatalf("coins are %+v", got)
	}
	status, body := post(t, d, encode(t, good)+"\n")
	if status != http.StatusOK || body != good.TxHash().String() {
		t.Fatalf("good transaction: %d %q", status, body)
	}
	if status, body := post(t, d, encode(t, spend(t, from, coin, 50_000, 1001))); status != http.StatusBadRequest || body == "" {
		t.Errorf("spent twice: %d %q", status, body)
	}
}

// The nodes' own client reads what the gateway says, and may hand in the same transaction again.
func TestNodesClientReadsTheGateway(t *testing.T) {
	d, from := shared(t), fresh(t)
	client, err := esplora.New(d.EsploraURL(), []string{"127.0.0.1"})
	must(t, err)
	ctx := t.Context()
	txid, err := d.Faucet.Pay(ctx, from.Address(), 70_000)
	must(t, err)
	must(t, d.Mine(ctx, 1))
	tip, err := client.Tip(ctx)
	if err != nil || tip != height(t, d) {
		t.Errorf("tip %d, %v", tip, err)
	}
	coins, err := client.UTXOs(ctx, from.script)
	if err != nil || len(coins) != 1 || coins[0].Outpoint.TxID != wallet.TxID(txid) || coins[0].Value != 70_000 || !coins[0].Confirmed || coins[0].Height != tip {
		t.Fatalf("%+v, %v", coins, err)
	}
	raw, err := client.Transaction(ctx, coins[0].Outpoint.TxID)
	must(t, err)
	var paid wire.MsgTx
	must(t, paid.Deserialize(bytes.NewReader(raw)))
	if spent, err := client.Spent(ctx, coins[0].Outpoint); spent || err != nil {
		t.Errorf("spent: %v, %v", spent, err)
	}
	on, err := hex.DecodeString(encode(t, spend(t, from, wire.OutPoint{Hash: paid.TxHash()}, 70_000, 1000)))
	must(t, err)
	for range 2 {
		if _, err := client.Broadcast(ctx, on); err != nil {
			t.Error(err)
		}
	}
	if spent, err := client.Spent(ctx, coins[0].Outpoint); !spent || err != nil {
		t.Errorf("spent: %v, %v", spent, err)
	}
	if rate, err := client.FeeRate(ctx, 6); rate < wallet.MinRelayRate || err != nil {
		t.Errorf("fee rate %d, %v", rate, err)
	}
}

func TestFaucet(t *testing.T) {
	d, to := shared(t), fresh(t)
	for range 3 {
		_, err := d.Faucet.Pay(t.Context(), to.Address(), 10_000)
		must(t, err)
	}
	if got := answer[[]utxoJSON](t, d, "/address/"+to.Address()+"/utxo"); len(got) != 3 {
		t.Errorf("three payments are %v", got)
	}
	coins := len(d.Faucet.coins)
	mainnet, err := address.NewAddressWitnessPubKeyHash(make([]byte, 20), &chaincfg.MainNetParams)
	must(t, err)
	for name, c := range map[string]struct {
		to   string
		sats int64
	}{
		"nobody":             {"nobody", 10_000},
		"another network":    {mainnet.String(), 10_000},
		"more than one coin": {to.Address(), 51 * 100_000_000},
	} {
		if _, err := d.Faucet.Pay(t.Context(), c.to, c.sats); err == nil || !strings.Contains(err.Error(), "faucet") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(d.Faucet.coins) != coins {
		t.Errorf("%d coins after refusals, %d before", len(d.Faucet.coins), coins)
	}
	must(t, d.Mine(t.Context(), 3))
	if got := answer[[]utxoJSON](t, d, "/address/"+to.Address()+"/utxo"); len(got) != 3 || !got[0].Status.Confirmed {
		t.Errorf("%v", got)
	}
}

// gone says whether a process has ended. Signal 0 asks and changes nothing.
func gone(p *process) bool {
	return errors.Is(p.cmd.Process.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

// A devnet ends with the context that it was started with, btcd and gateway both, and with Stop, as often as it is asked.
func TestDevnetEnds(t *testing.T) {
	btcd, _ := built(t)
	ctx, cancel := context.WithCancel(t.Context())
	d, err := Start(ctx, Options{Dir: t.TempDir(), Btcd: btcd})
	must(t, err)
	if gone(d.process) {
		t.Fatal("btcd does not run")
	}
	cancel()
	select {
	case <-d.process.done:
	case <-time.After(patience):
		t.Fatal("btcd runs on without its context")
	}
	for range 2 {
		must(t, d.Stop())
	}
	if !gone(d.process) {
		t.Error("btcd runs on")
	}
	if _, err := http.Get(d.EsploraURL() + "/blocks/tip/height"); err == nil { //nolint:bodyclose // it must fail
		t.Error("the gateway answers")
	}
}

func TestStartFails(t *testing.T) {
	btcd, _ := built(t)
	noBtcd, err := exec.LookPath("false")
	must(t, err)
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		o    Options
		want string
	}{
		"no such binary":      {t.Context(), Options{Dir: t.TempDir(), Btcd: filepath.Join(t.TempDir(), "btcd")}, "no such file"},
		"another program":     {t.Context(), Options{Dir: t.TempDir(), Btcd: noBtcd}, "ended at its start"},
		"folder is a file":    {t.Context(), Options{Dir: file, Btcd: btcd}, "not a directory"},
		"context has ended":   {done, Options{Dir: t.TempDir(), Btcd: btcd}, "context canceled"},
		"binary is no binary": {t.Context(), Options{Dir: t.TempDir(), Btcd: file}, "permission denied"},
	} {
		if d, err := Start(c.ctx, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want a word about %q", name, err, c.want)
		} else if d != nil && d.process != nil && !gone(d.process) {
			t.Errorf("%s: btcd runs on", name)
		}
	}
}

// A port that somebody else listens on ends the start with an error, even if that somebody never answers.
func TestPortIsTaken(t *testing.T) {
	btcd, _ := built(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d, err := start(ctx, Options{Dir: t.TempDir(), Btcd: btcd}, l.Addr().String())
	if err == nil || !strings.Contains(err.Error(), "btcd") {
		t.Fatalf("%v", err)
	}
	if ctx.Err() != nil || !gone(d.process) {
		t.Errorf("%v; btcd has ended: %v", ctx.Err(), gone(d.process))
	}
}

func TestBuildBtcdFails(t *testing.T) {
	if err := BuildBtcd(t.Context(), filepath.Join(t.TempDir(), "no", "such", "\x00")); err == nil {
		t.Error("built into nowhere")
	}
}
