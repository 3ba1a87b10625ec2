#include "textflag.h"

// Eight rows at a time, one in each lane. The loops do what addWord, addPair and finalise of mix.go do.

DATA ·mixers+0(SB)/8, $0xbf58476d1ce4e5b9
DATA ·mixers+8(SB)/8, $0x94d049bb133111eb
DATA ·mixers+16(SB)/8, $0xff51afd7ed558ccd
DATA ·mixers+24(SB)/8, $0xc4ceb9fe1a85ec53
DATA ·mixers+32(SB)/8, $0x9e3779b97f4a7c15
DATA ·mixers+40(SB)/8, $0xc2b2ae3d27d4eb4f
DATA ·mixers+48(SB)/8, $0x165667b19e3779f9
DATA ·mixers+56(SB)/8, $0x27d4eb2f165667c5
GLOBL ·mixers(SB), RODATA|NOPTR, $64

// LOADMIXERS fills what MIXA, MIXB and ADD need.
#define LOADMIXERS \
	VPBROADCASTQ ·mixers+0(SB), Z24  \
	VPBROADCASTQ ·mixers+8(SB), Z25  \
	VPBROADCASTQ ·mixers+16(SB), Z26 \
	VPBROADCASTQ ·mixers+24(SB), Z27 \
	VPTERNLOGQ   $0xff, Z31, Z31, Z31

#define MIXA(x, tmp) \
	VPSRLQ  $30, x, tmp \
	VPXORQ  tmp, x, x   \
	VPMULLQ Z24, x, x   \
	VPSRLQ  $27, x, tmp \
	VPXORQ  tmp, x, x   \
	VPMULLQ Z25, x, x   \
	VPSRLQ  $31, x, tmp \
	VPXORQ  tmp, x, x

#define MIXB(x, tmp) \
	VPSRLQ  $33, x, tmp \
	VPXORQ  tmp, x, x   \
	VPMULLQ Z26, x, x   \
	VPSRLQ  $33, x, tmp \
	VPXORQ  tmp, x, x   \
	VPMULLQ Z27, x, x   \
	VPSRLQ  $33, x, tmp \
	VPXORQ  tmp, x, x

// ADD adds h and l to the rows at DI and SI, and steps on.
#define ADD(h, l, tmp) \
	VPADDQ    (SI), l, tmp    \
	VPCMPUQ   $1, l, tmp, K1  \
	VMOVDQU64 tmp, (SI)       \
	VPADDQ    (DI), h, h      \
	VPSUBQ    Z31, h, K1, h   \
	VMOVDQU64 h, (DI)         \
	ADDQ      $64, SI         \
	ADDQ      $64, DI

// ARGUMENTS are those of the loops over values, with a and b of the seed in each lane.
#define ARGUMENTS \
	MOVQ         s+0(FP), AX        \
	MOVQ         values+8(FP), BX   \
	MOVQ         hi+16(FP), DI      \
	MOVQ         lo+24(FP), SI      \
	MOVQ         blocks+32(FP), CX  \
	VPBROADCASTQ (AX), Z0           \
	VPBROADCASTQ 8(AX), Z1

// ADDWORDS adds the hashes of the words in Z2.
#define ADDWORDS \
	VPADDQ Z1, Z2, Z3   \
	VPXORQ Z0, Z2, Z2   \
	MIXA(Z2, Z4)        \
	MIXB(Z3, Z5)        \
	ADD(Z3, Z2, Z4)

// func addWords64(s *seed, values *int64, hi, lo *uint64, blocks int)
TEXT ·addWords64(SB), NOSPLIT, $0-40
	ARGUMENTS
	LOADMIXERS

words64:
	VMOVDQU64 (BX), Z2
	ADDWORDS
	ADDQ      $64, BX
	DECQ      CX
	JNZ       words64
	VZEROUPPER
	RET

// func addWords32(s *seed, values *int32, hi, lo *uint64, blocks int)
TEXT ·addWords32(SB), NOSPLIT, $0-40
	ARGUMENTS
	LOADMIXERS

words32:
	VPMOVSXDQ (BX), Z2
	ADDWORDS
	ADDQ      $32, BX
	DECQ      CX
	JNZ       words32
	VZEROUPPER
	RET

// func addNarrow64(s *seed, values *int64, hi, lo *uint64, blocks int)
TEXT ·addNarrow64(SB), NOSPLIT, $0-40
	ARGUMENTS
	VPBROADCASTQ 32(AX), Z6   // what a value of 0 or more has above it
	VPBROADCASTQ 40(AX), Z7
	VPXORQ       Z6, Z7, Z7   // what becomes of that below 0
	VPROLQ       $31, Z6, Z8
	VPROLQ       $31, Z7, Z9
	LOADMIXERS

narrow64:
	VMOVDQU64 (BX), Z2
	VPSRAQ    $63, Z2, Z10
	VPANDQ    Z10, Z7, Z11
	VPANDQ    Z10, Z9, Z12
	VPXORQ    Z6, Z11, Z11
	VPXORQ    Z8, Z12, Z12
	VPADDQ    Z1, Z2, Z3
	VPXORQ    Z0, Z2, Z2
	VPADDQ    Z11, Z2, Z2
	VPXORQ    Z12, Z3, Z3
	MIXA(Z2, Z4)
	MIXB(Z3, Z5)
	ADD(Z3, Z2, Z4)
	ADDQ      $64, BX
	DECQ      CX
	JNZ       narrow64
	VZEROUPPER
	RET

// func finaliseBlocks(hi, lo *uint64, blocks int)
TEXT ·finaliseBlocks(SB), NOSPLIT, $0-24
	MOVQ         hi+0(FP), DI
	MOVQ         lo+8(FP), SI
	MOVQ         blocks+16(FP), CX
	VPBROADCASTQ ·mixers+32(SB), Z6
	VPBROADCASTQ ·mixers+40(SB), Z7
	VPBROADCASTQ ·mixers+48(SB), Z8
	VPBROADCASTQ ·mixers+56(SB), Z9
	LOADMIXERS

rows:
	VMOVDQU64 (DI), Z2
	VMOVDQU64 (SI), Z3
	VPADDQ    Z6, Z2, Z4
	MIXA(Z4, Z5)
	VPXORQ    Z4, Z3, Z3
	VPADDQ    Z7, Z3, Z4
	MIXB(Z4, Z5)
	VPXORQ    Z4, Z2, Z2
	VPADDQ    Z8, Z2, Z4
	MIXB(Z4, Z5)
	VPXORQ    Z4, Z3, Z3
	VPADDQ    Z9, Z3, Z4
	MIXA(Z4, Z5)
	VPXORQ    Z4, Z2, Z2
	VMOVDQU64 Z2, (DI)
	VMOVDQU64 Z3, (SI)
	ADDQ      $64, DI
	ADDQ      $64, SI
	DECQ      CX
	JNZ       rows
	VZEROUPPER
	RET

// func sumBlocks(hi, lo *uint64, blocks int, sums *[2][8]uint64)
TEXT ·sumBlocks(SB), NOSPLIT, $0-32
	MOVQ       hi+0(FP), DI
	MOVQ       lo+8(FP), SI
	MOVQ       blocks+16(FP), CX
	MOVQ       sums+24(FP), AX
	VPXORQ     Z0, Z0, Z0
	VPXORQ     Z1, Z1, Z1
	VPTERNLOGQ $0xff, Z31, Z31, Z31

sum:
	VMOVDQU64 (SI), Z2
	VPADDQ    Z2, Z1, Z1
	VPCMPUQ   $1, Z2, Z1, K1
	VPADDQ    (DI), Z0, Z0
	VPSUBQ    Z31, Z0, K1, Z0
	ADDQ      $64, SI
	ADDQ      $64, DI
	DECQ      CX
	JNZ       sum
	VMOVDQU64 Z0, (AX)
	VMOVDQU64 Z1, 64(AX)
	VZEROUPPER
	RET
