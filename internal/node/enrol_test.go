package node

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chancery.dev/internal/pki"
	"chancery.dev/internal/quorum"
)

// Names and numbers of the clusters that these tests make.
const (
	testCluster   = "node-test"
	testNodes     = 5
	testThreshold = 4
	testToken     = "a token that is long enough for the api"
)

// enrol makes an authority, five identities, a roster and each node's files in a directory, as an operator would.
// age is how long ago the certificates were issued.
func enrol(dir string, age time.Duration) (*pki.Roster, error) {
	now := time.Now().Add(-age)
	ca, err := pki.CreateCA(filepath.Join(dir, "ca"), testCluster, now)
	if err != nil {
		return nil, err
	}
	root, err := os.ReadFile(filepath.Join(dir, "ca", "ca.crt"))
	if err != nil {
		return nil, err
	}
	var issued []pki.Issued
	var addresses []string
	for n := range testNodes {
		id := fmt.Sprintf("node-%d", n+1)
		home := filepath.Join(dir, id, "identity")
		request, err := pki.NewIdentity(home, testCluster, pki.NodeID(id))
		if err != nil {
			return nil, err
		}
		cert, entry, err := ca.Enroll(request, pki.MaxLeafLifetime, now)
		if err != nil {
			return nil, err
		}
		address, err := freePort("udp")
		if err := errors.Join(err, pki.InstallCertificate(home, cert, root)); err != nil {
			return nil, err
		}
		issued, addresses = append(issued, entry), append(addresses, id+"="+address)
	}
	roster, err := pki.MakeRoster(testCluster, 1, testThreshold, issued, addresses)
	if err != nil {
		return nil, err
	}
	raw, err := roster.Encode()
	if err != nil {
		return nil, err
	}
	return roster, os.WriteFile(filepath.Join(dir, "roster.json"), raw, 0o600)
}

// freePort asks the kernel for a free loopback address.
func freePort(network string) (string, error) {
	if network == "udp" {
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		return conn.LocalAddr().String(), conn.Close()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// settings is a settings file with short times.
func settings(id, api, esplora string) string {
	return fmt.Sprintf(`node = %q
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
poll = "100ms"

[road]
intent_lifetime = "60s"
attempt_timeout = %q

[log]
level = "debug"
`, id, api, esplora, attemptTimeout)
}

// furnish writes a node's settings, token and passphrase.
func furnish(dir, id, esplora string) (api string, err error) {
	if api, err = freePort("tcp"); err != nil {
		return "", err
	}
	for name, text := range map[string]string{"node.toml": settings(id, api, esplora), "token": testToken + "\n", "passphrase": "passphrase of " + id + "\n"} {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, id, name), []byte(text), 0o600))
	}
	return api, err
}

func electorateOf(r *pki.Roster) quorum.Electorate {
	e := quorum.FromRoster(r.Digest(), r.Epoch, r.Threshold)
	for _, n := range r.Nodes {
		e.Keys[n.Party] = n.PublicKey()
	}
	return e
}

// edit replaces text in a file; the text must be there.
func edit(t *testing.T, path, old, replacement string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(raw), old) {
		t.Fatalf("%s has no %q", filepath.Base(path), old)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(raw), old, replacement, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}
