package node

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"chancery.dev/internal/exec"
	"chancery.dev/internal/wallet"
)

// Config is a node's settings file (TOML). Paths are relative to the file. Unknown keys are refused.
type Config struct {
	Node     string         `toml:"node"`     // this node's id on the roster
	Data     string         `toml:"data"`     // directory of keystore and records, 0700
	Roster   string         `toml:"roster"`   // roster file
	Identity string         `toml:"identity"` // directory of the node's keys and certificate
	Listen   string         `toml:"listen"`   // UDP address of the mesh; default: the roster's
	API      APIConfig      `toml:"api"`
	Keystore KeystoreConfig `toml:"keystore"`
	Chain    ChainConfig    `toml:"chain"`
	Wallet   WalletConfig   `toml:"wallet"`
	Road     RoadConfig     `toml:"road"`
	Presign  PresignConfig  `toml:"presign"`
	Log      LogConfig      `toml:"log"`
}

// APIConfig is the REST listener.
type APIConfig struct {
	Listen    string `toml:"listen"`     // loopback address; default 127.0.0.1:8080
	TokenFile string `toml:"token_file"` // 0600
}

// KeystoreConfig says where the passphrase is.
type KeystoreConfig struct {
	PassphraseFile string `toml:"passphrase_file"` // 0600
}

// ChainConfig is the chain source.
type ChainConfig struct {
	Network    string   `toml:"network"`     // mainnet, testnet, signet, regtest
	Esplora    string   `toml:"esplora"`     // base URL
	AllowHosts []string `toml:"allow_hosts"` // hosts that may be private addresses
	Poll       Duration `toml:"poll"`        // of confirmations; default 30s
}

// WalletConfig bounds fees.
type WalletConfig struct {
	MaxFeeSats    int64 `toml:"max_fee_sats"`             // of one transaction; default 1000000
	MaxFeeRate    int64 `toml:"max_fee_rate_sat_per_kvb"` // default 500000
	DefaultRate   int64 `toml:"default_fee_rate_sat_per_kvb"`
	ConfirmTarget int   `toml:"confirm_target_blocks"` // default 6
}

// RoadConfig holds the road's times.
type RoadConfig struct {
	IntentLifetime Duration `toml:"intent_lifetime"` // default 10m
	AttemptTimeout Duration `toml:"attempt_timeout"` // of one execution; default 20s
}

// PresignConfig is the pool of presignatures of an ECDSA key, for the set of signers that this node leads.
type PresignConfig struct {
	Target      int      `toml:"target"`       // how many; default 50; negative: no pool is kept
	RefillBelow int      `toml:"refill_below"` // default 20
	Batch       int      `toml:"batch"`        // how many at a time; default 10
	Every       Duration `toml:"every"`        // between looks at the pool; default 5m
}

// LogConfig is the log's level.
type LogConfig struct {
	Level string `toml:"level"` // debug, info, warn, error; default info
}

// Duration is a Go duration in quotes.
type Duration time.Duration

// UnmarshalText reads "30s".
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v <= 0 {
		return fmt.Errorf("%q is not a positive duration", text)
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes "30s".
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// maxConfig bounds the file in bytes.
const maxConfig = 64 << 10

// LoadConfig reads and checks a settings file.
func LoadConfig(path string) (Config, error) {
	var c Config
	info, err := os.Stat(path)
	if err != nil {
		return c, fmt.Errorf("read configuration: %w", err)
	}
	if info.Size() > maxConfig {
		return c, errors.New("read configuration: file is too large")
	}
	meta, err := toml.DecodeFile(path, &c)
	if err != nil {
		return c, fmt.Errorf("read configuration: %w", err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return c, fmt.Errorf("read configuration: setting %q is not known", unknown[0])
	}
	c.defaults()
	base := filepath.Dir(path)
	for _, p := range []*string{&c.Data, &c.Roster, &c.Identity, &c.API.TokenFile, &c.Keystore.PassphraseFile} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(base, *p)
		}
	}
	return c, c.validate()
}

func (c *Config) defaults() {
	str := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	num := func(p *int64, v int64) {
		if *p == 0 {
			*p = v
		}
	}
	dur := func(p *Duration, v time.Duration) {
		if *p == 0 {
			*p = Duration(v)
		}
	}
	str(&c.API.Listen, "127.0.0.1:8080")
	str(&c.Log.Level, "info")
	num(&c.Wallet.MaxFeeSats, 1_000_000)
	num(&c.Wallet.MaxFeeRate, 500_000)
	num(&c.Wallet.DefaultRate, 2_000)
	if c.Wallet.ConfirmTarget == 0 {
		c.Wallet.ConfirmTarget = 6
	}
	count := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	count(&c.Presign.Target, 50)
	count(&c.Presign.RefillBelow, 20)
	count(&c.Presign.Batch, 10)
	dur(&c.Presign.Every, 5*time.Minute)
	dur(&c.Chain.Poll, 30*time.Second)
	dur(&c.Road.IntentLifetime, 10*time.Minute)
	dur(&c.Road.AttemptTimeout, 20*time.Second)
}

func (c *Config) validate() error {
	for name, v := range map[string]string{"node": c.Node, "data": c.Data, "roster": c.Roster, "identity": c.Identity, "api.token_file": c.API.TokenFile,
		"keystore.passphrase_file": c.Keystore.PassphraseFile, "chain.network": c.Chain.Network, "chain.esplora": c.Chain.Esplora} {
		if v == "" {
			return fmt.Errorf("configuration: %s is missing", name)
		}
	}
	if _, err := wallet.ParseNetwork(c.Chain.Network); err != nil {
		return fmt.Errorf("configuration: chain.network: %w", err)
	}
	u, err := url.Parse(c.Chain.Esplora)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("configuration: chain.esplora must be an http or https URL")
	}
	host, _, err := net.SplitHostPort(c.API.Listen)
	if err != nil || !isLoopback(host) {
		return errors.New("configuration: api.listen must be a loopback address; put a TLS proxy in front to reach it from elsewhere")
	}
	switch {
	case c.Wallet.MaxFeeSats < 0 || c.Wallet.MaxFeeRate < 0 || c.Wallet.DefaultRate < 0 || c.Wallet.ConfirmTarget < 0:
		return errors.New("configuration: wallet settings may not be negative")
	case c.Presign.Target > exec.MaxPool || c.Presign.Batch < 0 || c.Presign.Batch > exec.MaxPresign || c.Presign.RefillBelow < 0:
		return fmt.Errorf("configuration: presign.target may be at most %d, presign.batch at most %d", exec.MaxPool, exec.MaxPresign)
	case time.Duration(c.Road.IntentLifetime) > 7*24*time.Hour:
		return errors.New("configuration: road.intent_lifetime may be at most 7 days")
	}
	return nil
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
