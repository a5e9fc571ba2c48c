"""The named tasks and the curricula built from them; a task's own rules stay in its file."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from curricula.adding import Adding
from curricula.copying import Copying
from curricula.counting import Counting
from curricula.curriculum import Curriculum, Stage
from curricula.delayed_xor import DelayedXor
from curricula.markov import Markov
from curricula.order import Order
from curricula.parity import Parity
from curricula.spirals import Spirals
from curricula.task import Task, TaskError
from curricula.temporal import Temporal
from curricula.xor import Xor

#: Every task by name. XOR with distractors asks the same question among inputs that carry nothing.
TASKS: Mapping[str, Task] = MappingProxyType(
    {
        task.name: task
        for task in (
            Xor(),
            Xor(name="xor_distractors_4", num_distractors=4),
            Xor(name="xor_distractors_8", num_distractors=8),
            Temporal(),
            Markov(),
            Spirals(),
            DelayedXor(),
            Parity(),
            Counting(),
            Adding(),
            Order(),
            Copying(),
        )
    }
)

#: Tasks of the default curriculum, in order.
DEFAULT_STAGES = ("xor", "temporal")


def task_named(name: str) -> Task:
    """Return the task of that name."""
    if name not in TASKS:
        raise TaskError(f"no task is named '{name}'; expected one of {', '.join(TASKS)}")
    return TASKS[name]


def curriculum(
    names: Sequence[str] = DEFAULT_STAGES,
    *,
    min_generations: int = 3,
    promotion_rate: float = 0.6,
    window: int = 2,
) -> Curriculum:
    """Return the curriculum whose stage k adds the k-th named task."""
    return Curriculum(
        stages=tuple(Stage(name=name, task=task_named(name)) for name in names),
        min_generations=min_generations,
        promotion_rate=promotion_rate,
        window=window,
    )
