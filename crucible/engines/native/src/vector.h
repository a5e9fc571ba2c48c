// Vectors of one register and the few operations that the kernels are made of; leaves functions to
// functions.h. Everything here is compiled once a variant, inside NATIVE_VARIANT, and never shared between
// variants.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#if defined(__AVX2__) || NATIVE_LANES >= 8
#include <immintrin.h>
#endif

#define NATIVE_INLINE static inline __attribute__((always_inline))

namespace NATIVE_VARIANT {

typedef NATIVE_SCALAR S;
constexpr int LANES = NATIVE_LANES;
typedef S Vec __attribute__((vector_size(LANES * sizeof(S)), may_alias));
#if NATIVE_IS_DOUBLE
typedef int64_t Bits __attribute__((vector_size(LANES * sizeof(int64_t))));
#else
typedef int32_t Bits __attribute__((vector_size(LANES * sizeof(int32_t))));
#endif

// Batches are padded to a multiple of this, so that no row of examples needs a ragged end.
constexpr long BATCH_MULTIPLE = 16;
// Bytes of a cache line; every row starts at one.
constexpr long ALIGNMENT = 64;

NATIVE_INLINE Vec load(const S* from) { return *reinterpret_cast<const Vec*>(from); }
NATIVE_INLINE void store(S* to, Vec value) { *reinterpret_cast<Vec*>(to) = value; }
NATIVE_INLINE Vec splat(S value) { return value - Vec{}; }
NATIVE_INLINE Vec larger(Vec a, Vec b) { return a > b ? a : b; }
NATIVE_INLINE Vec smaller(Vec a, Vec b) { return a < b ? a : b; }
NATIVE_INLINE Vec magnitude(Vec x) { return x < 0 ? -x : x; }

NATIVE_INLINE Vec square_root(Vec x) {
#if NATIVE_LANES == 16
    return (Vec)_mm512_maskz_sqrt_ps(0xffff, (__m512)x); // unmasked, it is said to read what is undefined
#elif NATIVE_LANES == 8
    return (Vec)_mm256_sqrt_ps((__m256)x);
#else
    for (int i = 0; i < LANES; ++i) x[i] = std::sqrt(x[i]);
    return x;
#endif
}

NATIVE_INLINE S sum_of(Vec x) {
    S lanes[LANES];
    std::memcpy(lanes, &x, sizeof(x));
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
    return lanes[0];
}

// Shuffles of two vectors, with lanes of the second numbered from LANES on.
template <int... I> struct Lanes {};
template <int N, int... I> struct Count : Count<N - 1, N - 1, I...> {};
template <int... I> struct Count<0, I...> {
    typedef Lanes<I...> Type;
};

template <int... I> NATIVE_INLINE Vec low_halves(Vec a, Vec b, Lanes<I...>) {
    return __builtin_shufflevector(a, b, (I / 2 + (I % 2) * LANES)...);
}
template <int... I> NATIVE_INLINE Vec high_halves(Vec a, Vec b, Lanes<I...>) {
    return __builtin_shufflevector(a, b, (LANES / 2 + I / 2 + (I % 2) * LANES)...);
}

// Transpose a square of LANES rows: log2(LANES) rounds that interleave row i with row i + LANES / 2.
NATIVE_INLINE void transpose_square(Vec (&rows)[LANES]) {
    typename Count<LANES>::Type all;
    for (int round = 1; round < LANES; round *= 2) {
        Vec next[LANES];
#pragma GCC unroll 16
        for (int i = 0; i < LANES / 2; ++i) {
            next[2 * i] = low_halves(rows[i], rows[i + LANES / 2], all);
            next[2 * i + 1] = high_halves(rows[i], rows[i + LANES / 2], all);
        }
#pragma GCC unroll 16
        for (int i = 0; i < LANES; ++i) rows[i] = next[i];
    }
}

} // namespace NATIVE_VARIANT
