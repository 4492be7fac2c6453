package frost

import (
	"bytes"
	"testing"

	"chancery.dev/tss"
)

// Every decoder takes any bytes without panicking, and what it takes is the one encoding of what it gives.

func fuzzKeys(f *testing.F) map[uint8]*PublicKey {
	f.Helper()
	keys := map[uint8]*PublicKey{}
	for i, suite := range Suites() {
		shares := runDKG(f, suite, 2, ids(3))
		keys[uint8(i)] = shares[1].Public()
		f.Add(uint8(i), shares[1].Public().Marshal())
		f.Add(uint8(i), shares[1].Marshal().Reveal())
		n := shares[1].Commit()
		f.Add(uint8(i), n.Commitment().Marshal())
	}
	return keys
}

func FuzzUnmarshalPublicKey(f *testing.F) {
	fuzzKeys(f)
	f.Fuzz(func(t *testing.T, _ uint8, b []byte) {
		key, err := UnmarshalPublicKey(b)
		if err == nil && !bytes.Equal(key.Marshal(), b) {
			t.Errorf("%x is not the encoding of what was read", b)
		}
	})
}

func FuzzUnmarshalKeyShare(f *testing.F) {
	fuzzKeys(f)
	f.Fuzz(func(t *testing.T, _ uint8, b []byte) {
		share, err := UnmarshalKeyShare(b)
		if err == nil && !bytes.Equal(share.Marshal().Reveal(), b) {
			t.Errorf("%x is not the encoding of what was read", b)
		}
	})
}

func FuzzSigningMessages(f *testing.F) {
	fuzzKeys(f)
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		suite := Suites()[int(which)%len(Suites())]
		if c, err := UnmarshalCommitment(suite, b); err == nil && !bytes.Equal(c.Marshal(), b) {
			t.Error("commitment: another encoding was taken")
		}
		if p, err := UnmarshalPartial(suite, b); err == nil && !bytes.Equal(p.Marshal(), b) {
			t.Error("partial: another encoding was taken")
		}
		for _, n := range []int{1, 3} {
			_, _ = parseCommitments(suite, 1, n, b)
			_, _ = parsePartials(suite, 1, n, b)
		}
	})
}

func FuzzDealingMessages(f *testing.F) {
	keys := fuzzKeys(f)
	machines, net := startDKG(f, Secp256k1Taproot, 2, ids(3))
	net.tamper = func(e tss.Envelope, _ tss.PartyID) []tss.Envelope {
		f.Add(uint8(2), e.Payload)
		return []tss.Envelope{e}
	}
	net.mustSucceed(f)
	results(f, machines)
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		public := keys[which%uint8(len(keys))]
		for _, rule := range []constantRule{constantFree, constantZero, constantShare} {
			pl := plan{suite: public.suite, threshold: 2, constant: rule, old: public}
			p, err := pl.parsePackage(b)
			if err == nil && !bytes.Equal(p.marshal(rule), b) {
				t.Errorf("package, rule %d: another encoding was taken", rule)
			}
		}
		_, _, _ = parseVerdict(b)
		_, _ = parseSplit(public, ids(2), 3, 1, b)
	})
}

// FuzzVerifyFault throws accusations at honest parties: none may hold.
func FuzzVerifyFault(f *testing.F) {
	machines, net := startDKG(f, Ed25519SHA512, 2, ids(3))
	context := Context{Protocol: ProtocolKeygen, Session: testSession(Ed25519SHA512, "keygen", 2, 1, ids(3)...), Suite: Ed25519SHA512, Open: open}
	net.tamper = func(e tss.Envelope, _ tss.PartyID) []tss.Envelope {
		for _, check := range []string{CheckPackage, CheckShare, CheckConfirm, tss.CheckEcho, tss.CheckRound} {
			f.Add(uint16(e.From), e.Round, check, tss.EncodeEvidence(e.Signed))
		}
		return []tss.Envelope{e}
	}
	net.mustSucceed(f)
	results(f, machines)
	f.Fuzz(func(t *testing.T, party uint16, round uint8, check string, evidence []byte) {
		if VerifyFault(context, &tss.Fault{Party: tss.PartyID(party), Round: round, Check: check, Evidence: evidence}) == nil {
			t.Errorf("party %d is convicted of %q", party, check)
		}
	})
}
