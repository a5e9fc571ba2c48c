// MOE and KWINNERS: experts weighed by a gate, and the largest features of each step alone.
#pragma once
#include "functions.h"
#include "mixing.h"

namespace NATIVE_VARIANT {

enum { GATE_WEIGHT, GATE_BIAS, EXPERT_WEIGHT, EXPERT_BIAS };

static void declare_moe(Node& node) {
    const int experts = node.record->parts, width = node.y.width;
    add_block(node, experts, width);
    add_block(node, 1, experts);
    add_block(node, experts * width, width);
    add_block(node, 1, experts * width);
}

// Saved are the gates and the experts' outputs, later their slopes.
NATIVE_INLINE Saved moe_gates(const Node& node, const Frame& frame) {
    return {node.saved, saved_row(node, frame)};
}
NATIVE_INLINE Saved moe_outputs(const Node& node, const Frame& frame) {
    const long row = saved_row(node, frame);
    return {node.saved + node.record->parts * row, row};
}
static long moe_saved(const Node& node, const Frame& frame) {
    return node.record->parts * (node.y.width + 1L) * saved_row(node, frame);
}

NATIVE_INLINE void soft_max(const Saved& rows, long count, long c) {
    Vec most = load(rows.at(0, c)), total{};
    for (long i = 1; i < count; ++i) most = larger(load(rows.at(i, c)), most);
    for (long i = 0; i < count; ++i) {
        const Vec e = exponential(load(rows.at(i, c)) - most);
        store(rows.at(i, c), e);
        total += e;
    }
    for (long i = 0; i < count; ++i) store(rows.at(i, c), load(rows.at(i, c)) / total);
}

static void moe_forward(Node& node, const Frame& frame, Columns at) {
    const Value x = input(node, 0), y = node.y;
    const Saved gates = moe_gates(node, frame), outputs = moe_outputs(node, frame);
    const long experts = node.record->parts, width = y.width, first = at.first;
    apply(node, GATE_WEIGHT, GATE_BIAS, 0, experts, x.data + first, x.row, gates.at(0, first), gates.row,
          at.count, 0, false);
    apply(node, EXPERT_WEIGHT, EXPERT_BIAS, 0, experts * width, x.data + first, x.row, outputs.at(0, first),
          outputs.row, at.count, 0, false);
    for (long c = first; c < first + at.count; c += LANES) {
        soft_max(gates, experts, c);
        for (long channel = 0; channel < width; ++channel) {
            Vec total{};
            for (long e = 0; e < experts; ++e)
                total += load(gates.at(e, c)) * load(outputs.at(e * width + channel, c));
            store(y.data + channel * y.row + c, total);
        }
    }
}

// Turn gates and outputs of one vector of columns into their slopes.
NATIVE_INLINE void moe_slopes(const Node& node, const Saved& gates, const Saved& outputs, long c) {
    const long experts = node.record->parts, width = node.y.width;
    Vec mean{};
    for (long pass = 0; pass < 2; ++pass)
        for (long e = 0; e < experts; ++e) {
            const Vec gate = load(gates.at(e, c));
            Vec along{};
            for (long channel = 0; channel < width; ++channel)
                along +=
                    load(node.y.slope + channel * node.y.row + c) * load(outputs.at(e * width + channel, c));
            if (pass == 0) {
                mean += gate * along;
                continue;
            }
            for (long channel = 0; channel < width; ++channel)
                store(outputs.at(e * width + channel, c),
                      gate * load(node.y.slope + channel * node.y.row + c));
            store(gates.at(e, c), gate * (along - mean));
        }
}

static void moe_backward(Node& node, const Frame& frame, Columns at) {
    const Value x = input(node, 0);
    const Saved gates = moe_gates(node, frame), outputs = moe_outputs(node, frame);
    const long experts = node.record->parts, rows = experts * node.y.width, first = at.first;
    for (long c = first; c < first + at.count; c += LANES) moe_slopes(node, gates, outputs, c);
    add_weight_slopes(node, GATE_WEIGHT, 0, experts, gates.at(0, first), gates.row, x.data + first, x.row,
                      at.count, 0, frame.scratch);
    add_weight_slopes(node, EXPERT_WEIGHT, 0, rows, outputs.at(0, first), outputs.row, x.data + first, x.row,
                      at.count, 0, frame.scratch);
    add_row_sums(gates.at(0, first), gates.row, experts, at.count, weight_slopes(node, GATE_BIAS));
    add_row_sums(outputs.at(0, first), outputs.row, rows, at.count, weight_slopes(node, EXPERT_BIAS));
    if (!node.wants[0]) return;
    apply_transposed(node, GATE_WEIGHT, 0, experts, gates.at(0, first), gates.row, x.slope + first, x.row,
                     at.count, 0, node.adds[0]);
    apply_transposed(node, EXPERT_WEIGHT, 0, rows, outputs.at(0, first), outputs.row, x.slope + first, x.row,
                     at.count, 0, true);
}

// Saved is one for a winner and zero for the others.
static long winners_saved(const Node& node, const Frame& frame) {
    return node.y.width * saved_row(node, frame);
}

// A feature wins where fewer than W / divisor others are larger: the same set, ties included, as comparing
// with the least winner.
static void winners_forward(Node& node, const Frame& frame, Columns at) {
    const Value x = input(node, 0), y = node.y;
    const Saved wins = {node.saved, saved_row(node, frame)};
    const S most = y.width / node.record->parts;
    for (long channel = 0; channel < y.width; ++channel)
        for (long c = at.first; c < at.first + at.count; c += LANES) {
            const Vec own = load(x.data + channel * x.row + c);
            Vec num_larger{};
            for (long other = 0; other < y.width; ++other)
                num_larger += load(x.data + other * x.row + c) > own ? splat(1) : Vec{};
            const Vec win = num_larger < most ? splat(1) : Vec{};
            store(wins.at(channel, c), win);
            store(y.data + channel * y.row + c, own * win);
        }
}

static void winners_backward(Node& node, const Frame& frame, Columns at) {
    const Value x = input(node, 0), y = node.y;
    const Saved wins = {node.saved, saved_row(node, frame)};
    if (!node.wants[0]) return;
    const bool adds = node.adds[0];
    for (long channel = 0; channel < y.width; ++channel)
        for (long c = at.first; c < at.first + at.count; c += LANES) {
            S* to = x.slope + channel * x.row + c;
            const Vec slope = load(y.slope + channel * y.row + c) * load(wins.at(channel, c));
            store(to, adds ? load(to) + slope : slope);
        }
}

} // namespace NATIVE_VARIANT
