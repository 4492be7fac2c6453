package wallet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/psbt/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// checkPSBT parses both forms of a PSBT, holds them to be the same, and wants every cut and every added byte refused.
func checkPSBT(t *testing.T, name string, raw []byte, text string) *psbt.Packet {
	t.Helper()
	p, err := ParsePSBT(raw)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return nil
	}
	again, err := ParsePSBT([]byte(text + "\n"))
	if err != nil || !bytes.Equal(encodePSBT(t, p), encodePSBT(t, again)) {
		t.Errorf("%s: base64 is another (%v)", name, err)
	}
	for n := range raw {
		_, err := ParsePSBT(raw[:n])
		wantCode(t, fmt.Sprintf("%s cut to %d bytes", name, n), err, CodePSBT)
	}
	_, err = ParsePSBT(append(slices.Clone(raw), 0))
	wantCode(t, name+" with a byte more", err, CodePSBT)
	return p
}

func encodePSBT(t testing.TB, p *psbt.Packet) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := p.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// BIP174 and BIP371, valid: read, and written back to something that reads the same.
func TestValidPSBTs(t *testing.T) {
	for name, want := range map[string]int{"psbt/bip174_valid.json": 10, "psbt/bip371_taproot_valid.json": 6} {
		file := load[[]struct{ Case, Hex, Base64 string }](t, vectors+name)
		count(t, name, len(file), want)
		for _, v := range file {
			p := checkPSBT(t, v.Case, unhex(v.Hex), v.Base64)
			if p == nil {
				continue
			}
			first := encodePSBT(t, p)
			if second, err := ParsePSBT(first); err != nil || !bytes.Equal(encodePSBT(t, second), first) {
				t.Errorf("%s: does not read back (%v)", v.Case, err)
			}
		}
	}
}

// BIP174 and BIP371, invalid. The lists stand in testdata.
func TestInvalidPSBTs(t *testing.T) {
	file := load[[]struct{ Case, Source, Hex, Base64 string }](t, "testdata/psbt_invalid.json")
	count(t, "invalid PSBTs", len(file), 29)
	for _, v := range file {
		data := []byte(v.Base64)
		if v.Hex != "" {
			data = unhex(v.Hex)
		}
		_, err := ParsePSBT(data)
		wantCode(t, v.Source+": "+v.Case, err, CodePSBT)
	}
	_, err := ParsePSBT(make([]byte, MaxPSBT+1))
	wantCode(t, "too large", err, CodePSBT)
}

// BIP174, workflow: every PSBT of it is read, and the last one before the combiner's example gives the published network
// transaction. The wallet is none of updater, combiner or multisig signer, so those steps are not done again here.
func TestPSBTWorkflow(t *testing.T) {
	var packets []*psbt.Packet
	var network, raw []byte
	for line := range strings.Lines(string(readFile(t, vectors+"psbt/bip174_workflow.txt"))) {
		if _, text, ok := strings.Cut(line, "Bytes in Hex: "); ok {
			raw = unhex(strings.TrimSpace(text))
			if !bytes.HasPrefix(raw, []byte("psbt")) {
				network = raw
			}
		}
		if _, text, ok := strings.Cut(line, "Base64 String: "); ok {
			packets = append(packets, checkPSBT(t, fmt.Sprintf("PSBT %d", len(packets)), raw, strings.TrimSpace(text)))
		}
	}
	count(t, "PSBTs of the workflow", len(packets), 10)
	if t.Failed() {
		return
	}
	finalised := packets[6]
	tx, err := psbt.Extract(finalised)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := tx.Serialize(&b); err != nil || !bytes.Equal(b.Bytes(), network) {
		t.Errorf("extracted transaction is another (%v)", err)
	}
	h, _, plan := planned(t)
	checkForeign(t, h, plan, network)
}

// stripped cuts marker, flag and witnesses out of a raw transaction, reading lengths only: what a txid hashes.
func stripped(raw []byte) []byte {
	if raw[4] != 0 {
		return raw
	}
	r := bytes.NewReader(raw[6:])
	skip := func(n uint64) { must(r.Seek(int64(n), 1)) }
	for range must(wire.ReadVarInt(r, 0)) {
		skip(36)
		skip(must(wire.ReadVarInt(r, 0)))
		skip(4)
	}
	for range must(wire.ReadVarInt(r, 0)) {
		skip(8)
		skip(must(wire.ReadVarInt(r, 0)))
	}
	end := len(raw) - r.Len()
	return slices.Concat(raw[:4], raw[6:end], raw[len(raw)-4:])
}

// checkForeign drives the parts of the wallet that meet transactions of others: IDOf, Verify, and Check with the
// transaction as the one that an input claims to spend.
func checkForeign(t *testing.T, h holder, s Spend, raw []byte) (outputs int) {
	t.Helper()
	first := chainhash.HashH(stripped(raw))
	want := TxID(chainhash.HashH(first[:]).String())
	if id, err := IDOf(raw); err != nil || id != want {
		t.Errorf("id is %s, want %s (%v)", id, want, err)
		return 0
	}
	_, err := IDOf(append(slices.Clone(raw), 0))
	wantCode(t, "a byte more", err, CodeInputUnknown)
	_, err = IDOf(raw[:len(raw)-1])
	wantCode(t, "a byte less", err, CodeInputUnknown)
	source := newLedger()
	_, err = h.Verify(s, raw)
	wantCode(t, "a foreign transaction", err, CodeSignature)
	source.txs[want] = raw
	var tx wire.MsgTx
	if err := tx.Deserialize(bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	for i, out := range tx.TxOut {
		in := SpendInput{Outpoint: Outpoint{want, uint32(i)}, Value: Amount(out.Value)}
		wantCode(t, "a foreign output", h.checkInput(context.Background(), source, in), CodeInputForeign)
		in.Value++
		wantCode(t, "a false value", h.checkInput(context.Background(), source, in), CodeInputUnknown)
		outputs++
	}
	in := SpendInput{Outpoint: Outpoint{want, uint32(len(tx.TxOut))}, Value: 1}
	wantCode(t, "an output too many", h.checkInput(context.Background(), source, in), CodeInputUnknown)
	return outputs
}

// Bitcoin Core, sighash.json. The digests are of the old kind, before witnesses, which this wallet never signs: they are
// not driven. The transactions are, as foreign ones; they are drawn at random by Core, odd scripts and values included.
func TestCoreSighashTransactions(t *testing.T) {
	h, _, plan := planned(t)
	file := load[[][]any](t, vectors+"bitcoin-core/sighash.json")
	cases, outputs := 0, 0
	for _, row := range file {
		if len(row) == 1 {
			continue // the heading
		}
		cases++
		outputs += checkForeign(t, h, plan, unhex(row[0].(string)))
	}
	count(t, "transactions", cases, 500)
	count(t, "outputs", outputs, 1227)
}

// Bitcoin Core, tx_valid.json. The scripts are not this wallet's and are not run. Driven are the transactions, with and
// without witnesses, as foreign ones, and the named outpoints through ParseOutpoint.
func TestCoreValidTransactions(t *testing.T) {
	h, _, plan := planned(t)
	file := load[[][]json.RawMessage](t, vectors+"bitcoin-core/tx_valid.json")
	cases, witnesses, points, inputs := 0, 0, 0, 0
	for _, row := range file {
		if len(row) == 1 {
			continue // a remark
		}
		cases++
		var text string
		var previous [][]any
		if err := errors.Join(json.Unmarshal(row[0], &previous), json.Unmarshal(row[1], &text)); err != nil {
			t.Fatal(err)
		}
		raw := unhex(text)
		if raw[4] == 0 {
			witnesses++
		}
		checkForeign(t, h, plan, raw)
		var tx wire.MsgTx
		if err := tx.Deserialize(bytes.NewReader(raw)); err != nil {
			t.Fatal(err)
		}
		named := map[wire.OutPoint]bool{}
		for _, p := range previous {
			o, err := ParseOutpoint(fmt.Sprintf("%s:%d", p[0], uint32(int64(p[1].(float64)))))
			if err != nil {
				t.Fatal(err)
			}
			named[must(o.wire())] = true
			points++
		}
		for _, in := range tx.TxIn {
			inputs++
			if !named[in.PreviousOutPoint] {
				t.Errorf("case %d: input %s is not among the named outpoints", cases, in.PreviousOutPoint)
			}
		}
	}
	count(t, "transactions", cases, 121)
	count(t, "with witnesses", witnesses, 28)
	count(t, "outpoints", points, 176)
	count(t, "inputs", inputs, 176)
}

// stripped is checked against the library's own serialisation.
func TestStripped(t *testing.T) {
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{Index: 3}, nil, wire.TxWitness{make([]byte, 64)}))
	tx.AddTxOut(wire.NewTxOut(5, []byte{1, 2, 3}))
	var full, bare bytes.Buffer
	if err := errors.Join(tx.Serialize(&full), tx.SerializeNoWitness(&bare)); err != nil {
		t.Fatal(err)
	}
	if got := stripped(full.Bytes()); !bytes.Equal(got, bare.Bytes()) || bytes.Equal(got, full.Bytes()) {
		t.Errorf("stripped to %x", got)
	}
}
