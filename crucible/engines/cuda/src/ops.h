// The table of ops: one row an op, found by its name; the host's ops are rows that the table shares.
// engine.py reads the names from the first list below.
#pragma once
#include "attention.h"
#include "features.h"
#include "merges.h"
#include "mixing.h"
#include "norms.h"
#include "pointwise.h"
#include "pools.h"
#include "recurrent.h"

namespace persistent {

// (name, forward, backward)
#define PERSISTENT_OPS(ROW)                                                                                  \
    ROW(INPUT, nothing, nothing)                                                                             \
    ROW(STATE, state_forward, state_backward)                                                                \
    ROW(LINEAR, affine_forward, affine_backward)                                                             \
    ROW(CONV1D, affine_forward, affine_backward)                                                             \
    ROW(DWCONV1D, depthwise_forward, depthwise_backward)                                                     \
    ROW(GRU, gru_forward, gru_backward)                                                                      \
    ROW(LSTM, lstm_forward, lstm_backward)                                                                   \
    ROW(DIAGONAL_SCAN, scan_forward, scan_backward)                                                          \
    ROW(ATTENTION, attention_forward, attention_backward)                                                    \
    ROW(HEBBIAN, hebbian_forward, hebbian_backward)                                                          \
    ROW(MOE, moe_forward, moe_backward)                                                                      \
    ROW(KWINNERS, winners_forward, winners_backward)                                                         \
    ROW(POOL_MEAN, pool_mean_forward, pool_mean_backward)                                                    \
    ROW(POOL_MAX, pool_max_forward, pool_max_backward)                                                       \
    ROW(POOL_LAST, pool_last_forward, pool_last_backward)                                                    \
    ROW(LAYERNORM, norm_forward<true>, norm_backward<true>)                                                  \
    ROW(RMSNORM, norm_forward<false>, norm_backward<false>)                                                  \
    ROW(SCALE, scale_forward, scale_backward)                                                                \
    ROW(SHIFT, shift_forward, shift_backward)                                                                \
    ROW(ADD, add_forward, add_backward)                                                                      \
    ROW(MUL, multiply_forward, multiply_backward)                                                            \
    ROW(CONCAT, concat_forward, concat_backward)                                                             \
    ROW(BLEND, blend_forward, blend_backward)                                                                \
    ROW(RELU, activation_forward<Relu>, activation_backward<Relu>)                                           \
    ROW(LEAKY_RELU, activation_forward<LeakyRelu>, activation_backward<LeakyRelu>)                           \
    ROW(ELU, activation_forward<Elu>, activation_backward<Elu>)                                              \
    ROW(GELU, activation_forward<Gelu>, activation_backward<Gelu>)                                           \
    ROW(SILU, activation_forward<Silu>, activation_backward<Silu>)                                           \
    ROW(TANH, activation_forward<Tanh>, activation_backward<Tanh>)                                           \
    ROW(SIGMOID, activation_forward<Sigmoid>, activation_backward<Sigmoid>)                                  \
    ROW(SOFTPLUS, activation_forward<SoftPlus>, activation_backward<SoftPlus>)                               \
    ROW(SIN, activation_forward<Sine>, activation_backward<Sine>)                                            \
    ROW(MISH, activation_forward<Mish>, activation_backward<Mish>)                                           \
    ROW(HARD_SWISH, activation_forward<HardSwish>, activation_backward<HardSwish>)                           \
    ROW(SQUARE_RELU, activation_forward<SquareRelu>, activation_backward<SquareRelu>)                        \
    ROW(ABS, activation_forward<Absolute>, activation_backward<Absolute>)

// Ops whose parameters get their slopes apart from the inputs, for all columns at once.
#define PERSISTENT_DIFFERENTIATED(ROW)                                                                       \
    ROW(LINEAR, affine_differentiate)                                                                        \
    ROW(CONV1D, affine_differentiate)                                                                        \
    ROW(DWCONV1D, depthwise_differentiate)                                                                   \
    ROW(LAYERNORM, norm_differentiate<true>)                                                                 \
    ROW(RMSNORM, norm_differentiate<false>)                                                                  \
    ROW(SCALE, scale_differentiate)

#define NAME(name, forward, backward) OP_##name,
enum Op { PERSISTENT_OPS(NAME) };
#undef NAME

DEVICE_INLINE void nothing(const Block&, const Network&, const Node&, Columns) {}

DEVICE void run_forward(const Block& block, const Network& net, const Node& node, Columns at) {
    switch (node.record->op) {
#define CASE(name, forward, backward)                                                                        \
    case OP_##name:                                                                                          \
        forward(block, net, node, at);                                                                       \
        break;
        PERSISTENT_OPS(CASE)
#undef CASE
    }
}

// Adds to the slopes of the inputs, and of parameters where no phase of their own does.
DEVICE void run_backward(const Block& block, const Network& net, const Node& node, Columns at) {
    switch (node.record->op) {
#define CASE(name, forward, backward)                                                                        \
    case OP_##name:                                                                                          \
        backward(block, net, node, at);                                                                      \
        break;
        PERSISTENT_OPS(CASE)
#undef CASE
    }
}

DEVICE void run_differentiate(const Block& block, const Network& net, const Node& node, Columns at) {
    switch (node.record->op) {
#define CASE(name, differentiate)                                                                            \
    case OP_##name:                                                                                          \
        differentiate(block, net, node, at);                                                                 \
        break;
        PERSISTENT_DIFFERENTIATED(CASE)
#undef CASE
    }
}

// How many rows of all columns an op saves for its backward.
DEVICE int rows_saved(const Node& node) {
    const int width = node.y.width, parts = node.record->parts;
    switch (node.record->op) {
    case OP_GRU:
    case OP_LSTM:
        return 7 * width;
    case OP_DIAGONAL_SCAN:
        return 2 * width;
    case OP_ATTENTION:
        return rows_before_pairs(node) + rows_of_pairs(node, parts);
    case OP_HEBBIAN:
        return rows_before_pairs(node) + rows_of_pairs(node, 1) + 3;
    case OP_MOE:
        return parts * (width + 1);
    case OP_KWINNERS:
    case OP_POOL_MAX:
        return width;
    case OP_LAYERNORM:
    case OP_RMSNORM:
        return 2;
    }
    return 0;
}

} // namespace persistent
