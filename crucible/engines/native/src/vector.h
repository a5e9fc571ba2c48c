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

// Each lane with the one `HALF` further on, in a ring.
template <int HALF, int... I> NATIVE_INLINE Vec fold(Vec x, Lanes<I...>) {
    return x + __builtin_shufflevector(x, x, ((I + HALF) % LANES)...);
}

NATIVE_INLINE S sum_of(Vec x) {
    typename Count<LANES>::Type all;
    if constexpr (LANES >= 16) x = fold<8>(x, all);
    if constexpr (LANES >= 8) x = fold<4>(x, all);
    if constexpr (LANES >= 4) x = fold<2>(x, all);
    return fold<1>(x, all)[0];
}

// Lane i is the sum of vector i: in each round lanes of two vectors come side by side and are added up.
NATIVE_INLINE Vec sums_of(Vec (&x)[LANES]) {
    typename Count<LANES>::Type all;
#pragma GCC unroll 4
    for (int half = LANES / 2; half > 0; half /= 2)
#pragma GCC unroll 8
        for (int i = 0; i < half; ++i)
            x[i] = low_halves(x[i], x[i + half], all) + high_halves(x[i], x[i + half], all);
    return x[0];
}

// Transpose LANES rows from `from[r] + column` into `square`, which column c of them becomes row c of.
#if NATIVE_LANES == 16
// Within each quarter: scalars of two vectors in turn, or pairs of them; HALF 0 takes lower ones, 1 upper.
template <int HALF, int... I> NATIVE_INLINE Vec scalars_in_turn(Vec a, Vec b, Lanes<I...>) {
    return __builtin_shufflevector(a, b, (I / 4 * 4 + 2 * HALF + I % 4 / 2 + I % 2 * LANES)...);
}
template <int HALF, int... I> NATIVE_INLINE Vec pairs_in_turn(Vec a, Vec b, Lanes<I...>) {
    return __builtin_shufflevector(a, b, (I / 4 * 4 + 2 * HALF + I % 2 + I % 4 / 2 * LANES)...);
}

// Put four scalars into quarter Q of a vector.
template <int Q> NATIVE_INLINE Vec with_quarter(Vec x, const S* from) {
    return (Vec)_mm512_maskz_insertf32x4(0xffff, (__m512)x, _mm_load_ps(from), Q); // see square_root
}

// Four quarters of four rows each come side by side as they are loaded; the rest happens within quarters.
NATIVE_INLINE void load_transposed(const S* const (&from)[LANES], long column, Vec (&square)[LANES]) {
    typename Count<LANES>::Type all;
#pragma GCC unroll 4
    for (int quad = 0; quad < 4; ++quad) {
        Vec rows[4];
        const long first = column + 4 * quad;
#pragma GCC unroll 4
        for (int r = 0; r < 4; ++r) {
            rows[r] = with_quarter<0>(Vec{}, from[r] + first);
            rows[r] = with_quarter<1>(rows[r], from[4 + r] + first);
            rows[r] = with_quarter<2>(rows[r], from[8 + r] + first);
            rows[r] = with_quarter<3>(rows[r], from[12 + r] + first);
        }
        const Vec low_a = scalars_in_turn<0>(rows[0], rows[1], all);
        const Vec low_b = scalars_in_turn<0>(rows[2], rows[3], all);
        const Vec high_a = scalars_in_turn<1>(rows[0], rows[1], all);
        const Vec high_b = scalars_in_turn<1>(rows[2], rows[3], all);
        square[4 * quad] = pairs_in_turn<0>(low_a, low_b, all);
        square[4 * quad + 1] = pairs_in_turn<1>(low_a, low_b, all);
        square[4 * quad + 2] = pairs_in_turn<0>(high_a, high_b, all);
        square[4 * quad + 3] = pairs_in_turn<1>(high_a, high_b, all);
    }
}
#else
// log2(LANES) rounds interleave row i with row i + LANES / 2.
NATIVE_INLINE void load_transposed(const S* const (&from)[LANES], long column, Vec (&square)[LANES]) {
    typename Count<LANES>::Type all;
    for (int r = 0; r < LANES; ++r) square[r] = load(from[r] + column);
    for (int round = 1; round < LANES; round *= 2) {
        Vec next[LANES];
#pragma GCC unroll 16
        for (int i = 0; i < LANES / 2; ++i) {
            next[2 * i] = low_halves(square[i], square[i + LANES / 2], all);
            next[2 * i + 1] = high_halves(square[i], square[i + LANES / 2], all);
        }
#pragma GCC unroll 16
        for (int i = 0; i < LANES; ++i) square[i] = next[i];
    }
}
#endif

} // namespace NATIVE_VARIANT
