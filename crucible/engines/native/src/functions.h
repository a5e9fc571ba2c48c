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
NATIVE_INLINE Vec hyperbolic_tangent(Vec x) { NATIVE_BY_LANE(std::tanh(v)); }
NATIVE_INLINE Vec sine(Vec x) { NATIVE_BY_LANE(std::sin(v)); }
NATIVE_INLINE Vec cosine(Vec x) { NATIVE_BY_LANE(std::cos(v)); }
NATIVE_INLINE Vec normal_below(Vec x, Vec) { NATIVE_BY_LANE(std::erfc(-v * SQRT_HALF) / 2); }

#undef NATIVE_BY_LANE

#else

// Adding it leaves the nearest integer in the low bits of a float.
constexpr S ROUNDER = 12582912.0f;
constexpr S LOG2_E = 1.44269504f;
// ln 2 in two parts, of which the first has trailing zeros: multiples up to 2^9 are exact.
constexpr S LN_2_HIGH = 0.693359375f, LN_2_LOW = -2.12194440e-4f;
// From the first on exp is infinite; below the second it stays at about the smallest normal float.
constexpr S EXP_MAX = 89.0f, EXP_MIN = -87.3f;
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

NATIVE_INLINE Vec hyperbolic_tangent(Vec x) {
    const S coefficients[] = {
        1.0f, -3.333326338e-01f, 1.333118577e-01f, -5.372523159e-02f, 2.060314708e-02f, -5.672421668e-03f};
    const S small = 0.625f; // below it the quotient would cancel
    const Vec size = magnitude(x);
    const Vec far = 1 - 2 / (exponential(2 * size) + 1);
    const Vec near = x * polynomial(x * x, coefficients);
    return size < small ? near : (x < 0 ? -far : far);
}

// Standard normal distribution at x, where `bell` = exp(-x^2 / 2): a polynomial in 1 / (1 + p |x|) times the
// bell, the form of Abramowitz and Stegun (1964), 26.2.17, with coefficients of our own.
NATIVE_INLINE Vec normal_below(Vec x, Vec bell) {
    const S coefficients[] = {9.241173505e-02f, 9.241245556e-02f,  8.744013968e-02f, 7.763300703e-02f,
                              6.326745068e-02f, 4.524347101e-02f,  4.171069714e-02f, -2.215706306e-02f,
                              6.532713823e-02f, -5.786757566e-02f, 1.457854844e-02f};
    const S p = 0.2316419f;
    const Vec t = 1 / (1 + p * magnitude(x));
    const Vec tail = bell * t * polynomial(t, coefficients);
    return x < 0 ? tail : 1 - tail;
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

NATIVE_INLINE Vec sigmoid(Vec x) { return 1 / (1 + exponential(-x)); }

// log(1 + exp(x)), without overflow.
NATIVE_INLINE Vec soft_plus(Vec x) {
    return (x > 0 ? x : splat(0)) + log_one_plus(exponential(-magnitude(x)));
}

} // namespace NATIVE_VARIANT
