// Package evidence makes and verifies what a node says it did.
//
// A receipt is a node's signed statement about one step of one intent: admission, permit, publication, or the denial of
// one of them. Receipts of one node about one intent are linked by hash, so that none can be left out, changed or put in
// another order without the chain breaking. They are DSSE envelopes over canonical JSON, and need only the roster's
// public keys to verify.
package evidence

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"chancery.dev/internal/intent"
	"chancery.dev/internal/quorum"
	"chancery.dev/internal/transcript"
)

// PayloadType is the DSSE payload type of a receipt.
const PayloadType = "application/vnd.chancery.receipt.v1+json"

// MaxReceipt bounds one receipt's payload in bytes; MaxChain bounds the receipts of one node about one intent.
const (
	MaxReceipt = 128 << 10
	MaxChain   = 64
)

// Step is the step of the road that a receipt speaks of.
type Step string

// The steps, in the order of the road.
const (
	StepAdmission   Step = "admission"
	StepPermit      Step = "permit"
	StepHeld        Step = "held"
	StepPublication Step = "publication"
	StepDenial      Step = "denial"
)

// Link is the hash of a receipt's payload; zero before the first.
type Link [32]byte

// MarshalText makes the link hex in JSON.
func (l Link) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(l[:])), nil }

// UnmarshalText reads 64 lower-case hex digits.
func (l *Link) UnmarshalText(text []byte) error { return (*intent.KeyID)(l).UnmarshalText(text) }

// Receipt is the statement. Detail holds what the step produced, by name; its values are public.
type Receipt struct {
	Cluster  quorum.Digest     `json:"cluster"`
	Epoch    uint64            `json:"epoch"`
	Node     uint16            `json:"node"` // roster party number
	Intent   intent.ID         `json:"intent"`
	Step     Step              `json:"step"`
	Sequence uint32            `json:"sequence"` // 0 for the first receipt of this node about this intent
	Previous Link              `json:"previous"`
	Unix     int64             `json:"time_unix_seconds"`
	Detail   map[string]string `json:"detail"`
	// Certificate is in admission receipts: who allowed it.
	Certificate *quorum.Certificate `json:"certificate,omitempty"`
}

// Signed is a DSSE envelope with one signature, by the node's identity key.
type Signed struct {
	PayloadType string      `json:"payloadType"`
	Payload     []byte      `json:"payload"`
	Signatures  []Signature `json:"signatures"`
}

// Signature names its key by roster party number.
type Signature struct {
	KeyID string `json:"keyid"`
	Sig   []byte `json:"sig"`
}

// pae is DSSE's pre-authentication encoding.
func pae(payloadType string, payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
}

func keyID(node uint16) string { return fmt.Sprintf("party-%d", node) }

// Sign encodes and signs a receipt.
func Sign(r Receipt, s quorum.Signer) (Signed, error) {
	payload, err := intent.CanonicalJSON(r)
	if err != nil {
		return Signed{}, err
	}
	if len(payload) > MaxReceipt {
		return Signed{}, errors.New("receipt is too large")
	}
	return Signed{PayloadType, payload, []Signature{{keyID(r.Node), s.Sign(pae(PayloadType, payload))}}}, nil
}

// LinkOf is what the next receipt names as its previous one.
func (s Signed) LinkOf() Link { return transcript.Hash("chancery/receipt/v1", s.Payload) }

// Open verifies one envelope under the roster and returns the receipt in it.
func (s Signed) Open(e quorum.Electorate) (Receipt, error) {
	var r Receipt
	if s.PayloadType != PayloadType || len(s.Payload) > MaxReceipt || len(s.Signatures) != 1 {
		return r, errors.New("not a receipt envelope with one signature")
	}
	d := json.NewDecoder(bytes.NewReader(s.Payload))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return r, errors.New("receipt is not well formed")
	}
	again, err := intent.CanonicalJSON(r)
	if err != nil || !bytes.Equal(again, s.Payload) {
		return r, errors.New("receipt is not in canonical form")
	}
	key := e.Keys[r.Node]
	if len(key) != ed25519.PublicKeySize || s.Signatures[0].KeyID != keyID(r.Node) ||
		!ed25519.Verify(key, pae(s.PayloadType, s.Payload), s.Signatures[0].Sig) {
		return r, fmt.Errorf("receipt is not signed by party %d of the roster", r.Node)
	}
	if r.Cluster != e.Cluster || r.Epoch != e.Epoch {
		return r, errors.New("receipt is of another cluster or epoch")
	}
	return r, nil
}

// Chain is what one node says of one intent, first receipt first.
type Chain []Signed

// Verify checks a whole chain: every signature, one node, one intent, every link, no gap, steps in the road's order.
// It returns the receipts so that a caller can explain them.
func (c Chain) Verify(e quorum.Electorate) ([]Receipt, error) {
	if len(c) == 0 || len(c) > MaxChain {
		return nil, fmt.Errorf("a chain has 1 to %d receipts", MaxChain)
	}
	out := make([]Receipt, 0, len(c))
	var previous Link
	for i, s := range c {
		r, err := s.Open(e)
		if err != nil {
			return nil, fmt.Errorf("receipt %d: %w", i, err)
		}
		if r.Sequence != uint32(i) || r.Previous != previous {
			return nil, fmt.Errorf("receipt %d: link to the receipt before it is broken", i)
		}
		if i > 0 && (r.Intent != out[0].Intent || r.Node != out[0].Node) {
			return nil, fmt.Errorf("receipt %d: of another intent or node", i)
		}
		if i > 0 && !follows(out[i-1].Step, r.Step) {
			return nil, fmt.Errorf("receipt %d: %s does not follow %s", i, r.Step, out[i-1].Step)
		}
		if err := r.checkCertificate(e); err != nil {
			return nil, fmt.Errorf("receipt %d: %w", i, err)
		}
		previous = s.LinkOf()
		out = append(out, r)
	}
	if first := out[0].Step; first != StepAdmission && first != StepDenial {
		return nil, fmt.Errorf("chain begins with %s", first)
	}
	return out, nil
}

// checkCertificate re-counts the ballots that an admission receipt carries, as of the time that it was written.
func (r Receipt) checkCertificate(e quorum.Electorate) error {
	if r.Step != StepAdmission {
		return nil
	}
	if r.Certificate == nil {
		return errors.New("admission receipt has no certificate")
	}
	return e.VerifyCertificate(*r.Certificate, r.Intent, quorum.Admit, unix(r.Unix))
}

// follows is the order of the road. A new attempt goes back to its permit; a denial ends an attempt or the whole.
func follows(a, b Step) bool {
	switch b {
	case StepPermit:
		return a != StepPublication
	case StepHeld:
		return a == StepPermit
	case StepPublication:
		return a == StepHeld || a == StepAdmission // a node that did not sign saw the publication
	case StepDenial:
		return a != StepPublication
	}
	return false
}
