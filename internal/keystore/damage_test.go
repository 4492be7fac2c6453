package keystore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"testing"

	"go.etcd.io/bbolt"

	"chancery.dev/internal/secret"
)

// raw changes the values bucket behind the store's back.
func raw(t *testing.T, s *Store, change func(b *bbolt.Bucket) error) {
	t.Helper()
	must(t, s.db.Update(func(tx *bbolt.Tx) error { return change(tx.Bucket(bucketValues)) }))
}

// A sealed value opens at its own place and nowhere else, and only whole.
func TestMovedOrChangedValuesDoNotOpen(t *testing.T) {
	s := open(t, fresh(t))
	home := nonceRef("home")
	place, err := home.encode()
	must(t, err)
	must(t, s.Put(home, value("at home")))
	var sealed []byte
	must(t, s.db.View(func(tx *bbolt.Tx) error {
		sealed = append(sealed, tx.Bucket(bucketValues).Get(place)...)
		return nil
	}))
	for _, to := range []Ref{
		{home.Kind, home.Key, home.Epoch, "away"}, {home.Kind, home.Key, home.Epoch + 1, home.Name},
		{home.Kind, [32]byte{8}, home.Epoch, home.Name}, {KindShare, home.Key, home.Epoch, home.Name},
	} {
		other, err := to.encode()
		must(t, err)
		raw(t, s, func(b *bbolt.Bucket) error { return b.Put(other, sealed) })
		_, err = s.Get(to)
		refused(t, fmt.Sprintf("value moved to %v", to), err, CodeCorrupt)
		_, err = s.Take(to)
		refused(t, fmt.Sprintf("take of a value moved to %v", to), err, CodeCorrupt)
	}
	for cut := range len(sealed) {
		raw(t, s, func(b *bbolt.Bucket) error { return b.Put(place, sealed[:cut]) })
		_, err := s.Get(home)
		refused(t, fmt.Sprintf("value cut to %d bytes", cut), err, CodeCorrupt)
		changed := append([]byte(nil), sealed...)
		changed[cut] ^= 1
		_, err = s.seal.open(place, changed)
		refused(t, fmt.Sprintf("value changed in byte %d", cut), err, CodeCorrupt)
	}
	raw(t, s, func(b *bbolt.Bucket) error { return b.Put(place, append(sealed[:len(sealed):len(sealed)], 0)) })
	_, err = s.Get(home)
	refused(t, "value with a byte more", err, CodeCorrupt)
	raw(t, s, func(b *bbolt.Bucket) error { return b.Put(place, sealed) })
	got, err := s.Take(home) // refusals have consumed nothing
	holds(t, "value put back", got, err, "at home")
}

func TestSwappedValuesDoNotOpen(t *testing.T) {
	s := open(t, fresh(t))
	a, b := nonceRef("a"), nonceRef("b")
	must(t, s.Put(a, value("one")))
	must(t, s.Put(b, value("two")))
	raw(t, s, func(bucket *bbolt.Bucket) error {
		pa, _ := a.encode()
		pb, _ := b.encode()
		va, vb := bytes.Clone(bucket.Get(pa)), bytes.Clone(bucket.Get(pb))
		if err := bucket.Put(pa, vb); err != nil {
			return err
		}
		return bucket.Put(pb, va)
	})
	for _, r := range []Ref{a, b} {
		_, err := s.Take(r)
		refused(t, "swapped value", err, CodeCorrupt)
	}
}

// A header may not make guessing cheap, nor take all memory, and is read whole or not at all.
func TestHeaderIsChecked(t *testing.T) {
	o := Options{Node: "n1"}
	_, header, err := newHeader(o, value(testPassphrase))
	must(t, err)
	at := func(i int, v uint32) func([]byte) []byte {
		return func(b []byte) []byte { binary.BigEndian.PutUint32(b[i:], v); return b }
	}
	flip := func(i int) func([]byte) []byte { return func(b []byte) []byte { b[i] ^= 1; return b } }
	for _, c := range []struct {
		what, code string
		change     func([]byte) []byte
	}{
		{"unchanged", "", func(b []byte) []byte { return b }},
		{"none", CodeCorrupt, func([]byte) []byte { return nil }},
		{"cut", CodeCorrupt, func(b []byte) []byte { return b[:len(b)-1] }},
		{"longer", CodeCorrupt, func(b []byte) []byte { return append(b, 0) }},
		{"another version", CodeCorrupt, flip(0)},
		{"fewer passes", CodeCorrupt, at(1, argonTime-1)},
		{"too many passes", CodeCorrupt, at(1, maxArgonTime+1)},
		{"less memory", CodeCorrupt, at(5, argonMemory-1)},
		{"too much memory", CodeCorrupt, at(5, maxArgonMemory+1)},
		{"no threads", CodeCorrupt, func(b []byte) []byte { b[9] = 0; return b }},
		{"more threads", CodePassphrase, func(b []byte) []byte { b[9]++; return b }},
		{"another salt", CodePassphrase, flip(10)},
		{"another nonce", CodePassphrase, flip(10 + saltLen)},
		{"another key", CodePassphrase, flip(headerLen - 17)},
		{"another tag", CodePassphrase, flip(headerLen - 1)},
	} {
		_, err := openHeader(c.change(bytes.Clone(header)), o, value(testPassphrase))
		refused(t, c.what, err, c.code)
	}
}

// filled is the file of a store with a value of many pages, so that every kind of page is in it.
func filled(t *testing.T) []byte {
	t.Helper()
	o := fresh(t)
	s, err := Open(t.Context(), o)
	must(t, err)
	must(t, s.Put(nonceRef("large"), secret.New(bytes.Repeat([]byte{9}, 40<<10))))
	must(t, s.Close())
	file, err := os.ReadFile(o.Path)
	must(t, err)
	return file
}

// A damaged file is refused with an error: it neither ends the process nor gives out anything.
func TestDamagedFileIsRefused(t *testing.T) {
	file, page := filled(t), os.Getpagesize()
	noise := bytes.Repeat([]byte("noise"), len(file)/5)
	without := func(bucket []byte) []byte {
		o := closed(t, file)
		db, err := bbolt.Open(o.Path, 0o600, nil)
		must(t, err)
		must(t, db.Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket(bucket) }))
		must(t, db.Close())
		out, err := os.ReadFile(o.Path)
		must(t, err)
		return out
	}
	for _, c := range []struct {
		what, code string
		file       []byte
	}{
		{"nothing in it", CodeCorrupt, file[:0]},
		{"half a page", CodeCorrupt, file[:page/2]},
		{"one page", CodeIO, file[:page]},
		{"no list of free pages", CodeCorrupt, file[:2*page]},
		{"no data pages", CodeCorrupt, file[:3*page]},
		{"noise", CodeCorrupt, noise},
		{"noise after the meta pages", CodeCorrupt, append(bytes.Clone(file[:2*page]), noise[2*page:]...)},
		{"no header", CodeCorrupt, without(bucketMeta)},
		{"no values", CodeCorrupt, without(bucketValues)},
		{"no markers", CodeCorrupt, without(bucketConsumed)},
	} {
		s, err := Open(t.Context(), closed(t, c.file))
		refused(t, c.what, err, c.code)
		if err == nil {
			must(t, s.Close())
		}
	}
	s := open(t, closed(t, file[:len(file)/3/page*page])) // the opening reads the first pages only
	_, err := s.Take(nonceRef("large"))
	refused(t, "take from a file that was cut", err, CodeCorrupt)
}

// spliced is after with before's bytes from page i to page j.
func spliced(before, after []byte, i, j int) []byte {
	page := os.Getpagesize()
	out := bytes.Clone(after)
	copy(out[i*page:j*page], before[i*page:min(j*page, len(before))])
	return out
}

// Each row is a moment at which power fails, given as what the disk holds then, and what a restart must find.
func TestCrash(t *testing.T) {
	o := fresh(t)
	s := open(t, o)
	disk := func() []byte {
		b, err := os.ReadFile(o.Path)
		must(t, err)
		return b
	}
	n, p := nonceRef("n"), Ref{Kind: KindPermit, Name: "p"}
	empty := disk()
	tx, err := s.db.Begin(true)
	must(t, err)
	place, err := n.encode()
	must(t, err)
	must(t, tx.Bucket(bucketValues).Put(place, []byte("in memory only")))
	open := disk()
	must(t, tx.Rollback())
	must(t, s.Put(n, value("v")))
	put := disk()
	_, err = s.Take(n)
	must(t, err)
	taken := disk()
	must(t, s.Burn(p))
	burned := disk()
	torn := bytes.Clone(taken) // of the two meta pages, bbolt wrote one: this one's second half did not arrive
	for i := range 2 {
		if meta := torn[i*os.Getpagesize():][:128]; !bytes.Equal(meta, put[i*os.Getpagesize():][:128]) {
			clear(meta[48:])
		}
	}
	for _, c := range []struct {
		what       string
		disk       []byte
		take, burn string
	}{
		{"before anything", empty, CodeNotFound, ""},
		{"during put, before its commit", open, CodeNotFound, ""},
		{"during put's commit, before the meta page", spliced(empty, put, 0, 2), CodeNotFound, ""},
		{"after put", put, "", ""},
		{"during take's commit, before the meta page", spliced(put, taken, 0, 2), "", ""},
		{"during take's commit, within the meta page", torn, "", ""},
		{"after take", taken, CodeConsumed, ""},
		{"during burn's commit, before the meta page", spliced(taken, burned, 0, 2), CodeConsumed, ""},
		{"after burn", burned, CodeConsumed, CodeBurned},
	} {
		again, err := Open(t.Context(), closed(t, c.disk))
		must(t, err)
		if again.Generation() != 3 {
			t.Errorf("%s: generation is %d, want 3", c.what, again.Generation())
		}
		got, err := again.Take(n)
		refused(t, "take, crash "+c.what, err, c.take)
		if err == nil {
			holds(t, "take, crash "+c.what, got, err, "v")
			_, err = again.Take(n)
			refused(t, "second take, crash "+c.what, err, CodeConsumed)
		}
		refused(t, "burn, crash "+c.what, again.Burn(p), c.burn)
		must(t, again.Close())
	}
}

// No secret stands in the file in clear, in live pages or free ones: not the values, not the data key, not the passphrase.
func TestNoSecretInTheFile(t *testing.T) {
	o := fresh(t)
	s, err := Open(t.Context(), o)
	must(t, err)
	secrets := map[string][]byte{"data key": bytes.Clone(s.seal.key.Reveal()), "passphrase": []byte(testPassphrase)}
	for i := range 20 {
		v := secret.Random(64)
		r := nonceRef(fmt.Sprintf("value %d", i))
		secrets[r.Name] = bytes.Clone(v.Reveal())
		must(t, s.Put(r, v))
		switch i % 3 {
		case 1:
			_, err := s.Take(r)
			must(t, err)
		case 2:
			must(t, s.Delete(r))
		}
	}
	must(t, s.Close())
	file, err := os.ReadFile(o.Path)
	must(t, err)
	if !bytes.Contains(file, []byte("value 0")) {
		t.Fatal("the names are not in the file: the search would find nothing")
	}
	for name, v := range secrets {
		for i := range len(v) - 7 {
			if bytes.Contains(file, v[i:i+8]) {
				t.Fatalf("eight bytes of the %s are in the file", name)
			}
		}
	}
	if text := fmt.Sprintf("%v %+v %#v", s.seal.key, s.seal.key, s.seal.key); bytes.Contains([]byte(text), secrets["data key"]) {
		t.Error("the data key prints")
	}
	if s.seal.key.Len() != 0 {
		t.Error("close leaves the data key in memory")
	}
}
