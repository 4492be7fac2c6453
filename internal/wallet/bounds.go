package wallet

import (
	"bytes"
	"math"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// The libraries that parse transactions and PSBTs make room for as many inputs, outputs and witness items as a count
// claims, before they look for them: 25 bytes can ask for 140 MB. What is here walks over the bytes first, allocates
// nothing, and refuses a count that the bytes behind it cannot hold.

// cursor walks over bytes. Once bad it stays bad, and reads zeros.
type cursor struct {
	rest []byte
	bad  bool
}

func (c *cursor) take(n uint64) []byte {
	if c.bad || n > uint64(len(c.rest)) {
		c.bad, c.rest = true, nil
		return nil
	}
	out := c.rest[:n]
	c.rest = c.rest[n:]
	return out
}

// number reads a CompactSize in its shortest form.
func (c *cursor) number() uint64 {
	first := c.take(1)
	if c.bad || first[0] < 0xfd {
		return uint64(c.first(first))
	}
	size := uint64(1) << (first[0] - 0xfc) // 2, 4 or 8 bytes
	b := c.take(size)
	if c.bad {
		return 0
	}
	var n uint64
	for i, v := range b {
		n |= uint64(v) << (8 * i)
	}
	if least := [...]uint64{0xfd, math.MaxUint16 + 1, math.MaxUint32 + 1}[first[0]-0xfd]; n < least {
		c.bad = true
	}
	return n
}

func (c *cursor) first(b []byte) byte {
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

// count reads how many things follow that take at least so many bytes each.
func (c *cursor) count(least uint64) uint64 {
	n := c.number()
	if n > uint64(len(c.rest))/least {
		c.bad = true
	}
	if c.bad {
		return 0
	}
	return n
}

// bytes reads what a length stands before.
func (c *cursor) bytes() []byte { return c.take(c.count(1)) }

// layout is where the parts of a raw transaction lie.
type layout struct {
	body, witness   int // offsets of the count of inputs, and of the first witness
	inputs, outputs uint64
	segwit          bool // it has marker, flag and witnesses
}

// Least sizes: outpoint, empty script and sequence; value and empty script.
const (
	leastInput  = 32 + 4 + 1 + 4
	leastOutput = 8 + 1
)

// layoutOf walks over a raw transaction. It is false for bytes that are not exactly one, and for counts that they cannot
// hold. Without witness, no count of zero inputs is taken for the marker, as in the transaction of a PSBT.
func layoutOf(raw []byte, witness bool) (layout, bool) {
	c, l := &cursor{rest: raw}, layout{body: 4}
	c.take(4) // version
	l.inputs = c.count(leastInput)
	if witness && !c.bad && l.inputs == 0 {
		if flag := c.take(1); c.first(flag) != 1 {
			return l, false
		}
		l.segwit, l.body = true, 6
		l.inputs = c.count(leastInput)
	}
	for range l.inputs {
		c.take(32 + 4)
		c.bytes()
		c.take(4)
	}
	l.outputs = c.count(leastOutput)
	for range l.outputs {
		c.take(8)
		c.bytes()
	}
	l.witness = len(raw) - len(c.rest)
	if l.segwit {
		for range l.inputs {
			for range c.count(1) {
				c.bytes()
			}
		}
	}
	c.take(4) // lock time
	return l, !c.bad && len(c.rest) == 0
}

// bareTx is a transaction without its witnesses: the bytes that its id is the hash of.
func bareTx(raw []byte) ([]byte, bool) {
	l, ok := layoutOf(raw, true)
	if !ok || !l.segwit {
		return raw, ok
	}
	return slices.Concat(raw[:4], raw[l.body:l.witness], raw[len(raw)-4:]), true
}

// idOfBare hashes what bareTx gave.
func idOfBare(bare []byte) TxID { return TxID(chainhash.DoubleHashH(bare).String()) }

// IDOf is the id of a raw transaction.
func IDOf(raw []byte) (TxID, error) {
	bare, ok := bareTx(raw)
	if !ok {
		return "", refuse(CodeInputUnknown, "transaction is malformed")
	}
	return idOfBare(bare), nil
}

// parseBare parses a transaction without witnesses, once it is known to have the id: what is parsed is what was hashed.
func parseBare(bare []byte, id TxID) (*wire.MsgTx, error) {
	if idOfBare(bare) != id {
		return nil, refuse(CodeInputUnknown, "previous transaction is another than the one that is named")
	}
	if _, ok := layoutOf(bare, false); !ok {
		return nil, refuse(CodeInputUnknown, "previous transaction is malformed")
	}
	tx := new(wire.MsgTx)
	if err := tx.DeserializeNoWitness(bytes.NewReader(bare)); err != nil {
		return nil, refuse(CodeInputUnknown, "previous transaction is malformed")
	}
	return tx, nil
}

// psbtMagic begins a binary PSBT (BIP174).
const psbtMagic = "psbt\xff"

// boundPSBT walks over the maps of a PSBT, and over the transactions in them. Key type 0 is the unsigned transaction in
// the first map, and the full previous transaction in the maps of the inputs.
func boundPSBT(data []byte) bool {
	rest, ok := bytes.CutPrefix(data, []byte(psbtMagic))
	if !ok {
		return false
	}
	c, inputs, maps := &cursor{rest: rest}, uint64(0), uint64(1)
	for at := uint64(0); at < maps; at++ {
		for {
			key := c.bytes()
			if c.bad {
				return false
			}
			if len(key) == 0 {
				break // the end of the map
			}
			value := c.bytes()
			if key[0] != 0 || at > inputs {
				continue
			}
			l, ok := layoutOf(value, at > 0)
			if !ok || at == 0 && maps > 1 { // a second unsigned transaction
				return false
			}
			if at == 0 {
				inputs, maps = l.inputs, 1+l.inputs+l.outputs
			}
			if maps-at > uint64(len(c.rest)) { // each map ends with a byte of its own
				return false
			}
		}
	}
	return !c.bad && len(c.rest) == 0
}
