// The table of native ops: one row an op, found by its name; the host's ops are rows that the table shares.
// Rows in lower case are no ops of a language: algebra.py makes nodes of them.
#pragma once
#include "attention.h"
#include "features.h"
#include "host.h"
#include "merged.h"
#include "merges.h"
#include "norms.h"
#include "pointwise.h"
#include "pools.h"
#include "recurrent.h"

namespace NATIVE_VARIANT {

static void no_forward(Node&, const Frame&, Columns) {}

#define NATIVE_ACTIVATION(name, type)                                                                        \
    {name, activation_forward<type>, activation_backward<type>, nullptr, nullptr, nullptr, true}

static const Row ROWS[] = {
    {"INPUT", no_forward, nullptr, nullptr, nullptr, nullptr, false},
    {"STATE", state_forward, state_backward, nullptr, nullptr, nullptr, false},
    {"LINEAR", affine_forward, affine_backward, affine_differentiate, declare_affine, nullptr, false},
    {"CONV1D", affine_forward, affine_backward, affine_differentiate, declare_affine, nullptr, false},
    {"DWCONV1D", depthwise_forward, depthwise_backward, depthwise_differentiate, declare_depthwise, nullptr,
     false},
    {"weights", weights_forward, weights_backward, nullptr, declare_weights, nullptr, false, shape_weights},
    {"product", product_forward, product_backward, nullptr, declare_weights, nullptr, false, shape_weights},
    {"merged", merged_forward, merged_backward, merged_differentiate, nullptr, merged_saved, false},
    {"GRU", gru_forward, gru_backward, nullptr, declare_cell<3>, gru_saved, false},
    {"LSTM", lstm_forward, lstm_backward, nullptr, declare_cell<4>, lstm_saved, false},
    {"DIAGONAL_SCAN", scan_forward, scan_backward, nullptr, declare_scan, scan_saved, false},
    {"ATTENTION", attention_forward, attention_backward, nullptr, declare_attention, attention_saved, false},
    {"HEBBIAN", hebbian_forward, hebbian_backward, nullptr, declare_hebbian, hebbian_saved, false},
    {"MOE", moe_forward, moe_backward, nullptr, declare_moe, moe_saved, false},
    {"KWINNERS", winners_forward, winners_backward, nullptr, nullptr, winners_saved, true},
    {"POOL_MEAN", pool_mean_forward, pool_mean_backward, nullptr, nullptr, nullptr, false, nullptr, true},
    {"POOL_MAX", pool_max_forward, pool_max_backward, nullptr, nullptr, pool_max_saved, false, nullptr, true},
    {"POOL_LAST", pool_last_forward, pool_last_backward, nullptr, nullptr, nullptr, false, nullptr, true},
    {"LAYERNORM", norm_forward<true>, norm_backward<true>, norm_differentiate<true>, declare_norm, norm_saved,
     true},
    {"RMSNORM", norm_forward<false>, norm_backward<false>, norm_differentiate<false>, declare_gain,
     norm_saved, true},
    {"SCALE", scale_forward, scale_backward, scale_differentiate, declare_gain, nullptr, true},
    {"SHIFT", shift_forward, shift_backward, nullptr, nullptr, nullptr, false},
    {"ADD", add_forward, add_backward, nullptr, nullptr, nullptr, true},
    {"MUL", multiply_forward, multiply_backward, nullptr, nullptr, nullptr, true},
    {"CONCAT", concat_forward, concat_backward, nullptr, nullptr, nullptr, false},
    {"BLEND", blend_forward, blend_backward, nullptr, nullptr, nullptr, true},
    {"HOST_EMBEDDING", embedding_forward, embedding_backward, embedding_differentiate, declare_embedding,
     nullptr, false},
    {"HOST_SPREAD", spread_forward, spread_backward, nullptr, nullptr, nullptr, false},
    NATIVE_ACTIVATION("RELU", Relu),
    NATIVE_ACTIVATION("LEAKY_RELU", LeakyRelu),
    NATIVE_ACTIVATION("ELU", Elu),
    NATIVE_ACTIVATION("GELU", Gelu),
    NATIVE_ACTIVATION("SILU", Silu),
    NATIVE_ACTIVATION("TANH", Tanh),
    NATIVE_ACTIVATION("SIGMOID", Sigmoid),
    NATIVE_ACTIVATION("SOFTPLUS", SoftPlus),
    NATIVE_ACTIVATION("SIN", Sine),
    NATIVE_ACTIVATION("MISH", Mish),
    NATIVE_ACTIVATION("HARD_SWISH", HardSwish),
    NATIVE_ACTIVATION("SQUARE_RELU", SquareRelu),
    NATIVE_ACTIVATION("ABS", Absolute),
};

#undef NATIVE_ACTIVATION

constexpr int NUM_ROWS = sizeof(ROWS) / sizeof(ROWS[0]);
// The first row, and how many of the last are activations.
constexpr int INPUT_ROW = 0, NUM_ACTIVATIONS = 13;

} // namespace NATIVE_VARIANT
