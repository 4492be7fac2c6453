package exec

import (
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ecdsa"

	"chancery.dev/internal/intent"
	"chancery.dev/internal/keystore"
	"chancery.dev/tss"
	"chancery.dev/tss/cggmp24"
)

// ceremony is more time than an ECDSA key takes, with primes of the real size.
const ceremony = 5 * time.Minute

// askECDSA asks for an ECDSA key among all parties of the bench, two of whom must sign.
func (b *bench) askECDSA() request {
	g := intent.Generate{Protocol: ProtocolCGGMP24, Suite: cggmp24.Suite, Purpose: "wallet", Threshold: 2}
	for _, p := range b.parties {
		g.Parties = append(g.Parties, uint16(p.Self))
	}
	return b.ask(intent.KeyID{}, g)
}

// One ECDSA key of the real size, from its generation through payments in one go and from the pool to its reload. It is one
// test, for the key takes a while to make.
func TestECDSAKey(t *testing.T) {
	b := newBench(t, 2)
	r := b.askECDSA()
	publics, errs := b.generate(b.within(ceremony), r, 1)
	for id, err := range errs {
		if err != nil || publics[id].Protocol() != ProtocolCGGMP24 || publics[id].Threshold() != 2 {
			t.Fatalf("party %d: %v", id, err)
		}
	}
	key := intent.KeyID(r.id)
	b.payECDSA(t, key, publics[1], messages(2))

	b.fill(t, key, 3)
	stock, err := b.parties[0].StockOf(key, []tss.PartyID{1, 2})
	if err != nil || len(stock) != 3 {
		t.Fatalf("%d in stock: %v", len(stock), err)
	}
	other, err := b.parties[1].StockOf(key, []tss.PartyID{1, 2})
	if slices.SortFunc(other, compareIDs); err != nil || !slices.Equal(sorted(stock), other) {
		t.Fatalf("the parties have different stock: %v", err)
	}
	pooled := messages(1)
	pooled[0].Presignature = &stock[0]
	b.payECDSA(t, key, publics[1], pooled)

	// A second payment with the same presignature is refused everywhere, and so is one that nobody made.
	for name, id := range map[string]PresignatureID{"used": stock[0], "unknown": {9}} {
		m := messages(1)
		m[0].Presignature = &id
		_, errs := b.sign(b.within(long), b.askSpend(key), 1, b.parties, m)
		for party, err := range errs {
			if e := refused(t, err, CodeNoPresignature); !e.Retry {
				t.Errorf("%s, party %d: %+v", name, party, e)
			}
		}
	}

	// One that is taken when the process dies is gone; the rest of the pool outlives it.
	if _, err := b.parties[0].Vault.Take(b.parties[0].ref(keystore.KindPresignature, key, poolName([]tss.PartyID{1, 2}, stock[1]))); err != nil {
		t.Fatal(err)
	}
	for _, p := range b.parties {
		b.restart(p)
	}
	after, err := b.parties[0].Load(key)
	if err != nil || after.Protocol() != ProtocolCGGMP24 {
		t.Fatalf("the key is not loaded again: %v", err)
	}
	left, err := b.parties[0].StockOf(key, []tss.PartyID{1, 2})
	if err != nil || !slices.Equal(left, []PresignatureID{stock[2]}) {
		t.Fatalf("left are %v: %v", left, err)
	}
	pooled[0].Presignature = &stock[2]
	b.payECDSA(t, key, after, pooled)
}

func compareIDs(a, b PresignatureID) int { return slices.Compare(a[:], b[:]) }

func sorted(ids []PresignatureID) []PresignatureID {
	out := slices.Clone(ids)
	slices.SortFunc(out, compareIDs)
	return out
}

// fill makes presignatures by all parties.
func (b *bench) fill(t *testing.T, key intent.KeyID, count int) {
	t.Helper()
	b.asked++
	label := [32]byte{byte(b.asked)}
	_, errs := together(b.parties, func(p *party) (int, error) {
		made := 0
		err := p.Presign(b.within(ceremony), key, ids(b.parties), label, count, func(n int) { made = n })
		if err == nil && made != count {
			t.Errorf("party %d was told of %d", p.Self, made)
		}
		return made, err
	})
	for id, err := range errs {
		if err != nil {
			t.Fatalf("party %d: %v", id, err)
		}
	}
}

// payECDSA signs with all parties and verifies every signature with btcec.
func (b *bench) payECDSA(t *testing.T, key intent.KeyID, public Key, m []Message) {
	t.Helper()
	spend := b.askSpend(key)
	held := b.mustSign(spend, 1, b.parties, m)
	released := map[tss.PartyID][]byte{}
	for _, p := range b.parties {
		data, err := b.release(p, spend, 1)
		if err != nil {
			t.Fatal(err)
		}
		released[p.Self] = data
	}
	signatures, err := held[1].Combine(released)
	if err != nil {
		t.Fatal(err)
	}
	for i, raw := range signatures {
		compressed, err := public.VerifyingKey(m[i].Path)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := btcec.ParsePubKey(compressed)
		if err != nil {
			t.Fatal(err)
		}
		var r, s btcec.ModNScalar
		r.SetByteSlice(raw[:32])
		s.SetByteSlice(raw[32:])
		once := sha256.Sum256(m[i].Bytes)
		twice := sha256.Sum256(once[:])
		if len(raw) != 64 || s.IsOverHalfOrder() || !ecdsa.NewSignature(&r, &s).Verify(twice[:], parsed) {
			t.Errorf("signature %d does not verify", i)
		}
	}
	released[2][len(released[2])-1] ^= 1
	_, err = held[1].Combine(released)
	if e := refused(t, err, CodeRejected); !slices.Equal(e.Parties, []tss.PartyID{2}) {
		t.Errorf("a wrong part: %+v", e)
	}
}

// What cannot be presigned is refused before anything is sent.
func TestPresignRefuses(t *testing.T) {
	b := newBench(t, 2)
	key := b.makeKey() // FROST
	for name, c := range map[string]struct {
		key   intent.KeyID
		count int
		code  string
	}{"a Schnorr key": {key, 1, CodeRejected}, "no key": {intent.KeyID{9}, 1, CodeNoKey}, "none": {key, 0, CodeRejected}, "too many": {key, MaxPresign + 1, CodeRejected}} {
		err := b.parties[0].Presign(b.within(long), c.key, []tss.PartyID{1, 2}, [32]byte{1}, c.count, nil)
		if e := refused(t, err, c.code); e.Retry {
			t.Errorf("%s: %+v", name, e)
		}
	}
}
