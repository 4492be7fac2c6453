package main

import (
	"context"
	"errors"
	"fmt"

	"chancery.dev/internal/arith"
	"chancery.dev/tss"
	"chancery.dev/tss/cggmp24"
)

// measureCGGMP24 times our CGGMP24. Primes are made once, and timed: four for each party of the largest size.
func measureCGGMP24(runs int) ([]result, error) {
	most := 0
	for _, s := range sizes {
		most = max(most, s.n)
	}
	primes, made, err := makePrimes(most)
	if err != nil {
		return nil, err
	}
	out := []result{made}
	for _, size := range sizes {
		samples := newSamples()
		for range runs {
			if err := cggmp24Run(size.t, size.n, primes, samples); err != nil {
				return nil, err
			}
		}
		out = append(out, samples.results(ours, "secp256k1", size.n, size.t)...)
	}
	return out, nil
}

func makePrimes(parties int) ([]cggmp24.Primes, result, error) {
	start, err := cpu()
	if err != nil {
		return nil, result{}, err
	}
	out := make([]cggmp24.Primes, parties)
	for i := range out {
		for _, p := range []**arith.Int{&out[i].P, &out[i].Q, &out[i].PHat, &out[i].QHat} {
			if *p, err = arith.SafePrime(context.Background(), cggmp24.PrimeBits()); err != nil {
				return nil, result{}, err
			}
		}
	}
	end, err := cpu()
	mean := (end - start) / float64(4*parties)
	return out, result{ours, "secp256k1", 1, 1, "safe prime", mean, mean}, err
}

// finished runs machines to their end and gives their results.
func finished[R any, M interface {
	machine
	Result() (R, bool)
}](machines []M) ([]R, error) {
	if err := exchange(machines, false); err != nil {
		return nil, err
	}
	out := make([]R, len(machines))
	for i, m := range machines {
		r, done := m.Result()
		if !done {
			return nil, fmt.Errorf("party %d did not end", i+1)
		}
		out[i] = r
	}
	return out, nil
}

func each[M any](n int, make1 func(tss.PartyID) (M, error)) ([]M, error) {
	out := make([]M, n)
	for i := range out {
		var err error
		if out[i], err = make1(tss.PartyID(i + 1)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func cggmp24Run(t, n int, primes []cggmp24.Primes, s *samples) error {
	var shares []*cggmp24.KeyShare
	if err := s.time("dkg", n, func() error {
		m, err := each(n, func(id tss.PartyID) (*cggmp24.Dealing, error) {
			return cggmp24.NewKeygen(session(cggmp24.Suite, t, n, id), notary{id, false})
		})
		if err != nil {
			return err
		}
		shares, err = finished(m)
		return err
	}); err != nil {
		return err
	}
	var aux []*cggmp24.Aux
	if err := s.time("aux", n, func() error {
		m, err := each(n, func(id tss.PartyID) (*cggmp24.Auxiliary, error) {
			return cggmp24.NewAuxiliary(session(cggmp24.Suite, t, n, id), primes[id-1], notary{id, false})
		})
		if err != nil {
			return err
		}
		aux, err = finished(m)
		return err
	}); err != nil {
		return err
	}
	var presigs []*cggmp24.Presignature
	for _, phase := range []string{"presign, first", "presign"} { // the first builds tables for the peers' keys, which stay
		if err := s.time(phase, t, func() error {
			m, err := each(t, func(id tss.PartyID) (*cggmp24.Presign, error) {
				return cggmp24.NewPresign(session(cggmp24.Suite, t, t, id), shares[id-1], aux[id-1], notary{id, false})
			})
			if err != nil {
				return err
			}
			presigs, err = finished(m)
			return err
		}); err != nil {
			return err
		}
	}
	return online(presigs, t, s)
}

func online(presigs []*cggmp24.Presignature, t int, s *samples) error {
	q := cggmp24.Request{Session: tss.SessionID{1}, Hash: cggmp24.SHA256, Message: []byte("0123456789abcdef0123456789abcdef")}
	var partials []cggmp24.Partial
	var combiner *cggmp24.Combiner
	if err := s.time("online", t, func() error {
		for _, p := range presigs {
			partial, c, err := p.Sign(q)
			if err != nil {
				return err
			}
			partials, combiner = append(partials, partial), c
		}
		return nil
	}); err != nil {
		return err
	}
	if err := s.time("combine", 1, func() error { _, err := combiner.Combine(partials); return err }); err != nil {
		return err
	}
	wrong, err := cggmp24.UnmarshalPartial(append([]byte{0, byte(t)}, partials[0].Marshal()[2:]...))
	if err != nil {
		return err
	}
	partials[t-1] = wrong
	return s.time("combine, one cheats", 1, func() error {
		var fault *tss.Fault
		if _, err := combiner.Combine(partials); !errors.As(err, &fault) || fault.Party != tss.PartyID(t) {
			return fmt.Errorf("the cheater was not named: %w", err)
		}
		return nil
	})
}
