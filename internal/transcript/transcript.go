// Package transcript hashes typed, labelled values so that two different sequences of values never give the same input
// to the hash. It is the only way by which the engine and the road turn statements into challenges, ids and digests.
//
// The hash is SHA-512/256 for 32 bytes and SHA-512 for 64. The input begins with the length and the bytes of the tag. Each
// value then is: one type byte, the length of its label (8 bytes, big-endian), the label, and the value; byte strings carry
// their length, lists their count and each element's length. So the encoding can be read back, which makes it injective.
package transcript

import (
	"crypto/sha512"
	"encoding/binary"
	"hash"
)

const (
	typeBytes  = 1
	typeUint64 = 2
	typeList   = 3
	typeString = 4
)

// Transcript is a hash under way. It is used once: Sum and Sum64 end it.
type Transcript struct {
	short, long hash.Hash
	done        bool
}

// New begins a transcript. The tag names the purpose and its version, as in "chancery/ballot/v1".
func New(tag string) *Transcript {
	t := &Transcript{short: sha512.New512_256(), long: sha512.New()}
	t.length(len(tag))
	t.write([]byte(tag))
	return t
}

func (t *Transcript) write(b []byte) {
	if t.done {
		panic("transcript: used after its end") // a programming error: the value would not be bound
	}
	t.short.Write(b)
	t.long.Write(b)
}

func (t *Transcript) length(n int) { t.write(binary.BigEndian.AppendUint64(nil, uint64(n))) }

func (t *Transcript) head(kind byte, label string) {
	t.write([]byte{kind})
	t.length(len(label))
	t.write([]byte(label))
}

// Bytes adds a byte string.
func (t *Transcript) Bytes(label string, b []byte) {
	t.head(typeBytes, label)
	t.length(len(b))
	t.write(b)
}

// String adds a text.
func (t *Transcript) String(label, s string) {
	t.head(typeString, label)
	t.length(len(s))
	t.write([]byte(s))
}

// Uint64 adds a number.
func (t *Transcript) Uint64(label string, v uint64) {
	t.head(typeUint64, label)
	t.write(binary.BigEndian.AppendUint64(nil, v))
}

// List adds byte strings in order.
func (t *Transcript) List(label string, items [][]byte) {
	t.head(typeList, label)
	t.length(len(items))
	for _, b := range items {
		t.length(len(b))
		t.write(b)
	}
}

// Sum ends the transcript with 32 bytes.
func (t *Transcript) Sum() [32]byte {
	out := [32]byte(t.short.Sum(nil))
	t.done = true
	return out
}

// Sum64 ends the transcript with 64 bytes, enough to be reduced to a scalar without bias.
func (t *Transcript) Sum64() [64]byte {
	out := [64]byte(t.long.Sum(nil))
	t.done = true
	return out
}

// Hash is the 32-byte sum over a list of parts.
func Hash(tag string, parts ...[]byte) [32]byte {
	t := New(tag)
	t.List("parts", parts)
	return t.Sum()
}
