"""The engines that a throughput comparison has on a CUDA device, by their rows' names; leaves timing aside.

`batched` replays steps from CUDA graphs, several chunks side by side in streams of their own; the two rows
after it leave out the streams, and then the graphs as well. `persistent` trains a blueprint a thread block.
"""

from collections.abc import Callable

import torch

from crucible.crucible import Crucible
from crucible.engines.batched import BatchedEngine

#: How a Crucible is built for a row: from the width of the host, the device and the number of workers.
Build = Callable[[int, str, int], Crucible]


def cuda_rows() -> dict[str, Build]:
    """Return how to build the Crucible of each row."""
    return {
        "batched": lambda width, device, workers: Crucible(width, "batched", device, workers),
        "batched_one_stream": lambda width, device, _: _batched(width, device, capture=True),
        "batched_uncaptured": lambda width, device, _: _batched(width, device, capture=False),
        "persistent": lambda width, device, workers: Crucible(width, "persistent", device, workers),
    }


def _batched(width: int, device: str, *, capture: bool) -> Crucible:
    """Return a Crucible whose engine does less than its own would: only measurements want it."""
    return Crucible(width, BatchedEngine(torch.device(device), capture=capture, num_streams=1))
