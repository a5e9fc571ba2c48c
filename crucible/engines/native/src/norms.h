// LAYERNORM and RMSNORM over the channels of each column; their statistics are saved, not the normed values.
#pragma once
#include "node.h"

namespace NATIVE_VARIANT {

constexpr S NORM_EPSILON = 1e-5;

// Saved: a row of means (zero for RMSNORM) and a row of inverse deviations.
static long norm_saved(const Node& node, const Frame& frame) { return 2 * node.y.steps * frame.batch; }

static void declare_norm(Node& node) {
    add_block(node, 1, node.y.width);
    add_block(node, 1, node.y.width);
}

template <bool CENTRED> NATIVE_INLINE void save_statistics(Node& node, const Value& x, long c, long columns) {
    const S share = S(1) / x.width;
    Vec mean{};
    if (CENTRED) {
        for (long channel = 0; channel < x.width; ++channel) mean += load(x.data + channel * x.row + c);
        mean *= share;
    }
    Vec square{};
    for (long channel = 0; channel < x.width; ++channel) {
        const Vec from_mean = load(x.data + channel * x.row + c) - mean;
        square += from_mean * from_mean;
    }
    store(node.saved + c, mean);
    store(node.saved + columns + c, 1 / square_root(square * share + NORM_EPSILON));
}

template <bool CENTRED> static void norm_forward(Node& node, const Frame& frame, Columns at) {
    const Value x = input(node, 0), y = node.y;
    const long columns = y.steps * frame.batch;
    const S *gain = weights(node, 0), *bias = CENTRED ? weights(node, 1) : nullptr;
    for (long c = at.first; c < at.first + at.count; c += LANES) {
        save_statistics<CENTRED>(node, x, c, columns);
        const Vec mean = load(node.saved + c), inverse = load(node.saved + columns + c);
        for (long channel = 0; channel < y.width; ++channel) {
            const Vec scaled = (load(x.data + channel * x.row + c) - mean) * inverse * gain[channel];
            store(y.data + channel * y.row + c, CENTRED ? scaled + bias[channel] : scaled);
        }
    }
}

template <bool CENTRED> static void norm_differentiate(Node& node, const Frame& frame, Columns at) {
    const Value x = input(node, 0), y = node.y;
    const S *means = node.saved, *inverses = node.saved + y.steps * frame.batch;
    for (long channel = 0; channel < y.width; ++channel) {
        Vec gain{}, bias{};
        for (long c = at.first; c < at.first + at.count; c += LANES) {
            const Vec slope = load(y.slope + channel * y.row + c);
            gain += slope * (load(x.data + channel * x.row + c) - load(means + c)) * load(inverses + c);
            bias += slope;
        }
        weight_slopes(node, 0)[channel] += sum_of(gain);
        if (CENTRED) weight_slopes(node, 1)[channel] += sum_of(bias);
    }
}

// dx = inverse * (g dy - mean(g dy) - xhat * mean(g dy xhat)); the first mean is absent without centring.
template <bool CENTRED> static void norm_backward(Node& node, const Frame& frame, Columns at) {
    const Value x = input(node, 0), y = node.y;
    if (!node.wants[0]) return;
    const bool adds = node.adds[0];
    const S *gain = weights(node, 0), share = S(1) / x.width;
    const S *means = node.saved, *inverses = node.saved + y.steps * frame.batch;
    for (long c = at.first; c < at.first + at.count; c += LANES) {
        const Vec mean = load(means + c), inverse = load(inverses + c);
        Vec plain{}, along{};
        for (long channel = 0; channel < y.width; ++channel) {
            const Vec slope = load(y.slope + channel * y.row + c) * gain[channel];
            plain += slope;
            along += slope * (load(x.data + channel * x.row + c) - mean);
        }
        along *= inverse * inverse * share;
        plain = CENTRED ? plain * share : Vec{};
        for (long channel = 0; channel < y.width; ++channel) {
            const Vec slope = load(y.slope + channel * y.row + c) * gain[channel];
            const Vec from_mean = load(x.data + channel * x.row + c) - mean;
            const Vec result = inverse * (slope - plain - from_mean * along);
            S* to = x.slope + channel * x.row + c;
            store(to, adds ? load(to) + result : result);
        }
    }
}

} // namespace NATIVE_VARIANT
