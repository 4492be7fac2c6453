package wallet

import (
	"bytes"
	"encoding/base64"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/psbt/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// MaxPSBT bounds a PSBT in bytes.
const MaxPSBT = 1 << 20

// PSBT is a spend as a PSBT (BIP174, BIP371): the unsigned transaction, each input's output, internal key and path, and
// the change's. Paths are relative to the group key, whose fingerprint stands with them. With signatures, each input is
// finalised.
func (a *Account) PSBT(s Spend, signatures [][]byte) ([]byte, error) {
	tx, err := a.UnsignedTx(s)
	if err != nil {
		return nil, err
	}
	p, err := psbt.NewFromUnsignedTx(tx)
	if err != nil {
		return nil, refuse(CodePSBT, "make: %w", err)
	}
	if signatures != nil && len(signatures) != len(s.Inputs) {
		return nil, refuse(CodeSignature, "%d signatures for %d inputs", len(signatures), len(s.Inputs))
	}
	for i, in := range s.Inputs {
		if err := a.fillInput(&p.Inputs[i], in); err != nil {
			return nil, err
		}
		if signatures != nil {
			p.Inputs[i].TaprootKeySpendSig = signatures[i]
		}
	}
	if s.Change != nil {
		d, internal, err := a.derivation(Path{ChangeChain, s.Change.Index})
		if err != nil {
			return nil, err
		}
		out := &p.Outputs[s.Change.Position]
		out.TaprootInternalKey, out.TaprootBip32Derivation = internal, []*psbt.TaprootBip32Derivation{d}
	}
	if signatures != nil {
		if err := psbt.MaybeFinalizeAll(p); err != nil {
			return nil, refuse(CodePSBT, "finalise: %w", err)
		}
	}
	var b bytes.Buffer
	if err := p.Serialize(&b); err != nil {
		return nil, refuse(CodePSBT, "serialise: %w", err)
	}
	return b.Bytes(), nil
}

func (a *Account) fillInput(in *psbt.PInput, s SpendInput) error {
	script, err := a.Script(s.Path)
	if err != nil {
		return err
	}
	d, internal, err := a.derivation(s.Path)
	if err != nil {
		return err
	}
	in.WitnessUtxo = wire.NewTxOut(int64(s.Value), script)
	in.SighashType = txscript.SigHashDefault
	in.TaprootInternalKey, in.TaprootBip32Derivation = internal, []*psbt.TaprootBip32Derivation{d}
	return nil
}

func (a *Account) derivation(p Path) (*psbt.TaprootBip32Derivation, []byte, error) {
	key, err := a.InternalKey(p)
	if err != nil {
		return nil, nil, err
	}
	root, err := a.xpub.ECPubKey()
	if err != nil {
		return nil, nil, refuse(CodeKey, "group key: %w", err)
	}
	internal := schnorr.SerializePubKey(key)
	return &psbt.TaprootBip32Derivation{XOnlyPubKey: internal, MasterKeyFingerprint: fingerprint(root.SerializeCompressed()), Bip32Path: []uint32{p.Chain, p.Index}}, internal, nil
}

// ParsePSBT reads a PSBT, binary or base64, and checks its shape. It says nothing of who owns what: see Check.
func ParsePSBT(data []byte) (*psbt.Packet, error) {
	if len(data) > MaxPSBT {
		return nil, refuse(CodePSBT, "larger than %d bytes", MaxPSBT)
	}
	if !bytes.HasPrefix(data, []byte("psbt\xff")) {
		raw, err := base64.StdEncoding.Strict().DecodeString(string(bytes.TrimSpace(data)))
		if err != nil {
			return nil, refuse(CodePSBT, "neither binary nor base64")
		}
		data = raw
	}
	r := bytes.NewReader(data)
	p, err := psbt.NewFromRawBytes(r, false)
	if err != nil {
		return nil, refuse(CodePSBT, "%w", err)
	}
	if r.Len() != 0 {
		return nil, refuse(CodePSBT, "bytes after the end")
	}
	return p, nil
}
