package intent

// Every bound on an intent. Peers and clients are adversaries: nothing is read that is larger.
const (
	MaxCanonical      = 64 << 10 // bytes of canonical JSON
	MaxName           = 64       // bytes of a cluster, node or initiator name
	MaxIdempotencyKey = 128      // bytes
	MaxInputs         = 200      // inputs of one spend
	MaxOutputs        = 100      // outputs of one spend, change not counted
	MaxAddress        = 100      // bytes of an address
	MaxNodes          = 64       // nodes of one key
	MaxSats           = 21_000_000 * 100_000_000
	MaxPathIndex      = 1<<31 - 1 // BIP32: unhardened
)
