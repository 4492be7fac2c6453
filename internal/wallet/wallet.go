// Package wallet is the Bitcoin side of a threshold key: descriptors and addresses, coins, fees, transactions and PSBTs.
//
// It knows public keys only. The group key stands where a hardware wallet has its account key: its unhardened children
// are the addresses (BIP32), of one kind: P2TR (BIP86) or P2WPKH (BIP84). A spend is plain data that fixes a transaction
// to the byte; every node rebuilds the transaction from it and checks each input against its own chain source before it
// says yes. What a chain source says is believed only as far as it can be hashed.
package wallet

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// Reason codes.
const (
	CodeAddress      = "ADDRESS_INVALID"
	CodeWrongNetwork = "ADDRESS_WRONG_NETWORK"
	CodeDust         = "AMOUNT_DUST"
	CodeAmount       = "AMOUNT_INVALID"
	CodeFunds        = "FUNDS_INSUFFICIENT"
	CodeFeeCap       = "FEE_OVER_CAP"
	CodeFee          = "FEE_INVALID"
	CodeInputUnknown = "INPUT_UNKNOWN"
	CodeInputSpent   = "INPUT_SPENT"
	CodeInputForeign = "INPUT_FOREIGN"
	CodeChange       = "CHANGE_FOREIGN"
	CodeSignature    = "SIGNATURE_INVALID"
	CodeChain        = "CHAIN_UNAVAILABLE"
	CodeRejected     = "TRANSACTION_REJECTED"
	CodeNetwork      = "NETWORK_UNKNOWN"
	CodePSBT         = "PSBT_INVALID"
	CodeKey          = "KEY_INVALID"
	CodeSpend        = "SPEND_INVALID"
	CodePrevious     = "INPUT_PREVIOUS_INVALID" // the previous transaction of an input is missing or too large
)

// Error is a refusal with a reason code.
type Error struct {
	Code string
	Err  error
}

// Error is the code and the cause.
func (e *Error) Error() string { return e.Code + ": " + e.Err.Error() }

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// ReasonCode is the code.
func (e *Error) ReasonCode() string { return e.Code }

func refuse(code, format string, args ...any) error { return &Error{code, fmt.Errorf(format, args...)} }

// Network is a Bitcoin network.
type Network string

// The networks.
const (
	Mainnet Network = "mainnet"
	Testnet Network = "testnet"
	Signet  Network = "signet"
	Regtest Network = "regtest"
)

// ParseNetwork reads a network's name.
func ParseNetwork(s string) (Network, error) {
	switch n := Network(s); n {
	case Mainnet, Testnet, Signet, Regtest:
		return n, nil
	}
	return "", refuse(CodeNetwork, "network %q is not known", s)
}

func (n Network) params() *chaincfg.Params {
	switch n {
	case Mainnet:
		return &chaincfg.MainNetParams
	case Signet:
		return &chaincfg.SigNetParams
	case Regtest:
		return &chaincfg.RegressionNetParams
	}
	return &chaincfg.TestNet3Params
}

// Amount is in satoshis.
type Amount int64

// MaxAmount is the money supply.
const MaxAmount Amount = 21_000_000 * 100_000_000

// FeeRate is in satoshis for 1000 virtual bytes.
type FeeRate int64

// MinRelayRate is what nodes relay by default.
const MinRelayRate FeeRate = 1000

// Fee is the fee for a weight, rounded up. One above the money supply is MaxAmount.
func (r FeeRate) Fee(weight int64) Amount {
	vsize := (weight + 3) / 4
	if vsize > 0 && int64(r) > int64(MaxAmount)*1000/vsize {
		return MaxAmount
	}
	return Amount((vsize*int64(r) + 999) / 1000)
}

// TxID is a transaction's id in the byte order of explorers.
type TxID string

// Outpoint names an output of a transaction.
type Outpoint struct {
	TxID TxID
	Vout uint32
}

// String is txid:vout.
func (o Outpoint) String() string {
	return string(o.TxID) + ":" + strconv.FormatUint(uint64(o.Vout), 10)
}

// ParseOutpoint reads txid:vout.
func ParseOutpoint(s string) (Outpoint, error) {
	txid, vout, ok := strings.Cut(s, ":")
	n, err := strconv.ParseUint(vout, 10, 32)
	if !ok || err != nil || len(txid) != 64 {
		return Outpoint{}, refuse(CodeSpend, "outpoint is not txid:vout")
	}
	o := Outpoint{TxID(txid), uint32(n)}
	if _, err := o.wire(); err != nil || o.String() != s {
		return Outpoint{}, refuse(CodeSpend, "outpoint is not txid:vout")
	}
	return o, nil
}

func (o Outpoint) wire() (wire.OutPoint, error) {
	h, err := chainhash.NewHashFromStr(string(o.TxID))
	if err != nil || h.String() != string(o.TxID) { // one spelling, or the same coin could stand twice
		return wire.OutPoint{}, refuse(CodeSpend, "transaction id is not valid")
	}
	return wire.OutPoint{Hash: *h, Index: o.Vout}, nil
}

// Path is a key's place below the group key: chain 0 for receiving, 1 for change.
type Path struct{ Chain, Index uint32 }

// String is chain/index.
func (p Path) String() string { return fmt.Sprintf("%d/%d", p.Chain, p.Index) }

// The chains.
const (
	ReceiveChain = 0
	ChangeChain  = 1
)

// Coin is an unspent output of the wallet.
type Coin struct {
	Outpoint  Outpoint
	Value     Amount
	Path      Path
	Confirmed bool
	Height    int64 // of its block; 0 when unconfirmed
}

// UTXO is what a chain source says of an unspent output.
type UTXO struct {
	Outpoint  Outpoint
	Value     Amount
	Confirmed bool
	Height    int64
}

// Reader is the part of a chain source that scanning and checking need. Transaction returns bytes that hash to the id.
type Reader interface {
	UTXOs(ctx context.Context, script []byte) ([]UTXO, error)
	Used(ctx context.Context, script []byte) (bool, error) // whether any transaction ever paid to it
	Transaction(ctx context.Context, id TxID) ([]byte, error)
	Spent(ctx context.Context, o Outpoint) (bool, error)
}

// Status is where a transaction is.
type Status struct {
	Known     bool
	Confirmed bool
	Height    int64
}

// Chain is the rest of a chain source.
type Chain interface {
	Tip(ctx context.Context) (int64, error)
	FeeRate(ctx context.Context, target int) (FeeRate, error) // 0 when the source has no estimate
	Broadcast(ctx context.Context, raw []byte) (TxID, error)
	Status(ctx context.Context, id TxID) (Status, error)
}
