package tidy

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

func TestRepositoryKeepsTheHouseRules(t *testing.T) {
	tree, err := load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(tree) < 20 {
		t.Fatalf("found only %d Go files: the test does not look at the repository", len(tree))
	}
	for _, b := range check(tree) {
		t.Error(b)
	}
}

// Every row of the law must be a package that could exist: a name that nothing imports and that is no folder is a typo.
func TestLawNamesPackages(t *testing.T) {
	for dir, r := range law {
		for _, p := range append([]string{dir}, r.may...) {
			if !strings.HasPrefix(p, "internal/") && !strings.HasPrefix(p, "cmd/") && p != "tss" && !strings.HasPrefix(p, "tss/") {
				t.Errorf("law names %q", p)
			}
		}
	}
}

// The law itself, where DESIGN.md is most explicit: what must never be allowed, whoever edits the table.
func TestLawForbids(t *testing.T) {
	for _, c := range []struct{ from, to string }{
		{"tss", "internal/group"}, {"tss/frost", "internal/keystore"}, {"tss/frost", "internal/intent"}, {"internal/group", "internal/shamir"},
		{"internal/secret", "internal/group"}, {"internal/transcript", "internal/group"}, {"internal/intent", "internal/policy"},
		{"internal/wallet", "internal/group"}, {"internal/wallet", "internal/keystore"}, {"internal/keystore", "internal/wallet"}, {"internal/pki", "internal/wallet"},
		{"internal/mesh", "internal/exec"}, {"internal/mesh", "internal/wallet"}, {"internal/exec", "internal/mesh"}, {"internal/exec", "internal/wallet"},
		{"internal/httpapi", "internal/node"}, {"internal/httpapi", "internal/mesh"}, {"internal/evidence", "internal/exec"},
		{"cmd/chancery-verify", "internal/mesh"}, {"cmd/chancery-verify", "internal/wallet/esplora"}, {"internal/node", "internal/devnet"},
		{"internal/cli", "internal/node"}, {"internal/cli", "tss/frost"},
	} {
		src := "// Package x is a probe.\npackage x\nimport _ \"embed\"\nimport y \"chancery.dev/" + c.to + "\"\nvar z = y.Z\n"
		if !breaks(t, "import law", fstest.MapFS{c.from + "/x.go": {Data: []byte(src)}}) {
			t.Errorf("%s may import %s", c.from, c.to)
		}
	}
}

func breaks(t *testing.T, rule string, tree fstest.MapFS) bool {
	t.Helper()
	loaded, err := load(tree)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range check(loaded) {
		if b.rule == rule {
			return true
		}
	}
	return false
}
