// Values and nodes as the ops see them, and phases over rows and columns; leaves their memory to network.h.
// Values are [C][T][B] without gaps: a column is one step of one example, and neighbouring threads take
// neighbouring columns.
#pragma once
#include "target.h"

namespace persistent {

using native::Record;

struct Value {
    S* data;
    S* slope; // gradient of the loss, to which every user adds; null where none is wanted
    int width, steps;
    int row; // scalars from one channel to the next: all columns
};

constexpr int MOST_INPUTS = 3;

struct Node {
    const Record* record;
    Value y;
    S* saved; // what the backward needs beside values
};

// Columns [first, first + count) of every row.
struct Columns {
    int first, count;
};

// A program on one batch: all that an op reads or writes.
struct Network {
    Node* nodes;
    int num_nodes, batch, steps;
    const S* parameters; // flat, as the caller has them
    S* slopes;           // of the parameters; ops add to them

    MEMBER const Value& input(const Node& node, int i) const { return nodes[node.record->inputs[i]].y; }
    MEMBER const S* weights(const Node& node, int offset) const {
        return parameters + node.record->parameters + offset;
    }
    MEMBER S* weight_slopes(const Node& node, int offset) const {
        return slopes + node.record->parameters + offset;
    }
};

DEVICE_INLINE int num_inputs(const Record& record) {
    int num = 0;
    while (num < MOST_INPUTS && record.inputs[num] >= 0) ++num;
    return num;
}

DEVICE_INLINE Columns all_columns(const Value& value) { return {0, value.row}; }

// Visit every (row, column).
template <class Visit> DEVICE_INLINE void each(const Block& block, int rows, Columns at, Visit visit) {
    for (int i = block.thread; i < rows * at.count; i += block.num_threads)
        visit(i / at.count, at.first + i % at.count);
    block.barrier();
}

// Rows of channels by all columns, as `saved` holds them.
struct Saved {
    S* data;
    int row;
    MEMBER S& at(int channel, int column) const { return data[channel * row + column]; }
};

DEVICE_INLINE Saved saved_rows(const Node& node, int from) {
    return {node.saved + from * node.y.row, node.y.row};
}

} // namespace persistent
