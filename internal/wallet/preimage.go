package wallet

import (
	"encoding/binary"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
)

// Preimages is, for each input of a P2WPKH spend, the bytes whose double SHA-256 is signed (BIP143, SIGHASH_ALL). A signer of
// ECDSA hashes them itself: it takes no digest from anybody, this package included.
func (a *Account) Preimages(s Spend) ([][]byte, error) {
	if a.kind != P2WPKH {
		return nil, refuse(CodeKey, "only segwit version 0 is signed by preimage")
	}
	digests, err := a.Sighashes(s)
	if err != nil {
		return nil, err
	}
	tx, err := a.UnsignedTx(s)
	if err != nil {
		return nil, err
	}
	hashes, _, err := a.commitments(s, tx)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, len(tx.TxIn))
	for i, in := range tx.TxIn {
		script, err := a.Script(s.Inputs[i].Path)
		if err != nil {
			return nil, err
		}
		// The script code of a key hash is that of P2PKH.
		code := slices.Concat([]byte{25, txscript.OP_DUP, txscript.OP_HASH160, txscript.OP_DATA_20}, script[2:], []byte{txscript.OP_EQUALVERIFY, txscript.OP_CHECKSIG})
		b := binary.LittleEndian.AppendUint32(nil, uint32(tx.Version))
		b = slices.Concat(b, hashes.HashPrevOutsV0[:], hashes.HashSequenceV0[:], in.PreviousOutPoint.Hash[:])
		b = append(binary.LittleEndian.AppendUint32(b, in.PreviousOutPoint.Index), code...)
		b = binary.LittleEndian.AppendUint64(b, uint64(s.Inputs[i].Value))
		b = append(binary.LittleEndian.AppendUint32(b, in.Sequence), hashes.HashOutputsV0[:]...)
		b = binary.LittleEndian.AppendUint32(b, tx.LockTime)
		b = binary.LittleEndian.AppendUint32(b, uint32(txscript.SigHashAll))
		if chainhash.DoubleHashH(b) != chainhash.Hash(digests[i]) {
			return nil, refuse(CodeSpend, "preimage of input %d is not that of the library", i)
		}
		out[i] = b
	}
	return out, nil
}
