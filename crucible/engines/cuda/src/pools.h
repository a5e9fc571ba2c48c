// Reductions of a sequence to one step: mean, maximum and last; the host's mean over time is the first.
#pragma once
#include "node.h"

namespace persistent {

// Give each step of the input the slope `rate(channel, example, column)`.
template <class Rate>
DEVICE_INLINE void give_steps(const Block& block, const Network& net, const Node& node, Rate rate) {
    const Value& x = net.input(node, 0);
    if (!x.slope) return;
    each(block, x.width, all_columns(x),
         [&](int r, int c) { x.slope[r * x.row + c] += rate(r, c % net.batch, c); });
}

DEVICE void pool_mean_forward(const Block& block, const Network& net, const Node& node, Columns) {
    const Value &x = net.input(node, 0), &y = node.y;
    each(block, y.width, all_columns(y), [&](int r, int b) {
        S total = 0;
        for (int c = b; c < x.row; c += net.batch) total += x.data[r * x.row + c];
        y.data[r * y.row + b] = total / S(x.steps);
    });
}

DEVICE void pool_mean_backward(const Block& block, const Network& net, const Node& node, Columns) {
    const Value& y = node.y;
    const S steps = S(net.input(node, 0).steps);
    give_steps(block, net, node, [&](int r, int b, int) { return y.slope[r * y.row + b] / steps; });
}

// Where several steps reach a maximum they share its gradient, as torch.amax has it: saved is one over their
// number.
DEVICE void pool_max_forward(const Block& block, const Network& net, const Node& node, Columns) {
    const Value &x = net.input(node, 0), &y = node.y;
    each(block, y.width, all_columns(y), [&](int r, int b) {
        S most = x.data[r * x.row + b], ties = 1;
        for (int c = b + net.batch; c < x.row; c += net.batch) {
            const S here = x.data[r * x.row + c];
            ties = here > most ? S(1) : (here == most ? ties + 1 : ties);
            most = here > most || here != here ? here : most;
        }
        y.data[r * y.row + b] = most;
        saved_rows(node, 0).at(r, b) = 1 / ties;
    });
}

DEVICE void pool_max_backward(const Block& block, const Network& net, const Node& node, Columns) {
    const Value &x = net.input(node, 0), &y = node.y;
    give_steps(block, net, node, [&](int r, int b, int c) {
        const S share = x.data[r * x.row + c] == y.data[r * y.row + b] ? saved_rows(node, 0).at(r, b) : S(0);
        return share * y.slope[r * y.row + b];
    });
}

DEVICE void pool_last_forward(const Block& block, const Network& net, const Node& node, Columns) {
    const Value &x = net.input(node, 0), &y = node.y;
    each(block, y.width, all_columns(y),
         [&](int r, int b) { y.data[r * y.row + b] = x.data[r * x.row + x.row - net.batch + b]; });
}

DEVICE void pool_last_backward(const Block& block, const Network& net, const Node& node, Columns) {
    const Value &x = net.input(node, 0), &y = node.y;
    give_steps(block, net, node, [&](int r, int b, int c) {
        return c >= x.row - net.batch ? y.slope[r * y.row + b] : S(0);
    });
}

} // namespace persistent
