#include "textflag.h"

// func markEnds(pos *uint32, b *byte, blocks int, base uint32, delim, quote byte, quotes, in uint64) (n int, within uint64)
//
// It is the loop of dialect.fieldEnds over whole blocks of 64 bytes, which csvscan.go has in Go; needs AVX2, BMI1 and POPCNT.
TEXT ·markEnds(SB), NOSPLIT, $0-64
	MOVQ    pos+0(FP), DI
	MOVQ    b+8(FP), SI
	MOVQ    blocks+16(FP), CX
	MOVL    base+24(FP), R8
	MOVBLZX delim+28(FP), AX
	MOVBLZX quote+29(FP), BX
	MOVQ    quotes+32(FP), R14
	MOVQ    in+40(FP), R9
	MOVQ    DI, R15

	MOVQ         AX, X0
	VPBROADCASTB X0, Y0 // the delimiter
	MOVL         $10, AX
	MOVQ         AX, X1
	VPBROADCASTB X1, Y1 // LF
	MOVQ         BX, X2
	VPBROADCASTB X2, Y2 // the quote

block:
	VMOVDQU (SI), Y3
	VMOVDQU 32(SI), Y4

	// AX: delimiters and line ends
	VPCMPEQB  Y0, Y3, Y5
	VPCMPEQB  Y1, Y3, Y6
	VPOR      Y5, Y6, Y5
	VPMOVMSKB Y5, AX
	VPCMPEQB  Y0, Y4, Y7
	VPCMPEQB  Y1, Y4, Y8
	VPOR      Y7, Y8, Y7
	VPMOVMSKB Y7, BX
	SHLQ      $32, BX
	ORQ       BX, AX

	// DX: quotes
	VPCMPEQB  Y2, Y3, Y9
	VPMOVMSKB Y9, DX
	VPCMPEQB  Y2, Y4, Y10
	VPMOVMSKB Y10, BX
	SHLQ      $32, BX
	ORQ       BX, DX
	ANDQ      R14, DX
	MOVQ      DX, BX
	ORQ       R9, BX
	JZ        mark

	// DX: inside quotes, by the parity of those at or below
	MOVQ DX, BX
	SHLQ $1, BX
	XORQ BX, DX
	MOVQ DX, BX
	SHLQ $2, BX
	XORQ BX, DX
	MOVQ DX, BX
	SHLQ $4, BX
	XORQ BX, DX
	MOVQ DX, BX
	SHLQ $8, BX
	XORQ BX, DX
	MOVQ DX, BX
	SHLQ $16, BX
	XORQ BX, DX
	MOVQ DX, BX
	SHLQ $32, BX
	XORQ BX, DX
	XORQ R9, DX
	MOVQ DX, R9
	SARQ $63, R9
	NOTQ DX
	ANDQ DX, AX

mark:
	// Four positions at a time: what is too much is written over by the next block.
	POPCNTQ AX, R12
	MOVQ    DI, R13
	LEAQ    (DI)(R12*4), DI
	TESTQ   AX, AX
	JZ      next

four:
	TZCNTQ AX, BX
	ADDL   R8, BX
	MOVL   BX, (R13)
	BLSRQ  AX, AX
	TZCNTQ AX, DX
	ADDL   R8, DX
	MOVL   DX, 4(R13)
	BLSRQ  AX, AX
	TZCNTQ AX, R10
	ADDL   R8, R10
	MOVL   R10, 8(R13)
	BLSRQ  AX, AX
	TZCNTQ AX, R11
	ADDL   R8, R11
	MOVL   R11, 12(R13)
	ADDQ   $16, R13
	BLSRQ  AX, AX
	JNZ    four

next:
	ADDQ $64, SI
	ADDL $64, R8
	DECQ CX
	JNZ  block

	SUBQ R15, DI
	SHRQ $2, DI
	MOVQ DI, n+48(FP)
	MOVQ R9, within+56(FP)
	VZEROUPPER
	RET

// func maskBlocks(out *[4]uint64, b *byte, blocks int, delim, quote byte)
//
// Needs AVX2.
TEXT ·maskBlocks(SB), NOSPLIT, $0-26
	MOVQ    out+0(FP), DI
	MOVQ    b+8(FP), SI
	MOVQ    blocks+16(FP), CX
	MOVBLZX delim+24(FP), AX
	MOVBLZX quote+25(FP), BX

	MOVQ         AX, X0
	VPBROADCASTB X0, Y0 // the delimiter
	MOVL         $10, AX
	MOVQ         AX, X1
	VPBROADCASTB X1, Y1 // LF
	MOVQ         BX, X2
	VPBROADCASTB X2, Y2 // the quote
	MOVL         $13, AX
	MOVQ         AX, X3
	VPBROADCASTB X3, Y3 // CR

block:
	VMOVDQU (SI), Y4
	VMOVDQU 32(SI), Y5

	VPCMPEQB  Y0, Y4, Y6
	VPMOVMSKB Y6, AX
	VPCMPEQB  Y0, Y5, Y7
	VPMOVMSKB Y7, BX
	SHLQ      $32, BX
	ORQ       BX, AX
	MOVQ      AX, (DI)

	VPCMPEQB  Y1, Y4, Y8
	VPMOVMSKB Y8, AX
	VPCMPEQB  Y1, Y5, Y9
	VPMOVMSKB Y9, BX
	SHLQ      $32, BX
	ORQ       BX, AX
	MOVQ      AX, 8(DI)

	VPCMPEQB  Y2, Y4, Y6
	VPMOVMSKB Y6, AX
	VPCMPEQB  Y2, Y5, Y7
	VPMOVMSKB Y7, BX
	SHLQ      $32, BX
	ORQ       BX, AX
	MOVQ      AX, 16(DI)

	VPCMPEQB  Y3, Y4, Y8
	VPMOVMSKB Y8, AX
	VPCMPEQB  Y3, Y5, Y9
	VPMOVMSKB Y9, BX
	SHLQ      $32, BX
	ORQ       BX, AX
	MOVQ      AX, 24(DI)

	ADDQ $64, SI
	ADDQ $32, DI
	DECQ CX
	JNZ  block
	VZEROUPPER
	RET
