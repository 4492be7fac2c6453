package cggmp24

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ecdsa"

	"chancery.dev/internal/group"
)

// Wycheproof's vectors for Bitcoin: strict DER, s in the lower half. What is driven is the check that every signature passes
// before it leaves (holds); the DER is read by btcec.
func TestWycheproofECDSA(t *testing.T) {
	raw, err := os.ReadFile("../../vectors/wycheproof/ecdsa_secp256k1_sha256_bitcoin_test.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		NumberOfTests int
		TestGroups    []struct {
			PublicKey struct{ Uncompressed string }
			Tests     []struct {
				TcID                      int
				Comment, Msg, Sig, Result string
			}
		}
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	run := 0
	for _, g := range v.TestGroups {
		encoded, err := hex.DecodeString(g.PublicKey.Uncompressed)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := btcec.ParsePubKey(encoded)
		if err != nil {
			t.Fatal(err)
		}
		key, err := curve.DecodePoint(parsed.SerializeCompressed())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range g.Tests {
			run++
			msg, err1 := hex.DecodeString(c.Msg)
			sig, err2 := hex.DecodeString(c.Sig)
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			if got := accepts(t, key, msg, sig); got != (c.Result == "valid") {
				t.Errorf("case %d (%s): accepted %v, want %s", c.TcID, c.Comment, got, c.Result)
			}
		}
	}
	if run != v.NumberOfTests || run == 0 {
		t.Errorf("ran %d of %d cases", run, v.NumberOfTests)
	}
}

func accepts(t *testing.T, key *group.Point, msg, der []byte) bool {
	t.Helper()
	parsed, err := ecdsa.ParseDERSignature(der)
	if err != nil {
		return false
	}
	r, s := parsed.R(), parsed.S()
	if s.IsOverHalfOrder() {
		return false
	}
	rb, sb := r.Bytes(), s.Bytes()
	rs, err1 := curve.DecodeScalar(rb[:])
	ss, err2 := curve.DecodeScalar(sb[:])
	digest, err3 := SHA256.digest(msg)
	if err1 != nil || err2 != nil || err3 != nil || rs.IsZero() {
		return false
	}
	c := &Combiner{signable: signable{m: curve.ReduceScalar(digest), r: rs, key: key}}
	return c.holds(ss)
}
