package keystore

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"

	"chancery.dev/internal/secret"
)

const vectors = "../../vectors/"

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	must(t, err)
	return b
}

// kdfCases reads blocks of "name = value" lines, each block begun by COUNT.
func kdfCases(t *testing.T) []map[string]string {
	t.Helper()
	f, err := os.Open(vectors + "kdf/argon2id.txt")
	must(t, err)
	defer f.Close()
	var out []map[string]string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, text, ok := strings.Cut(lines.Text(), "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if strings.TrimSpace(name) == "COUNT" {
			out = append(out, map[string]string{})
		}
		out[len(out)-1][strings.TrimSpace(name)] = strings.TrimSpace(text)
	}
	must(t, lines.Err())
	return out
}

// RFC 9106 and its neighbours. Those with a key or associated data have no place here: the derivation uses neither.
func TestArgon2idVectors(t *testing.T) {
	wrapped, all := 0, 0
	for _, c := range kdfCases(t) {
		if c["secret"] != "" {
			continue
		}
		number := func(name string) uint32 {
			n, err := strconv.ParseUint(c[name], 10, 32)
			must(t, err)
			return uint32(n)
		}
		pass, salt, want := unhex(t, c["pass"]), unhex(t, c["salt"]), unhex(t, c["output"])
		got := argon2.IDKey(pass, salt, number("iter"), number("memcost"), uint8(number("lanes")), number("length"))
		if !bytes.Equal(got, want) {
			t.Errorf("case %s: %x, want %x", c["COUNT"], got, want)
		}
		all++
		if number("length") == 32 {
			wrapped++
			if got := wrapKey(secret.New(pass), salt, number("iter"), number("memcost"), uint8(number("lanes"))); !bytes.Equal(got.Reveal(), want) {
				t.Errorf("case %s: the wrapping key is not Argon2id's", c["COUNT"])
			}
		}
	}
	if wrapped != 2 || all != 5 {
		t.Errorf("%d and %d cases were run", wrapped, all)
	}
}

type aeadFile struct {
	TestGroups []struct {
		IVSize, TagSize int
		Tests           []struct {
			TcID                               int
			Key, IV, AAD, Msg, CT, Tag, Result string
		}
	}
}

// Wycheproof's AES-GCM cases with nonces of our length, through the sealer's own decoder.
func TestAESGCMVectors(t *testing.T) {
	raw, err := os.ReadFile(vectors + "wycheproof/aes_gcm_test.json")
	must(t, err)
	var file aeadFile
	must(t, json.Unmarshal(raw, &file))
	valid, invalid := 0, 0
	for _, g := range file.TestGroups {
		if g.IVSize != 96 || g.TagSize != 128 {
			continue
		}
		for _, c := range g.Tests {
			aead, err := newAEAD(secret.New(unhex(t, c.Key)))
			must(t, err)
			iv, aad, msg, sealed := unhex(t, c.IV), unhex(t, c.AAD), unhex(t, c.Msg), unhex(t, c.CT+c.Tag)
			s := sealer{aead: aead}
			if c.Result == "valid" {
				valid++
				got, err := s.open(aad, append(iv, sealed...))
				if err != nil || !bytes.Equal(got.Reveal(), msg) {
					t.Errorf("case %d does not open: %v", c.TcID, err)
				}
				if got := aead.Seal(nil, iv, msg, aad); !bytes.Equal(got, sealed) {
					t.Errorf("case %d seals to %x", c.TcID, got)
				}
				continue
			}
			invalid++
			if _, err := aead.Open(nil, iv, sealed, aad); err == nil {
				t.Errorf("case %d opens", c.TcID)
			}
			if len(aad) > 0 { // a place has a kind, which the refusal names
				_, err := s.open(aad, append(iv, sealed...))
				refused(t, "case "+strconv.Itoa(c.TcID), err, CodeCorrupt)
			}
		}
	}
	if valid < 100 || invalid < 50 {
		t.Errorf("only %d valid and %d invalid cases were run", valid, invalid)
	}
}

// fixedSealer has a fixed key, so that a finding of the fuzzer can be repeated.
func fixedSealer(t testing.TB) *sealer {
	t.Helper()
	s, err := newSealer(secret.New(bytes.Repeat([]byte{5}, 32)), Options{Cluster: [32]byte{1}, Node: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// FuzzOpenValue: nothing opens but what was sealed, at the place that it was sealed for.
func FuzzOpenValue(f *testing.F) {
	s := fixedSealer(f)
	place, err := nonceRef("n").encode()
	if err != nil {
		f.Fatal(err)
	}
	plain := []byte("sealed once")
	nonce := []byte("twelve bytes")
	sealed := s.aead.Seal(append([]byte(nil), nonce...), nonce, plain, append(append([]byte(nil), s.bind...), place...))
	f.Add(place, sealed)
	f.Add(place, sealed[:len(sealed)-1])
	f.Add(place, sealed[:11])
	f.Add(place, []byte{})
	f.Add(place[:40], sealed)
	f.Add([]byte{3}, sealed[12:])
	f.Fuzz(func(t *testing.T, at, b []byte) {
		if len(at) == 0 {
			return // a reference has a kind
		}
		got, err := s.open(at, b)
		if genuine := bytes.Equal(at, place) && bytes.Equal(b, sealed); genuine {
			holds(t, "genuine value", got, err, string(plain))
		} else {
			refused(t, "forged value", err, CodeCorrupt)
		}
	})
}

// Sealing draws a nonce each time: one value sealed twice differs, and both open.
func TestSealingIsFresh(t *testing.T) {
	s := fixedSealer(t)
	a, b := s.close([]byte("p"), value("v")), s.close([]byte("p"), value("v"))
	if bytes.Equal(a[:12], b[:12]) || bytes.Equal(a, b) {
		t.Error("two sealings share a nonce")
	}
	for _, x := range [][]byte{a, b} {
		got, err := s.open([]byte("p"), x)
		holds(t, "open", got, err, "v")
	}
}
