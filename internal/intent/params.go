package intent

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Sats is an amount in satoshis. It is a JSON string, so that no reader rounds it.
type Sats int64

// MarshalText writes decimal digits.
func (s Sats) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(s), 10), nil }

// UnmarshalText reads decimal digits and refuses anything above the money supply.
func (s *Sats) UnmarshalText(text []byte) error {
	v, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || v < 0 || v > MaxSats {
		return errors.New("amount must be a whole number of satoshis within the money supply")
	}
	*s = Sats(v)
	return nil
}

func (s Sats) display() string {
	return fmt.Sprintf("%d.%08d BTC (%d sat)", s/1e8, s%1e8, int64(s))
}

// Spend is bitcoin.spend: one transaction, fixed to the byte. The signers rebuild it from these fields and from their own
// view of the chain; nothing else enters what they sign.
type Spend struct {
	Network  string   `json:"network"`
	Inputs   []Input  `json:"inputs"`
	Outputs  []Output `json:"outputs"`
	Change   *Change  `json:"change,omitempty"`
	Fee      Sats     `json:"fee_sats"`
	LockTime uint32   `json:"lock_time"`
	Sequence uint32   `json:"sequence"`
}

// Input is a coin of the wallet: where it is, what it is worth and under which child of the key it lies.
type Input struct {
	Outpoint string `json:"outpoint"` // txid:vout, the txid as explorers print it
	Value    Sats   `json:"value_sats"`
	Chain    uint32 `json:"chain"` // 0 receiving, 1 change
	Index    uint32 `json:"index"`
}

// Output is a payment to an address.
type Output struct {
	Address string `json:"address"`
	Amount  Sats   `json:"amount_sats"`
}

// Change is the output back to the wallet. Its script is derived, never taken from outside. It stands at Position.
type Change struct {
	Index    uint32 `json:"index"` // on the change chain
	Amount   Sats   `json:"amount_sats"`
	Position uint32 `json:"position"`
}

// Act is bitcoin.spend.
func (Spend) Act() Act { return ActBitcoinSpend }

func (s Spend) validate() error {
	switch {
	case s.Network == "" || len(s.Network) > MaxName:
		return errors.New("network is missing")
	case len(s.Inputs) == 0 || len(s.Inputs) > MaxInputs:
		return fmt.Errorf("a spend needs 1 to %d inputs", MaxInputs)
	case len(s.Outputs) == 0 || len(s.Outputs) > MaxOutputs:
		return fmt.Errorf("a spend needs 1 to %d outputs", MaxOutputs)
	case s.Fee <= 0 || s.Fee > MaxSats:
		return errors.New("fee must be above zero")
	case s.Change != nil && int(s.Change.Position) > len(s.Outputs):
		return errors.New("change position is past the last output")
	}
	if err := s.checkInputs(); err != nil {
		return err
	}
	return s.checkSums()
}

func (s Spend) checkInputs() error {
	seen := make(map[string]bool, len(s.Inputs))
	for _, in := range s.Inputs {
		txid, vout, ok := strings.Cut(in.Outpoint, ":")
		n, err := strconv.ParseUint(vout, 10, 32)
		if !ok || len(txid) != 64 || strings.Trim(txid, "0123456789abcdef") != "" || err != nil || strconv.FormatUint(n, 10) != vout {
			return errors.New("an input's outpoint must be txid:vout")
		}
		if seen[in.Outpoint] {
			return errors.New("the same input stands twice")
		}
		seen[in.Outpoint] = true
		if in.Chain > 1 || in.Index > MaxPathIndex {
			return errors.New("an input's path must be 0/i or 1/i, unhardened")
		}
	}
	return nil
}

// checkSums holds the one equation of a payment: inputs = outputs + change + fee.
func (s Spend) checkSums() error {
	var in, out Sats
	for _, i := range s.Inputs {
		if i.Value <= 0 || i.Value > MaxSats {
			return errors.New("an input's value is out of range")
		}
		in += i.Value
	}
	for _, o := range s.Outputs {
		if o.Address == "" || len(o.Address) > MaxAddress {
			return errors.New("an output's address is missing or too long")
		}
		if o.Amount <= 0 || o.Amount > MaxSats {
			return errors.New("an output's amount is out of range")
		}
		out += o.Amount
	}
	if s.Change != nil {
		if s.Change.Amount <= 0 || s.Change.Amount > MaxSats || s.Change.Index > MaxPathIndex {
			return errors.New("change is out of range")
		}
		out += s.Change.Amount
	}
	if in != out+s.Fee {
		return errors.New("inputs do not equal outputs, change and fee")
	}
	return nil
}

func (s Spend) display() []Line {
	lines := []Line{{"network", s.Network}}
	for _, o := range s.Outputs {
		lines = append(lines, Line{"pay", o.Amount.display() + " to " + o.Address})
	}
	if s.Change != nil {
		lines = append(lines, Line{"change", fmt.Sprintf("%s to own address 1/%d", s.Change.Amount.display(), s.Change.Index)})
	}
	for _, in := range s.Inputs {
		lines = append(lines, Line{"from", fmt.Sprintf("%s at %s (%d/%d)", in.Value.display(), in.Outpoint, in.Chain, in.Index)})
	}
	return append(lines, Line{"fee", s.Fee.display()})
}

// Generate is key.generate: a new key among named nodes.
type Generate struct {
	Protocol  string   `json:"protocol"` // "frost"
	Suite     string   `json:"suite"`    // ciphersuite name of the engine
	Purpose   string   `json:"purpose"`  // "wallet"
	Threshold int      `json:"threshold"`
	Parties   []uint16 `json:"parties"` // roster party numbers, ascending
}

// Act is key.generate.
func (Generate) Act() Act { return ActKeyGenerate }

func (g Generate) validate() error {
	switch {
	case g.Protocol == "" || len(g.Protocol) > MaxName || g.Suite == "" || len(g.Suite) > MaxName:
		return errors.New("protocol and suite must be named")
	case g.Purpose == "" || len(g.Purpose) > MaxName:
		return errors.New("a key needs a purpose")
	case len(g.Parties) < 2 || len(g.Parties) > MaxNodes:
		return fmt.Errorf("a key needs 2 to %d nodes", MaxNodes)
	case g.Threshold < 2 || g.Threshold > len(g.Parties):
		return errors.New("threshold must be between 2 and the number of nodes")
	}
	last := uint16(0)
	for _, p := range g.Parties {
		if p <= last {
			return errors.New("parties must be ascending, distinct and not zero")
		}
		last = p
	}
	return nil
}

func (g Generate) display() []Line {
	return []Line{
		{"new key", fmt.Sprintf("%s, %s", g.Purpose, g.Suite)},
		{"threshold", fmt.Sprintf("%d of %d nodes", g.Threshold, len(g.Parties))},
	}
}
