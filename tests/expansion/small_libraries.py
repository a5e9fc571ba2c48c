"""Small libraries for tests of expansions: a causal blueprint and one that is not."""

from pathlib import Path

from blueprints import parse
from crucible.evaluation import Evaluation, TaskResult
from hall_of_fame.records import CandidateRecord, RunRecord, TaskRecord
from hall_of_fame.store import Store

#: A causal program and one that is not, both small.
PROGRAMS = ("RES_START LINEAR OUT_DIM_IN GELU RES_END", "POOL_MEAN LINEAR OUT_DIM_IN TANH")


def write_library(path: Path | str, run_id: str = "run one") -> list[str]:
    """Write a run of one generation with `PROGRAMS`, and return their ids, the best first."""
    blueprints = [parse(text.split()) for text in PROGRAMS]
    results = [(TaskResult(task="xor", seed=seed, score=0.9 - n / 10),) for n in range(2) for seed in (0,)]
    with Store.open(path, create=True) as store:
        store.add_run(RunRecord(id=run_id, created="2026-01-01T00:00:00+00:00", seed=7, config={"seed": 7}))
        store.commit_generation(
            run_id,
            0,
            stage="xor",
            metrics={},
            candidates=[
                CandidateRecord(position=n, tokens=one.tokens, blueprint_id=one.id, reward=0.9 - n / 10)
                for n, one in enumerate(blueprints)
            ],
            blueprints=blueprints,
            evaluations=[
                Evaluation(
                    blueprint_id=one.id, engine_id="e", num_parameters=272, flops=512, results=results[n]
                )
                for n, one in enumerate(blueprints)
            ],
            tasks=[TaskRecord(key="xor-a", name="xor", knobs={}, chance=0.5, solved=0.95)],
        )
    return [one.id for one in blueprints]
