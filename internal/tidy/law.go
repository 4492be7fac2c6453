package tidy

// rule says what a package may do. What is not written is forbidden.
type rule struct {
	pure  bool     // no net, os, database, log, time.Now, go statement
	may   []string // packages of this module that it may import
	third []string // import path prefixes of third-party packages that it may import
}

// Groups of packages, in the words of DESIGN.md section 4.
var (
	engineParts = []string{"internal/secret", "internal/group", "internal/shamir", "internal/transcript", "tss"}
	engine      = append([]string{"internal/arith", "internal/paillier", "internal/zk", "tss/frost", "tss/cggmp24"}, engineParts...)
	domainBase  = []string{"internal/secret", "internal/transcript", "internal/intent"}
	domain      = append([]string{"internal/policy", "internal/quorum", "internal/govlog", "internal/score", "internal/trace", "internal/keystore",
		"internal/wallet", "internal/pki", "internal/permit", "internal/evidence", "internal/records"}, domainBase...)
	runtimeParts = append(append([]string{"internal/exec", "internal/mesh", "internal/httpapi"}, domain...), engine...)
	adapters     = []string{"internal/records/sqlite", "internal/wallet/esplora"}
)

// law is the import law. A package that stands in no row may import nothing of this module.
var law = map[string]rule{
	"internal/secret":     {pure: true},
	"internal/transcript": {pure: true, third: []string{"golang.org/x/crypto"}},
	"internal/arith":      {pure: true, may: []string{"internal/secret"}, third: []string{"golang.org/x/sys"}},
	"internal/group": {pure: true, may: []string{"internal/secret"},
		third: []string{"gitlab.com/yawning/secp256k1-voi", "github.com/oasisprotocol/curve25519-voi", "filippo.io/edwards25519"}},
	"internal/shamir":   {pure: true, may: []string{"internal/secret", "internal/group"}},
	"internal/paillier": {pure: true, may: []string{"internal/secret", "internal/arith"}},
	"internal/zk":       {pure: true, may: []string{"internal/secret", "internal/arith", "internal/group", "internal/shamir", "internal/paillier", "internal/transcript"}},
	"tss":               {pure: true},
	"tss/frost":         {pure: true, may: append([]string{"internal/zk"}, engineParts...)},
	"tss/cggmp24":       {pure: true, may: append([]string{"internal/zk", "internal/arith", "internal/paillier"}, engineParts...)},

	"internal/intent":   {pure: true, may: []string{"internal/secret", "internal/transcript"}, third: []string{"github.com/gowebpki/jcs"}},
	"internal/policy":   {pure: true, may: domainBase, third: []string{"github.com/cedar-policy/cedar-go"}},
	"internal/quorum":   {pure: true, may: append([]string{"internal/policy"}, domainBase...)},
	"internal/govlog":   {pure: true, may: domainBase},
	"internal/score":    {pure: true, may: domainBase},
	"internal/trace":    {pure: true, may: domainBase},
	"internal/records":  {pure: true, may: domainBase},
	"internal/keystore": {may: domainBase, third: []string{"go.etcd.io/bbolt", "golang.org/x/crypto", "golang.org/x/sys"}},
	"internal/wallet":   {pure: true, may: domainBase, third: []string{"github.com/btcsuite/btcd"}},
	"internal/pki":      {may: domainBase},
	"internal/permit":   {pure: true, may: append([]string{"internal/policy", "internal/quorum", "internal/govlog"}, domainBase...)},
	"internal/evidence": {pure: true, may: append([]string{"internal/policy", "internal/quorum", "internal/govlog", "internal/permit"}, domainBase...)},

	"internal/exec": {may: append([]string{"internal/permit", "internal/score", "internal/trace", "internal/keystore", "internal/intent", "internal/quorum"}, engine...)},
	"internal/mesh": {may: []string{"tss", "internal/pki", "internal/secret", "internal/transcript"}, third: []string{"github.com/quic-go/quic-go"}},

	"internal/records/sqlite": {may: []string{"internal/records"}, third: []string{"modernc.org/sqlite"}},
	"internal/wallet/esplora": {may: []string{"internal/wallet"}, third: []string{"github.com/btcsuite/btcd"}},

	"internal/httpapi": {may: append([]string{"internal/exec"}, domain...), third: []string{"github.com/danielgtaylor/huma/v2"}},
	"internal/node":    {may: append(append([]string{}, runtimeParts...), adapters...), third: []string{"github.com/BurntSushi/toml"}},
	"internal/cli":     {may: append([]string{"internal/httpapi"}, domain...), third: []string{"github.com/spf13/cobra"}},
	"internal/devnet": {may: append([]string{"internal/node"}, append(append([]string{}, runtimeParts...), adapters...)...),
		third: []string{"github.com/btcsuite/btcd"}},
	"internal/tidy": {},

	"cmd/chancery":        {may: []string{"internal/cli"}},
	"cmd/chanceryd":       {may: []string{"internal/node", "internal/devnet"}, third: []string{"github.com/spf13/cobra"}},
	"cmd/chancery-verify": {may: append([]string{"internal/evidence", "internal/permit", "internal/policy", "internal/quorum"}, domainBase...)},
}

// free are folders whose packages may import anything of this module, and that no other package may import.
var free = []string{"test/", "bench/", "internal/simnet", "internal/sim"}

// impure are the imports that a pure package may not have. time is allowed for its types; time.Now and timers are found
// in the code. context is allowed: it carries no clock by itself.
var impure = []string{"net", "net/http", "os", "os/exec", "io/ioutil", "database/sql", "log", "log/slog", "syscall", "unsafe", "plugin", "runtime/debug"}

// homes are third-party modules with few homes; engine packages have an allow-list in law.
var bannedNames = []string{"pkg", "util", "utils", "common", "types", "models", "helpers", "services", "handlers", "core", "libs"}

// Sizes: a test fails above these. DESIGN.md section 4 says what to aim for.
const (
	maxPackageLines  = 5000
	maxFileLines     = 800
	maxFunctionLines = 100
	longFunction     = 70   // lines
	shortShare       = 0.97 // of a package's functions are shorter than longFunction
	maxCommandLines  = 200  // of a file in cmd/
)
