package transcript

import (
	"bytes"
	"crypto/sha512"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// value is one thing that is put into a transcript.
type value struct {
	kind  int
	label string
	data  []byte
	n     uint64
	list  [][]byte
}

func drawValue(t *rapid.T) value {
	small := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a'}), 0, 4)
	return value{kind: rapid.IntRange(0, 3).Draw(t, "kind"), label: string(small.Draw(t, "label")), data: small.Draw(t, "data"),
		n: rapid.Uint64Range(0, 3).Draw(t, "n"), list: rapid.SliceOfN(small, 0, 3).Draw(t, "list")}
}

func (v value) add(t *Transcript) {
	switch v.kind {
	case 0:
		t.Bytes(v.label, v.data)
	case 1:
		t.String(v.label, string(v.data))
	case 2:
		t.Uint64(v.label, v.n)
	case 3:
		t.List(v.label, v.list)
	}
}

// key tells two values apart exactly when they are different statements.
func (v value) key() string {
	switch v.kind {
	case 2:
		return fmt.Sprintf("2 %q %d", v.label, v.n)
	case 3:
		return fmt.Sprintf("3 %q %q", v.label, v.list)
	}
	return fmt.Sprintf("%d %q %q", v.kind, v.label, v.data)
}

// Two sequences have the same sum exactly when they are the same sequence: the values are drawn small, so that
// concatenations collide often.
func TestSumsAreEqualExactlyWhenStatementsAre(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tags := rapid.SampledFrom([]string{"", "a", "ab"})
		draw := func(name string) (string, [32]byte, [64]byte) {
			tag := tags.Draw(rt, name+" tag")
			a, b := New(tag), New(tag)
			key := fmt.Sprintf("%q", tag)
			for range rapid.IntRange(0, 3).Draw(rt, name+" values") {
				v := drawValue(rt)
				v.add(a)
				v.add(b)
				key += "|" + v.key()
			}
			return key, a.Sum(), b.Sum64()
		}
		k1, s1, l1 := draw("first")
		k2, s2, l2 := draw("second")
		if (k1 == k2) != (s1 == s2) || (k1 == k2) != (l1 == l2) {
			rt.Fatalf("%s and %s: sums equal %v, %v", k1, k2, s1 == s2, l1 == l2)
		}
	})
}

// The pairs that ambiguous encodings confuse.
func TestNeighboursDiffer(t *testing.T) {
	sum := func(tag string, f func(*Transcript)) [32]byte {
		t := New(tag)
		f(t)
		return t.Sum()
	}
	seen := map[[32]byte]string{}
	for name, s := range map[string][32]byte{
		"ab, c":          sum("t", func(t *Transcript) { t.Bytes("x", []byte("ab")); t.Bytes("x", []byte("c")) }),
		"a, bc":          sum("t", func(t *Transcript) { t.Bytes("x", []byte("a")); t.Bytes("x", []byte("bc")) }),
		"list ab c":      sum("t", func(t *Transcript) { t.List("x", [][]byte{[]byte("ab"), []byte("c")}) }),
		"list a bc":      sum("t", func(t *Transcript) { t.List("x", [][]byte{[]byte("a"), []byte("bc")}) }),
		"list empty":     sum("t", func(t *Transcript) { t.List("x", nil) }),
		"list of empty":  sum("t", func(t *Transcript) { t.List("x", [][]byte{nil}) }),
		"bytes 8":        sum("t", func(t *Transcript) { t.Bytes("x", make([]byte, 8)) }),
		"number":         sum("t", func(t *Transcript) { t.Uint64("x", 0) }),
		"text":           sum("t", func(t *Transcript) { t.String("x", "ab") }),
		"bytes":          sum("t", func(t *Transcript) { t.Bytes("x", []byte("ab")) }),
		"label shifted":  sum("t", func(t *Transcript) { t.Bytes("xa", []byte("b")) }),
		"tag longer":     sum("tx", func(t *Transcript) { t.Bytes("", []byte("ab")) }),
		"nothing":        sum("t", func(*Transcript) {}),
		"nothing, empty": sum("", func(*Transcript) {}),
	} {
		if other, twice := seen[s]; twice {
			t.Errorf("%s and %s have the same sum", name, other)
		}
		seen[s] = name
	}
}

// The encoding written out by hand: whoever implements it elsewhere has this to go by.
func TestEncodingIsAsDocumented(t *testing.T) {
	tr, long := New("chancery/test/v1"), New("chancery/test/v1")
	for _, x := range []*Transcript{tr, long} {
		x.Bytes("b", []byte{0xff})
		x.Uint64("n", 7)
		x.List("l", [][]byte{{1}, {}})
		x.String("s", "é")
	}
	be := func(n byte) []byte { return []byte{0, 0, 0, 0, 0, 0, 0, n} }
	want := bytes.Join([][]byte{
		be(16), []byte("chancery/test/v1"),
		{1}, be(1), []byte("b"), be(1), {0xff},
		{2}, be(1), []byte("n"), be(7),
		{3}, be(1), []byte("l"), be(2), be(1), {1}, be(0),
		{4}, be(1), []byte("s"), be(2), []byte("é"),
	}, nil)
	if tr.Sum() != sha512.Sum512_256(want) || long.Sum64() != sha512.Sum512(want) {
		t.Error("the encoding is another")
	}
}

func TestUseAfterEndPanics(t *testing.T) {
	tr := New("t")
	tr.Sum()
	defer func() {
		if recover() == nil {
			t.Error("a value was added after the end")
		}
	}()
	tr.Uint64("n", 1)
}
