package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"chancery.dev/internal/records"
)

func open(t *testing.T) (*Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "records.db")
	return reopen(t, path), path
}

func reopen(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func sample(n byte) records.Intent {
	return records.Intent{ID: records.ID{n}, Act: "bitcoin.spend", Initiator: "ann", Idempotency: fmt.Sprint("key ", n), Canonical: []byte("{}"), State: records.Collecting,
		Coordinator: true, Timeline: []records.Mark{{State: records.Collecting, UnixMilli: 5}}, CreatedUnix: int64(n), UpdatedUnix: int64(n), Raw: []byte{1, n}, Result: "r"}
}

func TestFileIsPrivate(t *testing.T) {
	_, path := open(t)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := Open(t.Context(), filepath.Join(t.TempDir(), "no", "such", "folder.db")); err == nil {
		t.Error("opened in a folder that is not there")
	}
	garbage := filepath.Join(t.TempDir(), "garbage.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), garbage); err == nil {
		t.Error("a file that is no database was opened")
	}
}

func TestCreateIsIdempotent(t *testing.T) {
	s, path := open(t)
	ctx := t.Context()
	if _, created, err := s.Create(ctx, sample(1)); !created || err != nil {
		t.Fatal(created, err)
	}
	got, created, err := s.Create(ctx, sample(1))
	if created || err != nil || got.ID != (records.ID{1}) {
		t.Errorf("again: %v %v", created, err)
	}
	other := sample(2)
	other.Idempotency = sample(1).Idempotency
	if got, _, err := s.Create(ctx, other); !errors.Is(err, records.ErrConflict) || got.ID != (records.ID{1}) {
		t.Errorf("same key, other intent: %v %v", got.ID, err)
	}
	other.Initiator = "bob"
	if _, created, err := s.Create(ctx, other); !created || err != nil {
		t.Errorf("same key of another initiator: %v %v", created, err)
	}
	follower := sample(3)
	follower.Coordinator, follower.Idempotency = false, sample(1).Idempotency
	if _, created, err := s.Create(ctx, follower); !created || err != nil {
		t.Errorf("an intent that another node coordinates: %v %v", created, err)
	}
	if got, err := s.ByIdempotency(ctx, "ann", sample(1).Idempotency); err != nil || got.ID != (records.ID{1}) {
		t.Errorf("by key: %v %v", got.ID, err)
	}
	if _, err := s.ByIdempotency(ctx, "ann", "never"); !errors.Is(err, records.ErrNotFound) {
		t.Errorf("unknown key: %v", err)
	}
	s.Close()
	back, err := reopen(t, path).Get(ctx, records.ID{1})
	if err != nil || !reflect.DeepEqual(back, sample(1)) {
		t.Errorf("after reopening: %+v, %v", back, err)
	}
}

func TestUpdateKeepsToTheRoad(t *testing.T) {
	s, _ := open(t)
	ctx := t.Context()
	if _, _, err := s.Create(ctx, sample(1)); err != nil {
		t.Fatal(err)
	}
	to := func(state records.State) error {
		_, err := s.Update(ctx, records.ID{1}, func(in *records.Intent) { in.State = state; in.Confirmations++ })
		return err
	}
	for _, state := range []records.State{records.Admitted, records.Executing, records.Admitted, records.Executing, records.Held, records.Published, records.Confirmed} {
		if err := to(state); err != nil {
			t.Fatalf("to %s: %v", state, err)
		}
	}
	if err := to(records.Collecting); !errors.Is(err, records.ErrTransition) {
		t.Errorf("back from the end: %v", err)
	}
	if in, err := s.Get(ctx, records.ID{1}); err != nil || in.State != records.Confirmed || in.Confirmations != 7 {
		t.Errorf("a refused change left its marks: %+v", in)
	}
	if _, err := s.Update(ctx, records.ID{9}, func(*records.Intent) {}); !errors.Is(err, records.ErrNotFound) {
		t.Errorf("unknown record: %v", err)
	}
	if _, err := s.Get(ctx, records.ID{9}); !errors.Is(err, records.ErrNotFound) {
		t.Errorf("unknown record: %v", err)
	}
}

// Identity, canonical bytes and initiator are written once; Update cannot change them.
func TestUpdateCannotRewriteTheIntent(t *testing.T) {
	s, _ := open(t)
	if _, _, err := s.Create(t.Context(), sample(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(t.Context(), records.ID{1}, func(in *records.Intent) {
		in.ID[0], in.Canonical, in.Act, in.Initiator, in.Idempotency = 8, []byte("other"), "other", "other", "other"
	}); err != nil {
		t.Fatal(err)
	}
	if in, err := s.Get(t.Context(), records.ID{1}); err != nil || !reflect.DeepEqual(in, sample(1)) {
		t.Errorf("rewritten: %+v, %v", in, err)
	}
}

func TestList(t *testing.T) {
	s, _ := open(t)
	for n := range byte(5) {
		in := sample(n + 1)
		if n == 0 {
			in.Act = "key.generate"
		}
		if _, _, err := s.Create(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		act   string
		limit int
		want  []byte
	}{{"", 100, []byte{5, 4, 3, 2, 1}}, {"bitcoin.spend", 2, []byte{5, 4}}, {"key.generate", 10, []byte{1}}, {"", 0, []byte{5}}, {"", -1, []byte{5}}, {"other", 9, nil}} {
		rows, err := s.List(t.Context(), c.act, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for _, in := range rows {
			got = append(got, in.ID[0])
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q, %d: %v, want %v", c.act, c.limit, got, c.want)
		}
	}
}

func TestOneBallotForEachVoterAndQuestion(t *testing.T) {
	s, path := open(t)
	ctx := t.Context()
	if _, _, err := s.Create(ctx, sample(1)); err != nil {
		t.Fatal(err)
	}
	b := records.Ballot{Intent: records.ID{1}, Voter: 2, Question: "admit", Bytes: []byte("yes")}
	no := b
	no.Bytes = []byte("no")
	for _, step := range []struct {
		b    records.Ballot
		want error
	}{{b, nil}, {b, nil}, {no, records.ErrVoted}} {
		if err := s.PutBallot(ctx, step.b); !errors.Is(err, step.want) {
			t.Errorf("%s: %v", step.b.Bytes, err)
		}
	}
	s.Close()
	s = reopen(t, path)
	if err := s.PutBallot(ctx, no); !errors.Is(err, records.ErrVoted) {
		t.Errorf("after a restart the node votes twice: %v", err)
	}
	other := no
	other.Voter = 3
	if err := s.PutBallot(ctx, other); err != nil {
		t.Error(err)
	}
	got, err := s.Ballots(ctx, records.ID{1})
	if err != nil || !reflect.DeepEqual(got, []records.Ballot{b, other}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// Of two votes that race, one is stored.
func TestRacingBallots(t *testing.T) {
	s, _ := open(t)
	if _, _, err := s.Create(t.Context(), sample(1)); err != nil {
		t.Fatal(err)
	}
	errs := make([]error, 16)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			errs[i] = s.PutBallot(t.Context(), records.Ballot{Intent: records.ID{1}, Voter: 1, Question: "admit", Bytes: []byte{byte(i)}})
		})
	}
	wg.Wait()
	stored := 0
	for _, err := range errs {
		if err == nil {
			stored++
		} else if !errors.Is(err, records.ErrVoted) {
			t.Error(err)
		}
	}
	if stored != 1 {
		t.Errorf("%d votes were stored", stored)
	}
}

func TestChainsOnlyGrow(t *testing.T) {
	s, _ := open(t)
	ctx := t.Context()
	if _, _, err := s.Create(ctx, sample(1)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		length int
		bytes  string
	}{{1, "one"}, {3, "three"}, {2, "two"}, {3, "another three"}} {
		if err := s.PutChain(ctx, records.ID{1}, 4, c.length, []byte(c.bytes)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Chains(ctx, records.ID{1})
	if err != nil || len(got) != 1 || string(got[4]) != "three" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestNextIndexNeverRepeats(t *testing.T) {
	s, path := open(t)
	seen := make([]uint32, 20)
	var wg sync.WaitGroup
	for i := range seen {
		wg.Go(func() {
			n, err := s.NextIndex(t.Context(), "receive")
			if err != nil {
				t.Error(err)
			}
			seen[i] = n
		})
	}
	wg.Wait()
	slices.Sort(seen)
	for i, n := range seen {
		if n != uint32(i) {
			t.Fatalf("numbers handed out: %v", seen)
		}
	}
	s.Close()
	if n, err := reopen(t, path).NextIndex(t.Context(), "receive"); err != nil || n != 20 {
		t.Errorf("after a restart: %d, %v", n, err)
	}
}

func TestAuditLogShowsTampering(t *testing.T) {
	for name, c := range map[string]struct {
		sql  string
		good bool
	}{
		"untouched":     {"SELECT 1", true},
		"text changed":  {"UPDATE audit_log SET text = 'x' WHERE sequence = 2", false},
		"time changed":  {"UPDATE audit_log SET time = 1 WHERE sequence = 2", false},
		"one left out":  {"DELETE FROM audit_log WHERE sequence = 2", false},
		"first gone":    {"DELETE FROM audit_log WHERE sequence = 1", false},
		"hash replaced": {"UPDATE audit_log SET hash = zeroblob(32) WHERE sequence = 3", false},
		"hash cut":      {"UPDATE audit_log SET hash = zeroblob(3) WHERE sequence = 3", false},
	} {
		s, _ := open(t)
		for i := range 3 {
			if err := s.Audit(t.Context(), int64(100+i), "kind", records.ID{byte(i)}, fmt.Sprint("text ", i)); err != nil {
				t.Fatal(err)
			}
		}
		// What the schema lets nobody do through SQL is done all the same, as somebody with the file could.
		if !c.good {
			for _, trigger := range triggers(t, s) {
				if _, err := s.db.ExecContext(t.Context(), "DROP TRIGGER "+trigger); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := s.db.ExecContext(t.Context(), c.sql); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		n, err := s.VerifyAudit(t.Context())
		if (err == nil) != c.good || c.good && n != 3 {
			t.Errorf("%s: %d entries, %v", name, n, err)
		}
	}
}

func triggers(t *testing.T, s *Store) []string {
	t.Helper()
	rows, err := s.db.QueryContext(t.Context(), "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_log'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		out = append(out, name)
	}
	return out
}

func TestAuditLogIsAppendOnly(t *testing.T) {
	s, _ := open(t)
	if err := s.Audit(t.Context(), 1, "kind", records.ID{}, "text"); err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{"UPDATE audit_log SET text = 'x'", "DELETE FROM audit_log"} {
		if _, err := s.db.ExecContext(t.Context(), q); err == nil {
			t.Errorf("%s: done", q)
		}
	}
}
