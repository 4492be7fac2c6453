package mesh

import (
	"time"
)

// Every bound on what a peer can make this node hold or wait for.
const (
	MaxPayload       = 1 << 20 // bytes of one message
	maxFrame         = MaxPayload + frameOverhead
	maxQueueFrames   = 8192     // frames kept for a peer until it has them
	maxQueueBytes    = 32 << 20 // of them
	ackEvery         = 16       // frames between acknowledgements, at the most
	handshakeTimeout = 5 * time.Second
	helloTimeout     = 5 * time.Second
	idleTimeout      = 20 * time.Second
	keepAlive        = 5 * time.Second
	minBackoff       = 50 * time.Millisecond
	maxBackoff       = 5 * time.Second
	recheckDefault   = 5 * time.Second // of live links' certificates
	streamWindow     = 4 << 20
	connectionWindow = 8 << 20
	maxViolations    = 16 // refused frames before a link is cut
)
