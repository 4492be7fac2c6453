package wallet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/psbt/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"pgregory.net/rapid"
)

// payees are addresses of every kind that is paid to, on regtest.
var payees = []string{
	"mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",  // P2PKH
	"2MzQwSSnBHWHqSAqtTVQ6v47XtaisrJa1Vc", // P2SH
	"bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
	"bcrt1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qzf4jry",
	"bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6",
}

// planned is a spend with two inputs, two outputs and change, and the ledger that knows its coins.
func planned(t failer) (holder, *ledger, Spend) { return plannedOf(t, P2TR) }

func plannedOf(t failer, kind Kind) (holder, *ledger, Spend) {
	t.Helper()
	h, source := newHolderOf(t, kind, Regtest, 1), newLedger()
	coins := source.pay(t, h.Account, 1, []Amount{60_000, 70_000}, []Path{{0, 0}, {1, 5}})
	s, err := h.Plan(coins, Request{Outputs: []SpendOutput{{payees[4], 50_000}, {payees[2], 40_000}}, Rate: 2000, ChangeIndex: 6, Position: 1})
	if err != nil || len(s.Inputs) != 2 || s.Change == nil {
		t.Fatalf("plan: %+v (%v)", s, err)
	}
	return h, source, h.complete(t, source, s)
}

// clone is deep: a tampered plan must not change the one it was made from.
func clone(s Spend) Spend {
	s.Inputs, s.Outputs = slices.Clone(s.Inputs), slices.Clone(s.Outputs)
	for i := range s.Inputs {
		s.Inputs[i].Previous = slices.Clone(s.Inputs[i].Previous)
	}
	if s.Change != nil {
		c := *s.Change
		s.Change = &c
	}
	return s
}

// Plan, Check, Sighashes, Attach, Verify and PSBT agree on one transaction, for any coins and payments.
func TestSpendRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, source := newHolderOf(t, rapid.SampledFrom(kinds).Draw(t, "kind"), Regtest, rapid.Byte().Draw(t, "seed")), newLedger()
		var coins []Coin
		for i := range rapid.IntRange(1, 4).Draw(t, "transactions") {
			values := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Amount { return Amount(rapid.Int64Range(1000, 1_000_000).Draw(t, "value")) }), 1, 3).Draw(t, "values")
			paths := make([]Path, len(values))
			for j := range paths {
				paths[j] = Path{rapid.Uint32Range(0, 1).Draw(t, "chain"), rapid.Uint32Range(0, 1<<31-1).Draw(t, "index")}
			}
			coins = append(coins, source.pay(t, h.Account, uint32(i), values, paths)...)
		}
		r := Request{Rate: FeeRate(rapid.Int64Range(1000, 50_000).Draw(t, "rate")), ChangeIndex: rapid.Uint32Range(0, MaxAddresses-1).Draw(t, "change"), Position: rapid.Uint32().Draw(t, "position")}
		for range rapid.IntRange(1, 4).Draw(t, "outputs") {
			r.Outputs = append(r.Outputs, SpendOutput{rapid.SampledFrom(payees).Draw(t, "payee"), Amount(rapid.Int64Range(546, 800_000).Draw(t, "amount"))})
		}
		s, err := h.Plan(coins, r)
		if err != nil {
			wantCode(t, "plan", err, CodeFunds)
			return
		}
		s = h.complete(t, source, s)
		if err := h.Check(context.Background(), source, s, Caps{}); err != nil {
			t.Fatalf("check: %v", err)
		}
		if !reflect.DeepEqual(s.Outputs, r.Outputs) {
			t.Fatalf("plan pays %v, want %v", s.Outputs, r.Outputs)
		}
		signatures := h.sign(t, s)
		raw, id, err := h.Attach(s, signatures)
		if err != nil {
			t.Fatalf("attach: %v", err)
		}
		if got, err := h.Verify(s, raw); err != nil || got != id {
			t.Fatalf("verify: %s (%v)", got, err)
		}
		if got, err := IDOf(raw); err != nil || got != id {
			t.Fatalf("id: %s (%v)", got, err)
		}
		checkTransaction(t, h, s, raw)
		checkPackets(t, h, s, signatures, raw)
	})
}

// checkTransaction holds the transaction against the plan, and Sighashes against the messages that the BIPs' vectors check.
func checkTransaction(t *rapid.T, h holder, s Spend, raw []byte) {
	var tx wire.MsgTx
	if err := tx.Deserialize(bytes.NewReader(raw)); err != nil {
		t.Fatalf("transaction: %v", err)
	}
	if tx.Version != 2 || tx.LockTime != 0 {
		t.Fatalf("version %d, lock time %d", tx.Version, tx.LockTime)
	}
	var previous []*wire.TxOut
	var in, out Amount
	for i, input := range s.Inputs {
		if tx.TxIn[i].PreviousOutPoint.String() != input.Outpoint.String() || tx.TxIn[i].Sequence != 0xfffffffd {
			t.Fatalf("input %d is another or does not signal replacement", i)
		}
		previous = append(previous, wire.NewTxOut(int64(input.Value), must(h.Script(input.Path))))
		in += input.Value
	}
	for _, o := range tx.TxOut {
		out += Amount(o.Value)
	}
	if in-out != s.Fee || len(tx.TxIn) != len(s.Inputs) {
		t.Fatalf("transaction pays a fee of %d, the plan says %d", in-out, s.Fee)
	}
	outs := slices.Clone(tx.TxOut)
	if s.Change != nil {
		change := outs[s.Change.Position]
		if Amount(change.Value) != s.Change.Amount || !bytes.Equal(change.PkScript, must(h.Script(Path{1, s.Change.Index}))) {
			t.Fatalf("change is not at its position")
		}
		outs = slices.Delete(outs, int(s.Change.Position), int(s.Change.Position)+1)
	}
	for i, o := range s.Outputs {
		if Amount(outs[i].Value) != o.Amount || !bytes.Equal(outs[i].PkScript, must(ParseAddress(Regtest, o.Address)).Script) {
			t.Fatalf("output %d pays another", i)
		}
	}
	for i, digest := range must(h.Sighashes(s)) {
		if want := digestOf(h.kind, &tx, previous, i); digest != want {
			t.Fatalf("digest of input %d is %x, want %x", i, digest, want)
		}
	}
}

// checkPackets reads both PSBTs back: the unsigned one says what a signer must know, the signed one gives the transaction.
func checkPackets(t *rapid.T, h holder, s Spend, signatures [][]byte, raw []byte) {
	p := must(ParsePSBT(must(h.PSBT(s, nil))))
	for i, in := range p.Inputs {
		path := s.Inputs[i].Path
		if h.kind == P2WPKH {
			checkSegwitInput(t, h, s.Inputs[i], in)
			continue
		}
		d := in.TaprootBip32Derivation[0]
		key := schnorr.SerializePubKey(must(h.InternalKey(path)))
		if in.WitnessUtxo.Value != int64(s.Inputs[i].Value) || !bytes.Equal(in.TaprootInternalKey, key) || !bytes.Equal(d.XOnlyPubKey, key) || !slices.Equal(d.Bip32Path, []uint32{path.Chain, path.Index}) {
			t.Fatalf("PSBT input %d says another coin or key", i)
		}
	}
	if s.Change != nil {
		out := p.Outputs[s.Change.Position]
		d := out.TaprootBip32Derivation
		for _, o := range out.Bip32Derivation {
			d = append(d, &psbt.TaprootBip32Derivation{Bip32Path: o.Bip32Path})
		}
		if len(d) != 1 || !slices.Equal(d[0].Bip32Path, []uint32{1, s.Change.Index}) {
			t.Fatalf("PSBT does not mark the change")
		}
	}
	final := must(psbt.Extract(must(ParsePSBT(must(h.PSBT(s, signatures))))))
	var b bytes.Buffer
	if err := final.Serialize(&b); err != nil || !bytes.Equal(b.Bytes(), raw) {
		t.Fatalf("PSBT gives another transaction (%v)", err)
	}
	_, err := h.PSBT(s, signatures[1:])
	wantCode(t, "a signature short", err, CodeSignature)
}

// Each bad payment is refused with its code.
func TestPlanRefuses(t *testing.T) {
	eachKind(t, func(t *testing.T, kind Kind) {
		h := newHolderOf(t, kind, Regtest, 1)
		coins := newLedger().pay(t, h.Account, 1, []Amount{100_000}, []Path{{0, 0}})
		many := slices.Repeat([]SpendOutput{{payees[4], MaxAmount}}, 4393) // their sum is past an int64
		for name, c := range map[string]struct {
			outputs []SpendOutput
			rate    FeeRate
			caps    Caps
			want    string
		}{
			"good":                    {[]SpendOutput{{payees[4], 50_000}}, 2000, Caps{1000, 3000}, ""},
			"nothing":                 {nil, 2000, Caps{}, CodeSpend},
			"mainnet address":         {[]SpendOutput{{"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0", 50_000}}, 2000, Caps{}, CodeWrongNetwork},
			"mainnet P2PKH":           {[]SpendOutput{{"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", 50_000}}, 2000, Caps{}, CodeWrongNetwork},
			"testnet address":         {[]SpendOutput{{"tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7", 50_000}}, 2000, Caps{}, CodeWrongNetwork},
			"no address":              {[]SpendOutput{{"", 50_000}}, 2000, Caps{}, CodeAddress},
			"long address":            {[]SpendOutput{{strings.Repeat("b", 101), 50_000}}, 2000, Caps{}, CodeAddress},
			"typing error":            {[]SpendOutput{{"bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt081", 50_000}}, 2000, Caps{}, CodeAddress},
			"public key as address":   {[]SpendOutput{{"0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798", 50_000}}, 2000, Caps{}, CodeAddress},
			"witness version 2":       {[]SpendOutput{{"bcrt1zw508d6qejxtdg4y5r3zarvaryv2wuatf", 50_000}}, 2000, Caps{}, CodeAddress},
			"pay to anchor":           {[]SpendOutput{{"bcrt1pfeesnyr2tx", 50_000}}, 2000, Caps{}, CodeAddress},
			"zero":                    {[]SpendOutput{{payees[4], 0}}, 2000, Caps{}, CodeAmount},
			"negative":                {[]SpendOutput{{payees[4], -1}}, 2000, Caps{}, CodeAmount},
			"least":                   {[]SpendOutput{{payees[4], math.MinInt64}}, 2000, Caps{}, CodeAmount},
			"more than there is":      {[]SpendOutput{{payees[4], MaxAmount + 1}}, 2000, Caps{}, CodeAmount},
			"most":                    {[]SpendOutput{{payees[4], math.MaxInt64}}, 2000, Caps{}, CodeAmount},
			"sum overflows":           {many, 2000, Caps{}, CodeAmount},
			"sum above money":         {many[:2], 2000, Caps{}, CodeAmount},
			"dust":                    {[]SpendOutput{{payees[4], 329}}, 2000, Caps{}, CodeDust},
			"dust for P2PKH":          {[]SpendOutput{{payees[0], 545}}, 2000, Caps{}, CodeDust},
			"second output is dust":   {[]SpendOutput{{payees[4], 50_000}, {payees[4], 1}}, 2000, Caps{}, CodeDust},
			"more than balance":       {[]SpendOutput{{payees[4], 100_001}}, 2000, Caps{}, CodeFunds},
			"balance without the fee": {[]SpendOutput{{payees[4], 100_000}}, 2000, Caps{}, CodeFunds},
			"fee over cap":            {[]SpendOutput{{payees[4], 50_000}}, 20_000, Caps{Fee: 1000}, CodeFeeCap},
			"rate over cap":           {[]SpendOutput{{payees[4], 50_000}}, 20_000, Caps{Rate: 19_000}, CodeFeeCap},
			"rate too low":            {[]SpendOutput{{payees[4], 50_000}}, 999, Caps{}, CodeFee},
			"rate negative":           {[]SpendOutput{{payees[4], 50_000}}, -2000, Caps{}, CodeFee},
			"rate overflows":          {[]SpendOutput{{payees[4], 50_000}}, math.MaxInt64, Caps{}, CodeFunds},
		} {
			s, err := h.Plan(coins, Request{Outputs: c.outputs, Rate: c.rate, Caps: c.caps})
			wantCode(t, name, err, c.want)
			if err == nil {
				_, err = h.UnsignedTx(s)
				wantCode(t, name, err, "")
			}
		}
		_, err := h.Plan(nil, Request{Outputs: []SpendOutput{{payees[4], 50_000}}, Rate: 2000})
		wantCode(t, "an empty wallet", err, CodeFunds)
	})
}

// tampering changes one field of a plan. Check refuses it with the code; where there is none, the changed plan is a plan
// as good as the first, which only the people who approve it can tell apart, and it must bind to other digests.
var tampering = []struct {
	field, name string
	change      func(*Spend)
	want        string
}{
	{"Inputs.Outpoint.TxID", "unknown", func(s *Spend) { s.Inputs[0].Outpoint.TxID = TxID(strings.Repeat("ab", 32)) }, CodeInputUnknown},
	{"Inputs.Outpoint.TxID", "short", func(s *Spend) { s.Inputs[0].Outpoint.TxID = "ab" }, CodeSpend},
	{"Inputs.Outpoint.TxID", "no hex", func(s *Spend) { s.Inputs[0].Outpoint.TxID = TxID(strings.Repeat("xy", 32)) }, CodeSpend},
	{"Inputs.Outpoint.TxID", "upper case", func(s *Spend) { s.Inputs[0].Outpoint.TxID = TxID(strings.ToUpper(string(s.Inputs[0].Outpoint.TxID))) }, CodeSpend},
	{"Inputs.Outpoint.Vout", "the other coin", func(s *Spend) { s.Inputs[0].Outpoint.Vout ^= 1 }, CodeSpend},
	{"Inputs.Outpoint.Vout", "past the end", func(s *Spend) { s.Inputs[0].Outpoint.Vout = math.MaxUint32 }, CodeInputUnknown},
	{"Inputs.Value", "more", func(s *Spend) { s.Inputs[0].Value++ }, CodeSpend},
	{"Inputs.Value", "more, and as fee", func(s *Spend) { s.Inputs[0].Value++; s.Fee++ }, CodeInputUnknown},
	{"Inputs.Value", "less, and change", func(s *Spend) { s.Inputs[0].Value--; s.Change.Amount-- }, CodeInputUnknown},
	{"Inputs.Value", "zero", func(s *Spend) { s.Inputs[0].Value = 0 }, CodeSpend},
	{"Inputs.Value", "negative", func(s *Spend) { s.Inputs[0].Value = -1 }, CodeSpend},
	{"Inputs.Value", "above money", func(s *Spend) { s.Inputs[0].Value = MaxAmount + 1 }, CodeSpend},
	{"Inputs.Path.Chain", "other", func(s *Spend) { s.Inputs[0].Path.Chain ^= 1 }, CodeInputForeign},
	{"Inputs.Path.Chain", "none", func(s *Spend) { s.Inputs[0].Path.Chain = 2 }, CodeKey},
	{"Inputs.Path.Index", "other", func(s *Spend) { s.Inputs[0].Path.Index++ }, CodeInputForeign},
	{"Inputs.Path.Index", "hardened", func(s *Spend) { s.Inputs[0].Path.Index |= 1 << 31 }, CodeKey},
	{"Inputs", "one less", func(s *Spend) { s.Inputs = s.Inputs[1:] }, CodeSpend},
	{"Inputs", "none", func(s *Spend) { s.Inputs = nil }, CodeSpend},
	{"Inputs", "one twice", func(s *Spend) { s.Inputs = append(s.Inputs, s.Inputs[0]); s.Change.Amount += s.Inputs[0].Value }, CodeSpend},
	{"Inputs.Previous", "too large", func(s *Spend) { s.Inputs[0].Previous = make([]byte, MaxPrevious+1) }, CodePrevious},
	{"Outputs.Address", "none", func(s *Spend) { s.Outputs[0].Address = "" }, CodeAddress},
	{"Outputs.Address", "another network's", func(s *Spend) { s.Outputs[0].Address = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa" }, CodeWrongNetwork},
	{"Outputs.Address", "another payee", func(s *Spend) { s.Outputs[0].Address = payees[3] }, ""},
	{"Outputs.Amount", "more", func(s *Spend) { s.Outputs[0].Amount++ }, CodeSpend},
	{"Outputs.Amount", "dust", func(s *Spend) { s.Outputs[0].Amount = 1 }, CodeDust},
	{"Outputs.Amount", "negative", func(s *Spend) { s.Outputs[0].Amount *= -1 }, CodeAmount},
	{"Outputs.Amount", "moved", func(s *Spend) { s.Outputs[0].Amount++; s.Outputs[1].Amount-- }, ""},
	{"Outputs", "one less", func(s *Spend) { s.Outputs = s.Outputs[1:] }, CodeSpend},
	{"Outputs", "none", func(s *Spend) { s.Outputs = nil }, CodeSpend},
	{"Outputs", "swapped", func(s *Spend) { slices.Reverse(s.Outputs) }, ""},
	{"Change", "none", func(s *Spend) { s.Change = nil }, CodeSpend},
	{"Change", "all for the miner", func(s *Spend) { s.Fee += s.Change.Amount; s.Change = nil }, CodeFeeCap},
	{"Change.Amount", "more", func(s *Spend) { s.Change.Amount++ }, CodeSpend},
	{"Change.Amount", "dust", func(s *Spend) { s.Fee += s.Change.Amount - 293; s.Change.Amount = 293 }, CodeDust},
	{"Change.Amount", "negative", func(s *Spend) { s.Change.Amount *= -1 }, CodeDust},
	{"Change.Amount", "above money", func(s *Spend) { s.Change.Amount = MaxAmount + 1 }, CodeDust},
	{"Change.Index", "hardened", func(s *Spend) { s.Change.Index |= 1 << 31 }, CodeKey},
	{"Change.Index", "where no scan looks", func(s *Spend) { s.Change.Index = MaxAddresses }, CodeChange},
	{"Change.Index", "other", func(s *Spend) { s.Change.Index++ }, ""},
	{"Change.Position", "past the end", func(s *Spend) { s.Change.Position = 3 }, CodeSpend},
	{"Change.Position", "past the end, and as fee", func(s *Spend) { s.Change.Position = 3; s.Fee += s.Change.Amount }, CodeSpend},
	{"Change.Position", "far past the end", func(s *Spend) { s.Change.Position = math.MaxUint32 }, CodeSpend},
	{"Change.Position", "other", func(s *Spend) { s.Change.Position = 2 }, ""},
	{"Fee", "more", func(s *Spend) { s.Fee++ }, CodeSpend},
	{"Fee", "zero", func(s *Spend) { s.Change.Amount += s.Fee; s.Fee = 0 }, CodeSpend},
	{"Fee", "negative", func(s *Spend) { s.Change.Amount += s.Fee + 1; s.Fee = -1 }, CodeSpend},
	{"Fee", "over the cap", func(s *Spend) { s.Change.Amount -= 5000; s.Fee += 5000 }, CodeFeeCap},
	{"Fee", "over the rate's cap", func(s *Spend) { s.Change.Amount -= 500; s.Fee += 500 }, CodeFeeCap},
	{"Fee", "too low to be relayed", func(s *Spend) { s.Change.Amount += s.Fee - 200; s.Fee = 200 }, CodeFee},
	{"LockTime", "not yet", func(s *Spend) { s.LockTime = 500_000_000 }, CodeSpend},
	{"Sequence", "final", func(s *Spend) { s.Sequence = wire.MaxTxInSequenceNum }, CodeSpend},
	{"Sequence", "relative lock", func(s *Spend) { s.Sequence = 65_535 }, CodeSpend},
}

func TestCheckRefusesTampering(t *testing.T) {
	eachKind(t, func(t *testing.T, kind Kind) {
		h, source, s := plannedOf(t, kind)
		caps := Caps{Fee: 2000, Rate: 2500}
		if err := h.Check(context.Background(), source, s, caps); err != nil {
			t.Fatal(err)
		}
		original, signatures := must(h.Sighashes(s)), h.sign(t, s)
		covered := map[string]bool{}
		for _, c := range tampering {
			covered[c.field] = true
			bad := clone(s)
			c.change(&bad)
			if reflect.DeepEqual(bad, s) {
				t.Errorf("%s, %s: changes nothing", c.field, c.name)
			}
			err := h.Check(context.Background(), source, bad, caps)
			wantCode(t, c.field+", "+c.name, err, c.want)
			if digests, err := h.Sighashes(bad); err == nil && len(digests) == len(original) && (digests[0] == original[0] || digests[1] == original[1]) {
				t.Errorf("%s, %s: binds to a digest of the original", c.field, c.name)
			}
			if raw, _, err := h.Attach(bad, signatures); err == nil || raw != nil {
				t.Errorf("%s, %s: takes the original's signatures", c.field, c.name)
			}
		}
		bad := clone(s)
		bad.Fee, bad.Change.Amount = s.Fee+s.Change.Amount-kind.dust()+1, kind.dust()-1
		wantCode(t, "change just below the limit", h.Check(context.Background(), source, bad, Caps{}), CodeDust)
		for _, field := range leaves("", reflect.TypeFor[Spend]()) {
			if !covered[field] {
				t.Errorf("no tampering with %s", field)
			}
		}
	})
}

// leaves names every field of a plan, so that a new one asks for a case of its own.
func leaves(name string, v reflect.Type) (out []string) {
	switch v.Kind() {
	case reflect.Slice, reflect.Pointer:
		return append(leaves(name, v.Elem()), name)
	case reflect.Struct:
		for i := range v.NumField() {
			out = append(out, leaves(strings.TrimPrefix(name+"."+v.Field(i).Name, "."), v.Field(i).Type)...)
		}
		return out
	}
	return []string{name}
}

// What a chain source says is believed only as far as it can be hashed.
func TestCheckDistrustsTheSource(t *testing.T) {
	eachKind(t, func(t *testing.T, kind Kind) {
		down := errors.New("source is down")
		for name, c := range map[string]struct {
			lie  func(*ledger, Spend)
			want string
		}{
			"spent":                  {func(l *ledger, s Spend) { l.spent[s.Inputs[1].Outpoint] = true }, CodeInputSpent},
			"unknown":                {func(l *ledger, s Spend) { delete(l.txs, s.Inputs[1].Outpoint.TxID) }, CodeInputUnknown},
			"malformed":              {func(l *ledger, s Spend) { l.txs[s.Inputs[0].Outpoint.TxID] = []byte{1, 2, 3} }, CodeInputUnknown},
			"empty":                  {func(l *ledger, s Spend) { l.txs[s.Inputs[0].Outpoint.TxID] = nil }, CodeInputUnknown},
			"another, more valuable": {func(l *ledger, s Spend) { l.alter(s, func(tx *wire.MsgTx) { tx.TxOut[0].Value += 1_000_000 }) }, CodeInputUnknown},
			"another, same outputs":  {func(l *ledger, s Spend) { l.alter(s, func(tx *wire.MsgTx) { tx.LockTime++ }) }, CodeInputUnknown},
			"down":                   {func(l *ledger, _ Spend) { l.fail = down }, "no code: source is down"},
		} {
			h, source, s := plannedOf(t, kind)
			c.lie(source, s)
			wantCode(t, name, h.Check(context.Background(), source, s, Caps{}), c.want)
		}
	})
}

// alter gives another transaction under the id of the first input's.
func (l *ledger) alter(s Spend, change func(*wire.MsgTx)) {
	var tx wire.MsgTx
	must(0, tx.Deserialize(bytes.NewReader(l.txs[s.Inputs[0].Outpoint.TxID])))
	change(&tx)
	var b bytes.Buffer
	must(0, tx.Serialize(&b))
	l.txs[s.Inputs[0].Outpoint.TxID] = b.Bytes()
}

// A value that the source of the planner got wrong is found by the checker's own source.
func TestCheckFindsFalseValue(t *testing.T) {
	eachKind(t, func(t *testing.T, kind Kind) {
		h, source := newHolderOf(t, kind, Regtest, 1), newLedger()
		coins := source.pay(t, h.Account, 1, []Amount{60_000}, []Path{{0, 0}})
		coins[0].Value = 90_000
		s, err := h.Plan(coins, Request{Outputs: []SpendOutput{{payees[4], 50_000}}, Rate: 2000})
		if err != nil {
			t.Fatal(err)
		}
		wantCode(t, "a false value", h.Check(context.Background(), source, h.complete(t, source, s), Caps{}), CodeInputUnknown)
	})
}

// Somebody else's coin is refused although it exists and is unspent.
func TestCheckRefusesForeignCoin(t *testing.T) {
	eachKind(t, func(t *testing.T, kind Kind) {
		h, other, source := newHolderOf(t, kind, Regtest, 1), newHolderOf(t, kind, Regtest, 2), newLedger()
		coins := source.pay(t, other.Account, 1, []Amount{60_000}, []Path{{0, 0}})
		s, err := h.Plan(coins, Request{Outputs: []SpendOutput{{payees[4], 50_000}}, Rate: 2000})
		if err != nil {
			t.Fatal(err)
		}
		wantCode(t, "a foreign coin", h.Check(context.Background(), source, h.complete(t, source, s), Caps{}), CodeInputForeign)
	})
}

func TestTooLargeIsRefused(t *testing.T) {
	h := newHolder(t, Regtest, 1)
	var s Spend
	for i := range 1800 {
		s.Inputs = append(s.Inputs, SpendInput{Outpoint: Outpoint{TxID(fmt.Sprintf("%064x", i)), 0}, Value: 1000})
	}
	s.Outputs, s.Fee = []SpendOutput{{payees[4], 1000}}, 1799*1000
	_, err := h.UnsignedTx(s)
	wantCode(t, "1800 inputs", err, CodeSpend)
}

func TestAttachRefuses(t *testing.T) {
	eachKind(t, func(t *testing.T, kind Kind) {
		h, _, s := plannedOf(t, kind)
		other := newHolderOf(t, kind, Regtest, 2)
		good := h.sign(t, s)
		noise := bytes.Repeat([]byte{0x5a}, 64)
		for name, bad := range map[string][][]byte{
			"none":          nil,
			"one":           good[:1],
			"three":         {good[0], good[1], good[1]},
			"short":         {good[0], good[1][:63]},
			"long":          {good[0], append(slices.Clone(good[1]), 1)},
			"empty":         {good[0], {}},
			"swapped":       {good[1], good[0]},
			"zero":          {good[0], make([]byte, 64)},
			"noise":         {noise, good[1]},
			"another key's": holder{h.Account, other.secret}.sign(t, s),
		} {
			raw, id, err := h.Attach(s, bad)
			wantCode(t, name, err, CodeSignature)
			if raw != nil || id != "" {
				t.Errorf("%s: a transaction left although it does not pass", name)
			}
		}
		for bit := 0; bit < 512; bit += 7 {
			bad := slices.Clone(good[1])
			bad[bit/8] ^= 1 << (bit % 8)
			_, _, err := h.Attach(s, [][]byte{good[0], bad})
			wantCode(t, fmt.Sprintf("bit %d", bit), err, CodeSignature)
		}
	})
}

func TestVerifyRefuses(t *testing.T) {
	eachKind(t, func(t *testing.T, kind Kind) {
		h, _, s := plannedOf(t, kind)
		raw, _, err := h.Attach(s, h.sign(t, s))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Verify(s, raw); err != nil {
			t.Fatal(err)
		}
		for i := range raw {
			bad := slices.Clone(raw)
			bad[i] ^= 1
			_, err := h.Verify(s, bad)
			wantCode(t, fmt.Sprintf("byte %d", i), err, CodeSignature)
			_, err = h.Verify(s, raw[:i])
			wantCode(t, fmt.Sprintf("cut at %d", i), err, CodeSignature)
		}
		_, err = h.Verify(s, append(slices.Clone(raw), 0))
		wantCode(t, "a byte more", err, CodeSignature)
		_, err = h.Verify(s, stripped(raw))
		wantCode(t, "without witnesses", err, CodeSignature)
		other := clone(s)
		other.Outputs[0].Address = payees[3]
		_, err = h.Verify(other, raw)
		wantCode(t, "another plan's", err, CodeSignature)
	})
}

func TestOutpointsAndNetworks(t *testing.T) {
	txid := strings.Repeat("0f", 32)
	if o, err := ParseOutpoint(txid + ":4294967295"); err != nil || o.String() != txid+":4294967295" {
		t.Errorf("outpoint %s (%v)", o, err)
	}
	for _, bad := range []string{"", ":", txid, txid + ":", txid + ":-1", txid + ":4294967296", txid + ":01", txid + ":+1", txid + ":1:", txid[1:] + ":1",
		strings.ToUpper(txid) + ":1", strings.Repeat("g", 64) + ":1", " " + txid[1:] + ":1"} {
		_, err := ParseOutpoint(bad)
		wantCode(t, bad, err, CodeSpend)
	}
	for _, n := range []Network{Mainnet, Testnet, Signet, Regtest} {
		if got, err := ParseNetwork(string(n)); err != nil || got != n {
			t.Errorf("%s: %v", n, err)
		}
	}
	_, err := ParseNetwork("Mainnet")
	wantCode(t, "a network in upper case", err, CodeNetwork)
}
