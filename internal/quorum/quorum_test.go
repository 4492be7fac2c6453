package quorum

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chancery.dev/internal/intent"
)

type signer ed25519.PrivateKey

func (s signer) Sign(m []byte) []byte { return ed25519.Sign(ed25519.PrivateKey(s), m) }

func key(voter uint16) signer {
	seed := sha256.Sum256(fmt.Appendf(nil, "voter %d", voter))
	return signer(ed25519.NewKeyFromSeed(seed[:]))
}

var (
	now   = time.Unix(1700000000, 0)
	topic = intent.ID{7}
)

func electorate() Electorate {
	e := FromRoster([32]byte{1}, 3, 4)
	for v := range uint16(5) {
		e.Keys[v+1] = ed25519.PrivateKey(key(v + 1)).Public().(ed25519.PublicKey)
	}
	return e
}

func ballot(voter uint16, q Question, yes bool) Ballot {
	return Ballot{Cluster: Digest{1}, Epoch: 3, Intent: topic, Question: q, Yes: yes, Policy: [32]byte{9}, Expires: now.Unix() + 60, Voter: voter}
}

func code(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.ReasonCode()
	}
	return ""
}

func TestVerifyRefuses(t *testing.T) {
	e := electorate()
	if err := e.Verify(ballot(1, Admit, true).Sign(key(1)), now); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*Ballot)
		as     uint16
		want   string
	}{
		{"earlier epoch", func(b *Ballot) { b.Epoch = 2 }, 1, CodeStaleEpoch},
		{"later epoch", func(b *Ballot) { b.Epoch = 4 }, 1, CodeStaleEpoch},
		{"another roster", func(b *Ballot) { b.Cluster[0]++ }, 1, CodeBinding},
		{"stranger", func(b *Ballot) { b.Voter = 6 }, 6, CodeNotAVoter},
		{"nobody", func(b *Ballot) { b.Voter = 0 }, 1, CodeNotAVoter},
		{"unknown question", func(b *Ballot) { b.Question = "steal" }, 1, CodeBinding},
		{"long reason", func(b *Ballot) { b.Reason = strings.Repeat("x", MaxReason+1) }, 1, CodeBinding},
		{"expired now", func(b *Ballot) { b.Expires = now.Unix() }, 1, CodeExpired},
		{"signed by another", func(*Ballot) {}, 2, CodeBadSignature},
	} {
		b := ballot(1, Admit, true)
		c.change(&b)
		if err := e.Verify(b.Sign(key(c.as)), now); code(err) != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

// Every field of a ballot, found by reflection, is under the signature.
func TestSignatureCoversEveryField(t *testing.T) {
	base := ballot(1, Admit, true).digest()
	changes := map[string]func(*Ballot){
		"Cluster": func(b *Ballot) { b.Cluster[31]++ }, "Epoch": func(b *Ballot) { b.Epoch++ }, "Intent": func(b *Ballot) { b.Intent[31]++ },
		"Question": func(b *Ballot) { b.Question = Release }, "Yes": func(b *Ballot) { b.Yes = false }, "Reason": func(b *Ballot) { b.Reason = "x" },
		"Policy": func(b *Ballot) { b.Policy[31]++ }, "Expires": func(b *Ballot) { b.Expires++ }, "Voter": func(b *Ballot) { b.Voter++ },
	}
	typ := reflect.TypeFor[Ballot]()
	for i := range typ.NumField() {
		name := typ.Field(i).Name
		if name == "Signature" {
			continue
		}
		b := ballot(1, Admit, true)
		change, known := changes[name]
		if !known {
			t.Errorf("field %s is not known to this test", name)
			continue
		}
		if change(&b); b.digest() == base {
			t.Errorf("%s is not signed", name)
		}
	}
}

func TestTallyCountsEachVoterOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e := electorate()
		tally := NewTally(e, topic)
		yes, no := map[uint16]bool{}, map[uint16]bool{}
		for range rapid.IntRange(0, 20).Draw(rt, "ballots") {
			voter := uint16(rapid.IntRange(1, 5).Draw(rt, "voter"))
			q := rapid.SampledFrom([]Question{Admit, AdmitAndRelease}).Draw(rt, "question")
			vote := rapid.Bool().Draw(rt, "yes")
			err := tally.Add(ballot(voter, q, vote).Sign(key(voter)), now)
			var double *DoubleVote
			contradicts := vote && no[voter] || !vote && yes[voter]
			if errors.As(err, &double) != contradicts || !contradicts && err != nil {
				rt.Fatalf("voter %d, %v: %v", voter, vote, err)
			}
			if contradicts {
				if err := double.Verify(e); err != nil {
					rt.Fatalf("a double vote does not prove itself: %v", err)
				}
				continue
			}
			if vote {
				yes[voter] = true
			} else {
				no[voter] = true
			}
		}
		y, n := tally.Count(Admit)
		if y != len(yes) || n != len(no) {
			rt.Fatalf("counted %d yes and %d no, want %d and %d", y, n, len(yes), len(no))
		}
		if tally.Refused(Admit) != (5-len(no) < 4) {
			rt.Fatalf("refused is wrong with %d no", len(no))
		}
		c, err := tally.Certify(Admit, now)
		if (err == nil) != (len(yes) >= 4) {
			rt.Fatalf("%d yes: %v", len(yes), err)
		}
		if err == nil && len(c.Voters()) != len(yes) {
			rt.Fatalf("certificate has voters %v", c.Voters())
		}
	})
}

func TestTallyRefusesOtherIntents(t *testing.T) {
	b := ballot(1, Admit, true)
	b.Intent[0]++
	if err := NewTally(electorate(), topic).Add(b.Sign(key(1)), now); code(err) != CodeBinding {
		t.Errorf("got %v", err)
	}
}

func TestDoubleVoteNeedsTwoAnswers(t *testing.T) {
	e := electorate()
	yes, no := ballot(1, Admit, true).Sign(key(1)), ballot(1, Admit, false).Sign(key(1))
	other := ballot(1, Admit, false)
	other.Intent[0]++
	for name, c := range map[string]struct {
		d    DoubleVote
		good bool
	}{
		"yes and no":          {DoubleVote{yes, no}, true},
		"across questions":    {DoubleVote{yes, ballot(1, AdmitAndRelease, false).Sign(key(1))}, true},
		"the same":            {DoubleVote{yes, yes}, false},
		"two voters":          {DoubleVote{yes, ballot(2, Admit, false).Sign(key(2))}, false},
		"two intents":         {DoubleVote{yes, other.Sign(key(1))}, false},
		"unrelated questions": {DoubleVote{yes, ballot(1, Release, false).Sign(key(1))}, false},
		"forged":              {DoubleVote{yes, ballot(1, Admit, false).Sign(key(2))}, false},
	} {
		if err := c.d.Verify(e); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVerifyCertificateRefuses(t *testing.T) {
	e := electorate()
	full := func(q Question) Certificate {
		c := Certificate{Question: q}
		for v := range uint16(4) {
			c.Ballots = append(c.Ballots, ballot(v+1, q, true).Sign(key(v+1)))
		}
		return c
	}
	for _, q := range []Question{Admit, AdmitAndRelease} {
		if err := e.VerifyCertificate(full(q), topic, Admit, now); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.VerifyCertificate(full(AdmitAndRelease), topic, Release, now); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Certificate)
		ask    Question
		at     time.Time
		want   string
	}{
		"one too few":         {func(c *Certificate) { c.Ballots = c.Ballots[:3] }, Admit, now, CodeTooFew},
		"none":                {func(c *Certificate) { c.Ballots = nil }, Admit, now, CodeTooFew},
		"one voter twice":     {func(c *Certificate) { c.Ballots[3] = c.Ballots[2] }, Admit, now, CodeBinding},
		"not ascending":       {func(c *Certificate) { c.Ballots[0], c.Ballots[1] = c.Ballots[1], c.Ballots[0] }, Admit, now, CodeBinding},
		"a no among them":     {func(c *Certificate) { c.Ballots[0] = ballot(1, Admit, false).Sign(key(1)) }, Admit, now, CodeBinding},
		"another intent":      {func(c *Certificate) { b := ballot(1, Admit, true); b.Intent[0]++; c.Ballots[0] = b.Sign(key(1)) }, Admit, now, CodeBinding},
		"two policies":        {func(c *Certificate) { b := ballot(4, Admit, true); b.Policy[0]++; c.Ballots[3] = b.Sign(key(4)) }, Admit, now, CodeBinding},
		"another question":    {func(*Certificate) {}, Release, now, CodeBinding},
		"ballot of another q": {func(c *Certificate) { c.Ballots[0] = ballot(1, Release, true).Sign(key(1)) }, Admit, now, CodeBinding},
		"forged ballot":       {func(c *Certificate) { c.Ballots[0].Signature[0] ^= 1 }, Admit, now, CodeBadSignature},
		"expired":             {func(*Certificate) {}, Admit, now.Add(time.Minute), CodeExpired},
		"too many":            {func(c *Certificate) { c.Ballots = make([]Ballot, MaxBallots+1) }, Admit, now, CodeBinding},
	} {
		cert := full(Admit)
		c.change(&cert)
		if err := e.VerifyCertificate(cert, topic, c.ask, c.at); code(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	none := e
	none.Threshold = 0
	if none.VerifyCertificate(Certificate{Question: Admit}, topic, Admit, now) == nil {
		t.Error("a roster without a threshold lets an empty certificate pass")
	}
}

func TestWireIsCanonical(t *testing.T) {
	b := ballot(1, Admit, false)
	b.Reason = "PAYLOAD_REJECTED"
	b = b.Sign(key(1))
	raw, err := Encode(b)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode[Ballot](raw)
	if err != nil || !reflect.DeepEqual(b, back) {
		t.Fatalf("%+v came back as %+v: %v", b, back, err)
	}
	for name, other := range map[string]string{
		"space":         " " + string(raw),
		"unknown field": strings.Replace(string(raw), "{", `{"a":1,`, 1),
		"doubled field": strings.Replace(string(raw), "{", `{"cluster":"",`, 1),
		"nothing":       "",
		"too large":     strings.Repeat(" ", MaxWire+1),
	} {
		if _, err := Decode[Ballot]([]byte(other)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	raw, err := Encode(ballot(1, Admit, true).Sign(key(1)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	cert, err := Encode(Certificate{Question: Admit, Ballots: []Ballot{ballot(1, Admit, true).Sign(key(1))}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(cert)
	e := electorate()
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := Decode[Ballot](b); err == nil {
			if again, err := Encode(v); err != nil || string(again) != string(b) {
				t.Errorf("%s is read as %s", b, again)
			}
			_ = e.Verify(v, now)
		}
		if v, err := Decode[Certificate](b); err == nil && e.VerifyCertificate(v, topic, Admit, now) == nil {
			t.Errorf("%s is a certificate", b)
		}
	})
}
