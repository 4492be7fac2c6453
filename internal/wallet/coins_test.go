package wallet

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
	"pgregory.net/rapid"
)

// drawCoins makes coins with distinct outpoints.
func drawCoins(t *rapid.T, least, most int) []Coin {
	values := rapid.SliceOfN(rapid.Int64Range(1, 3_000_000), least, most).Draw(t, "values")
	coins := make([]Coin, len(values))
	for i, v := range values {
		coins[i] = Coin{Outpoint: Outpoint{TxID(fmt.Sprintf("%064x", i/2)), uint32(i % 2)}, Value: Amount(v), Confirmed: true}
	}
	return coins
}

func sum(coins []Coin) (total Amount) {
	for _, c := range coins {
		total += c.Value
	}
	return total
}

// usable are the coins that are worth more than they cost to spend.
func usable(kind Kind, coins []Coin, rate FeeRate) []Coin {
	return slices.DeleteFunc(slices.Clone(coins), func(c Coin) bool { return c.Value <= rate.Fee(kind.inputWeight()) })
}

// What is chosen covers target, fee and change to the satoshi; change is never dust nor dearer to spend than it is worth;
// what is given up for having no change is bounded; nothing covers the target when choose says so.
func TestSelectionProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom(kinds).Draw(t, "kind")
		coins := drawCoins(t, 0, 14)
		target := Amount(rapid.Int64Range(330, 8_000_000).Draw(t, "target"))
		rate := FeeRate(rapid.Int64Range(int64(MinRelayRate), 500_000).Draw(t, "rate"))
		outputs := outputWeight(34) * rapid.Int64Range(1, 4).Draw(t, "outputs")
		s, err := choose(kind, coins, target, outputs, rate)
		if err != nil {
			wantCode(t, "choose", err, CodeFunds)
			all := usable(kind, coins, rate)
			if sum(all) >= target+rate.Fee(kind.weight(len(all), outputs)) {
				t.Fatalf("refused, although all coins cover target and fee")
			}
			return
		}
		n := len(s.coins)
		bare := rate.Fee(kind.weight(n, outputs))
		costOfChange := rate.Fee(kind.changeWeight()) + rate.Fee(kind.inputWeight())
		switch {
		case sum(s.coins) != target+s.fee+s.change:
			t.Fatalf("coins %d do not equal target %d, fee %d and change %d", sum(s.coins), target, s.fee, s.change)
		case s.change < 0 || s.change > 0 && (s.change < kind.dust() || s.change <= rate.Fee(kind.inputWeight())):
			t.Fatalf("change of %d is not worth having", s.change)
		case s.change > 0 && s.fee != rate.Fee(kind.weight(n, outputs+kind.changeWeight())):
			t.Fatalf("fee of %d with change is not the rate's", s.fee)
		case s.change == 0 && s.fee < bare:
			t.Fatalf("fee of %d is below the rate's %d", s.fee, bare)
		case s.change == 0 && s.fee > bare+costOfChange+kind.dust()+Amount(n)*rate.Fee(kind.inputWeight())+rate.Fee(kind.weight(0, outputs))-bare+1:
			t.Fatalf("fee of %d gives up too much: %d is needed", s.fee, bare)
		}
		seen := map[Outpoint]bool{}
		for _, c := range s.coins {
			if seen[c.Outpoint] || !slices.Contains(coins, c) {
				t.Fatalf("coin %s is chosen twice or is none of the wallet's", c.Outpoint)
			}
			seen[c.Outpoint] = true
		}
		again, err := choose(kind, rapid.Permutation(coins).Draw(t, "order"), target, outputs, rate)
		if err != nil || !reflect.DeepEqual(again, s) {
			t.Fatalf("another order of coins gives another selection (%v)", err)
		}
	})
}

// exact says whether any set of coins meets the target without change, trying every one. An input's cost is rounded up
// for each input, as branchAndBound does it.
func exact(kind Kind, coins []Coin, target Amount, outputs int64, rate FeeRate) bool {
	perInput := rate.Fee(kind.inputWeight())
	low := target + rate.Fee(kind.weight(0, outputs))
	high := low + rate.Fee(kind.changeWeight()) + perInput
	for set := 1; set < 1<<len(coins); set++ {
		var value Amount
		for i, c := range coins {
			if set>>i&1 == 1 {
				value += c.Value - perInput
			}
		}
		if value >= low && value <= high {
			return true
		}
	}
	return false
}

// When some set needs no change, one is found. Half of the targets are made from a set, so that there is one.
func TestBranchAndBoundFindsExactSets(t *testing.T) {
	planted := 0
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom(kinds).Draw(t, "kind")
		coins := drawCoins(t, 1, 10)
		rate := FeeRate(rapid.Int64Range(int64(MinRelayRate), 100_000).Draw(t, "rate"))
		outputs := outputWeight(34)
		perInput := rate.Fee(kind.inputWeight())
		target := Amount(rapid.Int64Range(330, 6_000_000).Draw(t, "target"))
		pick := rapid.SliceOfN(rapid.Bool(), len(coins), len(coins)).Draw(t, "set")
		if made := -rate.Fee(kind.weight(0, outputs)); rapid.Bool().Draw(t, "plant") {
			for i, c := range coins {
				if pick[i] && c.Value > perInput {
					made += c.Value - perInput
				}
			}
			made -= Amount(rapid.Int64Range(0, int64(rate.Fee(kind.changeWeight())+perInput)).Draw(t, "slack"))
			if made > 330 {
				target = made
			}
		}
		if !exact(kind, usable(kind, coins, rate), target, outputs, rate) {
			return
		}
		planted++
		s, err := choose(kind, coins, target, outputs, rate)
		if err != nil || s.change != 0 {
			t.Fatalf("a set without change exists; got change of %d (%v)", s.change, err)
		}
	})
	if planted == 0 {
		t.Error("no case had an exact set")
	}
}

// The search gives up after maxTries and the wallet still pays.
func TestSelectionOfManyCoins(t *testing.T) {
	coins := make([]Coin, MaxCoins)
	for i := range coins {
		coins[i] = Coin{Outpoint: Outpoint{TxID(fmt.Sprintf("%064x", i)), 0}, Value: 100_000 + Amount(i%7)*2, Confirmed: true}
	}
	s, err := choose(P2TR, coins, 54_321_001, outputWeight(34), 5000)
	if err != nil || sum(s.coins) != 54_321_001+s.fee+s.change {
		t.Fatalf("choose: %v", err)
	}
}

// No plan pays more than its caps, and a plan that would is refused with the cap's code.
func TestPlanKeepsFeeCaps(t *testing.T) {
	capped := 0
	rapid.Check(t, func(t *rapid.T) {
		h := newHolderOf(t, rapid.SampledFrom(kinds).Draw(t, "kind"), Regtest, 1)
		to := must(h.Address(Path{0, 40}))
		caps := Caps{Fee: Amount(rapid.Int64Range(1, 40_000).Draw(t, "fee cap")), Rate: FeeRate(rapid.Int64Range(1000, 60_000).Draw(t, "rate cap"))}
		r := Request{Outputs: []SpendOutput{{to, Amount(rapid.Int64Range(330, 5_000_000).Draw(t, "amount"))}}, Caps: caps,
			Rate: FeeRate(rapid.Int64Range(1000, 60_000).Draw(t, "rate")), Position: rapid.Uint32().Draw(t, "position")}
		s, err := h.Plan(drawCoins(t, 1, 10), r)
		switch code(err) {
		case CodeFunds:
		case CodeFeeCap:
			capped++
		case "":
			if s.Fee > caps.Fee || s.Fee > caps.Rate.Fee(h.Weight(s)) || s.Fee < r.Rate.Fee(h.Weight(s)) {
				t.Fatalf("fee of %d with weight %d is outside rate %d and caps %v", s.Fee, h.Weight(s), r.Rate, caps)
			}
			if _, err := h.UnsignedTx(s); err != nil {
				t.Fatalf("plan makes no transaction: %v", err)
			}
		default:
			t.Fatalf("plan: %v", err)
		}
	})
	if capped == 0 {
		t.Error("no case was over a cap")
	}
}

// Weight is that of the signed transaction to the unit, also where a count takes more bytes; for P2WPKH when every
// signature is as long as one can be.
func TestWeightIsExact(t *testing.T) {
	for _, kind := range kinds {
		h := newHolderOf(t, kind, Regtest, 1)
		longest := wire.TxWitness{make([]byte, 64)}
		if kind == P2WPKH {
			longest = wire.TxWitness{make([]byte, 72), make([]byte, 33)}
		}
		for _, inputs := range []int{1, 2, 252, 253} {
			for _, outputs := range []int{1, 2, 251, 252, 253} {
				for _, change := range []bool{false, true} {
					s := wide(h, inputs, outputs, change)
					tx, err := h.UnsignedTx(s)
					if err != nil {
						t.Fatal(err)
					}
					for _, in := range tx.TxIn {
						in.Witness = longest
					}
					if want := int64(3*tx.SerializeSizeStripped() + tx.SerializeSize()); h.Weight(s) != want {
						t.Errorf("%s, %d inputs, %d outputs, change %v: weight %d, want %d", kind, inputs, outputs, change, h.Weight(s), want)
					}
				}
			}
		}
	}
}

// wide is a spend with so many inputs and outputs.
func wide(h holder, inputs, outputs int, change bool) Spend {
	addresses := []string{must(h.Address(Path{0, 1})), "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn"}
	s := Spend{Fee: 1000}
	for i := range inputs {
		s.Inputs = append(s.Inputs, SpendInput{Outpoint: Outpoint{TxID(fmt.Sprintf("%064x", i)), 0}, Value: 1_000_000_000})
	}
	left := Amount(inputs)*1_000_000_000 - s.Fee
	if change {
		s.Change = &SpendChange{Amount: 10_000}
		left -= s.Change.Amount
	}
	for i := range outputs {
		s.Outputs = append(s.Outputs, SpendOutput{addresses[i%3], 1000})
	}
	s.Outputs[0].Amount = left - Amount(outputs-1)*1000
	return s
}

// A plan of many outputs still pays its rate.
func TestPlanOfManyOutputsPaysItsRate(t *testing.T) {
	h := newHolder(t, Regtest, 1)
	to := must(h.Address(Path{0, 40}))
	for n := 250; n < 256; n++ {
		coins := []Coin{{Outpoint: Outpoint{TxID(fmt.Sprintf("%064x", 1)), 0}, Value: 10_000_000, Confirmed: true}}
		s, err := h.Plan(coins, Request{Outputs: slices.Repeat([]SpendOutput{{to, 1000}}, n), Rate: MinRelayRate})
		if err != nil || s.Fee < MinRelayRate.Fee(h.Weight(s)) || s.Fee > MinRelayRate.Fee(h.Weight(s))+2 {
			t.Errorf("%d outputs: fee %d, weight %d (%v)", n, s.Fee, h.Weight(s), err)
		}
	}
}

func TestFeeRoundsUpAndDoesNotWrap(t *testing.T) {
	for _, c := range []struct {
		rate   FeeRate
		weight int64
		want   Amount
	}{{1000, 4, 1}, {1000, 5, 2}, {1, 4, 1}, {1001, 400, 101}, {0, 400, 0}, {math.MaxInt64, 4000, MaxAmount}, {math.MaxInt64, 4, MaxAmount}} {
		if got := c.rate.Fee(c.weight); got != c.want {
			t.Errorf("rate %d, weight %d: fee %d, want %d", c.rate, c.weight, got, c.want)
		}
	}
}

// Bitcoin Core's dust limits at its default rate of 3000 sat/kvB.
func TestDust(t *testing.T) {
	for text, want := range map[string]Amount{
		"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa":                             546, // P2PKH
		"3P14159f73E4gFr7JterCCQh9QjiTjiZrG":                             540, // P2SH
		"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4":                     294, // P2WPKH
		"bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3": 330, // P2WSH
		"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0": 330, // P2TR
	} {
		a, err := ParseAddress(Mainnet, text)
		if err != nil || Dust(a.Script) != want {
			t.Errorf("%s: %d, want %d (%v)", text, Dust(a.Script), want, err)
		}
	}
	// The least change is given; a satoshi below it goes to the miner.
	// At a high rate the limit is what spending the change will cost.
	const high = 50_000
	for _, c := range []struct {
		kind         Kind
		rate         FeeRate
		change, want Amount
	}{{P2TR, MinRelayRate, 330, 330}, {P2TR, MinRelayRate, 329, 0}, {P2TR, high, 2901, 2901}, {P2TR, high, 2900, 0},
		{P2WPKH, MinRelayRate, 294, 294}, {P2WPKH, MinRelayRate, 293, 0}, {P2WPKH, high, 3401, 3401}, {P2WPKH, high, 3400, 0}} {
		h := newHolderOf(t, c.kind, Mainnet, 1)
		if script := must(h.Script(Path{ChangeChain, 0})); len(script) != c.kind.scriptLen() || Dust(script) != c.kind.dust() {
			t.Errorf("%s: change has %d bytes and a limit of %d", c.kind, len(script), Dust(script))
		}
		fee := c.rate.Fee(c.kind.weight(1, 2*c.kind.changeWeight()))
		s, ok := settle(c.kind, []Coin{{Value: 10_000 + fee + c.change}}, 10_000, c.kind.changeWeight(), c.rate, true)
		if !ok || s.change != c.want {
			t.Errorf("%s, rate %d: change of %d, want %d", c.kind, c.rate, s.change, c.want)
		}
	}
}

// Confirmed coins are used, and own change before it is confirmed. What others sent and no block has is not.
func TestPlanLeavesUnconfirmedReceipts(t *testing.T) {
	h := newHolder(t, Regtest, 1)
	r := Request{Outputs: []SpendOutput{{must(h.Address(Path{0, 40})), 50_000}}, Rate: 2000}
	for _, c := range []struct {
		path      Path
		confirmed bool
		want      string
	}{{Path{0, 3}, true, ""}, {Path{1, 3}, true, ""}, {Path{1, 3}, false, ""}, {Path{0, 3}, false, CodeFunds}} {
		_, err := h.Plan([]Coin{{Outpoint: Outpoint{TxID(fmt.Sprintf("%064x", 1)), 0}, Value: 100_000, Path: c.path, Confirmed: c.confirmed}}, r)
		wantCode(t, fmt.Sprintf("%s, confirmed %v", c.path, c.confirmed), err, c.want)
	}
}

func TestScan(t *testing.T) {
	h := newHolder(t, Regtest, 1)
	source := newLedger()
	source.pay(t, h.Account, 1, []Amount{10, 20, 30, 40}, []Path{{0, 0}, {0, GapLimit}, {1, GapLimit - 1}, {0, GapLimit + 1 + GapLimit}})
	empty := must(h.Script(Path{0, 2}))
	source.utxos[string(empty)] = nil // used and spent
	pending := string(must(h.Script(Path{0, 0})))
	source.utxos[pending] = append(source.utxos[pending], UTXO{Outpoint: Outpoint{TxID(fmt.Sprintf("%064x", 9)), 7}, Value: 5})
	found, err := h.Scan(context.Background(), source)
	if err != nil {
		t.Fatal(err)
	}
	// 40 lies after a gap of GapLimit unused addresses and is not seen.
	if confirmed, unconfirmed := found.Balance(); confirmed != 60 || unconfirmed != 5 || len(found.Coins) != 4 {
		t.Errorf("balance %d and %d in %d coins", confirmed, unconfirmed, len(found.Coins))
	}
	if found.NextReceive != GapLimit+1 || found.NextChange != GapLimit {
		t.Errorf("next receive %d, next change %d", found.NextReceive, found.NextChange)
	}
	for _, c := range found.Coins {
		if c.Outpoint.Vout == 2 && c.Path != (Path{1, GapLimit - 1}) {
			t.Errorf("coin of the change chain has path %s", c.Path)
		}
	}
	if source.asked != GapLimit+1+GapLimit+GapLimit+GapLimit {
		t.Errorf("asked for %d scripts", source.asked)
	}
	source.fail = errors.New("source is down")
	if _, err := h.Scan(context.Background(), source); !errors.Is(err, source.fail) {
		t.Errorf("a failing source: %v", err)
	}
}

// The bounds of a scan hold against a source that calls everything used, or lists coins without end.
func TestScanIsBounded(t *testing.T) {
	h := newHolder(t, Regtest, 1)
	everything := &liar{newLedger(), 1}
	found, err := h.Scan(context.Background(), everything)
	if err != nil || everything.asked != 2*MaxAddresses || found.NextChange != MaxAddresses || len(found.Coins) != 2*MaxAddresses {
		t.Errorf("asked for %d scripts (%v)", everything.asked, err)
	}
	_, err = h.Scan(context.Background(), &liar{newLedger(), MaxCoins + 1})
	wantCode(t, "too many coins", err, CodeFunds)
}

type liar struct {
	*ledger
	coins int
}

func (l *liar) Used(context.Context, []byte) (bool, error) { l.asked++; return true, nil }

func (l *liar) UTXOs(context.Context, []byte) ([]UTXO, error) {
	return slices.Repeat([]UTXO{{Value: 1}}, l.coins), nil
}
