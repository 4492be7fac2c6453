// Command demo walks the road once, with real parts: btcd, five node processes, and the chancery command as a person would
// type it. It is what make demo runs.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"chancery.dev/internal/devnet"
	"chancery.dev/internal/evidence"
	"chancery.dev/internal/httpapi"
	"chancery.dev/internal/intent"
	"chancery.dev/internal/pki"
	"chancery.dev/internal/quorum"
)

func main() {
	var d demo
	flag.StringVar(&d.dir, "dir", filepath.Join(".chancery", "demo"), "directory of everything; emptied first")
	flag.StringVar(&d.bin, "bin", "bin", "directory of chancery, chanceryd and btcd")
	flag.BoolVar(&d.kill, "kill", false, "kill one node before the payment")
	flag.StringVar(&d.protocol, "protocol", "frost", "frost (Taproot) or cggmp24 (segwit version 0)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := d.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo failed:", err)
		os.Exit(1)
	}
}

type demo struct {
	dir, bin string
	kill     bool
	protocol string
	cluster  *devnet.Cluster
	steps    []step
	began    time.Time
}

type step struct {
	name string
	took time.Duration
}

// Amounts of the demo, in satoshis.
const (
	paidIn  = 5_000_000
	paidOut = 1_234_567
)

func (d *demo) run(ctx context.Context) (err error) {
	if err := d.prepare(); err != nil {
		return err
	}
	d.began = time.Now()
	chanceryd, err := filepath.Abs(filepath.Join(d.bin, "chanceryd"))
	if err != nil {
		return err
	}
	err = d.time("start btcd and five nodes", func() (err error) {
		d.cluster, err = devnet.StartCluster(ctx, devnet.ClusterOptions{Dir: d.dir, Nodes: 5, Threshold: 4, Btcd: filepath.Join(d.bin, "btcd"), Chanceryd: chanceryd, Log: "debug"})
		return err
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.cluster.Stop()) }()
	address, err := d.makeKey(ctx)
	if err != nil {
		return err
	}
	if err := d.receive(ctx, address.Address); err != nil {
		return err
	}
	if d.protocol == "cggmp24" {
		err := d.time("two presignatures into the pool", func() error {
			return d.chancery(ctx, "presig", "generate", "--count", "2", "--wait", "5m")
		})
		if err != nil {
			return err
		}
	}
	if d.kill {
		victim := d.cluster.Members[4]
		fmt.Printf("\n> kill %s\n", victim.ID)
		if err := victim.Kill(); err != nil {
			return err
		}
	}
	tx, err := d.pay(ctx)
	if err != nil {
		return err
	}
	if err := d.receipts(ctx, tx.ID); err != nil {
		return err
	}
	return d.report(ctx, tx)
}

// prepare empties the directory. It removes only what looks like an earlier demo.
func (d *demo) prepare() error {
	if _, err := os.Stat(d.dir); err == nil {
		if _, err := os.Stat(filepath.Join(d.dir, "roster.json")); err != nil {
			if entries, _ := os.ReadDir(d.dir); len(entries) > 0 {
				return fmt.Errorf("%s is not an earlier demo's directory; remove it by hand", d.dir)
			}
		}
		return os.RemoveAll(d.dir)
	}
	return nil
}

func (d *demo) time(name string, f func() error) error {
	start := time.Now()
	err := f()
	d.steps = append(d.steps, step{name, time.Since(start)})
	return err
}

// chancery runs the command line as a person would and shows it.
func (d *demo) chancery(ctx context.Context, args ...string) error {
	out, err := d.output(ctx, args...)
	fmt.Printf("\n$ chancery %s\n%s", strings.Join(args, " "), out)
	return err
}

func (d *demo) output(ctx context.Context, args ...string) (string, error) {
	m := d.cluster.Members[0]
	cmd := exec.CommandContext(ctx, filepath.Join(d.bin, "chancery"), args...)
	cmd.Env = append(os.Environ(), "CHANCERY_ENDPOINT="+m.Endpoint, "CHANCERY_TOKEN_FILE="+m.TokenFile)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("chancery %s: %w", strings.Join(args, " "), err)
	}
	return string(out), err
}

// ask runs a command with JSON output.
func ask[T any](ctx context.Context, d *demo, args ...string) (T, error) {
	var v T
	out, err := d.output(ctx, append(args, "--output", "json")...)
	if jerr := json.Unmarshal([]byte(out), &v); err == nil {
		err = jerr
	}
	return v, err
}

func (d *demo) makeKey(ctx context.Context) (httpapi.Address, error) {
	if err := d.chancery(ctx, "cluster", "nodes"); err != nil {
		return httpapi.Address{}, err
	}
	err := d.time("key generation 4-of-5 and test signature", func() error {
		return d.chancery(ctx, "dkg", "start", "--protocol", d.protocol, "--threshold", "4", "--total", "5", "--wait", "10m", "--timeout", "11m")
	})
	if err != nil {
		return httpapi.Address{}, err
	}
	if err := d.chancery(ctx, "wallet", "address"); err != nil {
		return httpapi.Address{}, err
	}
	return ask[httpapi.Address](ctx, d, "wallet", "address")
}

func (d *demo) receive(ctx context.Context, address string) error {
	return d.time("payment in, mined", func() error {
		txid, err := d.cluster.Net.Faucet.Pay(ctx, address, paidIn)
		if err != nil {
			return err
		}
		fmt.Printf("\n> the faucet pays %d sat: %s\n", paidIn, txid)
		if err := d.cluster.Net.Mine(ctx, 1); err != nil {
			return err
		}
		if err := d.chancery(ctx, "wallet", "balance"); err != nil {
			return err
		}
		b, err := ask[httpapi.Balance](ctx, d, "wallet", "balance")
		if err == nil && b.ConfirmedSats != paidIn {
			err = fmt.Errorf("balance is %d sat, not %d", b.ConfirmedSats, paidIn)
		}
		return err
	})
}

// pay sends to the faucet's own address, which is P2WPKH: another descriptor type than a Taproot wallet's.
func (d *demo) pay(ctx context.Context) (httpapi.Transaction, error) {
	to := d.cluster.Net.Faucet.Address()
	err := d.time("payment out: vote, permit, sign, release, publish", func() error {
		return d.chancery(ctx, "send", "--to", to, "--amount", fmt.Sprint(paidOut), "--idempotency-key", "demo-1", "--wait", "2m", "--timeout", "3m")
	})
	if err != nil {
		return httpapi.Transaction{}, err
	}
	list, err := ask[[]httpapi.Transaction](ctx, d, "tx", "list")
	if err != nil || len(list) != 1 {
		return httpapi.Transaction{}, errors.Join(err, fmt.Errorf("%d payments are listed", len(list)))
	}
	err = d.time("mined and confirmed", func() error {
		if err := d.cluster.Net.Mine(ctx, 1); err != nil {
			return err
		}
		return d.chancery(ctx, "tx", "status", list[0].ID, "--wait", "30s")
	})
	if err != nil {
		return httpapi.Transaction{}, err
	}
	return ask[httpapi.Transaction](ctx, d, "tx", "status", list[0].ID)
}

// receipts fetches every node's chain and verifies it with the roster alone.
func (d *demo) receipts(ctx context.Context, id string) error {
	file := filepath.Join(d.dir, "payment.receipts.json")
	if err := d.chancery(ctx, "tx", "receipts", id, "--file", file); err != nil {
		return err
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var r httpapi.Receipts
	if err := json.Unmarshal(raw, &r); err != nil {
		return err
	}
	roster, err := pki.LoadRoster(d.cluster.RosterFile)
	if err != nil {
		return err
	}
	electorate := quorum.FromRoster(roster.Digest(), roster.Epoch, roster.Threshold)
	for _, n := range roster.Nodes {
		electorate.Keys[n.Party] = n.PublicKey()
	}
	canonical, err := intent.CanonicalJSON(r.Intent)
	if err != nil {
		return err
	}
	fmt.Printf("\nreceipts in %s, verified with the roster alone:\n", file)
	published := 0
	for _, c := range r.Chains {
		var chain evidence.Chain
		if err := json.Unmarshal(c, &chain); err != nil {
			return err
		}
		list, err := chain.Verify(electorate)
		if err != nil {
			return err
		}
		if list[0].Intent != intent.IDOf(canonical) {
			return errors.New("a chain is about another intent")
		}
		var steps []string
		for _, e := range list {
			steps = append(steps, string(e.Step))
			if e.Step == evidence.StepPublication {
				published++
			}
		}
		fmt.Printf("  party %d: %s\n", list[0].Node, strings.Join(steps, " -> "))
	}
	if published < roster.Threshold {
		return fmt.Errorf("only %d nodes have a publication receipt", published)
	}
	return nil
}

// report prints where the time went: the demo's own steps, and the payment's states on the node that took it.
func (d *demo) report(ctx context.Context, tx httpapi.Transaction) error {
	if tx.State != "confirmed" {
		return fmt.Errorf("payment is %s", tx.State)
	}
	fmt.Printf("\nwhere the time went\n")
	for _, s := range d.steps {
		fmt.Printf("  %-52s %8.1f ms\n", s.name, float64(s.took.Microseconds())/1000)
	}
	fmt.Printf("  %-52s %8.1f ms\n", "in all", float64(time.Since(d.began).Microseconds())/1000)
	fmt.Printf("the payment, state by state, on the node that took it\n")
	for i, m := range tx.Timeline[1:] {
		fmt.Printf("  %-52s %8d ms\n", tx.Timeline[i].State+" -> "+m.State, m.UnixMilli-tx.Timeline[i].UnixMilli)
	}
	if err := d.engineSteps(); err != nil {
		return err
	}
	return d.chancery(ctx, "cluster", "status")
}

// engineSteps shows how long the engine's runs took on the node that took the payment, as its log has them.
func (d *demo) engineSteps() error {
	raw, err := os.ReadFile(d.cluster.Members[0].LogFile)
	if err != nil {
		return err
	}
	fmt.Printf("the engine's runs, on that node\n")
	for line := range strings.Lines(string(raw)) {
		var e struct {
			Msg  string  `json:"msg"`
			Step string  `json:"step"`
			Took float64 `json:"took_ms"`
		}
		if json.Unmarshal([]byte(line), &e) == nil && e.Msg == "engine step" {
			fmt.Printf("  %-52s %8.1f ms\n", e.Step, e.Took)
		}
	}
	return nil
}
