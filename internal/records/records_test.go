package records

import "testing"

var states = []State{Collecting, Admitted, Executing, Held, Published, Confirmed, Denied, Failed}

// The table of legal moves, written out.
func TestCanFollow(t *testing.T) {
	legal := map[State][]State{
		Collecting: {Admitted, Executing, Held, Published, Confirmed, Denied, Failed},
		Admitted:   {Executing, Held, Published, Confirmed, Denied, Failed},
		Executing:  {Admitted, Held, Published, Confirmed, Denied, Failed},
		Held:       {Admitted, Published, Confirmed, Denied, Failed},
		Published:  {Confirmed},
	}
	for _, from := range states {
		allowed := map[State]bool{from: true}
		for _, to := range legal[from] {
			allowed[to] = true
		}
		for _, to := range states {
			if CanFollow(from, to) != allowed[to] {
				t.Errorf("%s to %s: %v", from, to, CanFollow(from, to))
			}
		}
		if CanFollow(from, "nonsense") || CanFollow("nonsense", from) {
			t.Errorf("%s: an unknown state is let in", from)
		}
		if from.Terminal() != (len(legal[from]) == 0) {
			t.Errorf("%s: terminal is %v", from, from.Terminal())
		}
	}
}

func TestHashEventBindsEveryField(t *testing.T) {
	base := HashEvent(Event{Sequence: 1, Unix: 2, Kind: "k", Text: "t"})
	for name, e := range map[string]Event{
		"sequence": {Sequence: 2, Unix: 2, Kind: "k", Text: "t"}, "time": {Sequence: 1, Unix: 3, Kind: "k", Text: "t"},
		"kind": {Sequence: 1, Unix: 2, Kind: "kt", Text: ""}, "text": {Sequence: 1, Unix: 2, Kind: "k", Text: "u"},
		"intent": {Sequence: 1, Unix: 2, Kind: "k", Text: "t", Intent: ID{1}}, "previous": {Sequence: 1, Unix: 2, Kind: "k", Text: "t", Previous: [32]byte{1}},
	} {
		if HashEvent(e) == base {
			t.Errorf("%s is not hashed", name)
		}
	}
}
