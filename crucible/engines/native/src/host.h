// Ops of the host that no blueprint has: symbols to rows of a table, and one step spread over all.
#pragma once
#include "merges.h"

namespace NATIVE_VARIANT {

// Inputs are the numbers of symbols; `parts` says how many there are.
static void declare_embedding(Node& node) { add_block(node, node.record->parts, node.y.width); }

static void embedding_forward(Node& node, const Frame&, Columns at) {
    const Block& block = node.blocks[0];
    const S* symbols = input(node, 0).data;
    for (long channel = 0; channel < node.y.width; ++channel) {
        const S* table = weights(node, 0) + channel * block.column;
        S* to = node.y.data + channel * node.y.row;
        for (long c = at.first; c < at.first + at.count; ++c) to[c] = table[long(symbols[c]) * block.row];
    }
}

// Nobody asks for the gradient of symbols.
static void embedding_backward(Node&, const Frame&, Columns) {}

static void embedding_differentiate(Node& node, const Frame&, Columns at) {
    const Block& block = node.blocks[0];
    const S* symbols = input(node, 0).data;
    for (long channel = 0; channel < node.y.width; ++channel) {
        S* table = weight_slopes(node, 0) + channel * block.column;
        const S* from = node.y.slope + channel * node.y.row;
        for (long c = at.first; c < at.first + at.count; ++c) table[long(symbols[c]) * block.row] += from[c];
    }
}

static void spread_forward(Node& node, const Frame& frame, Columns at) {
    const Value x = input(node, 0), y = node.y;
    each_vector(node, frame, at, [&](long channel, long step, long c) {
        store(y.data + channel * y.row + step + c, load(operand(x, y, channel, step, c)));
    });
}

static void spread_backward(Node& node, const Frame& frame, Columns at) {
    const Value y = node.y;
    give(node, 0, frame, at,
         [&](long channel, long step, long c) { return load(y.slope + channel * y.row + step + c); });
}

} // namespace NATIVE_VARIANT
