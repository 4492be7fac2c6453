//go:build !amd64 || purego

package arith

// hasRows is false where there is no assembly.
var hasRows = false

func addMulRow8(_, _ *uint64, _ uint64, _ int) uint64 { panic("arith: no assembly on this machine") }
