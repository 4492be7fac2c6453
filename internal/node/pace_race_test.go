//go:build race

package node

// attemptTimeout is longer under the race detector, which makes everything slower.
const attemptTimeout = "8s"
