// Loss, clipped Adam and exams of one job by one block, as crucible/engines/training.py has them.
#pragma once
#include "network.h"

namespace persistent {

using native::OK;
using native::OUT_OF_MEMORY;
using native::STOPPED;
using native::TIMED_OUT;

// torch.optim.Adam's defaults.
constexpr double BETA_1 = 0.9, BETA_2 = 0.999, ADAM_EPSILON = 1e-8;
// Examples that one forward pass of an exam takes.
constexpr int EXAM_BATCH = 64;

// Examples of all seeds: inputs [S][N][T][F] and targets [S][N].
struct Split {
    const S* inputs;
    const int32_t* targets;
    int32_t count, steps;
};

// Jobs J of one task: programs of N records and P scalars each, S seeds, K steps, B examples a step.
// crucible/engines/cuda/request.py declares the same.
struct Request {
    const Record* records;          // [sum N]
    const int64_t* record_starts;   // [J + 1]
    const int32_t* pooled;          // [J] record that is the slot's output
    const S* parameters;            // [sum P]
    const int64_t* parameter_starts; // [J + 1]
    const int32_t* seeds;           // [J] index of the seed
    const int32_t* order;           // [S][K][B] examples of each step; null for a full batch
    Split train, validation, test, probe;
    int32_t num_jobs, input_width, num_classes, batch, num_steps, is_fingerprinting, width;
    int32_t first;                  // of `queue`: block i takes job queue[first + i]
    double learning_rate, clip_norm, clip_epsilon, seconds;
    const int32_t* queue;           // [J] jobs in the order of starting
    const int64_t* arena_starts;    // [J] where the memory of each job starts, in scalars
    S* arena;
    int64_t* scalars;               // [J] measured: how much memory a job needs
    double* costs;                  // [J] measured: multiply-adds of its training, about
    S* losses;                      // [J][K], NaN where no step was taken
    S* norms;                       // [J][K]
    S* scores;                      // [J][2] accuracy on validation and test; NaN where a logit is not finite
    S* fingerprints;                // [J][probes][D]
    S* gradients;                   // [sum P] of one batch, for `differentiate`
    int32_t* statuses;              // [J] as jobs end, for the caller to see meanwhile
    const int32_t* is_cancelled;    // set by the caller to end all work
};

// A job's place in the request.
struct Job {
    int index, seed;
    const Record* records;
    int num_records;
    int64_t first_parameter, num_parameters;
};

DEVICE Job job_of(const Request& r, int index) {
    const int64_t first = r.record_starts[index], start = r.parameter_starts[index];
    return {index, r.seeds[index], r.records + first, int(r.record_starts[index + 1] - first),
            start, r.parameter_starts[index + 1] - start};
}

DEVICE_INLINE Shape shape_of(const Job& job, int batch, int steps, bool trains) {
    return {job.records, job.num_records, batch, steps, trains};
}

// The parameters of a job with their gradients and Adam's moments.
struct Optimizer {
    S *values, *slopes, *means, *squares;
    int count;
};

DEVICE Optimizer optimizer_of(const Job& job, Arena& arena) {
    Optimizer o = {nullptr, nullptr, nullptr, nullptr, int(job.num_parameters)};
    o.values = arena.take(o.count), o.slopes = arena.take(o.count);
    o.means = arena.take(o.count), o.squares = arena.take(o.count);
    return o;
}

DEVICE void load_parameters(const Block& block, const Optimizer& o, const S* from) {
    for (int i = block.thread; i < o.count; i += block.num_threads) {
        o.values[i] = from[i];
        o.slopes[i] = o.means[i] = o.squares[i] = 0;
    }
    block.barrier();
}

// One step of Adam with gradients scaled by `clip`; gradients become zero for the next. `taken` counts from
// one.
DEVICE void take_step(const Block& block, const Optimizer& o, S clip, double learning_rate, int taken) {
    const S rate = S(learning_rate / (1 - pow(BETA_1, double(taken))));
    const S correction = S(1 / sqrt(1 - pow(BETA_2, double(taken))));
    for (int i = block.thread; i < o.count; i += block.num_threads) {
        const S slope = o.slopes[i] * clip;
        const S mean = o.means[i] + S(1 - BETA_1) * (slope - o.means[i]);
        const S square = S(BETA_2) * o.squares[i] + S(1 - BETA_2) * slope * slope;
        o.means[i] = mean;
        o.squares[i] = square;
        o.values[i] -= rate * mean / (sqrt(square) * correction + S(ADAM_EPSILON));
        o.slopes[i] = 0;
    }
    block.barrier();
}

// Copy examples into the input value; places beyond `count` repeat the first, so that they stay as finite as
// it.
template <class Index>
DEVICE_INLINE void fill_inputs(const Block& block, const Value& x, int batch, const S* inputs, int count,
                               Index example_of) {
    each(block, x.width, all_columns(x), [&](int channel, int c) {
        const int step = c / batch, b = c % batch;
        const int64_t example = example_of(b < count ? b : 0);
        x.data[channel * x.row + c] = inputs[(example * x.steps + step) * x.width + channel];
    });
}

// The mean cross entropy of logits [C][B], and its gradient.
template <class Target> DEVICE_INLINE S loss_of(const Block& block, const Value& logits, Target target_of) {
    const S share = S(1) / S(logits.row);
    return sum_of(block, logits.row, [&](int b) {
        const int target = target_of(b);
        S most = logits.data[b], total = 0;
        for (int c = 1; c < logits.width; ++c) most = larger(logits.data[c * logits.row + b], most);
        for (int c = 0; c < logits.width; ++c) total += exp(logits.data[c * logits.row + b] - most);
        for (int c = 0; c < logits.width; ++c) {
            const S p = exp(logits.data[c * logits.row + b] - most) / total;
            logits.slope[c * logits.row + b] = share * (c == target ? p - 1 : p);
        }
        return share * (log(total) - (logits.data[target * logits.row + b] - most));
    });
}

// Whether a job must end, for all threads alike.
DEVICE int32_t interruption(const Block& block, const Request& r, double deadline) {
    if (block.thread == 0)
        block.scratch[0] = S(is_set(r.is_cancelled) ? STOPPED : now() > deadline ? TIMED_OUT : OK);
    block.barrier();
    const int32_t status = int32_t(block.scratch[0]);
    block.barrier();
    return status;
}

// One training step up to the parameters' slopes; returns the loss.
DEVICE S differentiate(const Block& block, const Request& r, const Network& net, int seed, int step) {
    const int32_t* order =
        r.order ? r.order + (int64_t(seed) * r.num_steps + step) * r.batch : nullptr;
    const int64_t first = int64_t(seed) * r.train.count;
    const auto example_of = [&](int b) { return first + (order ? order[b] : b); };
    const Value& logits = net.nodes[net.num_nodes - 1].y;
    if (step == 0 || order)
        fill_inputs(block, net.nodes[0].y, r.batch, r.train.inputs, r.batch, example_of);
    forward(block, net);
    const S loss = loss_of(block, logits, [&](int b) { return r.train.targets[example_of(b)]; });
    backward(block, net);
    return loss;
}

// Train; a loss or norm that is not finite is written down and ends the training.
DEVICE int32_t fit(const Block& block, const Request& r, const Job& job, const Optimizer& o,
                   const Network& net, double deadline, bool& stays_finite) {
    const int64_t curve = int64_t(job.index) * r.num_steps;
    for (int step = 0; step < r.num_steps; ++step) {
        if (const int32_t status = interruption(block, r, deadline)) return status;
        const S loss = differentiate(block, r, net, job.seed, step);
        const S norm = sqrt(sum_of(block, o.count, [&](int i) { return o.slopes[i] * o.slopes[i]; }));
        if (block.thread == 0) r.losses[curve + step] = loss, r.norms[curve + step] = norm;
        stays_finite = is_finite(loss) && is_finite(norm);
        if (!stays_finite) return OK;
        const S clip = S(r.clip_norm) / (norm + S(r.clip_epsilon));
        take_step(block, o, smaller(clip, S(1)), r.learning_rate, step + 1);
    }
    return OK;
}

// How many of the first `count` logits are largest at their target; NaN where one is not finite.
template <class Target>
DEVICE_INLINE S num_right(const Block& block, const Value& logits, int count, Target target_of) {
    return sum_of(block, count, [&](int b) {
        int best = 0;
        S spoilt = 0;
        for (int c = 0; c < logits.width; ++c) {
            const S here = logits.data[c * logits.row + b];
            spoilt += here - here;
            if (here > logits.data[best * logits.row + b]) best = c;
        }
        return (best == target_of(b) ? S(1) : S(0)) + spoilt;
    });
}

// Answer all examples of a split: the share of right ones into `score`, the slot's outputs into `pooled`.
DEVICE int32_t examine(const Block& block, const Request& r, const Job& job, const Optimizer& o, Arena arena,
                       const Split& split, int seed, S* score, S* pooled, double deadline) {
    const Network net =
        network_of(block, shape_of(job, EXAM_BATCH, split.steps, false), arena, o.values, nullptr);
    const Value &slot = net.nodes[r.pooled[job.index]].y, &logits = net.nodes[net.num_nodes - 1].y;
    const int64_t first = int64_t(seed) * split.count;
    S right = 0;
    for (int start = 0; start < split.count; start += EXAM_BATCH) {
        if (const int32_t status = interruption(block, r, deadline)) return status;
        const int count = smaller(EXAM_BATCH, split.count - start);
        fill_inputs(block, net.nodes[0].y, EXAM_BATCH, split.inputs, count,
                    [&](int b) { return first + start + b; });
        forward(block, net);
        if (score)
            right += num_right(block, logits, count, [&](int b) { return split.targets[first + start + b]; });
        if (pooled)
            each(block, slot.width, {0, count}, [&](int channel, int b) {
                pooled[int64_t(start + b) * slot.width + channel] = slot.data[channel * slot.row + b];
            });
    }
    if (score && block.thread == 0) *score = right / S(split.count);
    block.barrier(); // the next exam writes its nodes where this one's are read
    return OK;
}

// Memory of one job at its most, exams included, and what its training costs.
DEVICE void measure(const Request& r, int index) {
    const Job job = job_of(r, index);
    const Shape train = shape_of(job, r.batch, r.train.steps, true);
    Arena arena = {nullptr, 0};
    optimizer_of(job, arena);
    int64_t most = 0;
    const Split* exams[] = {nullptr, &r.validation, &r.test, &r.probe};
    for (const Split* exam : exams) {
        Arena part = arena;
        if (exam && !exam->inputs) continue;
        lay_out(exam ? shape_of(job, EXAM_BATCH, exam->steps, false) : train, part, false);
        most = larger(most, part.used);
    }
    r.scalars[index] = most;
    r.costs[index] = cost_of(train, job.num_parameters) * r.num_steps;
}

DEVICE int32_t run_job(const Block& block, const Request& r, const Job& job) {
    const double deadline = now() + r.seconds;
    Arena arena = {r.arena + r.arena_starts[job.index], 0};
    const Optimizer o = optimizer_of(job, arena);
    load_parameters(block, o, r.parameters + job.first_parameter);
    bool stays_finite = true;
    Arena part = arena;
    const Network net =
        network_of(block, shape_of(job, r.batch, r.train.steps, true), part, o.values, o.slopes);
    if (const int32_t status = fit(block, r, job, o, net, deadline, stays_finite)) return status;
    if (!stays_finite) return OK;
    block.barrier(); // exams write their nodes where those of the training are read
    S* scores = r.scores + 2 * job.index;
    if (const int32_t status =
            examine(block, r, job, o, arena, r.validation, job.seed, scores, nullptr, deadline))
        return status;
    if (const int32_t status =
            examine(block, r, job, o, arena, r.test, job.seed, scores + 1, nullptr, deadline))
        return status;
    if (!r.is_fingerprinting) return OK;
    S* fingerprints = r.fingerprints + int64_t(job.index) * r.probe.count * r.width;
    return examine(block, r, job, o, arena, r.probe, 0, nullptr, fingerprints, deadline);
}

// What one thread of a block does with the block's job, in a training or for one batch.

DEVICE void train_job(const Block& block, const Request& r) {
    const Job job = job_of(r, r.queue[r.first + block.index]);
    const int32_t status = run_job(block, r, job);
    if (block.thread == 0) publish(r.statuses + job.index, status);
}

DEVICE void differentiate_job(const Block& block, const Request& r) {
    const Job job = job_of(r, r.queue[r.first + block.index]);
    Arena arena = {r.arena + r.arena_starts[job.index], 0};
    const Optimizer o = optimizer_of(job, arena);
    load_parameters(block, o, r.parameters + job.first_parameter);
    const Network net =
        network_of(block, shape_of(job, r.batch, r.train.steps, true), arena, o.values, o.slopes);
    const S loss = differentiate(block, r, net, job.seed, 0);
    for (int i = block.thread; i < o.count; i += block.num_threads)
        r.gradients[job.first_parameter + i] = o.slopes[i];
    if (block.thread == 0) {
        r.losses[job.index * int64_t(r.num_steps)] = loss;
        publish(r.statuses + job.index, OK);
    }
}

} // namespace persistent
