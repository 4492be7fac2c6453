package frost

import "chancery.dev/tss"

// Every bound on keys and messages.
const (
	MaxParties   = tss.MaxParties
	MinThreshold = 2
	MaxMessage   = 64 << 10 // bytes of a message to sign
	MaxPath      = 16       // BIP32 steps below the group key
	MaxBatch     = 256      // nonce pairs made in one run
)
