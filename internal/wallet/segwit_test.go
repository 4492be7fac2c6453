package wallet

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ecdsa"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/psbt/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"pgregory.net/rapid"
)

// segwitMsg is BIP143's message of a P2WPKH input, SIGHASH_ALL, written from the BIP and from nothing that the wallet uses.
// The BIP's own example checks it; it checks the wallet.
func segwitMsg(tx *wire.MsgTx, previous *wire.TxOut, input int) []byte {
	var points, sequences, outputs, m bytes.Buffer
	u32 := func(b *bytes.Buffer, v uint32) { b.Write(binary.LittleEndian.AppendUint32(nil, v)) }
	u64 := func(b *bytes.Buffer, v int64) { b.Write(binary.LittleEndian.AppendUint64(nil, uint64(v))) }
	for _, in := range tx.TxIn {
		points.Write(in.PreviousOutPoint.Hash[:])
		u32(&points, in.PreviousOutPoint.Index)
		u32(&sequences, in.Sequence)
	}
	for _, o := range tx.TxOut {
		u64(&outputs, o.Value)
		must(0, wire.WriteVarBytes(&outputs, 0, o.PkScript))
	}
	hash := func(b bytes.Buffer) { h := chainhash.DoubleHashH(b.Bytes()); m.Write(h[:]) }
	u32(&m, uint32(tx.Version))
	hash(points)
	hash(sequences)
	m.Write(tx.TxIn[input].PreviousOutPoint.Hash[:])
	u32(&m, tx.TxIn[input].PreviousOutPoint.Index)
	m.Write(unhex("1976a914"))
	m.Write(previous.PkScript[2:])
	m.Write(unhex("88ac"))
	u64(&m, previous.Value)
	u32(&m, tx.TxIn[input].Sequence)
	hash(outputs)
	u32(&m, tx.LockTime)
	u32(&m, 1)
	return m.Bytes()
}

func digestOf(kind Kind, tx *wire.MsgTx, previous []*wire.TxOut, i int) [32]byte {
	if kind == P2WPKH {
		return chainhash.DoubleHashH(segwitMsg(tx, previous[i], i))
	}
	return sigHash(sigMsg(tx, previous, i, 0))
}

// BIP143, native P2WPKH. The published transaction has an input of another kind, several sequences and a lock time, so no
// Spend can say it. It checks segwitMsg, which TestSpendRoundTrip then holds against Sighashes; the library that Sighashes
// uses; and the encoding of signature and witness.
func TestBIP143(t *testing.T) {
	const (
		unsigned = "0100000002fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f0000000000eeffffff" +
			"ef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff02" +
			"202cb206000000001976a9148280b37df378db99f66f85c95a783a76ac7a6d5988ac9093510d000000001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac11000000"
		private = "619c335025c7f4012e556c2a58b2506e30b8511b53ade95ea316fd8c3286feb9"
		public  = "025476c2e83188368da1ff3e292e7acafcdb3566bb0ad253f62fc70f07aeee6357"
		digest  = "c37af31116d1b27caf68aae9e3ac82f1477929014d5b917657d0eb49478cb670"
		sig     = "304402203609e17b84f6a7d30c80bfa610b5b4542f32a8a0d5447a12fb1366d7f01cc44a0220573a954c4518331561406f90300e8f3358f51928d43c212a8caed02de67eebee01"
		value   = 600_000_000
	)
	var tx wire.MsgTx
	if err := tx.Deserialize(bytes.NewReader(unhex(unsigned))); err != nil {
		t.Fatal(err)
	}
	if id, err := IDOf(unhex(unsigned)); err != nil || string(id) != tx.TxHash().String() {
		t.Errorf("id %s (%v)", id, err)
	}
	key, pub := btcec.PrivKeyFromBytes(unhex(private))
	if got := hex.EncodeToString(pub.SerializeCompressed()); got != public {
		t.Fatalf("public key %s", got)
	}
	out := wire.NewTxOut(value, append([]byte{0, 20}, address.Hash160(unhex(public))...))
	if got := chainhash.DoubleHashH(segwitMsg(&tx, out, 1)); hex.EncodeToString(got[:]) != digest {
		t.Errorf("digest %x", got)
	}
	previous := txscript.NewCannedPrevOutputFetcher(out.PkScript, value)
	hashes := txscript.NewTxSigHashes(&tx, previous)
	a := newHolderOf(t, P2WPKH, Mainnet, 1)
	if got, err := a.sighash(&tx, hashes, previous, 1, out); err != nil || hex.EncodeToString(got[:]) != digest {
		t.Errorf("digest by the wallet %x (%v)", got, err)
	}
	pair := compact(ecdsa.Sign(key, unhex(digest)))
	der, err := encodeDER([64]byte(pair))
	if got := hex.EncodeToString(append(der, 1)); err != nil || got != sig {
		t.Errorf("signature %s (%v)", got, err)
	}
	tx.TxIn[1].Witness = wire.TxWitness{append(der, 1), unhex(public)}
	engine := must(txscript.NewEngine(out.PkScript, &tx, 1, txscript.StandardVerifyFlags, nil, hashes, value, previous))
	if err := engine.Execute(); err != nil {
		t.Errorf("script engine: %v", err)
	}
}

// strictDER is BIP66's encoding of r and s, made with big integers and from nothing that the wallet uses.
func strictDER(pair []byte) []byte {
	var body []byte
	for _, half := range [][]byte{pair[:32], pair[32:]} {
		n := new(big.Int).SetBytes(half).Bytes()
		if n[0] >= 0x80 {
			n = append([]byte{0}, n...)
		}
		body = append(append(body, 2, byte(len(n))), n...)
	}
	return append([]byte{0x30, byte(len(body))}, body...)
}

// Every pair of numbers in range has one encoding, of at most maxDER bytes; every other pair is refused.
func TestEncodeDER(t *testing.T) {
	order := btcec.S256().N
	half := new(big.Int).Rsh(order, 1)
	bytesOf := func(n *big.Int) []byte { return n.FillBytes(make([]byte, 32)) }
	one := big.NewInt(1)
	above := new(big.Int).Add(half, one)
	longest := 0
	for _, c := range []struct {
		name string
		r, s *big.Int
		ok   bool
	}{
		{"least", one, one, true}, {"greatest", new(big.Int).Sub(order, one), half, true},
		{"r is zero", new(big.Int), one, false}, {"s is zero", one, new(big.Int), false},
		{"r is the order", order, one, false}, {"r is above it", new(big.Int).Add(order, one), one, false},
		{"s is the order", one, order, false}, {"s is in the upper half", one, above, false},
		{"s is the greatest", one, new(big.Int).Sub(order, one), false},
		{"r is all ones", new(big.Int).Sub(new(big.Int).Lsh(one, 256), one), one, false},
		{"r has its top bit", new(big.Int).Lsh(one, 255), half, true}, {"r has not", new(big.Int).Lsh(one, 254), half, true},
	} {
		pair := append(bytesOf(c.r), bytesOf(c.s)...)
		der, err := encodeDER([64]byte(pair))
		if (err == nil) != c.ok || c.ok && !bytes.Equal(der, strictDER(pair)) {
			t.Errorf("%s: %x (%v)", c.name, der, err)
		}
		longest = max(longest, len(der))
	}
	if longest != maxDER {
		t.Errorf("longest encoding has %d bytes, want %d", longest, maxDER)
	}
	rapid.Check(t, func(t *rapid.T) {
		pair := rapid.SliceOfN(rapid.Byte(), 64, 64).Draw(t, "pair")
		pair[0], pair[32] = pair[0]&byte(rapid.SampledFrom([]int{0, 0x7f, 0xff}).Draw(t, "mask")), pair[32]&0x7f
		der, err := encodeDER([64]byte(pair))
		if err == nil && (!bytes.Equal(der, strictDER(pair)) || len(der) > maxDER) {
			t.Fatalf("%x is encoded as %x", pair, der)
		}
	})
}

// High s, zero and oversized numbers have their reason code, although some of them would pass by consensus.
func TestSegwitAttachRefuses(t *testing.T) {
	h, _, s := plannedOf(t, P2WPKH)
	good := h.sign(t, s)
	order := btcec.S256().N
	n := new(big.Int).SetBytes(good[1][32:])
	high := new(big.Int).Sub(order, n).FillBytes(make([]byte, 32))
	number := func(v *big.Int) []byte { return v.FillBytes(make([]byte, 32)) }
	for name, bad := range map[string][]byte{
		"high s": slices.Concat(good[1][:32], high), "r zero": slices.Concat(make([]byte, 32), good[1][32:]), "s zero": slices.Concat(good[1][:32], make([]byte, 32)),
		"r is the order": slices.Concat(number(order), good[1][32:]), "s is the order": slices.Concat(good[1][:32], number(order)),
		"r oversized": slices.Concat(bytes.Repeat([]byte{0xff}, 32), good[1][32:]), "s oversized": slices.Concat(good[1][:32], bytes.Repeat([]byte{0xff}, 32)),
		"swapped halves": slices.Concat(good[1][32:], good[1][:32]), "DER": strictDER(good[1]), "DER with its byte": append(strictDER(good[1]), 1),
	} {
		raw, id, err := h.Attach(s, [][]byte{good[0], bad})
		wantCode(t, name, err, CodeSignature)
		if raw != nil || id != "" {
			t.Errorf("%s: a transaction left although it does not pass", name)
		}
		_, err = h.PSBT(s, [][]byte{good[0], bad})
		if name != "swapped halves" { // a PSBT's signature is not verified
			wantCode(t, name+" in a PSBT", err, CodeSignature)
		}
	}
}

// Verify wants the very witness that Attach makes: a transaction that signs less than all of itself is another.
func TestVerifyWantsOurWitness(t *testing.T) {
	h, _, s := plannedOf(t, P2WPKH)
	raw, _, err := h.Attach(s, h.sign(t, s))
	if err != nil {
		t.Fatal(err)
	}
	var tx wire.MsgTx
	must(0, tx.Deserialize(bytes.NewReader(raw)))
	_, previous, err := h.commitments(s, &tx)
	if err != nil {
		t.Fatal(err)
	}
	hashes := txscript.NewTxSigHashes(&tx, previous)
	for _, kind := range []txscript.SigHashType{txscript.SigHashNone, txscript.SigHashSingle, txscript.SigHashAll | txscript.SigHashAnyOneCanPay, txscript.SigHashAll} {
		out := previous.FetchPrevOutput(tx.TxIn[0].PreviousOutPoint)
		tx.TxIn[0].Witness = must(txscript.WitnessSignature(&tx, hashes, 0, out.Value, out.PkScript, kind, h.key(s.Inputs[0].Path), true))
		var b bytes.Buffer
		must(0, tx.Serialize(&b))
		want := CodeSignature
		if kind == txscript.SigHashAll {
			want = ""
		}
		_, err := h.Verify(s, b.Bytes())
		wantCode(t, fmt.Sprintf("hash type %d", kind), err, want)
	}
}

// A previous transaction that is missing, cut, changed in any byte, or of another input is refused by all that signs or
// verifies: Check, Sighashes, Attach, Verify and PSBT.
func TestPreviousIsRequired(t *testing.T) {
	h, source, s := plannedOf(t, P2WPKH)
	signatures := h.sign(t, s)
	raw, _, err := h.Attach(s, signatures)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name string, bad Spend, want string) {
		t.Helper()
		wantCode(t, name+": Check", h.Check(context.Background(), source, bad, Caps{}), want)
		_, err := h.Sighashes(bad)
		wantCode(t, name+": Sighashes", err, want)
		_, _, err = h.Attach(bad, signatures)
		wantCode(t, name+": Attach", err, want)
		_, err = h.Verify(bad, raw)
		wantCode(t, name+": Verify", err, want)
		_, err = h.PSBT(bad, nil)
		wantCode(t, name+": PSBT", err, want)
	}
	full := source.txs[s.Inputs[0].Outpoint.TxID]
	for i := range s.Inputs {
		set := func(previous []byte) Spend { bad := clone(s); bad.Inputs[i].Previous = previous; return bad }
		good := s.Inputs[i].Previous
		refused("none", set(nil), CodePrevious)
		refused("empty", set([]byte{}), CodePrevious)
		refused("too large", set(make([]byte, MaxPrevious+1)), CodePrevious)
		refused("with witnesses", set(full), CodeInputUnknown)
		refused("a byte more", set(append(slices.Clone(good), 0)), CodeInputUnknown)
		for at := range good {
			changed := slices.Clone(good)
			changed[at] ^= 1
			refused(fmt.Sprintf("byte %d", at), set(changed), CodeInputUnknown)
		}
		refused("cut", set(good[:len(good)-1]), CodeInputUnknown)
	}
	if bytes.Equal(full, s.Inputs[0].Previous) || !bytes.Equal(stripped(full), s.Inputs[0].Previous) {
		t.Error("the ledger's transactions have no witnesses to leave out")
	}
	taproot, source, plan := plannedOf(t, P2TR)
	plan.Inputs[0].Previous = s.Inputs[0].Previous
	wantCode(t, "Taproot with a previous transaction", taproot.Check(context.Background(), source, plan, Caps{}), CodePrevious)
}

// The attack on fees: a plan understates one input, signers sign, and the rest goes to the miner. BIP143's digest of the
// other input does not change with the lie, so only the previous transaction shows it; and a second plan lies about the
// other.
func TestFeeAttackIsRefused(t *testing.T) {
	h, source := newHolderOf(t, P2WPKH, Regtest, 1), newLedger()
	small, large := source.pay(t, h.Account, 1, []Amount{60_000}, []Path{{0, 0}}), source.pay(t, h.Account, 2, []Amount{90_000_000}, []Path{{0, 1}})
	honest := Spend{Fee: 2000, Sequence: sequenceRBF, Outputs: []SpendOutput{{payees[4], 60_000 + 90_000_000 - 2000}},
		Inputs: []SpendInput{{Outpoint: small[0].Outpoint, Value: 60_000, Path: Path{0, 0}}, {Outpoint: large[0].Outpoint, Value: 90_000_000, Path: Path{0, 1}}}}
	honest = h.complete(t, source, honest)
	wantCode(t, "honest", h.Check(context.Background(), source, honest, Caps{}), "")
	lie := clone(honest)
	lie.Inputs[1].Value, lie.Outputs[0].Amount = 70_000, 60_000+70_000-2000
	wantCode(t, "Check", h.Check(context.Background(), source, lie, Caps{}), CodeInputUnknown)
	_, err := h.Sighashes(lie)
	wantCode(t, "Sighashes", err, CodeInputUnknown)
	truth := clone(lie)
	truth.Inputs[1].Value, truth.Fee = 90_000_000, 90_000_000-70_000+2000
	wantCode(t, "the lie in full", h.Check(context.Background(), source, truth, Caps{Fee: 10_000}), CodeFeeCap)
	first := wire.NewTxOut(60_000, must(h.Script(Path{0, 0})))
	if got := chainhash.DoubleHashH(segwitMsg(must(h.UnsignedTx(lie)), first, 0)); got != must(h.Sighashes(truth))[0] {
		t.Error("digest of the first input shows the lie after all: the test tests nothing")
	}
	// A previous transaction that says the lie has another id.
	var previous wire.MsgTx
	must(0, previous.Deserialize(bytes.NewReader(lie.Inputs[1].Previous)))
	previous.TxOut[0].Value = 70_000
	var b bytes.Buffer
	must(0, previous.Serialize(&b))
	lie.Inputs[1].Previous = b.Bytes()
	_, err = h.Sighashes(lie)
	wantCode(t, "a forged previous transaction", err, CodeInputUnknown)
}

// WithPrevious asks once for each transaction, leaves the plan it was given as it was, and hashes what it gets.
func TestWithPrevious(t *testing.T) {
	h, source, s := plannedOf(t, P2WPKH)
	bare := clone(s)
	for i := range bare.Inputs {
		bare.Inputs[i].Previous = nil
	}
	full, err := h.WithPrevious(context.Background(), source, bare)
	if err != nil || bare.Inputs[0].Previous != nil || !bytes.Equal(full.Inputs[1].Previous, s.Inputs[1].Previous) {
		t.Errorf("previous transactions: %v", err)
	}
	for name, c := range map[string]struct {
		lie  func(*ledger)
		want string
	}{
		"unknown":   {func(l *ledger) { clear(l.txs) }, CodeInputUnknown},
		"another":   {func(l *ledger) { l.alter(s, func(tx *wire.MsgTx) { tx.LockTime++ }) }, CodeInputUnknown},
		"malformed": {func(l *ledger) { l.txs[s.Inputs[0].Outpoint.TxID] = []byte{1, 2, 3} }, CodeInputUnknown},
		"too large": {func(l *ledger) {
			l.alter(s, func(tx *wire.MsgTx) { tx.TxIn[0].SignatureScript = make([]byte, MaxPrevious) })
			raw := l.txs[s.Inputs[0].Outpoint.TxID]
			bare.Inputs[0].Outpoint.TxID = must(IDOf(raw))
			l.txs[bare.Inputs[0].Outpoint.TxID] = raw
		}, CodePrevious},
	} {
		h, source, _ := plannedOf(t, P2WPKH)
		c.lie(source)
		_, err := h.WithPrevious(context.Background(), source, bare)
		wantCode(t, name, err, c.want)
	}
	taproot, source, plan := plannedOf(t, P2TR)
	clear(source.txs)
	if same, err := taproot.WithPrevious(context.Background(), source, plan); err != nil || same.Inputs[0].Previous != nil {
		t.Errorf("Taproot: %v", err)
	}
}

// The two accounts of one key do not take each other's coins.
func TestKindsDoNotMix(t *testing.T) {
	for i, kind := range kinds {
		h, source := newHolderOf(t, kind, Regtest, 1), newLedger()
		coins := source.pay(t, newHolderOf(t, kinds[1-i], Regtest, 1).Account, 1, []Amount{60_000}, []Path{{0, 0}})
		s := h.complete(t, source, must(h.Plan(coins, Request{Outputs: []SpendOutput{{payees[4], 50_000}}, Rate: 2000})))
		wantCode(t, string(kind), h.Check(context.Background(), source, s, Caps{}), CodeInputForeign)
		if k, err := ParseKind(string(kind)); err != nil || k != kind {
			t.Errorf("%s: %v", kind, err)
		}
	}
	for _, bad := range []string{"", "P2TR", "p2pkh", "p2wsh"} {
		_, err := ParseKind(bad)
		wantCode(t, bad, err, CodeKey)
		_, err = NewAccountOf(Kind(bad), Mainnet, [33]byte(unhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")), [32]byte{})
		wantCode(t, bad, err, CodeKey)
	}
}

// The weight that fees are paid for is never below the signed transaction's, and above it by what signatures are short of
// their longest form: a unit for each, rarely more.
func TestSegwitWeightIsAbove(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, source := newHolderOf(t, P2WPKH, Regtest, rapid.Byte().Draw(t, "seed")), newLedger()
		coins := source.pay(t, h.Account, 1, []Amount{60_000, 60_000}, []Path{{0, 0}, {1, 5}})
		s := h.complete(t, source, must(h.Plan(coins, Request{Outputs: []SpendOutput{{payees[4], 90_000}}, Rate: 2000})))
		raw, _, err := h.Attach(s, h.sign(t, s))
		if err != nil {
			t.Fatalf("attach: %v", err)
		}
		var tx wire.MsgTx
		must(0, tx.Deserialize(bytes.NewReader(raw)))
		short := int64(0)
		for _, in := range tx.TxIn {
			short += int64(maxDER + 1 - len(in.Witness[0]))
		}
		if real := int64(3*tx.SerializeSizeStripped() + tx.SerializeSize()); short < 0 || h.Weight(s) != real+short {
			t.Fatalf("weight %d, real %d, signatures short by %d", h.Weight(s), real, short)
		}
	})
}

// checkSegwitInput holds an input of an unsigned PSBT against the plan.
func checkSegwitInput(t *rapid.T, h holder, want SpendInput, in psbt.PInput) {
	key := must(h.PublicKey(want.Path))
	root := must(h.xpub.ECPubKey()).SerializeCompressed()
	d := in.Bip32Derivation
	if len(d) != 1 || !bytes.Equal(d[0].PubKey, key[:]) || !slices.Equal(d[0].Bip32Path, []uint32{want.Path.Chain, want.Path.Index}) || d[0].MasterKeyFingerprint != binary.LittleEndian.Uint32(address.Hash160(root)) {
		t.Fatalf("PSBT names another key")
	}
	if in.WitnessUtxo.Value != int64(want.Value) || !bytes.Equal(in.WitnessUtxo.PkScript, must(h.Script(want.Path))) || in.SighashType != txscript.SigHashAll {
		t.Fatalf("PSBT says another coin")
	}
	if in.NonWitnessUtxo == nil || in.NonWitnessUtxo.TxHash().String() != string(want.Outpoint.TxID) || in.TaprootInternalKey != nil {
		t.Fatalf("PSBT lacks the previous transaction")
	}
}

// A signed PSBT still carries the previous transactions, and what is read of either is written back as it was.
func TestSegwitPSBTRoundTrip(t *testing.T) {
	h, _, s := plannedOf(t, P2WPKH)
	for _, signatures := range [][][]byte{nil, h.sign(t, s)} {
		raw := must(h.PSBT(s, signatures))
		p := must(ParsePSBT(raw))
		if !bytes.Equal(encodePSBT(t, p), raw) {
			t.Error("PSBT is written back as another")
		}
		for i, in := range p.Inputs {
			var b bytes.Buffer
			must(0, in.NonWitnessUtxo.Serialize(&b))
			if !bytes.Equal(b.Bytes(), s.Inputs[i].Previous) || (in.FinalScriptWitness != nil) != (signatures != nil) {
				t.Errorf("input %d: previous transaction %x, witness %x", i, b.Bytes(), in.FinalScriptWitness)
			}
		}
	}
	s.Inputs = s.Inputs[:1]
	_, err := h.PSBT(s, nil)
	wantCode(t, "a plan that does not add up", err, CodeSpend)
}
