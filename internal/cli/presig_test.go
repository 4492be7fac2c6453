package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"chancery.dev/internal/httpapi"
)

// presig runs one command against a node and gives what it printed.
func presig(t *testing.T, change func(*backend), args ...string) (string, error) {
	t.Helper()
	b, env := node(t)
	if change != nil {
		change(b)
	}
	var out bytes.Buffer
	err := Run(t.Context(), env, args, &out)
	return out.String(), err
}

func TestPresigCommands(t *testing.T) {
	made := func(b *backend) { b.states = []string{"pending", "made"} }
	for _, c := range []struct {
		args string
		want []string
	}{
		{"presig status", []string{"node-1 node-2", "TARGET", "50", "1 of 3"}},
		{"presig list", []string{idOf(4), idOf(5), "node-1 node-2"}},
		{"presig generate --count 3", []string{"0 of 3"}},
		{"presig generate --count 3 --wait 20s", []string{"1 of 3\n", "3 of 3"}},
	} {
		var change func(*backend)
		if strings.Contains(c.args, "--wait") {
			change = made
		}
		out, err := presig(t, change, strings.Fields(c.args)...)
		if err != nil {
			t.Errorf("%s: %v", c.args, err)
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q lacks %q", c.args, out, want)
			}
		}
	}
	out, err := presig(t, made, "presig", "generate", "--count", "3", "--wait", "20s", "-o", "json")
	var p httpapi.Pool
	if jerr := json.Unmarshal([]byte(out), &p); err != nil || jerr != nil || p.Done != 3 || p.Running {
		t.Errorf("%q: %v %v", out, err, jerr)
	}
}

func TestPresigRefuses(t *testing.T) {
	for _, args := range []string{"presig generate --count 0", "presig generate --count 51", "presig generate --count x", "presig generate more", "presig nonsense"} {
		if _, err := presig(t, nil, strings.Fields(args)...); ExitCode(err) != 2 {
			t.Errorf("%s: exit code %d, %v", args, ExitCode(err), err)
		}
	}
	_, err := presig(t, func(b *backend) { b.states, b.reason = []string{"pending", "made"}, "REMOTE_TIMEOUT" }, "presig", "generate", "--wait", "20s")
	if ExitCode(err) != 3 {
		t.Errorf("a run that ended early: exit code %d, %v", ExitCode(err), err)
	}
}
