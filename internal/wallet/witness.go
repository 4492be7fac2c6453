package wallet

import (
	"errors"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ecdsa"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// signatureSize is the size of a signature as signers hand it in, of either kind: BIP340's, or r and s in 32 bytes each.
const signatureSize = 64

// sighash is the digest of one input.
func (a *Account) sighash(tx *wire.MsgTx, hashes *txscript.TxSigHashes, previous txscript.PrevOutputFetcher, i int, out *wire.TxOut) ([32]byte, error) {
	var h []byte
	var err error
	if a.kind == P2WPKH {
		h, err = txscript.CalcWitnessSigHash(out.PkScript, hashes, txscript.SigHashAll, tx, i, out.Value)
	} else {
		h, err = txscript.CalcTaprootSignatureHash(hashes, txscript.SigHashDefault, tx, i, previous)
	}
	if err != nil {
		return [32]byte{}, refuse(CodeSpend, "signature hash of input %d: %w", i, err)
	}
	return [32]byte(h), nil
}

// witness puts a signature into the form that the chain wants.
func (a *Account) witness(i int, p Path, signature []byte) (wire.TxWitness, error) {
	if len(signature) != signatureSize {
		return nil, refuse(CodeSignature, "signature %d has %d bytes", i, len(signature))
	}
	if a.kind != P2WPKH {
		return wire.TxWitness{signature}, nil
	}
	der, err := encodeDER([signatureSize]byte(signature))
	if err != nil {
		return nil, refuse(CodeSignature, "signature %d: %w", i, err)
	}
	key, err := a.PublicKey(p)
	if err != nil {
		return nil, err
	}
	return wire.TxWitness{append(der, byte(txscript.SigHashAll)), key[:]}, nil
}

// encodeDER is strict DER (BIP66) of an ECDSA signature. It refuses numbers that are zero or not below the group's order,
// and an s in the upper half of it: somebody else could turn that into the lower one, and with it the transaction into
// another of the same id that nodes do not relay (BIP146).
func encodeDER(signature [signatureSize]byte) ([]byte, error) {
	var r, s btcec.ModNScalar
	switch {
	case r.SetByteSlice(signature[:32]) || s.SetByteSlice(signature[32:]):
		return nil, errors.New("r or s is not below the order of the group")
	case r.IsZero() || s.IsZero():
		return nil, errors.New("r or s is zero")
	case s.IsOverHalfOrder():
		return nil, errors.New("s is in the upper half")
	}
	return ecdsa.NewSignature(&r, &s).Serialize(), nil
}

// checkShape refuses witnesses that the script engine would pass but Attach would not have made: of another number of
// items, or with a signature that leaves a part of the transaction open.
func (a *Account) checkShape(tx *wire.MsgTx) error {
	for i, in := range tx.TxIn {
		w := in.Witness
		ok := len(w) == 1 && len(w[0]) == signatureSize
		if a.kind == P2WPKH {
			ok = len(w) == 2 && len(w[0]) > 0 && w[0][len(w[0])-1] == byte(txscript.SigHashAll) && len(w[1]) == 33
		}
		if !ok {
			return refuse(CodeSignature, "witness of input %d has another shape", i)
		}
	}
	return nil
}
