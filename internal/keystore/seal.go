package keystore

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/argon2"

	"chancery.dev/internal/secret"
)

// Argon2id's cost (RFC 9106). It is stored in the header, and a header with less is refused, so that a changed file cannot
// make guessing cheap.
const (
	argonTime      = 3
	argonMemory    = 64 << 10 // KiB
	argonThreads   = 2
	maxArgonTime   = 64
	maxArgonMemory = 4 << 20 // KiB: a header may not exhaust the machine either
	headerVersion  = 1
	saltLen        = 16
	headerLen      = 1 + 4 + 4 + 1 + saltLen + 12 + 32 + 16
)

// sealer seals values under the data key.
type sealer struct {
	key  *secret.Bytes
	aead cipher.AEAD
	bind []byte // cluster and node
}

func newSealer(key *secret.Bytes, o Options) (*sealer, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	return &sealer{key: key, aead: aead, bind: bindOf(o)}, nil
}

func newAEAD(key *secret.Bytes) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key.Reveal())
	if err != nil {
		return nil, &Error{CodeIO, err}
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, &Error{CodeIO, err}
	}
	return aead, nil
}

func bindOf(o Options) []byte {
	out := append([]byte("chancery/keystore/v1"), o.Cluster[:]...)
	out = binary.BigEndian.AppendUint32(out, uint32(len(o.Node)))
	return append(out, o.Node...)
}

// wrapKey derives the key that wraps the data key.
func wrapKey(passphrase *secret.Bytes, salt []byte, time, memory uint32, threads uint8) *secret.Bytes {
	return secret.New(argon2.IDKey(passphrase.Reveal(), salt, time, memory, threads, 32))
}

// newHeader makes a data key and its header: version, Argon2id's parameters, salt, nonce, wrapped key. All of it but the
// wrapped key, and cluster and node, are the additional data of the wrapping.
func newHeader(o Options, passphrase *secret.Bytes) (*sealer, []byte, error) {
	header := []byte{headerVersion}
	header = binary.BigEndian.AppendUint32(header, argonTime)
	header = binary.BigEndian.AppendUint32(header, argonMemory)
	header = append(header, argonThreads)
	salt := secret.Random(saltLen)
	header = append(header, salt.Reveal()...)
	wrap := wrapKey(passphrase, salt.Reveal(), argonTime, argonMemory, argonThreads)
	defer wrap.Erase()
	aead, err := newAEAD(wrap)
	if err != nil {
		return nil, nil, err
	}
	key := secret.Random(32)
	nonce := secret.Random(aead.NonceSize())
	header = append(header, nonce.Reveal()...)
	header = aead.Seal(header, nonce.Reveal(), key.Reveal(), append(bindOf(o), header...))
	s, err := newSealer(key, o)
	return s, header, err
}

func openHeader(header []byte, o Options, passphrase *secret.Bytes) (*sealer, error) {
	if len(header) != headerLen || header[0] != headerVersion {
		return nil, &Error{CodeCorrupt, errors.New("header is not valid")}
	}
	time, memory, threads := binary.BigEndian.Uint32(header[1:]), binary.BigEndian.Uint32(header[5:]), header[9]
	if time < argonTime || time > maxArgonTime || memory < argonMemory || memory > maxArgonMemory || threads < 1 {
		return nil, &Error{CodeCorrupt, errors.New("header's key derivation is out of bounds")}
	}
	salt, rest := header[10:10+saltLen], header[10+saltLen:]
	wrap := wrapKey(passphrase, salt, time, memory, threads)
	defer wrap.Erase()
	aead, err := newAEAD(wrap)
	if err != nil {
		return nil, err
	}
	nonce, wrapped := rest[:12], rest[12:]
	key, err := aead.Open(nil, nonce, wrapped, append(bindOf(o), header[:10+saltLen+12]...))
	if err != nil {
		return nil, &Error{CodePassphrase, errors.New("passphrase is wrong, or the keystore is of another cluster or node")}
	}
	return newSealer(secret.New(key), o)
}

// close and open seal one value at its place: nonce, then ciphertext.
func (s *sealer) close(place []byte, value *secret.Bytes) []byte {
	nonce := secret.Random(s.aead.NonceSize())
	return s.aead.Seal(append([]byte(nil), nonce.Reveal()...), nonce.Reveal(), value.Reveal(), append(append([]byte(nil), s.bind...), place...))
}

func (s *sealer) open(place, sealed []byte) (*secret.Bytes, error) {
	n := s.aead.NonceSize()
	if len(sealed) < n {
		return nil, &Error{CodeCorrupt, errors.New("value is cut short")}
	}
	value, err := s.aead.Open(nil, sealed[:n], sealed[n:], append(append([]byte(nil), s.bind...), place...))
	if err != nil {
		return nil, &Error{CodeCorrupt, fmt.Errorf("value of kind %d does not open", place[0])}
	}
	return secret.New(value), nil
}
