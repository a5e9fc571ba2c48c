// The interpreter for any processor: four floats a register, as SSE2 and NEON have them.
#define NATIVE_VARIANT generic
#define NATIVE_NAME "generic"
#define NATIVE_SCALAR float
#define NATIVE_IS_DOUBLE 0
#define NATIVE_LANES 4
#define NATIVE_REGISTERS 16
#include "variant.inc"
