package tidy

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// module is the path that our own imports begin with.
const module = "chancery.dev/"

// source is one parsed Go file of the tree.
type source struct {
	name  string // slash-separated, relative to the root
	dir   string
	test  bool
	lines int
	file  *ast.File
	fset  *token.FileSet
	text  string
}

// breach is one rule broken at one place.
type breach struct{ rule, where, what string }

func (b breach) String() string { return fmt.Sprintf("%s: %s: %s", b.where, b.rule, b.what) }

// skipped are folders that hold no source of ours.
func skipped(dir string) bool {
	base := path.Base(dir)
	return base == "testdata" || base == "vendor" || base == "target" || base == "node_modules" || base != "." && strings.HasPrefix(base, ".")
}

// load parses every Go file below the root, whatever its build tags.
func load(root fs.FS) ([]source, error) {
	var out []source
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && skipped(name) {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, text, parser.ParseComments)
		if err != nil {
			return err
		}
		out = append(out, source{name, path.Dir(name), strings.HasSuffix(name, "_test.go"), strings.Count(string(text), "\n"), file, fset, string(text)})
		return nil
	})
	return out, err
}

// checks are the house rules. Each has a tree in breaches_test.go that breaks it.
var checks = []func([]source) []breach{imports, thirdParty, purity, names, docs, sizes, functions, sleeps, environment}

func check(tree []source) []breach {
	var out []breach
	for _, c := range checks {
		out = append(out, c(tree)...)
	}
	return out
}

func importsOf(s source) []string {
	var out []string
	for _, i := range s.file.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err == nil {
			out = append(out, p)
		}
	}
	return out
}

func isFree(dir string) bool {
	return slices.ContainsFunc(free, func(f string) bool { return strings.HasPrefix(dir+"/", f) || dir == f })
}

// imports holds the import law between our own packages. Tests may import what they need, but nothing may import a free
// package.
func imports(tree []source) []breach {
	var out []breach
	for _, s := range tree {
		for _, p := range importsOf(s) {
			own, ours := strings.CutPrefix(p, module)
			if !ours || own == s.dir {
				continue
			}
			if isFree(own) && !isFree(s.dir) && !s.test {
				out = append(out, breach{"import law", s.name, "imports " + own + ", which nothing may import"})
				continue
			}
			if s.test || isFree(s.dir) {
				continue
			}
			if !slices.Contains(law[s.dir].may, own) {
				out = append(out, breach{"import law", s.name, s.dir + " may not import " + own})
			}
		}
	}
	return out
}

// thirdParty keeps each third-party library at home. A test may use the homes' libraries, and rapid.
func thirdParty(tree []source) []breach {
	var out []breach
	for _, s := range tree {
		if s.test || isFree(s.dir) {
			continue
		}
		for _, p := range importsOf(s) {
			first, _, _ := strings.Cut(p, "/")
			if !strings.Contains(first, ".") || strings.HasPrefix(p, module) {
				continue
			}
			if !slices.ContainsFunc(law[s.dir].third, func(prefix string) bool { return p == prefix || strings.HasPrefix(p, prefix+"/") }) {
				out = append(out, breach{"third party", s.name, s.dir + " is not a home of " + p})
			}
		}
	}
	return out
}

// purity keeps I/O, clocks and goroutines out of pure packages.
func purity(tree []source) []breach {
	var out []breach
	for _, s := range tree {
		if s.test || !law[s.dir].pure {
			continue
		}
		for _, p := range importsOf(s) {
			if slices.Contains(impure, p) {
				out = append(out, breach{"purity", s.name, "pure package imports " + p})
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				out = append(out, breach{"purity", at(s, n), "pure package has a go statement"})
			case *ast.SelectorExpr:
				if isTimeSource(n) {
					out = append(out, breach{"purity", at(s, n), "pure package reads the clock"})
				}
			}
			return true
		})
	}
	return out
}

func isTimeSource(n *ast.SelectorExpr) bool {
	x, ok := n.X.(*ast.Ident)
	return ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}, n.Sel.Name)
}

func at(s source, n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.name, s.fset.Position(n.Pos()).Line)
}

// names bans shared drawers.
func names(tree []source) []breach {
	var out []breach
	for _, s := range tree {
		for part := range strings.SplitSeq(s.dir, "/") {
			if slices.Contains(bannedNames, part) {
				out = append(out, breach{"names", s.name, "a folder may not be called " + part})
			}
		}
		if slices.Contains(bannedNames, s.file.Name.Name) {
			out = append(out, breach{"names", s.name, "a package may not be called " + s.file.Name.Name})
		}
	}
	return out
}

// docs wants a package comment in every package that is not only tests.
func docs(tree []source) []breach {
	has, first := map[string]bool{}, map[string]string{}
	for _, s := range tree {
		if s.test {
			continue
		}
		if first[s.dir] == "" {
			first[s.dir] = s.name
		}
		has[s.dir] = has[s.dir] || s.file.Doc != nil
	}
	var out []breach
	for dir, name := range first {
		if !has[dir] {
			out = append(out, breach{"docs", name, "package has no package comment"})
		}
	}
	return out
}

// sizes bounds files and packages, tests not counted in packages.
func sizes(tree []source) []breach {
	var out []breach
	packages := map[string]int{}
	for _, s := range tree {
		if !s.test {
			packages[s.dir] += s.lines
		}
		limit := maxFileLines
		if strings.HasPrefix(s.dir, "cmd/") {
			limit = maxCommandLines
		}
		if s.lines > limit {
			out = append(out, breach{"sizes", s.name, fmt.Sprintf("%d lines, more than %d", s.lines, limit)})
		}
	}
	for dir, lines := range packages {
		if lines > maxPackageLines {
			out = append(out, breach{"sizes", dir, fmt.Sprintf("package has %d lines, more than %d", lines, maxPackageLines)})
		}
	}
	return out
}

// functions bounds the length of functions; tests' tables are left alone.
func functions(tree []source) []breach {
	var out []breach
	count, long := map[string]int{}, map[string]int{}
	for _, s := range tree {
		if s.test {
			continue
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			lines := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1
			count[s.dir]++
			if lines >= longFunction {
				long[s.dir]++
			}
			if lines > maxFunctionLines {
				out = append(out, breach{"functions", at(s, f), fmt.Sprintf("%s has %d lines, more than %d", f.Name.Name, lines, maxFunctionLines)})
			}
		}
	}
	for dir, n := range long {
		if n > 1 && float64(count[dir]-n) < shortShare*float64(count[dir]) {
			out = append(out, breach{"functions", dir, fmt.Sprintf("%d of %d functions have %d lines or more", n, count[dir], longFunction)})
		}
	}
	return out
}

// sleeps keeps luck out of tests: no time.Sleep, unless a synctest bubble makes time its own.
func sleeps(tree []source) []breach {
	var out []breach
	for _, s := range tree {
		if !s.test || slices.Contains(importsOf(s), "testing/synctest") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Sleep" && isTimeSource(sel) {
				out = append(out, breach{"sleeps", at(s, sel), "a test sleeps"})
			}
			return true
		})
	}
	return out
}

var readsEnvironment = regexp.MustCompile(`\bos\.(Getenv|LookupEnv|Environ)\(`)

// environment is read in cmd/ only; devnet hands its own on to the programs that it starts.
func environment(tree []source) []breach {
	var out []breach
	for _, s := range tree {
		if s.test || isFree(s.dir) || strings.HasPrefix(s.dir, "cmd/") || s.dir == "internal/devnet" || s.dir == "internal/tidy" {
			continue
		}
		if readsEnvironment.MatchString(s.text) {
			out = append(out, breach{"environment", s.name, "the environment is read below cmd/"})
		}
		for _, i := range s.file.Imports {
			if i.Name != nil && i.Name.Name == "_" && i.Path.Value != `"embed"` {
				out = append(out, breach{"environment", s.name, "blank import " + i.Path.Value + " registers behind the reader's back"})
			}
		}
	}
	return out
}
