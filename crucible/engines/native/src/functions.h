// Vectorised exp, log, tanh, sigmoid, normal distribution, sine: polynomials fitted by minimax in float64.
// Activations made of them stay within 1e-6 of the truth, relative to max(|truth|, 1), and their slopes too;
// tests/crucible/test_native_engine.py measures it. Where scalars are float64, which serves to prove formulas
// rather than to be fast, the standard library computes lane by lane.
#pragma once
#include "vector.h"

namespace NATIVE_VARIANT {

constexpr S INFINITE = __builtin_huge_val();
constexpr S SQRT_HALF = 0.70710678118654752440;
constexpr S LN_2 = 0.69314718055994530942;
constexpr S INVERSE_SQRT_TWO_PI = 0.39894228040143267794;

template <int N> NATIVE_INLINE Vec polynomial(Vec x, const S (&coefficients)[N]) {
    Vec y = splat(coefficients[N - 1]);
#pragma GCC unroll 16
    for (int i = N - 2; i >= 0; --i) y = y * x + coefficients[i];
    return y;
}

#if NATIVE_IS_DOUBLE

#define NATIVE_BY_LANE(expression)                                                                           \
    for (int i = 0; i < LANES; ++i) {                                                                        \
        const S v = x[i];                                                                                    \
        x[i] = (expression);                                                                                 \
    }                                                                                                        \
    return x

NATIVE_INLINE Vec exponential(Vec x) { NATIVE_BY_LANE(std::exp(v)); }
NATIVE_INLINE Vec logarithm(Vec x) { NATIVE_BY_LANE(std::log(v)); }
NATIVE_INLINE Vec log_one_plus(Vec x) { NATIVE_BY_LANE(std::log1p(v)); }
NATIVE_INLINE Vec exponential_minus_one(Vec x) { NATIVE_BY_LANE(std::expm1(v)); }
NATIVE_INLINE Vec one_over_sigmoid(Vec x) { NATIVE_BY_LANE(1 + std::exp(-v)); }
NATIVE_INLINE Vec hyperbolic_tangent(Vec x) { NATIVE_BY_LANE(std::tanh(v)); }
NATIVE_INLINE Vec sine(Vec x) { NATIVE_BY_LANE(std::sin(v)); }
NATIVE_INLINE Vec cosine(Vec x) { NATIVE_BY_LANE(std::cos(v)); }
NATIVE_INLINE Vec normal_below(Vec x) { NATIVE_BY_LANE(std::erfc(-v * SQRT_HALF) / 2); }
NATIVE_INLINE Vec gelu_slope(Vec x) {
    NATIVE_BY_LANE(std::erfc(-v * SQRT_HALF) / 2 + v * std::exp(-v * v / 2) * INVERSE_SQRT_TWO_PI);
}

#undef NATIVE_BY_LANE

#else

// Adding it leaves the nearest integer in the low bits of a float.
constexpr S ROUNDER = 12582912.0f;
constexpr S LOG2_E = 1.44269504f;
// ln 2 in two parts, of which the first has trailing zeros: multiples up to 2^9 are exact.
constexpr S LN_2_HIGH = 0.693359375f, LN_2_LOW = -2.12194440e-4f;
// From the first on exp is infinite; below the second it stays at about the smallest normal float.
constexpr S EXP_MAX = 89.0f, EXP_MIN = -87.3f;
// The first power of two that is infinite, and one that is normal, and is so after a factor of sqrt(1/2).
constexpr S POWER_MAX = 128.0f, POWER_MIN = -125.0f;
constexpr int MANTISSA_BITS = 23, EXPONENT_BIAS = 127;

NATIVE_INLINE Vec exponential(Vec x) {
    const S coefficients[] = {1.0f,
                              1.000000037e+00f,
                              4.999999203e-01f,
                              1.666641919e-01f,
                              4.166823187e-02f,
                              8.374898340e-03f,
                              1.383673796e-03f};
    // In this order an undefined x is neither larger nor smaller, and stays.
    const Vec held = smaller(splat(EXP_MAX), larger(splat(EXP_MIN), x));
    const Vec shifted = held * LOG2_E + ROUNDER;
    const Vec n = shifted - ROUNDER;
    const Vec rest = held - n * LN_2_HIGH - n * LN_2_LOW;
    // Half of 2^n, for 2^128 is no float; the shift drops all of ROUNDER but n.
    const Bits power = ((Bits)shifted << MANTISSA_BITS) + ((EXPONENT_BIAS - 1) << MANTISSA_BITS);
    return polynomial(rest, coefficients) * (Vec)power * 2;
}

// 1 + exp(-x), near enough for a sigmoid: what the exponent loses by being rounded, the one beside it hides.
NATIVE_INLINE Vec one_over_sigmoid(Vec x) {
    const S coefficients[] = {1.0f,
                              6.931469776e-01f,
                              2.402224208e-01f,
                              5.550733745e-02f,
                              9.671512812e-03f,
                              1.326472721e-03f};
    const Vec turned = x * -LOG2_E;
    const Vec held = smaller(splat(POWER_MAX), larger(splat(POWER_MIN), turned)); // an undefined x stays
    const Vec shifted = held + ROUNDER;
    const Vec share = polynomial(held - (shifted - ROUNDER), coefficients);
    return 1 + (Vec)((Bits)share + ((Bits)shifted << MANTISSA_BITS));
}

// log((1 + s) / (1 - s)) for s^2 <= 1/9.
NATIVE_INLINE Vec twice_inverse_tangent(Vec s) {
    const S coefficients[] = {
        1.0f, 3.333333974e-01f, 1.999933908e-01f, 1.431052168e-01f, 1.069497286e-01f, 1.221248445e-01f};
    return 2 * s * polynomial(s * s, coefficients);
}

// Of x in [0, 1].
NATIVE_INLINE Vec log_one_plus(Vec x) { return twice_inverse_tangent(x / (x + 2)); }

// Of normal positive x.
NATIVE_INLINE Vec logarithm(Vec x) {
    const int sqrt_half = 0x3f3504f3; // bits of sqrt(1/2): mantissas come to lie around one
    const Bits exponent = ((Bits)x - sqrt_half) >> MANTISSA_BITS;
    const Vec mantissa = (Vec)((Bits)x - (exponent << MANTISSA_BITS));
    const Vec finite = __builtin_convertvector(exponent, Vec) * LN_2 +
                       twice_inverse_tangent((mantissa - 1) / (mantissa + 1));
    return x < INFINITE ? finite : x;
}

NATIVE_INLINE Vec exponential_minus_one(Vec x) { return exponential(x) - 1; }

// An odd function on [-most, most], beyond which it stays as it is: x P(x^2) / Q(x^2).
template <int N, int M>
NATIVE_INLINE Vec odd_rational(Vec x, S most, const S (&above)[N], const S (&below)[M]) {
    const Vec held = smaller(splat(most), larger(splat(-most), x)); // an undefined x stays
    const Vec square = held * held;
    return held * polynomial(square, above) / polynomial(square, below);
}

NATIVE_INLINE Vec hyperbolic_tangent(Vec x) {
    const S above[] = {9.999999753e-01f, 1.338363580e-01f, 3.498631318e-03f, 2.065633883e-05f,
                       1.341396845e-08f};
    const S below[] = {1.0f, 4.671695186e-01f, 2.588871444e-02f, 3.290496062e-04f, 7.802180208e-07f};
    return odd_rational(x, 9.02f, above, below);
}

// Standard normal distribution at x; from the bound on its lower tail is nothing beside one.
NATIVE_INLINE Vec normal_below(Vec x) {
    const S above[] = {3.989422354e-01f, 3.266829756e-02f, 4.616191313e-03f,
                       1.581462242e-04f, 6.418658849e-06f, 2.463912744e-08f};
    const S below[] = {1.0f,             2.485533992e-01f, 2.799753266e-02f,
                       1.824314025e-03f, 7.092295883e-05f, 1.257028017e-06f};
    const S most = 5.2f;
    const Vec share = S(0.5) + odd_rational(x, most, above, below);
    return x < -most ? Vec{} : share;
}

// d/dx of x normal_below(x).
NATIVE_INLINE Vec gelu_slope(Vec x) {
    const S above[] = {7.978853175e-01f, -3.094305237e-02f, 1.421895465e-02f,
                       2.061080543e-05f, 3.580259554e-05f,  1.908622943e-07f};
    const S below[] = {1.0f,             2.945598095e-01f, 4.098879026e-02f,
                       3.521835815e-03f, 1.920648542e-04f, 8.886803853e-06f};
    return S(0.5) + odd_rational(x, 5.5f, above, below);
}

// Quarter turns of x and what remains of it, in [-pi/4, pi/4]; pi/2 in three parts, exact up to 2^13 turns.
constexpr S TURN_MAX = 8192.0f;
NATIVE_INLINE Vec quarter_turns(Vec x, Bits& quarter) {
    const Vec shifted = x * 0.636619772f + ROUNDER;
    const Vec n = shifted - ROUNDER;
    quarter = (Bits)shifted & 3;
    return x - n * 1.5703125f - n * 4.837512969970703125e-4f - n * 7.549789948768648e-8f;
}

NATIVE_INLINE Vec sine_of_quarter(Vec rest, Bits quarter) {
    const S odd[] = {1.0f, -1.666665060e-01f, 8.332031710e-03f, -1.950335258e-04f};
    const S even[] = {1.0f, -4.999999961e-01f, 4.166661644e-02f, -1.388661016e-03f, 2.437909213e-05f};
    const Vec square = rest * rest;
    const Vec y = (quarter & 1) != 0 ? polynomial(square, even) : rest * polynomial(square, odd);
    return (quarter & 2) != 0 ? -y : y;
}

// Lanes too large for the three parts are left to the standard library; infinities become NaN there.
NATIVE_INLINE Vec sine(Vec x) {
    Bits quarter;
    const Vec rest = quarter_turns(x, quarter);
    Vec y = sine_of_quarter(rest, quarter);
    for (int i = 0; i < LANES; ++i)
        if (!(std::fabs(x[i]) < TURN_MAX)) y[i] = std::sin(x[i]);
    return y;
}

NATIVE_INLINE Vec cosine(Vec x) {
    Bits quarter;
    const Vec rest = quarter_turns(x, quarter);
    Vec y = sine_of_quarter(rest, (quarter + 1) & 3);
    for (int i = 0; i < LANES; ++i)
        if (!(std::fabs(x[i]) < TURN_MAX)) y[i] = std::cos(x[i]);
    return y;
}

#endif

NATIVE_INLINE Vec sigmoid(Vec x) { return 1 / one_over_sigmoid(x); }

// log(1 + exp(x)), without overflow.
NATIVE_INLINE Vec soft_plus(Vec x) {
    return (x > 0 ? x : splat(0)) + log_one_plus(exponential(-magnitude(x)));
}

} // namespace NATIVE_VARIANT
