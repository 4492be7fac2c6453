package esplora

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"chancery.dev/internal/wallet"

	"github.com/btcsuite/btcd/btcec/v2"
)

// A P2WPKH spend gets its previous transactions through the client: asked for once each, without their witnesses, and
// only those that hash to the id. A short answer that claims millions of outputs is refused as no transaction.
func TestPreviousTransactions(t *testing.T) {
	key, _ := btcec.PrivKeyFromBytes(bytes.Repeat([]byte{1}, 32))
	a, err := wallet.NewAccountOf(wallet.P2WPKH, wallet.Regtest, [33]byte(key.PubKey().SerializeCompressed()), [32]byte{2})
	if err != nil {
		t.Fatal(err)
	}
	own, err := a.Script(wallet.Path{})
	if err != nil {
		t.Fatal(err)
	}
	raw, id := payment(t, 20_000, own)
	richer, _ := payment(t, 90_000, own)
	spend := wallet.Spend{Fee: 1000, Sequence: 0xfffffffd, Outputs: []wallet.SpendOutput{{Address: "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", Amount: 19_000}},
		Inputs: []wallet.SpendInput{{Outpoint: wallet.Outpoint{TxID: id}, Value: 20_000}}}
	claim := slices.Concat([]byte{2, 0, 0, 0, 1}, make([]byte, 41), []byte{0xfe, 0, 0, 0x38, 0})
	for name, c := range map[string]struct {
		body []byte
		want string
	}{"true": {raw, ""}, "richer": {richer, wallet.CodeChain}, "claim": {claim, wallet.CodeChain}} {
		client, asked := serve(t, answers{"GET /tx/" + string(id) + "/raw": string(c.body), "GET /tx/" + string(id) + "/outspend/0": `{"spent":false}`})
		full, err := a.WithPrevious(context.Background(), client, spend)
		wantCode(t, name, err, c.want)
		if asked.Load() != 1 {
			t.Errorf("%s: asked %d times", name, asked.Load())
		}
		if err != nil {
			continue
		}
		wantCode(t, "checked", a.Check(context.Background(), client, full, wallet.Caps{}), "")
		wantCode(t, "checked without", a.Check(context.Background(), client, spend, wallet.Caps{}), wallet.CodePrevious)
		if got, err := wallet.IDOf(full.Inputs[0].Previous); err != nil || got != id || len(full.Inputs[0].Previous) >= len(raw) {
			t.Errorf("previous transaction %s of %d bytes (%v)", got, len(full.Inputs[0].Previous), err)
		}
	}
}
