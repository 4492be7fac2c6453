package wallet

import (
	"bytes"
	"testing"
)

// A preimage is BIP143's message as the tests write it, and hashes to the digest.
func TestPreimages(t *testing.T) {
	h, _, s := plannedOf(t, P2WPKH)
	preimages, err := h.Preimages(s)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := h.UnsignedTx(s)
	if err != nil {
		t.Fatal(err)
	}
	_, previous, err := h.commitments(s, tx)
	if err != nil {
		t.Fatal(err)
	}
	if len(preimages) != len(s.Inputs) || len(preimages) == 0 {
		t.Fatalf("%d preimages of %d inputs", len(preimages), len(s.Inputs))
	}
	for i, in := range tx.TxIn {
		if want := segwitMsg(tx, previous.FetchPrevOutput(in.PreviousOutPoint), i); !bytes.Equal(preimages[i], want) {
			t.Errorf("input %d: %x, want %x", i, preimages[i], want)
		}
	}
	taproot, _, spend := plannedOf(t, P2TR)
	_, err = taproot.Preimages(spend)
	wantCode(t, "P2TR", err, CodeKey)
	s.Inputs[0].Previous = nil
	_, err = h.Preimages(s)
	wantCode(t, "no previous transaction", err, CodePrevious)
}
