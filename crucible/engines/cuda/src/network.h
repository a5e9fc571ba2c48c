// A program laid out in memory, and its forward and backward passes; leaves losses and steps to training.h.
#pragma once
#include "ops.h"

namespace persistent {

// Scalars at whose multiples rows of memory start.
constexpr int64_t ALIGNMENT = 32;

// Hands out parts of one piece of memory; with none behind it, it only measures.
struct Arena {
    S* base;
    int64_t used; // scalars

    MEMBER S* take(int64_t scalars) {
        S* start = base ? base + used : nullptr;
        used += (scalars + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        return start;
    }
};

// Records of a program and the batch that it is laid out for.
struct Shape {
    const Record* records;
    int num_records, batch, steps;
    bool trains; // whether there are gradients
};

DEVICE int64_t scalars_of_nodes(int num) { return (num * int64_t(sizeof(Node)) + sizeof(S) - 1) / sizeof(S); }

// What a node has, but not where.
DEVICE_INLINE Node described(const Shape& shape, int i) {
    const Record& record = shape.records[i];
    const int steps = record.sequence ? shape.steps : 1;
    return {&record, {nullptr, nullptr, record.width, steps, steps * shape.batch}, nullptr};
}

// Take memory for every node; where there is some, one thread writes the nodes down.
DEVICE Node* lay_out(const Shape& shape, Arena& arena, bool writes) {
    Node* nodes = reinterpret_cast<Node*>(arena.take(scalars_of_nodes(shape.num_records)));
    for (int i = 0; i < shape.num_records; ++i) {
        Node node = described(shape, i);
        const int64_t scalars = int64_t(node.y.width) * node.y.row;
        node.y.data = arena.take(scalars);
        if (shape.trains && node.record->op != OP_INPUT) node.y.slope = arena.take(scalars);
        if (const int rows = rows_saved(node)) node.saved = arena.take(int64_t(rows) * node.y.row);
        if (writes) nodes[i] = node;
    }
    return nodes;
}

DEVICE Network network_of(const Block& block, const Shape& shape, Arena& arena, const S* parameters,
                          S* slopes) {
    Node* nodes = lay_out(shape, arena, block.thread == 0);
    block.barrier();
    return {nodes, shape.num_records, shape.batch, shape.steps, parameters, slopes};
}

// Multiply-adds of one forward pass, about: every scalar of a value is worth eight, and every parameter one a
// column.
DEVICE double cost_of(const Shape& shape, int64_t num_parameters) {
    double total = double(num_parameters) * shape.steps * shape.batch;
    for (int i = 0; i < shape.num_records; ++i)
        total += 8.0 * shape.records[i].width * described(shape, i).y.row;
    return total;
}

DEVICE_INLINE int scan_of(const Network& net, int i) { return net.nodes[i].record->scan; }

// A scan: consecutive records that run step by step.
DEVICE_INLINE int end_of_scan(const Network& net, int first) {
    int end = first;
    while (end < net.num_nodes && scan_of(net, end) == scan_of(net, first)) ++end;
    return end;
}
DEVICE_INLINE int first_of_scan(const Network& net, int last) {
    int first = last;
    while (first > 0 && scan_of(net, first - 1) == scan_of(net, last)) --first;
    return first;
}

DEVICE void forward(const Block& block, const Network& net) {
    for (int i = 0; i < net.num_nodes; ++i) {
        if (!scan_of(net, i)) {
            run_forward(block, net, net.nodes[i], all_columns(net.nodes[i].y));
            continue;
        }
        const int end = end_of_scan(net, i);
        for (int step = 0; step < net.steps; ++step)
            for (int k = i; k < end; ++k)
                run_forward(block, net, net.nodes[k], {step * net.batch, net.batch});
        i = end - 1;
    }
}

// All slopes but those of the last value, which the loss gave, start at zero.
DEVICE void clear_slopes(const Block& block, const Network& net) {
    for (int i = 0; i < net.num_nodes - 1; ++i) {
        const Value& y = net.nodes[i].y;
        if (!y.slope) continue;
        for (int k = block.thread; k < y.width * y.row; k += block.num_threads) y.slope[k] = 0;
    }
    block.barrier();
}

DEVICE void backward(const Block& block, const Network& net) {
    clear_slopes(block, net);
    for (int i = net.num_nodes - 1; i >= 0; --i) {
        const Columns all = all_columns(net.nodes[i].y);
        if (!scan_of(net, i)) {
            run_differentiate(block, net, net.nodes[i], all);
            run_backward(block, net, net.nodes[i], all);
            continue;
        }
        const int first = first_of_scan(net, i);
        for (int step = net.steps - 1; step >= 0; --step)
            for (int k = i; k >= first; --k)
                run_backward(block, net, net.nodes[k], {step * net.batch, net.batch});
        for (int k = first; k <= i; ++k)
            run_differentiate(block, net, net.nodes[k], all_columns(net.nodes[k].y));
        i = first;
    }
}

} // namespace persistent
