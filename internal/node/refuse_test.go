package node

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"

	"chancery.dev/internal/httpapi"
	"chancery.dev/internal/intent"
	"chancery.dev/internal/mesh"
	"chancery.dev/internal/records"
	"chancery.dev/tss"
)

// snapshot is everything that a refused request must not change on a node.
func snapshot(t *testing.T, m *member) (httpapi.Balance, []httpapi.Transaction) {
	t.Helper()
	b, err := ask[httpapi.Balance](t.Context(), m, "GET", "/wallet/balance", nil)
	must(t, err)
	return b, payments(t, m)
}

// foreign is a P2WPKH address of another network, and one of a witness version that nobody pays to yet.
func foreign(t *testing.T, params *chaincfg.Params) string {
	t.Helper()
	a, err := address.NewAddressWitnessPubKeyHash(make([]byte, 20), params)
	must(t, err)
	return a.EncodeAddress()
}

// Each kind of bad input is refused with its own reason code and leaves nothing behind, on no node.
func TestBadPayments(t *testing.T) {
	c := shared(t)
	c.settled(t)
	m, good := c.members[0], payee(t)
	broken := []byte(good)
	broken[len(broken)-1] ^= 1 // the checksum no longer holds, whatever the letter
	before, list := snapshot(t, m)
	other, listed := snapshot(t, c.members[1])
	for name, r := range map[string]struct {
		request httpapi.SendRequest
		code    string
	}{
		"address of mainnet":        {httpapi.SendRequest{Recipient: foreign(t, &chaincfg.MainNetParams), AmountSats: 10_000}, "ADDRESS_WRONG_NETWORK"},
		"address of testnet":        {httpapi.SendRequest{Recipient: foreign(t, &chaincfg.TestNet3Params), AmountSats: 10_000}, "ADDRESS_WRONG_NETWORK"},
		"address with a typo":       {httpapi.SendRequest{Recipient: string(broken), AmountSats: 10_000}, "ADDRESS_INVALID"},
		"address cut short":         {httpapi.SendRequest{Recipient: good[:20], AmountSats: 10_000}, "ADDRESS_INVALID"},
		"no address at all":         {httpapi.SendRequest{Recipient: "somebody", AmountSats: 10_000}, "ADDRESS_INVALID"},
		"a public key":              {httpapi.SendRequest{Recipient: c.key.GroupKey, AmountSats: 10_000}, "ADDRESS_INVALID"},
		"unknown witness version":   {httpapi.SendRequest{Recipient: "bcrt1sqqqqkfw08p", AmountSats: 10_000}, "ADDRESS_INVALID"},
		"empty address":             {httpapi.SendRequest{AmountSats: 10_000}, CodeInvalid},
		"endless address":           {httpapi.SendRequest{Recipient: strings.Repeat("b", 101), AmountSats: 10_000}, CodeInvalid},
		"dust":                      {httpapi.SendRequest{Recipient: good, AmountSats: 293}, "AMOUNT_DUST"},
		"nothing":                   {httpapi.SendRequest{Recipient: good, AmountSats: 0}, CodeInvalid},
		"less than nothing":         {httpapi.SendRequest{Recipient: good, AmountSats: -1}, CodeInvalid},
		"more than there is":        {httpapi.SendRequest{Recipient: good, AmountSats: 2_100_000_000_000_001}, CodeInvalid},
		"more than the balance":     {httpapi.SendRequest{Recipient: good, AmountSats: before.ConfirmedSats + 1}, "FUNDS_INSUFFICIENT"},
		"the balance, with no fee":  {httpapi.SendRequest{Recipient: good, AmountSats: before.ConfirmedSats}, "FUNDS_INSUFFICIENT"},
		"fee rate over the cap":     {httpapi.SendRequest{Recipient: good, AmountSats: 10_000, FeeRate: 500_001}, "FEE_OVER_CAP"},
		"fee rate below the relays": {httpapi.SendRequest{Recipient: good, AmountSats: 10_000, FeeRate: 999}, "FEE_INVALID"},
		"fee rate below zero":       {httpapi.SendRequest{Recipient: good, AmountSats: 10_000, FeeRate: -1}, CodeInvalid},
		"endless key":               {httpapi.SendRequest{Recipient: good, AmountSats: 10_000, IdempotencyKey: strings.Repeat("k", 129)}, CodeInvalid},
	} {
		if _, err := ask[httpapi.Transaction](t.Context(), m, "POST", "/transactions", r.request); code(err) != r.code {
			t.Errorf("%s: %v, want %s", name, err, r.code)
		}
	}
	if after, now := snapshot(t, m); after != before || !reflect.DeepEqual(now, list) {
		t.Errorf("something was left behind: %+v after %+v, %d payments after %d", after, before, len(now), len(list))
	}
	if after, now := snapshot(t, c.members[1]); after != other || !reflect.DeepEqual(now, listed) {
		t.Errorf("something came to another node: %+v after %+v, %d payments after %d", after, other, len(now), len(listed))
	}
	if got := c.paid(t, good); len(got) != 0 {
		t.Errorf("paid by %v", got)
	}
}

// settled mines what is in the mempool and waits until no node has a payment under way.
func (c *cluster) settled(t *testing.T) {
	t.Helper()
	must(t, c.net.Mine(t.Context(), 6))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, m := range c.members {
		if err := until(ctx, func() bool {
			for _, tx := range payments(t, m) {
				if tx.State != "denied" && tx.State != "failed" && (tx.State != "confirmed" || tx.Confirmations < deepEnough) {
					return false
				}
			}
			return true
		}); err != nil {
			t.Fatalf("%s has payments under way: %+v", m.id, payments(t, m))
		}
	}
}

func TestUnknownIntents(t *testing.T) {
	c := shared(t)
	for path, want := range map[string]string{
		"/transactions/" + strings.Repeat("0", 64):               CodeNotFound,
		"/transactions/" + strings.Repeat("0", 64) + "/receipts": CodeNotFound,
		"/transactions/" + c.key.ID:                              CodeNotFound, // a key, no payment
		"/transactions/none":                                     CodeInvalid,
		"/transactions/" + strings.Repeat("A", 64):               CodeInvalid,
		"/transactions?limit=0":                                  CodeInvalid,
		"/transactions?limit=501":                                CodeInvalid,
	} {
		if _, err := ask[struct{}](t.Context(), c.members[0], "GET", path, nil); code(err) != want {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
}

// plot is an intent that a node's own interface would never make, put to the vote by a node that lies. It returns the
// record on an honest node.
func (c *cluster) plot(t *testing.T, change func(i *intent.Intent, s *intent.Spend)) httpapi.Transaction {
	t.Helper()
	liar := c.members[4]
	account, key, err := liar.node.walletAccount(t.Context())
	must(t, err)
	holdings, err := account.Scan(t.Context(), liar.node.chain)
	must(t, err)
	coin := holdings.Coins[0]
	spend := intent.Spend{Network: "regtest", Inputs: []intent.Input{{Outpoint: coin.Outpoint.String(), Value: intent.Sats(coin.Value), Chain: coin.Path.Chain, Index: coin.Path.Index}},
		Outputs: []intent.Output{{Address: payee(t), Amount: intent.Sats(coin.Value) - 5000}}, Fee: 5000, Sequence: 0xfffffffd}
	i := intent.Intent{Cluster: testCluster, Key: key, Initiator: "liar", Idempotency: t.Name() + time.Now().String(), Expires: time.Now().Add(10 * time.Second).UTC().Truncate(time.Second)}
	change(&i, &spend)
	i.Params = spend
	canonical, err := i.Canonical()
	must(t, err)
	payload, err := encode(propose{canonical})
	must(t, err)
	must(t, liar.node.mesh.Send(kindPropose, tss.Envelope{To: tss.Everyone, Payload: payload}))
	return state(t, c.members[0], intent.IDOf(canonical).String(), "denied", "failed", "published", "confirmed")
}

// A coordinator that lies gets no votes: every node looks at the intent for itself and says why not.
func TestLyingCoordinator(t *testing.T) {
	c := shared(t)
	c.settled(t)
	for name, p := range map[string]struct {
		change func(i *intent.Intent, s *intent.Spend)
		reason string
	}{
		"unknown key":     {func(i *intent.Intent, _ *intent.Spend) { i.Key = intent.KeyID{7} }, CodeNoKey},
		"another network": {func(_ *intent.Intent, s *intent.Spend) { s.Network = "mainnet" }, CodeInvalid},
		"foreign address": {func(_ *intent.Intent, s *intent.Spend) {
			s.Outputs[0].Address = "bc1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqgkzjlp"
		}, "ADDRESS_INVALID"},
		"fee over the cap": {func(_ *intent.Intent, s *intent.Spend) {
			s.Fee, s.Outputs[0].Amount = 500_000, s.Outputs[0].Amount-495_000
		}, "FEE_OVER_CAP"},
		"fee below relays":   {func(_ *intent.Intent, s *intent.Spend) { s.Fee, s.Outputs[0].Amount = 1, s.Outputs[0].Amount+4999 }, "FEE_INVALID"},
		"a coin that is not": {func(_ *intent.Intent, s *intent.Spend) { s.Inputs[0].Outpoint = strings.Repeat("a", 64) + ":0" }, "INPUT_UNKNOWN"},
		"a wrong value":      {func(_ *intent.Intent, s *intent.Spend) { s.Inputs[0].Value++; s.Outputs[0].Amount++ }, "INPUT_UNKNOWN"},
		"a foreign path":     {func(_ *intent.Intent, s *intent.Spend) { s.Inputs[0].Index += 19 }, "INPUT_FOREIGN"},
		"dust": {func(_ *intent.Intent, s *intent.Spend) {
			s.Outputs = append(s.Outputs, intent.Output{Address: s.Outputs[0].Address, Amount: 100})
			s.Outputs[0].Amount -= 100
		}, "AMOUNT_DUST"},
	} {
		tx := c.plot(t, p.change)
		if tx.State != "denied" || tx.Reason != CodeDenied || tx.TxID != "" {
			t.Errorf("%s: %s (%s)", name, tx.State, tx.Reason)
		}
		for _, v := range tx.Ballots {
			if v.Yes || v.Reason != p.reason {
				t.Errorf("%s: %s votes %v: %s, want %s", name, v.Node, v.Yes, v.Reason, p.reason)
			}
		}
		if len(tx.Ballots) < 2 {
			t.Errorf("%s: %d ballots", name, len(tx.Ballots))
		}
	}
	if b, _ := snapshot(t, c.members[0]); b.ReservedSats != 0 {
		t.Errorf("%d sat stay reserved", b.ReservedSats)
	}
}

// What comes over the mesh and is no message of the road is dropped, and the node goes on.
func TestGarbageOnTheMesh(t *testing.T) {
	c := shared(t)
	liar, victim := c.members[4], c.members[0]
	_, before := snapshot(t, victim)
	for kind := mesh.Kind(1); kind < kindReceipts+3; kind++ {
		for _, payload := range []string{"", "{", "null", "[]", "{}", "{}{}", `{"unknown":1}`, `{"intent":"` + strings.Repeat("0", 64) + `"}`, strings.Repeat("x", 64), strings.Repeat("[", 5000)} {
			must(t, liar.node.mesh.Send(kind, tss.Envelope{To: 1, Payload: []byte(payload)}))
		}
	}
	for name, i := range map[string]intent.Intent{
		"of another cluster":  {Cluster: "elsewhere", Expires: time.Now().Add(time.Minute)},
		"that has expired":    {Cluster: testCluster, Expires: time.Now().Add(-time.Minute)},
		"that lives too long": {Cluster: testCluster, Expires: time.Now().Add(maxLifetime + time.Hour)},
	} {
		i.Expires, i.Idempotency = i.Expires.UTC().Truncate(time.Second), "garbage"
		i.Params = intent.Generate{Protocol: "frost", Suite: "any", Purpose: "wallet", Threshold: 4, Parties: []uint16{1, 2, 3, 4, 5}}
		canonical, err := i.Canonical()
		must(t, err)
		payload, err := encode(propose{canonical})
		must(t, err)
		must(t, liar.node.mesh.Send(kindPropose, tss.Envelope{To: 1, Payload: payload}))
		id := intent.IDOf(canonical)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		err = until(ctx, func() bool { return strings.Count(victim.log.text(), `"kind":17,"from":5`) > 10 })
		cancel()
		if _, kept := victim.node.records.Get(t.Context(), records.ID(id)); err != nil || kept == nil {
			t.Errorf("an intent %s was kept, or nothing is logged: %v", name, err)
		}
	}
	if _, after := snapshot(t, victim); !reflect.DeepEqual(before, after) {
		t.Errorf("%d payments after %d", len(after), len(before))
	}
	tx := send(t, victim, httpapi.SendRequest{Recipient: payee(t), AmountSats: 10_000})
	c.once(t, state(t, victim, tx.ID, "published", "confirmed"))
}
