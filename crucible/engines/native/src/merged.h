// LINEARs and convolutions that follow one another, computed as the one map that they are together.
// Rows `weights` and `product` multiply their weights out, once a step of training; `merged` applies the
// product. Which chains gain by it is decided in crucible/engines/native/algebra.py.
#pragma once
#include "mixing.h"

namespace NATIVE_VARIANT {

// The value of `weights` and `product`: y = bias[tap] + map[tap] x, summed over taps whose steps exist.
struct Chain {
    S *biases, *bias_slopes; // [taps][bias_row]
    S *maps, *map_slopes;    // [taps][rows][row], of which `columns` are used
    long rows, columns, row, bias_row;
    int taps;

    long tap() const { return rows * row; }
    // Rows of the value that holds it.
    long height() const { return rows * taps + (taps * bias_row + row - 1) / row; }
};

// Taps of a node's own that reach a step: beyond the first step there are only zeros.
NATIVE_INLINE int own_taps(const Node& node, const Frame& frame) {
    const int steps = node.record->sequence ? frame.steps : 1;
    const int reached = (steps - 1) / node.record->dilation + 1;
    return node.record->kernel < reached ? node.record->kernel : reached;
}

static Chain chain_of(const Node& node, const Frame& frame) {
    Chain chain{};
    const Node& source = *node.inputs[0];
    chain.taps = own_taps(node, frame);
    chain.columns = source.y.width;
    if (source.row->shape) {
        const Chain earlier = chain_of(source, frame);
        chain.taps *= earlier.taps;
        chain.columns = earlier.columns;
    }
    chain.rows = node.record->width;
    chain.row = padded_to_lines(chain.columns);
    chain.bias_row = padded_to_lines(chain.rows);
    chain.maps = node.y.data, chain.map_slopes = node.y.slope;
    const long after_maps = chain.taps * chain.tap();
    chain.biases = chain.maps ? chain.maps + after_maps : nullptr;
    chain.bias_slopes = chain.map_slopes ? chain.map_slopes + after_maps : nullptr;
    return chain;
}

static void shape_weights(Node& node, const Frame& frame) {
    const Chain chain = chain_of(node, frame);
    node.y = {nullptr, nullptr, chain.row, int(chain.height()), 1};
}

static void declare_weights(Node& node) {
    add_block(node, node.record->width, node.inputs[0]->record->width, node.record->kernel);
    add_block(node, 1, node.record->width);
    // Of what is mapped, the first of a chain reads the width alone.
    if (!node.inputs[0]->row->shape) node.wants[0] = false;
}


NATIVE_INLINE void add_scaled(S* to, S factor, const S* from, long count) {
    for (long i = 0; i < count; i += LANES) store(to + i, load(to + i) + factor * load(from + i));
}

// y += A x for a matrix whose rows or whose columns are contiguous; all vectors are padded by zeros.
NATIVE_INLINE void add_mapped(const S* a, long rows, long columns, long row, long column, const S* x, S* y) {
    if (row == 1) {
        for (long c = 0; c < columns; ++c) add_scaled(y, x[c], a + c * column, padded_to_lines(rows));
        return;
    }
    for (long r = 0; r < rows; ++r) {
        Vec total{};
        for (long c = 0; c < columns; c += LANES) total += load(a + r * row + c) * load(x + c);
        y[r] += sum_of(total);
    }
}

// A node's own bias counts from the first step on, as that of tap 0.
NATIVE_INLINE void start_biases(Node& node, const Chain& chain) {
    std::memset(chain.biases, 0, chain.taps * chain.bias_row * sizeof(S));
    std::memcpy(chain.biases, weights(node, 1), chain.rows * sizeof(S));
}

// The chain's gradient is added to by the one that uses it, and must be zero before.
NATIVE_INLINE void finish_slopes(Node& node, const Chain& chain) {
    add_scaled(weight_slopes(node, 1), 1, chain.bias_slopes, chain.bias_row);
    std::memset(node.y.slope, 0, node.y.row * node.y.width * sizeof(S));
}

// A[r][c] += left[r] * right[c].
NATIVE_INLINE void add_dyad(S* a, const Block& block, const S* left, const S* right) {
    if (block.is_column_inner) {
        for (long r = 0; r < block.rows; ++r) add_scaled(a + r * block.row, left[r], right, block.padded);
    } else {
        for (long c = 0; c < block.columns; ++c)
            add_scaled(a + c * block.column, right[c], left, block.padded);
    }
}

// Visit (place in the packed block, place in the chain's maps) of every weight of a first map whose block has
// its outputs innermost; where it has its inputs there, block and maps are laid out alike.
template <class Visit> NATIVE_INLINE void each_weight(const Block& block, const Chain& chain, Visit visit) {
    for (int tap = 0; tap < chain.taps; ++tap)
        for (long c = 0; c < chain.columns; ++c)
            for (long r = 0; r < chain.rows; ++r)
                visit(tap * block.tap + c * block.column + r, tap * chain.tap() + r * chain.row + c);
}

static void weights_forward(Node& node, const Frame& frame, Columns) {
    const Chain chain = chain_of(node, frame);
    const S* values = weights(node, 0);
    if (node.blocks[0].is_column_inner) {
        std::memcpy(chain.maps, values, chain.taps * chain.tap() * sizeof(S));
    } else {
        each_weight(node.blocks[0], chain, [&](long from, long to) { chain.maps[to] = values[from]; });
    }
    start_biases(node, chain);
}

static void weights_backward(Node& node, const Frame& frame, Columns) {
    const Chain chain = chain_of(node, frame);
    S* slopes = weight_slopes(node, 0);
    if (node.blocks[0].is_column_inner) {
        add_scaled(slopes, 1, chain.map_slopes, chain.taps * chain.tap());
    } else {
        each_weight(node.blocks[0], chain, [&](long to, long from) { slopes[to] += chain.map_slopes[from]; });
    }
    finish_slopes(node, chain);
}

// This map or the earlier one has a single tap; tap j of this one after tap i of that one is tap j + i.
template <class Visit>
NATIVE_INLINE void each_pair(const Node& node, const Frame& frame, const Chain& earlier, Visit visit) {
    const int own = own_taps(node, frame);
    for (int j = 0; j < own; ++j)
        for (int i = 0; i < earlier.taps; ++i) visit(j, i);
}

static void product_forward(Node& node, const Frame& frame, Columns) {
    const Chain chain = chain_of(node, frame), earlier = chain_of(*node.inputs[0], frame);
    const Block& block = node.blocks[0];
    start_biases(node, chain);
    each_pair(node, frame, earlier, [&](int j, int i) {
        const S* a = weights(node, 0) + j * block.tap;
        multiply({a, block.row, block.column, 0, earlier.maps + i * earlier.tap(), earlier.row, 0,
                  chain.maps + (j + i) * chain.tap(), chain.row, nullptr, false, chain.rows, chain.row,
                  earlier.rows, 1});
        add_mapped(a, block.rows, block.columns, block.row, block.column,
                   earlier.biases + i * earlier.bias_row, chain.biases + (j + i) * chain.bias_row);
    });
}

static void product_backward(Node& node, const Frame& frame, Columns) {
    const Chain chain = chain_of(node, frame), earlier = chain_of(*node.inputs[0], frame);
    const Block& block = node.blocks[0];
    each_pair(node, frame, earlier, [&](int j, int i) {
        const S *a = weights(node, 0) + j * block.tap, *dy = chain.map_slopes + (j + i) * chain.tap();
        const S *x = earlier.maps + i * earlier.tap(), *db = chain.bias_slopes + (j + i) * chain.bias_row;
        S* da = weight_slopes(node, 0) + j * block.tap;
        if (block.is_column_inner) {
            add_outer({dy, chain.row, chain.rows, x, earlier.row, block.columns, block.padded, da, 0,
                       chain.row, 0, 1, frame.scratch});
        } else {
            add_outer({x, earlier.row, earlier.rows, dy, chain.row, block.rows, block.padded, da, 0,
                       chain.row, 0, 1, frame.scratch});
        }
        add_dyad(da, block, db, earlier.biases + i * earlier.bias_row);
        multiply({a, block.column, block.row, 0, dy, chain.row, 0, earlier.map_slopes + i * earlier.tap(),
                  earlier.row, nullptr, true, earlier.rows, chain.row, chain.rows, 1});
        add_mapped(a, block.columns, block.rows, block.column, block.row, db,
                   earlier.bias_slopes + i * earlier.bias_row);
    });
    finish_slopes(node, chain);
}

// Inputs of `merged`: what is mapped, and the chain that maps it.
NATIVE_INLINE Chain chain_applied(const Node& node, const Frame& frame) {
    return chain_of(*node.inputs[1], frame);
}

// Few inputs or few outputs: the gradient of the map has whole vectors along whichever wastes less.
NATIVE_INLINE bool is_along_inputs(const Chain& chain) {
    return chain.rows * chain.row <= chain.columns * chain.bias_row;
}

// Saved is room for the gradient of the map along its outputs: [taps][columns][bias_row].
static long merged_saved(const Node& node, const Frame& frame) {
    const Chain chain = chain_applied(node, frame);
    return is_along_inputs(chain) ? 0 : chain.taps * chain.columns * chain.bias_row;
}

// Biases of taps that look back count from the step on that they reach.
static void fill_biases(const Value& y, const Chain& chain, const Frame& frame, int dilation) {
    for (long r = 0; r < chain.rows; ++r) {
        S total = 0;
        for (int step = 0; step < y.steps; ++step) {
            if (step % dilation == 0 && step / dilation < chain.taps)
                total += chain.biases[step / dilation * chain.bias_row + r];
            S* to = y.data + r * y.row + step * frame.batch;
            for (long c = 0; c < frame.batch; c += LANES) store(to + c, splat(total));
        }
    }
}

static void merged_forward(Node& node, const Frame& frame, Columns at) {
    const Value x = input(node, 0), y = node.y;
    const Chain chain = chain_applied(node, frame);
    const bool is_filled = chain.taps > 1;
    if (is_filled) fill_biases(y, chain, frame, node.record->dilation);
    multiply({chain.maps, chain.row, 1, chain.tap(), x.data, x.row, -reach_of(node, frame), y.data, y.row,
              is_filled ? nullptr : chain.biases, is_filled, chain.rows, at.count, chain.columns,
              chain.taps});
}

static void merged_backward(Node& node, const Frame& frame, Columns at) {
    const Value x = input(node, 0), y = node.y;
    const Chain chain = chain_applied(node, frame);
    if (!node.wants[0]) return;
    multiply({chain.maps, 1, chain.row, chain.tap(), y.slope, y.row, reach_of(node, frame), x.slope, x.row,
              nullptr, node.adds[0], chain.columns, at.count, chain.rows, chain.taps});
}

static void add_map_slopes(const Node& node, const Chain& chain, const Frame& frame, long columns) {
    const Value x = input(node, 0), y = node.y;
    const long reach = reach_of(node, frame);
    if (is_along_inputs(chain)) {
        add_outer({y.slope, y.row, chain.rows, x.data, x.row, chain.columns, chain.row, chain.map_slopes,
                   chain.tap(), columns, reach, chain.taps, frame.scratch});
        return;
    }
    const long tap = chain.columns * chain.bias_row;
    std::memset(node.saved, 0, chain.taps * tap * sizeof(S));
    add_outer({x.data, x.row, chain.columns, y.slope, y.row, chain.rows, chain.bias_row, node.saved, tap,
               columns, -reach, chain.taps, frame.scratch});
    for (int j = 0; j < chain.taps; ++j)
        for (long r = 0; r < chain.rows; ++r)
            for (long c = 0; c < chain.columns; ++c)
                chain.map_slopes[j * chain.tap() + r * chain.row + c] +=
                    node.saved[j * tap + c * chain.bias_row + r];
}

static void merged_differentiate(Node& node, const Frame& frame, Columns at) {
    const Chain chain = chain_applied(node, frame);
    add_map_slopes(node, chain, frame, at.count);
    for (long r = 0; r < chain.rows; ++r) {
        const S* dy = node.y.slope + r * node.y.row;
        Vec total{};
        long end = at.count;
        for (int tap = chain.taps - 1; tap >= 0; --tap) {
            const long start = tap * reach_of(node, frame);
            for (long c = start; c < end; c += LANES) total += load(dy + c);
            chain.bias_slopes[tap * chain.bias_row + r] += sum_of(total);
            end = start;
        }
    }
}

} // namespace NATIVE_VARIANT
