// The interpreter for any processor: four floats a register, as SSE2 and NEON have them.
#define NATIVE_VARIANT generic
#define NATIVE_NAME "generic"
#define NATIVE_SCALAR float
#define NATIVE_IS_DOUBLE 0
#define NATIVE_LANES 4
#if defined(__aarch64__)
#define NATIVE_REGISTERS 32
#else
#define NATIVE_REGISTERS 16
#endif
#include "variant.inc"
