// Command chancery asks a custody cluster: payments, keys, nodes; and works offline on its authority and rosters.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"chancery.dev/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	env := cli.Environment{Endpoint: os.Getenv("CHANCERY_ENDPOINT"), TokenFile: os.Getenv("CHANCERY_TOKEN_FILE"), NoColour: os.Getenv("NO_COLOR") != ""}
	err := cli.Run(ctx, env, os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "chancery:", err)
	}
	os.Exit(cli.ExitCode(err))
}
