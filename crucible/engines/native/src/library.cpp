// What callers see of the library: the choice of a variant, and threads that hand jobs to it.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>
#if defined(__linux__)
#include <sched.h>
#endif

#include "request.h"

namespace native {

extern const Variant avx512, avx2, generic, precise;

// Raised with every change of the records in request.h, of the rows that algebra.py writes or of the losses.
constexpr int32_t ABI_VERSION = 10;
constexpr size_t ALIGNMENT = 64;

static const Variant* best_variant() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
        return &avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &avx2;
#endif
    return &generic;
}

static bool is_supported(const Variant& variant) {
    const Variant* best = best_variant();
    if (&variant == &generic || &variant == &precise || &variant == best) return true;
#if defined(__x86_64__)
    return &variant == &avx2 && best == &avx512;
#else
    return false;
#endif
}

static const Variant* variant_named(const char* name) {
    if (!name || !*name) return best_variant();
    for (const Variant* variant : {
#if defined(__x86_64__)
             &avx512, &avx2,
#endif
             &generic, &precise})
        if (!std::strcmp(variant->name, name) && is_supported(*variant)) return variant;
    return nullptr;
}

// Memory of one thread, which grows to the largest of its jobs.
class Workspace {
  public:
    ~Workspace() { std::free(memory_); }

    // Zeroed memory of so many bytes, or null where it is refused.
    void* zeroed(size_t bytes) {
        if (bytes > size_) {
            std::free(memory_);
            size_ = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
            memory_ = std::aligned_alloc(ALIGNMENT, size_);
            if (!memory_) size_ = 0;
        }
        if (memory_) std::memset(memory_, 0, bytes);
        return memory_;
    }

  private:
    void* memory_ = nullptr;
    size_t size_ = 0;
};

static bool has_end(int32_t status) { return status < STOPPED; }

// Moves this thread to core `place` of those that it may use, if as many threads are to work as there are. A
// new thread often begins on a core that another has, and is left there for milliseconds beside idle ones.
// Once there it may be moved as ever.
static void settle(int place, int num_places) {
#if defined(__linux__)
    cpu_set_t all, own;
    if (sched_getaffinity(0, sizeof all, &all) || CPU_COUNT(&all) != num_places) return;
    int core = -1;
    for (int num_seen = 0; num_seen <= place; num_seen += CPU_ISSET(core, &all) != 0) ++core;
    CPU_ZERO(&own);
    CPU_SET(core, &own);
    if (!sched_setaffinity(0, sizeof own, &own)) sched_setaffinity(0, sizeof all, &all);
#else
    (void)place, (void)num_places;
#endif
}

// One of the places that requests share, each in its turn: whoever asked first is the next to have one.
class Place {
  public:
    explicit Place(const Request& request) : turns_(*request.turns) {
        std::unique_lock<std::mutex> lock(guard_);
        const int64_t own = turns_.num_asked++;
        const auto is_cancelled = [&] { return __atomic_load_n(request.is_cancelled, __ATOMIC_RELAXED); };
        const auto is_free = [&] { return turns_.num_held < request.num_places || is_cancelled(); };
        while (turns_.num_served != own || !is_free())
            changed_.wait_for(lock, std::chrono::milliseconds(20)); // nobody tells of the cancelling
        ++turns_.num_served;
        is_held = !is_cancelled();
        if (is_held) take();
        changed_.notify_all();
        lock.unlock();
        if (is_held && index_ < MOST_TOLD) settle(index_, request.num_places);
    }
    ~Place() {
        const std::lock_guard<std::mutex> lock(guard_);
        turns_.num_held -= is_held;
        if (is_held && index_ < MOST_TOLD) turns_.held &= ~(int64_t(1) << index_);
        changed_.notify_all();
    }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    bool is_held; // false where the work was cancelled

  private:
    static constexpr int MOST_TOLD = 63; // places beyond are not told apart

    void take() {
        ++turns_.num_held;
        while (index_ < MOST_TOLD && turns_.held >> index_ & 1) ++index_;
        if (index_ < MOST_TOLD) turns_.held |= int64_t(1) << index_;
    }

    static std::mutex guard_;
    static std::condition_variable changed_;
    Turns& turns_;
    int index_ = 0;
};
std::mutex Place::guard_;
std::condition_variable Place::changed_;

static void work(const Variant& variant, const Request& request, const std::vector<int64_t>& order,
                 std::atomic<int64_t>& next) {
    Workspace workspace;
    const Place place(request);
    for (int64_t i = next++; place.is_held && i < int64_t(order.size()); i = next++) {
        if (__atomic_load_n(request.is_cancelled, __ATOMIC_RELAXED)) return;
        const int64_t job = order[i];
        void* memory = workspace.zeroed(variant.job_bytes(request, job));
        request.statuses[job] = memory ? variant.train(request, job, memory) : int32_t(OUT_OF_MEMORY);
        if (has_end(request.statuses[job])) __atomic_add_fetch(request.num_done, 1, __ATOMIC_RELAXED);
    }
}

// The jobs that have no end yet, longest first, so that no thread begins a long one when the others are about
// to end.
static std::vector<int64_t> longest_first(const Variant& variant, const Request& request) {
    std::vector<double> costs(request.num_jobs);
    std::vector<int64_t> order;
    for (int64_t job = 0; job < request.num_jobs; ++job) {
        if (has_end(request.statuses[job])) continue;
        costs[job] = variant.job_cost(request, job);
        order.push_back(job);
    }
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return costs[a] > costs[b]; });
    return order;
}

} // namespace native

extern "C" {

#define NATIVE_EXPORT __attribute__((visibility("default")))

NATIVE_EXPORT int32_t native_abi_version() { return native::ABI_VERSION; }

// The name of the variant that serves where none is asked for.
NATIVE_EXPORT const char* native_variant() { return native::best_variant()->name; }

// Who compiled this library: another compiler may round sums in another order.
NATIVE_EXPORT const char* native_compiler() {
#define NATIVE_TEXT(number) NATIVE_QUOTED(number)
#define NATIVE_QUOTED(number) #number
#if defined(__clang__)
    return "clang" NATIVE_TEXT(__clang_major__);
#else
    return "gcc" NATIVE_TEXT(__GNUC__);
#endif
}

// The name of row `op` of the op table; null beyond its end.
NATIVE_EXPORT const char* native_op_name(int32_t op) { return native::generic.op_name(op); }

// Train all jobs; returns 0, or -1 for a variant that is unknown or not for this processor.
NATIVE_EXPORT int32_t native_train(const native::Request* request, const char* variant_name) {
    const native::Variant* variant = native::variant_named(variant_name);
    if (!variant || variant == &native::precise) return -1;
    const std::vector<int64_t> order = native::longest_first(*variant, *request);
    std::atomic<int64_t> next{0};
    std::vector<std::thread> threads;
    threads.reserve(request->num_threads);
    try {
        for (int32_t i = 1; i < request->num_threads; ++i)
            threads.emplace_back([&] { native::work(*variant, *request, order, next); });
    } catch (const std::system_error&) {
        // No more threads are to be had: those that there are do the work.
    }
    native::work(*variant, *request, order, next);
    for (std::thread& thread : threads) thread.join();
    return 0;
}

// Values and slopes of activation `op` at x: `count` scalars each, a multiple of 16, 64 bytes aligned.
NATIVE_EXPORT int32_t native_activate(int32_t op, const void* x, int64_t count, void* values, void* slopes,
                                      const char* variant_name) {
    const native::Variant* variant = native::variant_named(variant_name);
    return variant ? variant->activate(op, x, count, values, slopes) : -1;
}

// Differentiate one program; scalars are float64 for the variant `precise`, else float32.
NATIVE_EXPORT int32_t native_differentiate(native::Question* question, const char* variant_name) {
    const native::Variant* variant = native::variant_named(variant_name);
    return variant ? variant->differentiate(*question) : -1;
}
}
