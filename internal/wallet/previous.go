package wallet

import (
	"bytes"
	"context"
	"slices"

	"github.com/btcsuite/btcd/wire/v2"
)

// A signature of BIP143 commits to the value of its own input only. Whoever is lied to about the values of the others can
// be made to sign twice what joins to one transaction that pays all the rest to the miner. So a P2WPKH spend carries the
// previous transaction of every input: its hash is the input's id, and value and script are read from it. A signature of
// BIP341 commits to all values and scripts; a Taproot spend carries none.

// Bounds of previous transactions, in bytes without witnesses: of one, what a block can hold; of all different ones of a
// spend together.
const (
	MaxPrevious    = 1_000_000
	MaxPreviousAll = 32 << 20
)

// WithPrevious is a spend with the previous transactions that its kind of account needs, fetched from the source and
// hashed. It is what a planner does before it asks anybody to sign, and a checker who was given a spend without them. A
// P2TR spend is returned as it is.
func (a *Account) WithPrevious(ctx context.Context, source Reader, s Spend) (Spend, error) {
	if a.kind != P2WPKH {
		return s, nil
	}
	s.Inputs = slices.Clone(s.Inputs)
	fetched, all := map[TxID][]byte{}, 0
	for i, in := range s.Inputs {
		id := in.Outpoint.TxID
		if fetched[id] == nil {
			raw, err := source.Transaction(ctx, id)
			if err != nil {
				return Spend{}, err
			}
			bare, ok := bareTx(raw)
			if !ok || idOfBare(bare) != id {
				return Spend{}, refuse(CodeInputUnknown, "chain source gave another transaction than the one asked for")
			}
			if all += len(bare); len(bare) > MaxPrevious || all > MaxPreviousAll {
				return Spend{}, refuse(CodePrevious, "previous transactions are too large")
			}
			fetched[id] = bare
		}
		s.Inputs[i].Previous = fetched[id]
	}
	return s, nil
}

// spent is the output that each input spends: script by the account, value by the spend, and for P2WPKH both as the
// previous transaction proves them. Everything that is signed or verified goes through here.
func (a *Account) spent(s Spend) ([]*wire.TxOut, error) {
	known, all := map[TxID][]byte{}, 0
	parsed := map[TxID]*wire.MsgTx{}
	out := make([]*wire.TxOut, len(s.Inputs))
	for i, in := range s.Inputs {
		script, err := a.Script(in.Path)
		if err != nil {
			return nil, err
		}
		out[i] = wire.NewTxOut(int64(in.Value), script)
		if a.kind != P2WPKH {
			if len(in.Previous) > 0 {
				return nil, refuse(CodePrevious, "a Taproot spend carries no previous transactions")
			}
			continue
		}
		id := in.Outpoint.TxID
		if parsed[id] == nil || !bytes.Equal(known[id], in.Previous) {
			if all += len(in.Previous); len(in.Previous) > MaxPrevious || all > MaxPreviousAll {
				return nil, refuse(CodePrevious, "previous transactions are too large")
			}
			if len(in.Previous) == 0 {
				return nil, refuse(CodePrevious, "input %s lacks its previous transaction", in.Outpoint)
			}
			if parsed[id], err = parseBare(in.Previous, id); err != nil {
				return nil, err
			}
			known[id] = in.Previous
		}
		if err := matches(parsed[id], in, script); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// matches holds an input against the transaction that it says it spends from.
func matches(previous *wire.MsgTx, in SpendInput, script []byte) error {
	if int64(in.Outpoint.Vout) >= int64(len(previous.TxOut)) {
		return refuse(CodeInputUnknown, "previous transaction does not have this output")
	}
	out := previous.TxOut[in.Outpoint.Vout]
	if out.Value != int64(in.Value) {
		return refuse(CodeInputUnknown, "input is worth %d sat, not %d", out.Value, in.Value)
	}
	if !bytes.Equal(script, out.PkScript) {
		return refuse(CodeInputForeign, "input does not belong to path %s of this wallet", in.Path)
	}
	return nil
}
