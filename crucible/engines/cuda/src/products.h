// Sums and matrix products of a block. Each result is summed in one order, whatever the number of threads.
#pragma once
#include "node.h"

namespace persistent {

// Partial sums of a reduction: as many for one thread as for a thousand.
constexpr int LANES = 128;
// Rows of a product that one thread computes at once, sharing what it loads.
constexpr int TILE = 4;

// The sum of `term(i)` for i in [0, count), for every thread.
template <class Term> DEVICE_INLINE S sum_of(const Block& block, int count, Term term) {
    for (int lane = block.thread; lane < LANES; lane += block.num_threads) {
        S total = 0;
        for (int i = lane; i < count; i += LANES) total += term(i);
        block.scratch[lane] = total;
    }
    block.barrier();
    for (int half = LANES / 2; half > 0; half /= 2) {
        for (int i = block.thread; i < half; i += block.num_threads)
            block.scratch[i] += block.scratch[i + half];
        block.barrier();
    }
    const S total = block.scratch[0];
    block.barrier();
    return total;
}

// sums[r * stride] += the sum of term(r, column) over the columns.
template <class Term>
DEVICE_INLINE void add_row_sums(const Block& block, int rows, Columns at, S* sums, int stride, Term term) {
    constexpr int PARTS = 32, PASS = SCRATCH / PARTS;
    for (int start = 0; start < rows; start += PASS) {
        const int num = smaller(PASS, rows - start);
        for (int i = block.thread; i < num * PARTS; i += block.num_threads) {
            const int row = start + i / PARTS;
            S total = 0;
            for (int c = i % PARTS; c < at.count; c += PARTS) total += term(row, at.first + c);
            block.scratch[i] = total;
        }
        block.barrier();
        for (int r = block.thread; r < num; r += block.num_threads) {
            S total = 0;
            for (int part = 0; part < PARTS; ++part) total += block.scratch[r * PARTS + part];
            sums[(start + r) * stride] += total;
        }
        block.barrier();
    }
}

// y[r][c] = bias[r] + sum over taps j and k of a[r][k][j] x[k][c - lag + j * shift], zero outside of x.
struct Product {
    const S* a;
    int a_row, a_column, a_tap; // scalars from one row, column or tap to the next
    const S* x;
    int x_row, x_columns;
    int lag, shift;
    S* y;
    int y_row;
    const S* bias; // null for none
    bool adds;     // to what stands in y
    int rows, inner, taps;
};

// A thread takes TILE rows of WIDE columns, a quarter of all apart, so that neighbours read side by side.
template <int WIDE> DEVICE_INLINE void multiply_tiles(const Block& block, const Product& p, Columns at) {
    const int num_tiles = (p.rows + TILE - 1) / TILE, apart = (at.count + WIDE - 1) / WIDE;
    for (int i = block.thread; i < num_tiles * apart; i += block.num_threads) {
        const int first = i / apart * TILE, column = i % apart;
        S sums[TILE][WIDE] = {};
        for (int tap = 0; tap < p.taps; ++tap) {
            int from[WIDE];
            UNROLL for (int w = 0; w < WIDE; ++w) {
                const int place = at.first + column + w * apart - p.lag + tap * p.shift;
                const bool is_there = column + w * apart < at.count && place >= 0 && place < p.x_columns;
                from[w] = is_there ? place : -1;
            }
            for (int k = 0; k < p.inner; ++k) {
                S x[WIDE];
                UNROLL for (int w = 0; w < WIDE; ++w) x[w] = from[w] < 0 ? S(0) : p.x[k * p.x_row + from[w]];
                UNROLL for (int r = 0; r < TILE; ++r) {
                    const int row = smaller(first + r, p.rows - 1);
                    const S a = p.a[row * p.a_row + k * p.a_column + tap * p.a_tap];
                    UNROLL for (int w = 0; w < WIDE; ++w) sums[r][w] += a * x[w];
                }
            }
        }
        UNROLL for (int r = 0; r < TILE; ++r)
            UNROLL for (int w = 0; w < WIDE; ++w) {
                if (first + r >= p.rows || column + w * apart >= at.count) continue;
                S& y = p.y[(first + r) * p.y_row + at.first + column + w * apart];
                y = sums[r][w] + ((p.bias ? p.bias[first + r] : S(0)) + (p.adds ? y : S(0)));
            }
    }
    block.barrier();
}

// The size of tiles changes how many threads have work, and no bit of a result.
DEVICE_CALL void multiply(const Block& block, const Product& p, Columns at) {
    constexpr int WIDE = 4;
    if (p.rows * at.count >= TILE * WIDE * block.num_threads) {
        multiply_tiles<WIDE>(block, p, at);
    } else {
        multiply_tiles<1>(block, p, at);
    }
}

// slopes[r][k][j] += the sum over columns c of left[r][c] right[k][c - lag - j * reach], zero before `right`.
struct Outer {
    const S* left;
    int left_row;
    const S* right;
    int right_row;
    int lag, reach;
    S* slopes;
    int row, column, tap; // scalars from one to the next
    int rows, columns, taps;
};

DEVICE_CALL void add_outer(const Block& block, const Outer& o, Columns at) {
    constexpr int PARTS = 8, PASS = SCRATCH / (PARTS * TILE);
    const int num_tiles = (o.rows + TILE - 1) / TILE, num_cells = num_tiles * o.columns * o.taps;
    for (int start = 0; start < num_cells; start += PASS) {
        const int num = smaller(PASS, num_cells - start);
        for (int i = block.thread; i < num * PARTS; i += block.num_threads) {
            const int cell = start + i % num, part = i / num;
            const int first = cell / (o.columns * o.taps) * TILE, lag = o.lag + cell % o.taps * o.reach;
            const S* right = o.right + cell / o.taps % o.columns * o.right_row;
            const S* left[TILE];
            S sums[TILE];
            UNROLL for (int r = 0; r < TILE; ++r) {
                left[r] = o.left + smaller(first + r, o.rows - 1) * o.left_row;
                sums[r] = 0;
            }
            const int end = at.first + at.count * (part + 1) / PARTS;
            for (int c = larger(at.first + at.count * part / PARTS, lag); c < end; ++c) {
                const S x = right[c - lag];
                UNROLL for (int r = 0; r < TILE; ++r) sums[r] += left[r][c] * x;
            }
            UNROLL for (int r = 0; r < TILE; ++r) block.scratch[(part * TILE + r) * PASS + i % num] = sums[r];
        }
        block.barrier();
        for (int i = block.thread; i < num * TILE; i += block.num_threads) {
            const int cell = start + i % num, r = i / num;
            const int row = cell / (o.columns * o.taps) * TILE + r;
            if (row >= o.rows) continue;
            S total = 0;
            for (int part = 0; part < PARTS; ++part)
                total += block.scratch[(part * TILE + r) * PASS + i % num];
            o.slopes[row * o.row + cell / o.taps % o.columns * o.column + cell % o.taps * o.tap] += total;
        }
        block.barrier();
    }
}

// A weight [rows][columns][taps] and its bias [rows], side by side or apart, as torch keeps them; taps are
// counted from the newest, which torch keeps last.
struct Map {
    int weight, bias; // places after the node's first parameter; bias -1 for none
    int rows, columns, taps;
    int reach; // columns from one tap to the one before
};

// y = W x + b on columns of y; x is `lag` columns behind.
DEVICE void apply(const Block& block, const Network& net, const Node& node, const Map& m, const S* x,
                  int x_row, int lag, S* y, int y_row, bool adds, Columns at) {
    const S* weight = net.weights(node, m.weight);
    const S* bias = m.bias < 0 ? nullptr : net.weights(node, m.bias);
    multiply(block,
             {weight + m.taps - 1, m.columns * m.taps, m.taps, -1, x, x_row, x_row, lag, -m.reach, y, y_row,
              bias, adds, m.rows, m.columns, m.taps},
             at);
}

// dx += W^T dy, or without `adds` dx = W^T dy, on columns of dx.
DEVICE void apply_transposed(const Block& block, const Network& net, const Node& node, const Map& m,
                             const S* dy, int dy_row, S* dx, int dx_row, bool adds, Columns at) {
    const S* weight = net.weights(node, m.weight);
    multiply(block,
             {weight + m.taps - 1, m.taps, m.columns * m.taps, -1, dy, dy_row, dy_row, 0, m.reach, dx, dx_row,
              nullptr, adds, m.columns, m.rows, m.taps},
             at);
}

// dW += dy x^T, and db += the sums of dy, on columns of dy; x is `lag` columns behind.
DEVICE void add_map_slopes(const Block& block, const Network& net, const Node& node, const Map& m,
                           const S* dy, int dy_row, const S* x, int x_row, int lag, Columns at) {
    S* slopes = net.weight_slopes(node, m.weight);
    add_outer(block,
              {dy, dy_row, x, x_row, lag, m.reach, slopes + m.taps - 1, m.columns * m.taps, m.taps, -1,
               m.rows, m.columns, m.taps},
              at);
    if (m.bias >= 0)
        add_row_sums(block, m.rows, at, net.weight_slopes(node, m.bias), 1,
                     [&](int r, int c) { return dy[r * dy_row + c]; });
}

} // namespace persistent
