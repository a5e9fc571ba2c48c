"""Libraries to browse and servers on them for tests: the real application on a real socket."""

import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from blueprints import HUMAN_BLUEPRINTS, Blueprint, parse, random_program
from crucible.evaluation import NUM_POINTS, Evaluation, LossCurve, TaskResult
from hall_of_fame.proofs import ProofBook
from hall_of_fame.records import CandidateRecord, Proof, RunRecord, TaskProof, TaskRecord
from hall_of_fame.store import Store
from tamiyo.api.app import create_app
from tamiyo.api.server import listen, server_config
from tamiyo.api.settings import BrowseSettings

#: Seconds until an answer: a machine may be busy; what takes longer is broken.
PATIENCE_S = 120.0

TASKS = (
    TaskRecord(key="xor-a", name="xor", knobs={"num_train": 64}, chance=0.5, solved=0.95),
    TaskRecord(key="temporal-a", name="temporal", knobs={"steps": 16}, chance=0.5, solved=0.95),
)
#: Of each training on xor; those on the other task have none on record.
CURVE = LossCurve(planned_steps=100, means=tuple(0.5**place for place in range(NUM_POINTS)))


def human_blueprints(num: int) -> list[Blueprint]:
    """Return the first `num` human blueprints."""
    return [parse(human.tokens) for human in HUMAN_BLUEPRINTS[:num]]


def write_library(
    path: Path,
    blueprints: Sequence[Blueprint] | None = None,
    *,
    run_id: str = "demo",
    num_generations: int = 2,
    parents: Mapping[int, Sequence[int]] = MappingProxyType({}),
) -> Path:
    """Write a run whose blueprints score a little less each, from two seeds on two tasks; return its path.

    The first half of them comes in generation 0, the rest in the ones after it. `parents` says which of them,
    by their places, some were made from.
    """
    blueprints = human_blueprints(12) if blueprints is None else blueprints
    path.parent.mkdir(parents=True, exist_ok=True)
    run = RunRecord(
        id=run_id,
        created="2026-01-01T00:00:00+00:00",
        seed=7,
        config={"seed": 7, "strategy": "reinforce"},
        command="python scripts/train_architect.py seed=7",
        code_version="0.1.0 abc",
        language_version="f" * 64,
    )
    size = -(-len(blueprints) // num_generations)
    with Store.open(path, create=True) as store:
        store.add_run(run)
        for generation in range(num_generations):
            places = range(len(blueprints))[generation * size : (generation + 1) * size]
            made_from = {p: [blueprints[i].id for i in parents.get(p, ())] for p in places}
            _commit(store, run_id, generation, [(place, blueprints[place]) for place in places], made_from)
    return path


def write_varied_library(path: Path) -> Path:
    """Write 50 human and random blueprints of four generations, some with parents, two of them proved."""
    rng = random.Random(3)
    drawn = [parse(random_program(rng, max_ops=5)) for _ in range(60)]
    different = list({blueprint.id: blueprint for blueprint in [*human_blueprints(20), *drawn]}.values())[:50]
    parents = {place: (place % 20, place % 7) for place in range(25, 40)}
    write_library(path, different, num_generations=4, parents=parents)
    with Store.open(path) as store:
        for rank, verdict in ((1, "entered"), (2, "refused")):
            _prove(store, different[rank - 1], rank, verdict)
    return path


def _prove(store: Store, blueprint: Blueprint, rank: int, verdict: Any) -> None:
    shares: dict[str, Any] = {"mean": 0.7, "low": 0.6, "high": 0.8}
    proof = Proof(
        blueprint_id=blueprint.id,
        protocol="p",
        settings={"seeds": [1, 2]},
        run_id="demo",
        generation=3,
        created=f"2026-01-02T00:00:0{rank}+00:00",
        rank=rank,
        search_score=0.9,
        search_trainings=4,
        mean_as_searched=0.65,
        floor=0.1,
        verdict=verdict,
        reason="" if verdict == "entered" else "its interval holds the floor",
        tasks=(TaskProof(task="xor", held_out=False, factor=0.3, num_seeds=2, num_ok=2, **shares),),
        **shares,
    )
    assert ProofBook(store).add(proof, {}, TASKS)


def _commit(
    store: Store,
    run_id: str,
    generation: int,
    placed: Sequence[tuple[int, Blueprint]],
    parents: Mapping[int, Sequence[str]],
) -> None:
    store.commit_generation(
        run_id,
        generation,
        stage="xor",
        metrics={"generation": generation, "reward_mean": 0.5 + generation / 10, "generation_s": 1.5},
        candidates=[
            CandidateRecord(
                position=position,
                tokens=blueprint.tokens,
                blueprint_id=blueprint.id,
                reward=0.9 - place / 100,
                terms={"task": 0.9 - place / 100},
                parents=tuple(parents[place]),
            )
            for position, (place, blueprint) in enumerate(placed)
        ],
        blueprints=[blueprint for _, blueprint in placed],
        evaluations=[
            Evaluation(
                blueprint_id=blueprint.id,
                engine_id="batched 1",
                num_parameters=100 + 10 * place,
                flops=2000,
                latency_us=20.0 - place,
                results=tuple(
                    TaskResult(
                        task=task.name,
                        seed=seed,
                        score=1.0 - place / 40 - seed / 100,
                        num_steps=100,
                        loss_first=0.75,
                        loss_curve=CURVE if task.name == "xor" else None,
                    )
                    for task in TASKS
                    for seed in (0, 1)
                ),
            )
            for place, blueprint in placed
        ],
        tasks=TASKS,
    )


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve an application from a thread; give its address, such as http://127.0.0.1:41873."""
    settings = app.state.context.settings
    with listen(replace(settings, port=0)) as listening:
        port = listening.getsockname()[1]
        server = uvicorn.Server(server_config(app, settings))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.01)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def browsing(library: Path, **settings: Any) -> Iterator[httpx.Client]:
    """Serve a library; give a client whose paths are relative to the server's address."""
    with answering(create_app(BrowseSettings(library=str(library), **settings))) as client:
        yield client


@contextmanager
def answering(app: FastAPI) -> Iterator[httpx.Client]:
    """Serve an application; give a client whose paths are relative to its address."""
    with serving(app) as address, httpx.Client(base_url=address, timeout=PATIENCE_S) as client:
        yield client


@contextmanager
def started(library: Path, *words: str) -> Iterator[str]:
    """Start `tamiyo browse` as a process of its own; give its address."""
    command = [sys.executable, "-m", "tamiyo.cli", "browse", "--library", str(library), "--port", "0"]
    # A browser asks for more than a person would click in a minute.
    command += ["--requests-per-minute", "100000", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert " at http" in line, f"the server did not start: {line!r}"
            yield line.partition(" at ")[2].split()[0]
        finally:
            process.terminate()
            process.wait()
