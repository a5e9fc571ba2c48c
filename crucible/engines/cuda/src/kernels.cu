// The kernels as a CUDA device runs them: one block a job; leaves all work to training.h.
#include "training.h"

using persistent::Block;
using persistent::Request;
using persistent::S;

// Threads of a block, at most.
#define PERSISTENT_THREADS 256

static __device__ Block this_block(S* scratch) {
    return {int(blockIdx.x), int(threadIdx.x), int(blockDim.x), scratch};
}

extern "C" __global__ void __launch_bounds__(PERSISTENT_THREADS) persistent_measure(
    const __grid_constant__ Request request) {
    const int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index < request.num_jobs) persistent::measure(request, index);
}

extern "C" __global__ void __launch_bounds__(PERSISTENT_THREADS) persistent_train(
    const __grid_constant__ Request request) {
    __shared__ S scratch[persistent::SCRATCH];
    persistent::train_job(this_block(scratch), request);
}

extern "C" __global__ void __launch_bounds__(PERSISTENT_THREADS) persistent_differentiate(
    const __grid_constant__ Request request) {
    __shared__ S scratch[persistent::SCRATCH];
    persistent::differentiate_job(this_block(scratch), request);
}
