package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"chancery.dev/internal/pki"
)

// maxDays is the longest life of a certificate.
const maxDays = int(pki.MaxLeafLifetime / (24 * time.Hour))

// caCommand is the offline authority. It works on files alone.
func caCommand(o *options) *cobra.Command {
	cmd := group(&cobra.Command{Use: "ca", Short: "The cluster's certificate authority (offline)"})
	var dir string
	cmd.PersistentFlags().StringVar(&dir, "dir", "ca", "directory of the authority")
	var cluster string
	create := &cobra.Command{Use: "init", Short: "Make an authority", Args: exactly(0), RunE: func(*cobra.Command, []string) error {
		if cluster == "" {
			return usage("--cluster is needed: the name of the cluster")
		}
		ca, err := pki.CreateCA(dir, cluster, time.Now())
		if err != nil {
			return err
		}
		made := madeCA{ca.Cluster, dir, fmt.Sprintf("%x", pki.SPKIPin(ca.Cert))}
		return o.say(made, "authority of %s made in %s\nSHA-256 of its key: %s\n", made.Cluster, dir, made.Pin)
	}}
	create.Flags().StringVar(&cluster, "cluster", "", "name of the cluster")
	var out string
	var days int
	issue := &cobra.Command{Use: "issue REQUEST", Short: "Issue a node's certificate from its request", Args: exactly(1), RunE: func(_ *cobra.Command, args []string) error {
		return o.issue(dir, args[0], out, days)
	}}
	issue.Flags().StringVar(&out, "out", "", "identity directory to install certificate and root into")
	issue.Flags().IntVar(&days, "days", maxDays, "lifetime, at most 30")
	list := &cobra.Command{Use: "list", Short: "What was issued", Args: exactly(0), RunE: func(*cobra.Command, []string) error { return o.caList(dir) }}
	cmd.AddCommand(create, issue, list)
	return cmd
}

// What the offline commands print as JSON.
type (
	madeCA struct {
		Cluster   string `json:"cluster"`
		Directory string `json:"directory"`
		Pin       string `json:"spki_sha256"`
	}
	issued struct {
		pki.Issued
		Certificate string `json:"certificate"` // PEM
	}
	madeIdentity struct {
		Cluster   string `json:"cluster"`
		ID        string `json:"id"`
		Directory string `json:"directory"`
		Identity  string `json:"identity_key"`
	}
	rosterSummary struct {
		Cluster   string `json:"cluster"`
		Epoch     uint64 `json:"epoch"`
		Threshold int    `json:"threshold"`
		Nodes     int    `json:"nodes"`
		Digest    string `json:"digest"`
	}
)

func summary(r *pki.Roster) rosterSummary {
	return rosterSummary{r.Cluster, r.Epoch, r.Threshold, len(r.Nodes), fmt.Sprintf("%x", r.Digest())}
}

func (o *options) issue(dir, request, out string, days int) error {
	if days < 1 || days > maxDays {
		return usage("--days must be from 1 to %d", maxDays)
	}
	ca, err := pki.OpenCA(dir)
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(request)
	if err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	var r pki.Request
	if err := json.Unmarshal(raw, &r); err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	cert, entry, err := ca.Enroll(r, time.Duration(days)*24*time.Hour, time.Now())
	if err != nil {
		return err
	}
	if out == "" {
		return o.say(issued{entry, string(cert)}, "%s", cert)
	}
	root, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return fmt.Errorf("read root: %w", err)
	}
	if err := pki.InstallCertificate(out, cert, root); err != nil {
		return err
	}
	return o.say(issued{entry, string(cert)}, "certificate of %s, serial %s, until %s\n", entry.ID, entry.Serial, entry.NotAfter.UTC().Format(time.RFC3339))
}

func (o *options) caList(dir string) error {
	ca, err := pki.OpenCA(dir)
	if err != nil {
		return err
	}
	all, err := ca.List()
	if err != nil {
		return err
	}
	if all == nil {
		all = []pki.Issued{} // in JSON an empty list, not null
	}
	return o.print(all, func() [][]string {
		rows := [][]string{{"NODE", "UNTIL", "SPKI SHA-256", "SERIAL"}}
		for _, e := range all {
			rows = append(rows, []string{string(e.ID), e.NotAfter.UTC().Format(time.RFC3339), e.Pin, e.Serial})
		}
		return rows
	})
}

// identityCommand makes a node's keys.
func identityCommand(o *options) *cobra.Command {
	var dir, cluster, id string
	cmd := group(&cobra.Command{Use: "identity", Short: "A node's own keys (offline)"})
	create := &cobra.Command{Use: "init", Short: "Make a node's keys and its request for a certificate", Args: exactly(0), RunE: func(*cobra.Command, []string) error {
		if cluster == "" || id == "" {
			return usage("--cluster and --node are needed: the names of both")
		}
		r, err := pki.NewIdentity(dir, cluster, pki.NodeID(id))
		if err != nil {
			return err
		}
		return o.say(madeIdentity{cluster, id, dir, r.Identity}, "identity of %s made in %s\npublic identity key: %s\nsend request.json to the authority\n", id, dir, r.Identity)
	}}
	create.Flags().StringVar(&dir, "dir", "identity", "directory of the keys")
	create.Flags().StringVar(&cluster, "cluster", "", "name of the cluster")
	create.Flags().StringVar(&id, "node", "", "id of the node")
	cmd.AddCommand(create)
	return cmd
}

// rosterCommand makes and checks rosters.
func rosterCommand(o *options) *cobra.Command {
	cmd := group(&cobra.Command{Use: "roster", Short: "Who the nodes are (offline)"})
	var ca, out string
	var epoch uint64
	var threshold int
	create := &cobra.Command{Use: "make NODE=HOST:PORT...", Short: "Make a roster from what the authority issued", RunE: func(_ *cobra.Command, args []string) error {
		return o.makeRoster(ca, out, epoch, threshold, args)
	}}
	create.Flags().StringVar(&ca, "ca", "ca", "directory of the authority")
	create.Flags().StringVar(&out, "out", "roster.json", "file to write")
	create.Flags().Uint64Var(&epoch, "epoch", 1, "epoch of the roster")
	create.Flags().IntVar(&threshold, "threshold", 4, "nodes that must agree")
	check := &cobra.Command{Use: "check FILE", Short: "Check a roster and print its digest", Args: exactly(1), RunE: func(_ *cobra.Command, args []string) error {
		r, err := pki.LoadRoster(args[0])
		if err != nil {
			return err
		}
		return o.say(summary(r), "cluster %s, epoch %d, %d of %d nodes, digest %x\n", r.Cluster, r.Epoch, r.Threshold, len(r.Nodes), r.Digest())
	}}
	cmd.AddCommand(create, check)
	return cmd
}

func (o *options) makeRoster(dir, out string, epoch uint64, threshold int, args []string) error {
	ca, err := pki.OpenCA(dir)
	if err != nil {
		return err
	}
	issued, err := ca.List()
	if err != nil {
		return err
	}
	r, err := pki.MakeRoster(ca.Cluster, epoch, threshold, issued, args)
	if err != nil {
		return errors.Join(usage("each argument names a node and its address, as node-1=10.0.0.1:9000"), err)
	}
	raw, err := r.Encode()
	if err != nil {
		return err
	}
	if err := os.WriteFile(out, raw, 0o644); err != nil {
		return fmt.Errorf("write roster: %w", err)
	}
	return o.say(summary(r), "roster of %d nodes written to %s, digest %x\n", len(r.Nodes), out, r.Digest())
}
