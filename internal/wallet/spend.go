package wallet

import (
	"bytes"
	"context"
	"fmt"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// Spend is one transaction as plain data; UnsignedTx follows from it to the byte.
type Spend struct {
	Inputs   []SpendInput
	Outputs  []SpendOutput
	Change   *SpendChange
	Fee      Amount
	LockTime uint32
	Sequence uint32
}

// SpendInput is a coin of the account. Previous stands in P2WPKH spends only: the transaction that the outpoint names,
// whole but without its witnesses, so that its hash is the outpoint's. WithPrevious fills it in.
type SpendInput struct {
	Outpoint Outpoint
	Value    Amount
	Path     Path
	Previous []byte
}

// SpendOutput is a payment.
type SpendOutput struct {
	Address string
	Amount  Amount
}

// SpendChange is the output back to the account's change chain, at a position among the outputs.
type SpendChange struct {
	Index    uint32
	Amount   Amount
	Position uint32
}

// sequenceRBF signals replaceability (BIP125), so that a stuck payment can be bumped.
const sequenceRBF = wire.MaxTxInSequenceNum - 2

// MaxWeight is the relay limit of a transaction's weight.
const MaxWeight = 400_000

// Request is what Plan makes a spend for.
type Request struct {
	Outputs     []SpendOutput
	Rate        FeeRate
	Caps        Caps
	ChangeIndex uint32
	Position    uint32 // of the change, modulo the number of outputs; drawn by the caller
}

// Plan selects coins and fixes a transaction. Confirmed coins are used, and unconfirmed ones of the change chain. The plan
// of a P2WPKH account needs WithPrevious before it can be checked or signed.
func (a *Account) Plan(coins []Coin, r Request) (Spend, error) {
	if len(r.Outputs) == 0 {
		return Spend{}, refuse(CodeSpend, "nothing to pay")
	}
	if r.Rate < MinRelayRate {
		return Spend{}, refuse(CodeFee, "fee rate must be at least %d sat/kvB", MinRelayRate)
	}
	var target Amount
	var outputs int64
	for _, o := range r.Outputs {
		script, err := a.checkOutput(o)
		if err != nil {
			return Spend{}, err
		}
		if target += o.Amount; target > MaxAmount {
			return Spend{}, refuse(CodeAmount, "amounts together are more than the money supply")
		}
		outputs += outputWeight(len(script))
	}
	outputs += countWeight(len(r.Outputs) + 1) // the change counts, should there be one
	var usable []Coin
	for _, c := range coins {
		if c.Confirmed || c.Path.Chain == ChangeChain {
			usable = append(usable, c)
		}
	}
	picked, err := choose(a.kind, usable, target, outputs, r.Rate)
	if err != nil {
		return Spend{}, err
	}
	s := Spend{Outputs: r.Outputs, Fee: picked.fee, Sequence: sequenceRBF}
	if picked.change > 0 {
		s.Change = &SpendChange{Index: r.ChangeIndex, Amount: picked.change, Position: r.Position % uint32(len(r.Outputs)+1)}
	}
	for _, c := range picked.coins {
		s.Inputs = append(s.Inputs, SpendInput{Outpoint: c.Outpoint, Value: c.Value, Path: c.Path})
	}
	return s, r.Caps.check(s.Fee, a.Weight(s))
}

// checkOutput parses the address and refuses dust.
func (a *Account) checkOutput(o SpendOutput) ([]byte, error) {
	addr, err := ParseAddress(a.network, o.Address)
	if err != nil {
		return nil, err
	}
	if o.Amount <= 0 || o.Amount > MaxAmount {
		return nil, refuse(CodeAmount, "amount must be above zero and within the money supply")
	}
	if dust := Dust(addr.Script); o.Amount < dust {
		return nil, refuse(CodeDust, "amount of %d sat is dust: the least for this address is %d", o.Amount, dust)
	}
	return addr.Script, nil
}

// Weight is the weight of the signed transaction, for P2WPKH with signatures of the longest form.
func (a *Account) Weight(s Spend) int64 {
	var outputs int64
	for _, o := range s.Outputs {
		if addr, err := ParseAddress(a.network, o.Address); err == nil {
			outputs += outputWeight(len(addr.Script))
		}
	}
	count := len(s.Outputs)
	if s.Change != nil {
		outputs += a.kind.changeWeight()
		count++
	}
	outputs += countWeight(count)
	return a.kind.weight(len(s.Inputs), outputs)
}

// UnsignedTx rebuilds the transaction: inputs as listed, outputs as listed with the change at its position. It checks
// everything that needs no chain: addresses, dust, own change, and that inputs equal outputs and fee.
func (a *Account) UnsignedTx(s Spend) (*wire.MsgTx, error) {
	tx := wire.NewMsgTx(2)
	tx.LockTime = s.LockTime
	var in, out Amount
	seen := map[Outpoint]bool{}
	for _, i := range s.Inputs {
		op, err := i.Outpoint.wire()
		if err != nil {
			return nil, err
		}
		if seen[i.Outpoint] || i.Value <= 0 || i.Value > MaxAmount {
			return nil, refuse(CodeSpend, "an input stands twice or has no value")
		}
		seen[i.Outpoint] = true
		tx.AddTxIn(&wire.TxIn{PreviousOutPoint: op, Sequence: s.Sequence})
		in += i.Value
	}
	for n := range len(s.Outputs) + 1 {
		if s.Change != nil && int(s.Change.Position) == n {
			script, err := a.Script(Path{ChangeChain, s.Change.Index})
			if err != nil {
				return nil, err
			}
			if s.Change.Amount < Dust(script) || s.Change.Amount > MaxAmount {
				return nil, refuse(CodeDust, "change is dust")
			}
			tx.AddTxOut(wire.NewTxOut(int64(s.Change.Amount), script))
			out += s.Change.Amount
		}
		if n == len(s.Outputs) {
			break
		}
		script, err := a.checkOutput(s.Outputs[n])
		if err != nil {
			return nil, err
		}
		tx.AddTxOut(wire.NewTxOut(int64(s.Outputs[n].Amount), script))
		out += s.Outputs[n].Amount
	}
	switch {
	case len(tx.TxIn) == 0 || len(s.Outputs) == 0:
		return nil, refuse(CodeSpend, "transaction has no input or pays nobody")
	case s.Change != nil && int(s.Change.Position) > len(s.Outputs):
		return nil, refuse(CodeSpend, "change position is past the last output")
	case in != out+s.Fee || s.Fee <= 0:
		return nil, refuse(CodeSpend, "inputs do not equal outputs and fee")
	case a.Weight(s) > MaxWeight:
		return nil, refuse(CodeSpend, "transaction is too large to be relayed")
	}
	return tx, nil
}

// Check is a node's own look at a spend that somebody else planned. Every previous transaction is fetched, hashed and
// compared; every input must be unspent and of this account; the fee must be under the node's own caps. A lock would let
// the planner hold back what the others believe paid, and change beyond MaxAddresses is found by no scan.
func (a *Account) Check(ctx context.Context, source Reader, s Spend, caps Caps) error {
	if _, err := a.UnsignedTx(s); err != nil {
		return err
	}
	if s.LockTime != 0 || s.Sequence != sequenceRBF {
		return refuse(CodeSpend, "transaction is locked or cannot be replaced")
	}
	if s.Change != nil && s.Change.Index >= MaxAddresses {
		return refuse(CodeChange, "change goes to an address that no scan looks at")
	}
	if err := caps.check(s.Fee, a.Weight(s)); err != nil {
		return err
	}
	if s.Fee < MinRelayRate.Fee(a.Weight(s)) {
		return refuse(CodeFee, "fee is below what nodes relay")
	}
	if _, err := a.spent(s); err != nil {
		return err
	}
	for _, in := range s.Inputs {
		if err := a.checkInput(ctx, source, in); err != nil {
			return err
		}
	}
	return nil
}

func (a *Account) checkInput(ctx context.Context, source Reader, in SpendInput) error {
	raw, err := source.Transaction(ctx, in.Outpoint.TxID)
	if err != nil {
		return err
	}
	bare, ok := bareTx(raw)
	if !ok {
		return refuse(CodeInputUnknown, "previous transaction is malformed")
	}
	previous, err := parseBare(bare, in.Outpoint.TxID)
	if err != nil {
		return err
	}
	script, err := a.Script(in.Path)
	if err != nil {
		return err
	}
	if err := matches(previous, in, script); err != nil {
		return err
	}
	spent, err := source.Spent(ctx, in.Outpoint)
	if err != nil {
		return err
	}
	if spent {
		return refuse(CodeInputSpent, "input %s is spent", in.Outpoint)
	}
	return nil
}

// commitments is what signatures commit to: hashes over the transaction, and the outputs that it spends.
func (a *Account) commitments(s Spend, tx *wire.MsgTx) (*txscript.TxSigHashes, *txscript.MultiPrevOutFetcher, error) {
	spent, err := a.spent(s)
	if err != nil {
		return nil, nil, err
	}
	outs := map[wire.OutPoint]*wire.TxOut{}
	for i, in := range tx.TxIn {
		outs[in.PreviousOutPoint] = spent[i]
	}
	previous := txscript.NewMultiPrevOutFetcher(outs)
	return txscript.NewTxSigHashes(tx, previous), previous, nil
}

// Sighashes is what is signed for each input, with the key at the input's path: for P2TR the digest of BIP341,
// SIGHASH_DEFAULT, key path, tweaked key; for P2WPKH that of BIP143, SIGHASH_ALL. It follows from the spend alone.
func (a *Account) Sighashes(s Spend) ([][32]byte, error) {
	tx, err := a.UnsignedTx(s)
	if err != nil {
		return nil, err
	}
	hashes, previous, err := a.commitments(s, tx)
	if err != nil {
		return nil, err
	}
	out := make([][32]byte, len(s.Inputs))
	for i, in := range tx.TxIn {
		if out[i], err = a.sighash(tx, hashes, previous, i, previous.FetchPrevOutput(in.PreviousOutPoint)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Attach puts the signatures into the transaction and runs the script engine over every input. Nothing leaves that does
// not pass. A signature has 64 bytes: BIP340's, or r and s of ECDSA with s in the lower half.
func (a *Account) Attach(s Spend, signatures [][]byte) (raw []byte, id TxID, err error) {
	tx, err := a.UnsignedTx(s)
	if err != nil {
		return nil, "", err
	}
	if len(signatures) != len(tx.TxIn) {
		return nil, "", refuse(CodeSignature, "%d signatures for %d inputs", len(signatures), len(tx.TxIn))
	}
	for i, sig := range signatures {
		if tx.TxIn[i].Witness, err = a.witness(i, s.Inputs[i].Path, sig); err != nil {
			return nil, "", err
		}
	}
	var b bytes.Buffer
	if err := tx.Serialize(&b); err != nil {
		return nil, "", fmt.Errorf("serialise transaction: %w", err)
	}
	if err := a.verifyTx(s, tx); err != nil {
		return nil, "", err
	}
	return b.Bytes(), TxID(tx.TxHash().String()), nil
}

func (a *Account) verifyTx(s Spend, tx *wire.MsgTx) error {
	if err := a.checkShape(tx); err != nil {
		return err
	}
	hashes, previous, err := a.commitments(s, tx)
	if err != nil {
		return err
	}
	for i, in := range tx.TxIn {
		out := previous.FetchPrevOutput(in.PreviousOutPoint)
		engine, err := txscript.NewEngine(out.PkScript, tx, i, txscript.StandardVerifyFlags, nil, hashes, out.Value, previous)
		if err != nil {
			return refuse(CodeSignature, "input %d: %w", i, err)
		}
		if err := engine.Execute(); err != nil {
			return refuse(CodeSignature, "input %d: %w", i, err)
		}
	}
	return nil
}

// Verify says whether a raw transaction is exactly this spend, signed.
func (a *Account) Verify(s Spend, raw []byte) (TxID, error) {
	var tx wire.MsgTx
	if _, ok := layoutOf(raw, true); !ok || len(raw) > MaxWeight || tx.Deserialize(bytes.NewReader(raw)) != nil {
		return "", refuse(CodeSignature, "transaction is malformed")
	}
	want, err := a.UnsignedTx(s)
	if err != nil {
		return "", err
	}
	if tx.TxHash() != want.TxHash() || len(tx.TxIn) != len(want.TxIn) {
		return "", refuse(CodeSignature, "transaction is another than the one that was agreed")
	}
	return TxID(tx.TxHash().String()), a.verifyTx(s, &tx)
}
