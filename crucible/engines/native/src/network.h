// A program laid out in an arena: values, gradients, parameters, and its forward and backward passes.
// Gradients that are no longer needed make room for others; it leaves losses and steps to training.h.
#pragma once
#include <cstdlib>

#include "ops.h"

namespace NATIVE_VARIANT {

// Hands out parts of one allocation; with no memory behind it, it only measures.
struct Arena {
    char* base = nullptr;
    size_t used = 0;

    S* take(long scalars) {
        // Where nothing is to be written any address will do that may be calculated with.
        const uintptr_t start = (base ? reinterpret_cast<uintptr_t>(base) : ALIGNMENT * ALIGNMENT) + used;
        used += (scalars * sizeof(S) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        return reinterpret_cast<S*>(start);
    }
};

constexpr int NO_SLOT = -1;

// A place for gradients of one row length, free or taken.
struct Slot {
    S* data;
    long row;
    int width;
    bool is_free;
};

// Records of a program and the batch that it is laid out for.
struct Shape {
    const Record* records;
    long num_records;
    long batch; // a multiple of BATCH_MULTIPLE
    int steps;
    int input_width;
    long first_learning, end_learning; // places in the caller's order of the parameters that learn
};

class Network {
  public:
    Frame frame;
    long num_parameters = 0;  // scalars of the packed parameters
    bool is_complete = false; // false where memory for the nodes was refused

    Network(const Shape& shape, Arena& arena, S* parameters, S* slopes, bool trains)
        : frame{shape.batch, shape.steps, nullptr}, shape_(shape), arena_(arena), trains_(trains) {
        nodes_ = static_cast<Node*>(std::calloc(shape.num_records, sizeof(Node)));
        slots_ = static_cast<Slot*>(std::calloc(shape.num_records, sizeof(Slot)));
        is_complete = nodes_ && slots_;
        if (!is_complete) return;
        for (long i = 0; i < shape.num_records; ++i) lay_out(i, {parameters, slopes});
        frame.scratch = arena_.take(CHUNK * widest_);
        if (trains) plan_slopes();
    }
    ~Network() {
        std::free(nodes_);
        std::free(slots_);
    }
    Network(const Network&) = delete;
    Network& operator=(const Network&) = delete;

    Node& node(long i) { return nodes_[i]; }
    Node& last() { return nodes_[shape_.num_records - 1]; }

    void forward() {
        for (long i = 0; i < shape_.num_records; ++i) {
            if (nodes_[i].record->scan) {
                i = scan_forward_from(i);
            } else if (is_computed(nodes_[i])) {
                nodes_[i].row->forward(nodes_[i], frame, all_columns(nodes_[i].y, frame));
            }
        }
    }

    void backward() {
        for (long i = shape_.num_records - 1; i >= 0; --i) {
            Node& node = nodes_[i];
            if (node.record->scan) {
                i = scan_backward_from(i);
            } else if (node.y.slope && node.row->backward) {
                const Columns all = all_columns(node.y, frame);
                if (node.row->differentiate && !node.is_frozen) node.row->differentiate(node, frame, all);
                node.row->backward(node, frame, all);
            }
        }
    }

    // Copy parameters, or what belongs to each of them, between the caller's order and the packed one.
    template <class From> void pack(const From* flat, S* packed) {
        each_parameter([&](long flat_place, long place) { packed[place] = S(flat[flat_place]); });
    }
    template <class To> void unpack(const S* packed, To* flat) {
        each_parameter([&](long flat_place, long place) { flat[flat_place] = To(packed[place]); });
    }

    // Make the gradients zero of all parameters that do not learn.
    void forget_slopes() {
        for (long i = 0; i < shape_.num_records; ++i)
            for (int b = 0; b < nodes_[i].num_blocks && nodes_[i].is_frozen; ++b)
                std::memset(weight_slopes(nodes_[i], b), 0,
                            nodes_[i].blocks[b].tap * nodes_[i].blocks[b].taps * sizeof(S));
    }

    // Multiply-adds of one forward pass, about.
    double cost() const {
        double total = 0;
        for (long i = 0; is_complete && i < shape_.num_records; ++i) {
            const Node& node = nodes_[i];
            const double columns = node.y.steps * frame.batch;
            total += columns * node.y.width * POINTWISE_COST;
            for (int b = 0; b < node.num_blocks; ++b) total += columns * node.blocks[b].size;
        }
        return total;
    }

  private:
    // Multiply-adds that a pointwise op on a scalar is worth, about.
    static constexpr double POINTWISE_COST = 8;

    Shape shape_;
    Arena& arena_;
    bool trains_;
    Node* nodes_;
    Slot* slots_;
    long num_slots_ = 0;
    long widest_ = BATCH_MULTIPLE; // of the padded rows that are transposed

    void lay_out(long i, Parameters parameters) {
        const Record& record = shape_.records[i];
        Node& node = nodes_[i];
        node.record = &record;
        node.row = &ROWS[record.op];
        const int steps = record.sequence ? shape_.steps : 1;
        const long halo = steps > 1 ? HALO : 0;
        node.y = {nullptr, nullptr, steps * shape_.batch + halo, record.width, steps};
        node.slot = NO_SLOT;
        node.store = record.store < 0 ? nullptr : &nodes_[record.store];
        for (int k = 0; k < MOST_INPUTS && record.inputs[k] >= 0; ++k) {
            Node& named = nodes_[record.inputs[k]];
            node.inputs[k] = named.is_input ? named.inputs[0] : &named;
            node.wants[k] = node.inputs[k]->is_told;
            node.num_inputs = k + 1;
        }
        node.is_input = node.row->reduces && node.inputs[0]->y.steps == 1;
        if (node.is_input) {
            node.y = node.inputs[0]->y;
            return;
        }
        if (node.row->shape) {
            node.row->shape(node, frame);
            reserve(node.y.row);
            reserve(padded_to_lines(record.width));
        }
        node.y.data = take_rows(node.y);
        node.parameters = parameters;
        if (node.row->declare) node.row->declare(node);
        place_blocks(i);
        see_who_learns(node);
        if (node.row->saved) node.saved = arena_.take(node.row->saved(node, frame));
    }

    // What neither learns nor depends on anything that does needs no gradient. Maps, and what runs step by
    // step, take and pass on gradients in any case. No node has parameters of which only some learn.
    void see_who_learns(Node& node) const {
        const long flat = node.blocks[0].flat;
        const bool learns = flat >= shape_.first_learning && flat < shape_.end_learning;
        node.is_frozen = node.num_blocks && !learns;
        node.is_told = (node.num_blocks && learns) || node.row->shape || node.record->scan;
        for (int k = 0; k < node.num_inputs; ++k) node.is_told = node.is_told || node.wants[k];
    }

    // Training needs only what its loss depends on.
    bool is_computed(const Node& node) const { return !node.is_input && (node.is_read || !trains_); }

    void reserve(long padded) {
        if (widest_ < padded) widest_ = padded;
    }

    // Rows of a value, with zeros before the first where there are several steps.
    S* take_rows(const Value& value) {
        const long halo = value.steps > 1 ? HALO : 0;
        return arena_.take(halo + value.row * value.width) + halo;
    }

    // Nodes that repeat others' parameters share their places.
    void place_blocks(long i) {
        Node& node = nodes_[i];
        const Node* owner = nullptr;
        for (long k = 0; k < i && node.num_blocks && !owner; ++k)
            if (nodes_[k].num_blocks && nodes_[k].blocks[0].flat == node.blocks[0].flat) owner = &nodes_[k];
        for (int b = 0; b < node.num_blocks; ++b) {
            Block& block = node.blocks[b];
            reserve(block.padded);
            block.packed = owner ? owner->blocks[b].packed : num_parameters;
            if (!owner) num_parameters += block.tap * block.taps;
        }
    }

    template <class Visit> void each_parameter(Visit visit) {
        for (long i = 0; i < shape_.num_records; ++i)
            for (int b = 0; b < nodes_[i].num_blocks; ++b) {
                const Block& block = nodes_[i].blocks[b];
                long flat = block.flat;
                for (long r = 0; r < block.rows; ++r)
                    for (long c = 0; c < block.columns; ++c)
                        for (int tap = block.taps - 1; tap >= 0; --tap)
                            visit(flat++, block.packed + tap * block.tap + r * block.row + c * block.column);
            }
    }

    // Gradients: the first user of a value, from the end, sets its gradient and the others add to it.

    void plan_slopes() {
        hold_slot(last());
        last().is_read = true;
        for (long i = shape_.num_records - 1; i >= 0; --i) {
            if (shape_.records[i].scan) {
                i = plan_scan(i);
                continue;
            }
            Node& node = nodes_[i];
            if (!node.is_read) continue;
            read_inputs(node);
            if (!node.y.slope) continue;
            // From the last input on, as kernels go: a first input may take over what the others still read.
            for (int k = node.num_inputs - 1; k >= 0; --k) plan_input(node, k);
            if (node.slot != NO_SLOT) slots_[node.slot].is_free = true;
        }
    }

    // The first map of a chain reads the width of what is mapped alone.
    static void read_inputs(Node& node) {
        for (int k = 0; k < node.num_inputs; ++k)
            if (node.wants[k] || !node.row->shape) node.inputs[k]->is_read = true;
    }

    void plan_input(Node& node, int k) {
        Node& source = *node.inputs[k];
        if (!node.wants[k]) return;
        node.adds[k] = source.y.slope != nullptr;
        if (node.adds[k]) return;
        if (source.row->shape) {
            // A map's gradient keeps its place: those who use it add, and it is cleared when it is passed on.
            node.adds[k] = true;
            source.y.slope = take_rows(source.y);
            return;
        }
        if (k == 0 && may_hand_over(node)) {
            source.y.slope = node.y.slope;
            source.slot = node.slot;
            node.slot = NO_SLOT;
        } else {
            hold_slot(source);
        }
    }

    static bool may_hand_over(const Node& node) {
        const Value x = node.inputs[0]->y;
        return node.row->in_place && node.slot != NO_SLOT && x.row == node.y.row && x.width == node.y.width;
    }

    void hold_slot(Node& node) {
        const Value y = node.y;
        for (int s = 0; s < num_slots_; ++s) {
            if (!slots_[s].is_free || slots_[s].row != y.row || slots_[s].width < y.width) continue;
            slots_[s].is_free = false;
            node.slot = s;
            node.y.slope = slots_[s].data;
            return;
        }
        node.slot = int(num_slots_);
        node.y.slope = take_rows(y);
        slots_[num_slots_++] = {node.y.slope, y.row, y.width, false};
    }

    // Scans: consecutive records that run step by step. Their gradients are cleared, then added to.

    long first_of_scan(long last) const {
        long first = last;
        while (first > 0 && shape_.records[first - 1].scan == shape_.records[last].scan) --first;
        return first;
    }

    long plan_scan(long last) {
        const long first = first_of_scan(last);
        const int scan = shape_.records[last].scan;
        for (long i = last; i >= first; --i) {
            clear_and_hold(nodes_[i], scan);
            read_inputs(nodes_[i]);
            if (nodes_[i].store) {
                nodes_[i].store->is_read = true;
                clear_and_hold(*nodes_[i].store, scan);
            }
            for (int k = 0; k < nodes_[i].num_inputs; ++k) {
                if (nodes_[i].wants[k]) clear_and_hold(*nodes_[i].inputs[k], scan);
                nodes_[i].adds[k] = true;
            }
        }
        return first;
    }

    void clear_and_hold(Node& node, int scan) {
        if (node.y.slope) return;
        hold_slot(node);
        node.cleared_by = scan;
    }

    long scan_forward_from(long first) {
        const long count = shape_.num_records;
        long end = first;
        while (end < count && shape_.records[end].scan == shape_.records[first].scan) ++end;
        for (int step = 0; step < frame.steps; ++step)
            for (long i = first; i < end; ++i)
                nodes_[i].row->forward(nodes_[i], frame, columns_of_step(step));
        return end - 1;
    }

    Columns columns_of_step(int step) const { return {step * frame.batch, frame.batch}; }

    long scan_backward_from(long last) {
        const long first = first_of_scan(last);
        const int scan = shape_.records[last].scan;
        for (long i = 0; i <= last; ++i)
            if (nodes_[i].cleared_by == scan) clear(nodes_[i].y);
        for (int step = frame.steps - 1; step >= 0; --step)
            for (long i = last; i >= first; --i)
                nodes_[i].row->backward(nodes_[i], frame, columns_of_step(step));
        for (long i = first; i <= last; ++i)
            if (nodes_[i].row->differentiate && !nodes_[i].is_frozen)
                nodes_[i].row->differentiate(nodes_[i], frame, all_columns(nodes_[i].y, frame));
        return first;
    }

    static void clear(const Value& y) { std::memset(y.slope, 0, y.row * y.width * sizeof(S)); }
};

} // namespace NATIVE_VARIANT
