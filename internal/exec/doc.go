// Package exec carries out what a permit allows: it opens sessions, drives the engine's machines, keeps what must be held
// and lets it go only with a certificate.
//
// The engine has no I/O and no clock; both are here. A session is opened by fresh randomness of every party, so that no
// party chooses its id alone. Each run has a deadline; when it passes, the parties that were waited for are named, but
// silence convicts nobody. The last partial signatures of a run go into the keystore and nowhere else: executed is not
// published. Release takes them out once, for the publisher, and Destroy erases them.
package exec
