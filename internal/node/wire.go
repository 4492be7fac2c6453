package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"chancery.dev/internal/evidence"
	"chancery.dev/internal/intent"
	"chancery.dev/internal/mesh"
	"chancery.dev/internal/quorum"
)

// Kinds of messages on the mesh, beside the engine's own.
const (
	kindOpen      mesh.Kind = 16 + iota // fresh randomness for a session
	kindPropose                         // an intent, from the node that took it
	kindBallot                          // a signed vote
	kindBegin                           // the coordinator's call to execute, with the certificate
	kindPartials                        // released partial signatures, to the publisher
	kindFailed                          // a signer could not execute
	kindPublished                       // the signed transaction
	kindReceipts                        // a node's receipt chain
	kindPresign                         // a call to make presignatures
)

// maxRoad bounds the JSON of a road message in bytes.
const maxRoad = 512 << 10

// propose carries canonical bytes; whoever reads them computes the id anew.
type propose struct {
	Intent []byte `json:"intent"`
}

// begin calls the signers of one attempt.
type begin struct {
	Intent      intent.ID          `json:"intent"`
	Attempt     uint32             `json:"attempt"`
	Signers     []uint16           `json:"signers"`
	Certificate quorum.Certificate `json:"certificate"`
	// Presignatures are of the signers' pool, one for each input; none when they are made in one go.
	Presignatures [][]byte `json:"presignatures,omitempty"`
}

// presign calls the signers to make presignatures of a key. They sign nothing by themselves.
type presign struct {
	Key     intent.KeyID `json:"key"`
	Signers []uint16     `json:"signers"`
	Label   [32]byte     `json:"label"`
	Count   int          `json:"count"`
}

// partials is what the publication gate let go.
type partials struct {
	Intent  intent.ID `json:"intent"`
	Attempt uint32    `json:"attempt"`
	Data    []byte    `json:"data"`
}

// failure tells the coordinator not to wait. It blames nobody: whoever is named in it is only tried without.
type failure struct {
	Intent  intent.ID `json:"intent"`
	Attempt uint32    `json:"attempt"`
	Code    string    `json:"code"`
	Without []uint16  `json:"without"`
}

// published carries the signed transaction. Its reader verifies every signature.
type published struct {
	Intent intent.ID `json:"intent"`
	Raw    []byte    `json:"raw"`
}

// receipts carries a node's chain about an intent.
type receipts struct {
	Intent intent.ID      `json:"intent"`
	Chain  evidence.Chain `json:"chain"`
}

func encode(v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	if len(raw) > maxRoad {
		return nil, errors.New("message is too large")
	}
	return raw, nil
}

func decode[T any](data []byte) (T, error) {
	var v T
	if len(data) > maxRoad {
		return v, errors.New("message is too large")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return v, fmt.Errorf("decode message: %w", err)
	}
	if d.More() {
		return v, errors.New("decode message: trailing bytes")
	}
	return v, nil
}
