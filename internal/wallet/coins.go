package wallet

import (
	"cmp"
	"context"
	"slices"
)

// Bounds of a scan and of coin selection.
const (
	GapLimit     = 20   // unused addresses in a row that end a scan
	MaxAddresses = 2000 // of one chain that a scan looks at
	MaxCoins     = 5000
	maxTries     = 100_000 // of branch and bound
)

// Holdings is what a scan found.
type Holdings struct {
	Coins       []Coin
	NextReceive uint32 // first receiving index that was never paid
	NextChange  uint32
}

// Balance sums up confirmed and unconfirmed coins.
func (h Holdings) Balance() (confirmed, pending Amount) {
	for _, c := range h.Coins {
		if c.Confirmed {
			confirmed += c.Value
		} else {
			pending += c.Value
		}
	}
	return confirmed, pending
}

// Scan asks the chain source for every address of both chains up to a gap of unused ones.
func (a *Account) Scan(ctx context.Context, source Reader) (Holdings, error) {
	var h Holdings
	for chain, next := range []*uint32{ReceiveChain: &h.NextReceive, ChangeChain: &h.NextChange} {
		gap := 0
		for index := uint32(0); gap < GapLimit && index < MaxAddresses; index++ {
			path := Path{uint32(chain), index}
			used, err := a.scanOne(ctx, source, path, &h)
			if err != nil {
				return h, err
			}
			if used {
				gap, *next = 0, index+1
			} else {
				gap++
			}
		}
	}
	return h, nil
}

func (a *Account) scanOne(ctx context.Context, source Reader, path Path, h *Holdings) (bool, error) {
	script, err := a.Script(path)
	if err != nil {
		return false, err
	}
	used, err := source.Used(ctx, script)
	if err != nil || !used {
		return false, err
	}
	utxos, err := source.UTXOs(ctx, script)
	if err != nil {
		return true, err
	}
	for _, u := range utxos {
		if len(h.Coins) == MaxCoins {
			return true, refuse(CodeFunds, "wallet has more than %d coins", MaxCoins)
		}
		h.Coins = append(h.Coins, Coin{Outpoint: u.Outpoint, Value: u.Value, Path: path, Confirmed: u.Confirmed, Height: u.Height})
	}
	return true, nil
}

// Caps bound the fee of one transaction. Zero fields do not bound.
type Caps struct {
	Fee  Amount
	Rate FeeRate
}

func (c Caps) check(fee Amount, weight int64) error {
	if c.Fee > 0 && fee > c.Fee {
		return refuse(CodeFeeCap, "fee of %d sat is over the cap of %d", fee, c.Fee)
	}
	if c.Rate > 0 && fee > c.Rate.Fee(weight) {
		return refuse(CodeFeeCap, "fee rate is over the cap of %d sat/kvB", c.Rate)
	}
	return nil
}

// selection is a set of coins and what is left over.
type selection struct {
	coins  []Coin
	change Amount // 0: no change output
	fee    Amount
}

// choose picks coins for a target. It looks for a set that needs no change (branch and bound); when there is none it takes
// the largest coins first, and gives change when the rest is worth an output.
func choose(kind Kind, coins []Coin, target Amount, outputs int64, rate FeeRate) (selection, error) {
	usable := slices.Clone(coins)
	perInput := rate.Fee(kind.inputWeight())
	usable = slices.DeleteFunc(usable, func(c Coin) bool { return c.Value <= perInput })
	slices.SortFunc(usable, func(a, b Coin) int {
		return cmp.Or(cmp.Compare(b.Value, a.Value), cmp.Compare(a.Outpoint.TxID, b.Outpoint.TxID), cmp.Compare(a.Outpoint.Vout, b.Outpoint.Vout))
	})
	costOfChange := rate.Fee(kind.changeWeight()) + rate.Fee(kind.inputWeight())
	if picked := branchAndBound(usable, target+rate.Fee(kind.weight(0, outputs)), costOfChange, perInput); picked != nil {
		if s, ok := settle(kind, picked, target, outputs, rate, false); ok {
			return s, nil
		}
	}
	for n := range usable {
		if s, ok := settle(kind, usable[:n+1], target, outputs, rate, true); ok {
			return s, nil
		}
	}
	return selection{}, refuse(CodeFunds, "the wallet's spendable coins do not cover the amount and the fee")
}

// settle computes fee and change for a set of coins; it fails when the set does not cover the target.
func settle(kind Kind, coins []Coin, target Amount, outputs int64, rate FeeRate, allowChange bool) (selection, bool) {
	var total Amount
	for _, c := range coins {
		total += c.Value
	}
	s := selection{coins: slices.Clone(coins)}
	withChange := rate.Fee(kind.weight(len(coins), outputs+kind.changeWeight()))
	if change := total - target - withChange; allowChange && change >= kind.dust() && change > rate.Fee(kind.inputWeight()) {
		s.change, s.fee = change, withChange
		return s, true
	}
	s.fee = total - target
	return s, s.fee >= rate.Fee(kind.weight(len(coins), outputs))
}

// branchAndBound searches, largest first, for a set whose effective value is within tolerance above the target.
func branchAndBound(coins []Coin, target, tolerance, perInput Amount) []Coin {
	rest := make([]Amount, len(coins)+1) // effective value of all coins from i on
	for i := len(coins) - 1; i >= 0; i-- {
		rest[i] = rest[i+1] + coins[i].Value - perInput
	}
	var picked []int
	tries := 0
	var search func(i int, sum Amount) bool
	search = func(i int, sum Amount) bool {
		if tries++; tries > maxTries || sum > target+tolerance || sum+rest[min(i, len(coins))] < target {
			return false
		}
		if sum >= target {
			return true
		}
		if i == len(coins) {
			return false
		}
		picked = append(picked, i)
		if search(i+1, sum+coins[i].Value-perInput) {
			return true
		}
		picked = picked[:len(picked)-1]
		return search(i+1, sum)
	}
	if !search(0, 0) || len(picked) == 0 {
		return nil
	}
	out := make([]Coin, len(picked))
	for j, i := range picked {
		out[j] = coins[i]
	}
	return out
}
