package wallet

import (
	"bytes"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/txscript/v2"
)

// An address that is read pays to a script that names it again; one that is not read has a code that says why.
func FuzzParseAddress(f *testing.F) {
	for _, a := range payees {
		f.Add(a)
	}
	for _, a := range load[[]bechString](f, vectors+"bech32/bip350_segwit_addresses_valid.json") {
		f.Add(a.text())
	}
	for _, a := range []string{"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "3P14159f73E4gFr7JterCCQh9QjiTjiZrG", "bcrt1pfeesnyr2tx", "bc1", ""} {
		f.Add(a)
	}
	f.Fuzz(func(t *testing.T, text string) {
		read := 0
		for _, n := range []Network{Mainnet, Testnet, Signet, Regtest} {
			a, err := ParseAddress(n, text)
			if err != nil {
				if c := code(err); c != CodeAddress && c != CodeWrongNetwork {
					t.Fatalf("%s: %v", n, err)
				}
				continue
			}
			read++
			_, named, _, err := txscript.ExtractPkScriptAddrs(a.Script, n.params())
			if err != nil || len(named) != 1 {
				t.Fatalf("%s: script %x names %d addresses (%v)", n, a.Script, len(named), err)
			}
			again := named[0].EncodeAddress()
			if a.Text != text || again != text && again != strings.ToLower(text) {
				t.Fatalf("%s: %q reads as %q", n, text, again)
			}
			if lower, err := ParseAddress(n, again); err != nil || !bytes.Equal(lower.Script, a.Script) {
				t.Fatalf("%s: %q pays another script (%v)", n, again, err)
			}
			if Dust(a.Script) < 294 {
				t.Fatalf("dust limit of %d", Dust(a.Script))
			}
		}
		if _, err := ParseAddress(Mainnet, text); read > 0 && code(err) == CodeAddress {
			t.Fatalf("%q is an address of some network, but not said to be of another", text)
		}
	})
}

// A PSBT that is read is written to bytes that read as the same.
func FuzzParsePSBT(f *testing.F) {
	for _, name := range []string{"psbt/bip174_valid.json", "psbt/bip371_taproot_valid.json"} {
		for _, v := range load[[]struct{ Hex, Base64 string }](f, vectors+name) {
			f.Add(unhex(v.Hex))
			f.Add([]byte(v.Base64))
		}
	}
	for _, v := range load[[]struct{ Hex, Base64 string }](f, "testdata/psbt_invalid.json") {
		f.Add(append(unhex(v.Hex), v.Base64...))
	}
	for _, kind := range kinds {
		h, _, s := plannedOf(f, kind)
		f.Add(must(h.PSBT(s, nil)))
		f.Add(must(h.PSBT(s, h.sign(f, s))))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePSBT(data)
		if err != nil {
			wantCode(t, "refused", err, CodePSBT)
			return
		}
		first := encodePSBT(t, p)
		again, err := ParsePSBT(first)
		if err != nil {
			t.Fatalf("what was written is not read: %v", err)
		}
		if second := encodePSBT(t, again); !bytes.Equal(first, second) {
			t.Fatalf("written as\n%x\nthen as\n%x", first, second)
		}
	})
}

// There is no descriptor parser: descriptors are written, never read. Their checksum takes any text. It finds every
// single changed character, which BIP380 promises.
func FuzzDescriptorChecksum(f *testing.F) {
	f.Add("raw(deadbeef)", uint(3), uint(7))
	f.Add(newHolder(f, Mainnet, 1).Descriptor(), uint(0), uint(1))
	f.Add(newHolderOf(f, P2WPKH, Mainnet, 1).Descriptor(), uint(9), uint(1))
	f.Add("\xff", uint(0), uint(0))
	f.Fuzz(func(t *testing.T, text string, at, with uint) {
		sum, err := DescriptorChecksum(text)
		if err != nil {
			wantCode(t, "refused", err, CodeKey)
			return
		}
		if len(sum) != 8 || strings.Trim(sum, descriptorChecksum) != "" {
			t.Fatalf("checksum %q", sum)
		}
		if text == "" {
			return
		}
		changed := []byte(text)
		changed[at%uint(len(text))] = descriptorInput[with%uint(len(descriptorInput))]
		if got, err := DescriptorChecksum(string(changed)); err != nil || (got == sum) != (string(changed) == text) {
			t.Fatalf("%q and %q have checksums %s and %s (%v)", text, changed, sum, got, err)
		}
	})
}

// An outpoint that is read is written as it was.
func FuzzParseOutpoint(f *testing.F) {
	f.Add(strings.Repeat("0f", 32) + ":0")
	f.Add(strings.Repeat("0F", 32) + ":01")
	f.Fuzz(func(t *testing.T, text string) {
		o, err := ParseOutpoint(text)
		if err != nil {
			wantCode(t, "refused", err, CodeSpend)
			return
		}
		if point, err := o.wire(); err != nil || o.String() != text || point.String() != text {
			t.Fatalf("%q is written as %q (%v)", text, o, err)
		}
	})
}
