package cggmp24

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg/v2"

	"chancery.dev/tss"
)

func request(message string, path ...uint32) Request {
	return Request{Session: tss.SessionID{1}, Hash: SHA256, Message: []byte(message), Path: path}
}

func TestEveryQuorumSigns(t *testing.T) {
	f := keys(t)
	for i, signers := range [][]tss.PartyID{{1, 2}, {1, 3}, {2, 3}} {
		q := request(fmt.Sprint("message ", i))
		if i == 2 {
			q.Hash = DoubleSHA256
		}
		sign(t, presign(t, f, signers...), q)
	}
}

func TestDerivedKeysSign(t *testing.T) {
	f := keys(t)
	public := f.shares[1].public
	chain := public.ChainCode()
	root := hdkeychain.NewExtendedKey(chaincfg.MainNetParams.HDPublicKeyID[:], public.GroupKey(), chain[:], []byte{0, 0, 0, 0}, 0, 0, false)
	for _, path := range [][]uint32{{0}, {1, 7}, {2147483647, 0, 3}} {
		child := root
		for _, i := range path {
			var err error
			if child, err = child.Derive(i); err != nil {
				t.Fatal(err)
			}
		}
		want, err := child.ECPubKey()
		if err != nil {
			t.Fatal(err)
		}
		got, err := public.DerivedKey(path)
		if err != nil || !bytes.Equal(got, want.SerializeCompressed()) {
			t.Fatalf("key at %v is another than BIP32's: %v", path, err)
		}
	}
	sign(t, presign(t, f, 1, 2), request("derived", 0, 5))
	for _, path := range [][]uint32{{1 << 31}, make([]uint32, MaxPath+1)} {
		if _, err := public.DerivedKey(path); err == nil {
			t.Errorf("path %v was followed", path)
		}
	}
}

func TestPresignatureIsUsedOnce(t *testing.T) {
	f := keys(t)
	presigs := presign(t, f, 1, 2)
	p := presigs[1]
	stored := p.Marshal()
	if _, _, err := p.Sign(request("first")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Sign(request("second")); !errors.Is(err, ErrSpent) {
		t.Errorf("a presignature signed twice: %v", err)
	}
	if !p.k.IsZero() || !p.chi.IsZero() {
		t.Error("a used presignature still holds its secrets")
	}
	// A request that cannot be signed uses it up as well.
	if _, _, err := presigs[2].Sign(Request{Hash: 9, Message: []byte("x")}); err == nil {
		t.Error("an unknown hash was taken")
	}
	if _, _, err := presigs[2].Sign(request("after")); !errors.Is(err, ErrSpent) {
		t.Errorf("a failed attempt left the presignature usable: %v", err)
	}
	back, err := UnmarshalPresignature(f.shares[1].public, stored.Reveal())
	if err != nil || back.ID() != p.ID() {
		t.Fatalf("a presignature does not survive storing: %v", err)
	}
	for i := range stored.Reveal() {
		changed := bytes.Clone(stored.Reveal())
		changed[i] ^= 1
		if i >= 1 && i < 33 || i == 203 {
			continue // the id, and who the other signer is, are names; no relation holds them, the store's seal does
		}
		if _, err := UnmarshalPresignature(f.shares[1].public, changed); err == nil {
			t.Errorf("byte %d of a stored presignature changed: it was read", i)
		}
	}
}

// The nonce point that is signed with depends on everything in the request.
func TestRerandomisationBindsTheRequest(t *testing.T) {
	f := keys(t)
	p := presign(t, f, 1, 2)[1]
	base := request("message", 1, 2)
	r := func(q Request) string {
		s, err := prepare(p.id, p.public, p.signers, p.gamma, q)
		if err != nil {
			t.Fatal(err)
		}
		return s.gamma.String()
	}
	first := r(base)
	other := base
	other.Session[0]++
	for name, q := range map[string]Request{"session": other, "message": request("messagf", 1, 2), "path": request("message", 1, 3), "no path": request("message"),
		"hash": {Session: base.Session, Hash: DoubleSHA256, Message: base.Message, Path: base.Path}} {
		if r(q) == first {
			t.Errorf("%s does not change the nonce point", name)
		}
	}
	if first == p.gamma.String() {
		t.Error("the nonce point is not re-randomised")
	}
}

func TestWrongPartialIsNamed(t *testing.T) {
	f := keys(t)
	presigs := presign(t, f, 1, 3)
	q := request("message", 4)
	a, combiner, err := presigs[1].Sign(q)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := presigs[3].Sign(q)
	if err != nil {
		t.Fatal(err)
	}
	bad := Partial{3, b.sigma.Add(curve.ScalarFromUint64(1))}
	_, err = combiner.Combine([]Partial{a, bad})
	var fault *tss.Fault
	if !errors.As(err, &fault) || fault.Party != 3 || fault.Check != CheckPartial {
		t.Errorf("got %v", err)
	}
	for name, list := range map[string][]Partial{"too few": {a}, "one twice": {a, a}, "unsorted": {b, a}, "a stranger": {a, {2, b.sigma}}} {
		if _, err := combiner.Combine(list); !errors.Is(err, errSigning) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if combiner.Verify(a) != nil || combiner.Verify(b) != nil || combiner.Verify(Partial{2, a.sigma}) == nil {
		t.Error("single checks are wrong")
	}
}

func startRefresh(t testing.TB, shares map[tss.PartyID]*KeyShare) map[tss.PartyID]*Dealing {
	t.Helper()
	out := map[tss.PartyID]*Dealing{}
	for id, s := range shares {
		m, err := NewRefresh(testSession("refresh", s.public.threshold, id, s.public.ids...), s, testNotary{id})
		if err != nil {
			t.Fatal(err)
		}
		out[id] = m
	}
	return out
}

func TestRefreshKeepsTheKeyAndChangesEveryShare(t *testing.T) {
	f := keys(t)
	fresh := dealt(t, startRefresh(t, f.shares))
	for id, s := range fresh {
		old := f.shares[id]
		if !bytes.Equal(s.public.GroupKey(), old.public.GroupKey()) || s.public.chain != old.public.chain || s.share.Equal(old.share) || s.public.rid == old.public.rid {
			t.Errorf("party %d: the key changed, or the share did not", id)
		}
	}
	sign(t, presign(t, fixture{fresh, f.aux}, 2, 3), request("after refresh"))
	// Old and new shares do not sign together: whoever comes with an old one does not even fit its own public key.
	if _, err := newKeyShare(fresh[1].public, 1, f.shares[1].share); err == nil {
		t.Error("an old share fits the new public key")
	}
}

func startReshare(t testing.TB, shares map[tss.PartyID]*KeyShare, r Reshare, threshold int) map[tss.PartyID]*Dealing {
	t.Helper()
	public := shares[r.Dealers[0]].public
	parties := map[tss.PartyID]bool{}
	for _, id := range append(append([]tss.PartyID(nil), r.Dealers...), r.Receivers...) {
		parties[id] = true
	}
	var all []tss.PartyID
	for _, id := range ids(16) {
		if parties[id] {
			all = append(all, id)
		}
	}
	out := map[tss.PartyID]*Dealing{}
	for _, id := range all {
		m, err := NewReshare(testSession("reshare", threshold, id, all...), public, shares[id], r, testNotary{id})
		if err != nil {
			t.Fatal(err)
		}
		out[id] = m
	}
	return out
}

func TestReshareMovesTheKey(t *testing.T) {
	f := keys(t)
	moved := dealt(t, startReshare(t, f.shares, Reshare{Dealers: []tss.PartyID{1, 3}, Receivers: []tss.PartyID{2, 3, 4, 5}}, 3))
	if len(moved) != 4 || moved[1] != nil {
		t.Fatalf("%d shares came out", len(moved))
	}
	for id, s := range moved {
		if !bytes.Equal(s.public.GroupKey(), f.shares[1].public.GroupKey()) || s.public.chain != f.shares[1].public.chain || s.public.threshold != 3 {
			t.Errorf("party %d has another key", id)
		}
	}
	for name, c := range map[string]struct {
		r         Reshare
		threshold int
	}{
		"too few dealers":    {Reshare{Dealers: []tss.PartyID{1}, Receivers: []tss.PartyID{1, 2}}, 2},
		"too many dealers":   {Reshare{Dealers: []tss.PartyID{1, 2, 3}, Receivers: []tss.PartyID{1, 2, 3}}, 2},
		"dealer twice":       {Reshare{Dealers: []tss.PartyID{1, 1}, Receivers: []tss.PartyID{1, 2}}, 2},
		"stranger deals":     {Reshare{Dealers: []tss.PartyID{1, 4}, Receivers: []tss.PartyID{1, 2, 4}}, 2},
		"threshold too high": {Reshare{Dealers: []tss.PartyID{1, 2}, Receivers: []tss.PartyID{1, 2}}, 3},
		"threshold one":      {Reshare{Dealers: []tss.PartyID{1, 2}, Receivers: []tss.PartyID{1, 2}}, 1},
	} {
		if _, err := NewReshare(testSession("reshare", c.threshold, 1, 1, 2, 3, 4), f.shares[1].public, f.shares[1], c.r, testNotary{1}); err == nil {
			t.Errorf("%s: started", name)
		}
	}
}

func TestKeysSurviveStoring(t *testing.T) {
	f := keys(t)
	share := f.shares[2].Marshal()
	back, err := UnmarshalKeyShare(share.Reveal())
	if err != nil || !back.share.Equal(f.shares[2].share) || !back.public.Equal(f.shares[2].public) {
		t.Fatal(err)
	}
	aux := f.aux[2].Marshal()
	again, err := UnmarshalAux(aux.Reveal())
	if err != nil || again.digest != f.aux[2].digest || !again.Marshal().Equal(aux) {
		t.Fatal(err)
	}
	sign(t, presign(t, fixture{map[tss.PartyID]*KeyShare{1: f.shares[1], 2: back}, map[tss.PartyID]*Aux{1: f.aux[1], 2: again}}, 1, 2), request("restored"))
	for _, b := range [][]byte{nil, share.Reveal()[:40], append(bytes.Clone(share.Reveal()), 0)} {
		if _, err := UnmarshalKeyShare(b); err == nil {
			t.Errorf("%d bytes were read as a share", len(b))
		}
	}
	raw := aux.Reveal()
	for _, i := range []int{0, 34, 40, 40 + modulusLen(), len(raw) - 1, len(raw) - modulusLen()} {
		changed := bytes.Clone(raw)
		changed[i] ^= 1
		if _, err := UnmarshalAux(changed); err == nil && i != len(raw)-1 && i != len(raw)-modulusLen() {
			t.Errorf("byte %d of stored auxiliary information changed: it was read", i)
		}
	}
	for _, text := range []string{fmt.Sprint(f.shares[1]), fmt.Sprintf("%+v", f.aux[1]), fmt.Sprint(f.aux[1])} {
		if len(text) > 60 {
			t.Errorf("prints as %q", text)
		}
	}
}
