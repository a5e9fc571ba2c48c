// How a compiler is told to use instructions that not every processor has, for the rest of a file.
// Standard headers come first, so that nothing of theirs is compiled for such a processor and then shared.
#pragma once
#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>

#define NATIVE_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define NATIVE_TARGET_BEGIN(names)                                                                           \
    NATIVE_PRAGMA(clang attribute push(__attribute__((target(names))), apply_to = function))
#define NATIVE_TARGET_END NATIVE_PRAGMA(clang attribute pop)
#else
#define NATIVE_TARGET_BEGIN(names) NATIVE_PRAGMA(GCC push_options) NATIVE_PRAGMA(GCC target(names))
#define NATIVE_TARGET_END NATIVE_PRAGMA(GCC pop_options)
#endif
