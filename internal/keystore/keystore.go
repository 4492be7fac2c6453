// Package keystore is a node's local witness store: sealed shares that stay, one-time material that is taken once, and
// markers that are burned once. It is one bbolt file.
//
// Every value is sealed with AES-256-GCM under a random data key; the additional data names cluster, node, kind, key,
// epoch and name, so that a value moved to another place does not open. The data key is wrapped under a key derived from a
// passphrase file by Argon2id. Every change is on disk before the call returns. One process at a time holds the file.
package keystore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bberrors "go.etcd.io/bbolt/errors"

	"chancery.dev/internal/secret"
)

// Kind says what a value is, and so how it may be used.
type Kind uint8

// The kinds.
const (
	KindShare        Kind = 1 // an active key share
	KindPendingShare Kind = 2 // a share that has not passed its test signature
	KindNonce        Kind = 3 // one-time nonces
	KindHeldPartial  Kind = 4 // partial signatures that wait for their release
	KindPermit       Kind = 5 // markers of used permits
	KindPresignature Kind = 6 // presignatures, each used once
)

// Ref names a value.
type Ref struct {
	Kind  Kind
	Key   [32]byte // key id
	Epoch uint64
	Name  string
}

// MaxName and MaxValue bound a name and a value in bytes.
const (
	MaxName  = 320
	MaxValue = 1 << 20
)

// encode is the database key: fixed width, then the name.
func (r Ref) encode() ([]byte, error) {
	if r.Kind == 0 || r.Name == "" || len(r.Name) > MaxName {
		return nil, &Error{CodeInvalid, errors.New("reference has no kind or name, or its name is too long")}
	}
	out := append([]byte{byte(r.Kind)}, r.Key[:]...)
	out = binary.BigEndian.AppendUint64(out, r.Epoch)
	return append(out, r.Name...), nil
}

// Reason codes.
const (
	CodePassphrase = "KEYSTORE_PASSPHRASE"
	CodeCorrupt    = "KEYSTORE_CORRUPT"
	CodeMode       = "KEYSTORE_MODE"
	CodeBusy       = "KEYSTORE_BUSY"
	CodeConsumed   = "KEYSTORE_CONSUMED"
	CodeBurned     = "KEYSTORE_BURNED"
	CodeExists     = "KEYSTORE_EXISTS"
	CodeNotFound   = "KEYSTORE_NOT_FOUND"
	CodeInvalid    = "KEYSTORE_INVALID"
	CodeIO         = "KEYSTORE_IO"
)

// Error is a refusal with a reason code.
type Error struct {
	Code string
	Err  error
}

// Error is the code and the cause.
func (e *Error) Error() string { return e.Code + ": " + e.Err.Error() }

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// ReasonCode is the code.
func (e *Error) ReasonCode() string { return e.Code }

// Is compares codes, so that errors.Is(err, ErrConsumed) holds for any consumed value.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Errors to compare with.
var (
	ErrNotFound = &Error{CodeNotFound, errors.New("no such value")}
	ErrConsumed = &Error{CodeConsumed, errors.New("value was taken before")}
	ErrBurned   = &Error{CodeBurned, errors.New("marker was burned before")}
	ErrExists   = &Error{CodeExists, errors.New("value is there already")}
)

// Options say which store to open.
type Options struct {
	Path           string   // of the file; its directory must be 0700
	PassphraseFile string   // 0600
	Cluster        [32]byte // sealed into every value
	Node           string   // sealed into every value
	Create         bool     // make the store when it is not there
}

// Store is an open keystore. It is safe for use by many goroutines.
type Store struct {
	db         *bbolt.DB
	seal       *sealer
	generation uint64
}

var (
	bucketMeta     = []byte("meta")
	bucketValues   = []byte("values")
	bucketConsumed = []byte("consumed")
	keyHeader      = []byte("header")
	keyGeneration  = []byte("generation")
)

// lockTimeout is how long Open waits for another process to let go of the file.
const lockTimeout = 500 * time.Millisecond

// Open opens the store, or makes it when Create is set. Every opening raises the generation, durably.
func Open(ctx context.Context, o Options) (s *Store, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	passphrase, err := readPassphrase(o.PassphraseFile)
	if err != nil {
		return nil, err
	}
	defer passphrase.Erase()
	if err := checkFiles(o); err != nil {
		return nil, err
	}
	db, err := openDB(o.Path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	s = &Store{db: db}
	err = guard(func() error { return db.Update(func(tx *bbolt.Tx) error { return s.unlock(tx, o, passphrase) }) })
	return s, err
}

// guard turns bbolt's panics on damaged pages into errors. A file that was cut short faults where it is mapped beyond its
// end, which would end the process if it were not a panic.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = &Error{CodeCorrupt, fmt.Errorf("file is damaged: %v", r)}
		}
	}()
	return f()
}

func openDB(path string) (*bbolt.DB, error) {
	var db *bbolt.DB
	err := guard(func() (err error) {
		db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, OpenFile: func(name string, flag int, mode fs.FileMode) (*os.File, error) {
			return os.OpenFile(name, flag|syscall.O_NOFOLLOW, mode)
		}})
		return err
	})
	var coded *Error
	switch {
	case err == nil, errors.As(err, &coded):
		return db, err
	case errors.Is(err, bberrors.ErrTimeout):
		return nil, &Error{CodeBusy, errors.New("another process holds the keystore")}
	case errors.Is(err, bberrors.ErrInvalid), errors.Is(err, bberrors.ErrChecksum), errors.Is(err, bberrors.ErrVersionMismatch):
		return nil, &Error{CodeCorrupt, err}
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ELOOP):
		return nil, &Error{CodeMode, err}
	}
	return nil, &Error{CodeIO, err}
}

// checkFiles refuses a store that others can read or write, and one that is not there when it must be.
func checkFiles(o Options) error {
	dir := filepath.Dir(o.Path)
	if err := checkMode(dir, 0o077, true); err != nil {
		return err
	}
	_, err := os.Lstat(o.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && o.Create:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return &Error{CodeNotFound, errors.New("keystore is not there; it is made once, at the node's first start")}
	}
	return checkMode(o.Path, 0o077, false)
}

// checkMode refuses symlinks, other owners, and permission bits in forbidden.
func checkMode(path string, forbidden fs.FileMode, dir bool) error {
	info, err := os.Lstat(path)
	if err != nil {
		return &Error{CodeIO, err}
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return &Error{CodeMode, fmt.Errorf("%s is a symbolic link", filepath.Base(path))}
	case info.IsDir() != dir || !dir && !info.Mode().IsRegular():
		return &Error{CodeMode, fmt.Errorf("%s is not what it should be", filepath.Base(path))}
	case info.Mode().Perm()&forbidden != 0:
		return &Error{CodeMode, fmt.Errorf("%s has mode %04o: others may use it", filepath.Base(path), info.Mode().Perm())}
	case ok && int(stat.Uid) != os.Geteuid():
		return &Error{CodeMode, fmt.Errorf("%s belongs to another user", filepath.Base(path))}
	}
	return nil
}

// Bounds of a passphrase in bytes, after a trailing newline was cut off.
const (
	minPassphrase = 12
	maxPassphrase = 1024
)

func readPassphrase(path string) (*secret.Bytes, error) {
	if err := checkMode(path, 0o077, false); err != nil {
		return nil, fmt.Errorf("passphrase file: %w", err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, &Error{CodeIO, fmt.Errorf("passphrase file: %w", err)}
	}
	defer secret.Wipe(raw)
	end := len(raw)
	for end > 0 && (raw[end-1] == '\n' || raw[end-1] == '\r') {
		end--
	}
	if end < minPassphrase || end > maxPassphrase {
		return nil, &Error{CodePassphrase, fmt.Errorf("passphrase must have %d to %d bytes", minPassphrase, maxPassphrase)}
	}
	return secret.New(append([]byte(nil), raw[:end]...)), nil
}

// unlock reads or makes the header, opens the data key and raises the generation.
func (s *Store) unlock(tx *bbolt.Tx, o Options, passphrase *secret.Bytes) error {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		if !o.Create {
			return &Error{CodeCorrupt, errors.New("file has no header")}
		}
		return s.initialise(tx, o, passphrase)
	}
	var err error
	if s.seal, err = openHeader(meta.Get(keyHeader), o, passphrase); err != nil {
		return err
	}
	if tx.Bucket(bucketValues) == nil || tx.Bucket(bucketConsumed) == nil || len(meta.Get(keyGeneration)) != 8 {
		return &Error{CodeCorrupt, errors.New("file lacks a part")}
	}
	s.generation = binary.BigEndian.Uint64(meta.Get(keyGeneration)) + 1
	return meta.Put(keyGeneration, binary.BigEndian.AppendUint64(nil, s.generation))
}

func (s *Store) initialise(tx *bbolt.Tx, o Options, passphrase *secret.Bytes) error {
	for _, name := range [][]byte{bucketMeta, bucketValues, bucketConsumed} {
		if _, err := tx.CreateBucket(name); err != nil {
			return &Error{CodeIO, err}
		}
	}
	seal, header, err := newHeader(o, passphrase)
	if err != nil {
		return err
	}
	s.seal, s.generation = seal, 1
	meta := tx.Bucket(bucketMeta)
	return errors.Join(meta.Put(keyHeader, header), meta.Put(keyGeneration, binary.BigEndian.AppendUint64(nil, 1)))
}

// Close erases the data key and lets go of the file.
func (s *Store) Close() error {
	s.seal.key.Erase()
	return s.db.Close()
}

// Generation counts the openings of this store.
func (s *Store) Generation() uint64 { return s.generation }
