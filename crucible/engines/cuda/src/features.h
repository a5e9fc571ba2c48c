// MOE and KWINNERS: experts weighed by a gate, and the largest features of each step alone.
#pragma once
#include "products.h"

namespace persistent {

// Parameters: weight and bias of the gate, then of all experts one below the other. Saved are the gates and
// the experts' outputs, later their slopes.
DEVICE_INLINE Map gate_of(const Node& node) {
    const int experts = node.record->parts, width = node.y.width;
    return {0, experts * width, experts, width, 1, 0};
}
DEVICE_INLINE Map experts_of(const Node& node) {
    const int experts = node.record->parts, width = node.y.width, first = experts * (width + 1);
    return {first, first + experts * width * width, experts * width, width, 1, 0};
}

DEVICE void moe_forward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &x = net.input(node, 0), &y = node.y;
    const int experts = node.record->parts;
    const Saved gates = saved_rows(node, 0), outputs = saved_rows(node, experts);
    apply(block, net, node, gate_of(node), x.data, x.row, 0, gates.data, gates.row, false, at);
    apply(block, net, node, experts_of(node), x.data, x.row, 0, outputs.data, outputs.row, false, at);
    each(block, 1, at, [&](int, int c) {
        S most = gates.at(0, c), total = 0;
        for (int e = 1; e < experts; ++e) most = larger(gates.at(e, c), most);
        for (int e = 0; e < experts; ++e) {
            gates.at(e, c) = exp(gates.at(e, c) - most);
            total += gates.at(e, c);
        }
        for (int e = 0; e < experts; ++e) gates.at(e, c) /= total;
    });
    each(block, y.width, at, [&](int r, int c) {
        S total = 0;
        for (int e = 0; e < experts; ++e) total += gates.at(e, c) * outputs.at(e * y.width + r, c);
        y.data[r * y.row + c] = total;
    });
}

DEVICE void moe_backward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &x = net.input(node, 0), &y = node.y;
    const int experts = node.record->parts;
    const Saved gates = saved_rows(node, 0), outputs = saved_rows(node, experts);
    each(block, 1, at, [&](int, int c) {
        S mean = 0;
        for (int pass = 0; pass < 2; ++pass)
            for (int e = 0; e < experts; ++e) {
                const S gate = gates.at(e, c);
                S along = 0;
                for (int r = 0; r < y.width; ++r)
                    along += y.slope[r * y.row + c] * outputs.at(e * y.width + r, c);
                if (pass == 0) {
                    mean += gate * along;
                    continue;
                }
                for (int r = 0; r < y.width; ++r)
                    outputs.at(e * y.width + r, c) = gate * y.slope[r * y.row + c];
                gates.at(e, c) = gate * (along - mean);
            }
    });
    add_map_slopes(block, net, node, gate_of(node), gates.data, gates.row, x.data, x.row, 0, at);
    add_map_slopes(block, net, node, experts_of(node), outputs.data, outputs.row, x.data, x.row, 0, at);
    if (!x.slope) return;
    apply_transposed(block, net, node, gate_of(node), gates.data, gates.row, x.slope, x.row, true, at);
    apply_transposed(block, net, node, experts_of(node), outputs.data, outputs.row, x.slope, x.row, true, at);
}

// A feature wins where fewer than W / divisor others are larger: the same set, ties included, as comparing
// with the least winner. Saved is one for a winner and zero for the others.
DEVICE void winners_forward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &x = net.input(node, 0), &y = node.y;
    const Saved wins = saved_rows(node, 0);
    const int most = y.width / node.record->parts;
    each(block, y.width, at, [&](int r, int c) {
        const S own = x.data[r * x.row + c];
        int num_larger = 0;
        for (int other = 0; other < x.width; ++other) num_larger += x.data[other * x.row + c] > own;
        wins.at(r, c) = num_larger < most ? S(1) : S(0);
        y.data[r * y.row + c] = own * wins.at(r, c);
    });
}

DEVICE void winners_backward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &x = net.input(node, 0), &y = node.y;
    if (!x.slope) return;
    each(block, y.width, at, [&](int r, int c) {
        x.slope[r * x.row + c] += y.slope[r * y.row + c] * saved_rows(node, 0).at(r, c);
    });
}

} // namespace persistent
