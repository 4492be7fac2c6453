package secret

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestNothingPrintsASecret(t *testing.T) {
	const text = "correct horse battery staple"
	s := New([]byte(text))
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "key", s)
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "key", s)
	asJSON, err := json.Marshal(map[string]any{"a": s, "b": []*Bytes{s}})
	if err != nil {
		t.Fatal(err)
	}
	holder := struct{ Key *Bytes }{s}
	for _, out := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %x %X %d", s, s, s, s, s, s, s, s), fmt.Sprintf("%v %+v", holder.Key, []*Bytes{s}),
		log.String(), string(asJSON)} {
		if !strings.Contains(out, Mark) {
			t.Errorf("no mark in %q", out)
		}
		for _, leak := range []string{text, "horse", fmt.Sprintf("%x", text), fmt.Sprintf("%X", text), fmt.Sprint([]byte(text)[:4])[1:12]} {
			if strings.Contains(out, leak) {
				t.Errorf("secret in %q", out)
			}
		}
	}
}

func TestNewTakesOver(t *testing.T) {
	in := []byte{1, 2, 3}
	s := New(in)
	if in[0]|in[1]|in[2] != 0 {
		t.Error("the caller's copy was not erased")
	}
	if got := s.Reveal(); len(got) != 3 || got[2] != 3 || s.Len() != 3 {
		t.Errorf("holds %v", got)
	}
}

func TestEraseErases(t *testing.T) {
	s := New([]byte{1, 2, 3})
	live := s.Reveal()
	s.Erase()
	s.Erase()
	if live[0]|live[1]|live[2] != 0 || s.Len() != 0 {
		t.Error("contents outlive Erase")
	}
	var none *Bytes
	none.Erase()
}

func TestEqual(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{{"", "", true}, {"a", "a", true}, {"a", "b", false}, {"a", "ab", false}, {"ab", "aa", false}} {
		if New([]byte(c.a)).Equal(New([]byte(c.b))) != c.want {
			t.Errorf("%q and %q: not %v", c.a, c.b, c.want)
		}
	}
}

func TestRandomDiffers(t *testing.T) {
	if a, b := Random(32), Random(32); a.Len() != 32 || a.Equal(b) {
		t.Error("two draws are the same")
	}
}
