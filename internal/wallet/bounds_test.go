package wallet

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
	"pgregory.net/rapid"
)

// allocated is how many bytes a call asks for.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A count as CompactSize in four bytes.
func claim(n uint32) []byte { return binary.LittleEndian.AppendUint32([]byte{0xfe}, n) }

func withLength(b []byte) []byte {
	var out bytes.Buffer
	must(0, wire.WriteVarBytes(&out, 0, b))
	return out.Bytes()
}

// bombs are transactions that claim more than they hold, at each place where a count stands.
func bombs() map[string][]byte {
	version, input := []byte{2, 0, 0, 0}, slices.Concat(make([]byte, 36), []byte{0}, make([]byte, 4))
	output, end := make([]byte, 9), make([]byte, 4)
	return map[string][]byte{
		"inputs":          slices.Concat(version, claim(800_000), end),
		"outputs":         slices.Concat(version, []byte{1}, input, claim(3_700_000), end),
		"outputs, bare":   slices.Concat(version, []byte{0}, claim(3_700_000), end),
		"script":          slices.Concat(version, []byte{1}, make([]byte, 36), claim(3_900_000), end),
		"output's script": slices.Concat(version, []byte{1}, input, []byte{1}, make([]byte, 8), claim(3_900_000), end),
		"segwit inputs":   slices.Concat(version, []byte{0, 1}, claim(800_000), end),
		"witness items":   slices.Concat(version, []byte{0, 1, 1}, input, []byte{1}, output, claim(3_900_000), end),
		"witness item":    slices.Concat(version, []byte{0, 1, 1}, input, []byte{1}, output, []byte{1}, claim(3_900_000), end),
		"64-bit count":    slices.Concat(version, bytes.Repeat([]byte{0xff}, 9), end),
	}
}

// A few bytes that claim many inputs, outputs or witness items are refused before anything is allocated for the claim,
// wherever a transaction is read: as one, as the transaction of a PSBT, and as a previous transaction in one.
func TestClaimsAllocateNothing(t *testing.T) {
	const enough = 1 << 20
	h, _, s := planned(t)
	good := must(h.UnsignedTx(s))
	var unsigned bytes.Buffer
	must(0, good.SerializeNoWitness(&unsigned))
	for name, tx := range bombs() {
		global := slices.Concat([]byte(psbtMagic), []byte{1, 0}, withLength(tx), []byte{0})
		inside := slices.Concat([]byte(psbtMagic), []byte{1, 0}, withLength(unsigned.Bytes()), []byte{0, 1, 0}, withLength(tx), make([]byte, 16))
		for where, read := range map[string]func() error{
			"IDOf":                   func() error { _, err := IDOf(tx); return err },
			"Verify":                 func() error { _, err := h.Verify(s, tx); return err },
			"previous":               func() error { _, err := parseBare(tx, idOfBare(tx)); return err },
			"PSBT":                   func() error { _, err := ParsePSBT(global); return err },
			"PSBT in base64":         func() error { _, err := ParsePSBT([]byte(base64.StdEncoding.EncodeToString(global))); return err },
			"previous of a PSBT":     func() error { _, err := ParsePSBT(inside); return err },
			"PSBT, claimed by a key": func() error { _, err := ParsePSBT(slices.Concat([]byte(psbtMagic), claim(9000))); return err },
			"PSBT, claimed by a text": func() error {
				_, err := ParsePSBT(slices.Concat([]byte(psbtMagic), []byte{1, 0}, claim(4_000_000)))
				return err
			},
		} {
			if got := allocated(func() {
				if read() == nil {
					t.Errorf("%s, %s: is read", name, where)
				}
			}); got > enough {
				t.Errorf("%s, %s: %d bytes allocated for %d", name, where, got, len(tx))
			}
		}
	}
	// 25 bytes that btcd's own parser asks for 140 MB for.
	small := slices.Concat([]byte(psbtMagic), []byte{1, 0}, withLength(slices.Concat([]byte{2, 0, 0, 0, 0}, claim(3_700_000))), make([]byte, 6))
	if got := allocated(func() { wantPSBT(t, small) }); len(small) > 25 || got > enough {
		t.Errorf("%d bytes allocated for %d", got, len(small))
	}
}

func wantPSBT(t *testing.T, data []byte) {
	t.Helper()
	_, err := ParsePSBT(data)
	wantCode(t, fmt.Sprintf("%x", data), err, CodePSBT)
}

// A PSBT whose transaction is real but whose maps are missing is refused for that, and so is one with a second transaction.
func TestPSBTCountsItsMaps(t *testing.T) {
	h, _, s := plannedOf(t, P2WPKH)
	raw := must(h.PSBT(s, nil))
	var unsigned bytes.Buffer
	must(0, must(h.UnsignedTx(s)).SerializeNoWitness(&unsigned))
	global := slices.Concat([]byte(psbtMagic), []byte{1, 0}, withLength(unsigned.Bytes()))
	maps := len(s.Inputs) + len(s.Outputs) + 1
	for n := range maps + 3 {
		data := append(slices.Clone(global), make([]byte, 1+n)...)
		if n == maps {
			if _, err := ParsePSBT(data); err != nil {
				t.Errorf("empty maps: %v", err)
			}
			continue
		}
		wantPSBT(t, data)
	}
	wantPSBT(t, slices.Concat(global, []byte{1, 0}, withLength(unsigned.Bytes()), make([]byte, 1+maps)))
	wantPSBT(t, slices.Concat([]byte(psbtMagic), make([]byte, 1+maps)))
	for n := range raw {
		wantPSBT(t, raw[:n])
	}
}

// layoutOf and the library agree about what a transaction is, apart from witnesses that are announced and all empty.
func checkLayout(t failer, raw []byte) {
	t.Helper()
	l, ok := layoutOf(raw, true)
	id, err := IDOf(raw)
	if (err == nil) != ok {
		t.Fatalf("%x: layout %v, id %v", raw, ok, err)
	}
	if !ok {
		wantCode(t, "refused", err, CodeInputUnknown)
	}
	var tx wire.MsgTx
	if len(raw) > 1<<16 || !ok && bombed(raw) {
		return // the library would take the claim's word
	}
	r := bytes.NewReader(raw)
	read := tx.Deserialize(r) == nil && r.Len() == 0
	if read && (!ok || tx.TxHash().String() != string(id) || uint64(len(tx.TxIn)) != l.inputs || uint64(len(tx.TxOut)) != l.outputs) {
		t.Fatalf("%x: the library reads %s, layout %+v, id %s (%v)", raw, tx.TxHash(), l, id, err)
	}
	if ok && !read && !l.segwit {
		t.Fatalf("%x: has a layout, but the library does not read it", raw)
	}
}

// bombed says whether bytes hold a count of four bytes or more anywhere.
func bombed(raw []byte) bool {
	return bytes.IndexByte(raw, 0xfe) >= 0 || bytes.IndexByte(raw, 0xff) >= 0
}

func TestLayoutAgreesWithTheLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tx := wire.NewMsgTx(int32(rapid.IntRange(1, 2).Draw(t, "version")))
		bytesOf := func(label string, most int) []byte {
			return rapid.SliceOfN(rapid.ByteRange(0, 0xfc), 0, most).Draw(t, label)
		}
		for range rapid.IntRange(1, 3).Draw(t, "inputs") {
			in := wire.NewTxIn(&wire.OutPoint{Index: rapid.Uint32().Draw(t, "vout")}, bytesOf("script", 300), nil)
			for range rapid.IntRange(0, 2).Draw(t, "items") {
				in.Witness = append(in.Witness, bytesOf("item", 300))
			}
			tx.AddTxIn(in)
		}
		for range rapid.IntRange(0, 3).Draw(t, "outputs") {
			tx.AddTxOut(wire.NewTxOut(rapid.Int64().Draw(t, "value"), bytesOf("script", 40)))
		}
		var b bytes.Buffer
		if err := tx.Serialize(&b); err != nil {
			t.Fatalf("serialise: %v", err)
		}
		raw := b.Bytes()
		if id, err := IDOf(raw); err != nil || string(id) != tx.TxHash().String() {
			t.Fatalf("id %s, want %s (%v)", id, tx.TxHash(), err)
		}
		if bare, _ := bareTx(raw); !bytes.Equal(bare, stripped(raw)) {
			t.Fatalf("bare transaction is %x", bare)
		}
		checkLayout(t, raw)
		checkLayout(t, raw[:rapid.IntRange(0, len(raw)-1).Draw(t, "cut")])
		raw[rapid.IntRange(0, len(raw)-1).Draw(t, "at")] = rapid.ByteRange(0, 0xfd).Draw(t, "changed")
		checkLayout(t, raw)
	})
}

// A raw transaction, as a chain source or a peer sends it.
func FuzzTransaction(f *testing.F) {
	for _, kind := range kinds {
		h, source, s := plannedOf(f, kind)
		raw, _, err := h.Attach(s, h.sign(f, s))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(source.txs[s.Inputs[0].Outpoint.TxID])
		f.Add(stripped(raw))
	}
	for _, b := range bombs() {
		f.Add(b)
	}
	h, _, s := plannedOf(f, P2WPKH)
	f.Fuzz(func(t *testing.T, raw []byte) {
		checkLayout(t, raw)
		if _, err := h.Verify(s, raw); err != nil {
			wantCode(t, "Verify", err, CodeSignature)
		}
	})
}
