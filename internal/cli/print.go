package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// print writes v as JSON, or rows as a table: the first row is the heading.
func (o *options) print(v any, rows func() [][]string) error {
	if o.output == "json" {
		enc := json.NewEncoder(o.out)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	w := tabwriter.NewWriter(o.out, 0, 4, 2, ' ', 0)
	for _, row := range rows() {
		if _, err := fmt.Fprintln(w, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return w.Flush()
}

// colours of states, on a terminal only. The escape codes stand in the last column, so that they do not shift others.
func (o *options) state(s string) string {
	if !o.terminal {
		return s
	}
	switch s {
	case "confirmed", "published", "yes":
		return "\x1b[32m" + s + "\x1b[0m"
	case "denied", "failed", "no":
		return "\x1b[31m" + s + "\x1b[0m"
	}
	return "\x1b[33m" + s + "\x1b[0m"
}

func sats(v int64) string { return fmt.Sprintf("%d sat (%d.%08d BTC)", v, v/1e8, v%1e8) }

func when(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
