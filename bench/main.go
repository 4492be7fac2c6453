// Command bench measures our protocols beside their peers, in one run on one core, and prints the ratios.
//
// Every figure is CPU time of the process in milliseconds, for one party: the least and the middle of all samples. Ours
// and the peers' programs take turns, so that a noisy neighbour hits all of them alike; only ratios count.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func main() {
	dir := flag.String("dir", "bench", "folder of the peers' programs and of the results")
	turns := flag.Int("turns", 5, "how often ours and the peers' programs take turns")
	runs := flag.Int("runs", 40, "runs of each phase in one turn")
	ours := flag.Bool("ours", false, "only ours, one turn, as lines")
	suite := flag.String("suite", "frost", "frost or cggmp24")
	flag.Parse()
	b, known := benches[*suite]
	err := errors.New("turns and runs must be above zero, and the suite one of frost and cggmp24")
	if *turns > 0 && *runs > 0 && known {
		err = b.run(*dir, *turns, *runs, *ours)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one comparison: ours, the peers' programs, and what the table says of itself.
type bench struct {
	name   string
	ours   func(runs int) ([]result, error)
	folder string // of the peers' programs, below the bench folder
	peers  func(target string, runs int) [][]string
	note   string
}

var benches = map[string]bench{
	"frost": {"frost", measureFROST, "peers", func(target string, runs int) [][]string {
		return [][]string{{filepath.Join(target, "zf"), strconv.Itoa(runs)}, {filepath.Join(target, "givre"), strconv.Itoa(runs)}}
	}, frostNote},
	"cggmp24": {"cggmp24", measureCGGMP24, "peers-cggmp24", func(target string, runs int) [][]string {
		program, primes := filepath.Join(target, "cggmp24"), filepath.Join(filepath.Dir(target), "primes.json")
		out := [][]string{{program, "safeprimes", strconv.Itoa(4 * runs)}}
		for _, s := range sizes {
			out = append(out, []string{program, "run", strconv.Itoa(s.n), strconv.Itoa(s.t), primes, strconv.Itoa(runs)})
		}
		return out
	}, cggmp24Note},
}

func (b bench) run(dir string, turns, runs int, ours bool) error {
	if ours {
		return b.printOurs(runs)
	}
	core, err := pin()
	if err != nil {
		return err
	}
	if err := buildPeers(filepath.Join(dir, b.folder)); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	programs := [][]string{{self, "-ours", "-suite", b.name, "-runs", strconv.Itoa(runs)}}
	programs = append(programs, b.peers(filepath.Join(dir, b.folder, "target", "release"), runs)...)
	var all []result
	for turn := range turns {
		for _, p := range programs {
			lines, err := measure(p)
			if err != nil {
				return err
			}
			all = append(all, lines...)
		}
		fmt.Fprintf(os.Stderr, "turn %d of %d\n", turn+1, turns)
	}
	table := render(all, b, fmt.Sprintf("%s, %s/%s, core %d, %d turns of %d runs", runtime.Version(), runtime.GOOS, runtime.GOARCH, core, turns, runs))
	fmt.Print(table)
	results := filepath.Join(dir, "results")
	if err := os.MkdirAll(results, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(results, b.name+".md"), []byte(table), 0o644)
}

// pin keeps this process, and every one that it starts, on one core.
func pin() (int, error) {
	runtime.LockOSThread()
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return 0, fmt.Errorf("read affinity: %w", err)
	}
	for core := 1023; core >= 0; core-- { // the last: the first serves most interrupts
		if allowed.IsSet(core) {
			var one unix.CPUSet
			one.Set(core)
			return core, unix.SchedSetaffinity(0, &one)
		}
	}
	return 0, errors.New("no core is allowed")
}

func buildPeers(dir string) error {
	cmd := exec.Command("cargo", "build", "--release", "--quiet")
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build peers (needs Rust): %w", err)
	}
	return nil
}

func measure(program []string) ([]result, error) {
	var stdout bytes.Buffer
	cmd := exec.Command(program[0], program[1:]...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.Stdout, cmd.Stderr = &stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(program[0]), err)
	}
	var out []result
	for s := bufio.NewScanner(&stdout); s.Scan(); {
		r, err := parse(s.Text())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(program[0]), err)
		}
		out = append(out, r)
	}
	return out, nil
}

func (b bench) printOurs(runs int) error {
	results, err := b.ours(runs)
	for _, r := range results {
		fmt.Println(r)
	}
	return err
}

// result is one line: least and middle of some samples, milliseconds of one party.
type result struct {
	peer, suite string
	n, t        int
	phase       string
	min, mid    float64
}

func (r result) String() string {
	return fmt.Sprintf("%s\t%s\t%d\t%d\t%s\t%.6f\t%.6f", r.peer, r.suite, r.n, r.t, r.phase, r.min, r.mid)
}

func parse(line string) (result, error) {
	f := strings.Split(line, "\t")
	if len(f) != 7 {
		return result{}, fmt.Errorf("line has %d fields", len(f))
	}
	r := result{peer: f[0], suite: f[1], phase: f[4]}
	var errs [4]error
	r.n, errs[0] = strconv.Atoi(f[2])
	r.t, errs[1] = strconv.Atoi(f[3])
	r.min, errs[2] = strconv.ParseFloat(f[5], 64)
	r.mid, errs[3] = strconv.ParseFloat(f[6], 64)
	return r, errors.Join(errs[:]...)
}

// samples are the times of the phases of one size and suite.
type samples struct {
	order []string
	times map[string][]float64
}

func newSamples() *samples { return &samples{times: map[string][]float64{}} }

// time adds one sample: CPU time of f, divided by the parties that it computed for.
func (s *samples) time(phase string, parties int, f func() error) error {
	start, err := cpu()
	if err != nil {
		return err
	}
	if err := f(); err != nil {
		return fmt.Errorf("%s: %w", phase, err)
	}
	end, err := cpu()
	if err != nil {
		return err
	}
	if s.times[phase] == nil {
		s.order = append(s.order, phase)
	}
	s.times[phase] = append(s.times[phase], (end-start)/float64(parties))
	return nil
}

// cpu is this process's CPU time in milliseconds, of all its threads.
func cpu() (float64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		return 0, fmt.Errorf("read CPU clock: %w", err)
	}
	return float64(ts.Sec)*1e3 + float64(ts.Nsec)*1e-6, nil
}

func (s *samples) results(peer, suite string, n, t int) []result {
	var out []result
	for _, phase := range s.order {
		times := s.times[phase]
		slices.Sort(times)
		out = append(out, result{peer, suite, n, t, phase, times[0], times[len(times)/2]})
	}
	return out
}
