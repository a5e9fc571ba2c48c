// Reductions of a sequence to one step: mean, maximum and last; the host's mean over time is the first of
// them.
#pragma once
#include "node.h"

namespace NATIVE_VARIANT {

// Where a maximum is reached by several steps they share its gradient, as torch.amax has it: saved is one
// over their number.
static long pool_max_saved(const Node& node, const Frame& frame) { return node.y.width * frame.batch; }

template <class Visit> NATIVE_INLINE void each_column(const Node& node, const Frame& frame, Visit visit) {
    const Value x = input(node, 0), y = node.y;
    for (long channel = 0; channel < y.width; ++channel)
        for (long c = 0; c < frame.batch; c += LANES) visit(channel * x.row + c, channel * y.row + c);
}

template <class Rate> NATIVE_INLINE void give_steps(Node& node, const Frame& frame, Rate rate) {
    const Value x = input(node, 0);
    if (!node.wants[0]) return;
    const bool adds = node.adds[0];
    each_column(node, frame, [&](long from, long to) {
        for (int step = 0; step < x.steps; ++step) {
            S* place = x.slope + from + step * frame.batch;
            const Vec slope = rate(from, to, step);
            store(place, adds ? load(place) + slope : slope);
        }
    });
}

static void pool_mean_forward(Node& node, const Frame& frame, Columns) {
    const Value x = input(node, 0);
    each_column(node, frame, [&](long from, long to) {
        Vec total{};
        for (int step = 0; step < x.steps; ++step) total += load(x.data + from + step * frame.batch);
        store(node.y.data + to, total / S(x.steps));
    });
}

static void pool_mean_backward(Node& node, const Frame& frame, Columns) {
    const Value x = input(node, 0);
    if (!node.wants[0]) return;
    const bool adds = node.adds[0];
    each_column(node, frame, [&](long from, long to) {
        const Vec share = load(node.y.slope + to) / S(x.steps);
        for (int step = 0; step < x.steps; ++step) {
            S* place = x.slope + from + step * frame.batch;
            store(place, adds ? load(place) + share : share);
        }
    });
}

static void pool_max_forward(Node& node, const Frame& frame, Columns) {
    const Value x = input(node, 0);
    each_column(node, frame, [&](long from, long to) {
        Vec most = load(x.data + from), ties = splat(1);
        for (int step = 1; step < x.steps; ++step) {
            const Vec here = load(x.data + from + step * frame.batch);
            ties = here > most ? splat(1) : (here == most ? ties + 1 : ties);
            most = here > most || here != here ? here : most;
        }
        store(node.y.data + to, most);
        store(node.saved + to, 1 / ties);
    });
}

static void pool_max_backward(Node& node, const Frame& frame, Columns) {
    const Value x = input(node, 0);
    give_steps(node, frame, [&](long from, long to, int step) {
        const Vec is_most_here = load(x.data + from + step * frame.batch) == load(node.y.data + to)
                                     ? load(node.saved + to)
                                     : Vec{};
        return is_most_here * load(node.y.slope + to);
    });
}

static void pool_last_forward(Node& node, const Frame& frame, Columns) {
    const long last = (input(node, 0).steps - 1) * frame.batch;
    each_column(node, frame, [&](long from, long to) {
        store(node.y.data + to, load(input(node, 0).data + from + last));
    });
}

static void pool_last_backward(Node& node, const Frame& frame, Columns) {
    const int last = input(node, 0).steps - 1;
    give_steps(node, frame,
               [&](long, long to, int step) { return step == last ? load(node.y.slope + to) : Vec{}; });
}

} // namespace NATIVE_VARIANT
