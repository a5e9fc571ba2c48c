// GRU, LSTM and DIAGONAL_SCAN: input maps of all steps at once, then step by step; backward through time.
#pragma once
#include "functions.h"
#include "mixing.h"

namespace NATIVE_VARIANT {

// Blocks of a cell with hidden states, in torch's order.
enum { INPUT_WEIGHT, HIDDEN_WEIGHT, INPUT_BIAS, HIDDEN_BIAS };

template <int GATES> static void declare_cell(Node& node) {
    const int width = node.y.width;
    add_block(node, GATES * width, input(node, 0).width);
    add_block(node, GATES * width, width, 1, true);
    add_block(node, 1, GATES * width);
    add_block(node, 1, GATES * width);
}

// Give the input of a cell the slopes of its gates' rows, and their weights theirs.
NATIVE_INLINE void cell_input_backward(Node& node, const Frame& frame, const Saved& gates, long rows) {
    const Value x = input(node, 0);
    const long columns = columns_of(node, frame);
    add_weight_slopes(node, INPUT_WEIGHT, 0, rows, gates.data, gates.row, x.data, x.row, columns, 0,
                      frame.scratch);
    add_row_sums(gates.data, gates.row, rows, columns, weight_slopes(node, INPUT_BIAS));
    if (node.wants[0])
        apply_transposed(node, INPUT_WEIGHT, 0, rows, gates.data, gates.row, x.slope, x.row, columns, 0,
                         node.adds[0]);
}

// Slopes of rows [from, from + rows) of the hidden weights: the state that step t sees is y of step t - 1.
NATIVE_INLINE void cell_hidden_backward(Node& node, const Frame& frame, const Saved& gates, long from,
                                        long rows) {
    const long columns = columns_of(node, frame), batch = frame.batch;
    add_weight_slopes(node, HIDDEN_WEIGHT, from, rows, gates.data + batch, gates.row, node.y.data, node.y.row,
                      columns - batch, 0, frame.scratch);
    add_row_sums(gates.data, gates.row, rows, columns, weight_slopes(node, HIDDEN_BIAS) + from);
}

// GRU: saved are r, z and n (later their slopes), U_n h + c, and the carried slopes of a step.
NATIVE_INLINE Saved gru_gates(const Node& node, const Frame& frame) {
    return {node.saved, saved_row(node, frame)};
}
NATIVE_INLINE Saved gru_hidden(const Node& node, const Frame& frame) {
    const long row = saved_row(node, frame);
    return {node.saved + 3 * node.y.width * row, row};
}
NATIVE_INLINE Saved gru_carried(const Node& node, const Frame& frame) {
    return {node.saved + 4 * node.y.width * saved_row(node, frame), frame.batch};
}
static long gru_saved(const Node& node, const Frame& frame) {
    return 4 * node.y.width * saved_row(node, frame) + node.y.width * frame.batch;
}

// What the hidden weights add at one step: to r and z in place, and U_n h + c beside. The bias of r and z is
// left out.
NATIVE_INLINE void gru_look_back(Node& node, const Frame& frame, long start) {
    const Saved gates = gru_gates(node, frame), hidden = gru_hidden(node, frame);
    const long width = node.y.width, row = node.y.row, batch = frame.batch;
    const S *c = weights(node, HIDDEN_BIAS) + 2 * width, *before = node.y.data + start - batch;
    if (start > 0) {
        apply(node, HIDDEN_WEIGHT, -1, 0, 2 * width, before, row, gates.data + start, gates.row, batch, 0,
              true);
        apply(node, HIDDEN_WEIGHT, HIDDEN_BIAS, 2 * width, width, before, row, hidden.data + start,
              hidden.row, batch, 0, false);
        return;
    }
    for (long channel = 0; channel < width; ++channel)
        for (long i = 0; i < batch; i += LANES) store(hidden.at(channel, i), splat(c[channel]));
}

static void gru_forward(Node& node, const Frame& frame, Columns at) {
    const Value x = input(node, 0), y = node.y;
    const Saved gates = gru_gates(node, frame), hidden = gru_hidden(node, frame);
    const long width = y.width, batch = frame.batch;
    const S* bias = weights(node, HIDDEN_BIAS);
    apply(node, INPUT_WEIGHT, INPUT_BIAS, 0, 3 * width, x.data, x.row, gates.data, gates.row, at.count, 0,
          false);
    for (long start = 0; start < at.count; start += batch) {
        gru_look_back(node, frame, start);
        for (long channel = 0; channel < width; ++channel)
            for (long c = start; c < start + batch; c += LANES) {
                const Vec r = sigmoid(load(gates.at(channel, c)) + bias[channel]);
                const Vec z = sigmoid(load(gates.at(width + channel, c)) + bias[width + channel]);
                const Vec n = hyperbolic_tangent(load(gates.at(2 * width + channel, c)) +
                                                 r * load(hidden.at(channel, c)));
                S* state = y.data + channel * y.row + c;
                const Vec before = start > 0 ? load(state - batch) : Vec{};
                store(state, n + z * (before - n));
                store(gates.at(channel, c), r);
                store(gates.at(width + channel, c), z);
                store(gates.at(2 * width + channel, c), n);
            }
    }
}

// Turn r, z and n of one vector into slopes, given the state's slope; return what passes to the state before.
NATIVE_INLINE Vec gru_slopes(const Saved& gates, const Saved& hidden, long width, long channel, long c,
                             Vec slope, Vec before) {
    const Vec r = load(gates.at(channel, c)), z = load(gates.at(width + channel, c));
    const Vec n = load(gates.at(2 * width + channel, c));
    const Vec to_n = slope * (1 - z) * (1 - n * n);
    store(gates.at(channel, c), to_n * load(hidden.at(channel, c)) * r * (1 - r));
    store(gates.at(width + channel, c), slope * (before - n) * z * (1 - z));
    store(gates.at(2 * width + channel, c), to_n);
    store(hidden.at(channel, c), to_n * r);
    return slope * z;
}

static void gru_backward(Node& node, const Frame& frame, Columns at) {
    const Value y = node.y;
    const Saved gates = gru_gates(node, frame), hidden = gru_hidden(node, frame),
                carried = gru_carried(node, frame);
    const long width = y.width, batch = frame.batch;
    for (long start = at.count - batch; start >= 0; start -= batch) {
        const bool is_last = start == at.count - batch;
        for (long channel = 0; channel < width; ++channel)
            for (long i = 0; i < batch; i += LANES) {
                const long place = channel * y.row + start + i;
                const Vec own = load(y.slope + place);
                const Vec slope = is_last ? own : own + load(carried.at(channel, i));
                const Vec before = start > 0 ? load(y.data + place - batch) : Vec{};
                store(carried.at(channel, i),
                      gru_slopes(gates, hidden, width, channel, start + i, slope, before));
            }
        if (start == 0) break;
        apply_transposed(node, HIDDEN_WEIGHT, 0, 2 * width, gates.data + start, gates.row, carried.data,
                         batch, batch, 0, true);
        apply_transposed(node, HIDDEN_WEIGHT, 2 * width, width, hidden.data + start, hidden.row, carried.data,
                         batch, batch, 0, true);
    }
    cell_hidden_backward(node, frame, gates, 0, 2 * width);
    cell_hidden_backward(node, frame, hidden, 2 * width, width);
    cell_input_backward(node, frame, gates, 3 * width);
}

// LSTM: saved are i, f, g and o (later their slopes), the cells c, and the carried slopes of h and c.
NATIVE_INLINE Saved lstm_gates(const Node& node, const Frame& frame) {
    return {node.saved, saved_row(node, frame)};
}
NATIVE_INLINE Saved lstm_cells(const Node& node, const Frame& frame) {
    const long row = saved_row(node, frame);
    return {node.saved + 4 * node.y.width * row, row};
}
NATIVE_INLINE Saved lstm_carried(const Node& node, const Frame& frame, int which) {
    const long width = node.y.width;
    return {node.saved + 5 * width * saved_row(node, frame) + which * width * frame.batch, frame.batch};
}
static long lstm_saved(const Node& node, const Frame& frame) {
    return 5 * node.y.width * saved_row(node, frame) + 2 * node.y.width * frame.batch;
}

static void lstm_forward(Node& node, const Frame& frame, Columns at) {
    const Value x = input(node, 0), y = node.y;
    const Saved gates = lstm_gates(node, frame), cells = lstm_cells(node, frame);
    const long width = y.width, batch = frame.batch;
    const S* bias = weights(node, HIDDEN_BIAS);
    apply(node, INPUT_WEIGHT, INPUT_BIAS, 0, 4 * width, x.data, x.row, gates.data, gates.row, at.count, 0,
          false);
    for (long start = 0; start < at.count; start += batch) {
        if (start > 0)
            apply(node, HIDDEN_WEIGHT, -1, 0, 4 * width, y.data + start - batch, y.row, gates.data + start,
                  gates.row, batch, 0, true);
        for (long channel = 0; channel < width; ++channel)
            for (long c = start; c < start + batch; c += LANES) {
                const auto gate = [&](int g) {
                    return load(gates.at(g * width + channel, c)) + bias[g * width + channel];
                };
                const Vec i = sigmoid(gate(0)), f = sigmoid(gate(1)), o = sigmoid(gate(3));
                const Vec g = hyperbolic_tangent(gate(2));
                const Vec before = start > 0 ? load(cells.at(channel, c - batch)) : Vec{};
                const Vec cell = f * before + i * g;
                store(cells.at(channel, c), cell);
                store(y.data + channel * y.row + c, o * hyperbolic_tangent(cell));
                store(gates.at(channel, c), i), store(gates.at(width + channel, c), f);
                store(gates.at(2 * width + channel, c), g), store(gates.at(3 * width + channel, c), o);
            }
    }
}

// Turn the gates of one vector into slopes; return the slope that passes to the cell before.
NATIVE_INLINE Vec lstm_slopes(const Saved& gates, long width, long channel, long c, Vec slope, Vec to_cell,
                              Vec cell, Vec before) {
    const Vec i = load(gates.at(channel, c)), f = load(gates.at(width + channel, c));
    const Vec g = load(gates.at(2 * width + channel, c)), o = load(gates.at(3 * width + channel, c));
    const Vec shown = hyperbolic_tangent(cell);
    const Vec total = to_cell + slope * o * (1 - shown * shown);
    store(gates.at(channel, c), total * g * i * (1 - i));
    store(gates.at(width + channel, c), total * before * f * (1 - f));
    store(gates.at(2 * width + channel, c), total * i * (1 - g * g));
    store(gates.at(3 * width + channel, c), slope * shown * o * (1 - o));
    return total * f;
}

static void lstm_backward(Node& node, const Frame& frame, Columns at) {
    const Value y = node.y;
    const Saved gates = lstm_gates(node, frame), cells = lstm_cells(node, frame);
    const Saved states = lstm_carried(node, frame, 0), carried = lstm_carried(node, frame, 1);
    const long width = y.width, batch = frame.batch;
    for (long start = at.count - batch; start >= 0; start -= batch) {
        const bool is_last = start == at.count - batch;
        for (long channel = 0; channel < width; ++channel)
            for (long i = 0; i < batch; i += LANES) {
                const Vec own = load(y.slope + channel * y.row + start + i);
                const Vec slope = is_last ? own : own + load(states.at(channel, i));
                const Vec to_cell = is_last ? Vec{} : load(carried.at(channel, i));
                const Vec before = start > 0 ? load(cells.at(channel, start + i - batch)) : Vec{};
                store(carried.at(channel, i), lstm_slopes(gates, width, channel, start + i, slope, to_cell,
                                                          load(cells.at(channel, start + i)), before));
            }
        if (start > 0)
            apply_transposed(node, HIDDEN_WEIGHT, 0, 4 * width, gates.data + start, gates.row, states.data,
                             batch, batch, 0, false);
    }
    cell_hidden_backward(node, frame, gates, 0, 4 * width);
    cell_input_backward(node, frame, gates, 4 * width);
}

// DIAGONAL_SCAN: saved are the gates a and values v (later their slopes), and a step of carried slopes.
static void declare_scan(Node& node) {
    add_block(node, 2 * node.y.width, input(node, 0).width);
    add_block(node, 1, 2 * node.y.width);
}
static long scan_saved(const Node& node, const Frame& frame) {
    return 2 * node.y.width * saved_row(node, frame);
}

static void scan_forward(Node& node, const Frame& frame, Columns at) {
    const Value x = input(node, 0), y = node.y;
    const Saved rows = {node.saved, saved_row(node, frame)};
    apply(node, 0, 1, 0, 2 * y.width, x.data, x.row, rows.data, rows.row, at.count, 0, false);
    for (long channel = 0; channel < y.width; ++channel)
        for (long c = 0; c < at.count; c += LANES) {
            const Vec raw = load(rows.at(channel, c)), v = load(rows.at(y.width + channel, c));
            const Vec gate = node.record->is_signed ? hyperbolic_tangent(raw) : sigmoid(raw);
            S* state = y.data + channel * y.row + c;
            const Vec before = c >= frame.batch ? load(state - frame.batch) : Vec{};
            store(rows.at(channel, c), gate);
            store(state, gate * before + (1 - magnitude(gate)) * v);
        }
}

static void scan_backward(Node& node, const Frame& frame, Columns at) {
    const Value x = input(node, 0), y = node.y;
    const Saved rows = {node.saved, saved_row(node, frame)};
    const bool is_signed = node.record->is_signed;
    for (long channel = 0; channel < y.width; ++channel)
        for (long i = 0; i < frame.batch; i += LANES) {
            Vec carried{};
            for (long c = at.count - frame.batch + i; c >= 0; c -= frame.batch) {
                const Vec slope = carried + load(y.slope + channel * y.row + c);
                const Vec a = load(rows.at(channel, c)), v = load(rows.at(y.width + channel, c));
                const Vec before =
                    c >= frame.batch ? load(y.data + channel * y.row + c - frame.batch) : Vec{};
                const Vec sign = a > 0 ? splat(1) : (a < 0 ? splat(-1) : Vec{});
                const Vec rate = is_signed ? 1 - a * a : a * (1 - a);
                carried = slope * a;
                store(rows.at(channel, c), slope * (before - sign * v) * rate);
                store(rows.at(y.width + channel, c), slope * (1 - magnitude(a)));
            }
        }
    add_weight_slopes(node, 0, 0, 2 * y.width, rows.data, rows.row, x.data, x.row, at.count, 0,
                      frame.scratch);
    add_row_sums(rows.data, rows.row, 2 * y.width, at.count, weight_slopes(node, 1));
    if (node.wants[0])
        apply_transposed(node, 0, 0, 2 * y.width, rows.data, rows.row, x.slope, x.row, at.count, 0,
                         node.adds[0]);
}

} // namespace NATIVE_VARIANT
