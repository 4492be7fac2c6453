package tss

import (
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Version of the engine's messages; it is part of every session id.
const Version = 1

// Party is a member of a session: its number and the Ed25519 key that signs its messages.
type Party struct {
	ID       PartyID
	Identity [32]byte
}

// Session is what one run of one protocol is bound to. Every field but Self is hashed into its id.
type Session struct {
	Suite     string
	Purpose   string   // "keygen", "sign", "refresh" …: a key and a message have one purpose
	Cluster   [32]byte // roster digest
	Key       [32]byte // key id
	Intent    [32]byte // what the run is for; zero where nobody asked
	Epoch     uint64
	Threshold int
	Parties   []Party              // ascending by ID
	Nonces    map[PartyID][32]byte // fresh randomness of every party
	Self      PartyID
}

// Validate checks the session before anything is computed with it.
func (s Session) Validate() error {
	if len(s.Parties) < 2 || len(s.Parties) > MaxParties {
		return fmt.Errorf("session needs 2 to %d parties", MaxParties)
	}
	if s.Suite == "" || s.Purpose == "" || len(s.Suite) > MaxName || len(s.Purpose) > MaxName {
		return errors.New("session needs a suite and a purpose")
	}
	if s.Threshold < 1 || s.Threshold > MaxParties {
		return errors.New("session's threshold is out of range")
	}
	last, self := PartyID(0), false
	seen := map[[32]byte]bool{{}: true}
	for _, p := range s.Parties {
		if p.ID <= last {
			return errors.New("session's parties must be ascending, distinct and not zero")
		}
		last, self = p.ID, self || p.ID == s.Self
		nonce, ok := s.Nonces[p.ID]
		if !ok || seen[nonce] {
			return fmt.Errorf("session lacks fresh randomness of party %d", p.ID)
		}
		seen[nonce] = true
	}
	if !self {
		return errors.New("this party is not in the session")
	}
	if len(s.Nonces) != len(s.Parties) {
		return errors.New("session has randomness of somebody who is not in it")
	}
	return nil
}

// ID hashes the session: SHA-512/256 over length-prefixed fields under a tag with the version.
func (s Session) ID() SessionID {
	h := sha512.New512_256()
	part := func(b []byte) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	number := func(v uint64) { part(binary.BigEndian.AppendUint64(nil, v)) }
	part([]byte("chancery/session"))
	number(Version)
	part([]byte(s.Suite))
	part([]byte(s.Purpose))
	part(s.Cluster[:])
	part(s.Key[:])
	part(s.Intent[:])
	number(s.Epoch)
	number(uint64(s.Threshold))
	number(uint64(len(s.Parties)))
	for _, p := range s.Parties {
		nonce := s.Nonces[p.ID]
		number(uint64(p.ID))
		part(p.Identity[:])
		part(nonce[:])
	}
	return SessionID(h.Sum(nil))
}

// IDs are the parties' numbers, ascending.
func (s Session) IDs() []PartyID {
	out := make([]PartyID, len(s.Parties))
	for i, p := range s.Parties {
		out[i] = p.ID
	}
	return out
}

// Has says whether a party is in the session.
func (s Session) Has(id PartyID) bool {
	return slices.ContainsFunc(s.Parties, func(p Party) bool { return p.ID == id })
}
