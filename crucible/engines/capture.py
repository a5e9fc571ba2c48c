"""Steps replayed from CUDA graphs, several chunks side by side; leaves what a step does to training.py.

A step is a fixed list of launches on memory that never moves, so it may be captured once and replayed. Each
chunk has a lane, on CUDA a stream of its own in which all its memory is allocated and used.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch

from crucible.engines.base import Deadline
from crucible.engines.training import Trainer

#: Steps taken before one is captured: they load libraries, choose algorithms and make the optimiser's state.
WARM_UP_STEPS = 3

Call = Callable[[], object]
#: Enters the stream of a chunk.
Lane = Callable[[], AbstractContextManager[object]]

_LOG = logging.getLogger(__name__)


def lanes_on(device: torch.device, num: int) -> list[Lane]:
    """Return `num` lanes of a device: streams of CUDA; elsewhere work is done where it is asked for."""
    if device.type != "cuda":
        return [nullcontext] * num
    return [_lane(torch.cuda.Stream(device)) for _ in range(num)]


def _lane(stream: torch.cuda.Stream) -> Lane:
    return lambda: torch.cuda.stream(stream)


def take_steps(
    trainers: Sequence[Trainer], lanes: Sequence[Lane], deadline: Deadline, *, capture: bool
) -> None:
    """Take all steps of every trainer, each in its lane, step by step in turn, until the deadline.

    With `capture` the first steps are taken one launch at a time and the others replayed from a graph. Where
    capturing fails, all are taken one launch at a time, and the log says why.
    """
    steps: list[Call] = [trainer.step for trainer in trainers]
    num_steps = max(trainer.num_steps for trainer in trainers)
    num_eager = min(WARM_UP_STEPS, num_steps) if capture else num_steps
    _in_turn(steps, lanes, num_eager, deadline)
    if num_eager == num_steps:
        return
    # All are captured before the first is replayed: a capture waits until the device is idle.
    for index, lane in enumerate(lanes[: len(steps)]):
        with lane():
            steps[index] = captured(steps[index])
    try:
        _in_turn(steps, lanes, num_steps - num_eager, deadline)
    finally:
        for lane in lanes:  # graphs and their memory are given back when this function ends
            with lane():
                torch.cuda.current_stream().synchronize()
    deadline.check()


def _in_turn(steps: Sequence[Call], lanes: Sequence[Lane], num_steps: int, deadline: Deadline) -> None:
    for _ in range(num_steps):
        deadline.check()
        for step, lane in zip(steps, lanes, strict=False):
            with lane():
                step()


def captured(step: Call) -> Call:
    """Return what replays `step` as it stands, captured on the current stream, or `step` where that fails.

    Capturing takes no step: it writes down the launches.
    """
    try:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
            step()
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        _LOG.warning("a training step could not be captured and is run launch by launch: %s", reason)
        return step
    return graph.replay
