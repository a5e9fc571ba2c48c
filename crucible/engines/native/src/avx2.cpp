// The interpreter for x86 processors with AVX2 and FMA: eight floats a register, sixteen registers.
#if defined(__x86_64__)
#include "target.h"
NATIVE_TARGET_BEGIN("avx2,fma")
#define NATIVE_VARIANT avx2
#define NATIVE_NAME "avx2"
#define NATIVE_SCALAR float
#define NATIVE_IS_DOUBLE 0
#define NATIVE_LANES 8
#define NATIVE_REGISTERS 16
#include "variant.inc"
NATIVE_TARGET_END
#endif
