package devnet

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/rpcclient"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

var regtest = &chaincfg.RegressionNetParams

// Faucet is a single-key P2WPKH wallet that the blocks are mined to.
type Faucet struct {
	key     *btcec.PrivateKey
	address *address.AddressWitnessPubKeyHash
	script  []byte
	rpc     *rpcclient.Client

	mu    sync.Mutex
	coins []coin // oldest first
}

type coin struct {
	op     wire.OutPoint
	value  int64
	height int64
}

// faucetFee is what the faucet pays for each transaction, in satoshis.
const faucetFee = 1000

func newFaucet() (*Faucet, error) {
	key, err := btcec.NewPrivateKey()
	if err != nil {
		return nil, fmt.Errorf("faucet: %w", err)
	}
	addr, err := address.NewAddressWitnessPubKeyHash(address.Hash160(key.PubKey().SerializeCompressed()), regtest)
	if err != nil {
		return nil, fmt.Errorf("faucet: %w", err)
	}
	script, err := txscript.PayToAddrScript(addr)
	if err != nil {
		return nil, fmt.Errorf("faucet: %w", err)
	}
	return &Faucet{key: key, address: addr, script: script}, nil
}

// Address is the faucet's own address, P2WPKH.
func (f *Faucet) Address() string { return f.address.EncodeAddress() }

// collect takes the coinbase of a block into the faucet.
func (f *Faucet) collect(block *chainhash.Hash, height int64) error {
	b, err := f.rpc.GetBlock(block)
	if err != nil {
		return fmt.Errorf("faucet: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	tx := b.Transactions[0]
	f.coins = append(f.coins, coin{wire.OutPoint{Hash: tx.TxHash()}, tx.TxOut[0].Value, height})
	return nil
}

// Pay sends satoshis from a mature coinbase to an address; it is in the mempool when Pay returns.
func (f *Faucet) Pay(_ context.Context, to string, sats int64) (txid string, err error) {
	dest, err := address.DecodeAddress(to, regtest)
	if err != nil {
		return "", fmt.Errorf("faucet: %w", err)
	}
	if !dest.IsForNet(regtest) {
		return "", errors.New("faucet: address is of another network")
	}
	script, err := txscript.PayToAddrScript(dest)
	if err != nil {
		return "", fmt.Errorf("faucet: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	tip, err := f.rpc.GetBlockCount()
	if err != nil {
		return "", fmt.Errorf("faucet: %w", err)
	}
	if len(f.coins) == 0 || tip-f.coins[0].height < maturity || f.coins[0].value < sats+faucetFee+1000 {
		return "", errors.New("faucet: no mature coin is large enough")
	}
	from := f.coins[0]
	f.coins = f.coins[1:]
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(&from.op, nil, nil))
	tx.AddTxOut(wire.NewTxOut(sats, script))
	tx.AddTxOut(wire.NewTxOut(from.value-sats-faucetFee, f.script))
	previous := txscript.NewCannedPrevOutputFetcher(f.script, from.value)
	witness, err := txscript.WitnessSignature(tx, txscript.NewTxSigHashes(tx, previous), 0, from.value, f.script, txscript.SigHashAll, f.key, true)
	if err != nil {
		return "", fmt.Errorf("faucet: %w", err)
	}
	tx.TxIn[0].Witness = witness
	hash, err := f.rpc.SendRawTransaction(tx, false)
	if err != nil {
		return "", fmt.Errorf("faucet: %w", err)
	}
	return hash.String(), nil
}
