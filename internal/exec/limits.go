package exec

import "time"

// Every bound on sessions. Peers are adversaries: what is not expected is dropped, what is expected is counted.
const (
	MaxSessions      = 64               // sessions running at a time
	MaxEarlySessions = 64               // sessions that messages came for before they were opened here
	MaxEarly         = 256              // messages kept for one of them
	MaxEarlyBytes    = 64 << 20         // of all of them together
	MaxEarlyOpens    = 256              // openings kept before this node opens the same session
	inboxSize        = 1024             // messages waiting for a running machine
	MaxMessages      = 200              // messages (transaction inputs) signed in one execution
	MaxPresign       = 50               // presignatures made in one run
	MaxPool          = 200              // presignatures kept for one set of signers
	OpenTimeout      = 10 * time.Second // for every party to open a session
	RunTimeout       = 30 * time.Second // for a machine to end
	CeremonyTimeout  = 5 * time.Minute  // for what takes every node seconds: primes and auxiliary information
)
