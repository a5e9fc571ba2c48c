// Values, parameter blocks and nodes as the kernels see them; leaves where they lie in memory to network.h.
// Values are [C][T][B]: channels outermost, examples innermost, HALO zeros before, between and after rows of
// several steps.
#pragma once
#include "gemm.h"
#include "request.h"

namespace NATIVE_VARIANT {

using native::Record;

struct Value {
    S* data;
    S* slope; // gradient of the loss; null where none arrives
    long row; // scalars from one channel to the next
    int width, steps;
};

// A matrix [taps][rows][columns] of a node's parameters, padded so that its rows are whole vectors. Whichever
// of rows and columns wastes less becomes the inner axis.
struct Block {
    long flat, size; // place in the caller's vector, where it is [rows][columns][taps]
    long packed;     // place in the interpreter's own
    long row, column, tap;
    int rows, columns, taps;
    bool is_column_inner;
    long padded;
};

constexpr int MOST_BLOCKS = 4;
constexpr int MOST_INPUTS = 3;

struct Parameters {
    S* values;
    S* slopes;
};

struct Frame {
    long batch;
    int steps;
    S* scratch;
};

struct Row;

struct Node {
    const Record* record;
    const Row* row;
    Value y;
    Node* inputs[MOST_INPUTS];
    int num_inputs;
    bool is_input;           // whether it reduces a single step, and so is its input itself
    Node* store;             // of a state
    bool is_read;            // whether the loss depends on it
    bool is_frozen;          // whether it has parameters, and they do not learn
    bool is_told;            // whether its gradient is wanted
    bool wants[MOST_INPUTS]; // whether an input's gradient is wanted
    bool adds[MOST_INPUTS];  // whether it is added to what is there
    Block blocks[MOST_BLOCKS];
    int num_blocks;
    Parameters parameters;
    S* saved;       // what the backward needs beside values
    int slot;       // of its gradient, while that may be handed on
    int cleared_by; // scan before whose backward its gradient must become zero
};

// Columns [first, first + count) of every row.
struct Columns {
    long first, count;
};

// An op: its name, its parameters as (rows, columns, taps) blocks in the caller's order, and what it
// computes.
struct Row {
    const char* name;
    void (*forward)(Node&, const Frame&, Columns);
    // Gradients of the inputs; null for an op that has none.
    void (*backward)(Node&, const Frame&, Columns);
    // Gradients of the parameters, before those of the inputs; null where there are none.
    void (*differentiate)(Node&, const Frame&, Columns);
    void (*declare)(Node&);                   // adds its parameter blocks
    long (*saved)(const Node&, const Frame&); // scalars to save, a multiple of BATCH_MULTIPLE
    bool in_place;                            // whether the first input's gradient may overwrite the output's
    // Makes the value hold a map instead of examples; null where it holds these.
    void (*shape)(Node&, const Frame&);
    bool reduces; // whether it makes one step of all of them
};

NATIVE_INLINE const Value& input(const Node& node, int i) { return node.inputs[i]->y; }

NATIVE_INLINE long padded_to_lines(long count) {
    return (count + BATCH_MULTIPLE - 1) / BATCH_MULTIPLE * BATCH_MULTIPLE;
}

// Columns of all steps.
NATIVE_INLINE Columns all_columns(const Value& value, const Frame& frame) {
    return {0, value.steps * frame.batch};
}

// Rows of channels by all columns, as `saved` holds them.
struct Saved {
    S* data;
    long row;
    S* at(long channel, long column) const { return data + channel * row + column; }
};

NATIVE_INLINE long columns_of(const Node& node, const Frame& frame) { return node.y.steps * frame.batch; }

// Scalars from one saved row to the next: a line more than the columns, since rows at powers of two would
// displace one another from the cache.
NATIVE_INLINE long saved_row(const Node& node, const Frame& frame) {
    return columns_of(node, frame) + (node.y.steps > 1 ? BATCH_MULTIPLE : 0);
}

// Blocks whose rows are used in parts, as a cell's gates are, keep whole rows side by side.
static void add_block(Node& node, int rows, int columns, int taps = 1, bool is_used_in_parts = false) {
    Block& block = node.blocks[node.num_blocks];
    const Block* last = node.num_blocks ? &node.blocks[node.num_blocks - 1] : nullptr;
    block.flat = last ? last->flat + last->size : node.record->parameters;
    block.size = long(rows) * columns * taps;
    block.rows = rows, block.columns = columns, block.taps = taps;
    const long by_rows = rows * padded_to_lines(columns), by_columns = columns * padded_to_lines(rows);
    block.is_column_inner = is_used_in_parts || by_rows <= by_columns;
    block.padded = padded_to_lines(block.is_column_inner ? columns : rows);
    block.row = block.is_column_inner ? block.padded : 1;
    block.column = block.is_column_inner ? 1 : block.padded;
    block.tap = block.is_column_inner ? by_rows : by_columns;
    ++node.num_blocks;
}

NATIVE_INLINE S* weights(const Node& node, int block) {
    return node.parameters.values + node.blocks[block].packed;
}
NATIVE_INLINE S* weight_slopes(const Node& node, int block) {
    return node.parameters.slopes + node.blocks[block].packed;
}

} // namespace NATIVE_VARIANT
