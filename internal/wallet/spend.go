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

// SpendInput is a coin of the account.
type SpendInput struct {
	Outpoint Outpoint
	Value    Amount
	Path     Path
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

// Plan selects coins and fixes a transaction. Confirmed coins are used, and unconfirmed ones of the change chain.
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
	picked, err := choose(usable, target, outputs, r.Rate)
	if err != nil {
		return Spend{}, err
	}
	s := Spend{Outputs: r.Outputs, Fee: picked.fee, Sequence: sequenceRBF}
	if picked.change > 0 {
		s.Change = &SpendChange{Index: r.ChangeIndex, Amount: picked.change, Position: r.Position % uint32(len(r.Outputs)+1)}
	}
	for _, c := range picked.coins {
		s.Inputs = append(s.Inputs, SpendInput{c.Outpoint, c.Value, c.Path})
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

// Weight is the weight of the signed transaction.
func (a *Account) Weight(s Spend) int64 {
	var outputs int64
	for _, o := range s.Outputs {
		if addr, err := ParseAddress(a.network, o.Address); err == nil {
			outputs += outputWeight(len(addr.Script))
		}
	}
	count := len(s.Outputs)
	if s.Change != nil {
		outputs += outputWeight(changeScript)
		count++
	}
	outputs += countWeight(count)
	return weight(len(s.Inputs), outputs)
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
	var previous wire.MsgTx
	if err := previous.Deserialize(bytes.NewReader(raw)); err != nil {
		return refuse(CodeInputUnknown, "previous transaction is malformed")
	}
	if previous.TxHash().String() != string(in.Outpoint.TxID) || int(in.Outpoint.Vout) >= len(previous.TxOut) {
		return refuse(CodeInputUnknown, "previous transaction does not have this output")
	}
	out := previous.TxOut[in.Outpoint.Vout]
	if out.Value != int64(in.Value) {
		return refuse(CodeInputUnknown, "input is worth %d sat, not %d", out.Value, in.Value)
	}
	script, err := a.Script(in.Path)
	if err != nil {
		return err
	}
	if !bytes.Equal(script, out.PkScript) {
		return refuse(CodeInputForeign, "input does not belong to path %s of this wallet", in.Path)
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

// previousOutputs is what the signatures commit to besides the transaction.
func (a *Account) previousOutputs(s Spend) (*txscript.MultiPrevOutFetcher, error) {
	outs := map[wire.OutPoint]*wire.TxOut{}
	for _, in := range s.Inputs {
		op, err := in.Outpoint.wire()
		if err != nil {
			return nil, err
		}
		script, err := a.Script(in.Path)
		if err != nil {
			return nil, err
		}
		outs[op] = wire.NewTxOut(int64(in.Value), script)
	}
	return txscript.NewMultiPrevOutFetcher(outs), nil
}

// Sighashes is the BIP341 digest of each input, SIGHASH_DEFAULT, key path.
func (a *Account) Sighashes(s Spend) ([][32]byte, error) {
	tx, err := a.UnsignedTx(s)
	if err != nil {
		return nil, err
	}
	previous, err := a.previousOutputs(s)
	if err != nil {
		return nil, err
	}
	hashes := txscript.NewTxSigHashes(tx, previous)
	out := make([][32]byte, len(s.Inputs))
	for i := range s.Inputs {
		h, err := txscript.CalcTaprootSignatureHash(hashes, txscript.SigHashDefault, tx, i, previous)
		if err != nil {
			return nil, refuse(CodeSpend, "signature hash: %w", err)
		}
		out[i] = [32]byte(h)
	}
	return out, nil
}

// Attach puts the signatures into the transaction and runs the script engine over every input. Nothing leaves that does
// not pass.
func (a *Account) Attach(s Spend, signatures [][]byte) (raw []byte, id TxID, err error) {
	tx, err := a.UnsignedTx(s)
	if err != nil {
		return nil, "", err
	}
	if len(signatures) != len(tx.TxIn) {
		return nil, "", refuse(CodeSignature, "%d signatures for %d inputs", len(signatures), len(tx.TxIn))
	}
	for i, sig := range signatures {
		if len(sig) != 64 {
			return nil, "", refuse(CodeSignature, "signature %d has %d bytes", i, len(sig))
		}
		tx.TxIn[i].Witness = wire.TxWitness{sig}
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
	previous, err := a.previousOutputs(s)
	if err != nil {
		return err
	}
	hashes := txscript.NewTxSigHashes(tx, previous)
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
	r := bytes.NewReader(raw)
	if err := tx.Deserialize(r); err != nil || r.Len() != 0 {
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

// IDOf is the id of a raw transaction.
func IDOf(raw []byte) (TxID, error) {
	var tx wire.MsgTx
	r := bytes.NewReader(raw)
	if err := tx.Deserialize(r); err != nil || r.Len() != 0 {
		return "", refuse(CodeInputUnknown, "transaction is malformed")
	}
	return TxID(tx.TxHash().String()), nil
}
