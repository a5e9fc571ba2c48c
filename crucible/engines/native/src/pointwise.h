// Ops that map each scalar by itself: the activations, SCALE, and delays by a step; merges are in merges.h.
#pragma once
#include "functions.h"
#include "node.h"

namespace NATIVE_VARIANT {

// Runs of scalars that a pointwise loop may take at once: all channels together where no zeros lie between.
struct Runs {
    long count, length;
};

NATIVE_INLINE Runs runs_of(const Value& x, const Value& y, Columns at) {
    if (x.row == at.count && y.row == at.count) return {1, at.count * y.width};
    return {y.width, at.count};
}

// Each activation: its value at x, and its slope at x where the value is y.
struct Relu {
    NATIVE_INLINE Vec value(Vec x) { return x < 0 ? Vec{} : x; }
    NATIVE_INLINE Vec slope(Vec x, Vec) { return x > 0 ? splat(1) : Vec{}; }
};

struct LeakyRelu {
    static constexpr S LEAK = 0.01;
    NATIVE_INLINE Vec value(Vec x) { return x > 0 ? x : x * LEAK; }
    NATIVE_INLINE Vec slope(Vec x, Vec) { return x > 0 ? splat(1) : splat(LEAK); }
};

struct Elu {
    NATIVE_INLINE Vec value(Vec x) { return x > 0 ? x : exponential_minus_one(x); }
    NATIVE_INLINE Vec slope(Vec x, Vec) { return x > 0 ? splat(1) : exponential(x); }
};

struct Gelu {
    NATIVE_INLINE Vec value(Vec x) { return x * normal_below(x); }
    NATIVE_INLINE Vec slope(Vec x, Vec) { return gelu_slope(x); }
};

struct Silu {
    NATIVE_INLINE Vec value(Vec x) { return x / one_over_sigmoid(x); }
    NATIVE_INLINE Vec slope(Vec x, Vec) {
        const Vec gate = sigmoid(x);
        return gate * (1 + x * (1 - gate));
    }
};

struct Tanh {
    NATIVE_INLINE Vec value(Vec x) { return hyperbolic_tangent(x); }
    NATIVE_INLINE Vec slope(Vec, Vec y) { return 1 - y * y; }
};

struct Sigmoid {
    NATIVE_INLINE Vec value(Vec x) { return sigmoid(x); }
    NATIVE_INLINE Vec slope(Vec, Vec y) { return y * (1 - y); }
};

struct SoftPlus {
    static constexpr S LINEAR_FROM = 20; // torch's threshold, from which on y = x
    NATIVE_INLINE Vec value(Vec x) { return x > LINEAR_FROM ? x : soft_plus(x); }
    NATIVE_INLINE Vec slope(Vec x, Vec) { return x > LINEAR_FROM ? splat(1) : sigmoid(x); }
};

struct Sine {
    NATIVE_INLINE Vec value(Vec x) { return sine(x); }
    NATIVE_INLINE Vec slope(Vec x, Vec) { return cosine(x); }
};

struct Mish {
    static constexpr S LINEAR_FROM = 20; // there tanh(softplus(x)) is one
    // tanh(log(1 + e)) is 1 - rest(e) for e = exp(x); the rest by itself keeps its digits where it is small.
    NATIVE_INLINE Vec rest(Vec e) { return 2 / (e * (e + 2) + 2); }
    NATIVE_INLINE Vec held(Vec x) { return exponential(x > LINEAR_FROM ? splat(LINEAR_FROM) : x); }
    NATIVE_INLINE Vec value(Vec x) {
        const Vec e = held(x);
        return x * (e * (e + 2) * rest(e) / 2);
    }
    NATIVE_INLINE Vec slope(Vec x, Vec) {
        const Vec e = held(x), missing = rest(e);
        const Vec near = e * (e + 2) * missing / 2 + x * missing * (2 - missing) * (e / (1 + e));
        return x > LINEAR_FROM ? splat(1) : near;
    }
};

struct HardSwish {
    NATIVE_INLINE Vec value(Vec x) { return x * smaller(larger(x + 3, Vec{}), splat(6)) / 6; }
    NATIVE_INLINE Vec slope(Vec x, Vec) { return x <= -3 ? Vec{} : (x < 3 ? x / 3 + S(0.5) : splat(1)); }
};

struct SquareRelu {
    NATIVE_INLINE Vec value(Vec x) { return x < 0 ? Vec{} : x * x; }
    NATIVE_INLINE Vec slope(Vec x, Vec) { return x > 0 ? 2 * x : Vec{}; }
};

struct Absolute {
    NATIVE_INLINE Vec value(Vec x) { return magnitude(x); }
    NATIVE_INLINE Vec slope(Vec x, Vec) { return x > 0 ? splat(1) : (x < 0 ? splat(-1) : Vec{}); }
};

template <class Activation> static void activation_forward(Node& node, const Frame&, Columns at) {
    const Value x = input(node, 0), y = node.y;
    const Runs runs = runs_of(x, y, at);
    for (long run = 0; run < runs.count; ++run) {
        const S* from = x.data + run * x.row + at.first;
        S* to = y.data + run * y.row + at.first;
        for (long i = 0; i < runs.length; i += LANES) store(to + i, Activation::value(load(from + i)));
    }
}

template <class Activation> static void activation_backward(Node& node, const Frame&, Columns at) {
    const Value x = input(node, 0), y = node.y;
    if (!node.wants[0]) return;
    const bool adds = node.adds[0];
    const Runs runs = runs_of(x, y, at);
    for (long run = 0; run < runs.count; ++run) {
        const long x_start = run * x.row + at.first, y_start = run * y.row + at.first;
        for (long i = 0; i < runs.length; i += LANES) {
            const Vec rate = Activation::slope(load(x.data + x_start + i), load(y.data + y_start + i));
            const Vec slope = rate * load(y.slope + y_start + i);
            S* to = x.slope + x_start + i;
            store(to, adds ? load(to) + slope : slope);
        }
    }
}

static void declare_gain(Node& node) { add_block(node, 1, node.y.width); }

static void scale_forward(Node& node, const Frame&, Columns at) {
    const Value x = input(node, 0), y = node.y;
    for (long channel = 0; channel < y.width; ++channel) {
        const Vec gain = splat(weights(node, 0)[channel]);
        for (long c = at.first; c < at.first + at.count; c += LANES)
            store(y.data + channel * y.row + c, gain * load(x.data + channel * x.row + c));
    }
}

static void scale_backward(Node& node, const Frame&, Columns at) {
    const Value x = input(node, 0), y = node.y;
    if (!node.wants[0]) return;
    const bool adds = node.adds[0];
    for (long channel = 0; channel < y.width; ++channel) {
        const Vec gain = splat(weights(node, 0)[channel]);
        for (long c = at.first; c < at.first + at.count; c += LANES) {
            S* to = x.slope + channel * x.row + c;
            const Vec slope = gain * load(y.slope + channel * y.row + c);
            store(to, adds ? load(to) + slope : slope);
        }
    }
}

static void scale_differentiate(Node& node, const Frame&, Columns at) {
    const Value x = input(node, 0), y = node.y;
    for (long channel = 0; channel < y.width; ++channel) {
        Vec total{};
        for (long c = at.first; c < at.first + at.count; c += LANES)
            total += load(x.data + channel * x.row + c) * load(y.slope + channel * y.row + c);
        weight_slopes(node, 0)[channel] += sum_of(total);
    }
}

// y at step t is `from` at step t - 1, and zero at the first; columns are of y.
NATIVE_INLINE void delay(const Value& from, const Value& y, const Frame& frame, Columns at) {
    for (long channel = 0; channel < y.width; ++channel) {
        const S* earlier = from.data + channel * from.row - frame.batch;
        S* to = y.data + channel * y.row;
        for (long c = at.first; c < at.first + at.count; c += LANES)
            store(to + c, c < frame.batch ? Vec{} : load(earlier + c));
    }
}

// The slopes of y at step t go to `from` at step t - 1; with `adds` false its last step becomes zero.
NATIVE_INLINE void undelay(const Value& y, const Value& from, const Frame& frame, Columns at, bool adds) {
    const long last = at.first + at.count - frame.batch;
    for (long channel = 0; channel < y.width; ++channel) {
        const S* later = y.slope + channel * y.row + frame.batch;
        S* to = from.slope + channel * from.row;
        for (long c = at.first < frame.batch ? 0 : at.first - frame.batch; c < last; c += LANES)
            store(to + c, adds ? load(to + c) + load(later + c) : load(later + c));
        for (long c = last; !adds && c < last + frame.batch; c += LANES) store(to + c, Vec{});
    }
}

static void shift_forward(Node& node, const Frame& frame, Columns at) {
    delay(input(node, 0), node.y, frame, at);
}

static void shift_backward(Node& node, const Frame& frame, Columns at) {
    if (node.wants[0]) undelay(node.y, input(node, 0), frame, at, node.adds[0]);
}

static void state_forward(Node& node, const Frame& frame, Columns at) {
    delay(node.store->y, node.y, frame, at);
}

static void state_backward(Node& node, const Frame& frame, Columns at) {
    undelay(node.y, node.store->y, frame, at, true);
}

} // namespace NATIVE_VARIANT
