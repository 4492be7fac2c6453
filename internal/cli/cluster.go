package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"chancery.dev/internal/httpapi"
)

func clusterCommand(o *options) *cobra.Command {
	cmd := group(&cobra.Command{Use: "cluster", Short: "Nodes and quorum"})
	cmd.AddCommand(
		&cobra.Command{Use: "status", Short: "The cluster as the node sees it", Args: exactly(0), RunE: o.online(o.clusterStatus)},
		&cobra.Command{Use: "nodes", Short: "Every node of the roster", Args: exactly(0), RunE: o.online(o.clusterNodes)})
	return cmd
}

func (o *options) clusterStatus(ctx context.Context, c *client, _ []string) error {
	var s httpapi.ClusterStatus
	if err := c.call(ctx, "GET", "/api/v1/cluster/status", nil, &s); err != nil {
		return err
	}
	return o.print(s, func() [][]string {
		return [][]string{{"CLUSTER", s.Cluster}, {"EPOCH", strconv.FormatUint(s.Epoch, 10)}, {"THRESHOLD", fmt.Sprintf("%d of %d", s.Threshold, s.Nodes)},
			{"CONNECTED", strconv.Itoa(s.Connected)}, {"QUORUM", o.state(yesNo(s.Quorum))}, {"KEY", s.ActiveKey}, {"ROSTER", s.RosterDigest}, {"ANSWERED BY", s.Node}}
	})
}

func (o *options) clusterNodes(ctx context.Context, c *client, _ []string) error {
	var l struct {
		Nodes []httpapi.NodeStatus `json:"nodes"`
	}
	if err := c.call(ctx, "GET", "/api/v1/cluster/nodes", nil, &l); err != nil {
		return err
	}
	return o.print(l.Nodes, func() [][]string {
		rows := [][]string{{"NODE", "PARTY", "ADDRESS", "RTT MS", "LAST ERROR", "CONNECTED"}}
		for _, n := range l.Nodes {
			rows = append(rows, []string{n.ID, strconv.Itoa(n.Party), n.Address, strconv.FormatFloat(n.RTTMillis, 'f', 2, 64), n.LastError, o.state(yesNo(n.Connected || n.Self))})
		}
		return rows
	})
}

func dkgCommand(o *options) *cobra.Command {
	cmd := group(&cobra.Command{Use: "dkg", Short: "Key generation"})
	var r httpapi.DKGRequest
	var wait time.Duration
	start := &cobra.Command{Use: "start", Short: "Ask for a key", Args: exactly(0)}
	start.Flags().StringVar(&r.Protocol, "protocol", "frost", "threshold protocol: frost (Taproot addresses) or cggmp24 (segwit version 0)")
	start.Flags().IntVar(&r.Threshold, "threshold", 4, "nodes that must sign")
	start.Flags().IntVar(&r.Total, "total", 5, "nodes that hold a share")
	start.Flags().StringVar(&r.IdempotencyKey, "idempotency-key", "", "the same key and request again give the same ceremony")
	start.Flags().DurationVar(&wait, "wait", 0, "wait until the key is active, at most this long")
	start.RunE = o.online(func(ctx context.Context, c *client, _ []string) error { return o.dkgStart(ctx, c, r, wait) })
	cmd.AddCommand(start, &cobra.Command{Use: "status", Short: "Key generations, newest first", Args: exactly(0),
		RunE: o.online(func(ctx context.Context, c *client, _ []string) error {
			all, err := ceremonies(ctx, c)
			if err != nil {
				return err
			}
			return o.printCeremonies(all)
		})})
	return cmd
}

func ceremonies(ctx context.Context, c *client) ([]httpapi.Ceremony, error) {
	var l struct {
		Ceremonies []httpapi.Ceremony `json:"ceremonies"`
	}
	err := c.call(ctx, "GET", "/api/v1/dkg", nil, &l)
	return l.Ceremonies, err
}

func (o *options) dkgStart(ctx context.Context, c *client, r httpapi.DKGRequest, wait time.Duration) error {
	var k httpapi.Ceremony
	if err := c.call(ctx, "POST", "/api/v1/dkg", r, &k); err != nil {
		return err
	}
	var err error
	if wait > 0 {
		k, err = poll(ctx, wait, func(ctx context.Context) (httpapi.Ceremony, error) {
			all, err := ceremonies(ctx, c)
			for _, other := range all {
				if other.ID == k.ID {
					return other, err
				}
			}
			return k, err
		}, func(k httpapi.Ceremony) bool { return ended(k.State) })
	}
	if perr := o.printCeremonies([]httpapi.Ceremony{k}); perr != nil {
		return perr
	}
	if err == nil && (k.State == "denied" || k.State == "failed") {
		return &httpapi.Problem{Status: 422, Code: k.Reason, Detail: "key generation was " + k.State}
	}
	return err
}

func (o *options) printCeremonies(all []httpapi.Ceremony) error {
	return o.print(all, func() [][]string {
		rows := [][]string{{"CREATED", "KEY", "SUITE", "THRESHOLD", "GROUP KEY", "REASON", "STATE"}}
		for _, k := range all {
			rows = append(rows, []string{when(k.CreatedUnix), short(k.ID), k.Suite, fmt.Sprintf("%d of %d", k.Threshold, k.Total), k.GroupKey, k.Reason, o.state(k.State)})
		}
		return rows
	})
}
