// Package secret holds byte strings that must not be printed, compared with == or left lying about, and is the engine's
// one door to randomness.
//
// Go cannot promise that no copy of a secret exists: the runtime may have moved it. What this package promises is that the
// copies made here are erased, that nothing formats them, and that comparing takes the same time whatever they hold.
package secret

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"
)

// Mark is what a secret prints as.
const Mark = "[secret]"

// Bytes is an erasable byte string. It is used by pointer: vet's copylocks finds copies of the value.
type Bytes struct {
	_ [0]func() // no ==
	_ noCopy
	b []byte
}

type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}

// New takes over the contents of b: it copies them and erases b.
func New(b []byte) *Bytes {
	s := &Bytes{b: append([]byte(nil), b...)}
	Wipe(b)
	return s
}

// Random is n fresh bytes of crypto/rand, which ends the process when it cannot deliver.
func Random(n int) *Bytes {
	s := &Bytes{b: make([]byte, n)}
	Read(s.b)
	return s
}

// Read fills b with fresh bytes of crypto/rand.
func Read(b []byte) {
	if _, err := rand.Read(b); err != nil {
		panic("secret: crypto/rand failed: " + err.Error()) // documented never to happen; going on would be worse
	}
}

// Wipe overwrites b with zeros.
func Wipe(b []byte) { clear(b) }

// Len is the length in bytes; zero after Erase.
func (s *Bytes) Len() int { return len(s.b) }

// Equal compares in time that depends on the lengths alone.
func (s *Bytes) Equal(o *Bytes) bool { return subtle.ConstantTimeCompare(s.b, o.b) == 1 }

// Reveal is the live contents: what is done with them is the caller's responsibility. They become zeros at Erase.
func (s *Bytes) Reveal() []byte { return s.b }

// Erase overwrites the contents. It may be called twice, and on nil.
func (s *Bytes) Erase() {
	if s != nil {
		Wipe(s.b)
		s.b = nil
	}
}

// String, GoString, Format, MarshalJSON and MarshalText print the mark; loggers use one of them.
func (*Bytes) String() string               { return Mark }
func (*Bytes) GoString() string             { return Mark }
func (*Bytes) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte(Mark)) }
func (*Bytes) MarshalJSON() ([]byte, error) { return []byte(`"` + Mark + `"`), nil }
func (*Bytes) MarshalText() ([]byte, error) { return []byte(Mark), nil }
