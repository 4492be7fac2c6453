// Package cli is the chancery command: it asks a node through its REST API and prints the answer as a table for people or
// as JSON for programs. It holds no key of the cluster. The offline commands (ca, identity, roster) work on files alone.
package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
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
	group(root)
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if o.output != "table" && o.output != "json" {
			return usage("output is table or json")
		}
		return nil
	}
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
	root.AddCommand(walletCommand(o), sendCommand(o), txCommand(o), dkgCommand(o), presigCommand(o), clusterCommand(o),
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
		c, err := newClient(o)
		if err != nil {
			return err
		}
		return f(cmd.Context(), c, args)
	}
}

// group makes a command that only has commands below it: alone it shows them, and it knows no other. Cobra would show them
// for any word, and call that a success.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usage("%s has no command %q; see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
		}
		return cmd.Help()
	}
	return cmd
}

// whole is the value of a flag: a whole number from 1 to max, in decimal digits alone. The usual integer flag would take
// 010 for 8.
type whole struct {
	value *int64
	max   int64
}

func (w whole) Type() string   { return "int" }
func (w whole) String() string { return "" }

func (w whole) Set(s string) error {
	v, err := strconv.ParseUint(s, 10, 63)
	if err != nil || s[0] == '0' || int64(v) > w.max {
		return fmt.Errorf("want a whole number from 1 to %d", w.max)
	}
	*w.value = int64(v)
	return nil
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
