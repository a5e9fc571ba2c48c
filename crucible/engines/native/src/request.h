// What the library is asked and what it answers: plain records shared with the callers and by all variants.
// It leaves out every function: a function in a header shared by variants would be linked from any one of
// them.
#pragma once
#include <cstdint>

namespace native {

// Columns of the int32 table of node records; crucible/engines/native/records.py writes the same.
struct Record {
    int32_t op;         // row of the op table
    int32_t inputs[3];  // earlier records, -1 where there is none
    int32_t width;      // channels of the output
    int32_t sequence;   // whether the output has the task's steps rather than one
    int32_t parameters; // scalars before this node's in the flat vector
    int32_t kernel;     // taps of a convolution, else 1
    int32_t dilation;   // steps between taps
    int32_t is_signed;  // of a scan's gate
    int32_t parts;      // heads, experts, or what the width is divided by for its winners; else 1
    int32_t is_full;    // whether attention sees later steps
    int32_t scan;       // 1, 2, ... for nodes that run step by step, else 0
    int32_t store;      // of a state: the record whose value at the step before it reads, else -1
};

// Splits of all seeds: inputs [S][N][T][F] and targets [S][N][P][L], of which heads.h has the meaning: P is
// the steps of the outputs and L the numbers of one target.
struct Examples {
    const float* inputs;
    const float* targets;
    int32_t count;
    int32_t steps;
};

// What became of a job. One that has not begun is STOPPED, as is one that was cancelled; PAUSED it waits at a
// rung; DROPPED it ends where it stands, and only its last exams are left to do. The first three have an end.
enum Status : int32_t { OK = 0, TIMED_OUT = 1, OUT_OF_MEMORY = 2, STOPPED = 3, PAUSED = 4, DROPPED = 5 };

// Of requests that run side by side: threads at work, and those that asked for that and had their turn.
struct Turns {
    int64_t num_held, num_asked, num_served;
    int64_t held; // a bit for each of the first places
};

// Jobs J of one task: programs of N records and P scalars each, S seeds, K steps, B examples a step.
struct Request {
    int64_t num_jobs;
    const Record* records;           // [sum N]
    const int64_t* record_starts;    // [J + 1]
    const int32_t* pooled;           // [J] record that is read out
    float* parameters;               // [sum P], those of a paused job where it stands
    float *means, *squares;          // [sum P], Adam's moments of paused jobs; null where none pauses
    const int64_t* parameter_starts; // [J + 1]
    const int32_t* seeds;            // [J] index of the seed
    const int32_t* order;            // [S][K][B] examples of each step; null for a full batch
    Examples train, validation, test, retention, probe; // retention is null where nothing is grafted
    int32_t input_width, loss, batch, num_steps, num_threads, is_fingerprinting;
    double learning_rate, clip_norm, clip_epsilon, seconds;
    double stop_loss;      // a job ends once the mean of its last losses is below; 0 for never
    int32_t stop_window;   // steps of which that mean is
    int32_t until;         // steps after which jobs pause; all steps where they end
    int32_t* num_taken;    // [J] steps that were begun
    double* seconds_taken; // [J] what paused jobs took
    float* losses;         // [J][K], NaN where no step was taken
    float* norms;          // [J][K]
    float* measures;       // [J][3] exams of validation, test, retention; NaN where an output is not finite
    float* fingerprints;   // [J][probes][D], what is read out, averaged over time
    int32_t width;         // D
    int32_t* statuses;     // [J] in and out
    int64_t* num_done;     // atomic: jobs that have an end so far
    int32_t* is_cancelled; // atomic: set by the caller to end all work
    int32_t num_places;    // threads that may be at work, of all requests with the same turns
    Turns* turns;
    int32_t num_frozen_first, num_frozen_last; // scalars of each job's P that do not learn
};

// One program on one batch: inputs [B][T][F], targets [B][P][L], parameters and gradients in flat order.
struct Question {
    const Record* records;
    int64_t num_records;
    const void* parameters;
    int64_t num_parameters;
    const void* inputs;
    const float* targets;
    int32_t batch, steps, input_width, loss;
    double value; // of the loss
    void* gradients;
};

// One compilation of the interpreter for an instruction set.
struct Variant {
    const char* name;
    int64_t (*job_bytes)(const Request&, int64_t job);
    double (*job_cost)(const Request&, int64_t job);
    int32_t (*train)(const Request&, int64_t job, void* memory);
    int32_t (*differentiate)(Question&);
    int32_t (*activate)(int32_t op, const void* x, int64_t count, void* values, void* slopes);
    const char* (*op_name)(int32_t op);
};

} // namespace native
