package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"chancery.dev/internal/httpapi"
)

func walletCommand(o *options) *cobra.Command {
	cmd := group(&cobra.Command{Use: "wallet", Short: "Addresses and balance"})
	cmd.AddCommand(
		&cobra.Command{Use: "address", Short: "Next unused receiving address", Args: exactly(0), RunE: o.online(o.walletAddress)},
		&cobra.Command{Use: "balance", Short: "Balance of the wallet", Args: exactly(0), RunE: o.online(o.walletBalance)})
	return cmd
}

func (o *options) walletAddress(ctx context.Context, c *client, _ []string) error {
	var a httpapi.Address
	if err := c.call(ctx, "GET", "/api/v1/wallet/address", nil, &a); err != nil {
		return err
	}
	return o.print(a, func() [][]string {
		return [][]string{{"ADDRESS", a.Address}, {"PATH", a.Path}, {"NETWORK", a.Network}, {"DESCRIPTOR", a.Descriptor}}
	})
}

func (o *options) walletBalance(ctx context.Context, c *client, _ []string) error {
	var b httpapi.Balance
	if err := c.call(ctx, "GET", "/api/v1/wallet/balance", nil, &b); err != nil {
		return err
	}
	return o.print(b, func() [][]string {
		return [][]string{{"CONFIRMED", sats(b.ConfirmedSats)}, {"PENDING", sats(b.PendingSats)}, {"RESERVED", sats(b.ReservedSats)},
			{"COINS", strconv.Itoa(b.Coins)}, {"NETWORK", b.Network}, {"HEIGHT", strconv.FormatInt(b.Height, 10)}}
	})
}

// Bounds of a payment, as the API has them.
const (
	maxSats    = 21e14
	maxFeeRate = 1e8
)

func sendCommand(o *options) *cobra.Command {
	var r httpapi.SendRequest
	var wait time.Duration
	cmd := &cobra.Command{Use: "send --to ADDRESS --amount SATS", Short: "Ask for a payment", Args: exactly(0)}
	cmd.Flags().StringVar(&r.Recipient, "to", "", "address to pay")
	cmd.Flags().Var(whole{&r.AmountSats, maxSats}, "amount", "satoshis to pay")
	cmd.Flags().Var(whole{&r.FeeRate, maxFeeRate}, "fee-rate", "satoshis for 1000 virtual bytes (default: estimated)")
	cmd.Flags().StringVar(&r.IdempotencyKey, "idempotency-key", "", "the same key and payment again give the same transaction")
	cmd.Flags().DurationVar(&wait, "wait", 0, "wait until it is published, at most this long")
	cmd.RunE = o.online(func(ctx context.Context, c *client, _ []string) error {
		switch {
		case r.Recipient == "" && r.AmountSats == 0:
			return usage("--to and --amount are needed")
		case r.Recipient == "":
			return usage("--to is needed: the address to pay")
		case r.AmountSats == 0:
			return usage("--amount is needed: the satoshis to pay")
		}
		var t httpapi.Transaction
		if err := c.call(ctx, "POST", "/api/v1/transactions", r, &t); err != nil {
			return err
		}
		if wait > 0 {
			return o.waitFor(ctx, c, t.ID, wait, func(t httpapi.Transaction) bool { return t.State == "published" || ended(t.State) })
		}
		return o.printTransaction(t)
	})
	return cmd
}

func ended(state string) bool { return state == "confirmed" || state == "denied" || state == "failed" }

// waitFor polls a payment, prints it, and fails when it did not come to a good end.
func (o *options) waitFor(ctx context.Context, c *client, id string, wait time.Duration, done func(httpapi.Transaction) bool) error {
	t, err := poll(ctx, wait, func(ctx context.Context) (httpapi.Transaction, error) {
		var t httpapi.Transaction
		err := c.call(ctx, "GET", "/api/v1/transactions/"+url.PathEscape(id), nil, &t)
		return t, err
	}, done)
	if t.ID != "" {
		if perr := o.printTransaction(t); perr != nil {
			return perr
		}
	}
	if err == nil && (t.State == "denied" || t.State == "failed") {
		return &httpapi.Problem{Status: 422, Code: t.Reason, Detail: "payment was " + t.State}
	}
	return err
}

func (o *options) printTransaction(t httpapi.Transaction) error {
	return o.print(t, func() [][]string {
		rows := [][]string{{"ID", t.ID}, {"STATE", o.state(t.State)}, {"TO", t.Recipient}, {"AMOUNT", sats(t.AmountSats)}, {"FEE", sats(t.FeeSats)}}
		if t.Reason != "" {
			rows = append(rows, []string{"REASON", t.Reason})
		}
		if t.TxID != "" {
			rows = append(rows, []string{"TXID", t.TxID}, []string{"CONFIRMATIONS", strconv.FormatInt(t.Confirmations, 10)})
		}
		for _, v := range t.Ballots {
			rows = append(rows, []string{"BALLOT", fmt.Sprintf("%s: %s %s", v.Node, yesNo(v.Yes), v.Reason)})
		}
		return rows
	})
}

func txCommand(o *options) *cobra.Command {
	cmd := group(&cobra.Command{Use: "tx", Short: "Payments"})
	var wait time.Duration
	status := &cobra.Command{Use: "status ID", Short: "One payment", Args: exactly(1), RunE: o.online(func(ctx context.Context, c *client, args []string) error {
		return o.waitFor(ctx, c, args[0], max(wait, time.Millisecond), func(t httpapi.Transaction) bool { return wait == 0 || ended(t.State) })
	})}
	status.Flags().DurationVar(&wait, "wait", 0, "wait until it is confirmed, at most this long")
	var limit int
	list := &cobra.Command{Use: "list", Short: "Payments, newest first", Args: exactly(0), RunE: o.online(func(ctx context.Context, c *client, _ []string) error {
		return o.txList(ctx, c, limit)
	})}
	list.Flags().IntVar(&limit, "limit", 50, "how many")
	var file string
	receipts := &cobra.Command{Use: "receipts ID", Short: "The intent and every node's receipts", Args: exactly(1), RunE: o.online(func(ctx context.Context, c *client, args []string) error {
		return o.txReceipts(ctx, c, args[0], file)
	})}
	receipts.Flags().StringVar(&file, "file", "", "write them here, mode 0600, and not to the screen")
	cmd.AddCommand(status, list, receipts)
	return cmd
}

func (o *options) txList(ctx context.Context, c *client, limit int) error {
	var l struct {
		Transactions []httpapi.Transaction `json:"transactions"`
	}
	if err := c.call(ctx, "GET", "/api/v1/transactions?limit="+strconv.Itoa(limit), nil, &l); err != nil {
		return err
	}
	return o.print(l.Transactions, func() [][]string {
		rows := [][]string{{"CREATED", "ID", "TO", "AMOUNT", "CONF", "STATE"}}
		for _, t := range l.Transactions {
			rows = append(rows, []string{when(t.CreatedUnix), short(t.ID), t.Recipient, strconv.FormatInt(t.AmountSats, 10), strconv.FormatInt(t.Confirmations, 10), o.state(t.State)})
		}
		return rows
	})
}

func (o *options) txReceipts(ctx context.Context, c *client, id, file string) error {
	var r httpapi.Receipts
	if err := c.call(ctx, "GET", "/api/v1/transactions/"+url.PathEscape(id)+"/receipts", nil, &r); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if file == "" {
		_, err = fmt.Fprintln(o.out, string(raw))
		return err
	}
	return writePrivate(file, append(raw, '\n'))
}

// writePrivate writes a file of mode 0600, also where one of another mode was.
func writePrivate(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = f.Chmod(0o600)
	if err == nil {
		_, err = f.Write(data)
	}
	return errors.Join(err, f.Close())
}
