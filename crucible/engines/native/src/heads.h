// What is asked of a program's last value: its loss on a batch with the gradient, and its score in an exam.
// It leaves steps of training and the handing out of examples to training.h.
#pragma once
#include "functions.h"
#include "node.h"

namespace NATIVE_VARIANT {

// Mean cross entropy of logits [C][B] over the first `count` examples, and its gradient; others weigh
// nothing.
struct Head {
    const Value& logits;
    long batch, count;
    S* one_hot; // [C][B], zero beyond `count`
    S* weight;  // [B], one over `count`, or zero

    template <class Index> void set_targets(const int32_t* targets, Index example_of) {
        std::memset(one_hot, 0, logits.width * batch * sizeof(S));
        for (long b = 0; b < count; ++b) one_hot[targets[example_of(b)] * batch + b] = 1;
        for (long b = 0; b < batch; ++b) weight[b] = b < count ? S(1) / S(count) : S(0);
    }

    S operator()() const {
        Vec loss{};
        for (long b = 0; b < batch; b += LANES) {
            Vec most = load(logits.data + b);
            for (int c = 1; c < logits.width; ++c)
                most = larger(load(logits.data + c * logits.row + b), most);
            Vec total{}, right{};
            for (int c = 0; c < logits.width; ++c) {
                const Vec centred = load(logits.data + c * logits.row + b) - most;
                total += exponential(centred);
                right += load(one_hot + c * batch + b) * centred;
            }
            const Vec share = load(weight + b);
            loss += share * (logarithm(total) - right);
            for (int c = 0; c < logits.width; ++c) {
                const Vec p = exponential(load(logits.data + c * logits.row + b) - most) / total;
                store(logits.slope + c * logits.row + b, share * (p - load(one_hot + c * batch + b)));
            }
        }
        return sum_of(loss);
    }
};

// How many of the first `count` logits [C][B] are largest at their target.
static long count_right(const Value& logits, const int32_t* targets, long count, bool& is_finite) {
    long right = 0;
    for (long b = 0; b < count; ++b) {
        int best = 0;
        for (int c = 0; c < logits.width; ++c) {
            is_finite &= bool(std::isfinite(logits.data[c * logits.row + b]));
            if (logits.data[c * logits.row + b] > logits.data[best * logits.row + b]) best = c;
        }
        right += best == targets[b];
    }
    return right;
}

} // namespace NATIVE_VARIANT
