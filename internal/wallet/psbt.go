package wallet

import (
	"bytes"
	"encoding/base64"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/psbt/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// MaxPSBT bounds a PSBT in bytes.
const MaxPSBT = 1 << 20

// PSBT is a spend as a PSBT (BIP174, BIP371): the unsigned transaction, each input's output, key and path, for P2WPKH its
// whole previous transaction, and the change's key and path. Paths are relative to the group key, whose fingerprint stands
// with them. With signatures, each input is finalised.
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
	spent, err := a.spent(s)
	if err != nil {
		return nil, err
	}
	for i, in := range s.Inputs {
		p.Inputs[i].WitnessUtxo = spent[i]
		if err := a.fillInput(&p.Inputs[i], in); err != nil {
			return nil, err
		}
	}
	if s.Change != nil {
		if err := a.fillChange(&p.Outputs[s.Change.Position], s.Change.Index); err != nil {
			return nil, err
		}
	}
	if signatures != nil {
		if err := a.finalise(p, s, signatures); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	if err := p.Serialize(&b); err != nil {
		return nil, refuse(CodePSBT, "serialise: %w", err)
	}
	if b.Len() > MaxPSBT {
		return nil, refuse(CodePSBT, "larger than %d bytes", MaxPSBT) // ParsePSBT would not read it
	}
	return b.Bytes(), nil
}

// finalise adds the signatures and turns them into witnesses. The library drops the previous transactions then; they are
// put back, because whoever reads the PSBT wants to check it.
func (a *Account) finalise(p *psbt.Packet, s Spend, signatures [][]byte) error {
	previous := make([]*wire.MsgTx, len(p.Inputs))
	for i := range p.Inputs {
		in := &p.Inputs[i]
		previous[i] = in.NonWitnessUtxo
		w, err := a.witness(i, s.Inputs[i].Path, signatures[i])
		if err != nil {
			return err
		}
		if a.kind == P2WPKH {
			in.PartialSigs = []*psbt.PartialSig{{Signature: w[0], PubKey: w[1]}}
		} else {
			in.TaprootKeySpendSig = w[0]
		}
	}
	if err := psbt.MaybeFinalizeAll(p); err != nil {
		return refuse(CodePSBT, "finalise: %w", err)
	}
	for i := range p.Inputs {
		p.Inputs[i].NonWitnessUtxo = previous[i]
	}
	return nil
}

func (a *Account) fillInput(in *psbt.PInput, s SpendInput) error {
	key, origin, err := a.origin(s.Path)
	if err != nil {
		return err
	}
	if a.kind == P2TR {
		in.SighashType = txscript.SigHashDefault
		in.TaprootInternalKey, in.TaprootBip32Derivation = taprootOrigin(key, origin)
		return nil
	}
	in.SighashType = txscript.SigHashAll
	in.Bip32Derivation = []*psbt.Bip32Derivation{origin}
	in.NonWitnessUtxo, err = parseBare(s.Previous, s.Outpoint.TxID)
	return err
}

// fillChange names the change's key and path, so that a signer can see that the output is its own.
func (a *Account) fillChange(out *psbt.POutput, index uint32) error {
	key, origin, err := a.origin(Path{ChangeChain, index})
	if err != nil {
		return err
	}
	if a.kind == P2TR {
		out.TaprootInternalKey, out.TaprootBip32Derivation = taprootOrigin(key, origin)
	} else {
		out.Bip32Derivation = []*psbt.Bip32Derivation{origin}
	}
	return nil
}

// origin is the key at a path and where it comes from.
func (a *Account) origin(p Path) (*btcec.PublicKey, *psbt.Bip32Derivation, error) {
	key, err := a.InternalKey(p)
	if err != nil {
		return nil, nil, err
	}
	root, err := a.xpub.ECPubKey()
	if err != nil {
		return nil, nil, refuse(CodeKey, "group key: %w", err)
	}
	return key, &psbt.Bip32Derivation{PubKey: key.SerializeCompressed(), MasterKeyFingerprint: fingerprint(root.SerializeCompressed()), Bip32Path: []uint32{p.Chain, p.Index}}, nil
}

func taprootOrigin(key *btcec.PublicKey, o *psbt.Bip32Derivation) ([]byte, []*psbt.TaprootBip32Derivation) {
	internal := schnorr.SerializePubKey(key)
	return internal, []*psbt.TaprootBip32Derivation{{XOnlyPubKey: internal, MasterKeyFingerprint: o.MasterKeyFingerprint, Bip32Path: o.Bip32Path}}
}

// ParsePSBT reads a PSBT, binary or base64, and checks its shape. It says nothing of who owns what: see Check.
func ParsePSBT(data []byte) (*psbt.Packet, error) {
	if len(data) > MaxPSBT {
		return nil, refuse(CodePSBT, "larger than %d bytes", MaxPSBT)
	}
	if !bytes.HasPrefix(data, []byte(psbtMagic)) {
		raw, err := base64.StdEncoding.Strict().DecodeString(string(bytes.TrimSpace(data)))
		if err != nil {
			return nil, refuse(CodePSBT, "neither binary nor base64")
		}
		data = raw
	}
	if !boundPSBT(data) {
		return nil, refuse(CodePSBT, "maps or transactions are cut short, or claim more than is there")
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
