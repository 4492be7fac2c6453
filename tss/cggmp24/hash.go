package cggmp24

import "crypto/sha256"

// MaxMessage bounds a message to sign, in bytes.
const MaxMessage = 64 << 10

// digest is the hash of a message: 32 bytes, read as a number modulo the order.
func (h Hash) digest(message []byte) ([]byte, error) {
	if len(message) > MaxMessage {
		return nil, errSigning
	}
	first := sha256.Sum256(message)
	switch h {
	case SHA256:
		return first[:], nil
	case DoubleSHA256:
		second := sha256.Sum256(first[:])
		return second[:], nil
	}
	return nil, errSigning
}
