package keystore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"chancery.dev/internal/secret"
)

const testPassphrase = "correct horse battery"

// freshFile is the file of a new store, made once: deriving its key is slow by design.
var freshFile = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "keystore")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	o := Options{Path: filepath.Join(dir, "k.db"), PassphraseFile: filepath.Join(dir, "passphrase"), Cluster: [32]byte{1}, Node: "n1", Create: true}
	if err := os.WriteFile(o.PassphraseFile, []byte(testPassphrase+"\n"), 0o600); err != nil {
		return nil, err
	}
	s, err := Open(context.Background(), o)
	if err != nil {
		return nil, err
	}
	if s.Generation() != 1 {
		return nil, fmt.Errorf("a new store has generation %d", s.Generation())
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(o.Path)
})

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// closed lays a store's file and its passphrase into a new directory.
func closed(t *testing.T, file []byte) Options {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	must(t, os.Mkdir(dir, 0o700))
	o := Options{Path: filepath.Join(dir, "k.db"), PassphraseFile: filepath.Join(dir, "passphrase"), Cluster: [32]byte{1}, Node: "n1"}
	must(t, os.WriteFile(o.PassphraseFile, []byte(testPassphrase+"\n"), 0o600))
	if file != nil {
		must(t, os.WriteFile(o.Path, file, 0o600))
	}
	return o
}

func fresh(t *testing.T) Options {
	t.Helper()
	file, err := freshFile()
	must(t, err)
	return closed(t, file)
}

func open(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	must(t, err)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// refused checks the reason code of a refusal. An empty code wants none.
func refused(t *testing.T, what string, err error, code string) {
	t.Helper()
	var e *Error
	switch {
	case code == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case code != "" && (!errors.As(err, &e) || e.ReasonCode() != code):
		t.Errorf("%s: got %v, want %s", what, err, code)
	}
}

func nonceRef(name string) Ref { return Ref{KindNonce, [32]byte{7}, 3, name} }

func value(s string) *secret.Bytes { return secret.New([]byte(s)) }

func holds(t *testing.T, what string, got *secret.Bytes, err error, want string) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	} else if string(got.Reveal()) != want {
		t.Errorf("%s: another value came back", what)
	}
}

func TestValuesStayUntilTheyAreTaken(t *testing.T) {
	s := open(t, fresh(t))
	share, once, gone := Ref{KindShare, [32]byte{7}, 3, "share"}, nonceRef("once"), nonceRef("gone")
	for _, r := range []Ref{share, once, gone} {
		refused(t, "put", s.Put(r, value("value of "+r.Name)), "")
		refused(t, "put again", s.Put(r, value("other")), CodeExists)
	}
	for range 2 {
		got, err := s.Get(share)
		holds(t, "get", got, err, "value of share")
	}
	got, err := s.Take(once)
	holds(t, "take", got, err, "value of once")
	_, err = s.Take(once)
	refused(t, "take again", err, CodeConsumed)
	_, err = s.Get(once)
	refused(t, "get what was taken", err, CodeConsumed)
	refused(t, "put what was taken", s.Put(once, value("again")), CodeConsumed)
	if !errors.Is(err, ErrConsumed) || errors.Is(err, ErrBurned) {
		t.Error("reason codes do not compare")
	}
	for range 2 {
		refused(t, "delete", s.Delete(gone), "")
	}
	_, err = s.Take(gone)
	refused(t, "take what was deleted", err, CodeNotFound)
	_, err = s.Take(Ref{KindNonce, [32]byte{7}, 4, "once"})
	refused(t, "take of another epoch", err, CodeNotFound)
}

func TestReferencesAndValuesAreBounded(t *testing.T) {
	s := open(t, fresh(t))
	for _, c := range []struct {
		what  string
		ref   Ref
		bytes int
		code  string
	}{
		{"no kind", Ref{Name: "x"}, 1, CodeInvalid},
		{"no name", Ref{Kind: KindShare}, 1, CodeInvalid},
		{"longest name", Ref{Kind: KindShare, Name: strings.Repeat("n", MaxName)}, 1, ""},
		{"name too long", Ref{Kind: KindShare, Name: strings.Repeat("n", MaxName+1)}, 1, CodeInvalid},
		{"empty value", nonceRef("empty"), 0, CodeInvalid},
		{"largest value", nonceRef("largest"), MaxValue, ""},
		{"value too large", nonceRef("large"), MaxValue + 1, CodeInvalid},
	} {
		refused(t, c.what, s.Put(c.ref, secret.New(make([]byte, c.bytes))), c.code)
		if _, err := s.Get(c.ref); (err == nil) != (c.code == "") {
			t.Errorf("%s: get gives %v", c.what, err)
		}
	}
	_, err := s.Take(Ref{})
	refused(t, "take of nothing", err, CodeInvalid)
	refused(t, "burn of nothing", s.Burn(Ref{}), CodeInvalid)
}

func TestListNamesOneKindAndKey(t *testing.T) {
	s := open(t, fresh(t))
	a, b := Ref{KindNonce, [32]byte{7}, 3, "a"}, Ref{KindNonce, [32]byte{7}, 4, "b"}
	for _, r := range []Ref{b, {KindNonce, [32]byte{8}, 3, "other key"}, a, {KindShare, [32]byte{7}, 3, "other kind"}, {KindNonce, [32]byte{6}, 3, "key before"}} {
		must(t, s.Put(r, value("v")))
	}
	must(t, s.Burn(Ref{KindNonce, [32]byte{7}, 3, "burned"}))
	got, err := s.List(KindNonce, [32]byte{7})
	if err != nil || !reflect.DeepEqual(got, []Ref{a, b}) {
		t.Errorf("list is %v, %v", got, err)
	}
	must(t, s.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketValues).Put(append([]byte{byte(KindNonce)}, make([]byte, 32)...), []byte("v"))
	}))
	_, err = s.List(KindNonce, [32]byte{})
	refused(t, "list over a reference that is cut short", err, CodeCorrupt)
}

// What many take at once, one gets; what many burn at once, one burns.
func TestOneOfManyTakesAndBurns(t *testing.T) {
	s := open(t, fresh(t))
	must(t, s.Put(nonceRef("n"), value("v")))
	var took, burned atomic.Int32
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			if _, err := s.Take(nonceRef("n")); err == nil {
				took.Add(1)
			} else {
				refused(t, "take", err, CodeConsumed)
			}
			if err := s.Burn(Ref{Kind: KindPermit, Name: "p"}); err == nil {
				burned.Add(1)
			} else {
				refused(t, "burn", err, CodeBurned)
			}
		})
	}
	wait.Wait()
	if took.Load() != 1 || burned.Load() != 1 {
		t.Errorf("taken %d times, burned %d times", took.Load(), burned.Load())
	}
}

// The marker decides, whatever lies in the place: a value that was burned, or put back into the file, is not given out.
func TestConsumedPlaceGivesNothing(t *testing.T) {
	s := open(t, fresh(t))
	burned, restored := nonceRef("burned"), nonceRef("restored")
	must(t, s.Put(burned, value("v")))
	must(t, s.Put(restored, value("v")))
	must(t, s.Burn(burned))
	place, err := restored.encode()
	must(t, err)
	var kept []byte
	must(t, s.db.View(func(tx *bbolt.Tx) error {
		kept = append(kept, tx.Bucket(bucketValues).Get(place)...)
		return nil
	}))
	_, err = s.Take(restored)
	must(t, err)
	must(t, s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketValues).Put(place, kept) }))
	for _, r := range []Ref{burned, restored} {
		_, err := s.Take(r)
		refused(t, "take "+r.Name, err, CodeConsumed)
		_, err = s.Get(r)
		refused(t, "get "+r.Name, err, CodeConsumed)
	}
}

func TestReopenRemembers(t *testing.T) {
	o := fresh(t)
	for want := uint64(2); want < 4; want++ {
		s, err := Open(t.Context(), o)
		must(t, err)
		if s.Generation() != want {
			t.Errorf("generation is %d, want %d", s.Generation(), want)
		}
		if want == 2 {
			must(t, s.Put(nonceRef("taken"), value("v")))
			must(t, s.Put(nonceRef("kept"), value("kept value")))
			must(t, s.Burn(Ref{Kind: KindPermit, Name: "p"}))
			_, err := s.Take(nonceRef("taken"))
			must(t, err)
		} else {
			_, err := s.Take(nonceRef("taken"))
			refused(t, "take after reopening", err, CodeConsumed)
			refused(t, "burn after reopening", s.Burn(Ref{Kind: KindPermit, Name: "p"}), CodeBurned)
			got, err := s.Get(nonceRef("kept"))
			holds(t, "get after reopening", got, err, "kept value")
		}
		must(t, s.Close())
		_, err = s.Get(nonceRef("kept"))
		refused(t, "get after close", err, CodeIO)
	}
}

func TestOneProcessHoldsTheFile(t *testing.T) {
	o := fresh(t)
	s, err := Open(t.Context(), o)
	must(t, err)
	begun := time.Now()
	_, err = Open(t.Context(), o)
	refused(t, "second open", err, CodeBusy)
	if took := time.Since(begun); took > 10*lockTimeout {
		t.Errorf("the second open was refused after %s", took)
	}
	must(t, s.Close())
	open(t, o)
}

func TestFilesOfOthersAreRefused(t *testing.T) {
	link := func(t *testing.T, path string) {
		must(t, os.Rename(path, path+".real"))
		must(t, os.Symlink(path+".real", path))
	}
	for _, c := range []struct {
		what, code, text string
		change           func(t *testing.T, o *Options)
	}{
		{"directory others may list", CodeMode, "mode 0755", func(t *testing.T, o *Options) { must(t, os.Chmod(filepath.Dir(o.Path), 0o755)) }},
		{"directory of a group", CodeMode, "mode 0710", func(t *testing.T, o *Options) { must(t, os.Chmod(filepath.Dir(o.Path), 0o710)) }},
		{"file the group may read", CodeMode, "mode 0640", func(t *testing.T, o *Options) { must(t, os.Chmod(o.Path, 0o640)) }},
		{"file the world may read", CodeMode, "mode 0604", func(t *testing.T, o *Options) { must(t, os.Chmod(o.Path, 0o604)) }},
		{"file the group may write", CodeMode, "mode 0620", func(t *testing.T, o *Options) { must(t, os.Chmod(o.Path, 0o620)) }},
		{"file is a link", CodeMode, "symbolic link", func(t *testing.T, o *Options) { link(t, o.Path) }},
		{"file is a directory", CodeMode, "not what it should be", func(t *testing.T, o *Options) {
			must(t, os.Remove(o.Path))
			must(t, os.Mkdir(o.Path, 0o700))
		}},
		{"file is not there", CodeNotFound, "not there", func(t *testing.T, o *Options) { must(t, os.Remove(o.Path)) }},
		{"directory is not there", CodeIO, "", func(t *testing.T, o *Options) { o.Path = filepath.Join(filepath.Dir(o.Path), "no", "k.db") }},
		{"passphrase the group may read", CodeMode, "passphrase has mode 0640", func(t *testing.T, o *Options) { must(t, os.Chmod(o.PassphraseFile, 0o640)) }},
		{"passphrase the world may read", CodeMode, "passphrase has mode 0644", func(t *testing.T, o *Options) { must(t, os.Chmod(o.PassphraseFile, 0o644)) }},
		{"passphrase is a link", CodeMode, "symbolic link", func(t *testing.T, o *Options) { link(t, o.PassphraseFile) }},
		{"passphrase is a directory", CodeMode, "not what it should be", func(t *testing.T, o *Options) { o.PassphraseFile = filepath.Dir(o.Path) }},
		{"passphrase is not there", CodeIO, "passphrase file", func(t *testing.T, o *Options) { must(t, os.Remove(o.PassphraseFile)) }},
		{"passphrase too short", CodePassphrase, "12 to 1024", func(t *testing.T, o *Options) {
			must(t, os.WriteFile(o.PassphraseFile, []byte("11 bytes in\r\n\n"), 0o600))
		}},
		{"passphrase too long", CodePassphrase, "12 to 1024", func(t *testing.T, o *Options) {
			must(t, os.WriteFile(o.PassphraseFile, []byte(strings.Repeat("p", maxPassphrase+1)), 0o600))
		}},
	} {
		o := fresh(t)
		c.change(t, &o)
		_, err := Open(t.Context(), o)
		refused(t, c.what, err, c.code)
		if err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %q does not say %q", c.what, err, c.text)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, fresh(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("open under a context that is done: %v", err)
	}
}

// A new store is made with modes that its next opening accepts.
func TestNewFileIsPrivate(t *testing.T) {
	o := closed(t, nil)
	o.Create = true
	s := open(t, o)
	info, err := os.Stat(o.Path)
	if err != nil || info.Mode().Perm() != 0o600 || s.Generation() != 1 {
		t.Errorf("mode %v, generation %d, %v", info.Mode(), s.Generation(), err)
	}
}

func TestAnotherPassphraseClusterOrNode(t *testing.T) {
	for _, c := range []struct {
		what   string
		change func(o *Options)
	}{
		{"passphrase", func(o *Options) {
			must(t, os.WriteFile(o.PassphraseFile, []byte(strings.ToUpper(testPassphrase)), 0o600))
		}},
		{"cluster", func(o *Options) { o.Cluster[31] ^= 1 }},
		{"node", func(o *Options) { o.Node = "n2" }},
	} {
		o := fresh(t)
		before, err := os.ReadFile(o.Path)
		must(t, err)
		c.change(&o)
		_, err = Open(t.Context(), o)
		refused(t, "another "+c.what, err, CodePassphrase)
		if err != nil && strings.Contains(strings.ToLower(err.Error()), testPassphrase) {
			t.Error("the error echoes the passphrase")
		}
		after, err := os.ReadFile(o.Path)
		if err != nil || string(before) != string(after) {
			t.Errorf("another %s: the refused opening changed the file, %v", c.what, err)
		}
	}
}
