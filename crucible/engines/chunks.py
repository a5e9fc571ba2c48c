"""Which jobs train together: chunks of alike programs that fit the caches; leaves training to training.py."""

from collections.abc import Sequence

import torch

from crucible.engines.base import Job
from crucible.program import Program
from curricula.task import Task

#: Bytes of values and gradients of one chunk, by measurement: launches are shared, memory stays small.
CHUNK_BYTES = 64 << 20
#: The same of all chunks that share a GPU, where launches cost more than memory.
CUDA_CHUNK_BYTES = 8 << 30
#: Chunks that share a GPU: the long chains of small launches that recurrences make leave room for others.
CUDA_STREAMS = 4

#: Ops that cost many launches, the dearest first.
_RECURRENT = (
    frozenset({"SCAN"}),
    frozenset({"LOOP"}),
    frozenset({"GRU", "LSTM", "DIAGONAL_SCAN", "HEBBIAN"}),
)


def job_bytes(program: Program, task: Task, time: int) -> int:
    """Return about how many bytes one training step of `program` touches: values, gradients, optimiser."""
    values = 2 * program.values_per_example(time) * task.batch_size
    return 4 * (values + 4 * program.num_parameters)


def split_jobs(
    jobs: Sequence[Job],
    task: Task,
    device: torch.device,
    num_workers: int,
    chunk_bytes: int | None = None,
    *,
    num_streams: int = 1,
) -> list[list[int]]:
    """Return chunks of indices of jobs, costly chunks first; as many as `num_streams` where memory allows."""
    if not jobs:
        return []
    if chunk_bytes is None:
        chunk_bytes = CUDA_CHUNK_BYTES // num_streams if device.type == "cuda" else CHUNK_BYTES
    time = task.splits(jobs[0].seed).train.inputs.shape[1]
    sizes = [job_bytes(job.program, task, time) for job in jobs]
    # A few chunks a worker at least, so that none of them waits long for the last.
    limit = min(chunk_bytes, max(1, sum(sizes) // (3 * num_workers))) if num_workers > 1 else chunk_bytes
    share = sum(sizes) / num_streams
    order = sorted(range(len(jobs)), key=lambda i: (_kind(jobs[i].program), sizes[i]), reverse=True)
    chunks: list[list[int]] = [[]]
    filled = 0
    for i in order:
        if chunks[-1] and (filled + sizes[i] > limit or filled >= share):
            chunks.append([])
            filled = 0
        chunks[-1].append(i)
        filled += sizes[i]
    return chunks


def _kind(program: Program) -> tuple[int, ...]:
    """Return what should not be mixed: recurrences cost many launches, which only alike programs share."""
    counts = program.counts
    return tuple(
        sum(count for signature, count in counts.items() if signature.op in ops) for ops in _RECURRENT
    )
