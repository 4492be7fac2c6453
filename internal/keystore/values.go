package keystore

import (
	"encoding/binary"
	"errors"

	"go.etcd.io/bbolt"

	"chancery.dev/internal/secret"
)

// Put stores a new value. It is on disk when Put returns. A value that is there, or was taken before, is not replaced.
func (s *Store) Put(ref Ref, value *secret.Bytes) error {
	return s.update(ref, func(tx *bbolt.Tx, place []byte) error {
		if tx.Bucket(bucketConsumed).Get(place) != nil {
			return ErrConsumed
		}
		if tx.Bucket(bucketValues).Get(place) != nil {
			return ErrExists
		}
		if value.Len() == 0 || value.Len() > MaxValue {
			return &Error{CodeInvalid, errors.New("value is empty or too large")}
		}
		return tx.Bucket(bucketValues).Put(place, s.seal.close(place, value))
	})
}

// Get opens a value and leaves it where it is. The caller erases what it got.
func (s *Store) Get(ref Ref) (*secret.Bytes, error) {
	place, err := ref.encode()
	if err != nil {
		return nil, err
	}
	var out *secret.Bytes
	err = coded(guard(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			out, err = s.get(tx, place)
			return err
		})
	}))
	return out, err
}

func (s *Store) get(tx *bbolt.Tx, place []byte) (*secret.Bytes, error) {
	if tx.Bucket(bucketConsumed).Get(place) != nil {
		return nil, ErrConsumed
	}
	sealed := tx.Bucket(bucketValues).Get(place)
	if sealed == nil {
		return nil, ErrNotFound
	}
	return s.seal.open(place, sealed)
}

// Take removes a value and marks it consumed, durably, and only then returns it. It can be taken once; after a crash in
// between it is gone, never back.
func (s *Store) Take(ref Ref) (*secret.Bytes, error) {
	var out *secret.Bytes
	err := s.update(ref, func(tx *bbolt.Tx, place []byte) (err error) {
		if out, err = s.get(tx, place); err != nil {
			return err
		}
		return errors.Join(tx.Bucket(bucketValues).Delete(place), s.mark(tx, place))
	})
	if err != nil {
		out.Erase()
		return nil, err
	}
	return out, nil
}

// mark writes the consumed marker, with the generation of the store that consumed.
func (s *Store) mark(tx *bbolt.Tx, place []byte) error {
	return tx.Bucket(bucketConsumed).Put(place, binary.BigEndian.AppendUint64(nil, s.generation))
}

// Burn writes a one-use marker. It is on disk when Burn returns; the second Burn is ErrBurned.
func (s *Store) Burn(ref Ref) error {
	return s.update(ref, func(tx *bbolt.Tx, place []byte) error {
		if tx.Bucket(bucketConsumed).Get(place) != nil {
			return ErrBurned
		}
		return s.mark(tx, place)
	})
}

// Delete removes a value that stays only for a while. What is not there is no error.
func (s *Store) Delete(ref Ref) error {
	return s.update(ref, func(tx *bbolt.Tx, place []byte) error { return tx.Bucket(bucketValues).Delete(place) })
}

// List names the values of one kind and key.
func (s *Store) List(kind Kind, key [32]byte) ([]Ref, error) {
	prefix := append([]byte{byte(kind)}, key[:]...)
	var out []Ref
	err := coded(guard(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			c := tx.Bucket(bucketValues).Cursor()
			for place, _ := c.Seek(prefix); place != nil && string(place[:min(len(place), len(prefix))]) == string(prefix); place, _ = c.Next() {
				if len(place) < len(prefix)+8 {
					return &Error{CodeCorrupt, errors.New("reference is cut short")}
				}
				out = append(out, Ref{kind, key, binary.BigEndian.Uint64(place[len(prefix):]), string(place[len(prefix)+8:])})
			}
			return nil
		})
	}))
	return out, err
}

func (s *Store) update(ref Ref, change func(tx *bbolt.Tx, place []byte) error) error {
	place, err := ref.encode()
	if err != nil {
		return err
	}
	return coded(guard(func() error { return s.db.Update(func(tx *bbolt.Tx) error { return change(tx, place) }) }))
}

// coded gives every error a reason code.
func coded(err error) error {
	var e *Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return &Error{CodeIO, err}
}
