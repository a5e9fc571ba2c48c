// The persistent kernels on the host: each of a block's threads is a thread, and blocks follow one another.
// Blocks run in the order or against it, and may share the work among several at a time.
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "../../../crucible/engines/cuda/src/training.h"

namespace {

using persistent::Block;
using persistent::Meeting;
using persistent::Request;
using persistent::S;

// Threads wait until all are there. Locks, so that the check for races sees what a barrier orders.
class Barrier final : public Meeting {
  public:
    explicit Barrier(int num) : num_(num) {}
    void wait() override {
        if (num_ == 1) return;
        std::unique_lock<std::mutex> lock(mutex_);
        const int64_t round = round_;
        if (++arrived_ == num_) {
            arrived_ = 0;
            ++round_;
            all_.notify_all();
            return;
        }
        all_.wait(lock, [&] { return round_ != round; });
    }

  private:
    std::mutex mutex_;
    std::condition_variable all_;
    const int num_;
    int arrived_ = 0;
    int64_t round_ = 0;
};

typedef void (*Kernel)(const Block&, const Request&);

void run_block(Kernel kernel, const Request& request, int index, int num_threads) {
    std::vector<S> scratch(persistent::SCRATCH);
    Barrier barrier(num_threads);
    std::vector<std::thread> threads;
    const auto run = [&](int thread) {
        kernel({index, thread, num_threads, scratch.data(), &barrier}, request);
    };
    for (int thread = 1; thread < num_threads; ++thread) threads.emplace_back(run, thread);
    run(0);
    for (std::thread& thread : threads) thread.join();
}

void launch(Kernel kernel, const Request& request, int num_blocks, int num_threads, int is_backwards) {
    for (int i = 0; i < num_blocks; ++i)
        run_block(kernel, request, is_backwards ? num_blocks - 1 - i : i, num_threads);
}

} // namespace

extern "C" {

int persistent_request_size() { return sizeof(Request); }

void persistent_measure(const Request* request, int, int, int) {
    for (int i = 0; i < request->num_jobs; ++i) persistent::measure(*request, i);
}

void persistent_train(const Request* request, int num_blocks, int num_threads, int is_backwards) {
    launch(persistent::train_job, *request, num_blocks, num_threads, is_backwards);
}

void persistent_differentiate(const Request* request, int num_blocks, int num_threads, int is_backwards) {
    launch(persistent::differentiate_job, *request, num_blocks, num_threads, is_backwards);
}
}
