package tidy

import (
	"strings"
	"testing"
	"testing/fstest"
)

// Each tree breaks one rule in one way and must be found; its twin keeps the rule and must not be. Take a check out of
// check.go and one of these fails.
func TestEveryCheckFindsItsBreach(t *testing.T) {
	const doc = "// Package p is a probe.\npackage p\n"
	long := func(n int) string { return "func f() {\n" + strings.Repeat("\t_ = 1\n", n) + "}\n" }
	for _, c := range []struct{ rule, file, bad, good string }{
		{"import law", "internal/shamir/p.go", doc + `import "chancery.dev/internal/keystore"`, doc + `import "chancery.dev/internal/group"`},
		{"import law", "internal/unheard/p.go", doc + `import "chancery.dev/internal/secret"`, doc + `import "fmt"`},
		{"import law", "internal/node/p.go", doc + `import "chancery.dev/internal/simnet"`, doc + `import "chancery.dev/internal/mesh"`},
		{"import law", "internal/intent/p.go", doc + `import "chancery.dev/test/demo"`, doc + `import "chancery.dev/internal/transcript"`},
		{"third party", "internal/wallet/p.go", doc + `import "github.com/quic-go/quic-go"`, doc + `import "github.com/btcsuite/btcd/wire/v2"`},
		{"third party", "tss/frost/p.go", doc + `import "github.com/cronokirby/saferith"`, doc + `import "math/bits"`},
		{"purity", "tss/p.go", doc + `import "net"`, doc + `import "errors"`},
		{"purity", "internal/intent/p.go", doc + `import "os"`, doc + `import "time"` + "\nvar t time.Time"},
		{"purity", "internal/policy/p.go", doc + `import "log/slog"`, doc + `import "sort"`},
		{"purity", "internal/records/p.go", doc + `import "database/sql"`, doc + `import "errors"`},
		{"purity", "internal/quorum/p.go", doc + "import \"time\"\nvar t = time.Now()", doc + "import \"time\"\nvar t = time.Second"},
		{"purity", "tss/frost/p.go", doc + "func f() { go f() }", doc + "func f() { f() }"},
		{"names", "internal/utils/p.go", doc, ""},
		{"names", "internal/x/p.go", "// Package common is a drawer.\npackage common\n", doc},
		{"docs", "internal/x/p.go", "package p\n", doc},
		{"sizes", "internal/x/p.go", doc + strings.Repeat("\n", maxFileLines), doc + strings.Repeat("\n", maxFileLines-10)},
		{"sizes", "cmd/chancery/p.go", doc + strings.Repeat("\n", maxCommandLines), doc + strings.Repeat("\n", maxCommandLines-10)},
		{"functions", "internal/x/p.go", doc + long(maxFunctionLines), doc + long(longFunction-10)},
		{"sleeps", "internal/x/p_test.go", "package p\nimport \"time\"\nfunc f() { time.Sleep(1) }", "package p\nimport \"time\"\nimport \"testing/synctest\"\nvar _ = synctest.Wait\nfunc f() { time.Sleep(1) }"},
		{"environment", "internal/x/p.go", doc + "import \"os\"\nvar e = os.Getenv(\"E\")", doc + "import \"os\"\nvar e = os.Args"},
		{"environment", "internal/x/p.go", doc + "import _ \"image/png\"", doc + "import _ \"embed\""},
	} {
		if !breaks(t, c.rule, fstest.MapFS{c.file: {Data: []byte(c.bad)}}) {
			t.Errorf("%s: not found in %s:\n%.200s", c.rule, c.file, c.bad)
		}
		if c.good != "" && breaks(t, c.rule, fstest.MapFS{c.file: {Data: []byte(c.good)}}) {
			t.Errorf("%s: found in %s where there is none:\n%.200s", c.rule, c.file, c.good)
		}
	}
}

func TestPackageSizeIsBounded(t *testing.T) {
	tree := fstest.MapFS{}
	for i := range 7 {
		tree["internal/x/p"+string(rune('a'+i))+".go"] = &fstest.MapFile{Data: []byte("// Package p is a probe.\npackage p\n" + strings.Repeat("\n", maxFileLines-10))}
	}
	if !breaks(t, "sizes", tree) {
		t.Error("a package of more than 5000 lines was not found")
	}
}

func TestManyLongFunctionsAreFound(t *testing.T) {
	src := "// Package p is a probe.\npackage p\n"
	for i := range 4 {
		src += "func f" + string(rune('a'+i)) + "() {\n" + strings.Repeat("\t_ = 1\n", longFunction+1) + "}\n"
	}
	if !breaks(t, "functions", fstest.MapFS{"internal/x/p.go": {Data: []byte(src)}}) {
		t.Error("a package of long functions was not found")
	}
}
