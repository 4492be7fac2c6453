package wallet

import (
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/address/v2/base58"
	"github.com/btcsuite/btcd/address/v2/bech32"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

const vectors = "../../vectors/"

func load[T any](t testing.TB, name string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(readFile(t, name), &v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

// count fails for a file that lost or gained entries, so that none is passed over in silence.
func count(t testing.TB, what string, got, want int) {
	t.Helper()
	if got != want {
		t.Errorf("%s: walked %d, want %d", what, got, want)
	}
}

func unhex(s string) []byte { return must(hex.DecodeString(s)) }

func accountOf(t failer, network Network, key *hdkeychain.ExtendedKey) *Account {
	t.Helper()
	a, err := NewAccount(network, [33]byte(must(key.ECPubKey()).SerializeCompressed()), [32]byte(key.ChainCode()))
	if err != nil {
		t.Fatalf("account: %v", err)
	}
	return a
}

// BIP32, vectors 1 to 4. Every published node is made an account. Driven are: the account's own xpub where the node is a
// root; every unhardened step that a vector takes, by public derivation; and the account's keys against private
// derivation from the node's xprv. Hardened steps need a private key, which the wallet never has.
func TestBIP32(t *testing.T) {
	type node struct{ Path, Xpub, Xprv string }
	file := load[[]struct {
		Seed   string `json:"seed_hex"`
		Chains []node
	}](t, vectors+"bip32/bip32_vectors_1-4.json")
	nodes, steps, chains := 0, 0, 0
	for _, v := range file {
		for i, n := range v.Chains {
			nodes++
			public, private := must(hdkeychain.NewKeyFromString(n.Xpub)), must(hdkeychain.NewKeyFromString(n.Xprv))
			a := accountOf(t, Mainnet, public)
			if n.Path == "m" && a.xpub.String() != n.Xpub {
				t.Errorf("%s: xpub is %s", n.Xpub, a.xpub)
			}
			checkAgainstPrivate(t, holder{a, private})
			if i == 0 {
				continue
			}
			last := n.Path[strings.LastIndexByte(n.Path, '/')+1:]
			index, err := strconv.ParseUint(last, 10, 31)
			if err != nil {
				continue // hardened
			}
			steps++
			parent := accountOf(t, Mainnet, must(hdkeychain.NewKeyFromString(v.Chains[i-1].Xpub)))
			child := must(parent.xpub.Derive(uint32(index)))
			if index <= ChangeChain {
				chains++
				child = parent.chains[index]
			}
			if !must(child.ECPubKey()).IsEqual(must(public.ECPubKey())) || !bytes.Equal(child.ChainCode(), public.ChainCode()) {
				t.Errorf("%s: public derivation gives another key or chain code", n.Path)
			}
		}
	}
	count(t, "nodes", nodes, 17)
	count(t, "unhardened steps", steps, 6)
	count(t, "of them to chain 0 or 1", chains, 3)
}

func checkAgainstPrivate(t *testing.T, h holder) {
	t.Helper()
	for _, p := range []Path{{0, 0}, {0, 1}, {1, 0}, {1, 2}, {0, 1_000_000_000}, {1, hdkeychain.HardenedKeyStart - 1}} {
		got, err := h.InternalKey(p)
		if err != nil || !got.IsEqual(h.key(p).PubKey()) {
			t.Errorf("path %s: public and private derivation differ (%v)", p, err)
		}
	}
	for _, p := range []Path{{2, 0}, {0, hdkeychain.HardenedKeyStart}, {hdkeychain.HardenedKeyStart, 0}} {
		_, err := h.InternalKey(p)
		wantCode(t, "path "+p.String(), err, CodeKey)
	}
}

// BIP32, vector 5: of the extended keys that must be refused, the key material that can reach NewAccount. The rest are
// wrong versions, depths and checksums of a text form that the wallet never reads.
func TestBIP32InvalidKeys(t *testing.T) {
	for name, key := range map[string]string{
		"prefix 04":     "04" + strings.Repeat("11", 32),
		"prefix 01":     "01" + strings.Repeat("11", 32),
		"private key":   "00" + strings.Repeat("11", 32),
		"not on curve":  "02" + strings.Repeat("00", 31) + "07",
		"zero":          strings.Repeat("00", 33),
		"field modulus": "02fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f",
	} {
		_, err := NewAccount(Mainnet, [33]byte(unhex(key)), [32]byte{})
		wantCode(t, name, err, CodeKey)
	}
}

// BIP84: everything public, through the account: keys, scripts and addresses at each path. The BIP writes its account key
// with the version bytes of SLIP-132, which the wallet neither reads nor writes; the test takes key and chain code out of
// it. The account's descriptor carries them as a root.
func TestBIP84(t *testing.T) {
	file := load[[]struct{ Section, Xpub, Pubkey, Address string }](t, vectors+"bip84/bip84_vectors.json")
	count(t, "sections", len(file), 5)
	raw := base58.Decode(file[1].Xpub) // version, depth, parent, child number, chain code, key, checksum
	a, err := NewAccountOf(P2WPKH, Mainnet, [33]byte(raw[45:78]), [32]byte(raw[13:45]))
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range []Path{{0, 0}, {0, 1}, {1, 0}} {
		v := file[2+i]
		key, program := must(a.PublicKey(p)), append([]byte{0, 20}, address.Hash160(unhex(v.Pubkey))...)
		for what, pair := range map[string][2]string{
			"key":     {v.Pubkey, hex.EncodeToString(key[:])},
			"script":  {hex.EncodeToString(program), hex.EncodeToString(must(a.Script(p)))},
			"address": {v.Address, must(a.Address(p))},
			"parsed":  {hex.EncodeToString(program), hex.EncodeToString(must(ParseAddress(Mainnet, v.Address)).Script)},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s: %s is %s, want %s", v.Section, what, pair[1], pair[0])
			}
		}
		_, err := a.OutputKey(p)
		wantCode(t, "an output key", err, CodeKey)
	}
	text, _, _ := strings.Cut(strings.TrimPrefix(a.Descriptor(), "wpkh("), "/")
	again := must(hdkeychain.NewKeyFromString(text))
	if !strings.HasPrefix(text, "xpub") || !bytes.Equal(must(again.ECPubKey()).SerializeCompressed(), raw[45:78]) || !bytes.Equal(again.ChainCode(), raw[13:45]) {
		t.Error("descriptor has another key")
	}
}

// BIP86: everything public, through the account: keys at each path, output keys, scripts, addresses, and the xpub in the
// descriptor, which has the account's key and chain code but stands as a root.
func TestBIP86(t *testing.T) {
	file := load[[]struct {
		Section, Xpub, Xprv, Address string
		InternalKey                  string `json:"internal_key"`
		OutputKey                    string `json:"output_key"`
		Script                       string `json:"scriptPubKey"`
	}](t, vectors+"bip86/bip86_vectors.json")
	count(t, "sections", len(file), 5)
	root := must(hdkeychain.NewKeyFromString(file[1].Xpub))
	a := accountOf(t, Mainnet, root)
	for i, p := range []Path{{0, 0}, {0, 1}, {1, 0}} {
		v := file[2+i]
		internal, output := must(a.InternalKey(p)), must(a.OutputKey(p))
		leaf := must(hdkeychain.NewKeyFromString(v.Xpub))
		for what, pair := range map[string][2]string{
			"key":          {hex.EncodeToString(must(leaf.ECPubKey()).SerializeCompressed()), hex.EncodeToString(internal.SerializeCompressed())},
			"internal key": {v.InternalKey, hex.EncodeToString(schnorr.SerializePubKey(internal))},
			"output key":   {v.OutputKey, hex.EncodeToString(output[:])},
			"script":       {v.Script, hex.EncodeToString(must(a.Script(p)))},
			"address":      {v.Address, must(a.Address(p))},
			"parsed":       {v.Script, hex.EncodeToString(must(ParseAddress(Mainnet, v.Address)).Script)},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s: %s is %s, want %s", v.Section, what, pair[1], pair[0])
			}
		}
	}
	text := strings.TrimSuffix(strings.TrimPrefix(a.Descriptor(), "tr("), a.Descriptor()[strings.Index(a.Descriptor(), "/<0;1>/*)#"):])
	again := must(hdkeychain.NewKeyFromString(text))
	if !must(again.ECPubKey()).IsEqual(must(root.ECPubKey())) || !bytes.Equal(again.ChainCode(), root.ChainCode()) {
		t.Error("descriptor has another key")
	}
}

// BIP380: checksums that the BIP and Bitcoin Core publish.
func TestBIP380Checksums(t *testing.T) {
	for _, d := range []string{
		"raw(deadbeef)#89f8spxm",
		"addr(mkmZxiEcEd8ZqjQWVZuC6so5dFMKEFpN2j)#02wpgw69",
		"sh(multi(2,[00000000/111'/222]xpub6ERApfZwUNrhLCkDtcHTcxd75RbzS1ed54G1LkBUHQVHQKqhMkhgbmJbZRkrgZw4koxb5JaHWkY4ALHY2grBGRjaDMzQLcgJvLJuZZvRcEL,xpub68NZiKmJWnxxS6aaHmn81bvJeTESw724CRDs6HbuccFQN9Ku14VQrADWgqbhhTHBaohPX4CjNLf9fq9MYo6oDaPPLPxSb7gwQN3ih19Zm4Y/0))#tjg09x5t",
	} {
		body, want, _ := strings.Cut(d, "#")
		if got, err := DescriptorChecksum(body); err != nil || got != want {
			t.Errorf("%s: %s (%v)", d, got, err)
		}
	}
	_, err := DescriptorChecksum("raw(Ü)")
	wantCode(t, "foreign character", err, CodeKey)
}

// The account's descriptors say the same keys for both chains and for each, with checksums, and with its network's xpub.
func TestDescriptors(t *testing.T) {
	for network, key := range map[Network]string{Mainnet: "xpub", Testnet: "tpub", Signet: "tpub", Regtest: "tpub"} {
		for kind, function := range map[Kind]string{P2TR: "tr(", P2WPKH: "wpkh("} {
			h := newHolderOf(t, kind, network, 3)
			for d, end := range map[string]string{h.Descriptor(): "/<0;1>/*)", h.ChainDescriptor(ReceiveChain): "/0/*)", h.ChainDescriptor(ChangeChain): "/1/*)"} {
				body, sum, _ := strings.Cut(d, "#")
				if want := must(DescriptorChecksum(body)); !strings.HasPrefix(d, function+key) || body != function+h.xpub.String()+end || sum != want {
					t.Errorf("%s: %s", network, d)
				}
			}
			if h.Network() != network || h.Kind() != kind {
				t.Errorf("account is %s on %s, want %s on %s", h.Kind(), h.Network(), kind, network)
			}
		}
	}
}

// BIP340. The wallet checks signatures through the script engine alone, and the engine through this verifier, so the file
// drives the verifier. It takes digests of 32 bytes only, as the engine gives it; the four messages of other lengths must
// be refused.
func TestBIP340(t *testing.T) {
	rows, err := csv.NewReader(bytes.NewReader(readFile(t, vectors+"bip340/test-vectors.csv"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	valid, invalid, otherLength, signed := 0, 0, 0, 0
	for _, r := range rows[1:] {
		msg, want := unhex(r[4]), r[6] == "TRUE"
		got := false
		if key, err := schnorr.ParsePubKey(unhex(r[2])); err == nil {
			if sig, err := schnorr.ParseSignature(unhex(r[5])); err == nil {
				got = sig.Verify(msg, key)
			}
		}
		switch {
		case len(msg) != 32:
			otherLength++
			want = false
		case want:
			valid++
		default:
			invalid++
		}
		if got != want {
			t.Errorf("vector %s: %v, want %v (%s)", r[0], got, want, r[7])
		}
		if r[1] != "" && len(msg) == 32 {
			signed++
			key, _ := btcec.PrivKeyFromBytes(unhex(r[1]))
			if sig := must(schnorr.Sign(key, msg, schnorr.CustomNonce([32]byte(unhex(r[3]))))); !bytes.Equal(sig.Serialize(), unhex(r[5])) {
				t.Errorf("vector %s: the signer of these tests gives another signature", r[0])
			}
		}
	}
	count(t, "valid", valid, 5)
	count(t, "invalid", invalid, 10)
	count(t, "other lengths", otherLength, 4)
	count(t, "signed", signed, 4)
}

// BIP341, addresses: the wallet commits to no script tree, so the first case drives the tweak that OutputKey makes; all
// cases drive ParseAddress.
func TestBIP341Addresses(t *testing.T) {
	file := load[bip341](t, vectors+"bip341/wallet-test-vectors_part1.json")
	noTree := 0
	for _, v := range file.ScriptPubKey {
		key := must(schnorr.ParsePubKey(unhex(v.Given.InternalPubkey)))
		tweaked := txscript.ComputeTaprootOutputKey(key, unhex(v.Intermediary.MerkleRoot))
		if v.Intermediary.MerkleRoot == "" {
			noTree++
			tweaked = txscript.ComputeTaprootKeyNoScript(key)
		}
		if got := hex.EncodeToString(schnorr.SerializePubKey(tweaked)); got != v.Intermediary.TweakedPubkey {
			t.Errorf("%s: tweaked to %s", v.Intermediary.TweakedPubkey, got)
		}
		if a, err := ParseAddress(Mainnet, v.Expected.Address); err != nil || hex.EncodeToString(a.Script) != v.Expected.ScriptPubKey {
			t.Errorf("%s: script %x (%v)", v.Expected.Address, a.Script, err)
		}
	}
	count(t, "cases", len(file.ScriptPubKey), 4)
	count(t, "without a tree", noTree, 1)
}

type bip341 struct {
	ScriptPubKey []struct {
		Given        struct{ InternalPubkey string }
		Intermediary struct{ MerkleRoot, TweakedPubkey string }
		Expected     struct {
			ScriptPubKey string
			Address      string `json:"bip350Address"`
		}
	}
	KeyPathSpending []struct {
		Given struct {
			RawUnsignedTx string
			UtxosSpent    []struct {
				ScriptPubKey string
				AmountSats   int64
			}
		}
		InputSpending []struct {
			Given struct {
				TxinIndex       int
				InternalPrivkey string
				MerkleRoot      string
				HashType        byte
			}
			Intermediary struct{ TweakedPrivkey, SigMsg, SigHash string }
			Expected     struct{ Witness []string }
		}
	}
}

// BIP341, key path spending. The published transaction spends scripts that are not one account's, with several sequences,
// so no Spend can say it. It checks sigMsg, which TestSighashesAreBIP341 then holds against Sighashes, and the signer of
// these tests: tweaked key, signature and witness.
func TestBIP341KeyPath(t *testing.T) {
	file := load[bip341](t, vectors+"bip341/wallet-test-vectors_part1.json")
	inputs := 0
	for _, v := range file.KeyPathSpending {
		var tx wire.MsgTx
		if err := tx.Deserialize(bytes.NewReader(unhex(v.Given.RawUnsignedTx))); err != nil {
			t.Fatal(err)
		}
		var previous []*wire.TxOut
		for _, u := range v.Given.UtxosSpent {
			previous = append(previous, wire.NewTxOut(u.AmountSats, unhex(u.ScriptPubKey)))
		}
		for _, in := range v.InputSpending {
			inputs++
			g := in.Given
			msg := sigMsg(&tx, previous, g.TxinIndex, g.HashType)
			if got := hex.EncodeToString(msg); got != in.Intermediary.SigMsg {
				t.Errorf("input %d: message %s", g.TxinIndex, got)
			}
			digest := sigHash(msg)
			if got := hex.EncodeToString(digest[:]); got != in.Intermediary.SigHash {
				t.Errorf("input %d: digest %s", g.TxinIndex, got)
			}
			internal, _ := btcec.PrivKeyFromBytes(unhex(g.InternalPrivkey))
			key := txscript.TweakTaprootPrivKey(*internal, unhex(g.MerkleRoot))
			if got := hex.EncodeToString(key.Serialize()); got != in.Intermediary.TweakedPrivkey {
				t.Errorf("input %d: tweaked key is another", g.TxinIndex)
			}
			witness := must(schnorr.Sign(key, digest[:], schnorr.CustomNonce([32]byte{}))).Serialize()
			if g.HashType != 0 {
				witness = append(witness, g.HashType)
			}
			if got := hex.EncodeToString(witness); got != in.Expected.Witness[0] {
				t.Errorf("input %d: witness %s", g.TxinIndex, got)
			}
		}
	}
	count(t, "inputs", inputs, 4)
}

type bechString struct {
	Hex    string `json:"bytes_hex"`
	Script string `json:"scriptPubKey_hex"`
	Note   string
}

func (b bechString) text() string { return string(unhex(b.Hex)) }

// BIP173 and BIP350, checksums. None of these strings is an address, the valid ones neither, and ParseAddress must refuse
// every one. The decoder below it is driven too, because there alone valid and invalid differ.
func TestBech32Strings(t *testing.T) {
	for _, f := range []struct {
		name           string
		version        bech32.Version
		valid, invalid int
	}{{"bech32/bip173_bech32.json", bech32.Version0, 7, 12}, {"bech32/bip350_bech32m.json", bech32.VersionM, 7, 14}} {
		file := load[struct{ Valid, Invalid []bechString }](t, vectors+f.name)
		count(t, f.name+" valid", len(file.Valid), f.valid)
		count(t, f.name+" invalid", len(file.Invalid), f.invalid)
		for _, v := range file.Valid {
			if _, _, version, err := bech32.DecodeGeneric(v.text()); err != nil || version != f.version {
				t.Errorf("%q: version %d (%v)", v.text(), version, err)
			}
		}
		for _, v := range file.Invalid {
			if _, _, version, err := bech32.DecodeGeneric(v.text()); err == nil && version == f.version {
				t.Errorf("%q: decoded, although %s", v.text(), v.Note)
			}
		}
		for _, v := range append(file.Valid, file.Invalid...) {
			for _, n := range []Network{Mainnet, Testnet, Signet, Regtest} {
				_, err := ParseAddress(n, v.text())
				wantCode(t, strconv.Quote(v.text()), err, CodeAddress)
			}
		}
	}
}

// BIP173 and BIP350, addresses. The wallet pays to version 0 and to 32-byte version 1 programs; the other programs that
// BIP350 lists as valid are refused, because nobody can spend them by today's rules. What BIP173 lists with the old
// checksum above version 0 is refused by BIP350.
func TestSegwitAddresses(t *testing.T) {
	paid, refused := 0, 0
	old := load[struct{ Valid, Invalid []bechString }](t, vectors+"bech32/bip173_segwit_addresses.json")
	now := load[[]bechString](t, vectors+"bech32/bip350_segwit_addresses_valid.json")
	for _, list := range []struct {
		entries []bechString
		payable func(script []byte) bool
	}{
		{old.Valid, func(s []byte) bool { return s[0] == 0 }},
		{now, func(s []byte) bool { return s[0] == 0 || s[0] == txscript.OP_1 && len(s) == 34 }},
	} {
		for _, v := range list.entries {
			network, other := Mainnet, Testnet
			if strings.HasPrefix(strings.ToLower(v.text()), "tb") {
				network, other = Testnet, Mainnet
			}
			a, err := ParseAddress(network, v.text())
			if !list.payable(unhex(v.Script)) {
				refused++
				wantCode(t, v.text(), err, CodeAddress)
				continue
			}
			paid++
			if err != nil || hex.EncodeToString(a.Script) != v.Script {
				t.Errorf("%s: script %x (%v)", v.text(), a.Script, err)
			}
			_, err = ParseAddress(other, v.text())
			wantCode(t, v.text()+" elsewhere", err, CodeWrongNetwork)
		}
	}
	for _, v := range old.Invalid {
		for _, n := range []Network{Mainnet, Testnet, Signet, Regtest} {
			_, err := ParseAddress(n, v.text())
			wantCode(t, v.text()+": "+v.Note, err, CodeAddress)
		}
	}
	count(t, "payable", paid, 8)
	count(t, "not payable", refused, 6)
	count(t, "invalid", len(old.Invalid), 10)
}
