// Package esplora reads the chain from a server that speaks Esplora's HTTP API, and hands transactions to it.
//
// The server is not trusted: a transaction is hashed before it is returned, answers are bounded, redirects are not
// followed, and a host that resolves to a loopback, private or link-local address is dialled only when the operator named
// it. What is dialled is the address that was checked.
package esplora

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"chancery.dev/internal/wallet"
)

// Bounds of an answer, in bytes, and of a request's time.
const (
	maxJSON    = 4 << 20
	maxTx      = 4 << 20
	maxSmall   = 64 << 10
	timeout    = 15 * time.Second
	maxUTXOs   = 5000
	dialLimit  = 5 * time.Second
	maxTargets = 1008 // blocks that a fee estimate may look ahead
)

// Client is safe for use by many goroutines.
type Client struct {
	base string
	http *http.Client
}

// New makes a client. Hosts in allow may be private addresses.
func New(base string, allow []string) (*Client, error) {
	u, err := url.Parse(strings.TrimSuffix(base, "/"))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return nil, errors.New("chain source must be an http or https URL without a user")
	}
	dialer := &net.Dialer{Timeout: dialLimit}
	transport := &http.Transport{
		Proxy: nil, MaxIdleConnsPerHost: 8, MaxConnsPerHost: 32, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: timeout, MaxResponseHeaderBytes: 64 << 10,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return dialChecked(ctx, dialer, network, addr, allow)
		},
	}
	return &Client{base: u.String(), http: &http.Client{Transport: transport, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// dialChecked resolves the host, refuses addresses that point inwards, and dials the very address that it checked.
func dialChecked(ctx context.Context, d *net.Dialer, network, addr string, allow []string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	for _, ip := range ips {
		if slices.Contains(allow, host) || public(ip.Unmap()) {
			return d.DialContext(ctx, network, net.JoinHostPort(ip.Unmap().String(), port))
		}
	}
	return nil, fmt.Errorf("host %s resolves to an address that is not public, and is not in allow_hosts", host)
}

// public says whether an address is one of the internet's, and not this machine's, its network's or a cloud's metadata.
func public(ip netip.Addr) bool {
	ip = ip.Unmap()
	if !ip.IsValid() || !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false
	}
	return !slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// special are blocks of the special-purpose registries (RFC 6890) that lead to this network or to none, and those that carry
// another address inside.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001::/32"),
	netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"),
}

func unavailable(err error) error { return &wallet.Error{Code: wallet.CodeChain, Err: err} }

// errNotFound is an answer of 404.
var errNotFound = errors.New("not found")

// get reads one answer of at most limit bytes.
func (c *Client) get(ctx context.Context, path string, limit int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return nil, unavailable(err)
	}
	return c.do(req, limit)
}

func (c *Client) do(req *http.Request, limit int64) ([]byte, error) {
	res, err := c.http.Do(req)
	if err != nil {
		return nil, unavailable(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	switch {
	case err != nil:
		return nil, unavailable(err)
	case int64(len(body)) > limit:
		return nil, unavailable(fmt.Errorf("answer has more than %d bytes", limit))
	case res.StatusCode == http.StatusNotFound:
		return nil, errNotFound
	case res.StatusCode == http.StatusBadRequest && req.Method == http.MethodPost:
		return nil, &wallet.Error{Code: wallet.CodeRejected, Err: fmt.Errorf("chain source refused the transaction: %.200q", body)}
	case res.StatusCode != http.StatusOK:
		return nil, unavailable(fmt.Errorf("chain source answered %s", res.Status))
	}
	return body, nil
}

func (c *Client) getJSON(ctx context.Context, path string, into any) error {
	body, err := c.get(ctx, path, maxJSON)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return unavailable(fmt.Errorf("chain source's answer is not what was expected: %w", err))
	}
	return nil
}

// scriptHash is how Esplora names a script.
func scriptHash(script []byte) string {
	sum := sha256.Sum256(script)
	return hex.EncodeToString(sum[:])
}

type status struct {
	Confirmed bool  `json:"confirmed"`
	Height    int64 `json:"block_height"`
}

// UTXOs lists the unspent outputs of a script.
func (c *Client) UTXOs(ctx context.Context, script []byte) ([]wallet.UTXO, error) {
	var list []struct {
		TxID   wallet.TxID `json:"txid"`
		Vout   uint32      `json:"vout"`
		Value  int64       `json:"value"`
		Status status      `json:"status"`
	}
	if err := c.getJSON(ctx, "/scripthash/"+scriptHash(script)+"/utxo", &list); err != nil {
		return nil, orUnavailable(err)
	}
	if len(list) > maxUTXOs {
		return nil, unavailable(fmt.Errorf("more than %d outputs of one script", maxUTXOs))
	}
	out := make([]wallet.UTXO, len(list))
	for i, u := range list {
		if u.Value <= 0 || wallet.Amount(u.Value) > wallet.MaxAmount || len(u.TxID) != 64 {
			return nil, unavailable(errors.New("chain source lists an impossible output"))
		}
		out[i] = wallet.UTXO{Outpoint: wallet.Outpoint{TxID: u.TxID, Vout: u.Vout}, Value: wallet.Amount(u.Value), Confirmed: u.Status.Confirmed, Height: u.Status.Height}
	}
	return out, nil
}

// Used says whether any transaction ever paid to a script.
func (c *Client) Used(ctx context.Context, script []byte) (bool, error) {
	var stats struct {
		Chain struct {
			Count int64 `json:"tx_count"`
		} `json:"chain_stats"`
		Mempool struct {
			Count int64 `json:"tx_count"`
		} `json:"mempool_stats"`
	}
	err := c.getJSON(ctx, "/scripthash/"+scriptHash(script), &stats)
	return stats.Chain.Count+stats.Mempool.Count > 0, orUnavailable(err)
}

// Transaction fetches a transaction and checks that it hashes to its id.
func (c *Client) Transaction(ctx context.Context, id wallet.TxID) ([]byte, error) {
	raw, err := c.get(ctx, "/tx/"+url.PathEscape(string(id))+"/raw", maxTx)
	if errors.Is(err, errNotFound) {
		return nil, &wallet.Error{Code: wallet.CodeInputUnknown, Err: errors.New("chain source does not know the previous transaction")}
	}
	if err != nil {
		return nil, err
	}
	if got, err := wallet.IDOf(raw); err != nil || got != id {
		return nil, unavailable(errors.New("chain source gave another transaction than the one asked for"))
	}
	return raw, nil
}

// Spent says whether an output is spent, in a block or in the mempool.
func (c *Client) Spent(ctx context.Context, o wallet.Outpoint) (bool, error) {
	var answer struct {
		Spent *bool `json:"spent"`
	}
	err := c.getJSON(ctx, fmt.Sprintf("/tx/%s/outspend/%d", url.PathEscape(string(o.TxID)), o.Vout), &answer)
	if err != nil {
		return false, orUnavailable(err)
	}
	if answer.Spent == nil {
		return false, unavailable(errors.New("chain source does not say whether the output is spent"))
	}
	return *answer.Spent, nil
}

// Tip is the height of the best block.
func (c *Client) Tip(ctx context.Context) (int64, error) {
	body, err := c.get(ctx, "/blocks/tip/height", maxSmall)
	if err != nil {
		return 0, orUnavailable(err)
	}
	height, err := strconv.ParseInt(strings.TrimSpace(string(body)), 10, 64)
	if err != nil || height < 0 {
		return 0, unavailable(errors.New("chain source's height is no number"))
	}
	return height, nil
}

// FeeRate is the estimate for confirmation within target blocks: that of the nearest lower target that the source has.
// It is 0 when there is none.
func (c *Client) FeeRate(ctx context.Context, target int) (wallet.FeeRate, error) {
	var estimates map[string]float64
	if err := c.getJSON(ctx, "/fee-estimates", &estimates); err != nil {
		return 0, orUnavailable(err)
	}
	for t := min(target, maxTargets); t >= 1; t-- {
		rate, ok := estimates[strconv.Itoa(t)]
		if !ok {
			continue
		}
		if rate <= 0 || rate > 1e6 || math.IsNaN(rate) {
			return 0, unavailable(errors.New("chain source's fee estimate is impossible"))
		}
		return max(wallet.FeeRate(math.Ceil(rate*1000)), wallet.MinRelayRate), nil
	}
	return 0, nil
}

// Broadcast hands in a transaction. One that the source has already is no error.
func (c *Client) Broadcast(ctx context.Context, raw []byte) (wallet.TxID, error) {
	id, err := wallet.IDOf(raw)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/tx", bytes.NewReader([]byte(hex.EncodeToString(raw))))
	if err != nil {
		return "", unavailable(err)
	}
	req.Header.Set("Content-Type", "text/plain")
	if _, err := c.do(req, maxSmall); err != nil {
		if _, known := c.Transaction(ctx, id); known == nil {
			return id, nil
		}
		return "", orUnavailable(err)
	}
	return id, nil
}

// Status is where a transaction is.
func (c *Client) Status(ctx context.Context, id wallet.TxID) (wallet.Status, error) {
	var tx struct {
		Status status `json:"status"`
	}
	err := c.getJSON(ctx, "/tx/"+url.PathEscape(string(id)), &tx) // /status answers for unknown transactions too
	if errors.Is(err, errNotFound) {
		return wallet.Status{}, nil
	}
	if err != nil {
		return wallet.Status{}, err
	}
	return wallet.Status{Known: true, Confirmed: tx.Status.Confirmed, Height: tx.Status.Height}, nil
}

func orUnavailable(err error) error {
	if errors.Is(err, errNotFound) {
		return unavailable(err)
	}
	return err
}
