// Package mesh links the nodes of a cluster: a full mesh of QUIC connections with mutual TLS 1.3, and signed envelopes on
// them.
//
// One connection joins each pair of nodes; the node with the lower party number dials. A peer is its roster entry: the
// certificate must chain to the cluster's root, name the node in its only URI SAN, and hold the pinned key. Resumption and
// 0-RTT are off, so no flight can be replayed.
//
// What travels are frames (frame.go): a message signed by its sender's identity key and bound to the roster (and with it
// cluster and epoch), session, round, sender and recipient. The link's peer and the frame's sender must be the same node;
// a frame that fails counts against the link's peer, whatever name stands inside. A broadcast is one frame sent to all, so
// its signed bytes can be shown to others: that is what the engine's echo is made of.
//
// A link delivers each frame once and in order, across reconnections (link.go). Queues are bounded; a full one is an error
// for whoever sends.
package mesh
