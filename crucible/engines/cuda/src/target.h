// What differs between a CUDA device and a host that runs a block's threads by itself; nothing else does.
// A block works in phases: threads share out what a phase writes, and a barrier ends it.
#pragma once
#include "../../native/src/request.h"
#if !defined(__CUDACC__)
#include <cmath>
#include <ctime>
#endif

#if defined(__CUDACC__)
#define DEVICE static __device__
#define DEVICE_CALL static __device__ __noinline__
#define DEVICE_INLINE static __device__ __forceinline__
#define MEMBER __device__ __forceinline__
// Loops of a fixed length over arrays, which then stay in registers.
#define UNROLL _Pragma("unroll")
#else
#define DEVICE static
#define DEVICE_CALL static
#define DEVICE_INLINE static inline
#define MEMBER inline
#define UNROLL
#endif

namespace persistent {

#ifndef PERSISTENT_SCALAR
#define PERSISTENT_SCALAR float
#endif
typedef PERSISTENT_SCALAR S;

// Scalars that the threads of a block share for reductions.
constexpr int SCRATCH = 4096;

#if defined(__CUDACC__)

struct Block {
    int index, thread, num_threads;
    S* scratch;
    MEMBER void barrier() const { __syncthreads(); }
};

// Seconds of a clock that only ever goes on.
DEVICE double now() {
    unsigned long long nanoseconds;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(nanoseconds));
    return 1e-9 * double(nanoseconds);
}

// Memory that the host reads and writes meanwhile.
DEVICE bool is_set(const int32_t* flag) { return *static_cast<const volatile int32_t*>(flag) != 0; }
DEVICE void publish(int32_t* to, int32_t value) { *static_cast<volatile int32_t*>(to) = value; }

#else

using std::cos;
using std::erfc;
using std::exp;
using std::expm1;
using std::fabs;
using std::log;
using std::log1p;
using std::pow;
using std::sin;
using std::sqrt;
using std::tanh;

// Where the threads that stand for a block's wait for one another.
struct Meeting {
    virtual void wait() = 0;
    virtual ~Meeting() {}
};

struct Block {
    int index, thread, num_threads;
    S* scratch;
    Meeting* meeting;
    void barrier() const { meeting->wait(); }
};

DEVICE double now() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + 1e-9 * time.tv_nsec;
}

DEVICE bool is_set(const int32_t* flag) { return __atomic_load_n(flag, __ATOMIC_RELAXED) != 0; }
DEVICE void publish(int32_t* to, int32_t value) { __atomic_store_n(to, value, __ATOMIC_RELAXED); }

#endif

template <class T> DEVICE_INLINE T smaller(T a, T b) { return b < a ? b : a; }
// An undefined `a` stays.
template <class T> DEVICE_INLINE T larger(T a, T b) { return b > a ? b : a; }
DEVICE_INLINE bool is_finite(double x) { return x - x == 0; }
DEVICE_INLINE S sigmoid(S x) { return 1 / (1 + exp(-x)); }

} // namespace persistent
