package node

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func discard() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// home is the directory of a node that would start: /roster.json, /node-1/… and the rest.
func home(t *testing.T, age time.Duration) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := enrol(dir, age); err != nil {
		t.Fatal(err)
	}
	if _, err := furnish(dir, "node-1", "http://127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	return dir
}

// open loads a node's settings and opens it; what opened is closed again.
func open(t *testing.T, dir string) error {
	t.Helper()
	config, err := LoadConfig(filepath.Join(dir, "node-1", "node.toml"))
	if err != nil {
		return err
	}
	n, err := New(t.Context(), config, discard())
	if err != nil {
		return err
	}
	return n.Close()
}

func TestGoodConfiguration(t *testing.T) {
	dir := home(t, 0)
	for range 2 { // the first start makes the stores, the second finds them
		if err := open(t, dir); err != nil {
			t.Fatal(err)
		}
	}
	c, err := LoadConfig(filepath.Join(dir, "node-1", "node.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Wallet.MaxFeeSats != 1_000_000 || c.Wallet.ConfirmTarget != 6 || time.Duration(c.Chain.Poll) != 100*time.Millisecond || c.Data != filepath.Join(dir, "node-1", "data") {
		t.Errorf("defaults or paths are not as documented: %+v", c)
	}
	for _, name := range []string{"keystore.db", "records.db"} {
		if info, err := os.Stat(filepath.Join(c.Data, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

// Every bad settings file is refused where it is read, in words that name the setting.
func TestBadSettings(t *testing.T) {
	dir := home(t, 0)
	path := filepath.Join(dir, "node-1", "node.toml")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	listen := lineOf(t, string(good), "listen = ")
	for name, c := range map[string]struct{ old, replacement, want string }{
		"unknown setting":        {"[road]", "[road]\nspeed = 1", "road.speed"},
		"unknown table":          {"[road]", "[rode]", "rode"},
		"not TOML":               {"[road]", "[road", "read configuration"},
		"setting twice":          {"data = ", "node = \"x\"\ndata = ", "read configuration"},
		"no node":                {"node = \"node-1\"", "", "node is missing"},
		"no data":                {"data = \"data\"", "", "data is missing"},
		"no roster":              {"roster = \"../roster.json\"", "", "roster is missing"},
		"no identity":            {"identity = \"identity\"", "", "identity is missing"},
		"no token":               {"token_file = \"token\"", "", "api.token_file is missing"},
		"no passphrase":          {"passphrase_file = \"passphrase\"", "", "keystore.passphrase_file is missing"},
		"no network":             {"network = \"regtest\"", "", "chain.network is missing"},
		"unknown network":        {"\"regtest\"", "\"moonnet\"", "moonnet"},
		"no chain source":        {"esplora = \"http://127.0.0.1:1\"", "", "chain.esplora is missing"},
		"chain source no URL":    {"\"http://127.0.0.1:1\"", "\"127.0.0.1\"", "chain.esplora"},
		"chain source by file":   {"\"http://127.0.0.1:1\"", "\"file:///etc\"", "chain.esplora"},
		"api for everybody":      {listen, "listen = \"0.0.0.0:8080\"", "api.listen"},
		"api without a port":     {listen, "listen = \"127.0.0.1\"", "api.listen"},
		"api on no address":      {listen, "listen = \"nonsense\"", "api.listen"},
		"negative duration":      {"\"100ms\"", "\"-1s\"", "positive duration"},
		"no duration":            {"\"100ms\"", "\"soon\"", "positive duration"},
		"number for a duration":  {"\"100ms\"", "5", "read configuration"},
		"intents live for years": {"\"60s\"", "\"9000h\"", "road.intent_lifetime"},
		"negative fee cap":       {"[road]", "[wallet]\nmax_fee_sats = -1\n[road]", "negative"},
		"negative target":        {"[road]", "[wallet]\nconfirm_target_blocks = -1\n[road]", "negative"},
		"text for a number":      {"[road]", "[wallet]\nmax_fee_sats = \"many\"\n[road]", "read configuration"},
		"huge":                   {"[road]", strings.Repeat("#\n", maxConfig) + "[road]", "too large"},
	} {
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
		edit(t, path, c.old, c.replacement)
		if err := open(t, dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want a word about %q", name, err, c.want)
		}
	}
	if _, err := LoadConfig(filepath.Join(dir, "nowhere.toml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := LoadConfig(dir); err == nil {
		t.Error("a directory was read as a file")
	}
}

func lineOf(t *testing.T, text, prefix string) string {
	t.Helper()
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, prefix) {
			return line
		}
	}
	t.Fatalf("no line begins with %q", prefix)
	return ""
}

// Every bad file that the settings name is refused before the node listens to anything, and nothing panics.
func TestBadFiles(t *testing.T) {
	chmod := func(name string, mode os.FileMode) func(*testing.T, string) {
		return func(t *testing.T, dir string) { must(t, os.Chmod(filepath.Join(dir, "node-1", name), mode)) }
	}
	write := func(name, text string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "node-1", name), []byte(text), 0o600))
		}
	}
	remove := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "node-1", name))) }
	}
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string)
		want  string
	}{
		"token that others can read":      {chmod("token", 0o644), "api token"},
		"no token file":                   {remove("token"), "api token"},
		"TLS key that others can read":    {chmod("identity/tls.key", 0o640), "FILE_MODE"},
		"signing key that others can use": {chmod("identity/identity.key", 0o602), "FILE_MODE"},
		"no signing key":                  {remove("identity/identity.key"), "identity.key"},
		"a signing key that is none":      {write("identity/identity.key", "key"), "CERT_MALFORMED"},
		"no certificate":                  {remove("identity/node.crt"), "node.crt"},
		"a certificate that is none":      {write("identity/node.crt", "certificate"), "CERT_MALFORMED"},
		"passphrase that others can read": {chmod("passphrase", 0o604), "KEYSTORE_MODE"},
		"no passphrase file":              {remove("passphrase"), "passphrase"},
		"passphrase too short":            {write("passphrase", "short\n"), "KEYSTORE_PASSPHRASE"},
		"wrong passphrase":                {write("passphrase", "not the one of before\n"), "KEYSTORE_PASSPHRASE"},
		"keystore that others can read":   {chmod("data/keystore.db", 0o644), "KEYSTORE_MODE"},
		"keystore that is none":           {write("data/keystore.db", strings.Repeat("garbage ", 4096)), "KEYSTORE_CORRUPT"},
		"keystore cut short":              {cutShort, "KEYSTORE_"},
		"data directory open to others":   {chmod("data", 0o755), "KEYSTORE_MODE"},
		"records that are none":           {write("data/records.db", strings.Repeat("garbage ", 4096)), "records"},
		"data is a file":                  {dataIsFile, "data"},
		"no roster":                       {func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "roster.json"))) }, "roster"},
		"roster without the node":         {roster("\"id\": \"node-1\"", "\"id\": \"node-9\""), "node-1"},
		"roster with another key":         {otherKey, "identity key"},
		"roster with another pin":         {otherPin, "CERT_PIN"},
		"threshold no majority":           {roster("\"threshold\": 4", "\"threshold\": 2"), "ROSTER_INVALID"},
		"threshold above the nodes":       {roster("\"threshold\": 4", "\"threshold\": 6"), "ROSTER_INVALID"},
		"unknown field in the roster":     {roster("\"threshold\"", "\"friends\": 1, \"threshold\""), "ROSTER_INVALID"},
		"roster of another cluster":       {roster(testCluster, "elsewhere"), "not on the roster"},
		"identity of another node":        {otherIdentity, "identity is another node's"},
		"chain source with a user": {func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "node-1", "node.toml"), "http://127", "http://user:word@127")
		}, "chain source"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := home(t, 0)
			if err := open(t, dir); err != nil {
				t.Fatal(err)
			}
			c.spoil(t, dir)
			if err := open(t, dir); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want a word about %q", err, c.want)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func roster(old, replacement string) func(*testing.T, string) {
	return func(t *testing.T, dir string) { edit(t, filepath.Join(dir, "roster.json"), old, replacement) }
}

func cutShort(t *testing.T, dir string) {
	must(t, os.Truncate(filepath.Join(dir, "node-1", "data", "keystore.db"), 5000))
}

func dataIsFile(t *testing.T, dir string) {
	data := filepath.Join(dir, "node-1", "data")
	must(t, os.RemoveAll(data))
	must(t, os.WriteFile(data, nil, 0o600))
}

// swap exchanges one field of node-1's and node-2's roster entries.
func swap(t *testing.T, dir, field string) {
	path := filepath.Join(dir, "roster.json")
	raw, err := os.ReadFile(path)
	must(t, err)
	var values []string
	for line := range strings.SplitSeq(string(raw), "\n") {
		if _, v, ok := strings.Cut(line, "\""+field+"\": "); ok {
			values = append(values, strings.Trim(v, "\","))
		}
	}
	edit(t, path, values[0], "first")
	edit(t, path, values[1], values[0])
	edit(t, path, "first", values[1])
}

func otherKey(t *testing.T, dir string) { swap(t, dir, "identity_key") }
func otherPin(t *testing.T, dir string) { swap(t, dir, "spki_sha256") }

func otherIdentity(t *testing.T, dir string) {
	edit(t, filepath.Join(dir, "node-1", "node.toml"), "\"identity\"", "\"../node-2/identity\"")
}

func TestExpiredCertificate(t *testing.T) {
	if err := open(t, home(t, 31*24*time.Hour)); err == nil || !strings.Contains(err.Error(), "CERT_EXPIRED") {
		t.Errorf("%v", err)
	}
	if err := open(t, home(t, -time.Hour)); err == nil || !strings.Contains(err.Error(), "CERT_NOT_YET") {
		t.Errorf("%v", err)
	}
}

// A keystore that another process holds, and addresses that are taken or none, end the start with a clear error.
func TestTakenAddresses(t *testing.T) {
	dir := home(t, 0)
	path := filepath.Join(dir, "node-1", "node.toml")
	config, err := LoadConfig(path)
	must(t, err)
	tcp, err := net.Listen("tcp", config.API.Listen)
	must(t, err)
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	defer udp.Close()
	free, err := freePort("tcp")
	must(t, err)
	for name, c := range map[string]struct{ api, mesh, want string }{
		"api port taken":       {config.API.Listen, "", "api: "},
		"mesh port taken":      {free, udp.LocalAddr().String(), "mesh: "},
		"mesh address is none": {free, "nonsense", "mesh address"},
		"mesh port is none":    {free, "127.0.0.1:99999", "mesh address"},
		"mesh port by no name": {free, "127.0.0.1:nonsense", "mesh address"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		config.API.Listen, config.Listen = c.api, c.mesh
		n, err := New(ctx, config, discard())
		must(t, err)
		if _, err := New(ctx, config, discard()); err == nil || !strings.Contains(err.Error(), "KEYSTORE_BUSY") {
			t.Errorf("a second node opened the same files: %v", err)
		}
		if err := n.Run(ctx); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want a word about %q", name, err, c.want)
		}
		must(t, n.Close())
		cancel()
	}
}

// A token that is too short to be a secret is refused at the start, not at the first request.
func TestShortToken(t *testing.T) {
	dir := home(t, 0)
	must(t, os.WriteFile(filepath.Join(dir, "node-1", "token"), []byte("short\n"), 0o600))
	config, err := LoadConfig(filepath.Join(dir, "node-1", "node.toml"))
	must(t, err)
	n, err := New(t.Context(), config, discard())
	must(t, err)
	defer n.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := n.Run(ctx); err == nil || !strings.Contains(err.Error(), "token") {
		t.Errorf("%v", err)
	}
}
