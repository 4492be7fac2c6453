package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// start is when the authority of the tests was made.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused checks the reason code of a refusal. An empty code wants none.
func refused(t *testing.T, what string, err error, code string) {
	t.Helper()
	var e *Error
	switch {
	case code == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case code != "" && (!errors.As(err, &e) || e.ReasonCode() != code):
		t.Errorf("%s: got %v, want %s", what, err, code)
	}
}

// town is a cluster with its authority and three enrolled nodes.
type town struct {
	ca     *CA
	root   []byte // PEM
	dirs   map[NodeID]string
	roster *Roster
}

func newTown(t testing.TB) *town {
	t.Helper()
	w := &town{dirs: map[NodeID]string{}}
	var err error
	dir := filepath.Join(t.TempDir(), "ca")
	w.ca, err = CreateCA(dir, "alpha", start)
	must(t, err)
	w.root, err = os.ReadFile(filepath.Join(dir, fileCACert))
	must(t, err)
	var args []string
	for i := range 3 {
		id := NodeID(fmt.Sprintf("n%d", i+1))
		w.dirs[id] = filepath.Join(t.TempDir(), string(id))
		r, err := NewIdentity(w.dirs[id], "alpha", id)
		must(t, err)
		cert, _, err := w.ca.Enroll(r, MaxLeafLifetime, start)
		must(t, err)
		must(t, InstallCertificate(w.dirs[id], cert, w.root))
		args = append(args, fmt.Sprintf("%s=127.0.0.1:%d", id, 7001+i))
	}
	issued, err := w.ca.List()
	must(t, err)
	w.roster, err = MakeRoster("alpha", 1, 2, issued, args)
	must(t, err)
	return w
}

func (w *town) identity(t testing.TB, id NodeID) *Identity {
	t.Helper()
	i, _, err := LoadIdentity(w.dirs[id])
	must(t, err)
	return i
}

func (w *town) key(t testing.TB, id NodeID) *ecdsa.PrivateKey {
	t.Helper()
	c, err := w.identity(t, id).Certificate()
	must(t, err)
	return c.PrivateKey.(*ecdsa.PrivateKey)
}

// leaf is what the authority would write for a node.
func leaf(id string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: id}, URIs: []*url.URL{URI("alpha", NodeID(id))},
		NotBefore: start.Add(-backdate), NotAfter: start.Add(time.Hour), BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
}

func signed(t *testing.T, template, parent *x509.Certificate, public crypto.PublicKey, by *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, by)
	must(t, err)
	return der
}

func uri(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	must(t, err)
	return u
}

// Each row is n1's certificate as the cluster's own authority could have signed it, with one thing wrong.
func TestBadLeavesAreRefused(t *testing.T) {
	w := newTown(t)
	key := w.key(t, "n1")
	for _, c := range []struct {
		what, code string
		now        time.Time
		change     func(c *x509.Certificate)
	}{
		{"good", "", start, func(*x509.Certificate) {}},
		{"in its first second", "", start.Add(-backdate), func(*x509.Certificate) {}},
		{"in its last second", "", start.Add(time.Hour), func(*x509.Certificate) {}},
		{"not yet valid", CodeNotYet, start.Add(-backdate - time.Second), func(*x509.Certificate) {}},
		{"expired", CodeExpired, start.Add(time.Hour + time.Second), func(*x509.Certificate) {}},
		{"longer than its root", CodeUntrusted, start.Add(RootLifetime + time.Hour), func(c *x509.Certificate) { c.NotAfter = start.Add(2 * RootLifetime) }},
		{"an authority", CodeUsage, start, func(c *x509.Certificate) { c.IsCA = true }},
		{"client only", CodeUsage, start, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }},
		{"server only", CodeUsage, start, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] }},
		{"no extended usage", CodeUsage, start, func(c *x509.Certificate) { c.ExtKeyUsage = nil }},
		{"any usage", CodeUsage, start, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }},
		{"one usage twice", CodeUsage, start, func(c *x509.Certificate) { c.ExtKeyUsage[1] = c.ExtKeyUsage[0] }},
		{"a third usage", CodeUsage, start, func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageCodeSigning) }},
		{"an unknown usage", CodeUsage, start, func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 2, 3}} }},
		{"key for encipherment", CodeUsage, start, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }},
		{"key for signing certificates too", CodeUsage, start, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }},
		{"no name", CodeSAN, start, func(c *x509.Certificate) { c.URIs = nil }},
		{"two names", CodeSAN, start, func(c *x509.Certificate) { c.URIs = append(c.URIs, URI("alpha", "n2")) }},
		{"a host name too", CodeSAN, start, func(c *x509.Certificate) { c.DNSNames = []string{"n1"} }},
		{"an address too", CodeSAN, start, func(c *x509.Certificate) { c.IPAddresses = []net.IP{{127, 0, 0, 1}} }},
		{"mail too", CodeSAN, start, func(c *x509.Certificate) { c.EmailAddresses = []string{"n1@alpha.example"} }},
		{"name of another node", CodePin, start, func(c *x509.Certificate) { c.URIs = []*url.URL{URI("alpha", "n2")} }},
		{"name off the roster", CodeOffRoster, start, func(c *x509.Certificate) { c.URIs = []*url.URL{URI("alpha", "n9")} }},
		{"name in another cluster", CodeUntrusted, start, func(c *x509.Certificate) { c.URIs = []*url.URL{URI("beta", "n1")} }},
		{"name of another scheme", CodeOffRoster, start, func(c *x509.Certificate) { c.URIs = []*url.URL{uri(t, "https://alpha/n1")} }},
		{"name in upper case", CodeOffRoster, start, func(c *x509.Certificate) { c.URIs = []*url.URL{uri(t, "chancery://ALPHA/n1")} }},
		{"name with a query", CodeOffRoster, start, func(c *x509.Certificate) { c.URIs = []*url.URL{uri(t, "chancery://alpha/n1?n2")} }},
		{"name with a port", CodeOffRoster, start, func(c *x509.Certificate) { c.URIs = []*url.URL{uri(t, "chancery://alpha:1/n1")} }},
		{"name in the subject alone", CodeOffRoster, start, func(c *x509.Certificate) { c.URIs = []*url.URL{uri(t, "chancery://alpha/")} }},
	} {
		template := leaf("n1")
		c.change(template)
		der := signed(t, template, w.ca.Cert, key.Public(), w.ca.key)
		node, err := VerifyPeer(w.roster, w.ca.Cert, nil, c.now, [][]byte{der})
		refused(t, c.what, err, c.code)
		if err == nil && node != w.roster.Nodes[0] || err != nil && node != (Node{}) {
			t.Errorf("%s: node is %q", c.what, node.ID)
		}
	}
}

// Certificates that are well formed but that the cluster's authority did not sign, or not for this key.
func TestForeignCertificatesAreRefused(t *testing.T) {
	w := newTown(t)
	own := w.key(t, "n1")
	other, err := CreateCA(filepath.Join(t.TempDir(), "ca"), "alpha", start)
	must(t, err)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	good := signed(t, leaf("n1"), w.ca.Cert, own.Public(), w.ca.key)
	forged := append([]byte(nil), good...)
	forged[len(forged)-1] ^= 1
	middle := leaf("n2")
	middle.IsCA, middle.KeyUsage = true, x509.KeyUsageCertSign
	middleDER := signed(t, middle, w.ca.Cert, w.key(t, "n2").Public(), w.ca.key)
	byNode := signed(t, leaf("n1"), middle, own.Public(), w.key(t, "n2"))
	for _, c := range []struct {
		what, code string
		chain      [][]byte
	}{
		{"good", "", [][]byte{good}},
		{"good, root beside it", "", [][]byte{good, w.ca.Cert.Raw}},
		{"of an authority with the same name", CodeUntrusted, [][]byte{signed(t, leaf("n1"), other.Cert, own.Public(), other.key)}},
		{"of another authority, its root beside it", CodeUntrusted, [][]byte{signed(t, leaf("n1"), other.Cert, own.Public(), other.key), other.Cert.Raw}},
		{"self-signed", CodeUntrusted, [][]byte{signed(t, leaf("n1"), leaf("n1"), own.Public(), own)}},
		{"signed by another node", CodeUntrusted, [][]byte{byNode, middleDER}},
		{"changed signature", CodeUntrusted, [][]byte{forged}},
		{"another key than the roster's", CodePin, [][]byte{signed(t, leaf("n1"), w.ca.Cert, stranger.Public(), w.ca.key)}},
		{"the root itself", CodeUsage, [][]byte{w.ca.Cert.Raw}},
		{"root first, leaf after", CodeUsage, [][]byte{w.ca.Cert.Raw, good}},
		{"none", CodeMalformed, nil},
		{"four", CodeMalformed, [][]byte{good, good, good, good}},
		{"empty", CodeMalformed, [][]byte{{}}},
		{"cut", CodeMalformed, [][]byte{good[:len(good)-1]}},
	} {
		_, err := VerifyPeer(w.roster, w.ca.Cert, nil, start, c.chain)
		refused(t, c.what, err, c.code)
	}
}

func TestRosterAndRevocationsDecide(t *testing.T) {
	w := newTown(t)
	cert, err := x509.ParseCertificate(w.identity(t, "n1").Chain[0])
	must(t, err)
	changed := func(f func(r *Roster)) *Roster {
		r := *w.roster
		r.Nodes = append([]Node(nil), r.Nodes...)
		f(&r)
		return &r
	}
	for _, c := range []struct {
		what, code string
		roster     *Roster
		revoked    *Revocations
	}{
		{"nothing revoked", "", w.roster, nil},
		{"another revoked", "", w.roster, &Revocations{map[string]bool{"1": true}}},
		{"revoked", CodeRevoked, w.roster, &Revocations{map[string]bool{cert.SerialNumber.String(): true}}},
		{"off the roster", CodeOffRoster, changed(func(r *Roster) { r.Nodes = r.Nodes[1:] }), nil},
		{"roster pins another key", CodePin, changed(func(r *Roster) { r.Nodes[0].Pin[31] ^= 1 }), nil},
		{"roster has the pins swapped", CodePin, changed(func(r *Roster) { r.Nodes[0].Pin, r.Nodes[1].Pin = r.Nodes[1].Pin, r.Nodes[0].Pin }), nil},
		{"roster of another cluster", CodeOffRoster, changed(func(r *Roster) { r.Cluster = "beta" }), nil},
	} {
		_, err := VerifyPeer(c.roster, w.ca.Cert, c.revoked, start, [][]byte{cert.Raw})
		refused(t, c.what, err, c.code)
	}
}

func TestSecretFilesOfOthersAreRefused(t *testing.T) {
	link := func(path string) {
		must(t, os.Rename(path, path+".real"))
		must(t, os.Symlink(path+".real", path))
	}
	load := map[string]func(dir string) error{
		fileCAKey:   func(dir string) error { _, err := OpenCA(dir); return err },
		fileTLSKey:  func(dir string) error { _, _, err := LoadIdentity(dir); return err },
		fileSignKey: func(dir string) error { _, _, err := LoadIdentity(dir); return err },
	}
	for name, loader := range load {
		w := newTown(t)
		dir := w.dirs["n1"]
		if name == fileCAKey {
			dir = w.ca.dir
		}
		path := filepath.Join(dir, name)
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s is made with mode %v, %v", name, info.Mode(), err)
		}
		for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602, 0o610} {
			must(t, os.Chmod(path, mode))
			refused(t, fmt.Sprintf("%s with mode %04o", name, mode), loader(dir), CodeFileMode)
		}
		must(t, os.Chmod(path, 0o400))
		refused(t, name+" that is read-only", loader(dir), "")
		must(t, os.Chmod(path, 0o600))
		key, err := os.ReadFile(path)
		must(t, err)
		for what, text := range map[string]string{"empty": "", "certificate": string(w.root), "noise": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
			must(t, os.WriteFile(path, []byte(text), 0o600))
			refused(t, name+", "+what, loader(dir), CodeMalformed)
		}
		must(t, os.WriteFile(path, key, 0o600))
		link(path)
		refused(t, name+" that is a link", loader(dir), CodeFileMode)
		must(t, os.Remove(path))
		if err := loader(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s that is not there: %v", name, err)
		}
	}
}

// The files of a directory belong together: a key or a certificate from elsewhere is refused.
func TestMixedFilesAreRefused(t *testing.T) {
	w, other := newTown(t), newTown(t)
	for _, c := range []struct{ name, from string }{
		{fileTLSKey, filepath.Join(w.dirs["n2"], fileTLSKey)}, {fileTLSKey, filepath.Join(w.dirs["n1"], fileSignKey)},
		{fileSignKey, filepath.Join(w.dirs["n1"], fileTLSKey)}, {fileNodeCert, filepath.Join(w.dirs["n2"], fileNodeCert)},
		{fileNodeCert, filepath.Join(w.ca.dir, fileCACert)}, {fileNodeCert, filepath.Join(w.dirs["n1"], fileTLSKey)},
	} {
		dir := filepath.Join(t.TempDir(), "mixed")
		must(t, os.CopyFS(dir, os.DirFS(w.dirs["n1"])))
		data, err := os.ReadFile(c.from)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, c.name), data, 0o600))
		must(t, errors.Join(os.Chmod(filepath.Join(dir, fileTLSKey), 0o600), os.Chmod(filepath.Join(dir, fileSignKey), 0o600)))
		_, _, err = LoadIdentity(dir)
		refused(t, c.name+" is really "+filepath.Base(c.from), err, CodeMalformed)
	}
	must(t, os.WriteFile(filepath.Join(w.ca.dir, fileCACert), other.root, 0o644))
	_, err := OpenCA(w.ca.dir)
	refused(t, "authority with another's root", err, CodeMalformed)
}

func TestIdentity(t *testing.T) {
	w := newTown(t)
	i := w.identity(t, "n2")
	if i.ID != "n2" || i.Cluster != "alpha" || [32]byte(i.PublicKey()) != w.roster.Nodes[1].Identity {
		t.Errorf("identity is %q of %q", i.ID, i.Cluster)
	}
	if until, err := i.NotAfter(); err != nil || !until.Equal(start.Add(MaxLeafLifetime)) {
		t.Errorf("certificate ends at %s, %v", until, err)
	}
	if text := fmt.Sprint(i); text != "identity of n2" {
		t.Errorf("identity prints as %q", text)
	}
	i.Close()
	if _, err := i.Certificate(); err == nil || strings.Trim(string(i.sign), "\x00") != "" {
		t.Errorf("keys live after close: %v", err)
	}
}
