// The interpreter in float64, with the standard library's functions: slow, and proof of the formulas.
#define NATIVE_VARIANT precise
#define NATIVE_NAME "precise"
#define NATIVE_SCALAR double
#define NATIVE_IS_DOUBLE 1
#define NATIVE_LANES 2
#define NATIVE_REGISTERS 16
#include "variant.inc"
