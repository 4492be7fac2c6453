package tss

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func identity(id PartyID) ed25519.PrivateKey {
	seed := sha256.Sum256(fmt.Appendf(nil, "identity of party %d", id))
	return ed25519.NewKeyFromSeed(seed[:])
}

func seal(e Envelope) Envelope {
	b := append([]byte(nil), e.Session[:]...)
	b = append(b, e.Round)
	b = binary.BigEndian.AppendUint16(b, uint16(e.From))
	b = binary.BigEndian.AppendUint16(b, uint16(e.To))
	b = append(b, e.Payload...)
	e.Signed = append(ed25519.Sign(identity(e.From), b), b...)
	return e
}

func open(signed []byte) (Envelope, error) {
	if len(signed) < 64+37 {
		return Envelope{}, errors.New("short")
	}
	b := signed[64:]
	e := Envelope{Session: SessionID(b[:32]), Round: b[32], From: PartyID(binary.BigEndian.Uint16(b[33:])), To: PartyID(binary.BigEndian.Uint16(b[35:])), Payload: b[37:], Signed: signed}
	if !ed25519.Verify(identity(e.From).Public().(ed25519.PublicKey), b, signed[:64]) {
		return Envelope{}, errors.New("bad signature")
	}
	return e, nil
}

func session(self PartyID, ids ...PartyID) Session {
	s := Session{Suite: "suite", Purpose: "test", Threshold: 2, Self: self, Nonces: map[PartyID][32]byte{}}
	for _, id := range ids {
		s.Parties = append(s.Parties, Party{id, [32]byte(identity(id).Public().(ed25519.PublicKey))})
		s.Nonces[id] = sha256.Sum256(fmt.Appendf(nil, "nonce %d", id))
	}
	return s
}

func TestSessionValidate(t *testing.T) {
	for name, change := range map[string]func(*Session){
		"one party":           func(s *Session) { s.Parties = s.Parties[:1] },
		"too many parties":    func(s *Session) { s.Parties = make([]Party, MaxParties+1) },
		"no suite":            func(s *Session) { s.Suite = "" },
		"no purpose":          func(s *Session) { s.Purpose = "" },
		"long suite":          func(s *Session) { s.Suite = strings.Repeat("x", MaxName+1) },
		"long purpose":        func(s *Session) { s.Purpose = strings.Repeat("x", MaxName+1) },
		"threshold zero":      func(s *Session) { s.Threshold = 0 },
		"threshold too large": func(s *Session) { s.Threshold = MaxParties + 1 },
		"party zero":          func(s *Session) { s.Parties[0].ID = 0 },
		"party twice":         func(s *Session) { s.Parties[1].ID = 1 },
		"not ascending":       func(s *Session) { s.Parties[0], s.Parties[1] = s.Parties[1], s.Parties[0] },
		"not in it":           func(s *Session) { s.Self = 9 },
		"nonce missing":       func(s *Session) { delete(s.Nonces, 2) },
		"nonce zero":          func(s *Session) { s.Nonces[2] = [32]byte{} },
		"nonce twice":         func(s *Session) { s.Nonces[2] = s.Nonces[1] },
		"nonce of a stranger": func(s *Session) { s.Nonces[9] = [32]byte{9} },
	} {
		s := session(1, 1, 2, 3)
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&s)
		if s.Validate() == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// Every field but Self is bound: the fields are found by reflection, so that a new one that is not hashed fails here.
func TestSessionIDBindsEveryField(t *testing.T) {
	base := session(1, 1, 2, 3).ID()
	if other := session(2, 1, 2, 3).ID(); other != base {
		t.Error("parties of one session compute different ids")
	}
	changes := map[string]func(*Session){
		"Suite": func(s *Session) { s.Suite += "x" }, "Purpose": func(s *Session) { s.Purpose += "x" },
		"Cluster": func(s *Session) { s.Cluster[31]++ }, "Key": func(s *Session) { s.Key[0]++ }, "Intent": func(s *Session) { s.Intent[0]++ },
		"Epoch": func(s *Session) { s.Epoch++ }, "Threshold": func(s *Session) { s.Threshold++ },
		"Parties": func(s *Session) { s.Parties[2].Identity[0]++ }, "Nonces": func(s *Session) { s.Nonces[3] = [32]byte{1} },
	}
	typ := reflect.TypeFor[Session]()
	for i := range typ.NumField() {
		name := typ.Field(i).Name
		if name == "Self" {
			continue
		}
		change, known := changes[name]
		if !known {
			t.Errorf("field %s is not known to this test", name)
			continue
		}
		s := session(1, 1, 2, 3)
		change(&s)
		if s.ID() == base {
			t.Errorf("%s is not bound", name)
		}
	}
	moved := session(1, 1, 2, 3)
	moved.Suite, moved.Purpose = "suitet", "est"
	if moved.ID() == base {
		t.Error("a letter moves from one field to the next")
	}
	if got := base.String(); len(got) != 64 || strings.ToLower(got) != got {
		t.Errorf("prints as %s", got)
	}
}

func TestInboxAccept(t *testing.T) {
	s := session(1, 1, 2, 3)
	inbox := NewInbox(s, Shape{Senders: []PartyID{1, 2, 3}}, Shape{Senders: []PartyID{2}, Direct: true})
	good := Envelope{Session: s.ID(), Round: 1, From: 2, To: Everyone, Payload: []byte("m")}
	for _, c := range []struct {
		name  string
		e     Envelope
		blame string // check; "" when nobody is to blame
		err   error
	}{
		{"another session", Envelope{Round: 1, From: 2}, "", ErrSession},
		{"a stranger", Envelope{Session: s.ID(), Round: 1, From: 4}, "", ErrSender},
		{"nobody", Envelope{Session: s.ID(), Round: 1, From: 0}, "", ErrSender},
		{"oneself", Envelope{Session: s.ID(), Round: 1, From: 1}, "", ErrSender},
		{"round zero", Envelope{Session: s.ID(), Round: 0, From: 2}, CheckRound, nil},
		{"round too late", Envelope{Session: s.ID(), Round: 3, From: 2}, CheckRound, nil},
		{"no sender of the round", Envelope{Session: s.ID(), Round: 2, From: 3, To: 1}, CheckRound, nil},
		{"direct, should be broadcast", Envelope{Session: s.ID(), Round: 1, From: 3, To: 1}, CheckRecipient, nil},
		{"broadcast, should be direct", Envelope{Session: s.ID(), Round: 2, From: 2}, CheckRecipient, nil},
		{"to another", Envelope{Session: s.ID(), Round: 2, From: 2, To: 3}, CheckRecipient, nil},
		{"oversized", Envelope{Session: s.ID(), Round: 1, From: 3, Payload: make([]byte, MaxPayload+1)}, CheckRecipient, nil},
		{"good", good, "", nil},
		{"good again", good, "", nil},
		{"second, different", Envelope{Session: s.ID(), Round: 1, From: 2, Payload: []byte("n")}, CheckEquivocation, nil},
		{"largest", Envelope{Session: s.ID(), Round: 1, From: 3, Payload: make([]byte, MaxPayload)}, "", nil},
	} {
		err := inbox.Accept(seal(c.e))
		var fault *Fault
		switch {
		case c.blame != "":
			if !errors.As(err, &fault) || fault.Check != c.blame || fault.Party != c.e.From || fault.Round != c.e.Round || len(fault.Evidence) == 0 {
				t.Errorf("%s: %v, want %s", c.name, err, c.blame)
			}
			if !strings.Contains(err.Error(), c.blame) {
				t.Errorf("%s: %q does not name the check", c.name, err)
			}
		case !errors.Is(err, c.err):
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
	}
	if missing := inbox.Missing(1); len(missing) != 0 {
		t.Errorf("round 1 lacks %v", missing)
	}
	if missing := inbox.Missing(2); !slices.Equal(missing, []PartyID{2}) {
		t.Errorf("round 2 lacks %v", missing)
	}
	if missing := inbox.Missing(3); missing != nil {
		t.Errorf("round 3 lacks %v", missing)
	}
}

// broadcastRound gives the inboxes of three parties after a broadcast in which party 3 may have said different things.
func broadcastRound(t *testing.T, words map[PartyID]string) map[PartyID]*Inbox {
	t.Helper()
	all := []PartyID{1, 2, 3}
	out := map[PartyID]*Inbox{}
	for _, self := range all {
		s := session(self, all...)
		inbox := NewInbox(s, Shape{Senders: all}, Shape{Senders: all})
		for _, from := range all {
			word := fmt.Sprint("word of ", from)
			if from == 3 {
				word = words[self]
			}
			e := seal(Envelope{Session: s.ID(), Round: 1, From: from, Payload: []byte(word)})
			if from == self {
				inbox.Keep(e)
			} else if err := inbox.Accept(e); err != nil {
				t.Fatal(err)
			}
		}
		out[self] = inbox
	}
	return out
}

func echo(t *testing.T, inboxes map[PartyID]*Inbox, payloads map[PartyID][]byte) {
	t.Helper()
	for from := range inboxes {
		payload := inboxes[from].EchoPayload(1)
		if p, forged := payloads[from]; forged {
			payload = p
		}
		e := seal(Envelope{Session: inboxes[from].session, Round: 2, From: from, Payload: payload})
		for to, inbox := range inboxes {
			if to == from {
				inbox.Keep(e)
			} else if err := inbox.Accept(e); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestEchoAgrees(t *testing.T) {
	inboxes := broadcastRound(t, map[PartyID]string{1: "x", 2: "x", 3: "x"})
	echo(t, inboxes, nil)
	for id, inbox := range inboxes {
		if err := inbox.CheckEchoes(1, open); err != nil {
			t.Errorf("party %d: %v", id, err)
		}
	}
}

func TestEchoConvictsTwoFaces(t *testing.T) {
	inboxes := broadcastRound(t, map[PartyID]string{1: "x", 2: "y", 3: "x"})
	echo(t, inboxes, nil)
	for _, id := range []PartyID{1, 2} {
		var fault *Fault
		err := inboxes[id].CheckEchoes(1, open)
		if !errors.As(err, &fault) || fault.Party != 3 || fault.Check != CheckEquivocation {
			t.Fatalf("party %d: %v", id, err)
		}
		if err := VerifyEquivocation(fault, inboxes[id].session, open); err != nil {
			t.Errorf("evidence does not convict: %v", err)
		}
		for name, other := range map[string]*Fault{
			"of another party": {Party: 2, Round: 1, Evidence: fault.Evidence},
			"of nothing":       {Party: 3, Round: 1},
			"cut short":        {Party: 3, Round: 1, Evidence: fault.Evidence[:len(fault.Evidence)-1]},
			"one more byte":    {Party: 3, Round: 1, Evidence: append(slices.Clone(fault.Evidence), 0)},
		} {
			if err := VerifyEquivocation(other, inboxes[id].session, open); !errors.Is(err, ErrEvidence) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if VerifyEquivocation(fault, SessionID{1}, open) == nil {
			t.Error("evidence convicts in another session")
		}
		list, _ := DecodeEvidence(fault.Evidence)
		same := &Fault{Party: 3, Round: 1, Evidence: EncodeEvidence(list[0], list[0])}
		if VerifyEquivocation(same, inboxes[id].session, open) == nil {
			t.Error("one message twice convicts")
		}
	}
}

func TestEchoConvictsLiars(t *testing.T) {
	good := broadcastRound(t, map[PartyID]string{1: "x", 2: "x", 3: "x"})
	s := session(1, 1, 2, 3)
	originals, err := DecodeEvidence(good[3].EchoPayload(1))
	if err != nil {
		t.Fatal(err)
	}
	forged := slices.Clone(originals[0])
	forged[len(forged)-1] ^= 1
	late := seal(Envelope{Session: s.ID(), Round: 2, From: 1, Payload: []byte("word of 1")}).Signed
	direct := seal(Envelope{Session: s.ID(), Round: 1, From: 1, To: 3, Payload: []byte("word of 1")}).Signed
	foreign := seal(Envelope{Round: 1, From: 1, Payload: []byte("word of 1")}).Signed
	for name, payload := range map[string][]byte{
		"forged":              EncodeEvidence(forged, originals[1], originals[2]),
		"one missing":         EncodeEvidence(originals[1], originals[2]),
		"one too many":        EncodeEvidence(originals[0], originals[1], originals[2], originals[2]),
		"swapped":             EncodeEvidence(originals[1], originals[0], originals[2]),
		"of another round":    EncodeEvidence(late, originals[1], originals[2]),
		"not a broadcast":     EncodeEvidence(direct, originals[1], originals[2]),
		"of another session":  EncodeEvidence(foreign, originals[1], originals[2]),
		"empty":               {},
		"trailing byte":       append(good[3].EchoPayload(1), 0),
		"too long a count":    {0xff, 0xff},
		"item beyond the end": {0, 3, 0xff, 0xff, 0xff, 0xff},
	} {
		inboxes := broadcastRound(t, map[PartyID]string{1: "x", 2: "x", 3: "x"})
		echo(t, inboxes, map[PartyID][]byte{3: payload})
		for _, id := range []PartyID{1, 2} {
			var fault *Fault
			err := inboxes[id].CheckEchoes(1, open)
			if !errors.As(err, &fault) || fault.Party != 3 || fault.Check != CheckEcho {
				t.Errorf("%s: party %d: %v", name, id, err)
				continue
			}
			if err := VerifyEcho(fault, s.ID(), []PartyID{1, 2, 3}, open); err != nil {
				t.Errorf("%s: evidence does not convict: %v", name, err)
			}
			innocent := *fault
			innocent.Party = 2
			if VerifyEcho(&innocent, s.ID(), []PartyID{1, 2, 3}, open) == nil {
				t.Errorf("%s: the evidence convicts party 2 as well", name)
			}
		}
	}
}

func TestEvidenceSurvivesEncoding(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		items := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 50), 0, MaxEvidence).Draw(rt, "items")
		got, err := DecodeEvidence(EncodeEvidence(items...))
		if err != nil || len(got) != len(items) {
			rt.Fatalf("%d items, got %d: %v", len(items), len(got), err)
		}
		for i := range items {
			if !bytes.Equal(items[i], got[i]) {
				rt.Fatalf("item %d differs", i)
			}
		}
	})
	if _, err := DecodeEvidence(EncodeEvidence(make([][]byte, MaxEvidence+1)...)); !errors.Is(err, ErrEvidence) {
		t.Errorf("too many items: %v", err)
	}
	if _, err := DecodeEvidence(EncodeEvidence(make([]byte, MaxSigned+1))); !errors.Is(err, ErrEvidence) {
		t.Errorf("too long an item: %v", err)
	}
}

func FuzzDecodeEvidence(f *testing.F) {
	f.Add(EncodeEvidence([]byte("a"), nil, []byte("bc")))
	f.Add([]byte{0, 1, 0, 0, 0, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := DecodeEvidence(b)
		if err == nil && !bytes.Equal(EncodeEvidence(list...), b) {
			t.Errorf("%x is read as %x", b, list)
		}
	})
}
