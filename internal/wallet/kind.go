package wallet

import "github.com/btcsuite/btcd/txscript/v2"

// Kind is what the addresses of an account are, and with that what is signed to spend from them.
type Kind string

// The kinds.
const (
	P2TR   Kind = "p2tr"   // BIP86: Taproot key path, Schnorr over the digest of BIP341
	P2WPKH Kind = "p2wpkh" // BIP84: segwit version 0, ECDSA over the digest of BIP143
)

// ParseKind reads a kind's name.
func ParseKind(s string) (Kind, error) {
	switch k := Kind(s); k {
	case P2TR, P2WPKH:
		return k, nil
	}
	return "", refuse(CodeKey, "address kind %q is not known", s)
}

// Weights of the parts of a transaction, in weight units (BIP141). The base counts marker and flag, and counts of one byte.
const (
	outpointWeight = 4 * (32 + 4 + 1 + 4)        // outpoint, empty script, sequence
	taprootWitness = 1 + 1 + 64                  // one item: the signature, SIGHASH_DEFAULT
	segwitWitness  = 1 + 1 + maxDER + 1 + 1 + 33 // two items: the signature with its SIGHASH_ALL byte, the compressed key
	baseWeight     = 4*(4+4+1+1) + 2
)

// maxDER is the longest DER encoding of a signature with low S: 71 bytes when r has its top bit set and so takes a leading
// zero, 70 in half of all cases, less in one of about a hundred. With the SIGHASH_ALL byte that is 72 and 71.
const maxDER = 71

// inputWeight is the weight of a signed input: exact for P2TR; the most for P2WPKH, and one unit less in half of all cases.
func (k Kind) inputWeight() int64 {
	if k == P2WPKH {
		return outpointWeight + segwitWitness
	}
	return outpointWeight + taprootWitness
}

// scriptLen is the length of a scriptPubKey, and so of the change's.
func (k Kind) scriptLen() int {
	if k == P2WPKH {
		return 2 + 20
	}
	return 2 + 32
}

// dust is Dust of the account's own scripts: 330 for P2TR, 294 for P2WPKH.
func (k Kind) dust() Amount { return witnessDust(k.scriptLen()) }

func (k Kind) descriptor() string {
	if k == P2WPKH {
		return "wpkh"
	}
	return "tr"
}

// changeWeight is the weight of a change output.
func (k Kind) changeWeight() int64 { return outputWeight(k.scriptLen()) }

func outputWeight(scriptLen int) int64 { return 4 * int64(8+1+scriptLen) }

// countWeight is what a count of outputs takes beyond its first byte.
func countWeight(outputs int) int64 {
	if outputs > 252 {
		return 8
	}
	return 0
}

// weight of a transaction with this many inputs, and outputs of this weight together with their count's. Counts above 252
// take two more bytes.
func (k Kind) weight(inputs int, outputs int64) int64 {
	w := int64(baseWeight) + int64(inputs)*k.inputWeight() + outputs
	if inputs > 252 {
		w += 8
	}
	return w
}

// Dust is the least amount that an output with this script may have: what Bitcoin Core's default relay policy asks for,
// three times the fee rate of 1000 for spending it.
func Dust(script []byte) Amount {
	if txscript.IsWitnessProgram(script) {
		return witnessDust(len(script))
	}
	return Amount(3 * (8 + 1 + len(script) + 32 + 4 + 1 + 107 + 4))
}

func witnessDust(scriptLen int) Amount {
	return Amount(3 * (8 + 1 + scriptLen + 32 + 4 + 1 + 107/4 + 4))
}
