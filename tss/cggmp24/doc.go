// Package cggmp24 is threshold ECDSA over secp256k1: CGGMP24 (ePrint 2021/060, revision of October 2024) with a t-of-n key.
//
// Key generation shares a key; auxiliary information gives every party a Paillier and a ring-Pedersen key whose goodness it
// proves; three rounds of presigning among exactly threshold signers give each a presignature; one message each then
// completes a signature. Every protocol is a tss.Machine. Whoever sends something wrong is named, with its signed messages
// as evidence that VerifyFault judges without trusting the accuser. docs/spec/cggmp24.md holds what differs from the paper,
// and why.
package cggmp24

import (
	"errors"

	"chancery.dev/internal/group"
	"chancery.dev/internal/zk"
	"chancery.dev/tss"
)

// Suite is the name of the protocol in sessions.
const Suite = "CGGMP24-secp256k1-SHA256-v1"

// Bounds on keys and messages.
const (
	MaxParties   = tss.MaxParties
	MinThreshold = 2
	MaxThreshold = 20 // among more signers an alert would be longer than a message may be, and honest parties blamed for it
	MaxPath      = 16 // BIP32 steps below the group key
	MaxBatch     = 16 // presignatures of one run
)

const curve = group.Secp256k1

// version begins every message and encoding.
const version = 1

// params are the sizes of moduli, ranges and repetitions. Tests make them smaller.
var params = zk.Standard()

var (
	errKey     = errors.New("encoded key is not valid")
	errMessage = errors.New("message is not well formed")
)
