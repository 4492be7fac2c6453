// Package sqlite keeps records in one SQLite file (modernc.org/sqlite, pure Go): write-ahead log, full synchronous, one
// writer. Every method is one transaction: it either happened and is on disk, or it did not happen.
package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	modernc "modernc.org/sqlite"

	"chancery.dev/internal/records"
)

//go:embed schema.sql
var schema string

// MaxList bounds how many rows List returns.
const MaxList = 500

// Store is an open file. It is safe for use by many goroutines.
type Store struct{ db *sql.DB }

type connector struct {
	driver driver.Driver
	dsn    string
}

func (c connector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }
func (c connector) Driver() driver.Driver                        { return c.driver }

// Open opens or makes the file, with mode 0600, and brings the schema up.
func Open(ctx context.Context, path string) (*Store, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open records: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open records: %w", err)
	}
	dsn := "file:" + path + "?_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=busy_timeout(5000)&_pragma=foreign_keys(on)&_txlock=immediate"
	db := sql.OpenDB(connector{&modernc.Driver{}, dsn})
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("records schema: %w", err), db.Close())
	}
	return &Store{db}, nil
}

// Close closes the file.
func (s *Store) Close() error { return s.db.Close() }

// Create stores a new intent. Under an idempotency key that the initiator used before it returns the stored record and
// false when it is the same intent, and ErrConflict when it is another.
func (s *Store) Create(ctx context.Context, in records.Intent) (stored records.Intent, created bool, err error) {
	err = s.inTx(ctx, func(tx *sql.Tx) error {
		have, err := scanIntent(tx.QueryRowContext(ctx, selectIntent+" WHERE id = ? OR (coordinator AND ? AND initiator = ? AND idempotency = ?)",
			in.ID[:], in.Coordinator, in.Initiator, in.Idempotency))
		switch {
		case err == nil && have.ID == in.ID:
			stored = have
			return nil
		case err == nil:
			stored = have
			return records.ErrConflict
		case !errors.Is(err, records.ErrNotFound):
			return err
		}
		stored, created = in, true
		_, err = tx.ExecContext(ctx, `INSERT INTO intents (id, act, initiator, idempotency, canonical, state, reason, coordinator, attempt, result, raw, confirmations, timeline, created, updated)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, in.ID[:], in.Act, in.Initiator, in.Idempotency, in.Canonical, in.State, in.Reason,
			in.Coordinator, in.Attempt, in.Result, in.Raw, in.Confirmations, encodeTimeline(in.Timeline), in.CreatedUnix, in.UpdatedUnix)
		return err
	})
	return stored, created, err
}

// ByIdempotency finds the intent that an initiator asked this node for under a key.
func (s *Store) ByIdempotency(ctx context.Context, initiator, key string) (records.Intent, error) {
	return scanIntent(s.db.QueryRowContext(ctx, selectIntent+" WHERE coordinator AND initiator = ? AND idempotency = ?", initiator, key))
}

// Update changes one record through a function, and refuses a change of state that the road does not have.
func (s *Store) Update(ctx context.Context, id records.ID, change func(*records.Intent)) (records.Intent, error) {
	var out records.Intent
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		have, err := scanIntent(tx.QueryRowContext(ctx, selectIntent+" WHERE id = ?", id[:]))
		if err != nil {
			return err
		}
		out = have
		change(&out)
		if !records.CanFollow(have.State, out.State) {
			return records.TransitionError(have.State, out.State)
		}
		_, err = tx.ExecContext(ctx, `UPDATE intents SET state = ?, reason = ?, attempt = ?, result = ?, raw = ?, confirmations = ?, timeline = ?, updated = ? WHERE id = ?`,
			out.State, out.Reason, out.Attempt, out.Result, out.Raw, out.Confirmations, encodeTimeline(out.Timeline), out.UpdatedUnix, id[:])
		return err
	})
	return out, err
}

// Get is one record, or ErrNotFound.
func (s *Store) Get(ctx context.Context, id records.ID) (records.Intent, error) {
	return scanIntent(s.db.QueryRowContext(ctx, selectIntent+" WHERE id = ?", id[:]))
}

// Asked is every intent that an initiator asked any node for under a key, as far as this node knows; what was asked here
// comes first.
func (s *Store) Asked(ctx context.Context, initiator, key string) ([]records.Intent, error) {
	return s.query(ctx, selectIntent+" WHERE initiator = ? AND idempotency = ? ORDER BY coordinator DESC, created, id LIMIT ?", initiator, key, MaxList)
}

// List is the newest records of an act, newest first; every act when act is empty.
func (s *Store) List(ctx context.Context, act string, limit int) ([]records.Intent, error) {
	limit = min(max(limit, 1), MaxList)
	return s.query(ctx, selectIntent+" WHERE ? = '' OR act = ? ORDER BY created DESC, id LIMIT ?", act, act, limit)
}

func (s *Store) query(ctx context.Context, query string, args ...any) ([]records.Intent, error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list records: %w", err)
	}
	defer rows.Close()
	var out []records.Intent
	for rows.Next() {
		in, err := scanIntent(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, in)
	}
	return out, rows.Err()
}

// PutBallot stores a vote once. The same bytes again are fine; other bytes of the same voter on the same question are
// ErrVoted: this is what keeps a node from voting twice, across restarts too.
func (s *Store) PutBallot(ctx context.Context, b records.Ballot) error {
	return s.inTx(ctx, func(tx *sql.Tx) error {
		var have []byte
		err := tx.QueryRowContext(ctx, "SELECT bytes FROM ballots WHERE intent = ? AND voter = ? AND question = ?", b.Intent[:], b.Voter, b.Question).Scan(&have)
		if errors.Is(err, sql.ErrNoRows) {
			_, err = tx.ExecContext(ctx, "INSERT INTO ballots (intent, voter, question, bytes) VALUES (?, ?, ?, ?)", b.Intent[:], b.Voter, b.Question, b.Bytes)
			return err
		}
		if err == nil && string(have) != string(b.Bytes) {
			return records.ErrVoted
		}
		return err
	})
}

// Ballots are the stored votes on an intent.
func (s *Store) Ballots(ctx context.Context, id records.ID) ([]records.Ballot, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT voter, question, bytes FROM ballots WHERE intent = ? ORDER BY voter, question", id[:])
	if err != nil {
		return nil, fmt.Errorf("read ballots: %w", err)
	}
	defer rows.Close()
	var out []records.Ballot
	for rows.Next() {
		b := records.Ballot{Intent: id}
		if err := rows.Scan(&b.Voter, &b.Question, &b.Bytes); err != nil {
			return nil, fmt.Errorf("read ballots: %w", err)
		}
		out = append(out, b)
	}
	return out, rows.Err()
}

// PutChain stores the receipts of one node about one intent. A shorter chain never replaces a longer one.
func (s *Store) PutChain(ctx context.Context, id records.ID, node uint16, length int, chain []byte) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO receipts (intent, node, length, chain) VALUES (?, ?, ?, ?)
		ON CONFLICT (intent, node) DO UPDATE SET length = excluded.length, chain = excluded.chain WHERE excluded.length > receipts.length`, id[:], node, length, chain)
	if err != nil {
		return fmt.Errorf("store receipts: %w", err)
	}
	return nil
}

// Chains are the stored receipt chains about an intent, by node.
func (s *Store) Chains(ctx context.Context, id records.ID) (map[uint16][]byte, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT node, chain FROM receipts WHERE intent = ?", id[:])
	if err != nil {
		return nil, fmt.Errorf("read receipts: %w", err)
	}
	defer rows.Close()
	out := map[uint16][]byte{}
	for rows.Next() {
		var node uint16
		var chain []byte
		if err := rows.Scan(&node, &chain); err != nil {
			return nil, fmt.Errorf("read receipts: %w", err)
		}
		out[node] = chain
	}
	return out, rows.Err()
}

// NextIndex hands out the next unused number of a named counter, from 0, each number once.
func (s *Store) NextIndex(ctx context.Context, name string) (uint32, error) {
	var n uint32
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `INSERT INTO counters (name, next) VALUES (?, 1)
			ON CONFLICT (name) DO UPDATE SET next = next + 1 RETURNING next - 1`, name).Scan(&n)
	})
	return n, err
}

// Audit appends to the hash-linked log.
func (s *Store) Audit(ctx context.Context, unix int64, kind string, id records.ID, text string) error {
	return s.inTx(ctx, func(tx *sql.Tx) error {
		e := records.Event{Sequence: 1, Unix: unix, Kind: kind, Intent: id, Text: text}
		var previous []byte
		err := tx.QueryRowContext(ctx, "SELECT sequence + 1, hash FROM audit_log ORDER BY sequence DESC LIMIT 1").Scan(&e.Sequence, &previous)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		copy(e.Previous[:], previous)
		e.Hash = records.HashEvent(e)
		_, err = tx.ExecContext(ctx, "INSERT INTO audit_log (sequence, time, kind, intent, text, previous, hash) VALUES (?, ?, ?, ?, ?, ?, ?)",
			e.Sequence, e.Unix, e.Kind, e.Intent[:], e.Text, e.Previous[:], e.Hash[:])
		return err
	})
}

// VerifyAudit walks the whole log and fails at the first entry that does not link.
func (s *Store) VerifyAudit(ctx context.Context) (entries int64, err error) {
	rows, err := s.db.QueryContext(ctx, "SELECT sequence, time, kind, intent, text, previous, hash FROM audit_log ORDER BY sequence")
	if err != nil {
		return 0, fmt.Errorf("read audit log: %w", err)
	}
	defer rows.Close()
	var last [32]byte
	for rows.Next() {
		var e records.Event
		var id, previous, hash []byte
		if err := rows.Scan(&e.Sequence, &e.Unix, &e.Kind, &id, &e.Text, &previous, &hash); err != nil {
			return entries, fmt.Errorf("read audit log: %w", err)
		}
		copy(e.Intent[:], id)
		copy(e.Previous[:], previous)
		if e.Sequence != entries+1 || e.Previous != last || records.HashEvent(e) != [32]byte(append(hash, make([]byte, 32)...)[:32]) {
			return entries, fmt.Errorf("audit log: entry %d does not link to the one before it", entries+1)
		}
		last = records.HashEvent(e)
		entries++
	}
	return entries, rows.Err()
}

const selectIntent = `SELECT id, act, initiator, idempotency, canonical, state, reason, coordinator, attempt, result, raw, confirmations, timeline, created, updated FROM intents`

type row interface{ Scan(dest ...any) error }

func scanIntent(r row) (records.Intent, error) {
	var in records.Intent
	var id []byte
	var timeline string
	err := r.Scan(&id, &in.Act, &in.Initiator, &in.Idempotency, &in.Canonical, &in.State, &in.Reason, &in.Coordinator, &in.Attempt,
		&in.Result, &in.Raw, &in.Confirmations, &timeline, &in.CreatedUnix, &in.UpdatedUnix)
	if errors.Is(err, sql.ErrNoRows) {
		return in, records.ErrNotFound
	}
	if err != nil {
		return in, fmt.Errorf("read record: %w", err)
	}
	copy(in.ID[:], id)
	if err := json.Unmarshal([]byte(timeline), &in.Timeline); err != nil {
		return in, fmt.Errorf("read record: timeline: %w", err)
	}
	return in, nil
}

func encodeTimeline(marks []records.Mark) string {
	out, err := json.Marshal(marks[max(0, len(marks)-records.MaxMarks):])
	if err != nil { // a slice of strings and numbers always encodes
		return "[]"
	}
	return string(out)
}

func (s *Store) inTx(ctx context.Context, f func(*sql.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("records: begin: %w", err)
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("records: commit: %w", err)
	}
	return nil
}
