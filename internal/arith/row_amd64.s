//go:build amd64 && !purego

#include "textflag.h"

// func addMulRow8(z, x *uint64, y uint64, n int) (carry uint64)
//
// z += x*y over n words, n a multiple of 8 above zero. Two carry chains run side by side: ADCX adds up the products, ADOX
// adds them to z. No instruction's time depends on its operands.
TEXT ·addMulRow8(SB), NOSPLIT, $0-40
	MOVQ z+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ y+16(FP), DX
	MOVQ n+24(FP), CX
	SHRQ $3, CX
	XORQ R8, R8

loop:
	XORQ AX, AX

	MULXQ 0(SI), R9, R10
	ADCXQ R8, R9
	ADOXQ 0(DI), R9
	MOVQ  R9, 0(DI)

	MULXQ 8(SI), R9, R11
	ADCXQ R10, R9
	ADOXQ 8(DI), R9
	MOVQ  R9, 8(DI)

	MULXQ 16(SI), R9, R10
	ADCXQ R11, R9
	ADOXQ 16(DI), R9
	MOVQ  R9, 16(DI)

	MULXQ 24(SI), R9, R11
	ADCXQ R10, R9
	ADOXQ 24(DI), R9
	MOVQ  R9, 24(DI)

	MULXQ 32(SI), R9, R10
	ADCXQ R11, R9
	ADOXQ 32(DI), R9
	MOVQ  R9, 32(DI)

	MULXQ 40(SI), R9, R11
	ADCXQ R10, R9
	ADOXQ 40(DI), R9
	MOVQ  R9, 40(DI)

	MULXQ 48(SI), R9, R10
	ADCXQ R11, R9
	ADOXQ 48(DI), R9
	MOVQ  R9, 48(DI)

	MULXQ 56(SI), R9, R8
	ADCXQ R10, R9
	ADOXQ 56(DI), R9
	MOVQ  R9, 56(DI)

	ADCXQ AX, R8
	ADOXQ AX, R8

	ADDQ $64, SI
	ADDQ $64, DI
	DECQ CX
	JNZ  loop

	MOVQ R8, carry+32(FP)
	RET
