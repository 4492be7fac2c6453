// Package frost is threshold Schnorr signing: FROST as in RFC 9591, for Ed25519, for secp256k1, and for BIP340 and
// Taproot with key derivation, together with the protocols that a key needs around it.
//
// The pure layer (suite.go, keys.go, derive.go, sign.go) is typed functions with inputs and outputs, which vectors, other
// implementations and fuzzers can call. On it stand the machines: dealing.go is distributed key generation, share refresh
// and resharing, which are one protocol with three rules for the dealers' constant terms; preprocess.go agrees on nonce
// commitments ahead of use; signing.go is a whole run; repair.go gives a party back a share that it lost.
//
// Every broadcast whose agreement matters is echoed: the next round carries the senders' signed originals, so that a party
// that says two things is convicted by its own signatures. VerifyFault (fault.go) checks evidence with public data alone
// and never in batches.
//
// Differences from RFC 9591, all of them stricter: a proof of knowledge binds the session; the list of commitments is
// agreed before any partial signature is made, so that a share that fails its check names its maker and nobody else; a
// partial signature is computed for a derived key only by the engine's own derivation.
package frost
