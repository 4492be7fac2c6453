//go:build amd64 && !purego

package arith

import "golang.org/x/sys/cpu"

// hasRows says whether addMulRow8 can be used: MULX and the two-carry additions.
var hasRows = cpu.X86.HasADX && cpu.X86.HasBMI2

// addMulRow8 sets z += x*y over n words and gives the word that is carried out. n is a multiple of 8 above zero.
//
//go:noescape
func addMulRow8(z, x *uint64, y uint64, n int) (carry uint64)
