"""The named tasks, the suites and the curricula built from them; a task's own rules stay in its file."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from curricula.adding import Adding
from curricula.copying import Copying
from curricula.counting import Counting
from curricula.curriculum import Curriculum, Stage
from curricula.delayed_xor import DelayedXor
from curricula.dyck import Dyck
from curricula.graft import Graft
from curricula.induction import Induction
from curricula.markov import Markov
from curricula.memorisation import Memorisation
from curricula.order import Order
from curricula.parity import Parity
from curricula.recall import Recall
from curricula.selective_copy import SelectiveCopy
from curricula.spirals import Spirals
from curricula.task import Task, TaskError
from curricula.temporal import Temporal
from curricula.xor import Xor

#: Every task by name. XOR with distractors asks the same question among inputs that carry nothing;
#: `markov_once` shows no stream twice, and ends while most modules still learn.
TASKS: Mapping[str, Task] = MappingProxyType(
    {
        task.name: task
        for task in (
            Xor(),
            Xor(name="xor_distractors_4", num_distractors=4),
            Xor(name="xor_distractors_8", num_distractors=8),
            Temporal(),
            Markov(),
            Markov(name="markov_once", num_train=4800, batch_size=32, epochs=1, sharpness=2.0),
            Spirals(),
            DelayedXor(),
            Parity(),
            Counting(),
            Adding(),
            Order(),
            Copying(),
            Graft(),
            Recall(),
            Recall(name="recall_16", batch_size=64, num_symbols=16, length=16, num_pairs=2, num_queries=12),
            SelectiveCopy(),
            Induction(),
            Memorisation(),
            Dyck(),
        )
    }
)

#: Every suite by name: its tasks in order, each with its weight in the reward; 0 makes it a gate, outside the
#: mean and a factor of it, as XOR is: most blueprints solve it, so that it ranks few. `predictive` ranks
#: recurrent cells as training them as language models does: chosen by benchmarks/select_suite.py, judged by
#: benchmarks/external_validity.py from `PREDICTIVE_SEEDS`.
SUITES: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "xor": {"xor": 1.0},
        "classic": {"xor": 0.0, "temporal": 1.0},
        "predictive": {"xor": 0.0, "markov_once": 1.0},
        "graft": {"xor": 0.0, "graft": 1.0},
    }
)
#: Seeds of the predictive suite's exam.
PREDICTIVE_SEEDS = (0, 1, 2, 3)

#: The suite where none is named.
DEFAULT_SUITE = "classic"


def task_named(name: str, user_tasks: Mapping[str, Task] = MappingProxyType({})) -> Task:
    """Return the task of that name, from the table or from a user's own."""
    found = {**user_tasks, **TASKS}
    if name not in found:
        raise TaskError(f"no task is named '{name}'; expected one of {', '.join(found)}")
    return found[name]


def suite_named(name: str) -> Mapping[str, float]:
    """Return the weight of each task of a suite, in its order."""
    if name not in SUITES:
        raise TaskError(f"no suite is named '{name}'; expected one of {', '.join(SUITES)}")
    return SUITES[name]


def curriculum(
    names: Sequence[str] = (),
    weights: Sequence[float] = (),
    *,
    user_tasks: Mapping[str, Task] = MappingProxyType({}),
    min_generations: int = 3,
    promotion_rate: float = 0.6,
    window: int = 2,
    demotion_share: float = 0.5,
) -> Curriculum:
    """Return the curriculum whose stage k adds the k-th named task; without weights, each weighs 1.

    Without names it is that of the default suite.
    """
    if not names and not weights:
        suite = SUITES[DEFAULT_SUITE]
        names, weights = tuple(suite), tuple(suite.values())
    if weights and len(weights) != len(names):
        raise TaskError(f"{len(weights)} weights of {len(names)} tasks; expected one each, or none")
    return Curriculum(
        stages=tuple(
            Stage(name=name, task=task_named(name, user_tasks), weight=weight)
            for name, weight in zip(names, weights or [1.0] * len(names), strict=True)
        ),
        min_generations=min_generations,
        promotion_rate=promotion_rate,
        window=window,
        demotion_share=demotion_share,
    )
