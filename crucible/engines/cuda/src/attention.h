// ATTENTION and HEBBIAN: every step reads earlier ones (or all) by how well its query fits their keys.
// A thread takes one step of one example, first as the one that reads and then as the one that is read.
#pragma once
#include "products.h"

namespace persistent {

enum { QUERY, KEY, VALUE };

// Saved: q, k and v; what is read, later its slopes; slopes of q, k and v; for each pair of steps its weight,
// and the slope of its fit.
struct Pairs {
    Saved projected, read, slopes;
    S *weights, *fits;
    int width, steps, batch;

    MEMBER int pair(int head, int t, int s, int b) const {
        return ((head * steps + t) * steps + s) * batch + b;
    }
    MEMBER int column(int t, int b) const { return t * batch + b; }
};

// Rows of `saved` before the pairs, and how many rows' worth the pairs are.
DEVICE_INLINE int rows_before_pairs(const Node& node) { return 7 * node.y.width; }
DEVICE_INLINE int rows_of_pairs(const Node& node, int heads) { return 2 * heads * node.y.steps; }

DEVICE_INLINE Pairs pairs_of(const Network& net, const Node& node, int heads) {
    const int width = node.y.width, before = rows_before_pairs(node);
    return {saved_rows(node, 0),
            saved_rows(node, 3 * width),
            saved_rows(node, 4 * width),
            saved_rows(node, before).data,
            saved_rows(node, before + heads * node.y.steps).data,
            width,
            node.y.steps,
            net.batch};
}

// `count` rows of one column times those of another.
DEVICE_INLINE S fit_of(const S* a, int a_row, const S* b, int b_row, int count) {
    S total = 0;
    for (int r = 0; r < count; ++r) total += a[r * a_row] * b[r * b_row];
    return total;
}

DEVICE_INLINE void add_scaled(S* to, int to_row, const S* from, int from_row, int count, S scale) {
    for (int r = 0; r < count; ++r) to[r * to_row] += scale * from[r * from_row];
}

// Visit every (head, step, example).
template <class Visit>
DEVICE_INLINE void each_reader(const Block& block, const Pairs& p, int heads, Visit visit) {
    each(block, heads, {0, p.steps * p.batch},
         [&](int head, int c) { visit(head, c / p.batch, c % p.batch); });
}

DEVICE_INLINE Map attention_in(const Node& node) {
    const int width = node.y.width;
    return {0, 3 * width * width, 3 * width, width, 1, 0};
}
DEVICE_INLINE Map attention_out(const Node& node) {
    const int width = node.y.width, first = 3 * width * (width + 1);
    return {first, first + width * width, width, width, 1, 0};
}

DEVICE_INLINE int steps_seen(const Node& node, int t) { return node.record->is_full ? node.y.steps : t + 1; }

DEVICE void attention_forward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &x = net.input(node, 0), &y = node.y;
    const int heads = node.record->parts, count = y.width / heads;
    const Pairs p = pairs_of(net, node, heads);
    const Saved& q = p.projected;
    const S scale = 1 / sqrt(S(count));
    apply(block, net, node, attention_in(node), x.data, x.row, 0, q.data, q.row, false, at);
    each_reader(block, p, heads, [&](int head, int t, int b) {
        const int first = head * count, own = p.column(t, b), seen = steps_seen(node, t);
        S most = 0, total = 0;
        for (int s = 0; s < seen; ++s) {
            const S fit = scale * fit_of(&q.at(first, own), q.row,
                                         &q.at(KEY * p.width + first, p.column(s, b)), q.row, count);
            p.weights[p.pair(head, t, s, b)] = fit;
            most = s ? larger(fit, most) : fit;
        }
        for (int s = 0; s < seen; ++s) {
            S& weight = p.weights[p.pair(head, t, s, b)];
            weight = exp(weight - most);
            total += weight;
        }
        for (int r = 0; r < count; ++r) p.read.at(first + r, own) = 0;
        for (int s = 0; s < seen; ++s) {
            S& weight = p.weights[p.pair(head, t, s, b)];
            weight /= total;
            add_scaled(&p.read.at(first, own), p.read.row, &q.at(VALUE * p.width + first, p.column(s, b)),
                       q.row, count, weight);
        }
    });
    apply(block, net, node, attention_out(node), p.read.data, p.read.row, 0, y.data, y.row, false, at);
}

// Slopes of queries, by the steps that read; then of keys and values, by those that are read. `give` weighs
// what step t read of step s.
template <class Sees, class Give>
DEVICE_INLINE void pair_slopes(const Block& block, const Pairs& p, int heads, const S* read_slope,
                               int read_row, Sees sees, Give give) {
    const Saved &x = p.projected, &dx = p.slopes;
    const int count = p.width / heads;
    each_reader(block, p, heads, [&](int head, int t, int b) {
        const int first = head * count, own = p.column(t, b);
        for (int r = 0; r < count; ++r) dx.at(first + r, own) = 0;
        for (int s = 0; s < p.steps; ++s)
            if (sees(t, s))
                add_scaled(&dx.at(first, own), dx.row, &x.at(KEY * p.width + first, p.column(s, b)), x.row,
                           count, p.fits[p.pair(head, t, s, b)]);
    });
    each_reader(block, p, heads, [&](int head, int s, int b) {
        const int first = head * count, own = p.column(s, b);
        const int key = KEY * p.width + first, value = VALUE * p.width + first;
        for (int r = 0; r < count; ++r) dx.at(key + r, own) = dx.at(value + r, own) = 0;
        for (int t = 0; t < p.steps; ++t) {
            if (!sees(t, s)) continue;
            const int pair = p.pair(head, t, s, b), reader = p.column(t, b);
            add_scaled(&dx.at(key, own), dx.row, &x.at(first, reader), x.row, count, p.fits[pair]);
            add_scaled(&dx.at(value, own), dx.row, read_slope + first * read_row + reader, read_row, count,
                       give(t, s, pair));
        }
    });
}

DEVICE void attention_backward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &x = net.input(node, 0), &y = node.y;
    const int heads = node.record->parts, count = y.width / heads;
    const Pairs p = pairs_of(net, node, heads);
    const Saved &q = p.projected, &read = p.read;
    const S scale = 1 / sqrt(S(count));
    const Map in = attention_in(node), out = attention_out(node);
    add_map_slopes(block, net, node, out, y.slope, y.row, read.data, read.row, 0, at);
    apply_transposed(block, net, node, out, y.slope, y.row, read.data, read.row, false, at);
    each_reader(block, p, heads, [&](int head, int t, int b) {
        const int first = head * count, own = p.column(t, b), seen = steps_seen(node, t);
        S mean = 0;
        for (int s = 0; s < seen; ++s) {
            const int pair = p.pair(head, t, s, b);
            p.fits[pair] = fit_of(&read.at(first, own), read.row,
                                  &q.at(VALUE * p.width + first, p.column(s, b)), q.row, count);
            mean += p.fits[pair] * p.weights[pair];
        }
        for (int s = 0; s < seen; ++s) {
            const int pair = p.pair(head, t, s, b);
            p.fits[pair] = scale * p.weights[pair] * (p.fits[pair] - mean);
        }
    });
    pair_slopes(
        block, p, heads, read.data, read.row, [&](int t, int s) { return s < steps_seen(node, t); },
        [&](int, int, int pair) { return p.weights[pair]; });
    add_map_slopes(block, net, node, in, p.slopes.data, p.slopes.row, x.data, x.row, 0, at);
    if (x.slope)
        apply_transposed(block, net, node, in, p.slopes.data, p.slopes.row, x.slope, x.row, true, at);
}

// HEBBIAN: queries and keys of norm one; a pair of age s weighs (q . k) d^s with d = sigmoid(2 decay). The
// parameters are the decay and the projection. Behind the pairs are saved the norms of queries and keys, and
// the slope of log d by each step.
constexpr S LEAST_NORM = S(1e-12); // of torch.nn.functional.normalize

DEVICE_INLINE Map hebbian_in(const Node& node) {
    const int width = node.y.width;
    return {1, 1 + 3 * width * width, 3 * width, width, 1, 0};
}
DEVICE_INLINE Saved hebbian_behind(const Node& node) {
    return saved_rows(node, rows_before_pairs(node) + rows_of_pairs(node, 1));
}
DEVICE_INLINE S log_retained(const Network& net, const Node& node) {
    return -log1p(exp(-2 * net.weights(node, 0)[0]));
}

DEVICE void hebbian_forward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &x = net.input(node, 0), &y = node.y;
    const Pairs p = pairs_of(net, node, 1);
    const Saved &q = p.projected, norms = hebbian_behind(node);
    const S rate = log_retained(net, node);
    apply(block, net, node, hebbian_in(node), x.data, x.row, 0, q.data, q.row, false, at);
    each(block, 2, at, [&](int which, int c) {
        S* own = &q.at(which * p.width, c);
        const S norm = sqrt(fit_of(own, q.row, own, q.row, p.width));
        norms.at(which, c) = norm;
        for (int r = 0; r < p.width; ++r) own[r * q.row] /= larger(norm, LEAST_NORM);
    });
    each_reader(block, p, 1, [&](int, int t, int b) {
        const int own = p.column(t, b);
        for (int r = 0; r < p.width; ++r) y.data[r * y.row + own] = 0;
        for (int s = 0; s <= t; ++s) {
            const int read = p.column(s, b);
            const S fit = fit_of(&q.at(0, own), q.row, &q.at(KEY * p.width, read), q.row, p.width);
            p.weights[p.pair(0, t, s, b)] = fit;
            add_scaled(y.data + own, y.row, &q.at(VALUE * p.width, read), q.row, p.width,
                       fit * exp(S(t - s) * rate));
        }
    });
}

DEVICE void hebbian_backward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &x = net.input(node, 0), &y = node.y;
    const Pairs p = pairs_of(net, node, 1);
    const Saved &q = p.projected, behind = hebbian_behind(node);
    const S rate = log_retained(net, node);
    each_reader(block, p, 1, [&](int, int t, int b) {
        const int own = p.column(t, b);
        S to_rate = 0;
        for (int s = 0; s <= t; ++s) {
            const int pair = p.pair(0, t, s, b);
            const S retained = exp(S(t - s) * rate);
            const S slope =
                fit_of(y.slope + own, y.row, &q.at(VALUE * p.width, p.column(s, b)), q.row, p.width);
            to_rate += slope * p.weights[pair] * retained * S(t - s);
            p.fits[pair] = slope * retained;
        }
        behind.at(2, own) = to_rate;
    });
    pair_slopes(
        block, p, 1, y.slope, y.row, [&](int t, int s) { return s <= t; },
        [&](int t, int s, int pair) { return p.weights[pair] * exp(S(t - s) * rate); });
    // The rate is log(sigmoid(2 decay)), whose slope is 2 sigmoid(-2 decay) = 2 (1 - exp(rate)).
    const S to_rate = sum_of(block, at.count, [&](int c) { return behind.at(2, c); });
    if (block.thread == 0) net.weight_slopes(node, 0)[0] += to_rate * 2 * -expm1(rate);
    // A norm that was held passes nothing along the vector.
    each(block, 2, at, [&](int which, int c) {
        const S *own = &q.at(which * p.width, c), norm = behind.at(which, c);
        S* slope = &p.slopes.at(which * p.width, c);
        const S along = norm > LEAST_NORM ? fit_of(own, q.row, slope, p.slopes.row, p.width) : S(0);
        for (int r = 0; r < p.width; ++r) {
            S& to = slope[r * p.slopes.row];
            to = (to - along * own[r * q.row]) / larger(norm, LEAST_NORM);
        }
    });
    const Map in = hebbian_in(node);
    add_map_slopes(block, net, node, in, p.slopes.data, p.slopes.row, x.data, x.row, 0, at);
    if (x.slope)
        apply_transposed(block, net, node, in, p.slopes.data, p.slopes.row, x.slope, x.row, true, at);
}

} // namespace persistent
