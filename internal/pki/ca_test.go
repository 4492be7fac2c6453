package pki

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// applicant is a node's request together with the keys behind it, so that a forger can sign again.
type applicant struct {
	Request
	tls  *ecdsa.PrivateKey
	sign ed25519.PrivateKey
}

func newApplicant(t *testing.T, id NodeID) *applicant {
	t.Helper()
	dir := filepath.Join(t.TempDir(), string(id))
	r, err := NewIdentity(dir, "alpha", id)
	must(t, err)
	a, err := loadKey(filepath.Join(dir, fileTLSKey))
	must(t, err)
	b, err := loadKey(filepath.Join(dir, fileSignKey))
	must(t, err)
	return &applicant{r, a.(*ecdsa.PrivateKey), b.(ed25519.PrivateKey)}
}

func (a *applicant) prove() { a.Proof = ed25519.Sign(a.sign, a.digest()) }

func csr(t *testing.T, names []*url.URL, key any) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "n4"}, URIs: names}, key)
	must(t, err)
	return der
}

// Each row is a request that somebody forged. Those that change a signed part sign again when they can.
func TestForgedRequestsAreRefused(t *testing.T) {
	w := newTown(t)
	before, err := w.ca.List()
	must(t, err)
	victim := newApplicant(t, "n1")
	big, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	own := []*url.URL{URI("alpha", "n4")}
	for _, c := range []struct {
		what, text string
		change     func(a *applicant)
	}{
		{"another name", "did not sign", func(a *applicant) { a.ID = "n1" }},
		{"another cluster", "another cluster", func(a *applicant) { a.Cluster = "beta"; a.prove() }},
		{"a name that is not valid", "not valid", func(a *applicant) { a.ID = "n4/.."; a.prove() }},
		{"no name", "not valid", func(a *applicant) { a.ID = ""; a.prove() }},
		{"no proof", "did not sign", func(a *applicant) { a.Proof = nil }},
		{"a changed proof", "did not sign", func(a *applicant) { a.Proof[0] ^= 1 }},
		{"another's proof", "did not sign", func(a *applicant) { a.Proof = victim.Proof }},
		{"another's identity key", "did not sign", func(a *applicant) { a.Identity = victim.Identity; a.prove() }},
		{"an identity key in upper case", "hex", func(a *applicant) { a.Identity = strings.ToUpper(a.Identity); a.prove() }},
		{"an identity key cut short", "hex", func(a *applicant) { a.Identity = a.Identity[:62]; a.prove() }},
		{"a TLS key put in its place", "did not sign", func(a *applicant) { a.CSR = victim.CSR }},
		{"another's TLS key, taken from its request", "names another", func(a *applicant) { a.CSR = victim.CSR; a.prove() }},
		{"a TLS key that did not sign", "TLS key did not sign", func(a *applicant) { a.CSR[len(a.CSR)-1] ^= 1; a.prove() }},
		{"no TLS key", "certificate request", func(a *applicant) { a.CSR = nil; a.prove() }},
		{"a TLS key of another curve", "P-256", func(a *applicant) { a.CSR = csr(t, own, big); a.prove() }},
		{"the identity key for TLS", "P-256", func(a *applicant) { a.CSR = csr(t, own, a.sign); a.prove() }},
		{"a TLS request without a name", "names another", func(a *applicant) { a.CSR = csr(t, nil, a.tls); a.prove() }},
		{"a TLS request with two names", "names another", func(a *applicant) { a.CSR = csr(t, append(own, URI("alpha", "n1")), a.tls); a.prove() }},
	} {
		a := newApplicant(t, "n4")
		c.change(a)
		cert, _, err := w.ca.Enroll(a.Request, time.Hour, start)
		refused(t, c.what, err, CodeRequest)
		if cert != nil || err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v does not say %q", c.what, err, c.text)
		}
	}
	for _, lifetime := range []time.Duration{0, -1, MaxLeafLifetime + 1} {
		_, _, err := w.ca.Enroll(newApplicant(t, "n4").Request, lifetime, start)
		refused(t, "lifetime "+lifetime.String(), err, CodeRequest)
	}
	after, err := w.ca.List()
	if err != nil || len(after) != len(before) {
		t.Errorf("a refused request left an entry in the log, %v", err)
	}
}

// The certificate says what the authority wrote, whatever else the request asked for, and only its key is the node's.
func TestEnrolledCertificate(t *testing.T) {
	w := newTown(t)
	a := newApplicant(t, "n4")
	greedy, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "root", Organization: []string{"beta"}},
		URIs: []*url.URL{URI("alpha", "n4")}, DNSNames: []string{"n1"}}, a.tls)
	must(t, err)
	a.CSR = greedy
	a.prove()
	file, entry, err := w.ca.Enroll(a.Request, time.Hour, start)
	must(t, err)
	path := filepath.Join(t.TempDir(), "n4.crt")
	must(t, os.WriteFile(path, file, 0o644))
	cert, err := LoadCertificate(path)
	must(t, err)
	if cert.IsCA || cert.Subject.CommonName != "n4" || len(cert.Subject.Organization) != 0 || len(cert.DNSNames) != 0 || !a.tls.PublicKey.Equal(cert.PublicKey) {
		t.Errorf("certificate took more from the request than its key: %v %v", cert.Subject, cert.DNSNames)
	}
	if !cert.NotAfter.Equal(start.Add(time.Hour)) || !cert.NotBefore.Equal(start.Add(-backdate)) {
		t.Errorf("certificate is valid from %s to %s", cert.NotBefore, cert.NotAfter)
	}
	pin := SPKIPin(cert)
	if entry.Serial != cert.SerialNumber.String() || entry.ID != "n4" || entry.Identity != a.Identity || entry.Pin != hex.EncodeToString(pin[:]) {
		t.Errorf("entry is %+v", entry)
	}
	log, err := w.ca.List()
	if err != nil || len(log) != 4 || log[3] != entry || log[0].Serial == log[1].Serial {
		t.Errorf("log is %+v, %v", log, err)
	}
	_, err = VerifyPeer(w.roster, w.ca.Cert, nil, start, [][]byte{cert.Raw})
	refused(t, "enrolled, but not on the roster", err, CodeOffRoster)
}

// A log from which a line was taken, or in which one was changed or moved, is refused from that line on.
func TestChangedLogIsRefused(t *testing.T) {
	w := newTown(t)
	path := filepath.Join(w.ca.dir, fileLog)
	whole, err := os.ReadFile(path)
	must(t, err)
	line := strings.SplitAfter(string(whole), "\n")
	for what, text := range map[string]string{
		"first line taken":    line[1] + line[2],
		"middle line taken":   line[0] + line[2],
		"lines swapped":       line[0] + line[2] + line[1],
		"line changed":        strings.Replace(string(whole), `"id":"n1"`, `"id":"n7"`, 1),
		"line doubled":        line[0] + line[0] + line[1] + line[2],
		"line cut":            string(whole[:len(whole)-20]),
		"line that is noise":  string(whole) + "noise\n",
		"empty line":          line[0] + "\n" + line[1] + line[2],
		"line without a link": string(whole) + `{"serial":"1","id":"n9"}` + "\n",
	} {
		must(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := w.ca.List()
		refused(t, what, err, CodeMalformed)
	}
	must(t, os.Remove(path))
	if none, err := w.ca.List(); err != nil || none != nil {
		t.Errorf("no log: %v, %v", none, err)
	}
}

func TestNamesAndFilesOfNewKeys(t *testing.T) {
	for name, valid := range map[string]bool{"a": true, "n-1": true, strings.Repeat("a", 63): true, "": false, "-a": false, "a-": false, "A": false, "a.b": false,
		"a/b": false, "a b": false, "a\n": false, "é": false, strings.Repeat("a", 64): false} {
		if ValidName(name) != valid {
			t.Errorf("name %q: valid is %t", name, !valid)
		}
	}
	dir := filepath.Join(t.TempDir(), "d")
	_, err := CreateCA(dir, "Alpha", start)
	refused(t, "cluster name in upper case", err, CodeRequest)
	_, err = NewIdentity(dir, "alpha", "n_1")
	refused(t, "node name with an underscore", err, CodeRequest)
	if _, err := os.Stat(dir); err == nil {
		t.Error("a refused name left a directory")
	}
	w := newTown(t)
	if _, err := CreateCA(w.ca.dir, "alpha", start); err == nil {
		t.Error("an authority was replaced")
	}
	if _, err := NewIdentity(w.dirs["n1"], "alpha", "n1"); err == nil {
		t.Error("an identity was replaced")
	}
	for _, d := range []string{w.ca.dir, w.dirs["n1"]} {
		info, err := os.Stat(d)
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("directory has mode %v, %v", info.Mode(), err)
		}
		left, err := filepath.Glob(filepath.Join(d, ".new-*"))
		if err != nil || len(left) != 0 {
			t.Errorf("temporary files stay: %v, %v", left, err)
		}
	}
	var stored Request
	data, err := os.ReadFile(filepath.Join(w.dirs["n1"], fileRequest))
	must(t, err)
	must(t, json.Unmarshal(data, &stored))
	if _, err := w.ca.checkRequest(stored, time.Hour); err != nil {
		t.Errorf("the request on disk is not accepted: %v", err)
	}
}
