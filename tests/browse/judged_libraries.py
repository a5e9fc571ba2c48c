"""The library of a run of one generation, and who judged it, for tests of jobs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blueprints import LANGUAGE
from crucible import Crucible, LatencyTable
from crucible.reward import RewardBounds, RewardWeights
from curricula.suites import task_named
from hall_of_fame.records import CandidateRecord, RunRecord
from hall_of_fame.store import Store
from tamiyo.judging import Judge

MLP = ("RES_START", "LINEAR", "OUT_DIM_DOUBLE", "GELU", "LINEAR", "OUT_DIM_IN", "RES_END")
NEAR = ("RES_START", "LINEAR", "OUT_DIM_DOUBLE", "SILU", "LINEAR", "OUT_DIM_IN", "RES_END")
SEED = 5


@contextmanager
def judging(folder: Path) -> Iterator[Judge]:
    """Write a library that holds MLP, trained on XOR, into a run's folder; give who judged it."""
    table = LatencyTable.measure(repeats=1)
    table.save(folder / "latency_table.json")
    with (
        Store.open(folder / "library.db", create=True) as store,
        Crucible(num_workers=1, latency_table=table) as crucible,
    ):
        store.add_run(RunRecord(id="run", created="2026-01-01T00:00:00+00:00", seed=0, config={}))
        judge = Judge(
            language=LANGUAGE,
            crucible=crucible,
            store=store,
            run_id="run",
            seeds=(SEED,),
            weights=RewardWeights(),
            bounds=RewardBounds(),
            hall_of_fame_size=64,
        )
        first = judge.judge([MLP], [task_named("xor")])
        [verdict] = first.verdicts
        store.commit_generation(
            "run",
            0,
            stage="xor",
            metrics={},
            candidates=[
                CandidateRecord(
                    position=0,
                    tokens=MLP,
                    blueprint_id=verdict.blueprint and verdict.blueprint.id,
                    reward=verdict.reward.total,
                )
            ],
            blueprints=[verdict.blueprint] if verdict.blueprint else [],
            evaluations=first.trained,
            tasks=judge.task_records([task_named("xor")]),
        )
        yield judge
