package cggmp24

import (
	"bytes"
	"slices"
	"testing"

	"chancery.dev/tss"
)

// Every decoder takes any bytes without panicking, and what it takes is the one encoding of what it gives.

// seeds adds what one run of a protocol sends in a round, and the same cut short.
func seeds(f *testing.F, name string, rounds ...uint8) *course {
	f.Helper()
	s := scenarioOf(f, name)
	c := s.begin(f)
	wire := c.wire
	c.wire = func(e tss.Envelope, to tss.PartyID) []tss.Envelope {
		sent := []tss.Envelope{e}
		if wire != nil {
			sent = wire(e, to)
		}
		if slices.Contains(rounds, e.Round) {
			f.Add(sent[0].Payload)
			f.Add(sent[0].Payload[:len(sent[0].Payload)/2])
		}
		return sent
	}
	c.finish()
	return c
}

func same(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: %x is not the encoding of what was read", what, want)
	}
}

func FuzzUnmarshalPublicKey(f *testing.F) {
	f.Add(keys(f).shares[1].Public().Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		if key, err := UnmarshalPublicKey(b); err == nil {
			same(t, "public key", key.Marshal(), b)
		}
	})
}

func FuzzUnmarshalKeyShare(f *testing.F) {
	f.Add(keys(f).shares[1].Marshal().Reveal())
	f.Fuzz(func(t *testing.T, b []byte) {
		if share, err := UnmarshalKeyShare(b); err == nil {
			same(t, "share", share.Marshal().Reveal(), b)
		}
	})
}

func FuzzUnmarshalAux(f *testing.F) {
	whole := keys(f).aux[1].Marshal().Reveal()
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		aux, err := UnmarshalAux(b)
		if err != nil {
			return
		}
		for id, k := range aux.public {
			if id == 0 || k.Paillier == nil || k.Pedersen == nil {
				t.Errorf("party %d has no keys", id)
			}
		}
		// λ is read modulo the order of t, so only what is written again must be read again.
		if _, err := UnmarshalAux(aux.Marshal().Reveal()); err != nil {
			t.Error(err)
		}
	})
}

func FuzzUnmarshalPresignature(f *testing.F) {
	key := keys(f)
	public := key.shares[1].Public()
	for _, p := range presign(f, key, 1, 2) {
		f.Add(p.Marshal().Reveal())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := UnmarshalPresignature(public, b); err == nil {
			same(t, "presignature", p.Marshal().Reveal(), b)
		}
	})
}

func FuzzUnmarshalPartial(f *testing.F) {
	f.Add(Partial{3, curve.ScalarFromUint64(7)}.Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := UnmarshalPartial(b); err == nil {
			same(t, "partial", p.Marshal(), b)
		}
	})
}

func FuzzParseOpening(f *testing.F) {
	public := keys(f).shares[1].Public()
	for _, name := range dealings {
		seeds(f, name, roundOpen, roundVerdict)
	}
	reshare := Reshare{Dealers: []tss.PartyID{1, 3}, Receivers: []tss.PartyID{2, 3, 4}}
	contexts := []Context{{Protocol: ProtocolKeygen, Session: testSession("keygen", 2, 1, ids(3)...)},
		{Protocol: ProtocolRefresh, Session: testSession("refresh", 2, 1, ids(3)...), Public: public},
		{Protocol: ProtocolReshare, Session: testSession("reshare", 2, 1, ids(4)...), Public: public, Reshare: reshare}}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, c := range contexts {
			pl, err := c.plan()
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range c.Session.IDs() {
				if o, check := pl.parseOpening(id, b); check == "" {
					same(t, "opening", o.marshal(pl, id), b)
				}
			}
		}
	})
}

func FuzzParseAuxOpening(f *testing.F) {
	seeds(f, "auxiliary", roundAuxOpen)
	f.Fuzz(func(t *testing.T, b []byte) {
		if o, err := parseAuxOpening(b); err == nil {
			same(t, "opening", o.marshal(), b)
			_, _ = o.keys()
		}
	})
}

func FuzzPresignMessages(f *testing.F) {
	p := presigner(seeds(f, "sums", roundNonces, roundEncElg, roundGamma, roundAffine, roundDelta).machines[1])
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := p.parseNonces(2, b); err == nil {
			same(t, "nonces", m.marshal(), b)
		}
		if m, err := parseAffine(b); err == nil {
			same(t, "affine", m.marshal(), b)
		}
		if m, err := parseDelta(b); err == nil {
			same(t, "delta", m.marshal(), b)
		}
	})
}

func FuzzParseAlert(f *testing.F) {
	p := presigner(seeds(f, "alert", roundAlert).machines[1])
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, from := range []tss.PartyID{1, 2} {
			m, err := p.parseAlert(from, b, open)
			if err != nil {
				continue
			}
			out := []byte{version, byte(m.kind)}
			for _, j := range p.othersOf(from) {
				out = appendBlock(out, m.shown[j].Signed)
			}
			same(t, "alert", append(out, m.dec.Marshal(params)...), b)
		}
	})
}

// FuzzVerifyFault throws accusations at honest parties: none may hold.
func FuzzVerifyFault(f *testing.F) {
	var contexts []Context
	for i, name := range []string{"keygen", "auxiliary", "sums"} {
		s := scenarioOf(f, name)
		contexts = append(contexts, s.context)
		c := s.begin(f)
		c.wire = func(e tss.Envelope, _ tss.PartyID) []tss.Envelope {
			for check, round := range s.context.Protocol.roundsOf() {
				if round == e.Round {
					f.Add(uint8(i), uint16(e.From), e.Round, check, tss.EncodeEvidence(e.Signed))
				}
			}
			return []tss.Envelope{e}
		}
		c.finish()
	}
	f.Fuzz(func(t *testing.T, which uint8, party uint16, round uint8, check string, evidence []byte) {
		c := contexts[int(which)%len(contexts)]
		if VerifyFault(c, &tss.Fault{Party: tss.PartyID(party), Round: round, Check: check, Evidence: evidence}) == nil {
			t.Errorf("party %d is convicted of %q", party, check)
		}
	})
}
