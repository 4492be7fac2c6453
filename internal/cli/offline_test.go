package cli

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"chancery.dev/internal/pki"
)

// office is a directory with an authority, five identities and a roster, all made by command lines.
type office struct {
	dir     string
	members []string // arguments of roster make
}

func (o office) path(name ...string) string {
	return filepath.Join(append([]string{o.dir}, name...)...)
}

func (o office) node(n int) string { return fmt.Sprintf("node-%d", n) }

// noNode is an environment that no offline command may need.
var noNode Environment

// cluster makes an office by real command lines and returns what they printed, in the order of the work.
func cluster(t *testing.T, name string, extra ...string) (office, string) {
	t.Helper()
	o, out := office{dir: t.TempDir()}, ""
	do := func(args ...string) { out += works(t, noNode, append(args, extra...)...) }
	do("ca", "init", "--dir", o.path("ca"), "--cluster", name)
	do("ca", "list", "--dir", o.path("ca"))
	for n := 1; n <= 5; n++ {
		do("identity", "init", "--dir", o.path(o.node(n)), "--cluster", name, "--node", o.node(n))
		do("ca", "issue", o.path(o.node(n), "request.json"), "--dir", o.path("ca"), "--out", o.path(o.node(n)))
		o.members = append(o.members, fmt.Sprintf("%s=10.0.0.%d:9000", o.node(n), n))
	}
	do("ca", "list", "--dir", o.path("ca"))
	do(append([]string{"roster", "make", "--ca", o.path("ca"), "--out", o.path("roster.json")}, o.members...)...)
	do("roster", "check", o.path("roster.json"))
	o.noSecret(t, out)
	return o, out
}

// noSecret checks that nothing printed is part of a private key.
func (o office) noSecret(t *testing.T, out string) {
	t.Helper()
	if strings.Contains(out, "PRIVATE") {
		t.Error("a private key is printed")
	}
	keys, _ := filepath.Glob(o.path("*", "*.key"))
	for _, path := range keys {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(raw)
		if block == nil {
			continue // a test broke it
		}
		for i := 16; i+16 <= len(block.Bytes); i += 4 {
			if part := block.Bytes[i : i+8]; strings.Contains(out, hex.EncodeToString(part)) && !isPublic(t, o, part) {
				t.Errorf("bytes of %s are printed", path)
			}
		}
	}
}

// isPublic says whether bytes of a key file stand in the certificates too: a PKCS #8 file of P-256 holds the public key.
func isPublic(t *testing.T, o office, part []byte) bool {
	t.Helper()
	certs, _ := filepath.Glob(o.path("*", "*.crt"))
	for _, path := range certs {
		cert, err := pki.LoadCertificate(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(cert.Raw, part) {
			return true
		}
	}
	return false
}

// What differs from run to run.
var changing = []struct {
	form *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`-----BEGIN CERTIFICATE-----(\\n|[^-])+-----END CERTIFICATE-----`), "CERTIFICATE"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "HEX"},
	{regexp.MustCompile(`\b[0-9]{30,40}\b`), "SERIAL"},
	{regexp.MustCompile(`20[0-9-]{8}T[0-9:]{8}Z`), "TIME"},
	{regexp.MustCompile(` {2,}(HEX|SERIAL)`), "  $1"},
}

func stable(o office, out string) string {
	out = strings.ReplaceAll(out, o.dir, "DIR")
	for _, c := range changing {
		out = c.form.ReplaceAllString(out, c.as)
	}
	return out
}

func TestOfflineTranscripts(t *testing.T) {
	o, out := cluster(t, "treasury")
	transcript(t, "offline-table.txt", stable(o, out))
	o, out = cluster(t, "treasury", "--output", "json")
	transcript(t, "offline-json.txt", stable(o, out))
	d, values := json.NewDecoder(strings.NewReader(out)), 0
	for d.More() {
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		values++
	}
	if values != 15 {
		t.Errorf("%d JSON values", values)
	}
}

// The files that the commands leave are those that a node starts from: each certificate opens the roster entry of its
// node, on every node, and only while it is valid and under this authority.
func TestOfflineFilesWork(t *testing.T) {
	o, _ := cluster(t, "treasury")
	other, _ := cluster(t, "treasury")
	roster, err := pki.LoadRoster(o.path("roster.json"))
	if err != nil {
		t.Fatal(err)
	}
	if roster.Cluster != "treasury" || roster.Epoch != 1 || roster.Threshold != 4 || len(roster.Nodes) != 5 {
		t.Errorf("roster is %+v", roster)
	}
	foreign, err := pki.LoadCertificate(other.path("ca", "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 5; n++ {
		identity, root, err := pki.LoadIdentity(o.path(o.node(n)))
		if err != nil {
			t.Fatal(err)
		}
		entry, err := pki.VerifyPeer(roster, root, nil, time.Now(), identity.Chain)
		if err != nil || int(entry.Party) != n || string(entry.ID) != o.node(n) || entry.Address != fmt.Sprintf("10.0.0.%d:9000", n) || !identity.PublicKey().Equal(entry.PublicKey()) {
			t.Errorf("node %d is %+v: %v", n, entry, err)
		}
		wantCode(t, pki.CodeExpired, verify(roster, identity, root, 31*24*time.Hour))
		wantCode(t, pki.CodeNotYet, verify(roster, identity, root, -time.Hour))
		wantCode(t, pki.CodeUntrusted, verify(roster, identity, foreign, 0))
		identity.Close()
	}
	stranger, root, err := pki.LoadIdentity(other.path("node-1"))
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	wantCode(t, pki.CodePin, verify(roster, stranger, root, 0))
	for path, mode := range map[string]os.FileMode{"ca": 0o700, "ca/ca.key": 0o600, "ca/issued.jsonl": 0o600, "ca/ca.crt": 0o644, "node-1": 0o700, "node-1/tls.key": 0o600,
		"node-1/identity.key": 0o600, "node-1/node.crt": 0o644, "node-1/ca.crt": 0o644, "node-1/request.json": 0o644} {
		info, err := os.Stat(o.path(path))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
	}
}

// verify is what a node does with a peer's certificate, some time from now.
func verify(r *pki.Roster, i *pki.Identity, root *x509.Certificate, from time.Duration) error {
	_, err := pki.VerifyPeer(r, root, nil, time.Now().Add(from), i.Chain)
	return err
}

func wantCode(t *testing.T, code string, err error) {
	t.Helper()
	var coded interface{ ReasonCode() string }
	if !errors.As(err, &coded) || coded.ReasonCode() != code {
		t.Errorf("want %s, have %v", code, err)
	}
}

func TestOfflineMistakes(t *testing.T) {
	o, _ := cluster(t, "treasury")
	ca, request := o.path("ca"), o.path("node-1", "request.json")
	fresh := func(name string) string { return filepath.Join(t.TempDir(), name) }
	roster := func(args ...string) []string {
		return append([]string{"roster", "make", "--ca", ca, "--out", fresh("r.json")}, args...)
	}
	for _, c := range []struct {
		code int
		text string
		args []string
	}{
		{ExitUsage, "--cluster is needed", []string{"ca", "init", "--dir", fresh("ca")}},
		{ExitFailed, pki.CodeRequest, []string{"ca", "init", "--dir", fresh("ca"), "--cluster", "Treasury!"}},
		{ExitFailed, "there already", []string{"ca", "init", "--dir", ca, "--cluster", "treasury"}},
		{ExitUsage, "want 0 arguments", []string{"ca", "init", "treasury"}},
		{ExitUsage, "--cluster and --node are needed", []string{"identity", "init", "--dir", fresh("n")}},
		{ExitUsage, "--cluster and --node are needed", []string{"identity", "init", "--dir", fresh("n"), "--node", "node-1"}},
		{ExitUsage, "--cluster and --node are needed", []string{"identity", "init", "--dir", fresh("n"), "--cluster", "treasury"}},
		{ExitFailed, pki.CodeRequest, []string{"identity", "init", "--dir", fresh("n"), "--cluster", "treasury", "--node", "Node 1"}},
		{ExitFailed, pki.CodeRequest, []string{"identity", "init", "--dir", fresh("n"), "--cluster", "treasury", "--node", "../node"}},
		{ExitFailed, "there already", []string{"identity", "init", "--dir", o.path("node-1"), "--cluster", "treasury", "--node", "node-1"}},
		{ExitUsage, "want 1 arguments", []string{"ca", "issue", "--dir", ca}},
		{ExitFailed, "no such file", []string{"ca", "issue", fresh("none"), "--dir", ca}},
		{ExitFailed, "no such file", []string{"ca", "issue", request, "--dir", fresh("none")}},
		{ExitFailed, "no such file", []string{"ca", "list", "--dir", fresh("none")}},
		{ExitUsage, "--days must be from 1 to 30", []string{"ca", "issue", request, "--dir", ca, "--days", "0"}},
		{ExitUsage, "--days must be from 1 to 30", []string{"ca", "issue", request, "--dir", ca, "--days", "-1"}},
		{ExitUsage, "--days must be from 1 to 30", []string{"ca", "issue", request, "--dir", ca, "--days", "31"}},
		{ExitUsage, "--days must be from 1 to 30", []string{"ca", "issue", request, "--dir", ca, "--days", "213504"}}, // as nanoseconds, this is 17 minutes
		{ExitUsage, "invalid argument", []string{"ca", "issue", request, "--dir", ca, "--days", "99999999999999999999"}},
		{ExitFailed, "no such file", []string{"roster", "make", "--ca", fresh("none"), "a=b:1"}},
		{ExitUsage, "2 to 64 nodes", roster()},
		{ExitUsage, "2 to 64 nodes", roster(o.members[0])},
		{ExitUsage, "is not node=host:port", roster(append([]string{"node-1"}, o.members[1:]...)...)},
		{ExitUsage, "issued nothing to \"node-9\"", roster(append([]string{"node-9=10.0.0.9:9000"}, o.members...)...)},
		{ExitUsage, "id node-1 stands twice", roster(append([]string{"node-1=10.0.0.9:9000"}, o.members...)...)},
		{ExitUsage, "address 10.0.0.1:9000 stands twice", roster(append([]string{"node-2=10.0.0.1:9000"}, append(o.members[:1:1], o.members[2:]...)...)...)},
		{ExitUsage, "must be host:port", roster(append([]string{"node-1=10.0.0.1"}, o.members[1:]...)...)},
		{ExitUsage, "must be host:port", roster(append([]string{"node-1=:9000"}, o.members[1:]...)...)},
		{ExitUsage, "threshold must be a majority", roster(append([]string{"--threshold", "2"}, o.members...)...)},
		{ExitUsage, "threshold must be a majority", roster(append([]string{"--threshold", "6"}, o.members...)...)},
		{ExitUsage, "invalid argument", roster(append([]string{"--epoch", "-1"}, o.members...)...)},
		{ExitUsage, "want 1 arguments", []string{"roster", "check"}},
		{ExitFailed, "no such file", []string{"roster", "check", fresh("none")}},
	} {
		fails(t, noNode, c.code, c.text, c.args...)
	}
	if list := works(t, noNode, "ca", "list", "--dir", ca); strings.Count(list, "\n") != 6 {
		t.Errorf("a refused request left its mark:\n%s", list)
	}
}

// Requests that an authority must not sign.
func TestRequestsRefused(t *testing.T) {
	o, _ := cluster(t, "treasury")
	raw, err := os.ReadFile(o.path("node-1", "request.json"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(o.path("node-2", "request.json"))
	if err != nil {
		t.Fatal(err)
	}
	var one, two map[string]any
	if err := errors.Join(json.Unmarshal(raw, &one), json.Unmarshal(second, &two)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "request.json")
	issue := func(text []byte, code string) {
		t.Helper()
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		fails(t, noNode, ExitFailed, code, "ca", "issue", path, "--dir", o.path("ca"), "--out", t.TempDir())
	}
	for field, values := range map[string][]any{
		"cluster": {"other", "", nil}, "id": {"node-2", "", "NODE-1", nil}, "identity_key": {two["identity_key"], "", "00", strings.ToUpper(one["identity_key"].(string)), nil},
		"csr": {two["csr"], "", "AAAA", nil}, "proof": {two["proof"], "", "AAAA", nil},
	} {
		for _, v := range values {
			changed := map[string]any{}
			for k, have := range one {
				changed[k] = have
			}
			changed[field] = v
			text, err := json.Marshal(changed)
			if err != nil {
				t.Fatal(err)
			}
			issue(text, pki.CodeRequest)
		}
	}
	for _, text := range []string{"", "x", "[]", "7", `{"csr":7}`, string(raw) + "x"} {
		issue([]byte(text), "read request")
	}
	for _, text := range []string{"null", "{}"} {
		issue([]byte(text), pki.CodeRequest)
	}
}

// Every way in which a roster file can have been changed: it is refused, or it is another roster, with another digest.
func TestTamperedRosters(t *testing.T) {
	o, _ := cluster(t, "treasury")
	raw, err := os.ReadFile(o.path("roster.json"))
	if err != nil {
		t.Fatal(err)
	}
	good := works(t, noNode, "roster", "check", o.path("roster.json"))
	path := filepath.Join(t.TempDir(), "roster.json")
	check := func(text string) result {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return run(t, noNode, "roster", "check", path)
	}
	text := string(raw)
	key := regexp.MustCompile(`"identity_key": "([0-9a-f]{64})"`).FindAllStringSubmatch(text, 2)
	for name, changed := range map[string]string{
		"duplicate party":    strings.Replace(text, `"party": 2`, `"party": 1`, 1),
		"party 0":            strings.Replace(text, `"party": 2`, `"party": 0`, 1),
		"party too large":    strings.Replace(text, `"party": 2`, `"party": 65536`, 1),
		"duplicate id":       strings.Replace(text, `"node-2"`, `"node-1"`, 1),
		"duplicate address":  strings.Replace(text, "10.0.0.2:", "10.0.0.1:", 1),
		"duplicate identity": strings.Replace(text, key[1][1], key[0][1], 1),
		"upper-case key":     strings.Replace(text, key[0][1], strings.ToUpper("a"+key[0][1][1:]), 1),
		"short key":          strings.Replace(text, key[0][1], key[0][1][2:], 1),
		"zero key":           strings.Replace(text, key[0][1], strings.Repeat("0", 64), 1),
		"id not valid":       strings.Replace(text, `"node-2"`, `"Node 2"`, 1),
		"cluster not valid":  strings.Replace(text, `"treasury"`, `"../treasury"`, 1),
		"low threshold":      strings.Replace(text, `"threshold": 4`, `"threshold": 2`, 1),
		"high threshold":     strings.Replace(text, `"threshold": 4`, `"threshold": 6`, 1),
		"unknown field":      strings.Replace(text, `"threshold": 4`, `"threshold": 4, "quorum": 1`, 1),
		"epoch as text":      strings.Replace(text, `"epoch": 1`, `"epoch": "1"`, 1),
		"bytes after it":     text + "{}",
		"cut off":            text[:len(text)/2],
		"empty":              "",
		"null":               "null",
		"too large":          text + strings.Repeat(" ", 64<<10),
	} {
		r := check(changed)
		if changed == text || r.code != ExitFailed || r.out != "" {
			t.Errorf("%s: exit code %d, %q", name, r.code, r.out)
		}
		wantCode(t, pki.CodeRoster, r.err)
	}
	for name, changed := range map[string]string{
		"epoch": strings.Replace(text, `"epoch": 1`, `"epoch": 2`, 1), "threshold": strings.Replace(text, `"threshold": 4`, `"threshold": 3`, 1),
		"address": strings.Replace(text, "10.0.0.2:", "10.6.6.6:", 1), "key": strings.Replace(text, key[0][1], strings.Repeat("5", 64), 1),
		"party": strings.Replace(text, `"party": 5`, `"party": 6`, 1), "name": strings.Replace(text, `"node-5"`, `"node-6"`, 1),
	} {
		if r := check(changed); r.err != nil || digest(r.out) == digest(good) || len(digest(r.out)) != 64 {
			t.Errorf("%s: %q, %v", name, r.out, r.err)
		}
	}
	if r := check(strings.ReplaceAll(text, "  ", "\t")); r.out != good {
		t.Errorf("white space changes a roster: %q", r.out)
	}
}

func digest(out string) string {
	_, d, _ := strings.Cut(strings.TrimSpace(out), "digest ")
	return d
}

// An authority's directory that was tampered with signs nothing and makes no roster.
func TestBrokenAuthorities(t *testing.T) {
	for name, c := range map[string]struct {
		file   string
		change func([]byte) []byte
		mode   os.FileMode
		code   string
	}{
		"log: entry changed":  {"issued.jsonl", func(b []byte) []byte { return bytes.Replace(b, []byte("node-1"), []byte("node-7"), 1) }, 0o600, pki.CodeMalformed},
		"log: first one gone": {"issued.jsonl", func(b []byte) []byte { return b[bytes.IndexByte(b, '\n')+1:] }, 0o600, pki.CodeMalformed},
		"log: not JSON":       {"issued.jsonl", func([]byte) []byte { return []byte("x\n") }, 0o600, pki.CodeMalformed},
		"root: not PEM":       {"ca.crt", func([]byte) []byte { return []byte("x") }, 0o600, pki.CodeMalformed},
		"root: twice":         {"ca.crt", func(b []byte) []byte { return append(b, b...) }, 0o600, pki.CodeMalformed},
		"key: not PEM":        {"ca.key", func([]byte) []byte { return []byte("x") }, 0o600, pki.CodeMalformed},
		"key: others read":    {"ca.key", func(b []byte) []byte { return b }, 0o644, pki.CodeFileMode},
		"key: of another":     {"ca.key", nil, 0o600, pki.CodeMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			o, _ := cluster(t, "treasury")
			path := o.path("ca", c.file)
			raw, err := os.ReadFile(path)
			if c.change == nil {
				other, _ := cluster(t, "treasury")
				raw, err = os.ReadFile(other.path("ca", c.file))
			} else {
				raw = c.change(raw)
			}
			if err = errors.Join(err, os.WriteFile(path, raw, 0o600), os.Chmod(path, c.mode)); err != nil {
				t.Fatal(err)
			}
			out := o.path("another.json")
			r := fails(t, noNode, ExitFailed, c.code, "ca", "list", "--dir", o.path("ca"))
			o.noSecret(t, fmt.Sprint(r.err))
			fails(t, noNode, ExitFailed, c.code, append([]string{"roster", "make", "--ca", o.path("ca"), "--out", out}, o.members...)...)
			if _, err := os.Stat(out); err == nil {
				t.Error("a roster was written")
			}
		})
	}
}

// A certificate can be renewed: the roster pins the key, and the same request gives the same roster.
func TestRenewal(t *testing.T) {
	o, _ := cluster(t, "treasury")
	before, err := os.ReadFile(o.path("roster.json"))
	if err != nil {
		t.Fatal(err)
	}
	certificate := works(t, noNode, "ca", "issue", o.path("node-1", "request.json"), "--dir", o.path("ca"), "--days", "1")
	if block, rest := pem.Decode([]byte(certificate)); block == nil || block.Type != "CERTIFICATE" || len(rest) != 0 {
		t.Errorf("prints %q", certificate)
	}
	works(t, noNode, append([]string{"roster", "make", "--ca", o.path("ca"), "--out", o.path("again.json")}, o.members...)...)
	after, err := os.ReadFile(o.path("again.json"))
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("renewal changes the roster: %v", err)
	}
	if list := works(t, noNode, "ca", "list", "--dir", o.path("ca")); strings.Count(list, "node-1 ") != 2 {
		t.Errorf("list is\n%s", list)
	}
}
