package wallet

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"
	"github.com/btcsuite/btcd/txscript/v2"
)

// Account is the wallet of one threshold key, of one kind.
type Account struct {
	kind    Kind
	network Network
	xpub    *hdkeychain.ExtendedKey
	chains  [2]*hdkeychain.ExtendedKey
}

// NewAccount makes the P2TR account of a compressed group key and its chain code.
func NewAccount(network Network, groupKey [33]byte, chainCode [32]byte) (*Account, error) {
	return NewAccountOf(P2TR, network, groupKey, chainCode)
}

// NewAccountOf makes the account of a kind. The group key stands as a root: its extended key has depth 0 and no parent, in
// the version bytes of BIP32 for every kind, not those of SLIP-132.
func NewAccountOf(kind Kind, network Network, groupKey [33]byte, chainCode [32]byte) (*Account, error) {
	if _, err := ParseKind(string(kind)); err != nil {
		return nil, err
	}
	if _, err := btcec.ParsePubKey(groupKey[:]); err != nil {
		return nil, refuse(CodeKey, "group key: %w", err)
	}
	xpub := hdkeychain.NewExtendedKey(network.params().HDPublicKeyID[:], groupKey[:], chainCode[:], make([]byte, 4), 0, 0, false)
	a := &Account{kind: kind, network: network, xpub: xpub}
	for chain := range a.chains {
		child, err := xpub.Derive(uint32(chain))
		if err != nil {
			return nil, refuse(CodeKey, "derive chain %d: %w", chain, err)
		}
		a.chains[chain] = child
	}
	return a, nil
}

// Kind is the account's kind.
func (a *Account) Kind() Kind { return a.kind }

// Network is the account's network.
func (a *Account) Network() Network { return a.network }

// InternalKey is the key at a path, for P2TR before its tweak.
func (a *Account) InternalKey(p Path) (*btcec.PublicKey, error) {
	if p.Chain > ChangeChain || p.Index >= hdkeychain.HardenedKeyStart {
		return nil, refuse(CodeKey, "path %s is not below this account", p)
	}
	child, err := a.chains[p.Chain].Derive(p.Index)
	if err != nil {
		return nil, refuse(CodeKey, "derive %s: %w", p, err)
	}
	return child.ECPubKey()
}

// PublicKey is InternalKey, compressed: for P2WPKH the key that signs and whose hash the address pays to.
func (a *Account) PublicKey(p Path) ([33]byte, error) {
	key, err := a.InternalKey(p)
	if err != nil {
		return [33]byte{}, err
	}
	return [33]byte(key.SerializeCompressed()), nil
}

// OutputKey is the x-only key that a P2TR address pays to (BIP86: tweaked with no script tree).
func (a *Account) OutputKey(p Path) ([32]byte, error) {
	if a.kind != P2TR {
		return [32]byte{}, refuse(CodeKey, "only Taproot accounts have output keys")
	}
	internal, err := a.InternalKey(p)
	if err != nil {
		return [32]byte{}, err
	}
	return [32]byte(schnorr.SerializePubKey(txscript.ComputeTaprootKeyNoScript(internal))), nil
}

// Script is the scriptPubKey at a path.
func (a *Account) Script(p Path) ([]byte, error) {
	if a.kind == P2WPKH {
		key, err := a.PublicKey(p)
		if err != nil {
			return nil, err
		}
		return append([]byte{txscript.OP_0, 20}, address.Hash160(key[:])...), nil
	}
	key, err := a.OutputKey(p)
	if err != nil {
		return nil, err
	}
	return append([]byte{txscript.OP_1, 32}, key[:]...), nil
}

// Address is the address at a path.
func (a *Account) Address(p Path) (string, error) {
	script, err := a.Script(p)
	if err != nil {
		return "", err
	}
	var addr address.Address
	if program := script[2:]; a.kind == P2WPKH {
		addr, err = address.NewAddressWitnessPubKeyHash(program, a.network.params())
	} else {
		addr, err = address.NewAddressTaproot(program, a.network.params())
	}
	if err != nil {
		return "", refuse(CodeKey, "address: %w", err)
	}
	return addr.EncodeAddress(), nil
}

// Descriptor describes both chains (BIP380, BIP382, BIP386, BIP389), with its checksum.
func (a *Account) Descriptor() string {
	return withChecksum(a.kind.descriptor() + "(" + a.xpub.String() + "/<0;1>/*)")
}

// ChainDescriptor describes one chain.
func (a *Account) ChainDescriptor(chain uint32) string {
	return withChecksum(fmt.Sprintf("%s(%s/%d/*)", a.kind.descriptor(), a.xpub.String(), chain))
}

// Descriptor checksums: BIP380.
const (
	descriptorInput    = "0123456789()[],'/*abcdefgh@:$%{}IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~ijklmnopqrstuvwxyzABCDEFGH`#\"\\ "
	descriptorChecksum = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
)

func descriptorPolymod(c uint64, value int) uint64 {
	c0 := c >> 35
	c = (c&0x7ffffffff)<<5 ^ uint64(value)
	for i, g := range []uint64{0xf5dee51989, 0xa9fdca3312, 0x1bab10e32d, 0x3706b1677a, 0x644d626ffd} {
		if c0>>i&1 == 1 {
			c ^= g
		}
	}
	return c
}

// DescriptorChecksum is the eight characters after the #, or an error for a character that no descriptor has.
func DescriptorChecksum(descriptor string) (string, error) {
	c, class, count := uint64(1), 0, 0
	for _, r := range descriptor {
		at := strings.IndexRune(descriptorInput, r)
		if at < 0 {
			return "", refuse(CodeKey, "descriptor has a character that none may have")
		}
		c = descriptorPolymod(c, at&31)
		class = class*3 + at>>5
		if count++; count == 3 {
			c = descriptorPolymod(c, class)
			class, count = 0, 0
		}
	}
	if count > 0 {
		c = descriptorPolymod(c, class)
	}
	for range 8 {
		c = descriptorPolymod(c, 0)
	}
	c ^= 1
	out := make([]byte, 8)
	for i := range out {
		out[i] = descriptorChecksum[c>>(5*(7-i))&31]
	}
	return string(out), nil
}

func withChecksum(descriptor string) string {
	sum, err := DescriptorChecksum(descriptor)
	if err != nil {
		panic("wallet: own descriptor: " + err.Error()) // made of the allowed characters
	}
	return descriptor + "#" + sum
}

// Address is a parsed address of a network.
type Address struct {
	Text   string
	Script []byte
}

// maxAddress bounds an address in bytes; bech32's own bound is 90.
const maxAddress = 100

// ParseAddress reads an address: base58 P2PKH and P2SH, bech32 P2WPKH and P2WSH, bech32m P2TR. One of another network is
// told apart from one that is none at all.
func ParseAddress(network Network, text string) (Address, error) {
	if text == "" || len(text) > maxAddress {
		return Address{}, refuse(CodeAddress, "address is empty or too long")
	}
	if a, err := decodeAddress(network, text); err == nil {
		return a, nil
	}
	for _, other := range []Network{Mainnet, Testnet, Signet, Regtest} {
		if _, err := decodeAddress(other, text); err == nil {
			return Address{}, refuse(CodeWrongNetwork, "address is of %s, this wallet is on %s", other, network)
		}
	}
	return Address{}, refuse(CodeAddress, "not an address: check for missing or wrong characters")
}

func decodeAddress(network Network, text string) (Address, error) {
	params := network.params()
	a, err := address.DecodeAddress(text, params)
	if err != nil {
		return Address{}, err
	}
	if !a.IsForNet(params) {
		return Address{}, refuse(CodeWrongNetwork, "address is of another network")
	}
	switch a.(type) {
	case *address.AddressPubKeyHash, *address.AddressScriptHash, *address.AddressWitnessPubKeyHash, *address.AddressWitnessScriptHash, *address.AddressTaproot:
	default:
		return Address{}, refuse(CodeAddress, "address is of a kind that is not paid to")
	}
	script, err := txscript.PayToAddrScript(a)
	if err != nil {
		return Address{}, err
	}
	return Address{text, script}, nil
}

// fingerprint is BIP32's: the first four bytes of the key's hash, as PSBTs carry it.
func fingerprint(key []byte) uint32 {
	return binary.LittleEndian.Uint32(address.Hash160(key))
}
