package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"

	"chancery.dev/internal/devnet"
	"chancery.dev/internal/httpapi"
	"chancery.dev/internal/mesh"
	"chancery.dev/internal/pki"
	"chancery.dev/internal/quorum"
	"chancery.dev/internal/secret"
)

// cluster is five nodes in this process, on a real Bitcoin node. It is started once and shared: a test that stops a node
// or makes it lie starts it again.
type cluster struct {
	dir        string
	net        *devnet.Devnet
	roster     *pki.Roster
	electorate quorum.Electorate
	members    []*member
	before     string           // reason code of a balance before there was a key
	key        httpapi.Ceremony // the wallet's key, as node-1 told it
}

// member is one node and everything that a test does to it.
type member struct {
	party  uint16
	id     string
	dir    string
	api    string
	node   *Node
	log    *journal
	cancel context.CancelFunc
	done   chan error // closed when Run and Close have returned

	mu     sync.Mutex
	filter func(m mesh.Message) bool // says whether a message reaches the node
}

// journal keeps what a node logs.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(b)
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

// tail is the end of it, for a person who looks at a test that failed.
func (j *journal) tail() string {
	text := j.text()
	return text[max(0, len(text)-6000):]
}

// patience bounds everything that a test waits for.
const patience = 60 * time.Second

// Coins that the wallet gets at the start.
const (
	coinCount = 8
	coinSats  = 1_000_000
)

var started struct {
	once    sync.Once
	cluster *cluster
	err     error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if c := started.cluster; c != nil {
		if err := c.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "cluster does not stop:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// shared is the cluster, with all nodes up and linked.
func shared(t *testing.T) *cluster {
	t.Helper()
	started.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
		defer cancel()
		started.cluster, started.err = startCluster(ctx)
	})
	if started.err != nil {
		t.Fatal(started.err)
	}
	started.cluster.linked(t)
	return started.cluster
}

func startCluster(ctx context.Context) (c *cluster, err error) {
	c = &cluster{}
	if c.dir, err = os.MkdirTemp("", "node-test-"); err != nil {
		return c, err
	}
	btcd := filepath.Join(c.dir, "btcd")
	if err := devnet.BuildBtcd(ctx, btcd); err != nil {
		return c, err
	}
	if c.net, err = devnet.Start(context.WithoutCancel(ctx), devnet.Options{Dir: filepath.Join(c.dir, "bitcoin"), Btcd: btcd}); err != nil {
		return c, err
	}
	if c.roster, err = enrol(c.dir, 0); err != nil {
		return c, err
	}
	c.electorate = electorateOf(c.roster)
	for _, e := range c.roster.Nodes {
		m := &member{party: e.Party, id: string(e.ID), dir: filepath.Join(c.dir, string(e.ID))}
		if m.api, err = furnish(c.dir, m.id, c.net.EsploraURL()); err != nil {
			return c, err
		}
		c.members = append(c.members, m)
		if err := m.start(); err != nil {
			return c, err
		}
	}
	for _, m := range c.members {
		if err := m.node.mesh.WaitConnected(ctx, testNodes-1); err != nil {
			return c, err
		}
	}
	return c, c.endow(ctx)
}

// endow makes the wallet's key and gives it coins.
func (c *cluster) endow(ctx context.Context) error {
	first := c.members[0]
	var problem *httpapi.Problem
	if _, err := ask[httpapi.Balance](ctx, first, "GET", "/wallet/balance", nil); !errors.As(err, &problem) {
		return fmt.Errorf("balance without a key: %w", err)
	}
	c.before = problem.Code
	k, err := ask[httpapi.Ceremony](ctx, first, "POST", "/dkg", httpapi.DKGRequest{Protocol: "frost", Threshold: testThreshold, Total: testNodes, IdempotencyKey: "the key"})
	if err != nil {
		return err
	}
	for _, m := range c.members {
		if err := until(ctx, func() bool {
			all, err := ceremonies(ctx, m)
			return err == nil && len(all) == 1 && all[0].State != "collecting" && all[0].State != "admitted" && all[0].State != "executing"
		}); err != nil {
			return fmt.Errorf("key generation on %s: %w; its log:\n%s", m.id, err, m.log.tail())
		}
	}
	all, err := ceremonies(ctx, first)
	if err != nil || all[0].ID != k.ID || all[0].State != "confirmed" {
		return fmt.Errorf("key generation ended as %+v, %w", all, err)
	}
	c.key = all[0]
	a, err := ask[httpapi.Address](ctx, first, "GET", "/wallet/address", nil)
	if err != nil {
		return err
	}
	for range coinCount {
		if _, err := c.net.Faucet.Pay(ctx, a.Address, coinSats); err != nil {
			return err
		}
	}
	return c.net.Mine(ctx, 1)
}

func (c *cluster) stop() error {
	var errs []error
	for _, m := range c.members {
		errs = append(errs, m.stop())
	}
	if c.net != nil {
		errs = append(errs, c.net.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(c.dir))...)
}

// start opens and runs the node on its files. What is given may change its settings and parts before it runs.
func (m *member) start(change ...func(*Config, *Node)) error {
	config, err := LoadConfig(filepath.Join(m.dir, "node.toml"))
	if err != nil {
		return err
	}
	m.log = &journal{}
	n, err := New(context.Background(), config, slog.New(slog.NewJSONHandler(m.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		return err
	}
	for _, f := range change {
		f(&n.config, n)
	}
	handler := n.mesh.Handler
	n.mesh.Handler = func(ctx context.Context, msg mesh.Message) {
		m.mu.Lock()
		filter := m.filter
		m.mu.Unlock()
		if filter == nil || filter(msg) {
			handler(ctx, msg)
		}
	}
	m.screen(nil)
	ctx, cancel := context.WithCancel(context.Background())
	m.node, m.cancel, m.done = n, cancel, make(chan error, 1)
	go func(done chan error) {
		done <- errors.Join(n.Run(ctx), n.Close())
		close(done)
	}(m.done)
	return nil
}

// stop ends the node and waits for its end. Once is enough; again is no error.
func (m *member) stop() error {
	if m.cancel == nil {
		return nil
	}
	m.cancel()
	m.cancel = nil
	return <-m.done
}

// restart stops the node and starts it with changes.
func (m *member) restart(t *testing.T, change ...func(*Config, *Node)) {
	t.Helper()
	must(t, m.stop())
	must(t, m.start(change...))
}

// screen puts a filter before the node, or none.
func (m *member) screen(f func(mesh.Message) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.filter = f
}

// linked waits until every node that runs has a link to every other one that runs.
func (c *cluster) linked(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	up := 0
	for _, m := range c.members {
		if m.cancel != nil {
			up++
		}
	}
	for _, m := range c.members {
		if m.cancel != nil {
			if err := m.node.mesh.WaitConnected(ctx, up-1); err != nil {
				t.Fatal(m.id, err)
			}
		}
	}
}

// mend has every node run again as it should, after a test that broke some.
func (c *cluster) mend(t *testing.T, broken ...*member) {
	t.Helper()
	for _, m := range broken {
		m.restart(t)
	}
	c.linked(t)
}

// ask calls a node's REST surface. An answer that is a problem is the error.
func ask[T any](ctx context.Context, m *member, method, path string, body any) (T, error) {
	var out T
	var payload bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&payload).Encode(body); err != nil {
			return out, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+m.api+"/api/v1"+path, &payload)
	if err != nil {
		return out, err
	}
	req.Header.Set("Authorization", "Bearer "+testToken)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return out, err
	}
	defer res.Body.Close()
	if res.StatusCode >= 400 {
		p := &httpapi.Problem{}
		if err := json.NewDecoder(res.Body).Decode(p); err != nil {
			return out, fmt.Errorf("%s: %w", res.Status, err)
		}
		return out, p
	}
	return out, json.NewDecoder(res.Body).Decode(&out)
}

func ceremonies(ctx context.Context, m *member) ([]httpapi.Ceremony, error) {
	list, err := ask[struct {
		Ceremonies []httpapi.Ceremony `json:"ceremonies"`
	}](ctx, m, "GET", "/dkg", nil)
	return list.Ceremonies, err
}

func payments(t *testing.T, m *member) []httpapi.Transaction {
	t.Helper()
	list, err := ask[struct {
		Transactions []httpapi.Transaction `json:"transactions"`
	}](t.Context(), m, "GET", "/transactions?limit=500", nil)
	must(t, err)
	return list.Transactions
}

// until asks again and again, until the answer is yes or ctx ends.
func until(ctx context.Context, yes func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// state waits until a payment has come to one of some states on a node, and returns it.
func state(t *testing.T, m *member, id string, states ...string) httpapi.Transaction {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var last httpapi.Transaction
	var asked error
	err := until(ctx, func() bool {
		last, asked = ask[httpapi.Transaction](ctx, m, "GET", "/transactions/"+id, nil)
		return asked == nil && slices.Contains(states, last.State)
	})
	if err != nil {
		t.Fatalf("payment is %q on %s (%v), not one of %v; log:\n%s", last.State, m.id, asked, states, m.log.tail())
	}
	return last
}

// payee is an address that nobody has used before.
func payee(t *testing.T) string {
	t.Helper()
	key, err := btcec.NewPrivateKey()
	must(t, err)
	a, err := address.NewAddressWitnessPubKeyHash(address.Hash160(key.PubKey().SerializeCompressed()), &chaincfg.RegressionNetParams)
	must(t, err)
	return a.EncodeAddress()
}

// unused is an idempotency key that nobody has used before.
func unused() string { return fmt.Sprintf("key %x", secret.Random(16).Reveal()) }

// send asks a node for a payment.
func send(t *testing.T, m *member, r httpapi.SendRequest) httpapi.Transaction {
	t.Helper()
	tx, err := ask[httpapi.Transaction](t.Context(), m, "POST", "/transactions", r)
	must(t, err)
	return tx
}

// paid is the transactions that pay to an address, as the chain has them.
func (c *cluster) paid(t *testing.T, to string) []string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.net.EsploraURL()+"/address/"+to+"/txs", nil)
	must(t, err)
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	defer res.Body.Close()
	var txs []struct {
		TxID string `json:"txid"`
	}
	must(t, json.NewDecoder(res.Body).Decode(&txs))
	var out []string
	for _, tx := range txs {
		out = append(out, tx.TxID)
	}
	return out
}

// once fails the test unless exactly this transaction pays to the address, and mines it.
func (c *cluster) once(t *testing.T, tx httpapi.Transaction) {
	t.Helper()
	if got := c.paid(t, tx.Recipient); len(got) != 1 || got[0] != tx.TxID || tx.TxID == "" {
		t.Fatalf("%s was paid by %v, want %q alone", tx.Recipient, got, tx.TxID)
	}
	must(t, c.net.Mine(t.Context(), 1))
	if got := c.paid(t, tx.Recipient); len(got) != 1 {
		t.Fatalf("%s was paid by %v", tx.Recipient, got)
	}
}

// code is the reason code of a refused request.
func code(err error) string {
	var p *httpapi.Problem
	if !errors.As(err, &p) {
		return fmt.Sprint("no problem: ", err)
	}
	return p.Code
}
