// Matrix products on rows of columns: the register tiles, and gradients of weights by transposed chunks or,
// where they are few, by dot products.
// One kernel serves forward, input gradient and weight gradient; only strides differ. It leaves out what the
// matrices mean.
#pragma once
#include "vector.h"

namespace NATIVE_VARIANT {

// Most vectors and rows of accumulators that fit the registers beside one operand.
constexpr int TILE_VECTORS = NATIVE_REGISTERS >= 32 ? 4 : 2;
constexpr int ACCUMULATORS = NATIVE_REGISTERS >= 32 ? 24 : 12;
constexpr int MOST_ROWS = NATIVE_REGISTERS >= 32 ? 16 : 12;
// Columns that are transposed at a time: with the widest rows of a small host they fit the first cache.
constexpr long CHUNK = 128;
// Zeros before and after a row of several steps, which a convolution's tile may read: a tile's width.
constexpr long HALO = 64;
static_assert(TILE_VECTORS * LANES <= HALO, "a tile must not read beyond the zeros between rows");

// y[r][c] (+)= bias[r] + sum over taps j and k < depth of a[r, k, j] * x[k][c + j * x_tap].
struct Product {
    const S* a;
    long a_row, a_column, a_tap;
    const S* x;
    long x_row, x_tap; // x_tap is negative where taps look back, positive where they look ahead
    S* y;
    long y_row;
    const S* bias; // null for none
    bool adds;     // to what y holds
    long rows, columns, depth;
    int taps;
};

// Taps that touch columns [first, first + width); of the others every product is zero.
NATIVE_INLINE int taps_of(const Product& p, long first, long width) {
    if (p.taps == 1) return 1;
    const long seen =
        p.x_tap < 0 ? (first + width - 1) / -p.x_tap + 1 : (p.columns - first - 1) / p.x_tap + 1;
    return seen < p.taps ? int(seen) : p.taps;
}

template <int R, int V> static __attribute__((noinline)) void tile(const Product& p, long row, long column) {
    Vec sums[R][V];
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r) {
        const Vec start = p.bias ? splat(p.bias[row + r]) : Vec{};
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) sums[r][v] = start;
    }
    const int taps = taps_of(p, column, V * LANES);
    const long a_row = p.a_row, a_column = p.a_column, x_row = p.x_row, depth = p.depth;
    for (int tap = 0; tap < taps; ++tap) {
        const S* a = p.a + row * a_row + tap * p.a_tap;
        const S* x = p.x + column + tap * p.x_tap;
        for (long k = 0; k < depth; ++k, a += a_column, x += x_row) {
            Vec right[V];
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) right[v] = load(x + v * LANES);
#pragma GCC unroll 32
            for (int r = 0; r < R; ++r) {
                const Vec left = splat(a[r * a_row]);
#pragma GCC unroll 4
                for (int v = 0; v < V; ++v) sums[r][v] += left * right[v];
            }
        }
    }
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r) {
        S* y = p.y + (row + r) * p.y_row + column;
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v)
            store(y + v * LANES, p.adds ? load(y + v * LANES) + sums[r][v] : sums[r][v]);
    }
}

typedef void (*Tile)(const Product&, long, long);

constexpr int rows_beside(int vectors) {
    return ACCUMULATORS / vectors < MOST_ROWS ? ACCUMULATORS / vectors : MOST_ROWS;
}

// The tile of `rows` rows; V and R count down to it at compile time.
template <int V, int R> NATIVE_INLINE Tile tile_of_rows(long rows) {
    if constexpr (R == 1) {
        return tile<1, V>;
    } else {
        return rows == R ? tile<R, V> : tile_of_rows<V, R - 1>(rows);
    }
}

// Rows in tiles of about equal height: a last tile of one row would wait for its own sums.
template <int V> NATIVE_INLINE void column_of_tiles(const Product& p, long column) {
    constexpr long most = rows_beside(V);
    const long count = (p.rows + most - 1) / most;
    for (long i = 0, row = 0; i < count; ++i) {
        const long height = (p.rows - row + count - i - 1) / (count - i);
        tile_of_rows<V, int(most)>(height)(p, row, column);
        row += height;
    }
}

// Rows of any number, columns a multiple of LANES.
static void multiply(const Product& p) {
    long column = 0;
    for (; column + TILE_VECTORS * LANES <= p.columns; column += TILE_VECTORS * LANES)
        column_of_tiles<TILE_VECTORS>(p, column);
    const long rest = (p.columns - column) / LANES;
    if (rest == 1) column_of_tiles<1>(p, column);
    if constexpr (TILE_VECTORS == 4) {
        if (rest == 2) column_of_tiles<2>(p, column);
        if (rest == 3) column_of_tiles<3>(p, column);
    }
}

// Rows `x` of `width` channels, columns [0, count), as `to[column][padded]`; the padding is zero.
static void transpose(const S* x, long x_row, long width, long count, S* to, long padded) {
    alignas(ALIGNMENT) static const S zeros[CHUNK] = {};
    for (long channel = 0; channel < padded; channel += LANES) {
        const S* rows[LANES];
        for (int r = 0; r < LANES; ++r) rows[r] = channel + r < width ? x + (channel + r) * x_row : zeros;
        for (long column = 0; column < count; column += LANES) {
            Vec square[LANES];
            load_transposed(rows, column, square);
            for (int r = 0; r < LANES; ++r) store(to + (column + r) * padded + channel, square[r]);
        }
    }
}

// y[j][r][w] += sum over columns c of left[r][c + j * shift] * right[w][c], where both columns exist.
struct Outer {
    const S* left;
    long left_row, rows;
    const S* right;
    long right_row, width, padded;
    S* y;
    long y_tap;
    long columns, shift;
    int taps;
    S* scratch; // CHUNK * padded
};

// Columns [low, high) of the right rows that tap `tap` multiplies.
struct Reach {
    long low, high, offset;
};

NATIVE_INLINE Reach reach_of_tap(const Outer& o, int tap, long start, long end) {
    const long offset = tap * o.shift;
    return {start > -offset ? start : -offset, end < o.columns - offset ? end : o.columns - offset, offset};
}

// R left rows from `r` on by LANES / R right rows from `w` on, each pair in a vector of its own over columns.
// A right row beyond the last is read as the last, and its sums are dropped.
template <int R> static void dot_tile(const Outer& o, int tap, long r, long w) {
    constexpr int V = LANES / R;
    const Reach reach = reach_of_tap(o, tap, 0, o.columns);
    if (reach.low >= reach.high) return;
    const S* left = o.left + r * o.left_row + reach.offset;
    const S* rights[V];
    for (int v = 0; v < V; ++v)
        rights[v] = o.right + (w + v < o.width ? w + v : o.width - 1) * o.right_row;
    Vec sums[LANES] = {};
    for (long c = reach.low; c < reach.high; c += LANES) {
        Vec a[R];
#pragma GCC unroll 4
        for (int i = 0; i < R; ++i) a[i] = load(left + i * o.left_row + c);
#pragma GCC unroll 16
        for (int v = 0; v < V; ++v) {
            const Vec b = load(rights[v] + c);
#pragma GCC unroll 4
            for (int i = 0; i < R; ++i) sums[i * V + v] += a[i] * b;
        }
    }
    const Vec totals = sums_of(sums);
    for (int i = 0; i < R; ++i)
        for (int v = 0; v < V && w + v < o.width; ++v)
            o.y[tap * o.y_tap + (r + i) * o.padded + w + v] += totals[i * V + v];
}

template <int R> NATIVE_INLINE void row_of_dots(const Outer& o, int tap, long r) {
    for (long w = 0; w < o.width; w += LANES / R) dot_tile<R>(o, tap, r, w);
}

static void add_dots(const Outer& o) {
    constexpr int MOST = LANES >= 16 ? 4 : 2;
    for (int tap = 0; tap < o.taps; ++tap) {
        long r = 0;
        for (; r + MOST <= o.rows; r += MOST) row_of_dots<MOST>(o, tap, r);
        for (; r + 2 <= o.rows; r += 2) row_of_dots<2>(o, tap, r);
        if (r < o.rows) row_of_dots<1>(o, tap, r);
    }
}

// Whether it costs less to add up the lanes of all sums than to transpose the right rows. Of the two works,
// about so many times as much goes into a transposed scalar as into the end of a sum.
constexpr long SCALARS_A_SUM = 12;
NATIVE_INLINE bool has_few_sums(const Outer& o) {
    return o.taps * o.rows * o.width * SCALARS_A_SUM < o.padded * o.columns;
}

static void add_outer(const Outer& o) {
    if (has_few_sums(o)) return add_dots(o);
    for (long start = 0; start < o.columns; start += CHUNK) {
        const long end = start + CHUNK < o.columns ? start + CHUNK : o.columns;
        transpose(o.right + start, o.right_row, o.width, end - start, o.scratch, o.padded);
        for (int tap = 0; tap < o.taps; ++tap) {
            const auto [low, high, offset] = reach_of_tap(o, tap, start, end);
            if (low >= high) continue;
            multiply({o.left + low + offset, o.left_row, 1, 0, o.scratch + (low - start) * o.padded, o.padded,
                      0, o.y + tap * o.y_tap, o.padded, nullptr, true, o.rows, o.padded, high - low, 1});
        }
    }
}

// sums[r] += sum over columns of x[r].
static void add_row_sums(const S* x, long x_row, long rows, long columns, S* sums) {
    for (long r = 0; r < rows; ++r) {
        Vec total{};
        for (long c = 0; c < columns; c += LANES) total += load(x + r * x_row + c);
        sums[r] += sum_of(total);
    }
}

} // namespace NATIVE_VARIANT
