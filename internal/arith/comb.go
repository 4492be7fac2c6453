package arith

import "math/big"

// Comb is a table of powers of one base for many secret exponents (Lim and Lee's method). An exponent of size bits is cut
// into teeth rows and each row into blocks; a block's column of bits picks one entry of the block's table.
type Comb struct {
	m      *Modulus
	size   int // bits of the exponents, the offset for negative ones counted
	teeth  int
	row    int // bits of a row
	block  int // bits of a block
	tables [][][]uint64
	signed bool
	offset *big.Int // 2^(size-1), added to signed exponents
	undo   []uint64 // base^-offset
}

// NewComb makes a table for exponents of at most bits bits. signed allows negative ones. teeth and blocks say how large it is:
// blocks * 2^teeth entries.
func NewComb(m *Modulus, base *big.Int, bits int, signed bool, teeth, blocks int) (*Comb, error) {
	c := &Comb{m: m, size: bits, teeth: teeth, signed: signed}
	if signed {
		c.size++
		c.offset = new(big.Int).Lsh(big.NewInt(1), uint(bits))
	}
	c.block = (c.size + teeth*blocks - 1) / (teeth * blocks)
	c.row = c.block * blocks
	powers := make([][]uint64, teeth*blocks) // base^(2^(i*block))
	at := m.enter(m.reduced(base))
	for i := range powers {
		powers[i] = append([]uint64(nil), at...)
		if i == len(powers)-1 {
			break
		}
		for range c.block {
			m.mul(at, at, at)
		}
	}
	for b := range blocks {
		table := make([][]uint64, 1<<teeth)
		table[0] = m.one
		for i := 1; i < len(table); i++ {
			low := lowestBit(i)
			table[i] = make([]uint64, len(m.n))
			m.mul(table[i], table[i&(i-1)], powers[low*blocks+b])
		}
		c.tables = append(c.tables, table)
	}
	if signed {
		inverse, err := m.Inverse(base)
		if err != nil {
			return nil, err
		}
		undo, err := m.ExpPublic(inverse, c.offset)
		if err != nil {
			return nil, err
		}
		c.undo = m.enter(undo)
	}
	return c, nil
}

func lowestBit(i int) int {
	n := 0
	for i&1 == 0 {
		i, n = i>>1, n+1
	}
	return n
}

// exp is base^e in Montgomery form, in time that depends on the table's shape alone.
func (c *Comb) exp(e *Int) ([]uint64, error) {
	shifted := e
	if c.signed {
		shifted = new(Int)
		defer shifted.Erase()
		shifted.v.Add(&e.v, c.offset)
	}
	words, err := shifted.exponent(c.size)
	if err != nil {
		return nil, err
	}
	defer clear(words)
	acc, entry := append([]uint64(nil), c.m.one...), make([]uint64, len(c.m.n))
	for i := c.block - 1; i >= 0; i-- {
		if i < c.block-1 {
			c.m.mul(acc, acc, acc)
		}
		for b, table := range c.tables {
			index := uint64(0)
			for tooth := range c.teeth {
				index |= bitsAt(words, tooth*c.row+b*c.block+i, 1) << tooth
			}
			pick(entry, table, index)
			c.m.mul(acc, acc, entry)
		}
	}
	if c.signed {
		c.m.mul(acc, acc, c.undo)
	}
	return acc, nil
}

// Exp is base^e mod m.
func (c *Comb) Exp(e *Int) (*big.Int, error) {
	z, err := c.exp(e)
	if err != nil {
		return nil, err
	}
	return c.m.leave(z), nil
}

// ExpMul is base^e * otherBase^f mod m, of two tables of one modulus.
func (c *Comb) ExpMul(e *Int, other *Comb, f *Int) (*big.Int, error) {
	x, err := c.exp(e)
	if err != nil {
		return nil, err
	}
	y, err := other.exp(f)
	if err != nil {
		return nil, err
	}
	c.m.mul(x, x, y)
	return c.m.leave(x), nil
}
