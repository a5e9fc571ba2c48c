"""Small libraries for tests of expansions: a causal blueprint and one that is not."""

from pathlib import Path

from blueprints import parse
from crucible.evaluation import TaskResult
from hall_of_fame.store import Store
from tests.hall_of_fame.ledgers import commit, evaluation, run_record

#: A causal program and one that is not, both small.
PROGRAMS = ("RES_START LINEAR OUT_DIM_IN GELU RES_END", "POOL_MEAN LINEAR OUT_DIM_IN TANH")


def write_library(path: Path | str, run_id: str = "run one") -> list[str]:
    """Write a run of one generation with `PROGRAMS`, and return their ids, the best first."""
    found = [
        (blueprint, evaluation(blueprint, TaskResult(task="xor", seed=0, score=score)))
        for blueprint, score in ((parse(PROGRAMS[0].split()), 0.9), (parse(PROGRAMS[1].split()), 0.8))
    ]
    with Store.open(path, create=True) as store:
        store.add_run(run_record(run_id))
        commit(store, 0, found, run_id=run_id)
    return [blueprint.id for blueprint, _ in found]
