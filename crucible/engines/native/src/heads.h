// What is asked of a program's last value: a table of losses, each with its gradient and what an exam counts.
// A loss sees columns, whether there is one step or many; steps of training it leaves to training.h.
#pragma once
#include "functions.h"
#include "network.h"

namespace NATIVE_VARIANT {

// Outputs [K][columns], where a column is one example at one step, and what they should be.
struct Answers {
    const Value& outputs;
    long columns;
    S* targets; // [K][columns], zero where nothing counts
    S* weight;  // [columns], one over the numbers that count, or zero
};

// A loss: its targets have `length` numbers, as the caller gives them.
struct Loss {
    int (*length)(const Value& outputs);
    bool (*counts)(const float* target);
    void (*write)(const Answers&, long column, const float* target);
    S (*differentiate)(const Answers&); // the weighted mean, and its gradient into the outputs' slopes
    // What an exam adds up, and what that needs of each of the columns from the first on.
    Vec (*prepare)(const Value& outputs, long first);
    double (*measure)(const Value& outputs, long column, const float* target, S prepared);
};

static Vec nothing(const Value&, long) { return Vec{}; }

// Cross entropy: a target is the number of its class, or less than 0 where nothing counts.

static int length_of_label(const Value&) { return 1; }

static bool label_counts(const float* target) { return *target >= 0; }

static void write_one_hot(const Answers& a, long column, const float* target) {
    a.targets[int(*target) * a.columns + column] = 1;
}

static S cross_entropy(const Answers& a) {
    const Value logits = a.outputs;
    Vec loss{};
    for (long b = 0; b < a.columns; b += LANES) {
        Vec most = load(logits.data + b);
        for (int c = 1; c < logits.width; ++c) most = larger(load(logits.data + c * logits.row + b), most);
        Vec total{}, right{};
        for (int c = 0; c < logits.width; ++c) {
            const Vec centred = load(logits.data + c * logits.row + b) - most;
            total += exponential(centred);
            right += load(a.targets + c * a.columns + b) * centred;
        }
        const Vec share = load(a.weight + b);
        loss += share * (logarithm(total) - right);
        for (int c = 0; c < logits.width; ++c) {
            const Vec p = exponential(load(logits.data + c * logits.row + b) - most) / total;
            store(logits.slope + c * logits.row + b, share * (p - load(a.targets + c * a.columns + b)));
        }
    }
    return sum_of(loss);
}

// 1 where the first of the largest logits is the label's.
static double is_right(const Value& logits, long column, const float* target, S) {
    int best = 0;
    for (int c = 1; c < logits.width; ++c)
        if (logits.data[c * logits.row + column] > logits.data[best * logits.row + column]) best = c;
    return best == int(*target);
}

static Vec log_of_total(const Value& logits, long first) {
    Vec most = load(logits.data + first), total{};
    for (int c = 1; c < logits.width; ++c) most = larger(load(logits.data + c * logits.row + first), most);
    for (int c = 0; c < logits.width; ++c)
        total += exponential(load(logits.data + c * logits.row + first) - most);
    return most + logarithm(total);
}

// Minus the log of the label's probability.
static double surprise(const Value& logits, long column, const float* target, S log_of_total) {
    return log_of_total - logits.data[int(*target) * logits.row + column];
}

// Mean squared error: a target is a number an output, undefined where nothing counts.

static int length_of_numbers(const Value& outputs) { return outputs.width; }

static bool numbers_count(const float* target) { return *target == *target; }

static void write_numbers(const Answers& a, long column, const float* target) {
    for (int c = 0; c < a.outputs.width; ++c) a.targets[c * a.columns + column] = target[c];
}

static S mean_squared_error(const Answers& a) {
    const Value outputs = a.outputs;
    Vec loss{};
    for (int c = 0; c < outputs.width; ++c)
        for (long b = 0; b < a.columns; b += LANES) {
            const Vec share = load(a.weight + b);
            const Vec apart = load(outputs.data + c * outputs.row + b) - load(a.targets + c * a.columns + b);
            loss += share * apart * apart;
            store(outputs.slope + c * outputs.row + b, 2 * share * apart);
        }
    return sum_of(loss);
}

static double squared_error(const Value& outputs, long column, const float* target, S) {
    double total = 0;
    for (int c = 0; c < outputs.width; ++c) {
        const double apart = outputs.data[c * outputs.row + column] - target[c];
        total += apart * apart;
    }
    return total;
}

// In the order of `LOSS_IDS` in crucible/engines/native/library.py.
static const Loss LOSSES[] = {
    {length_of_label, label_counts, write_one_hot, cross_entropy, nothing, is_right},
    {length_of_numbers, numbers_count, write_numbers, mean_squared_error, nothing, squared_error},
    {length_of_label, label_counts, write_one_hot, cross_entropy, log_of_total, surprise},
};

// Numbers of all targets of one example.
static long length_of_example(const Loss& loss, const Value& outputs) {
    return outputs.steps * long(loss.length(outputs));
}

// The loss over the first `count` examples of a network's last value; others weigh nothing.
class Head {
  public:
    Head(Network& network, long count, int32_t loss, Arena& arena)
        : loss_(LOSSES[loss]), batch_(network.frame.batch), count_(count),
          answers_{outputs_of(network), outputs_of(network).steps * batch_, nullptr, nullptr} {
        answers_.targets = arena.take(answers_.outputs.width * answers_.columns);
        answers_.weight = arena.take(answers_.columns);
    }

    long length() const { return length_of_example(loss_, answers_.outputs); }

    template <class Index> void set_targets(const float* targets, Index example_of) {
        const Answers& a = answers_;
        const int length = loss_.length(a.outputs);
        std::memset(a.targets, 0, a.outputs.width * a.columns * sizeof(S));
        std::memset(a.weight, 0, a.columns * sizeof(S));
        long num = 0;
        for (long b = 0; b < count_; ++b)
            for (int step = 0; step < a.outputs.steps; ++step) {
                const float* target = targets + (example_of(b) * a.outputs.steps + step) * length;
                if (!loss_.counts(target)) continue;
                const long column = step * batch_ + b;
                loss_.write(a, column, target);
                a.weight[column] = 1;
                num += length;
            }
        for (long column = 0; column < a.columns; ++column)
            a.weight[column] = a.weight[column] ? S(1) / S(num) : S(0);
    }

    S operator()() const { return loss_.differentiate(answers_); }

  private:
    const Loss& loss_;
    long batch_, count_;
    Answers answers_;

    // A network to which memory was refused has no outputs.
    static const Value& outputs_of(Network& network) {
        static const Value NONE{};
        return network.is_complete ? network.last().y : NONE;
    }
};

// What the outputs of an exam come to.
class Tally {
  public:
    Tally(const Value& outputs, long batch, int32_t loss)
        : outputs_(outputs), batch_(batch), loss_(LOSSES[loss]) {}

    long length() const { return length_of_example(loss_, outputs_); }

    // Add the first `count` examples, whose targets these are.
    void add(const float* targets, long count) {
        for (int step = 0; step < outputs_.steps; ++step)
            for (long first = 0; first < count; first += LANES) {
                const Vec prepared = loss_.prepare(outputs_, step * batch_ + first);
                for (long b = first; b < count && b < first + LANES; ++b)
                    add_one(step * batch_ + b, targets + (b * outputs_.steps + step) * loss_.length(outputs_),
                            prepared[b - first]);
            }
    }

    // The mean over the numbers that count; undefined where an output was not finite.
    float mean() const { return is_finite_ ? float(total_) / float(num_) : __builtin_nanf(""); }

  private:
    const Value& outputs_;
    long batch_;
    const Loss& loss_;
    double total_ = 0;
    long num_ = 0;
    bool is_finite_ = true;

    void add_one(long column, const float* target, S prepared) {
        for (int c = 0; c < outputs_.width; ++c)
            is_finite_ &= bool(std::isfinite(outputs_.data[c * outputs_.row + column]));
        if (!loss_.counts(target)) return;
        total_ += loss_.measure(outputs_, column, target, prepared);
        num_ += loss_.length(outputs_);
    }
};

} // namespace NATIVE_VARIANT
