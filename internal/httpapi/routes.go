package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

// Initiator is who asks, as far as this API knows: whoever has the token.
const Initiator = "api"

type empty struct{}

type body[T any] struct{ Body T }

type byID struct {
	ID string `path:"id" minLength:"64" maxLength:"64" pattern:"^[0-9a-f]+$" doc:"intent id"`
}

type list struct {
	Limit int `query:"limit" minimum:"1" maximum:"500" default:"50"`
}

// Lists are objects with one field, so that a field can be added beside it.
type transactions struct {
	Transactions []Transaction `json:"transactions" nullable:"false"`
}
type ceremonies struct {
	Ceremonies []Ceremony `json:"ceremonies" nullable:"false"`
}
type nodes struct {
	Nodes []NodeStatus `json:"nodes" nullable:"false"`
}

type health struct {
	Status string `json:"status" enum:"ok"`
}

// refusals are the statuses that any operation can answer with; a body can be wrong in more ways.
var (
	refusals     = []int{401, 404, 409, 422, 429, 500, 502, 503}
	bodyRefusals = []int{400, 408, 413, 415}
)

// route registers one operation whose function returns the body or a domain error.
func route[In, Out any](api huma.API, log *slog.Logger, method, path, id, summary string, status int, f func(context.Context, *In) (Out, error)) {
	op := huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, DefaultStatus: status, MaxBodyBytes: MaxBody, Errors: refusals}
	if method == http.MethodPost {
		op.Errors = append(slices.Clone(refusals), bodyRefusals...)
	}
	huma.Register(api, op, func(ctx context.Context, in *In) (*body[Out], error) {
		out, err := f(ctx, in)
		if err != nil {
			return nil, problem(log, err)
		}
		return &body[Out]{out}, nil
	})
}

// probe registers an operation that needs no token and is answered 200 or 503.
func probe(api huma.API, path, id, summary string, f func(context.Context) error) {
	op := huma.Operation{OperationID: id, Method: http.MethodGet, Path: path, Summary: summary, Security: []map[string][]string{}, Errors: []int{422, 503}}
	huma.Register(api, op, func(ctx context.Context, _ *empty) (*body[health], error) {
		if err := f(ctx); err != nil {
			return nil, err
		}
		return &body[health]{health{"ok"}}, nil
	})
}

func register(api huma.API, b Backend, log *slog.Logger) {
	const get, post = http.MethodGet, http.MethodPost
	route(api, log, get, "/api/v1/wallet/balance", "wallet-balance", "Balance of the wallet", 200,
		func(ctx context.Context, _ *empty) (Balance, error) { return b.Balance(ctx) })
	route(api, log, get, "/api/v1/wallet/address", "wallet-address", "Next unused receiving address", 200,
		func(ctx context.Context, _ *empty) (Address, error) { return b.Address(ctx) })
	route(api, log, post, "/api/v1/transactions", "create-transaction", "Ask for a payment", 202,
		func(ctx context.Context, in *body[SendRequest]) (Transaction, error) {
			return b.Send(ctx, Initiator, in.Body)
		})
	route(api, log, get, "/api/v1/transactions", "list-transactions", "Payments, newest first", 200,
		func(ctx context.Context, in *list) (transactions, error) {
			out, err := b.ListTransactions(ctx, in.Limit)
			return transactions{out}, err
		})
	route(api, log, get, "/api/v1/transactions/{id}", "get-transaction", "One payment", 200,
		func(ctx context.Context, in *byID) (Transaction, error) { return b.Transaction(ctx, in.ID) })
	route(api, log, get, "/api/v1/transactions/{id}/receipts", "get-receipts", "The intent and every node's receipts", 200,
		func(ctx context.Context, in *byID) (Receipts, error) { return b.Receipts(ctx, in.ID) })
	route(api, log, post, "/api/v1/dkg", "start-dkg", "Ask for a key", 202,
		func(ctx context.Context, in *body[DKGRequest]) (Ceremony, error) {
			return b.StartDKG(ctx, Initiator, in.Body)
		})
	route(api, log, get, "/api/v1/dkg", "dkg-status", "Key generations, newest first", 200,
		func(ctx context.Context, _ *empty) (ceremonies, error) {
			out, err := b.DKGStatus(ctx)
			return ceremonies{out}, err
		})
	route(api, log, post, "/api/v1/presignatures", "make-presignatures", "Make presignatures of the wallet's ECDSA key", 202,
		func(ctx context.Context, in *body[PresignRequest]) (Pool, error) {
			return b.MakePresignatures(ctx, in.Body.Count)
		})
	route(api, log, get, "/api/v1/presignatures", "list-presignatures", "The pool of presignatures", 200,
		func(ctx context.Context, _ *empty) (Pool, error) { return b.Pool(ctx) })
	route(api, log, get, "/api/v1/cluster/status", "cluster-status", "The cluster as this node sees it", 200,
		func(ctx context.Context, _ *empty) (ClusterStatus, error) { return b.Status(ctx) })
	route(api, log, get, "/api/v1/cluster/nodes", "cluster-nodes", "Every node of the roster", 200,
		func(ctx context.Context, _ *empty) (nodes, error) {
			out, err := b.Nodes(ctx)
			return nodes{out}, err
		})
	probe(api, "/health", "health", "The process runs", func(context.Context) error { return nil })
	probe(api, "/ready", "ready", "The node can take part: a quorum can be reached and the chain source answers",
		func(ctx context.Context) error { return notReady(log, b.Ready(ctx)) })
}
