// LINEAR, CONV1D and DWCONV1D: affine maps of channels, over one step or over taps that look back in time.
#pragma once
#include "products.h"

namespace persistent {

DEVICE_INLINE Map affine_of(const Network& net, const Node& node) {
    const int rows = node.y.width, columns = net.input(node, 0).width, taps = node.record->kernel;
    return {0, rows * columns * taps, rows, columns, taps, node.record->dilation * net.batch};
}

DEVICE void affine_forward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &x = net.input(node, 0), &y = node.y;
    apply(block, net, node, affine_of(net, node), x.data, x.row, 0, y.data, y.row, false, at);
}

DEVICE void affine_backward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &x = net.input(node, 0), &y = node.y;
    if (!x.slope) return;
    apply_transposed(block, net, node, affine_of(net, node), y.slope, y.row, x.slope, x.row, true, at);
}

DEVICE void affine_differentiate(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &x = net.input(node, 0), &y = node.y;
    add_map_slopes(block, net, node, affine_of(net, node), y.slope, y.row, x.data, x.row, 0, at);
}

// Taps of one channel, the newest last; the bias follows all of them.
DEVICE void depthwise_forward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &x = net.input(node, 0), &y = node.y;
    const int taps = node.record->kernel, reach = node.record->dilation * net.batch;
    const S *weights = net.weights(node, 0), *bias = net.weights(node, y.width * taps);
    each(block, y.width, at, [&](int r, int c) {
        S total = bias[r];
        for (int tap = 0; tap < taps && tap * reach <= c; ++tap)
            total += weights[r * taps + taps - 1 - tap] * x.data[r * x.row + c - tap * reach];
        y.data[r * y.row + c] = total;
    });
}

DEVICE void depthwise_backward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &x = net.input(node, 0), &y = node.y;
    const int taps = node.record->kernel, reach = node.record->dilation * net.batch;
    const S* weights = net.weights(node, 0);
    if (!x.slope) return;
    each(block, y.width, at, [&](int r, int c) {
        S total = 0;
        for (int tap = 0; tap < taps && c + tap * reach < y.row; ++tap)
            total += weights[r * taps + taps - 1 - tap] * y.slope[r * y.row + c + tap * reach];
        x.slope[r * x.row + c] += total;
    });
}

DEVICE void depthwise_differentiate(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &x = net.input(node, 0), &y = node.y;
    const int taps = node.record->kernel, reach = node.record->dilation * net.batch;
    for (int tap = 0; tap < taps && tap * reach < y.row; ++tap)
        add_row_sums(block, y.width, at, net.weight_slopes(node, taps - 1 - tap), taps, [&](int r, int c) {
            return c < tap * reach ? S(0) : y.slope[r * y.row + c] * x.data[r * x.row + c - tap * reach];
        });
    add_row_sums(block, y.width, at, net.weight_slopes(node, y.width * taps), 1,
                 [&](int r, int c) { return y.slope[r * y.row + c]; });
}

} // namespace persistent
