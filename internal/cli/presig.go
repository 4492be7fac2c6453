package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chancery.dev/internal/httpapi"
)

const poolPath = "/api/v1/presignatures"

func presigCommand(o *options) *cobra.Command {
	cmd := group(&cobra.Command{Use: "presig", Short: "Presignatures of an ECDSA key"})
	var r httpapi.PresignRequest
	var wait time.Duration
	generate := &cobra.Command{Use: "generate", Short: "Make presignatures", Args: exactly(0)}
	generate.Flags().IntVar(&r.Count, "count", 10, "how many, 1 to 50")
	generate.Flags().DurationVar(&wait, "wait", 0, "wait until they are made, at most this long, and show how far it is")
	generate.RunE = o.online(func(ctx context.Context, c *client, _ []string) error { return o.presigGenerate(ctx, c, r, wait) })
	cmd.AddCommand(generate,
		&cobra.Command{Use: "list", Short: "Every presignature of the pool", Args: exactly(0), RunE: o.online(o.presigList)},
		&cobra.Command{Use: "status", Short: "How full the pool is", Args: exactly(0), RunE: o.online(o.presigStatus)})
	return cmd
}

func (o *options) presigGenerate(ctx context.Context, c *client, r httpapi.PresignRequest, wait time.Duration) error {
	if r.Count < 1 || r.Count > 50 {
		return usage("--count must be 1 to 50")
	}
	var p httpapi.Pool
	if err := c.call(ctx, "POST", poolPath, r, &p); err != nil {
		return err
	}
	if wait > 0 {
		var err error
		shown := -1
		p, err = poll(ctx, wait, func(ctx context.Context) (httpapi.Pool, error) {
			var p httpapi.Pool
			err := c.call(ctx, "GET", poolPath, nil, &p)
			if err == nil && p.Done != shown && o.output != "json" {
				shown = p.Done
				_, err = fmt.Fprintf(o.out, "%d of %d\n", p.Done, p.Total)
			}
			return p, err
		}, func(p httpapi.Pool) bool { return !p.Running })
		if err != nil {
			return err
		}
	}
	if perr := o.printPool(p); perr != nil {
		return perr
	}
	if wait > 0 && p.LastError != "" {
		return &httpapi.Problem{Status: 422, Code: p.LastError, Detail: "presigning ended early"}
	}
	return nil
}

func (o *options) presigStatus(ctx context.Context, c *client, _ []string) error {
	var p httpapi.Pool
	if err := c.call(ctx, "GET", poolPath, nil, &p); err != nil {
		return err
	}
	return o.printPool(p)
}

func (o *options) printPool(p httpapi.Pool) error {
	return o.print(p, func() [][]string {
		rows := [][]string{{"SIGNERS", "PRESIGNATURES", "TARGET", "RUN"}}
		run := "none"
		if p.Running || p.Total > 0 {
			run = fmt.Sprintf("%d of %d %s", p.Done, p.Total, p.LastError)
		}
		for _, s := range p.Sets {
			rows = append(rows, []string{strings.Join(s.Signers, " "), strconv.Itoa(len(s.Presignatures)), strconv.Itoa(p.Target), run})
		}
		if len(p.Sets) == 0 {
			rows = append(rows, []string{"-", "0", strconv.Itoa(p.Target), run})
		}
		return rows
	})
}

func (o *options) presigList(ctx context.Context, c *client, _ []string) error {
	var p httpapi.Pool
	if err := c.call(ctx, "GET", poolPath, nil, &p); err != nil {
		return err
	}
	return o.print(p.Sets, func() [][]string {
		rows := [][]string{{"SIGNERS", "PRESIGNATURE"}}
		for _, s := range p.Sets {
			for _, id := range s.Presignatures {
				rows = append(rows, []string{strings.Join(s.Signers, " "), id})
			}
		}
		return rows
	})
}
