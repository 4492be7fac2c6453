package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
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
		for i, cell := range row {
			row[i] = o.cell(cell)
		}
		if _, err := fmt.Fprintln(w, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return w.Flush()
}

// say writes v as JSON, or a sentence.
func (o *options) say(v any, format string, args ...any) error {
	if o.output == "json" {
		return o.print(v, nil)
	}
	_, err := fmt.Fprintf(o.out, format, args...)
	return err
}

// printable is s without what a terminal would take as a command, or a table as the end of a cell.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// stateMark begins a cell that print colours.
const stateMark = "\x00"

// state is the cell of a state. It stands in the last column, so that escape codes do not shift others.
func (o *options) state(s string) string { return stateMark + s }

// cell is a cell as it is printed: coloured when it is a state, on a terminal only.
func (o *options) cell(cell string) string {
	s, isState := strings.CutPrefix(cell, stateMark)
	s = printable(s)
	if !isState || !o.terminal {
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

func sats(v int64) string {
	sign, u := "", uint64(v)
	if v < 0 {
		sign, u = "-", -u
	}
	return fmt.Sprintf("%d sat (%s%d.%08d BTC)", v, sign, u/1e8, u%1e8)
}

// short is the beginning of an id.
func short(id string) string { return id[:min(16, len(id))] }

func when(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
