// GRU, LSTM and DIAGONAL_SCAN: input maps of all steps at once, then step by step; backward through time.
#pragma once
#include "products.h"

namespace persistent {

// Parameters of a cell, in torch's order: weights of input and state, then their biases.
DEVICE_INLINE Map input_map(const Network& net, const Node& node, int gates) {
    const int rows = gates * node.y.width, width = net.input(node, 0).width;
    return {0, rows * (width + node.y.width), rows, width, 1, 0};
}
DEVICE_INLINE Map hidden_map(const Network& net, const Node& node, int gates) {
    const int rows = gates * node.y.width, width = net.input(node, 0).width;
    return {rows * width, rows * (width + node.y.width + 1), rows, node.y.width, 1, 0};
}

DEVICE_INLINE Columns step_at(int start, int batch) { return {start, batch}; }

// Give input, weights and biases of a cell their slopes from those of what the two maps made of all steps.
DEVICE_INLINE void cell_backward(const Block& block, const Network& net, const Node& node, int gates,
                                 const Saved& from_input, const Saved& from_hidden) {
    const Value &x = net.input(node, 0), &y = node.y;
    const Map in = input_map(net, node, gates), hidden = hidden_map(net, node, gates);
    const Columns all = all_columns(y);
    add_map_slopes(block, net, node, in, from_input.data, from_input.row, x.data, x.row, 0, all);
    // The state that a step sees is y of the step before.
    add_map_slopes(block, net, node, hidden, from_hidden.data, from_hidden.row, y.data, y.row, net.batch,
                   all);
    if (x.slope)
        apply_transposed(block, net, node, in, from_input.data, from_input.row, x.slope, x.row, true, all);
}

// Saved by a GRU: r, z and n, later slopes of what the input's map gave; U h + c of all three, later slopes;
// slopes that pass to the state before.
struct GruSaved {
    Saved gates, hidden, carried;
};
DEVICE_INLINE GruSaved gru_saved(const Node& node) {
    const int width = node.y.width;
    return {saved_rows(node, 0), saved_rows(node, 3 * width), saved_rows(node, 6 * width)};
}

DEVICE void gru_forward(const Block& block, const Network& net, const Node& node, Columns) {
    const Value &x = net.input(node, 0), &y = node.y;
    const GruSaved s = gru_saved(node);
    const int width = y.width, batch = net.batch;
    apply(block, net, node, input_map(net, node, 3), x.data, x.row, 0, s.gates.data, s.gates.row, false,
          all_columns(y));
    for (int start = 0; start < y.row; start += batch) {
        apply(block, net, node, hidden_map(net, node, 3), y.data, y.row, batch, s.hidden.data, s.hidden.row,
              false, step_at(start, batch));
        each(block, width, step_at(start, batch), [&](int i, int c) {
            const S r = sigmoid(s.gates.at(i, c) + s.hidden.at(i, c));
            const S z = sigmoid(s.gates.at(width + i, c) + s.hidden.at(width + i, c));
            const S n = tanh(s.gates.at(2 * width + i, c) + r * s.hidden.at(2 * width + i, c));
            const S before = start > 0 ? y.data[i * y.row + c - batch] : S(0);
            y.data[i * y.row + c] = n + z * (before - n);
            s.gates.at(i, c) = r;
            s.gates.at(width + i, c) = z;
            s.gates.at(2 * width + i, c) = n;
        });
    }
}

DEVICE void gru_backward(const Block& block, const Network& net, const Node& node, Columns) {
    const Value& y = node.y;
    const GruSaved s = gru_saved(node);
    const int width = y.width, batch = net.batch;
    for (int start = y.row - batch; start >= 0; start -= batch) {
        each(block, width, step_at(start, batch), [&](int i, int c) {
            const bool is_last = start == y.row - batch;
            const S slope = y.slope[i * y.row + c] + (is_last ? S(0) : s.carried.at(i, c + batch));
            const S before = start > 0 ? y.data[i * y.row + c - batch] : S(0);
            const S r = s.gates.at(i, c), z = s.gates.at(width + i, c), n = s.gates.at(2 * width + i, c);
            const S to_n = slope * (1 - z) * (1 - n * n);
            const S to_r = to_n * s.hidden.at(2 * width + i, c) * r * (1 - r);
            const S to_z = slope * (before - n) * z * (1 - z);
            s.gates.at(i, c) = s.hidden.at(i, c) = to_r;
            s.gates.at(width + i, c) = s.hidden.at(width + i, c) = to_z;
            s.gates.at(2 * width + i, c) = to_n;
            s.hidden.at(2 * width + i, c) = to_n * r;
            s.carried.at(i, c) = slope * z;
        });
        if (start > 0)
            apply_transposed(block, net, node, hidden_map(net, node, 3), s.hidden.data, s.hidden.row,
                             s.carried.data, s.carried.row, true, step_at(start, batch));
    }
    cell_backward(block, net, node, 3, s.gates, s.hidden);
}

// Saved by an LSTM: i, f, g and o, later slopes of their sums; the cells; slopes that pass to the state and
// the cell before.
struct LstmSaved {
    Saved gates, cells, states, carried;
};
DEVICE_INLINE LstmSaved lstm_saved(const Node& node) {
    const int width = node.y.width;
    return {saved_rows(node, 0), saved_rows(node, 4 * width), saved_rows(node, 5 * width),
            saved_rows(node, 6 * width)};
}

DEVICE void lstm_forward(const Block& block, const Network& net, const Node& node, Columns) {
    const Value &x = net.input(node, 0), &y = node.y;
    const LstmSaved s = lstm_saved(node);
    const Map hidden = hidden_map(net, node, 4);
    const int width = y.width, batch = net.batch;
    apply(block, net, node, input_map(net, node, 4), x.data, x.row, 0, s.gates.data, s.gates.row, false,
          all_columns(y));
    for (int start = 0; start < y.row; start += batch) {
        // The sum's two biases are added one after the other.
        multiply(block,
                 {net.weights(node, hidden.weight), width, 1, 0, y.data, y.row, y.row, batch, 0, s.gates.data,
                  s.gates.row, net.weights(node, hidden.bias), true, hidden.rows, width, 1},
                 step_at(start, batch));
        each(block, width, step_at(start, batch), [&](int channel, int c) {
            const S i = sigmoid(s.gates.at(channel, c)), f = sigmoid(s.gates.at(width + channel, c));
            const S g = tanh(s.gates.at(2 * width + channel, c));
            const S o = sigmoid(s.gates.at(3 * width + channel, c));
            const S before = start > 0 ? s.cells.at(channel, c - batch) : S(0);
            const S cell = f * before + i * g;
            s.cells.at(channel, c) = cell;
            y.data[channel * y.row + c] = o * tanh(cell);
            s.gates.at(channel, c) = i;
            s.gates.at(width + channel, c) = f;
            s.gates.at(2 * width + channel, c) = g;
            s.gates.at(3 * width + channel, c) = o;
        });
    }
}

DEVICE void lstm_backward(const Block& block, const Network& net, const Node& node, Columns) {
    const Value& y = node.y;
    const LstmSaved s = lstm_saved(node);
    const int width = y.width, batch = net.batch;
    for (int start = y.row - batch; start >= 0; start -= batch) {
        each(block, width, step_at(start, batch), [&](int channel, int c) {
            const bool is_last = start == y.row - batch;
            const S slope =
                y.slope[channel * y.row + c] + (is_last ? S(0) : s.states.at(channel, c + batch));
            const S before = start > 0 ? s.cells.at(channel, c - batch) : S(0);
            const S i = s.gates.at(channel, c), f = s.gates.at(width + channel, c);
            const S g = s.gates.at(2 * width + channel, c), o = s.gates.at(3 * width + channel, c);
            const S shown = tanh(s.cells.at(channel, c));
            const S total =
                (is_last ? S(0) : s.carried.at(channel, c + batch)) + slope * o * (1 - shown * shown);
            s.gates.at(channel, c) = total * g * i * (1 - i);
            s.gates.at(width + channel, c) = total * before * f * (1 - f);
            s.gates.at(2 * width + channel, c) = total * i * (1 - g * g);
            s.gates.at(3 * width + channel, c) = slope * shown * o * (1 - o);
            s.carried.at(channel, c) = total * f;
        });
        if (start > 0)
            apply_transposed(block, net, node, hidden_map(net, node, 4), s.gates.data, s.gates.row,
                             s.states.data, s.states.row, false, step_at(start, batch));
    }
    cell_backward(block, net, node, 4, s.gates, s.gates);
}

// DIAGONAL_SCAN: saved are the gates a and values v, later their slopes.
DEVICE_INLINE Map scan_map(const Network& net, const Node& node) {
    const int rows = 2 * node.y.width, columns = net.input(node, 0).width;
    return {0, rows * columns, rows, columns, 1, 0};
}

DEVICE void scan_forward(const Block& block, const Network& net, const Node& node, Columns) {
    const Value &x = net.input(node, 0), &y = node.y;
    const Saved rows = saved_rows(node, 0);
    apply(block, net, node, scan_map(net, node), x.data, x.row, 0, rows.data, rows.row, false,
          all_columns(y));
    each(block, y.width, {0, net.batch}, [&](int channel, int b) {
        S state = 0;
        for (int c = b; c < y.row; c += net.batch) {
            const S raw = rows.at(channel, c), v = rows.at(y.width + channel, c);
            const S a = node.record->is_signed ? tanh(raw) : sigmoid(raw);
            state = a * state + (1 - fabs(a)) * v;
            rows.at(channel, c) = a;
            y.data[channel * y.row + c] = state;
        }
    });
}

DEVICE void scan_backward(const Block& block, const Network& net, const Node& node, Columns) {
    const Value &x = net.input(node, 0), &y = node.y;
    const Saved rows = saved_rows(node, 0);
    each(block, y.width, {0, net.batch}, [&](int channel, int b) {
        S carried = 0;
        for (int c = y.row - net.batch + b; c >= 0; c -= net.batch) {
            const S slope = carried + y.slope[channel * y.row + c];
            const S a = rows.at(channel, c), v = rows.at(y.width + channel, c);
            const S before = c >= net.batch ? y.data[channel * y.row + c - net.batch] : S(0);
            const S sign = a > 0 ? S(1) : (a < 0 ? S(-1) : S(0));
            const S rate = node.record->is_signed ? 1 - a * a : a * (1 - a);
            carried = slope * a;
            rows.at(channel, c) = slope * (before - sign * v) * rate;
            rows.at(y.width + channel, c) = slope * (1 - fabs(a));
        }
    });
    const Map map = scan_map(net, node);
    add_map_slopes(block, net, node, map, rows.data, rows.row, x.data, x.row, 0, all_columns(y));
    if (x.slope)
        apply_transposed(block, net, node, map, rows.data, rows.row, x.slope, x.row, true, all_columns(y));
}

} // namespace persistent
