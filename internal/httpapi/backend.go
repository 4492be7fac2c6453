package httpapi

import (
	"context"
	"encoding/json"
)

// Backend is what the REST surface asks of a node, one interface for each kind of question.
type Backend interface {
	Wallets
	Transactions
	Keys
	Cluster
}

// Wallets answers questions about the coins.
type Wallets interface {
	Balance(ctx context.Context) (Balance, error)
	Address(ctx context.Context) (Address, error)
}

// Transactions takes and shows payments.
type Transactions interface {
	Send(ctx context.Context, initiator string, r SendRequest) (Transaction, error)
	Transaction(ctx context.Context, id string) (Transaction, error)
	ListTransactions(ctx context.Context, limit int) ([]Transaction, error)
	Receipts(ctx context.Context, id string) (Receipts, error)
}

// Keys makes keys and shows how far that is.
type Keys interface {
	StartDKG(ctx context.Context, initiator string, r DKGRequest) (Ceremony, error)
	DKGStatus(ctx context.Context) ([]Ceremony, error)
	MakePresignatures(ctx context.Context, count int) (Pool, error)
	Pool(ctx context.Context) (Pool, error)
}

// Cluster shows who is there.
type Cluster interface {
	Status(ctx context.Context) (ClusterStatus, error)
	Nodes(ctx context.Context) ([]NodeStatus, error)
	Ready(ctx context.Context) error
}

// Coded is an error with a reason code; every refusal of the domain is one.
type Coded interface {
	error
	ReasonCode() string
}

// PresignRequest asks for presignatures.
type PresignRequest struct {
	Count int `json:"count" minimum:"1" maximum:"50"`
}

// Pool is the presignatures that this node shares with sets of signers, and the run that is under way or was the last.
type Pool struct {
	Sets      []PoolSet `json:"sets" nullable:"false"`
	Target    int       `json:"target" doc:"how many are kept for the set that this node leads; negative: none"`
	Running   bool      `json:"running"`
	Done      int       `json:"done" doc:"made in that run"`
	Total     int       `json:"total" doc:"asked for in that run"`
	LastError string    `json:"last_error,omitempty" doc:"reason code of a run that ended early"`
}

// PoolSet is one set of signers.
type PoolSet struct {
	Signers       []string `json:"signers" nullable:"false"`
	Presignatures []string `json:"presignatures" nullable:"false" doc:"their ids"`
}

// Balance is in satoshis.
type Balance struct {
	ConfirmedSats int64  `json:"confirmed_sats"`
	PendingSats   int64  `json:"pending_sats" doc:"unconfirmed: incoming, and own change"`
	ReservedSats  int64  `json:"reserved_sats" doc:"coins that a payment under way will spend"`
	Coins         int    `json:"coins"`
	Network       string `json:"network"`
	Height        int64  `json:"height" doc:"of the chain source's tip"`
}

// Address is the next unused receiving address and the descriptor that it comes from.
type Address struct {
	Address    string `json:"address"`
	Path       string `json:"path" doc:"chain/index below the group key"`
	Descriptor string `json:"descriptor"`
	Network    string `json:"network"`
	KeyID      string `json:"key_id"`
}

// SendRequest asks for a payment.
type SendRequest struct {
	Recipient      string `json:"recipient" minLength:"1" maxLength:"100" doc:"address on the wallet's network"`
	AmountSats     int64  `json:"amount_sats" minimum:"1" maximum:"2100000000000000"`
	FeeRate        int64  `json:"fee_rate_sat_per_kvb,omitempty" minimum:"0" maximum:"100000000" doc:"satoshis for 1000 virtual bytes; 0 or absent: estimated"`
	IdempotencyKey string `json:"idempotency_key,omitempty" maxLength:"128" doc:"the same key and payment again give the same transaction"`
}

// Transaction is a payment as this node sees it.
type Transaction struct {
	ID            string  `json:"id" doc:"intent id"`
	State         string  `json:"state"`
	Reason        string  `json:"reason,omitempty" doc:"reason code when denied or failed"`
	Recipient     string  `json:"recipient"`
	AmountSats    int64   `json:"amount_sats"`
	FeeSats       int64   `json:"fee_sats"`
	TxID          string  `json:"txid,omitempty"`
	Confirmations int64   `json:"confirmations"`
	Attempt       int     `json:"attempt"`
	Ballots       []Vote  `json:"ballots" nullable:"false"`
	Timeline      []Mark  `json:"timeline" nullable:"false"`
	Display       []Field `json:"display" nullable:"false" doc:"what was asked, derived from the canonical intent"`
	CreatedUnix   int64   `json:"created_unix"`
}

// Vote is a node's answer.
type Vote struct {
	Node     string `json:"node"`
	Question string `json:"question"`
	Yes      bool   `json:"yes"`
	Reason   string `json:"reason,omitempty"`
}

// Mark says when a state was reached on this node.
type Mark struct {
	State     string `json:"state"`
	UnixMilli int64  `json:"unix_milli"`
}

// Field is a label and its text.
type Field struct {
	Label string `json:"label"`
	Text  string `json:"text"`
}

// Receipts is everything an auditor needs besides the roster: the canonical intent and each node's receipt chain.
type Receipts struct {
	Intent json.RawMessage   `json:"intent"`
	Chains []json.RawMessage `json:"chains" nullable:"false"`
}

// DKGRequest asks for a key.
type DKGRequest struct {
	Protocol       string `json:"protocol" enum:"frost,cggmp24" doc:"threshold protocol: frost gives Taproot addresses, cggmp24 segwit version 0"`
	Threshold      int    `json:"threshold" minimum:"2" maximum:"64"`
	Total          int    `json:"total" minimum:"2" maximum:"64" doc:"must be the number of nodes on the roster"`
	IdempotencyKey string `json:"idempotency_key,omitempty" maxLength:"128"`
}

// Ceremony is a key generation.
type Ceremony struct {
	ID          string `json:"id" doc:"intent id; it is also the key's id"`
	Protocol    string `json:"protocol"`
	Suite       string `json:"suite"`
	Threshold   int    `json:"threshold"`
	Total       int    `json:"total"`
	State       string `json:"state"`
	Reason      string `json:"reason,omitempty"`
	GroupKey    string `json:"group_key,omitempty" doc:"compressed, hex"`
	Timeline    []Mark `json:"timeline" nullable:"false"`
	CreatedUnix int64  `json:"created_unix"`
}

// ClusterStatus is the cluster as this node sees it.
type ClusterStatus struct {
	Cluster      string `json:"cluster"`
	Epoch        uint64 `json:"epoch"`
	RosterDigest string `json:"roster_digest"`
	Threshold    int    `json:"threshold"`
	Nodes        int    `json:"nodes"`
	Connected    int    `json:"connected" doc:"nodes that can be reached, this one included"`
	Quorum       bool   `json:"quorum"`
	ActiveKey    string `json:"active_key,omitempty"`
	Node         string `json:"node" doc:"who answers"`
}

// NodeStatus is one node as this node sees it.
type NodeStatus struct {
	ID        string  `json:"id"`
	Party     int     `json:"party"`
	Address   string  `json:"address"`
	Self      bool    `json:"self"`
	Connected bool    `json:"connected"`
	RTTMillis float64 `json:"rtt_millis"`
	LastError string  `json:"last_error,omitempty"`
}
