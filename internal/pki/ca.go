package pki

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"chancery.dev/internal/secret"
)

// Files of an authority's directory and of an identity's.
const (
	fileCACert   = "ca.crt"
	fileCAKey    = "ca.key"
	fileLog      = "issued.jsonl"
	fileRequest  = "request.json"
	fileTLSKey   = "tls.key"
	fileSignKey  = "identity.key"
	fileNodeCert = "node.crt"
)

// CA is the cluster's certificate authority. It is used offline.
type CA struct {
	_       [0]func()
	Cluster string
	Cert    *x509.Certificate
	key     *ecdsa.PrivateKey
	dir     string
}

func serial() *big.Int {
	var b [16]byte
	secret.Read(b[:])
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b[:])
}

// CreateCA makes an authority in a new directory: a self-signed P-256 root that may issue leaves only, and only for this
// cluster's names.
func CreateCA(dir, cluster string, now time.Time) (*CA, error) {
	if !ValidName(cluster) {
		return nil, refuse(CodeRequest, "cluster name must be lower-case letters, digits and hyphens")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make directory of the authority: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key of the authority: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Chancery " + cluster, Organization: []string{cluster}},
		NotBefore: now.Add(-backdate).UTC(), NotAfter: now.Add(RootLifetime).UTC(), IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, PermittedURIDomains: []string{cluster}, PermittedDNSDomainsCritical: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign root: %w", err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe(keyPEM)
	if err := errors.Join(writeFile(filepath.Join(dir, fileCAKey), keyPEM, 0o600), writeFile(filepath.Join(dir, fileCACert), encodeCert(der), 0o644)); err != nil {
		return nil, err
	}
	return OpenCA(dir)
}

// OpenCA loads an authority.
func OpenCA(dir string) (*CA, error) {
	cert, err := LoadCertificate(filepath.Join(dir, fileCACert))
	if err != nil {
		return nil, err
	}
	key, err := loadKey(filepath.Join(dir, fileCAKey))
	if err != nil {
		return nil, err
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok || !cert.IsCA || len(cert.Subject.Organization) != 1 || !signer.PublicKey.Equal(cert.PublicKey) {
		return nil, refuse(CodeMalformed, "files are not those of one authority")
	}
	return &CA{Cluster: cert.Subject.Organization[0], Cert: cert, key: signer, dir: dir}, nil
}

// Request is what a node asks the authority for. Proof is the identity key's signature over the rest, and CSR is signed by
// the TLS key, so both keys prove that the node has them.
type Request struct {
	Cluster  string `json:"cluster"`
	ID       NodeID `json:"id"`
	Identity string `json:"identity_key"`
	CSR      []byte `json:"csr"`
	Proof    []byte `json:"proof"`
}

func (r Request) digest() []byte {
	h := sha256.New()
	for _, part := range [][]byte{[]byte("chancery/enrolment/v1"), []byte(r.Cluster), []byte(r.ID), []byte(r.Identity), r.CSR} {
		sum := sha256.Sum256(part)
		h.Write(sum[:])
	}
	return h.Sum(nil)
}

// NewIdentity makes a node's keys in a new directory and returns its request for a certificate.
func NewIdentity(dir, cluster string, id NodeID) (Request, error) {
	if !ValidName(cluster) || !ValidName(string(id)) {
		return Request{}, refuse(CodeRequest, "names must be lower-case letters, digits and hyphens")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Request{}, fmt.Errorf("make directory of the identity: %w", err)
	}
	tlsKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Request{}, fmt.Errorf("make TLS key: %w", err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Request{}, fmt.Errorf("make identity key: %w", err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: string(id)}, URIs: []*url.URL{URI(cluster, id)}}, tlsKey)
	if err != nil {
		return Request{}, fmt.Errorf("make certificate request: %w", err)
	}
	r := Request{Cluster: cluster, ID: id, Identity: hex.EncodeToString(public), CSR: csr}
	r.Proof = ed25519.Sign(private, r.digest())
	if err := storeIdentity(dir, tlsKey, private, r); err != nil {
		return Request{}, err
	}
	return r, nil
}

func storeIdentity(dir string, tlsKey *ecdsa.PrivateKey, sign ed25519.PrivateKey, r Request) error {
	a, errA := encodeKey(tlsKey)
	b, errB := encodeKey(sign)
	c, errC := json.MarshalIndent(r, "", "  ")
	defer secret.Wipe(a)
	defer secret.Wipe(b)
	if err := errors.Join(errA, errB, errC); err != nil {
		return err
	}
	return errors.Join(writeFile(filepath.Join(dir, fileTLSKey), a, 0o600), writeFile(filepath.Join(dir, fileSignKey), b, 0o600),
		writeFile(filepath.Join(dir, fileRequest), c, 0o644))
}

// Issued is an entry of the issuance log; Previous links it to the line before.
type Issued struct {
	Serial   string    `json:"serial"`
	ID       NodeID    `json:"id"`
	Identity string    `json:"identity_key"`
	Pin      string    `json:"spki_sha256"`
	NotAfter time.Time `json:"not_after"`
	Previous string    `json:"previous"`
}

// Enroll checks a request and issues a leaf for at most MaxLeafLifetime. The entry is in the log before the certificate is
// returned.
func (c *CA) Enroll(r Request, lifetime time.Duration, now time.Time) ([]byte, Issued, error) {
	csr, err := c.checkRequest(r, lifetime)
	if err != nil {
		return nil, Issued{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: string(r.ID)}, URIs: []*url.URL{URI(c.Cluster, r.ID)},
		NotBefore: now.Add(-backdate).UTC(), NotAfter: now.Add(lifetime).UTC(), BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.Cert, csr.PublicKey, c.key)
	if err != nil {
		return nil, Issued{}, fmt.Errorf("sign certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, Issued{}, fmt.Errorf("read back certificate: %w", err)
	}
	pin := SPKIPin(cert)
	entry := Issued{Serial: cert.SerialNumber.String(), ID: r.ID, Identity: r.Identity, Pin: hex.EncodeToString(pin[:]), NotAfter: cert.NotAfter}
	if err := c.record(&entry); err != nil {
		return nil, Issued{}, err
	}
	return encodeCert(der), entry, nil
}

// checkRequest takes nothing from the CSR but its key: names come from the request, extensions from nobody. The CSR must
// name the node all the same, or another's CSR would pass as proof that this node has its key.
func (c *CA) checkRequest(r Request, lifetime time.Duration) (*x509.CertificateRequest, error) {
	if lifetime <= 0 || lifetime > MaxLeafLifetime {
		return nil, refuse(CodeRequest, "lifetime must be above zero and at most %s", MaxLeafLifetime)
	}
	if r.Cluster != c.Cluster || !ValidName(string(r.ID)) {
		return nil, refuse(CodeRequest, "request is for another cluster, or its node id is not valid")
	}
	identity, err := hex32(r.Identity)
	if err != nil {
		return nil, refuse(CodeRequest, "identity key: %w", err)
	}
	if !ed25519.Verify(identity[:], r.digest(), r.Proof) {
		return nil, refuse(CodeRequest, "identity key did not sign the request")
	}
	csr, err := x509.ParseCertificateRequest(r.CSR)
	if err != nil {
		return nil, refuse(CodeRequest, "certificate request: %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, refuse(CodeRequest, "TLS key did not sign the request")
	}
	if len(csr.URIs) != 1 || csr.URIs[0].String() != URI(c.Cluster, r.ID).String() {
		return nil, refuse(CodeRequest, "TLS key's request names another than this node")
	}
	key, ok := csr.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, refuse(CodeRequest, "TLS key must be P-256")
	}
	return csr, nil
}

// record appends to the issuance log, linked by hash.
func (c *CA) record(entry *Issued) error {
	path := filepath.Join(c.dir, fileLog)
	have, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read issuance log: %w", err)
	}
	sum := sha256.Sum256(have)
	entry.Previous = hex.EncodeToString(sum[:])
	line, err := json.Marshal(entry)
	if err != nil {
		return err
	}
	return replaceFile(path, append(append(have, line...), '\n'), 0o600)
}

// List reads the issuance log and checks every link.
func (c *CA) List() ([]Issued, error) {
	data, err := os.ReadFile(filepath.Join(c.dir, fileLog))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read issuance log: %w", err)
	}
	var out []Issued
	for at := 0; at < len(data); {
		sum := sha256.Sum256(data[:at])
		end := at
		for end < len(data) && data[end] != '\n' {
			end++
		}
		var e Issued
		if err := json.Unmarshal(data[at:end], &e); err != nil || e.Previous != hex.EncodeToString(sum[:]) {
			return nil, refuse(CodeMalformed, "issuance log: entry %d does not link to the ones before it", len(out)+1)
		}
		out = append(out, e)
		at = end + 1
	}
	return out, nil
}

// InstallCertificate puts an issued certificate and the root into an identity's directory.
func InstallCertificate(dir string, cert, root []byte) error {
	return errors.Join(replaceFile(filepath.Join(dir, fileNodeCert), cert, 0o644), replaceFile(filepath.Join(dir, fileCACert), root, 0o644))
}

// LoadIdentity loads a node's keys and certificate, and the cluster's root beside them.
func LoadIdentity(dir string) (*Identity, *x509.Certificate, error) {
	root, err := LoadCertificate(filepath.Join(dir, fileCACert))
	if err != nil {
		return nil, nil, err
	}
	cert, err := LoadCertificate(filepath.Join(dir, fileNodeCert))
	if err != nil {
		return nil, nil, err
	}
	tlsKey, errA := loadKey(filepath.Join(dir, fileTLSKey))
	signKey, errB := loadKey(filepath.Join(dir, fileSignKey))
	if err := errors.Join(errA, errB); err != nil {
		return nil, nil, err
	}
	ec, ok1 := tlsKey.(*ecdsa.PrivateKey)
	sign, ok2 := signKey.(ed25519.PrivateKey)
	if !ok1 || !ok2 || !ec.PublicKey.Equal(cert.PublicKey) || len(cert.URIs) != 1 {
		return nil, nil, refuse(CodeMalformed, "files are not those of one identity")
	}
	der, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		return nil, nil, fmt.Errorf("encode TLS key: %w", err)
	}
	return &Identity{ID: NodeID(cert.Subject.CommonName), Cluster: cert.URIs[0].Host, Chain: [][]byte{cert.Raw}, tls: secret.New(der), sign: sign}, root, nil
}

// Certificate is the identity as TLS wants it.
func (i *Identity) Certificate() (tls.Certificate, error) {
	key, err := x509.ParsePKCS8PrivateKey(i.tls.Reveal())
	if err != nil {
		return tls.Certificate{}, refuse(CodeMalformed, "TLS key: %w", err)
	}
	return tls.Certificate{Certificate: i.Chain, PrivateKey: key}, nil
}

// NotAfter is when the certificate ends.
func (i *Identity) NotAfter() (time.Time, error) {
	cert, err := x509.ParseCertificate(i.Chain[0])
	if err != nil {
		return time.Time{}, refuse(CodeMalformed, "certificate: %w", err)
	}
	return cert.NotAfter, nil
}

// LoadCertificate reads one PEM certificate.
func LoadCertificate(path string) (*x509.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	block, rest := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" || len(rest) != 0 {
		return nil, refuse(CodeMalformed, "%s is not one PEM certificate", filepath.Base(path))
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, refuse(CodeMalformed, "%s: %w", filepath.Base(path), err)
	}
	return cert, nil
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key any) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	defer secret.Wipe(der)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func loadKey(path string) (any, error) {
	if err := checkFile(path); err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	defer secret.Wipe(data)
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, refuse(CodeMalformed, "%s is not a PEM private key", filepath.Base(path))
	}
	defer secret.Wipe(block.Bytes)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, refuse(CodeMalformed, "%s: not a private key", filepath.Base(path))
	}
	return key, nil
}
