// Package node is a whole custody node: its configuration, its parts wired together, their lifecycle, and the road that
// an intent takes through them. Tests, chanceryd and the demo start the same type.
//
// Each intent has one course on each node: a goroutine that takes it from the proposal to its end. follow.go is the part
// of every node, lead.go that of the node that took the request. Everything that decides is verified where it is used;
// a peer's word is only ever a reason to look.
package node
