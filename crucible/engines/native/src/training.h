// Clipped Adam and exams of one job, with the semantics of crucible/engines/training.py; leaves losses and
// scores to heads.h.
#pragma once
#include <ctime>

#include "heads.h"

namespace NATIVE_VARIANT {

using native::Examples;
using native::Question;
using native::Request;

// torch.optim.Adam's defaults.
constexpr double BETA_1 = 0.9, BETA_2 = 0.999, ADAM_EPSILON = 1e-8;
// Sums that are taken side by side, so that none waits for the one before.
constexpr int NORM_CHAINS = 4;
// Examples that one forward pass of an exam takes.
constexpr long EXAM_BATCH = 64;
// What a request has room for of each job: measures of validation, test and retention.
constexpr long NUM_EXAMS = 3;

NATIVE_INLINE double now() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + 1e-9 * time.tv_nsec;
}

// Copy examples into an input value; places beyond `count` repeat the first, so that they stay as finite as
// it.
template <class From, class Index>
static void fill_inputs(const Value& x, const From* inputs, long count, long batch, Index example_of) {
    for (long b = 0; b < batch; ++b) {
        const From* example = inputs + example_of(b < count ? b : 0) * x.steps * x.width;
        for (int step = 0; step < x.steps; ++step)
            for (int channel = 0; channel < x.width; ++channel)
                x.data[channel * x.row + step * batch + b] = S(example[step * x.width + channel]);
    }
}

// The parameters of a job with their gradients and Adam's moments, `count` scalars each.
struct Optimizer {
    S *values, *slopes, *means, *squares;
    long count;
    double beta_1_power, beta_2_power;

    Optimizer(Arena& arena, long num) : count(num), beta_1_power(1), beta_2_power(1) {
        values = arena.take(num), slopes = arena.take(num);
        means = arena.take(num), squares = arena.take(num);
    }

    S norm() const {
        Vec totals[NORM_CHAINS] = {};
        long i = 0;
        for (; i + NORM_CHAINS * LANES <= count; i += NORM_CHAINS * LANES)
            for (int chain = 0; chain < NORM_CHAINS; ++chain) {
                const Vec slope = load(slopes + i + chain * LANES);
                totals[chain] += slope * slope;
            }
        for (; i < count; i += LANES) totals[0] += load(slopes + i) * load(slopes + i);
        return std::sqrt(sum_of((totals[0] + totals[1]) + (totals[2] + totals[3])));
    }

    // Go on after so many steps.
    void resume(long num_steps) {
        for (long step = 0; step < num_steps; ++step) beta_1_power *= BETA_1, beta_2_power *= BETA_2;
    }

    // One step with gradients scaled by `clip`; gradients become zero for the next.
    void step(S clip, double learning_rate) {
        beta_1_power *= BETA_1, beta_2_power *= BETA_2;
        const S rate = S(learning_rate / (1 - beta_1_power));
        const S correction = S(1 / std::sqrt(1 - beta_2_power));
        S *value = values, *slope = slopes, *mean = means, *square = squares;
        for (const S* end = slopes + count; slope < end;
             value += LANES, slope += LANES, mean += LANES, square += LANES) {
            const Vec clipped = load(slope) * clip;
            const Vec next = load(mean) + S(1 - BETA_1) * (clipped - load(mean));
            const Vec next_square = S(BETA_2) * load(square) + S(1 - BETA_2) * clipped * clipped;
            store(mean, next);
            store(square, next_square);
            store(value,
                  load(value) - rate * next / (square_root(next_square) * correction + S(ADAM_EPSILON)));
            store(slope, Vec{});
        }
    }
};

// All that one job needs, laid out in an arena; built once to measure and once to run.
class Job {
  public:
    Job(const Request& request, long job, Arena& arena)
        : request_(request), job_(job), arena_(arena), optimizer_(arena, measure(request, job)),
          train_(shape(request.train.steps, padded_to_lines(request.batch)), arena, optimizer_.values,
                 optimizer_.slopes, true),
          head_(train_, request.batch, request.loss, arena), exam_start_(arena.used) {}

    double cost() const { return train_.cost() * (is_dropped() ? 1 : request_.until - num_taken()); }

    // Bytes of the arena at their most, exams included.
    size_t bytes() {
        size_t most = arena_.used;
        const Examples* all[] = {&request_.validation, &request_.test, &request_.retention, &request_.probe};
        for (const Examples* examples : all) {
            if (!examples->inputs) continue;
            arena_.used = exam_start_;
            Network exam(shape(examples->steps, EXAM_BATCH), arena_, optimizer_.values, optimizer_.slopes,
                         false);
            if (arena_.used > most) most = arena_.used;
        }
        return most;
    }

    int32_t run() {
        if (!train_.is_complete) return native::OUT_OF_MEMORY;
        const double start = now(), deadline = start + request_.seconds - request_.seconds_taken[job_];
        resume();
        const int32_t trained = is_dropped() ? int32_t(native::OK) : fit(deadline);
        if (trained != native::OK && trained != native::PAUSED) return trained;
        if (!is_finite_) return native::OK;
        float* measures = request_.measures + NUM_EXAMS * job_;
        const int seed = request_.seeds[job_];
        if (const int32_t status = examine(request_.validation, seed, measures, nullptr, deadline))
            return status;
        if (trained == native::PAUSED) {
            pause();
            request_.seconds_taken[job_] += now() - start;
            return trained;
        }
        if (const int32_t status = examine(request_.test, seed, measures + 1, nullptr, deadline))
            return status;
        if (request_.retention.inputs)
            if (const int32_t status = examine(request_.retention, seed, measures + 2, nullptr, deadline))
                return status;
        if (!request_.is_fingerprinting) return native::OK;
        float* fingerprints = request_.fingerprints + job_ * long(request_.probe.count) * request_.width;
        return examine(request_.probe, 0, nullptr, fingerprints, deadline);
    }

  private:
    const Request& request_;
    long job_;
    Arena& arena_;
    Optimizer optimizer_;
    Network train_;
    Head head_;
    size_t exam_start_;
    bool is_finite_ = true; // whether all losses and norms were

    int32_t& num_taken() const { return request_.num_taken[job_]; }
    bool is_dropped() const { return request_.statuses[job_] == native::DROPPED; }

    // Stand where the job was left: at its first step, or where it paused.
    void resume() {
        const int64_t first = request_.parameter_starts[job_];
        train_.pack(request_.parameters + first, optimizer_.values);
        if (num_taken() == 0) return;
        train_.pack(request_.means + first, optimizer_.means);
        train_.pack(request_.squares + first, optimizer_.squares);
        optimizer_.resume(num_taken());
    }

    void pause() {
        const int64_t first = request_.parameter_starts[job_];
        train_.unpack(optimizer_.values, request_.parameters + first);
        train_.unpack(optimizer_.means, request_.means + first);
        train_.unpack(optimizer_.squares, request_.squares + first);
    }

    Shape shape(int steps, long batch) const { return shape_of(request_, job_, steps, batch); }

    static Shape shape_of(const Request& request, long job, int steps, long batch) {
        const int64_t first = request.record_starts[job];
        const int64_t* starts = request.parameter_starts + job;
        return {request.records + first,
                request.record_starts[job + 1] - first,
                batch,
                steps,
                request.input_width,
                request.num_frozen_first,
                starts[1] - starts[0] - request.num_frozen_last};
    }

    // The number of packed parameters, which depends on neither batch nor steps.
    static long measure(const Request& request, long job) {
        Arena nowhere;
        return Network(shape_of(request, job, 1, BATCH_MULTIPLE), nowhere, nullptr, nullptr, false)
            .num_parameters;
    }

    int32_t out_of_time(double deadline) const {
        if (__atomic_load_n(request_.is_cancelled, __ATOMIC_RELAXED)) return native::STOPPED;
        return now() > deadline ? native::TIMED_OUT : native::OK;
    }

    void set_batch(int step) {
        const Request& r = request_;
        const long seed = r.seeds[job_], batch = r.batch;
        const int32_t* order = r.order ? r.order + (seed * r.num_steps + step) * batch : nullptr;
        const auto example_of = [&](long b) { return order ? long(order[b]) : b; };
        const long example = long(r.train.steps) * r.input_width;
        fill_inputs(train_.node(0).y, r.train.inputs + seed * r.train.count * example, batch,
                    train_.frame.batch, example_of);
        head_.set_targets(r.train.targets + seed * r.train.count * head_.length(), example_of);
    }

    // With a gradient of zero from the first step on, what is frozen stays as it is, to the bit.
    void freeze() {
        if (request_.num_frozen_first || request_.num_frozen_last) train_.forget_slopes();
    }

    // Whether the mean loss of the last steps, `step` included, is below the loss at which jobs stop.
    bool is_solved(const float* losses, int step) const {
        const int window = request_.stop_window;
        if (!(request_.stop_loss > 0) || step + 1 < window) return false;
        double total = 0;
        for (int k = step + 1 - window; k <= step; ++k) total += losses[k];
        return total < request_.stop_loss * window;
    }

    // Train to the end or the next rung. A loss or norm that is not finite is written down and ends the job,
    // which has no exams then.
    int32_t fit(double deadline) {
        const Request& r = request_;
        float *losses = r.losses + job_ * r.num_steps, *norms = r.norms + job_ * r.num_steps;
        const int first = num_taken();
        for (int step = first; step < r.until; ++step) {
            if (const int32_t status = out_of_time(deadline)) return status;
            num_taken() = step + 1;
            if (step == first || r.order) set_batch(step);
            train_.forward();
            losses[step] = float(head_());
            train_.backward();
            freeze();
            norms[step] = float(optimizer_.norm());
            is_finite_ = std::isfinite(losses[step]) && std::isfinite(norms[step]);
            if (!is_finite_) return native::OK;
            const S clip = S(r.clip_norm) / (S(norms[step]) + S(r.clip_epsilon));
            optimizer_.step(clip < 1 ? clip : 1, r.learning_rate);
            if (is_solved(losses, step)) return native::OK;
        }
        return r.until < r.num_steps ? native::PAUSED : native::OK;
    }

    // Answer all examples of a split: what they come to into `measure`, the slot's outputs into `pooled`.
    int32_t examine(const Examples& split, int seed, float* measure, float* pooled, double deadline) {
        arena_.used = exam_start_;
        Network exam(shape(split.steps, EXAM_BATCH), arena_, optimizer_.values, optimizer_.slopes, false);
        if (!exam.is_complete) return native::OUT_OF_MEMORY;
        clear_from(exam_start_);
        const long example = long(split.steps) * request_.input_width, first = seed * long(split.count);
        Tally tally(exam.last().y, EXAM_BATCH, request_.loss);
        for (long start = 0; start < split.count; start += EXAM_BATCH) {
            if (const int32_t status = out_of_time(deadline)) return status;
            const long count = split.count - start < EXAM_BATCH ? split.count - start : EXAM_BATCH;
            fill_inputs(exam.node(0).y, split.inputs + (first + start) * example, count, EXAM_BATCH,
                        [](long b) { return b; });
            exam.forward();
            if (measure) tally.add(split.targets + (first + start) * tally.length(), count);
            if (pooled)
                write_pooled(exam.node(request_.pooled[job_]).y, count, pooled + start * request_.width);
        }
        if (measure) *measure = tally.mean();
        return native::OK;
    }

    // Networks expect zeros between rows, where the last exam left values.
    void clear_from(size_t start) { std::memset(arena_.base + start, 0, arena_.used - start); }

    static void write_pooled(const Value& value, long count, float* to) {
        for (long b = 0; b < count; ++b)
            for (int c = 0; c < value.width; ++c) {
                const S* from = value.data + c * value.row + b;
                S total = *from;
                for (int step = 1; step < value.steps; ++step) total += from[step * EXAM_BATCH];
                to[b * value.width + c] = float(total / S(value.steps));
            }
    }
};

static int64_t job_bytes(const Request& request, int64_t job) {
    Arena nowhere;
    return Job(request, job, nowhere).bytes();
}

static double job_cost(const Request& request, int64_t job) {
    Arena nowhere;
    return Job(request, job, nowhere).cost();
}

// Train and examine one job in `memory`, which is aligned, zeroed and as large as `job_bytes` says.
static int32_t train(const Request& request, int64_t job, void* memory) {
    Arena arena{static_cast<char*>(memory), 0};
    return Job(request, job, arena).run();
}

// The loss and gradients of one program on one batch.
static int32_t differentiate(Question& q) {
    const Shape shape{q.records, q.num_records, padded_to_lines(q.batch), q.steps, q.input_width, 0,
                      q.num_parameters};
    void* memory = nullptr;
    long num_parameters = 0;
    for (int pass = 0; pass < 2; ++pass) {
        Arena arena{static_cast<char*>(memory), 0};
        S *values = arena.take(num_parameters), *slopes = arena.take(num_parameters);
        Network network(shape, arena, values, slopes, true);
        if (!network.is_complete) {
            std::free(memory);
            return native::OUT_OF_MEMORY;
        }
        Head head(network, q.batch, q.loss, arena);
        if (!memory) {
            num_parameters = network.num_parameters;
            const size_t bytes = arena.used + (2 * num_parameters * sizeof(S) + 2 * ALIGNMENT);
            memory = std::aligned_alloc(ALIGNMENT, (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
            if (!memory) return native::OUT_OF_MEMORY;
            std::memset(memory, 0, bytes);
            continue;
        }
        const auto itself = [](long b) { return b; };
        network.pack(static_cast<const S*>(q.parameters), values);
        fill_inputs(network.node(0).y, static_cast<const S*>(q.inputs), q.batch, shape.batch, itself);
        head.set_targets(q.targets, itself);
        network.forward();
        q.value = head();
        network.backward();
        network.unpack(slopes, static_cast<S*>(q.gradients));
    }
    std::free(memory);
    return native::OK;
}

// Values and slopes of an activation at `count` places, a multiple of BATCH_MULTIPLE, all at aligned
// addresses.
static int32_t activate(int32_t op, const void* x, int64_t count, void* values, void* slopes) {
    if (op < NUM_ROWS - NUM_ACTIVATIONS || op >= NUM_ROWS || count % BATCH_MULTIPLE) return -1;
    const Row& row = ROWS[op];
    Node source{}, node{};
    source.y = {static_cast<S*>(const_cast<void*>(x)), static_cast<S*>(slopes), long(count), 1, 1};
    node.y = {static_cast<S*>(values), static_cast<S*>(slopes), long(count), 1, 1};
    for (long i = 0; i < count; ++i) node.y.slope[i] = 1;
    node.inputs[0] = &source;
    node.num_inputs = 1, node.wants[0] = true;
    const Frame frame{long(count), 1, nullptr};
    row.forward(node, frame, all_columns(node.y, frame));
    row.backward(node, frame, all_columns(node.y, frame));
    return native::OK;
}

static const char* op_name(int32_t op) { return op >= 0 && op < NUM_ROWS ? ROWS[op].name : nullptr; }

} // namespace NATIVE_VARIANT
