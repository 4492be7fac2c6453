package devnet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery.dev/internal/httpapi"
	"chancery.dev/internal/node"
)

// call asks a node process for something, as its operator would: with the token of its file.
func call[T any](ctx context.Context, m *Member, method, path string, body any) (T, error) {
	var out T
	token, err := os.ReadFile(m.TokenFile)
	if err != nil {
		return out, err
	}
	var payload bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&payload).Encode(body); err != nil {
			return out, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, m.Endpoint+"/api/v1"+path, &payload)
	if err != nil {
		return out, err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return out, err
	}
	defer res.Body.Close()
	if res.StatusCode >= 400 {
		p := &httpapi.Problem{}
		return out, errors.Join(json.NewDecoder(res.Body).Decode(p), p)
	}
	return out, json.NewDecoder(res.Body).Decode(&out)
}

// until asks a node again and again, until the answer is good.
func until[T any](t *testing.T, m *Member, path string, good func(T) bool) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		v, err := call[T](ctx, m, http.MethodGet, path, nil)
		if err == nil && good(v) {
			return v
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			log, _ := os.ReadFile(m.LogFile)
			t.Fatalf("%s%s: %+v, %v; log:\n%s", m.ID, path, v, err, log[max(0, len(log)-4000):])
		}
	}
}

func ended(tx httpapi.Transaction) bool {
	return slices.Contains([]string{"published", "confirmed", "failed", "denied"}, tx.State)
}

// Five node processes and a real Bitcoin node: a key, a payment in, and a payment out while a signer's process is killed
// under it. The killed node comes back with its key and learns how the payment ended.
func TestClusterSurvivesAKill(t *testing.T) {
	btcd, chanceryd := built(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	c, err := StartCluster(ctx, ClusterOptions{Dir: filepath.Join(t.TempDir(), "cluster"), Nodes: 5, Threshold: 4, Btcd: btcd, Chanceryd: chanceryd})
	must(t, err)
	defer func() { must(t, c.Stop()) }()
	leader, victim := c.Members[4], c.Members[0]
	c.fund(t, leader)
	must(t, victim.Kill()) // no link is closed: the others find out by its silence
	to := fresh(t)
	tx, err := call[httpapi.Transaction](ctx, leader, http.MethodPost, "/transactions", httpapi.SendRequest{Recipient: to.Address(), AmountSats: 400_000})
	must(t, err)
	tx = until(t, leader, "/transactions/"+tx.ID, ended)
	if tx.State != "published" && tx.State != "confirmed" {
		t.Fatalf("payment is %s (%s)", tx.State, tx.Reason)
	}
	must(t, c.Net.Mine(ctx, 1))
	if got := answer[[]utxoJSON](t, c.Net, "/address/"+to.Address()+"/utxo"); len(got) != 1 || got[0].TxID != tx.TxID || got[0].Value != 400_000 {
		t.Errorf("paid: %+v, want %s alone", got, tx.TxID)
	}
	must(t, victim.Start())
	must(t, victim.WaitReady(ctx))
	until(t, victim, "/transactions/"+tx.ID, func(on httpapi.Transaction) bool { return on.State == "confirmed" && on.TxID == tx.TxID })
	takenPort(t, ctx, c.Members[1])
}

// fund makes the wallet's key and pays it.
func (c *Cluster) fund(t *testing.T, m *Member) {
	t.Helper()
	_, err := call[httpapi.Ceremony](t.Context(), m, http.MethodPost, "/dkg", httpapi.DKGRequest{Protocol: "frost", Threshold: 4, Total: 5})
	must(t, err)
	for _, m := range c.Members {
		until(t, m, "/cluster/status", func(s httpapi.ClusterStatus) bool { return s.ActiveKey != "" && s.Connected == 5 })
	}
	a, err := call[httpapi.Address](t.Context(), m, http.MethodGet, "/wallet/address", nil)
	must(t, err)
	_, err = c.Net.Faucet.Pay(t.Context(), a.Address, 1_000_000)
	must(t, err)
	must(t, c.Net.Mine(t.Context(), 1))
	until(t, m, "/wallet/balance", func(b httpapi.Balance) bool { return b.ConfirmedSats == 1_000_000 })
}

// takenPort has a node start on a port that somebody else listens on: it ends, and says so.
func takenPort(t *testing.T, ctx context.Context, m *Member) {
	t.Helper()
	must(t, m.Stop())
	l, err := net.Listen("tcp", strings.TrimPrefix(m.Endpoint, "http://"))
	must(t, err)
	defer l.Close()
	must(t, m.Start())
	if err := m.WaitReady(ctx); err == nil || !strings.Contains(err.Error(), m.ID+" ended at its start") {
		t.Errorf("%v", err)
	}
	log, err := os.ReadFile(m.LogFile)
	if err != nil || !strings.Contains(string(log), "address already in use") {
		t.Errorf("its log does not say why: %v", err)
	}
}

func TestClusterOptions(t *testing.T) {
	full := t.TempDir()
	must(t, os.WriteFile(filepath.Join(full, "mine"), nil, 0o600))
	btcd, chanceryd := built(t)
	for name, c := range map[string]struct {
		o    ClusterOptions
		want string
	}{
		"one node":            {ClusterOptions{Dir: t.TempDir(), Nodes: 1, Threshold: 2}, "2 to 64 nodes"},
		"too many nodes":      {ClusterOptions{Dir: t.TempDir(), Nodes: 65, Threshold: 33}, "2 to 64 nodes"},
		"threshold of one":    {ClusterOptions{Dir: t.TempDir(), Nodes: 3, Threshold: 1}, "threshold"},
		"threshold too high":  {ClusterOptions{Dir: t.TempDir(), Nodes: 3, Threshold: 4}, "threshold"},
		"folder is in use":    {ClusterOptions{Dir: full, Nodes: 3, Threshold: 2}, "not empty"},
		"no majority":         {ClusterOptions{Dir: t.TempDir(), Nodes: 4, Threshold: 2, Btcd: btcd, Chanceryd: chanceryd}, "majority"},
		"no node program":     {ClusterOptions{Dir: t.TempDir(), Nodes: 2, Threshold: 2, Btcd: btcd, Chanceryd: filepath.Join(full, "none")}, "no such file"},
		"another program":     {ClusterOptions{Dir: t.TempDir(), Nodes: 2, Threshold: 2, Btcd: btcd, Chanceryd: btcd}, "ended at its start"},
		"log level is no one": {ClusterOptions{Dir: t.TempDir(), Nodes: 2, Threshold: 2, Btcd: btcd, Chanceryd: chanceryd, Log: "loud"}, "ended at its start"},
	} {
		c1, err := StartCluster(t.Context(), c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want a word about %q", name, err, c.want)
		}
		if c1 != nil && c1.Net != nil && !gone(c1.Net.process) {
			t.Errorf("%s: btcd runs on", name)
		}
	}
	if left, err := os.ReadDir(full); err != nil || len(left) != 1 {
		t.Errorf("the folder that was in use has %v, %v", left, err)
	}
}

// What the ceremony writes is what a node reads, and what is secret is private.
func TestCeremony(t *testing.T) {
	dir := t.TempDir()
	c := &Cluster{Net: &Devnet{url: "http://127.0.0.1:1"}}
	must(t, c.ceremony(ClusterOptions{Dir: dir, Nodes: 3, Threshold: 2, Log: "info"}))
	seen := map[string]bool{}
	for i, m := range c.Members {
		config, err := node.LoadConfig(m.Config)
		must(t, err)
		if config.Node != fmt.Sprint("node-", i+1) || "http://"+config.API.Listen != m.Endpoint || seen[m.Endpoint] {
			t.Errorf("%+v", config)
		}
		seen[m.Endpoint] = true
		for _, secret := range []string{config.API.TokenFile, config.Keystore.PassphraseFile, filepath.Join(config.Identity, "tls.key"), filepath.Join(config.Identity, "identity.key")} {
			info, err := os.Stat(secret)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", secret, info, err)
			}
			raw, err := os.ReadFile(secret)
			if err != nil || seen[string(raw)] {
				t.Errorf("%s is another node's too, %v", secret, err)
			}
			seen[string(raw)] = true
		}
	}
}
