// ATTENTION and HEBBIAN: every step reads earlier ones (or all) by how well its query fits their keys.
// Pairs of steps are taken one by one for a vector of examples; only the projections are matrix products.
#pragma once
#include "functions.h"
#include "mixing.h"

namespace NATIVE_VARIANT {

// Saved: q, k and v; what is read; slopes of q, k and v; weights of pairs [H][T][T][B]; and of one step
// [T][B].
struct Pairs {
    Saved projected, read, slopes;
    S *weights, *step_slopes;
    long width, steps, batch;

    S* weight(long head, long t, long s, long b) const {
        return weights + ((head * steps + t) * steps + s) * batch + b;
    }
    long place(long t, long b) const { return t * batch + b; }
};

enum { QUERY, KEY, VALUE };

NATIVE_INLINE long pairs_saved(const Node& node, const Frame& frame, long heads) {
    return 7 * node.y.width * saved_row(node, frame) + (heads * node.y.steps + 1) * columns_of(node, frame);
}

NATIVE_INLINE Pairs pairs_of(const Node& node, const Frame& frame, long heads) {
    const long row = saved_row(node, frame), width = node.y.width;
    S* weights = node.saved + 7 * width * row;
    return {{node.saved, row},
            {node.saved + 3 * width * row, row},
            {node.saved + 4 * width * row, row},
            weights,
            weights + heads * node.y.steps * columns_of(node, frame),
            width,
            node.y.steps,
            frame.batch};
}

// Channels [first, first + count) of step t of one projection times those of step s of another.
NATIVE_INLINE Vec fit_of(const S* a, long a_row, const S* b, long b_row, long count) {
    Vec total{};
    for (long channel = 0; channel < count; ++channel)
        total += load(a + channel * a_row) * load(b + channel * b_row);
    return total;
}

NATIVE_INLINE void add_scaled(S* to, long to_row, const S* from, long from_row, long count, Vec scale) {
    for (long channel = 0; channel < count; ++channel)
        store(to + channel * to_row, load(to + channel * to_row) + scale * load(from + channel * from_row));
}

// The slopes that one pair gives: `to_value` weighs what step t read, `to_fit` is the slope of the fit.
NATIVE_INLINE void add_pair_slopes(const Pairs& p, long first, long count, long t_place, long s_place,
                                   const S* read_slope, long read_row, Vec to_value, Vec to_fit) {
    const Saved &x = p.projected, &dx = p.slopes;
    const long q = QUERY * p.width + first, k = KEY * p.width + first, v = VALUE * p.width + first;
    add_scaled(dx.at(v, s_place), dx.row, read_slope, read_row, count, to_value);
    add_scaled(dx.at(q, t_place), dx.row, x.at(k, s_place), x.row, count, to_fit);
    add_scaled(dx.at(k, s_place), dx.row, x.at(q, t_place), x.row, count, to_fit);
}

NATIVE_INLINE void project(Node& node, const Pairs& p, int weight, int bias) {
    const Value x = input(node, 0);
    apply(node, weight, bias, 0, 3 * p.width, x.data, x.row, p.projected.data, p.projected.row,
          p.steps * p.batch, 0, false);
}

NATIVE_INLINE void clear_slopes(const Pairs& p) {
    std::memset(p.slopes.data, 0, 3 * p.width * p.slopes.row * sizeof(S));
}

NATIVE_INLINE void project_back(Node& node, const Pairs& p, int weight, int bias, const Frame& frame) {
    const Value x = input(node, 0);
    const long rows = 3 * p.width, columns = p.steps * p.batch;
    add_weight_slopes(node, weight, 0, rows, p.slopes.data, p.slopes.row, x.data, x.row, columns, 0,
                      frame.scratch);
    add_row_sums(p.slopes.data, p.slopes.row, rows, columns, weight_slopes(node, bias));
    if (node.wants[0])
        apply_transposed(node, weight, 0, rows, p.slopes.data, p.slopes.row, x.slope, x.row, columns, 0,
                         node.adds[0]);
}

enum { IN_WEIGHT, IN_BIAS, OUT_WEIGHT, OUT_BIAS };

static void declare_attention(Node& node) {
    const int width = node.y.width;
    add_block(node, 3 * width, width);
    add_block(node, 1, 3 * width);
    add_block(node, width, width);
    add_block(node, 1, width);
}

static long attention_saved(const Node& node, const Frame& frame) {
    return pairs_saved(node, frame, node.record->parts);
}

NATIVE_INLINE long steps_seen(const Node& node, long t) {
    return node.record->is_full ? node.y.steps : t + 1;
}

// The softmax weights of one step of one head, and what it reads with them.
NATIVE_INLINE void attend(const Node& node, const Pairs& p, long head, long t, long b) {
    const Saved& x = p.projected;
    const long count = p.width / node.record->parts, first = head * count, seen = steps_seen(node, t);
    const S scale = 1 / std::sqrt(S(count));
    Vec most = splat(-INFINITE), total{};
    for (long s = 0; s < seen; ++s) {
        const Vec fit = scale * fit_of(x.at(first, p.place(t, b)), x.row,
                                       x.at(p.width + first, p.place(s, b)), x.row, count);
        store(p.weight(head, t, s, b), fit);
        most = larger(fit, most);
    }
    for (long s = 0; s < seen; ++s) {
        const Vec e = exponential(load(p.weight(head, t, s, b)) - most);
        store(p.weight(head, t, s, b), e);
        total += e;
    }
    for (long channel = first; channel < first + count; ++channel)
        store(p.read.at(channel, p.place(t, b)), Vec{});
    for (long s = 0; s < seen; ++s) {
        const Vec share = load(p.weight(head, t, s, b)) / total;
        store(p.weight(head, t, s, b), share);
        add_scaled(p.read.at(first, p.place(t, b)), p.read.row, x.at(VALUE * p.width + first, p.place(s, b)),
                   x.row, count, share);
    }
}

static void attention_forward(Node& node, const Frame& frame, Columns at) {
    const Pairs p = pairs_of(node, frame, node.record->parts);
    project(node, p, IN_WEIGHT, IN_BIAS);
    for (long head = 0; head < node.record->parts; ++head)
        for (long t = 0; t < p.steps; ++t)
            for (long b = 0; b < p.batch; b += LANES) attend(node, p, head, t, b);
    apply(node, OUT_WEIGHT, OUT_BIAS, 0, p.width, p.read.data, p.read.row, node.y.data, node.y.row, at.count,
          0, false);
}

// `p.read` holds the slopes of what was read.
NATIVE_INLINE void attend_back(const Node& node, const Pairs& p, long head, long t, long b) {
    const Saved& x = p.projected;
    const long count = p.width / node.record->parts, first = head * count, seen = steps_seen(node, t);
    const S scale = 1 / std::sqrt(S(count));
    const S* read_slope = p.read.at(first, p.place(t, b));
    Vec mean{};
    for (long s = 0; s < seen; ++s) {
        const Vec slope =
            fit_of(read_slope, p.read.row, x.at(VALUE * p.width + first, p.place(s, b)), x.row, count);
        store(p.step_slopes + p.place(s, b), slope);
        mean += slope * load(p.weight(head, t, s, b));
    }
    for (long s = 0; s < seen; ++s) {
        const Vec share = load(p.weight(head, t, s, b));
        const Vec to_fit = scale * share * (load(p.step_slopes + p.place(s, b)) - mean);
        add_pair_slopes(p, first, count, p.place(t, b), p.place(s, b), read_slope, p.read.row, share, to_fit);
    }
}

static void attention_backward(Node& node, const Frame& frame, Columns at) {
    const Value y = node.y;
    const Pairs p = pairs_of(node, frame, node.record->parts);
    add_weight_slopes(node, OUT_WEIGHT, 0, p.width, y.slope, y.row, p.read.data, p.read.row, at.count, 0,
                      frame.scratch);
    add_row_sums(y.slope, y.row, p.width, at.count, weight_slopes(node, OUT_BIAS));
    apply_transposed(node, OUT_WEIGHT, 0, p.width, y.slope, y.row, p.read.data, p.read.row, at.count, 0,
                     false);
    clear_slopes(p);
    for (long head = 0; head < node.record->parts; ++head)
        for (long t = 0; t < p.steps; ++t)
            for (long b = 0; b < p.batch; b += LANES) attend_back(node, p, head, t, b);
    project_back(node, p, IN_WEIGHT, IN_BIAS, frame);
}

// HEBBIAN: queries and keys of norm one; a pair of age s weighs (q . k) d^s with d = sigmoid(2 decay).
enum { DECAY, PROJECTION_WEIGHT, PROJECTION_BIAS };
constexpr S LEAST_NORM = 1e-12; // of torch.nn.functional.normalize

static void declare_hebbian(Node& node) {
    const int width = node.y.width;
    add_block(node, 1, 1);
    add_block(node, 3 * width, width);
    add_block(node, 1, 3 * width);
}

// Behind the pairs: norms of queries and keys.
static long hebbian_saved(const Node& node, const Frame& frame) {
    return pairs_saved(node, frame, 1) + 2 * columns_of(node, frame);
}
NATIVE_INLINE Saved hebbian_norms(const Node& node, const Frame& frame) {
    return {node.saved + pairs_saved(node, frame, 1), columns_of(node, frame)};
}

NATIVE_INLINE S log_retained(const Node& node) { return -std::log1p(std::exp(-2 * weights(node, DECAY)[0])); }

NATIVE_INLINE void normalize(const Pairs& p, const Saved& norms, int which, long c) {
    S* x = p.projected.at(which * p.width, c);
    const Vec norm = square_root(fit_of(x, p.projected.row, x, p.projected.row, p.width));
    store(norms.at(which, c), norm);
    const Vec inverse = 1 / larger(splat(LEAST_NORM), norm);
    for (long channel = 0; channel < p.width; ++channel)
        store(x + channel * p.projected.row, inverse * load(x + channel * p.projected.row));
}

// Slopes of a normed vector become those of what it was made of; a norm that was held passes none.
NATIVE_INLINE void normalize_back(const Pairs& p, const Saved& norms, int which, long c) {
    const S* x = p.projected.at(which * p.width, c);
    S* slope = p.slopes.at(which * p.width, c);
    const Vec norm = load(norms.at(which, c));
    const Vec along = fit_of(x, p.projected.row, slope, p.slopes.row, p.width);
    const Vec lost = norm > LEAST_NORM ? along : Vec{}, inverse = 1 / larger(splat(LEAST_NORM), norm);
    for (long channel = 0; channel < p.width; ++channel) {
        S* to = slope + channel * p.slopes.row;
        store(to, inverse * (load(to) - lost * load(x + channel * p.projected.row)));
    }
}

static void hebbian_forward(Node& node, const Frame& frame, Columns at) {
    const Value y = node.y;
    const Pairs p = pairs_of(node, frame, 1);
    const Saved &x = p.projected, norms = hebbian_norms(node, frame);
    project(node, p, PROJECTION_WEIGHT, PROJECTION_BIAS);
    for (long c = 0; c < at.count; c += LANES)
        for (int which = QUERY; which <= KEY; ++which) normalize(p, norms, which, c);
    const S rate = log_retained(node);
    for (long t = 0; t < p.steps; ++t)
        for (long b = 0; b < p.batch; b += LANES) {
            S* read = y.data + p.place(t, b);
            for (long channel = 0; channel < p.width; ++channel) store(read + channel * y.row, Vec{});
            for (long s = 0; s <= t; ++s) {
                const Vec fit =
                    fit_of(x.at(0, p.place(t, b)), x.row, x.at(p.width, p.place(s, b)), x.row, p.width);
                store(p.weight(0, t, s, b), fit);
                add_scaled(read, y.row, x.at(VALUE * p.width, p.place(s, b)), x.row, p.width,
                           fit * std::exp((t - s) * rate));
            }
        }
}

static void hebbian_backward(Node& node, const Frame& frame, Columns at) {
    const Value y = node.y;
    const Pairs p = pairs_of(node, frame, 1);
    const Saved norms = hebbian_norms(node, frame);
    const S rate = log_retained(node);
    Vec to_rate{};
    clear_slopes(p);
    for (long t = 0; t < p.steps; ++t)
        for (long b = 0; b < p.batch; b += LANES)
            for (long s = 0; s <= t; ++s) {
                const S* read_slope = y.slope + p.place(t, b);
                const Vec fit = load(p.weight(0, t, s, b));
                const S retained = std::exp((t - s) * rate);
                const Vec slope = fit_of(read_slope, y.row, p.projected.at(VALUE * p.width, p.place(s, b)),
                                         p.projected.row, p.width);
                to_rate += slope * fit * (retained * (t - s));
                add_pair_slopes(p, 0, p.width, p.place(t, b), p.place(s, b), read_slope, y.row,
                                fit * retained, slope * retained);
            }
    // The rate is log(sigmoid(2 decay)), whose slope is 2 sigmoid(-2 decay) = 2 (1 - exp(rate)).
    weight_slopes(node, DECAY)[0] += sum_of(to_rate) * 2 * -std::expm1(rate);
    for (long c = 0; c < at.count; c += LANES)
        for (int which = QUERY; which <= KEY; ++which) normalize_back(p, norms, which, c);
    project_back(node, p, PROJECTION_WEIGHT, PROJECTION_BIAS, frame);
}

} // namespace NATIVE_VARIANT
