package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"chancery.dev/tss"
	"chancery.dev/tss/frost"
)

// suites are ours, by the name that the table gives them.
var suites = []struct {
	name  string
	suite frost.Suite
}{{"ed25519", frost.Ed25519SHA512}, {"secp256k1", frost.Secp256k1SHA256}, {"taproot", frost.Secp256k1Taproot}}

var sizes = []struct{ n, t int }{{5, 4}, {3, 2}}

// notary signs nothing in the rows that stand beside the peers, which do not sign either, and with real Ed25519 keys in the
// rows "dkg, signed".
type notary struct {
	self tss.PartyID
	real bool
}

func identity(id tss.PartyID) ed25519.PrivateKey {
	seed := sha256.Sum256(binary.BigEndian.AppendUint16(nil, uint16(id)))
	return ed25519.NewKeyFromSeed(seed[:])
}

var keys = func() (out [8]ed25519.PrivateKey) {
	for i := range out {
		out[i] = identity(tss.PartyID(i))
	}
	return out
}()

func (n notary) Seal(e tss.Envelope) []byte {
	b := slices.Concat(make([]byte, 64), e.Session[:], []byte{e.Round, 0, byte(e.From), 0, byte(e.To)}, e.Payload)
	if n.real {
		copy(b, ed25519.Sign(keys[e.From], b[64:]))
	}
	return b
}

func (n notary) Open(signed []byte) (tss.Envelope, error) {
	if len(signed) < 64+37 {
		return tss.Envelope{}, errors.New("short")
	}
	b := signed[64:]
	e := tss.Envelope{Session: tss.SessionID(b[:32]), Round: b[32], From: tss.PartyID(b[34]), To: tss.PartyID(b[36]), Payload: b[37:], Signed: signed}
	if n.real && !ed25519.Verify(keys[e.From].Public().(ed25519.PublicKey), b, signed[:64]) {
		return e, errors.New("bad signature")
	}
	return e, nil
}

func session(suite string, threshold, n int, self tss.PartyID) tss.Session {
	s := tss.Session{Suite: suite, Purpose: "bench", Threshold: threshold, Self: self, Nonces: map[tss.PartyID][32]byte{}}
	for i := range n {
		id := tss.PartyID(i + 1)
		s.Parties = append(s.Parties, tss.Party{ID: id, Identity: [32]byte(keys[id].Public().(ed25519.PublicKey))})
		s.Nonces[id] = sha256.Sum256(binary.BigEndian.AppendUint16(nil, uint16(id)))
	}
	return s
}

// generate runs a whole key generation of n parties: packages, echo, shares, confirmation.
func generate(suite frost.Suite, threshold, n int, signed bool) ([]*frost.KeyShare, error) {
	machines := make([]*frost.Dealing, n)
	for i := range machines {
		id := tss.PartyID(i + 1)
		m, err := frost.NewDKG(session(suite.Name(), threshold, n, id), suite, notary{id, signed})
		if err != nil {
			return nil, err
		}
		machines[i] = m
	}
	if err := exchange(machines, signed); err != nil {
		return nil, err
	}
	shares := make([]*frost.KeyShare, n)
	for i, m := range machines {
		share, done := m.Result()
		if !done {
			return nil, fmt.Errorf("party %d waits for %v", i+1, m.Waiting())
		}
		shares[i] = share
	}
	return shares, nil
}

// machine is any machine, without its result.
type machine interface {
	Step(tss.Envelope) error
	Outbox() []tss.Envelope
}

// exchange carries messages between machines, the first of which is party 1, until nothing moves. Each receiver opens the
// signed message before its machine sees it, as the mesh does.
func exchange[M machine](machines []M, signed bool) error {
	for {
		var sent []tss.Envelope
		for _, m := range machines {
			sent = append(sent, m.Outbox()...)
		}
		if len(sent) == 0 {
			return nil
		}
		for _, e := range sent {
			for i, m := range machines {
				to := tss.PartyID(i + 1)
				if to == e.From || e.To != tss.Everyone && e.To != to {
					continue
				}
				opened, err := notary{to, signed}.Open(e.Signed)
				if err != nil {
					return err
				}
				if err := m.Step(opened); err != nil {
					return err
				}
			}
		}
	}
}

// measureFROST times our FROST: one sample of every phase for each run.
func measureFROST(runs int) ([]result, error) {
	var out []result
	for _, size := range sizes {
		for _, s := range suites {
			samples := newSamples()
			for range runs {
				if err := frostRun(s.suite, size.t, size.n, samples); err != nil {
					return nil, fmt.Errorf("%s: %w", s.name, err)
				}
			}
			for range runs { // apart, so that the signatures' tables do not push ours out of the caches
				if err := samples.time("dkg, signed", size.n, func() error { _, err := generate(s.suite, size.t, size.n, true); return err }); err != nil {
					return nil, fmt.Errorf("%s: %w", s.name, err)
				}
			}
			out = append(out, samples.results(ours, s.name, size.n, size.t)...)
		}
	}
	return out, nil
}

func frostRun(suite frost.Suite, t, n int, s *samples) error {
	var shares []*frost.KeyShare
	err := s.time("dkg", n, func() (err error) { shares, err = generate(suite, t, n, false); return })
	if err != nil {
		return err
	}
	shares = shares[:t]
	public, message := shares[0].Public(), []byte("0123456789abcdef0123456789abcdef")
	var nonces []*frost.Nonces
	var commitments []frost.Commitment
	if err := s.time("round1", t, func() error {
		for _, share := range shares {
			nonces = append(nonces, share.Commit())
			commitments = append(commitments, nonces[len(nonces)-1].Commitment())
		}
		return nil
	}); err != nil {
		return err
	}
	var partials []frost.Partial
	if err := s.time("round2", t, func() error {
		for i, share := range shares { // each signer makes the package for itself
			pkg, err := frost.NewSigningPackage(public, commitments, message, frost.Derivation{})
			if err != nil {
				return err
			}
			partial, err := share.Sign(pkg, nonces[i])
			if err != nil {
				return err
			}
			partials = append(partials, partial)
		}
		return nil
	}); err != nil {
		return err
	}
	aggregate := func() error { // and so does the aggregator
		pkg, err := frost.NewSigningPackage(public, commitments, message, frost.Derivation{})
		if err != nil {
			return err
		}
		_, err = pkg.Combine(partials)
		return err
	}
	if err := s.time("aggregate", 1, aggregate); err != nil {
		return err
	}
	last := t - 1 // the last cheats: who stops at the first culprit gains nothing by it
	partials[last], err = frost.UnmarshalPartial(suite, slices.Concat([]byte{0, byte(t)}, partials[0].Marshal()[2:]))
	if err != nil {
		return err
	}
	return s.time("aggregate, one cheats", 1, func() error {
		var faults frost.Faults
		if err := aggregate(); !errors.As(err, &faults) || len(faults) != 1 || faults[0].Party != tss.PartyID(t) {
			return fmt.Errorf("the cheater was not named: %w", err)
		}
		return nil
	})
}
