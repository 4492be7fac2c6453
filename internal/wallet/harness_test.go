package wallet

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ecdsa"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// failer is what *testing.T, *testing.F and *rapid.T share.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// code is the reason code of an error, or its text when it has none.
func code(err error) string {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.ReasonCode()
	}
	return "no code: " + err.Error()
}

func wantCode(t failer, what string, err error, want string) {
	t.Helper()
	if got := code(err); got != want {
		t.Fatalf("%s: got %q (%v), want %q", what, got, err, want)
	}
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// holder is an account together with the private key that the threshold protocol would stand in for.
type holder struct {
	*Account
	secret *hdkeychain.ExtendedKey
}

// kinds are those that the tests run for.
var kinds = []Kind{P2TR, P2WPKH}

func eachKind(t *testing.T, f func(t *testing.T, kind Kind)) {
	t.Helper()
	for _, k := range kinds {
		t.Run(string(k), func(t *testing.T) { f(t, k) })
	}
}

func newHolder(t failer, network Network, seed byte) holder {
	t.Helper()
	return newHolderOf(t, P2TR, network, seed)
}

func newHolderOf(t failer, kind Kind, network Network, seed byte) holder {
	t.Helper()
	master := must(hdkeychain.NewMaster(bytes.Repeat([]byte{seed}, 32), network.params()))
	public := must(master.ECPubKey())
	account, err := NewAccountOf(kind, network, [33]byte(public.SerializeCompressed()), [32]byte(master.ChainCode()))
	if err != nil {
		t.Fatalf("account: %v", err)
	}
	return holder{account, master}
}

// key is the private key at a path, found by private derivation only.
func (h holder) key(p Path) *btcec.PrivateKey {
	return must(must(must(h.secret.Derive(p.Chain)).Derive(p.Index)).ECPrivKey())
}

// sign makes the signatures of a spend, one for each input: BIP340's or ECDSA's, as the kind wants.
func (h holder) sign(t failer, s Spend) [][]byte {
	t.Helper()
	digests, err := h.Sighashes(s)
	if err != nil {
		t.Fatalf("sighashes: %v", err)
	}
	out := make([][]byte, len(digests))
	for i, d := range digests {
		if h.kind == P2WPKH {
			out[i] = compact(ecdsa.Sign(h.key(s.Inputs[i].Path), d[:]))
			continue
		}
		sig := must(schnorr.Sign(txscript.TweakTaprootPrivKey(*h.key(s.Inputs[i].Path), nil), d[:]))
		out[i] = sig.Serialize()
	}
	return out
}

// compact is r and s in 32 bytes each, as the threshold protocol gives them.
func compact(sig *ecdsa.Signature) []byte {
	r, s := sig.R(), sig.S()
	first, second := r.Bytes(), s.Bytes()
	return append(first[:], second[:]...)
}

// complete is a spend with what its kind must carry.
func (h holder) complete(t failer, source Reader, s Spend) Spend {
	t.Helper()
	s, err := h.WithPrevious(context.Background(), source, s)
	if err != nil {
		t.Fatalf("previous transactions: %v", err)
	}
	return s
}

// ledger is a chain source in memory.
type ledger struct {
	txs   map[TxID][]byte
	utxos map[string][]UTXO // by script; a script that stands here is used
	spent map[Outpoint]bool
	fail  error
	asked int // scripts
}

func newLedger() *ledger {
	return &ledger{txs: map[TxID][]byte{}, utxos: map[string][]UTXO{}, spent: map[Outpoint]bool{}}
}

func (l *ledger) UTXOs(_ context.Context, script []byte) ([]UTXO, error) {
	return l.utxos[string(script)], l.fail
}

func (l *ledger) Used(_ context.Context, script []byte) (bool, error) {
	l.asked++
	_, ok := l.utxos[string(script)]
	return ok, l.fail
}

func (l *ledger) Transaction(_ context.Context, id TxID) ([]byte, error) {
	raw, ok := l.txs[id]
	if !ok {
		return nil, refuse(CodeInputUnknown, "no such transaction")
	}
	return raw, l.fail
}

func (l *ledger) Spent(_ context.Context, o Outpoint) (bool, error) { return l.spent[o], l.fail }

// pay puts a transaction into the ledger that pays each value to the path beside it, and returns the coins. The salt
// makes the transaction another one.
func (l *ledger) pay(t failer, a *Account, salt uint32, values []Amount, paths []Path) []Coin {
	t.Helper()
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{Hash: chainhash.Hash(bytes.Repeat([]byte{7}, 32)), Index: salt}, nil, wire.TxWitness{make([]byte, 64)}))
	coins := make([]Coin, len(values))
	for i, v := range values {
		script, err := a.Script(paths[i])
		if err != nil {
			t.Fatalf("script: %v", err)
		}
		tx.AddTxOut(wire.NewTxOut(int64(v), script))
	}
	var raw bytes.Buffer
	if err := tx.Serialize(&raw); err != nil {
		t.Fatalf("serialise: %v", err)
	}
	id, err := IDOf(raw.Bytes())
	if err != nil {
		t.Fatalf("id: %v", err)
	}
	l.txs[id] = raw.Bytes()
	for i, v := range values {
		coins[i] = Coin{Outpoint: Outpoint{id, uint32(i)}, Value: v, Path: paths[i], Confirmed: true, Height: 100}
		key := string(tx.TxOut[i].PkScript)
		l.utxos[key] = append(l.utxos[key], UTXO{Outpoint: coins[i].Outpoint, Value: v, Confirmed: true, Height: 100})
	}
	return coins
}

// sigMsg is BIP341's message of a key path spend without annex, written from the BIP and from nothing that the wallet
// uses. The BIP's own vectors check it; it checks the wallet.
func sigMsg(tx *wire.MsgTx, previous []*wire.TxOut, input int, hashType byte) []byte {
	var prevouts, amounts, scripts, sequences, outputs bytes.Buffer
	putOut := func(b *bytes.Buffer, o *wire.TxOut) {
		must(0, binary.Write(b, binary.LittleEndian, o.Value))
		must(0, wire.WriteVarBytes(b, 0, o.PkScript))
	}
	putPoint := func(b *bytes.Buffer, o wire.OutPoint) {
		b.Write(o.Hash[:])
		b.Write(binary.LittleEndian.AppendUint32(nil, o.Index))
	}
	for i, in := range tx.TxIn {
		putPoint(&prevouts, in.PreviousOutPoint)
		must(0, binary.Write(&amounts, binary.LittleEndian, previous[i].Value))
		must(0, wire.WriteVarBytes(&scripts, 0, previous[i].PkScript))
		sequences.Write(binary.LittleEndian.AppendUint32(nil, in.Sequence))
	}
	for _, o := range tx.TxOut {
		putOut(&outputs, o)
	}
	var m bytes.Buffer
	hash := func(b bytes.Buffer) { h := chainhash.HashH(b.Bytes()); m.Write(h[:]) }
	m.Write([]byte{0, hashType})
	m.Write(binary.LittleEndian.AppendUint32(nil, uint32(tx.Version)))
	m.Write(binary.LittleEndian.AppendUint32(nil, tx.LockTime))
	anyoneCanPay, kind := hashType&0x80 != 0, hashType&3
	if !anyoneCanPay {
		hash(prevouts)
		hash(amounts)
		hash(scripts)
		hash(sequences)
	}
	if kind != 2 && kind != 3 {
		hash(outputs)
	}
	m.WriteByte(0) // spend type: key path, no annex
	if anyoneCanPay {
		putPoint(&m, tx.TxIn[input].PreviousOutPoint)
		putOut(&m, previous[input])
		m.Write(binary.LittleEndian.AppendUint32(nil, tx.TxIn[input].Sequence))
	} else {
		m.Write(binary.LittleEndian.AppendUint32(nil, uint32(input)))
	}
	if kind == 3 {
		var one bytes.Buffer
		putOut(&one, tx.TxOut[input])
		hash(one)
	}
	return m.Bytes()
}

func sigHash(msg []byte) [32]byte { return *chainhash.TaggedHash([]byte("TapSighash"), msg) }
