package mesh

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"testing"

	"chancery.dev/internal/pki"
	"chancery.dev/tss"
)

// key signs with a fixed identity key, so that a finding of the fuzzer can be repeated.
type key struct{ ed25519.PrivateKey }

func (k key) Sign(message []byte) []byte { return ed25519.Sign(k.PrivateKey, message) }

func keyOf(party uint16) key {
	return key{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(party)}, ed25519.SeedSize))}
}

// fixedCodec is that of a roster of three with those keys.
func fixedCodec() codec {
	r := &pki.Roster{Cluster: "alpha", Epoch: 7, Threshold: 2}
	for p := uint16(1); p <= 3; p++ {
		r.Nodes = append(r.Nodes, pki.Node{ID: pki.NodeID(fmt.Sprint("n", p)), Party: p, Address: fmt.Sprint("h:", p),
			Identity: [32]byte(keyOf(p).Public().(ed25519.PublicKey)), Pin: [32]byte{byte(p)}})
	}
	return newCodec(r)
}

func sample(payload int) Message {
	return Message{Protocol, tss.Envelope{Session: tss.SessionID{3, 1: 4}, Round: 2, From: 1, To: 2, Payload: bytes.Repeat([]byte{0xab}, payload)}}
}

func same(a, b Message) bool {
	return a.Kind == b.Kind && a.Session == b.Session && a.Round == b.Round && a.From == b.From && a.To == b.To && bytes.Equal(a.Payload, b.Payload)
}

func TestFrameRoundTrip(t *testing.T) {
	c := fixedCodec()
	for _, size := range []int{0, 1, 1000, MaxPayload} {
		m := sample(size)
		b := c.seal(m, keyOf(1))
		got, err := c.open(b)
		if err != nil || !same(got, m) || !bytes.Equal(got.Signed, b) {
			t.Errorf("payload of %d bytes: %v", size, err)
		}
		if len(b) != frameOverhead+size {
			t.Errorf("frame of %d bytes has %d", size, len(b))
		}
	}
	_, err := c.open(c.seal(sample(MaxPayload+1), keyOf(1)))
	if !coded(err, CodeMalformed) {
		t.Errorf("payload that is too large: %v", err)
	}
}

// Every bit of a frame is bound, and every length but its own is refused.
func TestEveryBitOfAFrameIsBound(t *testing.T) {
	c := fixedCodec()
	b := c.seal(sample(5), keyOf(1))
	for i := range b {
		for bit := range 8 {
			b[i] ^= 1 << bit
			if _, err := c.open(b); err == nil {
				t.Errorf("bit %d of byte %d is not bound", bit, i)
			}
			b[i] ^= 1 << bit
		}
		if _, err := c.open(b[:i]); !coded(err, CodeMalformed) {
			t.Errorf("frame cut to %d bytes: %v", i, err)
		}
	}
	if _, err := c.open(append(b, 0)); !coded(err, CodeMalformed) {
		t.Errorf("frame with a byte more: %v", err)
	}
	bare := b[:len(b)-ed25519.SignatureSize]
	if _, err := c.open(append(bytes.Clone(bare), keyOf(1).Sign(bare)...)); !coded(err, CodeSignature) {
		t.Errorf("signature without the tag: %v", err)
	}
}

func TestNotary(t *testing.T) {
	c := fixedCodec()
	one, two := notary{c, 1, keyOf(1)}, notary{c, 2, keyOf(2)}
	e := sample(10).Envelope
	b := one.Seal(e)
	if !bytes.Equal(b, one.Seal(e)) {
		t.Error("sealing twice gives two frames")
	}
	got, err := two.Open(b)
	if err != nil || !same(Message{Protocol, got}, sample(10)) || !bytes.Equal(got.Signed, b) {
		t.Errorf("open: %+v, %v", got, err)
	}
	if _, err := one.Open(b); err != nil {
		t.Errorf("one's own message: %v", err)
	}
	other := sample(10)
	other.Kind = Protocol + 1
	if _, err := two.Open(c.seal(other, keyOf(1))); err == nil {
		t.Error("a message of another kind opens as the engine's")
	}
	if _, err := two.Open(c.seal(sample(10), keyOf(2))); !coded(err, CodeSignature) {
		t.Errorf("party 2 signs as party 1: %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a notary signed for another party")
		}
	}()
	two.Seal(e)
}

// FuzzFrame: what opens is what its sender sealed, byte for byte; all else is refused with a code.
func FuzzFrame(f *testing.F) {
	c := fixedCodec()
	good := c.seal(sample(9), keyOf(1))
	f.Add(good)
	f.Add(c.seal(sample(0), keyOf(3)))
	f.Add(good[:frameOverhead])
	f.Add(good[:headLen])
	f.Add([]byte{frameVersion})
	long := bytes.Clone(good)
	binary.BigEndian.PutUint32(long[headLen-4:], 1<<32-1)
	f.Add(long)
	codes := []string{CodeMalformed, CodeStale, CodeBinding, CodeUnknown, CodeSignature}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, resign := range []bool{false, true} {
			if resign && len(b) >= frameOverhead { // past the signature, to what lies behind it
				body := b[:len(b)-ed25519.SignatureSize]
				b = append(bytes.Clone(body), keyOf(binary.BigEndian.Uint16(b[75:])).Sign(append([]byte(frameTag), body...))...)
			}
			m, err := c.open(b)
			if err == nil {
				if again := c.seal(m, keyOf(uint16(m.From))); !bytes.Equal(again, b) || !bytes.Equal(m.Signed, b) {
					t.Fatalf("two frames for one message: %x and %x", b, again)
				}
				continue
			}
			known := false
			for _, code := range codes {
				known = known || coded(err, code)
			}
			if !known {
				t.Fatalf("refusal without a code: %v", err)
			}
		}
	})
}
