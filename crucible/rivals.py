"""What a perceptron of no fewer parameters gains as a graft, beside each blueprint's gain; scores nothing."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from blueprints import Blueprint, parse
from blueprints.cost import num_parameters
from crucible.engines.base import Engine, Job
from crucible.evaluation import TaskResult
from crucible.pipeline import Pipeline
from crucible.program import Program, build_program
from curricula.task import Task

_DEEP = ("RES_START", "LINEAR", "OUT_DIM_QUAD", "GELU", "LINEAR", "OUT_DIM_IN", "RES_END")
#: Perceptrons from small to large: bottlenecks of every width, then two, four and six residual ones.
RIVALS: tuple[Blueprint, ...] = (
    *(
        parse(("LINEAR", f"OUT_DIM_{width}", "GELU", "LINEAR", "OUT_DIM_IN"))
        for width in ("QUARTER", "HALF", "IN", "DOUBLE", "QUAD")
    ),
    *(parse(_DEEP * depth) for depth in (2, 4, 6)),
)

#: A rival's training: which of `RIVALS`, on what, from which seed.
_Key = tuple[int, Task, int]


def rival_of(size: int, width: int) -> int:
    """Return the first of `RIVALS` with `size` parameters or more in a host of D = `width`, else the last."""
    return next((index for index, own in enumerate(_sizes(width)) if own >= size), len(RIVALS) - 1)


@cache
def _sizes(width: int) -> tuple[int, ...]:
    return tuple(num_parameters(rival.graph, width) for rival in RIVALS)


class Rivals:
    """Trains rivals in an engine, as blueprints are, and each of them once: gains are kept."""

    def __init__(self, engine: Engine, width: int) -> None:
        self._engine, self._width = engine, width
        self._gains: dict[_Key, float | None] = {}

    def compared(self, programs: Sequence[Program], results: Sequence[TaskResult]) -> list[TaskResult]:
        """Return the results with their rivals' gains, where they are results of grafts that have one."""
        keys = [self._key(program, result) for program, result in zip(programs, results, strict=True)]
        self._train([key for key in dict.fromkeys(keys) if key is not None and key not in self._gains])
        return [
            result if key is None else replace(result, rival_gain=self._gains[key])
            for key, result in zip(keys, results, strict=True)
        ]

    def _key(self, program: Program, result: TaskResult) -> _Key | None:
        if program.graft is None or result.gain is None:
            return None
        return rival_of(program.num_slot_parameters, self._width), program.graft, result.seed

    def _train(self, keys: Sequence[_Key]) -> None:
        with Pipeline(self._engine, fingerprints=False, progress=None) as pipeline:
            for place, (index, task, seed) in enumerate(keys):
                program = build_program(RIVALS[index].graph, task, self._width)
                pipeline.add(place, task, Job(program=program, seed=seed, competes=False))
            for place, result in pipeline.finish():
                self._gains[keys[place]] = result.gain
