// ADD, MUL, CONCAT and BLEND: values of equal steps, or a single step broadcast along a sequence.
#pragma once
#include "node.h"

namespace NATIVE_VARIANT {

// One vector of `channel` of an operand, at a column of the output; a single step repeats at every step.
NATIVE_INLINE const S* operand(const Value& x, const Value& y, long channel, long step, long c) {
    return x.data + channel * x.row + (x.steps == y.steps ? step + c : c);
}

// Visit (channel, first column of a step, column in it); a step is a whole run where nothing is broadcast.
template <class Visit>
NATIVE_INLINE void each_vector(const Node& node, const Frame& frame, Columns at, Visit visit) {
    bool is_broadcast = false;
    for (int i = 0; i < node.num_inputs; ++i) is_broadcast |= input(node, i).steps != node.y.steps;
    const Value y = node.y;
    if (!is_broadcast && y.row == at.count) { // of one step: no zeros lie between channels
        for (long c = 0; c < y.width * y.row; c += LANES) visit(0, at.first, c);
        return;
    }
    const long length = is_broadcast ? frame.batch : at.count;
    for (long channel = 0; channel < y.width; ++channel)
        for (long step = at.first; step < at.first + at.count; step += length)
            for (long c = 0; c < length; c += LANES) visit(channel, step, c);
}

// Give an input the slope `rate(channel, step, c)` of every vector, summed over steps where it is broadcast.
template <class Rate>
NATIVE_INLINE void give(const Node& node, int i, const Frame& frame, Columns at, Rate rate) {
    const Value x = input(node, i), y = node.y;
    const bool adds = node.adds[i];
    if (!node.wants[i]) return;
    if (x.steps == y.steps) {
        each_vector(node, frame, at, [&](long channel, long step, long c) {
            S* to = x.slope + channel * x.row + step + c;
            const Vec slope = rate(channel, step, c);
            store(to, adds ? load(to) + slope : slope);
        });
        return;
    }
    for (long channel = 0; channel < x.width; ++channel)
        for (long c = 0; c < frame.batch; c += LANES) {
            S* to = x.slope + channel * x.row + c;
            Vec total = adds ? load(to) : Vec{};
            for (long step = 0; step < y.steps * frame.batch; step += frame.batch)
                total += rate(channel, step, c);
            store(to, total);
        }
}

static void add_forward(Node& node, const Frame& frame, Columns at) {
    const Value a = input(node, 0), b = input(node, 1), y = node.y;
    each_vector(node, frame, at, [&](long channel, long step, long c) {
        store(y.data + channel * y.row + step + c,
              load(operand(a, y, channel, step, c)) + load(operand(b, y, channel, step, c)));
    });
}

static void add_backward(Node& node, const Frame& frame, Columns at) {
    const Value y = node.y;
    for (int i = 1; i >= 0; --i) {
        if (node.wants[i] && input(node, i).slope == y.slope) continue; // it took the gradient over as it is
        give(node, i, frame, at,
             [&](long channel, long step, long c) { return load(y.slope + channel * y.row + step + c); });
    }
}

static void multiply_forward(Node& node, const Frame& frame, Columns at) {
    const Value a = input(node, 0), b = input(node, 1), y = node.y;
    each_vector(node, frame, at, [&](long channel, long step, long c) {
        store(y.data + channel * y.row + step + c,
              load(operand(a, y, channel, step, c)) * load(operand(b, y, channel, step, c)));
    });
}

static void multiply_backward(Node& node, const Frame& frame, Columns at) {
    const Value y = node.y;
    for (int i = 1; i >= 0; --i) {
        const Value other = input(node, 1 - i);
        give(node, i, frame, at, [&](long channel, long step, long c) {
            return load(y.slope + channel * y.row + step + c) * load(operand(other, y, channel, step, c));
        });
    }
}

static void blend_forward(Node& node, const Frame& frame, Columns at) {
    const Value z = input(node, 0), a = input(node, 1), b = input(node, 2), y = node.y;
    each_vector(node, frame, at, [&](long channel, long step, long c) {
        const Vec gate = load(operand(z, y, channel, step, c));
        store(y.data + channel * y.row + step + c, gate * load(operand(a, y, channel, step, c)) +
                                                       (1 - gate) * load(operand(b, y, channel, step, c)));
    });
}

static void blend_backward(Node& node, const Frame& frame, Columns at) {
    const Value z = input(node, 0), a = input(node, 1), b = input(node, 2), y = node.y;
    const auto slope = [&](long channel, long step, long c) {
        return load(y.slope + channel * y.row + step + c);
    };
    give(node, 2, frame, at, [&](long channel, long step, long c) {
        return slope(channel, step, c) * (1 - load(operand(z, y, channel, step, c)));
    });
    give(node, 1, frame, at, [&](long channel, long step, long c) {
        return slope(channel, step, c) * load(operand(z, y, channel, step, c));
    });
    give(node, 0, frame, at, [&](long channel, long step, long c) {
        return slope(channel, step, c) *
               (load(operand(a, y, channel, step, c)) - load(operand(b, y, channel, step, c)));
    });
}

static void concat_forward(Node& node, const Frame& frame, Columns at) {
    const Value y = node.y;
    S* to = y.data + at.first;
    for (int i = 0; i < 2; ++i) {
        const Value x = input(node, i);
        const long length = x.steps == y.steps ? at.count : frame.batch;
        const S* from = x.data + (x.steps == y.steps ? at.first : 0);
        for (long channel = 0; channel < x.width; ++channel, from += x.row, to += y.row)
            for (long step = 0; step < at.count; step += length)
                for (long c = 0; c < length; c += LANES) store(to + step + c, load(from + c));
    }
}

static void concat_backward(Node& node, const Frame& frame, Columns at) {
    const Value y = node.y;
    for (int i = 1; i >= 0; --i) {
        const Value x = input(node, i);
        if (!node.wants[i]) continue;
        const S* from = y.slope + (i ? input(node, 0).width : 0) * y.row;
        const bool is_broadcast = x.steps != y.steps;
        const long length = is_broadcast ? frame.batch : at.count;
        for (long channel = 0; channel < x.width; ++channel)
            for (long c = 0; c < length; c += LANES) {
                S* to = x.slope + channel * x.row + c + (is_broadcast ? 0 : at.first);
                Vec total = node.adds[i] ? load(to) : Vec{};
                for (long step = 0; step < at.count; step += length)
                    total += load(from + channel * y.row + at.first + step + c);
                store(to, total);
            }
    }
}

} // namespace NATIVE_VARIANT
