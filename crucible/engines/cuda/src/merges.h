// ADD, MUL, CONCAT and BLEND: values of equal steps, or a single step broadcast along a sequence.
#pragma once
#include "node.h"

namespace persistent {

// Where the operand of column c of y stands: a single step repeats at every step.
DEVICE_INLINE int operand(const Network& net, const Value& x, const Value& y, int channel, int c) {
    return channel * x.row + (x.steps == y.steps ? c : c % net.batch);
}

// Give an input the slope `rate(channel, column)`, summed over the steps where it is broadcast.
template <class Rate>
DEVICE_INLINE void give(const Block& block, const Network& net, const Node& node, int i, Columns at,
                        Rate rate) {
    const Value &x = net.input(node, i), &y = node.y;
    if (!x.slope) return;
    if (x.steps == y.steps) {
        each(block, x.width, at, [&](int r, int c) { x.slope[r * x.row + c] += rate(r, c); });
        return;
    }
    each(block, x.width, {0, net.batch}, [&](int r, int b) {
        S total = 0;
        for (int c = at.first + b; c < at.first + at.count; c += net.batch) total += rate(r, c);
        x.slope[r * x.row + b] += total;
    });
}

DEVICE void add_forward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &a = net.input(node, 0), &b = net.input(node, 1), &y = node.y;
    each(block, y.width, at, [&](int r, int c) {
        y.data[r * y.row + c] = a.data[operand(net, a, y, r, c)] + b.data[operand(net, b, y, r, c)];
    });
}

DEVICE void add_backward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value& y = node.y;
    for (int i = 1; i >= 0; --i)
        give(block, net, node, i, at, [&](int r, int c) { return y.slope[r * y.row + c]; });
}

DEVICE void multiply_forward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &a = net.input(node, 0), &b = net.input(node, 1), &y = node.y;
    each(block, y.width, at, [&](int r, int c) {
        y.data[r * y.row + c] = a.data[operand(net, a, y, r, c)] * b.data[operand(net, b, y, r, c)];
    });
}

DEVICE void multiply_backward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value& y = node.y;
    for (int i = 1; i >= 0; --i) {
        const Value& other = net.input(node, 1 - i);
        give(block, net, node, i, at, [&](int r, int c) {
            return y.slope[r * y.row + c] * other.data[operand(net, other, y, r, c)];
        });
    }
}

DEVICE void blend_forward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &z = net.input(node, 0), &a = net.input(node, 1), &b = net.input(node, 2), &y = node.y;
    each(block, y.width, at, [&](int r, int c) {
        const S gate = z.data[operand(net, z, y, r, c)];
        y.data[r * y.row + c] =
            gate * a.data[operand(net, a, y, r, c)] + (1 - gate) * b.data[operand(net, b, y, r, c)];
    });
}

DEVICE void blend_backward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &z = net.input(node, 0), &a = net.input(node, 1), &b = net.input(node, 2), &y = node.y;
    give(block, net, node, 2, at, [&](int r, int c) {
        return y.slope[r * y.row + c] * (1 - z.data[operand(net, z, y, r, c)]);
    });
    give(block, net, node, 1, at,
         [&](int r, int c) { return y.slope[r * y.row + c] * z.data[operand(net, z, y, r, c)]; });
    give(block, net, node, 0, at, [&](int r, int c) {
        return y.slope[r * y.row + c] *
               (a.data[operand(net, a, y, r, c)] - b.data[operand(net, b, y, r, c)]);
    });
}

DEVICE void concat_forward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &a = net.input(node, 0), &b = net.input(node, 1), &y = node.y;
    each(block, y.width, at, [&](int r, int c) {
        y.data[r * y.row + c] = r < a.width ? a.data[operand(net, a, y, r, c)]
                                            : b.data[operand(net, b, y, r - a.width, c)];
    });
}

DEVICE void concat_backward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value& y = node.y;
    for (int i = 1; i >= 0; --i) {
        const int first = i ? net.input(node, 0).width : 0;
        give(block, net, node, i, at, [&](int r, int c) { return y.slope[(first + r) * y.row + c]; });
    }
}

} // namespace persistent
