// LAYERNORM and RMSNORM over the channels of each column; their statistics are saved, not the normed values.
#pragma once
#include "products.h"

namespace persistent {

constexpr S NORM_EPSILON = S(1e-5);

// Saved: a row of means (zero for RMSNORM) and a row of inverse deviations.
template <bool CENTRED>
DEVICE void norm_forward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &x = net.input(node, 0), &y = node.y;
    const S *gain = net.weights(node, 0), *bias = net.weights(node, y.width);
    const Saved statistics = saved_rows(node, 0);
    each(block, 1, at, [&](int, int c) {
        S mean = 0, square = 0;
        for (int r = 0; CENTRED && r < x.width; ++r) mean += x.data[r * x.row + c];
        mean /= S(x.width);
        for (int r = 0; r < x.width; ++r) {
            const S from_mean = x.data[r * x.row + c] - mean;
            square += from_mean * from_mean;
        }
        const S inverse = 1 / sqrt(square / S(x.width) + NORM_EPSILON);
        statistics.at(0, c) = mean;
        statistics.at(1, c) = inverse;
        for (int r = 0; r < x.width; ++r) {
            const S scaled = (x.data[r * x.row + c] - mean) * inverse * gain[r];
            y.data[r * y.row + c] = CENTRED ? scaled + bias[r] : scaled;
        }
    });
}

template <bool CENTRED>
DEVICE void norm_differentiate(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &x = net.input(node, 0), &y = node.y;
    const Saved statistics = saved_rows(node, 0);
    add_row_sums(block, y.width, at, net.weight_slopes(node, 0), 1, [&](int r, int c) {
        return y.slope[r * y.row + c] * (x.data[r * x.row + c] - statistics.at(0, c)) * statistics.at(1, c);
    });
    if (CENTRED)
        add_row_sums(block, y.width, at, net.weight_slopes(node, y.width), 1,
                     [&](int r, int c) { return y.slope[r * y.row + c]; });
}

// dx = inverse * (g dy - mean(g dy) - xhat * mean(g dy xhat)); the first mean is absent without centring.
template <bool CENTRED>
DEVICE void norm_backward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &x = net.input(node, 0), &y = node.y;
    const S* gain = net.weights(node, 0);
    const Saved statistics = saved_rows(node, 0);
    if (!x.slope) return;
    each(block, 1, at, [&](int, int c) {
        const S mean = statistics.at(0, c), inverse = statistics.at(1, c);
        S plain = 0, along = 0;
        for (int r = 0; r < x.width; ++r) {
            const S slope = y.slope[r * y.row + c] * gain[r];
            plain += slope;
            along += slope * (x.data[r * x.row + c] - mean);
        }
        along *= inverse * inverse / S(x.width);
        plain = CENTRED ? plain / S(x.width) : S(0);
        for (int r = 0; r < x.width; ++r) {
            const S slope = y.slope[r * y.row + c] * gain[r];
            x.slope[r * x.row + c] += inverse * (slope - plain - (x.data[r * x.row + c] - mean) * along);
        }
    });
}

} // namespace persistent
