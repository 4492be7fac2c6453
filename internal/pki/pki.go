// Package pki is the cluster's own directory of keys: an offline certificate authority, the nodes' identities, and the
// roster that says who the nodes are.
//
// A node has two keys. Its TLS key stands in a short-lived certificate and secures links; its Ed25519 identity key signs
// envelopes, ballots and receipts. Trust is in the roster: it pins both, the TLS key by the digest of its public key, so a
// certificate can be renewed without a new roster, and a certificate that the authority should not have issued opens
// nothing.
package pki

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"chancery.dev/internal/secret"
)

// Reason codes.
const (
	CodeExpired   = "CERT_EXPIRED"
	CodeNotYet    = "CERT_NOT_YET"
	CodeUntrusted = "CERT_UNTRUSTED"
	CodeSAN       = "CERT_SAN"
	CodePin       = "CERT_PIN"
	CodeOffRoster = "CERT_OFF_ROSTER"
	CodeUsage     = "CERT_EKU"
	CodeRevoked   = "CERT_REVOKED"
	CodeMalformed = "CERT_MALFORMED"
	CodeRoster    = "ROSTER_INVALID"
	CodeFileMode  = "FILE_MODE"
	CodeRequest   = "ENROLMENT_INVALID"
)

// Error is a refusal with a reason code.
type Error struct {
	Code string
	Err  error
}

// Error is the code and the cause.
func (e *Error) Error() string { return e.Code + ": " + e.Err.Error() }

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// ReasonCode is the code.
func (e *Error) ReasonCode() string { return e.Code }

func refuse(code, format string, args ...any) error { return &Error{code, fmt.Errorf(format, args...)} }

// NodeID is a node's name: lower-case letters, digits and hyphens.
type NodeID string

var nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// ValidName says whether s can name a node or a cluster.
func ValidName(s string) bool { return nameForm.MatchString(s) }

// URI is the exact URI SAN of a node's certificate.
func URI(cluster string, id NodeID) *url.URL {
	return &url.URL{Scheme: "chancery", Host: cluster, Path: "/" + string(id)}
}

// Lifetimes. A leaf is short-lived, so that a lost node key stops working by itself.
const (
	RootLifetime    = 10 * 365 * 24 * time.Hour
	MaxLeafLifetime = 30 * 24 * time.Hour
	backdate        = 5 * time.Minute // for clocks that are a little behind
)

// Identity is a node's own keys and certificate.
type Identity struct {
	_       [0]func()
	ID      NodeID
	Cluster string
	Chain   [][]byte // DER, leaf first
	tls     *secret.Bytes
	sign    ed25519.PrivateKey
}

// Sign signs with the identity key. The caller separates domains.
func (i *Identity) Sign(message []byte) []byte { return ed25519.Sign(i.sign, message) }

// PublicKey is the identity key's public half.
func (i *Identity) PublicKey() ed25519.PublicKey { return i.sign.Public().(ed25519.PublicKey) }

// Close erases the private keys.
func (i *Identity) Close() {
	i.tls.Erase()
	secret.Wipe(i.sign)
}

// String prints no key.
func (i *Identity) String() string { return "identity of " + string(i.ID) }

// SPKIPin is the digest that the roster pins: SHA-256 over the DER of the subject public key info.
func SPKIPin(cert *x509.Certificate) [32]byte { return sha256.Sum256(cert.RawSubjectPublicKeyInfo) }

// VerifyPeer checks a peer's certificate chain, leaf first, and returns its roster entry: chain to the cluster's root,
// validity now, key usages, exactly one URI SAN, which names a node of the roster, the pin of its key, and no revocation.
func VerifyPeer(r *Roster, root *x509.Certificate, revoked *Revocations, now time.Time, chain [][]byte) (Node, error) {
	if len(chain) == 0 || len(chain) > 3 {
		return Node{}, refuse(CodeMalformed, "chain has %d certificates", len(chain))
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return Node{}, refuse(CodeMalformed, "certificate: %w", err)
	}
	if now.After(leaf.NotAfter) {
		return Node{}, refuse(CodeExpired, "certificate ended at %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	if now.Before(leaf.NotBefore) {
		return Node{}, refuse(CodeNotYet, "certificate begins at %s", leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	if leaf.IsCA {
		return Node{}, refuse(CodeUsage, "certificate is an authority's")
	}
	if !hasUsage(leaf, x509.ExtKeyUsageClientAuth) || !hasUsage(leaf, x509.ExtKeyUsageServerAuth) || len(leaf.ExtKeyUsage) != 2 || len(leaf.UnknownExtKeyUsage) != 0 {
		return Node{}, refuse(CodeUsage, "certificate is not for exactly client and server authentication")
	}
	if leaf.KeyUsage != x509.KeyUsageDigitalSignature {
		return Node{}, refuse(CodeUsage, "certificate's key is not for exactly digital signatures")
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return Node{}, refuse(CodeUntrusted, "certificate does not chain to the cluster's root: %w", err)
	}
	return identify(r, revoked, leaf)
}

func hasUsage(c *x509.Certificate, usage x509.ExtKeyUsage) bool {
	for _, u := range c.ExtKeyUsage {
		if u == usage {
			return true
		}
	}
	return false
}

// identify finds the one roster entry that a trusted certificate is for.
func identify(r *Roster, revoked *Revocations, leaf *x509.Certificate) (Node, error) {
	if len(leaf.URIs) != 1 || len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.EmailAddresses) != 0 {
		return Node{}, refuse(CodeSAN, "certificate must have exactly one URI name")
	}
	if revoked.Has(leaf.SerialNumber.String()) {
		return Node{}, refuse(CodeRevoked, "certificate is revoked")
	}
	for _, n := range r.Nodes {
		if leaf.URIs[0].String() != URI(r.Cluster, n.ID).String() {
			continue
		}
		if SPKIPin(leaf) != n.Pin {
			return Node{}, refuse(CodePin, "certificate of %s has another key than the roster pins", n.ID)
		}
		return n, nil
	}
	return Node{}, refuse(CodeOffRoster, "certificate names nobody on the roster")
}

// Revocations is the set of revoked serial numbers. A nil set is empty.
type Revocations struct{ Serials map[string]bool }

// Has says whether a serial number, in decimal, is revoked.
func (r *Revocations) Has(serial string) bool { return r != nil && r.Serials[serial] }

// checkFile refuses a secret file that others can use, that is a link or that belongs to somebody else.
func checkFile(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 || ok && int(stat.Uid) != os.Geteuid() {
		return refuse(CodeFileMode, "%s must be a regular file of this user with mode 0600", filepath.Base(path))
	}
	return nil
}

// writeFile writes a new file durably: a temporary one, synced, renamed, and the directory synced. Nothing is replaced.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s is there already", filepath.Base(path))
	}
	return replaceFile(path, data, mode)
}

func replaceFile(path string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", filepath.Base(path), err), os.Remove(f.Name()))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func hex32(s string) ([32]byte, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 32 || hex.EncodeToString(b) != s {
		return [32]byte{}, errors.New("want 64 lower-case hex digits")
	}
	return [32]byte(b), nil
}
