// LINEAR, CONV1D and DWCONV1D: affine maps of channels, over one step or over taps that look back in time.
#pragma once
#include "node.h"

namespace NATIVE_VARIANT {

// y = W x + b for block `w` (and bias block `b`, or -1), rows [from, from + rows) of W, on columns of the
// values.
NATIVE_INLINE void apply(const Node& node, int w, int b, long from, long rows, const S* x, long x_row, S* y,
                         long y_row, long columns, long reach, bool adds) {
    const Block& block = node.blocks[w];
    const S* a = weights(node, w) + from * block.row;
    multiply({a, block.row, block.column, block.tap, x, x_row, -reach, y, y_row,
              b < 0 ? nullptr : weights(node, b) + from, adds, rows, columns, block.columns, block.taps});
}

// dx = W^T dy for rows [from, from + rows) of W.
NATIVE_INLINE void apply_transposed(const Node& node, int w, long from, long rows, const S* dy, long dy_row,
                                    S* dx, long dx_row, long columns, long reach, bool adds) {
    const Block& block = node.blocks[w];
    const S* a = weights(node, w) + from * block.row;
    multiply({a, block.column, block.row, block.tap, dy, dy_row, reach, dx, dx_row, nullptr, adds,
              block.columns, columns, rows, block.taps});
}

// dW += dy x^T over columns; tap j sees x `j * reach` columns earlier. Whole blocks, or rows of a block
// [from, from + rows).
NATIVE_INLINE void add_weight_slopes(const Node& node, int w, long from, long rows, const S* dy, long dy_row,
                                     const S* x, long x_row, long columns, long reach, S* scratch) {
    const Block& block = node.blocks[w];
    S* slopes = weight_slopes(node, w) + from * block.row;
    if (block.is_column_inner) {
        add_outer({dy, dy_row, rows, x, x_row, block.columns, block.padded, slopes, block.tap, columns, reach,
                   block.taps, scratch});
    } else {
        add_outer({x, x_row, block.columns, dy, dy_row, rows, block.padded, slopes, block.tap, columns,
                   -reach, block.taps, scratch});
    }
}

// Taps in memory count from the oldest; kernels count from the newest. Packing reverses them.
NATIVE_INLINE long reach_of(const Node& node, const Frame& frame) {
    return node.record->dilation * frame.batch;
}

static void declare_affine(Node& node) {
    add_block(node, node.y.width, input(node, 0).width, node.record->kernel);
    add_block(node, 1, node.y.width);
}

static void affine_forward(Node& node, const Frame& frame, Columns at) {
    const Value x = input(node, 0), y = node.y;
    apply(node, 0, 1, 0, y.width, x.data + at.first, x.row, y.data + at.first, y.row, at.count,
          reach_of(node, frame), false);
}

static void affine_backward(Node& node, const Frame& frame, Columns at) {
    const Value x = input(node, 0), y = node.y;
    if (!node.wants[0]) return;
    apply_transposed(node, 0, 0, y.width, y.slope + at.first, y.row, x.slope + at.first, x.row, at.count,
                     reach_of(node, frame), node.adds[0]);
}

static void affine_differentiate(Node& node, const Frame& frame, Columns at) {
    const Value x = input(node, 0), y = node.y;
    add_weight_slopes(node, 0, 0, y.width, y.slope + at.first, y.row, x.data + at.first, x.row, at.count,
                      reach_of(node, frame), frame.scratch);
    add_row_sums(y.slope + at.first, y.row, y.width, at.count, weight_slopes(node, 1));
}

static void declare_depthwise(Node& node) {
    add_block(node, node.y.width, 1, node.record->kernel);
    add_block(node, 1, node.y.width);
}

NATIVE_INLINE S depthwise_weight(const Node& node, const S* w, long channel, int tap) {
    const Block& block = node.blocks[0];
    return w[channel * block.row + tap * block.tap];
}

// Visit ranges of columns with the number of taps that find a column `reach` or a multiple of it away: at a
// distance of `c` from the end where taps look to, c / reach + 1 do, and `taps` at most.
template <class Visit> NATIVE_INLINE void each_range(long columns, long reach, int taps, Visit visit) {
    for (int found = 1; found <= taps && (found - 1) * reach < columns; ++found)
        visit((found - 1) * reach, found == taps || found * reach > columns ? columns : found * reach, found);
}

static void depthwise_forward(Node& node, const Frame& frame, Columns at) {
    const Value x = input(node, 0), y = node.y;
    const long reach = reach_of(node, frame);
    for (long channel = 0; channel < y.width; ++channel) {
        const S* from = x.data + channel * x.row;
        S* to = y.data + channel * y.row;
        const Vec bias = splat(weights(node, 1)[channel]);
        each_range(at.count, reach, node.record->kernel, [&](long start, long end, int taps) {
            for (long c = start; c < end; c += LANES) {
                Vec sum = bias;
                for (int tap = 0; tap < taps; ++tap)
                    sum += depthwise_weight(node, weights(node, 0), channel, tap) *
                           load(from + c - tap * reach);
                store(to + c, sum);
            }
        });
    }
}

static void depthwise_backward(Node& node, const Frame& frame, Columns at) {
    const Value x = input(node, 0), y = node.y;
    const long reach = reach_of(node, frame);
    if (!node.wants[0]) return;
    for (long channel = 0; channel < y.width; ++channel) {
        const S* from = y.slope + channel * y.row;
        S* to = x.slope + channel * x.row;
        each_range(at.count, reach, node.record->kernel, [&](long start, long end, int taps) {
            // Here the end where taps look to is the last column.
            for (long c = at.count - end; c < at.count - start; c += LANES) {
                Vec sum = node.adds[0] ? load(to + c) : Vec{};
                for (int tap = 0; tap < taps; ++tap)
                    sum += depthwise_weight(node, weights(node, 0), channel, tap) *
                           load(from + c + tap * reach);
                store(to + c, sum);
            }
        });
    }
}

static void depthwise_differentiate(Node& node, const Frame& frame, Columns at) {
    const Value x = input(node, 0), y = node.y;
    const long reach = reach_of(node, frame);
    const Block& block = node.blocks[0];
    for (long channel = 0; channel < y.width; ++channel) {
        const S *left = y.slope + channel * y.row, *right = x.data + channel * x.row;
        for (int tap = 0; tap < node.record->kernel && tap * reach < at.count; ++tap) {
            Vec total{};
            for (long c = tap * reach; c < at.count; c += LANES)
                total += load(left + c) * load(right + c - tap * reach);
            weight_slopes(node, 0)[channel * block.row + tap * block.tap] += sum_of(total);
        }
    }
    add_row_sums(y.slope, y.row, y.width, at.count, weight_slopes(node, 1));
}

} // namespace NATIVE_VARIANT
