package quorum

import (
	"encoding/hex"
	"encoding/json"
	"errors"

	"chancery.dev/internal/intent"
)

// MaxWire bounds the JSON of a ballot or a certificate, in bytes.
const MaxWire = 1024 * MaxBallots

// MarshalText makes the digest hex in JSON.
func (d Digest) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(d[:])), nil }

// UnmarshalText reads 64 lower-case hex digits.
func (d *Digest) UnmarshalText(text []byte) error { return (*intent.KeyID)(d).UnmarshalText(text) }

// Encode is the canonical JSON of a ballot or a certificate.
func Encode[T Ballot | Certificate](v T) ([]byte, error) { return intent.CanonicalJSON(v) }

// Decode reads what Encode wrote, and nothing else: canonical form only.
func Decode[T Ballot | Certificate](data []byte) (T, error) {
	var v T
	if len(data) > MaxWire {
		return v, errors.New("ballot or certificate is too large")
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return v, &Error{CodeBinding, "ballot or certificate is not well formed"}
	}
	again, err := intent.CanonicalJSON(v)
	if err != nil || string(again) != string(data) {
		return v, &Error{CodeBinding, "ballot or certificate is not in canonical form"}
	}
	return v, nil
}
