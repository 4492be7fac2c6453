//go:build !race

package node

// attemptTimeout is the limit of one attempt: more than a key generation takes, and no longer than a test wants to wait for
// a node that is silent.
const attemptTimeout = "2s"
