package devnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"chancery.dev/internal/pki"
)

// ClusterOptions say what cluster to run.
type ClusterOptions struct {
	Dir       string
	Nodes     int
	Threshold int
	Btcd      string // binary; built when empty
	Chanceryd string // binary of the nodes
	Log       string // level; info when empty
}

// Cluster is a devnet and the node processes on it.
type Cluster struct {
	Net        *Devnet
	Members    []*Member
	RosterFile string
}

// Member is one node process.
type Member struct {
	ID        string
	Endpoint  string // of its API
	TokenFile string
	Config    string
	LogFile   string
	binary    string
	process   *process
}

// readyTimeout is how long a node may take until it is ready; answerTimeout is how long one answer of its API may take.
const (
	readyTimeout  = 30 * time.Second
	answerTimeout = 2 * time.Second
)

// clusterName is the name of every local cluster.
const clusterName = "local"

// StartCluster makes keys, certificates, roster and settings, starts the devnet and every node, and waits until all
// answer. The directory must be new or empty: nothing is overwritten.
func StartCluster(ctx context.Context, o ClusterOptions) (c *Cluster, err error) {
	if o.Nodes < 2 || o.Nodes > pki.MaxNodes || o.Threshold < 2 || o.Threshold > o.Nodes {
		return nil, errors.New("a cluster has 2 to 64 nodes and a threshold of at least 2 of them")
	}
	if o.Log == "" {
		o.Log = "info"
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	if entries, err := os.ReadDir(o.Dir); err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("directory %s is not empty: remove it, or name another", o.Dir)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	if o.Btcd == "" {
		o.Btcd = filepath.Join(o.Dir, "btcd-bin")
		if err := BuildBtcd(ctx, o.Btcd); err != nil {
			return nil, err
		}
	}
	c = &Cluster{}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Stop())
		}
	}()
	if c.Net, err = Start(ctx, Options{Dir: filepath.Join(o.Dir, "bitcoin"), Btcd: o.Btcd}); err != nil {
		return c, err
	}
	if err := c.ceremony(o); err != nil {
		return c, err
	}
	for _, m := range c.Members {
		if err := m.Start(); err != nil {
			return c, err
		}
	}
	for _, m := range c.Members {
		if err := m.WaitReady(ctx); err != nil {
			return c, err
		}
	}
	return c, nil
}

// ceremony makes the authority, every node's identity, the roster and the settings.
func (c *Cluster) ceremony(o ClusterOptions) error {
	now := time.Now()
	ca, err := pki.CreateCA(filepath.Join(o.Dir, "ca"), clusterName, now)
	if err != nil {
		return err
	}
	root, err := os.ReadFile(filepath.Join(o.Dir, "ca", "ca.crt"))
	if err != nil {
		return err
	}
	var issued []pki.Issued
	var addresses []string
	for i := range o.Nodes {
		id := fmt.Sprintf("node-%d", i+1)
		dir := filepath.Join(o.Dir, id, "identity")
		request, err := pki.NewIdentity(dir, clusterName, pki.NodeID(id))
		if err != nil {
			return err
		}
		cert, entry, err := ca.Enroll(request, pki.MaxLeafLifetime, now)
		if err != nil {
			return err
		}
		if err := pki.InstallCertificate(dir, cert, root); err != nil {
			return err
		}
		address, err := freeUDP()
		if err != nil {
			return err
		}
		issued, addresses = append(issued, entry), append(addresses, id+"="+address)
	}
	roster, err := pki.MakeRoster(clusterName, 1, o.Threshold, issued, addresses)
	if err != nil {
		return err
	}
	raw, err := roster.Encode()
	if err != nil {
		return err
	}
	c.RosterFile = filepath.Join(o.Dir, "roster.json")
	if err := os.WriteFile(c.RosterFile, raw, 0o600); err != nil {
		return err
	}
	for _, n := range roster.Nodes {
		m, err := c.configure(o, string(n.ID))
		if err != nil {
			return err
		}
		c.Members = append(c.Members, m)
	}
	return nil
}

// freeUDP asks the kernel for a free loopback port.
func freeUDP() (string, error) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return conn.LocalAddr().String(), conn.Close()
}

// configure writes a node's settings, passphrase and token.
func (c *Cluster) configure(o ClusterOptions, id string) (*Member, error) {
	dir := filepath.Join(o.Dir, id)
	api, err := freeAddr()
	if err != nil {
		return nil, err
	}
	m := &Member{ID: id, Endpoint: "http://" + api, TokenFile: filepath.Join(dir, "token"), Config: filepath.Join(dir, "node.toml"),
		LogFile: filepath.Join(dir, "node.log"), binary: o.Chanceryd}
	settings := fmt.Sprintf(`node = %q
data = "data"
roster = "../roster.json"
identity = "identity"

[api]
listen = %q
token_file = "token"

[keystore]
passphrase_file = "passphrase"

[chain]
network = "regtest"
esplora = %q
allow_hosts = ["127.0.0.1"]
poll = "500ms"

[presign]
target = -1

[log]
level = %q
`, id, api, c.Net.EsploraURL(), o.Log)
	for name, text := range map[string]string{"node.toml": settings, "token": randomHex() + randomHex() + "\n", "passphrase": randomHex() + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Start starts the node's process.
func (m *Member) Start() error {
	p, err := startProcess(m.binary, m.LogFile, "node", "--config", m.Config)
	m.process = p
	return err
}

// Kill ends the node at once, as a power cut would.
func (m *Member) Kill() error { return m.process.kill() }

// Stop asks the node to end.
func (m *Member) Stop() error {
	if m.process == nil {
		return nil
	}
	return m.process.stop()
}

// WaitReady waits until the node says that it can take part.
func (m *Member) WaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if m.ready(ctx) {
			return nil
		}
		select {
		case <-tick.C:
		case <-m.process.done:
			return fmt.Errorf("%s ended at its start; see %s", m.ID, m.LogFile)
		case <-ctx.Done():
			return fmt.Errorf("%s does not become ready; see %s", m.ID, m.LogFile)
		}
	}
}

func (m *Member) ready(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout) // somebody else's server at this port may never answer
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.Endpoint+"/ready", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	var answer struct {
		Status string `json:"status"`
	}
	return res.StatusCode == http.StatusOK && json.NewDecoder(res.Body).Decode(&answer) == nil && answer.Status == "ok"
}

// Stop ends every node and the devnet, and returns when all have ended.
func (c *Cluster) Stop() error {
	var errs []error
	for _, m := range c.Members {
		errs = append(errs, m.Stop())
	}
	if c.Net != nil {
		errs = append(errs, c.Net.Stop())
	}
	return errors.Join(errs...)
}
