// The interpreter for x86 processors with AVX-512: sixteen floats a register, thirty-two registers.
#if defined(__x86_64__)
#include "target.h"
NATIVE_TARGET_BEGIN("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
#define NATIVE_VARIANT avx512
#define NATIVE_NAME "avx512"
#define NATIVE_SCALAR float
#define NATIVE_IS_DOUBLE 0
#define NATIVE_LANES 16
#define NATIVE_REGISTERS 32
#include "variant.inc"
NATIVE_TARGET_END
#endif
