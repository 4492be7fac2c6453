// Command chanceryd is a custody node (node), or a whole cluster of them on this machine with a Bitcoin node of its own
// (up), for trying things out.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"chancery.dev/internal/devnet"
	"chancery.dev/internal/node"
)

func main() {
	debug.SetTraceback("single")
	// No core file: it would hold key shares. A kernel that refuses leaves the operator's own limit in force.
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{Use: "chanceryd", Short: "A custody node", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(nodeCommand(), upCommand())
	if err := root.ExecuteContext(ctx); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "chanceryd:", err)
		os.Exit(1)
	}
}

func nodeCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{Use: "node --config FILE", Short: "Run one node", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return runNode(cmd.Context(), path)
	}}
	cmd.Flags().StringVar(&path, "config", "", "settings file (TOML)")
	return cmd
}

func runNode(ctx context.Context, path string) error {
	config, err := node.LoadConfig(path)
	if err != nil {
		return err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(config.Log.Level)); err != nil {
		return fmt.Errorf("configuration: log.level: %w", err)
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("node", config.Node)
	n, err := node.New(ctx, config, log)
	if err != nil {
		return err
	}
	return errors.Join(n.Run(ctx), n.Close())
}

func upCommand() *cobra.Command {
	var o devnet.ClusterOptions
	cmd := &cobra.Command{Use: "up", Short: "Run a cluster and a Bitcoin regtest node on this machine, until interrupted", Args: cobra.NoArgs}
	cmd.Flags().StringVar(&o.Dir, "dir", filepath.Join(".chancery", "up"), "directory of everything; made when it is not there")
	cmd.Flags().IntVar(&o.Nodes, "nodes", 5, "number of nodes")
	cmd.Flags().IntVar(&o.Threshold, "threshold", 4, "nodes that must agree")
	cmd.Flags().StringVar(&o.Btcd, "btcd", "", "btcd binary; built from the module when absent")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		o.Chanceryd = self
		c, err := devnet.StartCluster(cmd.Context(), o)
		if err != nil {
			return err
		}
		fmt.Printf("chain source  %s\n", c.Net.EsploraURL())
		for _, m := range c.Members {
			fmt.Printf("%-13s %s  token %s\n", m.ID, m.Endpoint, m.TokenFile)
		}
		fmt.Printf("try:  chancery --endpoint %s --token-file %s cluster status\n", c.Members[0].Endpoint, c.Members[0].TokenFile)
		fmt.Printf("coins:  curl -d '{\"address\": \"ADDRESS\", \"sats\": 5000000}' %s/devnet/faucet\n", c.Net.EsploraURL())
		fmt.Printf("blocks: curl -d '{\"blocks\": 1}' %s/devnet/mine\n", c.Net.EsploraURL())
		<-cmd.Context().Done()
		return c.Stop()
	}
	return cmd
}
