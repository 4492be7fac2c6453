// Package intent holds what somebody wants done, in canonical form.
//
// An intent names an act, its typed parameters, the key it uses, when it expires and the idempotency key of whoever asked.
// Its canonical bytes are JSON as RFC 8785 orders it, and its id is a tagged hash of them: whoever signs, votes on or
// approves an id has said yes to every field that a signer uses. What a person reads is derived from these bytes (Display),
// never sent beside them.
package intent

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gowebpki/jcs"

	"chancery.dev/internal/transcript"
)

// Version is the only version of the canonical form.
const Version = 1

// ID is the tagged hash of an intent's canonical bytes.
type ID [32]byte

// String is the id in lower-case hex.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText makes the id hex in JSON.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads 64 lower-case hex digits.
func (id *ID) UnmarshalText(text []byte) error {
	return decodeHex32((*[32]byte)(id), text, "intent id")
}

// KeyID names a threshold key. It is the id of the intent that asked for the key; zero in that intent itself.
type KeyID [32]byte

// String is the id in lower-case hex.
func (k KeyID) String() string { return hex.EncodeToString(k[:]) }

// MarshalText makes the id hex in JSON.
func (k KeyID) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads 64 lower-case hex digits.
func (k *KeyID) UnmarshalText(text []byte) error {
	return decodeHex32((*[32]byte)(k), text, "key id")
}

// IsZero says whether no key is named.
func (k KeyID) IsZero() bool { return k == KeyID{} }

func decodeHex32(dst *[32]byte, text []byte, what string) error {
	if len(text) != 64 || !bytes.Equal(bytes.ToLower(text), text) {
		return fmt.Errorf("%s: want 64 lower-case hex digits", what)
	}
	if _, err := hex.Decode(dst[:], text); err != nil {
		return fmt.Errorf("%s: want 64 lower-case hex digits", what)
	}
	return nil
}

// Act says what is signed and what publishing does.
type Act string

// The acts that this version knows.
const (
	ActBitcoinSpend Act = "bitcoin.spend"
	ActKeyGenerate  Act = "key.generate"
)

// Params are the typed parameters of one act. The implementations are in this package: Spend, Generate.
type Params interface {
	Act() Act
	validate() error
	display() []Line
}

// Line is one line of what a person reads before saying yes.
type Line struct{ Label, Text string }

// Intent is one request. Build it, then use Canonical and ID; or get it from Parse.
type Intent struct {
	Cluster     string    // name of the cluster, as in its roster
	Key         KeyID     // the key to use; zero for key.generate
	Initiator   string    // who asked, as the API authenticated them
	Idempotency string    // chosen by the initiator; a second intent under it is the same intent
	Expires     time.Time // UTC, whole seconds
	Params      Params
}

// wire is the canonical JSON object. Field order is RFC 8785's business.
type wire struct {
	Act         Act             `json:"act"`
	Cluster     string          `json:"cluster"`
	Expires     string          `json:"expires"`
	Idempotency string          `json:"idempotency_key"`
	Initiator   string          `json:"initiator"`
	Key         KeyID           `json:"key"`
	Params      json.RawMessage `json:"params"`
	Version     int             `json:"version"`
}

// ErrNotCanonical is returned for bytes that say the same in another form.
var ErrNotCanonical = errors.New("intent is not in canonical form")

// Act is the act of the parameters.
func (i Intent) Act() Act { return i.Params.Act() }

// Validate checks every field without looking at the world: no chain, no clock, no roster.
func (i Intent) Validate() error {
	switch {
	case i.Params == nil:
		return errors.New("intent has no parameters")
	case i.Cluster == "" || len(i.Cluster) > MaxName:
		return fmt.Errorf("cluster name must have 1 to %d bytes", MaxName)
	case len(i.Initiator) > MaxName:
		return fmt.Errorf("initiator must have at most %d bytes", MaxName)
	case i.Idempotency == "" || len(i.Idempotency) > MaxIdempotencyKey:
		return fmt.Errorf("idempotency key must have 1 to %d bytes", MaxIdempotencyKey)
	case i.Expires.IsZero() || i.Expires.Nanosecond() != 0 || i.Expires.Location() != time.UTC:
		return errors.New("expiry must be a UTC time in whole seconds")
	case (i.Act() == ActKeyGenerate) != i.Key.IsZero():
		return errors.New("key id must be absent in key.generate and present in every other act")
	}
	return i.Params.validate()
}

// Canonical is the RFC 8785 form that is hashed, signed and stored. It validates first.
func (i Intent) Canonical() ([]byte, error) {
	if err := i.Validate(); err != nil {
		return nil, err
	}
	params, err := json.Marshal(i.Params)
	if err != nil {
		return nil, fmt.Errorf("encode parameters: %w", err)
	}
	canonical, err := CanonicalJSON(wire{
		Act: i.Act(), Cluster: i.Cluster, Expires: i.Expires.Format(time.RFC3339), Idempotency: i.Idempotency,
		Initiator: i.Initiator, Key: i.Key, Params: params, Version: Version,
	})
	if err == nil && len(canonical) > MaxCanonical {
		err = fmt.Errorf("intent has %d bytes, more than %d", len(canonical), MaxCanonical)
	}
	return canonical, err
}

// ID is the tagged hash of the canonical bytes.
func (i Intent) ID() (ID, error) {
	canonical, err := i.Canonical()
	if err != nil {
		return ID{}, err
	}
	return IDOf(canonical), nil
}

// IDOf hashes canonical bytes that Canonical or Parse has accepted.
func IDOf(canonical []byte) ID { return transcript.Hash("chancery/intent/v1", canonical) }

// Parse reads canonical bytes and refuses everything that would not encode to the very same bytes:
// unknown or doubled fields, other order, white space, other number forms.
func Parse(canonical []byte) (Intent, error) {
	if len(canonical) > MaxCanonical {
		return Intent{}, fmt.Errorf("intent has %d bytes, more than %d", len(canonical), MaxCanonical)
	}
	var w wire
	if err := strictJSON(canonical, &w); err != nil {
		return Intent{}, fmt.Errorf("decode intent: %w", err)
	}
	if w.Version != Version {
		return Intent{}, fmt.Errorf("intent version %d is not known", w.Version)
	}
	expires, err := time.Parse(time.RFC3339, w.Expires)
	if err != nil {
		return Intent{}, errors.New("intent expiry is not an RFC 3339 time")
	}
	params, err := decodeParams(w.Act, w.Params)
	if err != nil {
		return Intent{}, err
	}
	i := Intent{Cluster: w.Cluster, Key: w.Key, Initiator: w.Initiator, Idempotency: w.Idempotency, Expires: expires.UTC(), Params: params}
	again, err := i.Canonical()
	if err != nil {
		return Intent{}, err
	}
	if !bytes.Equal(again, canonical) {
		return Intent{}, ErrNotCanonical
	}
	return i, nil
}

func decodeParams(act Act, raw json.RawMessage) (Params, error) {
	switch act {
	case ActBitcoinSpend:
		var p Spend
		if err := strictJSON(raw, &p); err != nil {
			return nil, fmt.Errorf("decode parameters of %s: %w", act, err)
		}
		return p, nil
	case ActKeyGenerate:
		var p Generate
		if err := strictJSON(raw, &p); err != nil {
			return nil, fmt.Errorf("decode parameters of %s: %w", act, err)
		}
		return p, nil
	}
	return nil, fmt.Errorf("act %q is not known", act)
}

func strictJSON(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return errors.New("more than one JSON value")
	}
	return nil
}

// CanonicalJSON encodes v as RFC 8785 says. Receipts and ballots use it too, so that there is one canonical form.
func CanonicalJSON(v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode JSON: %w", err)
	}
	out, err := jcs.Transform(raw)
	if err != nil {
		return nil, fmt.Errorf("canonicalise JSON: %w", err)
	}
	return out, nil
}

// Display is what a person reads, derived from the fields alone. Every client derives it for itself.
func (i Intent) Display() []Line {
	lines := []Line{{"act", string(i.Act())}, {"cluster", i.Cluster}}
	if !i.Key.IsZero() {
		lines = append(lines, Line{"key", i.Key.String()})
	}
	lines = append(lines, i.Params.display()...)
	return append(lines, Line{"asked by", i.Initiator}, Line{"expires", i.Expires.Format(time.RFC3339)})
}
