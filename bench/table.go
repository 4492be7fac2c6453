package main

import (
	"fmt"
	"slices"
	"strings"
)

const frostNote = `"dkg" of ours holds packages, echo, shares and the confirmation by all; the peers' holds no echo (ZF) or a commit round (givre).
"dkg, signed" adds an Ed25519 signature to every message and checks it at every receiver; no peer signs.
`

const cggmp24Note = `Moduli of 3072 bits, 128 repetitions, on both sides. "safe prime" is the mean of one prime of 1536 bits. Ours holds the echoes and
the confirmation by all; "combine" holds the check of the signature, and with a wrong partial signature the search for its maker.
`

// row is one phase of one suite and size: what every peer took, middle of its turns.
type row struct {
	suite string
	n, t  int
	phase string
}

// render makes the table: for each phase ours, the fastest peer, and their ratio. Below 1 ours is faster.
func render(all []result, of bench, head string) string {
	mid, least := map[row]map[string][]float64{}, map[row]map[string]float64{}
	var order []row
	for _, r := range all {
		at := row{r.suite, r.n, r.t, r.phase}
		if mid[at] == nil {
			mid[at], least[at] = map[string][]float64{}, map[string]float64{}
			order = append(order, at)
		}
		if have, ok := least[at][r.peer]; !ok || r.min < have {
			least[at][r.peer] = r.min
		}
		mid[at][r.peer] = append(mid[at][r.peer], r.mid)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# %s beside its peers\n\nCPU milliseconds of one party: middle of the turns' medians, least of all samples in brackets. %s.\n%s\n", strings.ToUpper(of.name), head, of.note)
	b.WriteString("| suite | n, t | phase | ours | peers | ratio to the fastest |\n|---|---|---|---|---|---|\n")
	for _, at := range order {
		fastest, peers := 0.0, []string{}
		for _, peer := range names(mid[at]) {
			if peer == ours {
				continue
			}
			m := median(mid[at][peer])
			if fastest == 0 || m < fastest {
				fastest = m
			}
			peers = append(peers, fmt.Sprintf("%s %.3f (%.3f)", peer, m, least[at][peer]))
		}
		mine, ratio := median(mid[at][ours]), "–"
		if fastest > 0 {
			ratio = fmt.Sprintf("%.2f", mine/fastest)
		}
		fmt.Fprintf(&b, "| %s | %d, %d | %s | %.3f (%.3f) | %s | %s |\n", at.suite, at.n, at.t, at.phase, mine, least[at][ours], strings.Join(peers, ", "), ratio)
	}
	return b.String()
}

const ours = "chancery"

func names(m map[string][]float64) []string {
	var out []string
	for name := range m {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
