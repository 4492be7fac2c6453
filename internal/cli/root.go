// Package cli is the chancery command: it asks a node through its REST API and prints the answer as a table for people or
// as JSON for programs. It holds no key of the cluster. The offline commands (ca, identity, roster) work on files alone.
package cli

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
)

// options are the flags that every command has. The environment is read in cmd/chancery and comes in as defaults.
type options struct {
	endpoint  string
	tokenFile string
	output    string
	timeout   time.Duration
	out       io.Writer
	terminal  bool // colour only there
}

// Environment is what the command line inherits.
type Environment struct {
	Endpoint  string // CHANCERY_ENDPOINT
	TokenFile string // CHANCERY_TOKEN_FILE
	NoColour  bool   // NO_COLOR
}

const longHelp = `chancery asks a custody cluster: payments, keys, nodes.

Exit codes: 0 done, 1 failed, 2 wrong flags or arguments, 3 the node refused (its reason code is printed),
4 the node does not answer, 5 the wait ended before the work did.`

// New makes the command tree, printing to out.
func New(env Environment, out io.Writer) *cobra.Command {
	o := &options{out: out}
	if f, ok := out.(*os.File); ok && !env.NoColour {
		info, err := f.Stat()
		o.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	root := &cobra.Command{Use: "chancery", Short: "Ask a custody cluster", Long: longHelp, SilenceUsage: true, SilenceErrors: true}
	root.SetOut(out)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage("%v", err) })
	endpoint := env.Endpoint
	if endpoint == "" {
		endpoint = "http://127.0.0.1:8080"
	}
	flags := root.PersistentFlags()
	flags.StringVar(&o.endpoint, "endpoint", endpoint, "node's API (CHANCERY_ENDPOINT)")
	flags.StringVar(&o.tokenFile, "token-file", env.TokenFile, "file with the API token (CHANCERY_TOKEN_FILE)")
	flags.StringVarP(&o.output, "output", "o", "table", "table or json")
	flags.DurationVar(&o.timeout, "timeout", 30*time.Second, "of one request")
	root.AddCommand(walletCommand(o), sendCommand(o), txCommand(o), dkgCommand(o), clusterCommand(o),
		caCommand(o), identityCommand(o), rosterCommand(o))
	return root
}

// Run executes one command line.
func Run(ctx context.Context, env Environment, args []string, out io.Writer) error {
	root := New(env, out)
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}

// online runs f with a client, for commands that ask a node.
func (o *options) online(f func(ctx context.Context, c *client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if o.output != "table" && o.output != "json" {
			return usage("output is table or json")
		}
		c, err := newClient(o)
		if err != nil {
			return err
		}
		return f(cmd.Context(), c, args)
	}
}

// exactly is cobra.ExactArgs with our exit code.
func exactly(n int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return usage("want %d arguments, have %d", n, len(args))
		}
		return nil
	}
}
