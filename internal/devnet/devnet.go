// Package devnet is a Bitcoin network for demonstrations and tests: a real btcd on regtest as a supervised subprocess, an
// Esplora-compatible gateway on it, a faucet, and a cluster of node processes. Nothing here is for real money: the
// faucet's key is made at start and lives in memory.
package devnet

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/btcsuite/btcd/rpcclient"
)

// Options say where a devnet lives.
type Options struct {
	Dir  string // data of btcd; made when it is not there
	Btcd string // path of a btcd binary: see BuildBtcd
}

// Devnet is a running network.
type Devnet struct {
	Faucet  *Faucet
	process *process
	rpc     *rpcclient.Client
	gateway *http.Server
	url     string
	served  chan error
	stop    func() error // stops once; later calls wait for the first and return what it returned
}

// Bounds of starting and stopping.
const (
	startTimeout = 30 * time.Second
	stopTimeout  = 10 * time.Second
	maturity     = 100 // blocks until a coinbase can be spent
)

// BuildBtcd builds the btcd that go.mod pins into a file. It must be called in the module's tree.
func BuildBtcd(ctx context.Context, path string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/btcsuite/btcd")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build btcd: %w: %s", err, out)
	}
	return nil
}

// Start runs btcd, mines until the faucet has coins, and opens the gateway. All of it ends with Stop, or with ctx.
func Start(ctx context.Context, o Options) (*Devnet, error) {
	rpcAddr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	return start(ctx, o, rpcAddr)
}

func start(ctx context.Context, o Options, rpcAddr string) (d *Devnet, err error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("devnet: %w", err)
	}
	faucet, err := newFaucet()
	if err != nil {
		return nil, err
	}
	d = &Devnet{Faucet: faucet}
	d.stop = sync.OnceValue(d.end)
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Stop())
		}
	}()
	user, password := randomHex(), randomHex()
	if d.process, err = startProcess(o.Btcd, filepath.Join(o.Dir, "btcd.log"),
		"--regtest", "--txindex", "--addrindex", "--nodnsseed", "--notls", "--rejectnonstd", "--norelaypriority", "--nolisten",
		"--datadir="+filepath.Join(o.Dir, "data"), "--logdir="+filepath.Join(o.Dir, "logs"), "--configfile="+os.DevNull,
		"--rpclisten="+rpcAddr, "--rpcuser="+user, "--rpcpass="+password, "--miningaddr="+faucet.Address()); err != nil {
		return d, err
	}
	d.rpc, err = rpcclient.New(&rpcclient.ConnConfig{Host: rpcAddr, User: user, Pass: password, HTTPPostMode: true, DisableTLS: true}, nil)
	if err != nil {
		return d, fmt.Errorf("devnet: %w", err)
	}
	faucet.rpc = d.rpc
	if err := d.waitReady(ctx); err != nil {
		return d, err
	}
	if err := d.Mine(ctx, maturity+10); err != nil {
		return d, err
	}
	if err := d.serveGateway(ctx); err != nil {
		return d, err
	}
	context.AfterFunc(ctx, func() { _ = d.Stop() }) // whoever calls Stop gets the error
	return d, nil
}

func randomHex() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// freeAddr asks the kernel for a free loopback port. Somebody else may take it before it is used; then the start fails
// and says so.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

func (d *Devnet) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		answer := make(chan error, 1) // somebody else's server at this port may never answer
		go func() {
			_, err := d.rpc.GetBlockCount()
			answer <- err
		}()
		var err error
		select {
		case err = <-answer:
			if err == nil {
				return nil
			}
		case <-d.process.done:
			return fmt.Errorf("btcd ended at its start; see %s", d.process.log)
		case <-ctx.Done():
			return fmt.Errorf("btcd does not answer: %w", ctx.Err())
		}
		select {
		case <-tick.C:
		case <-d.process.done:
			return fmt.Errorf("btcd ended at its start; see %s", d.process.log)
		case <-ctx.Done():
			return fmt.Errorf("btcd does not answer: %w", err)
		}
	}
}

func (d *Devnet) serveGateway(ctx context.Context) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	d.url = "http://" + listener.Addr().String()
	d.gateway = &http.Server{Handler: d.tap(newGateway(d.rpc)), ReadHeaderTimeout: 5 * time.Second, BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) }}
	d.served = make(chan error, 1)
	go func() { d.served <- d.gateway.Serve(listener) }()
	return nil
}

// EsploraURL is the gateway's base URL.
func (d *Devnet) EsploraURL() string { return d.url }

// Mine makes n blocks, whose coinbase goes to the faucet.
func (d *Devnet) Mine(_ context.Context, n uint32) error {
	hashes, err := d.rpc.Generate(n)
	if err != nil {
		return fmt.Errorf("mine: %w", err)
	}
	tip, err := d.rpc.GetBlockCount()
	if err != nil {
		return fmt.Errorf("mine: %w", err)
	}
	for i, h := range hashes {
		if err := d.Faucet.collect(h, tip-int64(len(hashes)-1-i)); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends the gateway and btcd, and returns when both have ended. It may be called many times.
func (d *Devnet) Stop() error { return d.stop() }

func (d *Devnet) end() error {
	var errs []error
	if d.gateway != nil {
		errs = append(errs, d.gateway.Close())
		<-d.served
	}
	if d.rpc != nil {
		d.rpc.Shutdown()
	}
	if d.process != nil {
		errs = append(errs, d.process.stop())
	}
	return errors.Join(errs...)
}

// process is a supervised subprocess: its output goes to a file, and it ends when we say so, or with us.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
	once sync.Once
}

func startProcess(binary, log string, args ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(binary), err)
	}
	defer out.Close() // the child has its own copy
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(binary), err)
	}
	p := &process{cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(p.done)
	}()
	return p, nil
}

// stop asks, waits, and kills what does not listen.
func (p *process) stop() error {
	p.once.Do(func() { _ = p.cmd.Process.Signal(syscall.SIGTERM) }) // it may have ended already
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		return p.kill()
	}
}

// kill ends it at once.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", filepath.Base(p.cmd.Path), err)
	}
	<-p.done
	return nil
}
