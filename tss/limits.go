package tss

// Every bound on what a peer can send to a machine.
const (
	MaxParties  = 64        // of one session
	MaxPayload  = 512 << 10 // bytes of one message
	MaxSigned   = MaxPayload + 1024
	MaxEvidence = MaxParties + 2 // messages in a fault's evidence
	MaxRounds   = 16
	MaxName     = 64 // bytes of a suite's or purpose's name
)
