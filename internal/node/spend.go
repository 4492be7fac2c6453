package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"time"

	"chancery.dev/internal/exec"
	"chancery.dev/internal/intent"
	"chancery.dev/internal/policy"
	"chancery.dev/internal/records"
	"chancery.dev/internal/wallet"
	"chancery.dev/tss/cggmp24"
	"chancery.dev/tss/frost"
)

// maxLifetime bounds how long an intent of anybody may live.
const maxLifetime = 7 * 24 * time.Hour

// facts is what this node found out by itself: an intent that it could not check is not rebuilt.
func (n *Node) facts(checked error) policy.Facts { return policy.Facts{Rebuilt: checked == nil} }

// check is the node's own look at an intent, before it votes and again before it signs.
func (n *Node) check(ctx context.Context, c *course) error {
	switch p := c.intent.Params.(type) {
	case intent.Generate:
		return n.checkGenerate(p)
	case intent.Spend:
		account, err := n.account(c.intent.Key)
		if err != nil {
			return err
		}
		spend, err := n.completed(ctx, account, p)
		if err != nil {
			return err
		}
		if !n.reserve(c.intent, c.id) {
			return refuse(CodeConflict, "admission", "an input is promised to another payment")
		}
		return account.Check(ctx, n.chain, spend, n.caps())
	}
	return refuse(CodeInvalid, "admission", "act is not known")
}

func (n *Node) caps() wallet.Caps {
	return wallet.Caps{Fee: wallet.Amount(n.config.Wallet.MaxFeeSats), Rate: wallet.FeeRate(n.config.Wallet.MaxFeeRate)}
}

// suites are what a wallet key is made with, by protocol: FROST for Taproot, CGGMP24 for segwit version 0.
var suites = map[string]string{exec.ProtocolFROST: frost.Secp256k1Taproot.Name(), exec.ProtocolCGGMP24: cggmp24.Suite}

// kinds are the addresses of each protocol's keys.
var kinds = map[string]wallet.Kind{exec.ProtocolFROST: wallet.P2TR, exec.ProtocolCGGMP24: wallet.P2WPKH}

// checkGenerate holds what this version can make: one wallet key, among all nodes.
func (n *Node) checkGenerate(g intent.Generate) error {
	if suite, known := suites[g.Protocol]; !known || g.Suite != suite || g.Purpose != "wallet" {
		return refuse(CodeInvalid, "admission", "only a key for the wallet can be made, with frost or cggmp24")
	}
	if len(g.Parties) != len(n.roster.Nodes) || g.Threshold < n.roster.Threshold {
		return refuse(CodeInvalid, "admission", "a key is made among all %d nodes, with a threshold of at least %d", len(n.roster.Nodes), n.roster.Threshold)
	}
	for i, e := range n.roster.Nodes {
		if g.Parties[i] != e.Party {
			return refuse(CodeInvalid, "admission", "parties are not those of the roster")
		}
	}
	if _, err := n.walletKey(context.Background()); err == nil {
		return refuse(CodeKeyExists, "admission", "the wallet has a key")
	}
	return nil
}

// reserve promises an intent's inputs to it, and says no when one is promised to another.
func (n *Node) reserve(i intent.Intent, id intent.ID) bool {
	s, ok := i.Params.(intent.Spend)
	if !ok {
		return true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, in := range s.Inputs {
		if holder, taken := n.reserved[in.Outpoint]; taken && holder != id {
			return false
		}
	}
	for _, in := range s.Inputs {
		n.reserved[in.Outpoint] = id
	}
	return true
}

// release frees an intent's inputs.
func (n *Node) release(id intent.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for outpoint, holder := range n.reserved {
		if holder == id {
			delete(n.reserved, outpoint)
		}
	}
}

// account is the wallet of an active key. Its addresses are derived twice, by the wallet's library and by the engine, and
// must agree before any is used.
func (n *Node) account(key intent.KeyID) (*wallet.Account, error) {
	n.mu.Lock()
	a := n.accounts[key]
	n.mu.Unlock()
	if a != nil {
		return a, nil
	}
	public, err := n.executor.Load(key)
	if err != nil {
		return nil, err
	}
	a, err = wallet.NewAccountOf(kinds[public.Protocol()], n.network, [33]byte(public.GroupKey()), public.ChainCode())
	if err != nil {
		return nil, err
	}
	for _, p := range []wallet.Path{{Chain: 0, Index: 0}, {Chain: 1, Index: 0}, {Chain: 0, Index: 1}} {
		expected, err := verifyingKey(a, p)
		if err != nil {
			return nil, err
		}
		derived, err := public.VerifyingKey(pathOf(p))
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(derived, expected) {
			return nil, errors.New("wallet and engine derive different keys")
		}
	}
	n.mu.Lock()
	n.accounts[key] = a
	n.mu.Unlock()
	return a, nil
}

// verifyingKey is what the wallet expects signatures at a path to verify under.
func verifyingKey(a *wallet.Account, p wallet.Path) ([]byte, error) {
	if a.Kind() == wallet.P2WPKH {
		key, err := a.PublicKey(p)
		return key[:], err
	}
	key, err := a.OutputKey(p)
	return key[:], err
}

func pathOf(p wallet.Path) []uint32 { return []uint32{p.Chain, p.Index} }

// completed is an intent's spend with what its inputs need besides: for segwit version 0 the whole previous transactions,
// from this node's own chain source.
func (n *Node) completed(ctx context.Context, account *wallet.Account, p intent.Spend) (wallet.Spend, error) {
	spend, err := spendOf(n.network, p)
	if err != nil {
		return spend, err
	}
	return account.WithPrevious(ctx, n.chain, spend)
}

// spendOf is an intent's parameters as the wallet's plain data.
func spendOf(network wallet.Network, p intent.Spend) (wallet.Spend, error) {
	if p.Network != string(network) {
		return wallet.Spend{}, refuse(CodeInvalid, "admission", "payment is for %s, this node is on %s", p.Network, network)
	}
	s := wallet.Spend{Fee: wallet.Amount(p.Fee), LockTime: p.LockTime, Sequence: p.Sequence}
	for _, in := range p.Inputs {
		o, err := wallet.ParseOutpoint(in.Outpoint)
		if err != nil {
			return s, err
		}
		s.Inputs = append(s.Inputs, wallet.SpendInput{Outpoint: o, Value: wallet.Amount(in.Value), Path: wallet.Path{Chain: in.Chain, Index: in.Index}})
	}
	for _, o := range p.Outputs {
		s.Outputs = append(s.Outputs, wallet.SpendOutput{Address: o.Address, Amount: wallet.Amount(o.Amount)})
	}
	if p.Change != nil {
		s.Change = &wallet.SpendChange{Index: p.Change.Index, Amount: wallet.Amount(p.Change.Amount), Position: p.Change.Position}
	}
	return s, nil
}

// paramsOf is the way back.
func paramsOf(network wallet.Network, s wallet.Spend) intent.Spend {
	p := intent.Spend{Network: string(network), Fee: intent.Sats(s.Fee), LockTime: s.LockTime, Sequence: s.Sequence}
	for _, in := range s.Inputs {
		p.Inputs = append(p.Inputs, intent.Input{Outpoint: in.Outpoint.String(), Value: intent.Sats(in.Value), Chain: in.Path.Chain, Index: in.Path.Index})
	}
	for _, o := range s.Outputs {
		p.Outputs = append(p.Outputs, intent.Output{Address: o.Address, Amount: intent.Sats(o.Amount)})
	}
	if s.Change != nil {
		p.Change = &intent.Change{Index: s.Change.Index, Amount: intent.Sats(s.Change.Amount), Position: s.Change.Position}
	}
	return p
}

// rebuild is what this node will sign, from the intent, its own key and its own view of the chain: nobody hands it a digest.
func (n *Node) rebuild(ctx context.Context, c *course) (*wallet.Account, wallet.Spend, []exec.Message, error) {
	account, err := n.account(c.intent.Key)
	if err != nil {
		return nil, wallet.Spend{}, nil, err
	}
	spend, err := n.completed(ctx, account, c.intent.Params.(intent.Spend))
	if err != nil {
		return nil, spend, nil, err
	}
	signed, err := signedBytes(account, spend)
	if err != nil {
		return nil, spend, nil, err
	}
	messages := make([]exec.Message, len(signed))
	for i, b := range signed {
		messages[i] = exec.Message{Bytes: b, Path: pathOf(spend.Inputs[i].Path)}
	}
	return account, spend, messages, nil
}

// signedBytes is what the engine signs for each input: BIP341's digest, or BIP143's preimage, which the engine hashes.
func signedBytes(account *wallet.Account, spend wallet.Spend) ([][]byte, error) {
	if account.Kind() == wallet.P2WPKH {
		return account.Preimages(spend)
	}
	hashes, err := account.Sighashes(spend)
	out := make([][]byte, len(hashes))
	for i, h := range hashes {
		out[i] = h[:]
	}
	return out, err
}

// walletKey is the id of the wallet's active key.
func (n *Node) walletKey(ctx context.Context) (intent.KeyID, error) {
	all, err := n.records.List(ctx, string(intent.ActKeyGenerate), 100)
	if err != nil {
		return intent.KeyID{}, err
	}
	for _, r := range all {
		if r.State == records.Confirmed {
			return intent.KeyID(r.ID), nil
		}
	}
	return intent.KeyID{}, refuse(CodeNoKey, "wallet", "the wallet has no active key: start a key generation")
}

// plan makes the spend of a payment from the coins that no other payment has.
func (n *Node) plan(ctx context.Context, account *wallet.Account, out wallet.SpendOutput, rate wallet.FeeRate) (wallet.Spend, error) {
	if _, err := wallet.ParseAddress(n.network, out.Address); err != nil {
		return wallet.Spend{}, err
	}
	holdings, err := account.Scan(ctx, n.chain)
	if err != nil {
		return wallet.Spend{}, err
	}
	if rate == 0 {
		if rate, err = n.feeRate(ctx); err != nil {
			return wallet.Spend{}, err
		}
	}
	free, _ := n.split(holdings.Coins)
	var position [4]byte
	rand.Read(position[:])
	return account.Plan(free, wallet.Request{Outputs: []wallet.SpendOutput{out}, Rate: rate, Caps: n.caps(), ChangeIndex: holdings.NextChange,
		Position: binary.BigEndian.Uint32(position[:])})
}

// feeRate is the chain source's estimate, or the configured rate when it has none.
func (n *Node) feeRate(ctx context.Context) (wallet.FeeRate, error) {
	rate, err := n.chain.FeeRate(ctx, n.config.Wallet.ConfirmTarget)
	if err != nil {
		return 0, err
	}
	if rate == 0 {
		rate = wallet.FeeRate(n.config.Wallet.DefaultRate)
	}
	return rate, nil
}

// split parts the coins that are free from those that a payment under way has.
func (n *Node) split(coins []wallet.Coin) (free []wallet.Coin, reserved wallet.Amount) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range coins {
		if _, taken := n.reserved[c.Outpoint.String()]; taken {
			reserved += c.Value
		} else {
			free = append(free, c)
		}
	}
	return free, reserved
}

// watchChain follows published payments until they are deep enough.
func (n *Node) watchChain(ctx context.Context) {
	tick := time.NewTicker(time.Duration(n.config.Chain.Poll))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := n.pollChain(ctx); err != nil && ctx.Err() == nil {
				n.log.Warn("chain source", "error", err)
			}
		}
	}
}

// deepEnough is the number of confirmations after which a payment is no longer looked at.
const deepEnough = 6

func (n *Node) pollChain(ctx context.Context) error {
	all, err := n.records.List(ctx, string(intent.ActBitcoinSpend), 500)
	if err != nil {
		return err
	}
	for _, r := range all {
		if r.Result == "" || r.State != records.Published && (r.State != records.Confirmed || r.Confirmations >= deepEnough) {
			continue
		}
		if err := n.pollOne(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) pollOne(ctx context.Context, r records.Intent) error {
	status, err := n.chain.Status(ctx, wallet.TxID(r.Result))
	if err != nil {
		return err
	}
	if !status.Known && r.State == records.Published && len(r.Raw) > 0 {
		_, err := n.chain.Broadcast(ctx, r.Raw) // it fell out of the mempool, or never got there
		return err
	}
	if !status.Confirmed {
		return nil
	}
	tip, err := n.chain.Tip(ctx)
	if err != nil {
		return err
	}
	n.release(intent.ID(r.ID))
	_, err = n.advance(ctx, intent.ID(r.ID), records.Confirmed, func(r *records.Intent) { r.Confirmations = max(tip-status.Height+1, 1) })
	return err
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }
