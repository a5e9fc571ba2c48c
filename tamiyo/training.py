"""Builds or resumes a run from its configuration and writes its files; the loop itself is engine.py."""

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from architect.corpus import build_corpus
from architect.language_space import LanguageSpace
from architect.policy import Policy
from architect.pretraining import pretrain
from architect.strategies import Ingredients, build_strategy
from blueprints import IDENTITY, LANGUAGE, Language
from crucible import Crucible
from crucible.engines.base import single_thread
from crucible.heads import checked_splits
from crucible.latency import LatencyTable
from crucible.program import build_program
from crucible.stopwatch import Stopwatch
from curricula.task import TaskError
from curricula.user_tasks import source_hash, try_task
from hall_of_fame.archive import write as write_archive
from hall_of_fame.library import Library
from hall_of_fame.records import Entry, GenerationRecord, RunRecord
from hall_of_fame.store import Store
from tamiyo.config import SEEDS_A_RUN, Config, ConfigError, as_dict
from tamiyo.engine import Engine, LoopState, Observer
from tamiyo.entrants import Entrants
from tamiyo.judging import Judge
from tamiyo.progress import Progress
from tamiyo.report import write_report
from tamiyo.reproving import build_reprover
from tamiyo.runs import RunError, RunFolder
from tamiyo.tracking import Tracker, make_tracker

#: Best blueprints that the report draws and the tracker tables.
SHOWN = 12


def train(config: Config, folder: RunFolder) -> dict[str, Any]:
    """Run the search of `folder` from where it stands to the end of its budget; return its summary."""
    start = time.perf_counter()
    with ExitStack() as stack:
        # The policy is small: a second thread gains little, and numbers would depend on the number of cores.
        stack.enter_context(single_thread())
        stack.enter_context(folder.locked())
        progress = stack.enter_context(Progress(config.budget.generations))
        _try_user_tasks(config)
        store = stack.enter_context(Store.open(config.hall_of_fame.database or folder.database, create=True))
        language = Language(
            ops=LANGUAGE.ops,
            max_length=config.language.max_length,
            max_flops=config.language.max_flops,
        )
        crucible = stack.enter_context(_crucible(config, folder, language, progress))
        space = LanguageSpace(language)
        policy = _pretrained_policy(config, folder, space, progress)
        tracker = make_tracker(
            config.tracking.wandb, config.tracking.project, folder.run_id, folder.path, as_dict(config)
        )
        stack.callback(tracker.finish)
        engine = _engine(config, folder, store, crucible, space, policy, _Watch(progress, tracker))
        _register(config, folder, store, language)
        _resume(engine, folder, store, progress)
        with _ending_cleanly(engine, progress):
            engine.run(config.budget.generations)
        entries = engine.best(SHOWN)
        tracker.log_table(Library(store).list(SHOWN))
        summary = _summary(config, folder, engine, store, entries, time.perf_counter() - start)
        folder.write_summary(summary)
        rows = store.metrics(folder.run_id)
        if rows:
            progress.say("drawing the report")
            with folder.writing(folder.path / "report.html"):
                write_report(folder.path, rows, entries, summary, language=language)
        tracker.log_ledger(partial(_written_ledger, store, folder))
    return summary


def _written_ledger(store: Store, folder: RunFolder) -> Path:
    """Write what the run has put on record, as `tamiyo library import` reads it, and return the file."""
    write_archive(store, folder.ledger, run_id=folder.run_id, replace=True)
    return folder.ledger


@dataclass(frozen=True, slots=True)
class _Watch(Observer):
    """Tells the terminal and the tracker."""

    progress: Progress
    tracker: Tracker

    def phase(self, generation: int, name: str, total: int = 0) -> None:
        self.progress.phase(generation, name, total)

    def advance(self, done: int) -> None:
        self.progress.advance(done)

    def generation(self, metrics: dict[str, Any], best: Sequence[Entry]) -> None:
        self.progress.generation(metrics, best)
        self.tracker.log(metrics)


def _try_user_tasks(config: Config) -> None:
    """Refuse a user's own task that breaks the contract, before anything is spent on it."""
    for stage in config.curriculum.build().stages:
        if source_hash(stage.task):
            seed = config.seed * SEEDS_A_RUN
            try:
                try_task(stage.task, seed)
            except TaskError as error:
                raise ConfigError(f"curriculum.user_tasks: {error}") from error
            program = build_program(IDENTITY.graph, stage.task, config.crucible.width)
            checked_splits(program, stage.task, seed)


def _crucible(config: Config, folder: RunFolder, language: Language, progress: Progress) -> Crucible:
    """Return the Crucible with the run's latency table: its own, else the given one, else a measured one."""
    if folder.latency_table.exists():
        table = LatencyTable.load(folder.latency_table)
    else:
        if config.crucible.latency_table:
            table = LatencyTable.load(config.crucible.latency_table)
        else:
            progress.say(f"measuring op latencies on {config.device}")
            table = LatencyTable.measure(width=config.crucible.width, device=config.device, language=language)
        table.check(config.crucible.width, config.device)
        table.save(folder.latency_table)
    crucible = Crucible(
        width=config.crucible.width,
        engine=config.crucible.engine,
        device=config.device,
        num_workers=config.crucible.num_workers or None,
        max_seconds=config.crucible.max_seconds,
        latency_table=table,
        language=language,
        effort=config.crucible.effort,
    )
    progress.say(f"training blueprints with {crucible.engine_id}")
    if crucible.fallback_ops:
        progress.say(f"no native kernel, so the batched engine, for {', '.join(crucible.fallback_ops)}")
    return crucible


def _pretrained_policy(config: Config, folder: RunFolder, space: LanguageSpace, progress: Progress) -> Policy:
    """Return the policy after pretraining, from the run's folder where it was done before."""
    architect = config.architect
    policy = Policy(len(space.tokens), space.max_length, architect.policy, seed=config.seed)
    path = folder.checkpoints / "pretrained.pt"
    if path.exists():
        policy.load_state_dict(folder.load_state(path)["policy"])
        return policy
    progress.say("pretraining the Architect on human blueprints and their variations")
    corpus = build_corpus(space, architect.corpus, config.seed)
    report = pretrain(policy, space, corpus, architect.pretraining, seed=config.seed, device=config.device)
    progress.say(
        f"pretrained on {report.num_train:,} programs: held-out loss {report.held_out_loss:.3f} nats a "
        f"token, validity in free decoding {report.validity_before:.0%} -> {report.validity:.0%}"
    )
    folder.save_state(path, {"policy": policy.state_dict(), "report": asdict(report)})
    return policy


def _engine(
    config: Config,
    folder: RunFolder,
    store: Store,
    crucible: Crucible,
    space: LanguageSpace,
    policy: Policy,
    observer: Observer,
) -> Engine:
    architect, curriculum = config.architect, config.curriculum.build()
    first_seed = config.seed * SEEDS_A_RUN
    return Engine(
        strategy=build_strategy(
            config.strategy,
            Ingredients(
                space=space,
                policy=policy,
                decoding=architect.decoding,
                seed=config.seed,
                device=config.device,
                reinforce=architect.reinforce,
                evolution=architect.evolution,
            ),
        ),
        space=space,
        entrants=_entrants(config, crucible, space.language),
        judge=Judge(
            language=space.language,
            crucible=crucible,
            store=store,
            run_id=folder.run_id,
            seeds=tuple(range(first_seed, first_seed + config.crucible.max_seeds)),
            weights=config.reward.weights,
            bounds=config.reward.bounds,
            hall_of_fame_size=config.hall_of_fame.size,
            num_seeds=config.crucible.num_seeds,
            reseed_share=config.crucible.reseed_share,
            reseed_seeds=config.crucible.reseed_seeds,
            task_weights=curriculum.weights,
        ),
        curriculum=curriculum,
        store=store,
        folder=folder,
        run_id=folder.run_id,
        batch_size=architect.batch_size,
        hall_of_fame_size=config.hall_of_fame.size,
        observer=observer,
        reprover=build_reprover(config, curriculum, crucible, store, folder.run_id, space.language),
        prove_every=config.library.every,
        prove_share=config.library.share,
    )


def _entrants(config: Config, crucible: Crucible, language: Language) -> Entrants:
    """Return who measures entrants, on inputs of the shape that the latency table predicts for."""
    table = crucible.latency_table
    assert table is not None, "a run's Crucible has a latency table"
    return Entrants(
        language=language,
        stopwatch=Stopwatch(config.device, budget_s=0.02),
        width=config.crucible.width,
        time=table.time,
        batch_size=table.batch_size,
    )


def _register(config: Config, folder: RunFolder, store: Store, language: Language) -> None:
    """Record the run; nothing happens when it is on record already."""
    environment = folder.environment()
    store.add_run(
        RunRecord(
            id=folder.run_id,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            seed=config.seed,
            config=as_dict(config),
            command=environment["command"],
            code_version=environment["code_version"],
            language_version=language.version_hash,
            environment=environment,
        )
    )


def _resume(engine: Engine, folder: RunFolder, store: Store, progress: Progress) -> None:
    """Put the engine behind the last committed generation, and the metrics file with it."""
    last = store.last_generation(folder.run_id)
    if last is None:
        folder.rewrite_metrics([])
        return
    _check_stage(engine, last)
    state = folder.load_state(folder.checkpoints / last.checkpoint)
    engine.state = LoopState.from_dict(state["loop"])
    engine.strategy.load_state_dict(state["strategy"])
    folder.rewrite_metrics(store.metrics(folder.run_id))
    for change in folder.note_resume(engine.state.generation):
        progress.say(f"going on under another environment, numbers may differ: {change}")


def _check_stage(engine: Engine, last: GenerationRecord) -> None:
    """Refuse to go on where the last generation's stage, of suite or task, no longer asks what it asked."""
    stages = [stage.name for stage in engine.curriculum.stages]
    tasks = engine.curriculum.tasks(stages.index(last.stage)) if last.stage in stages else ()
    keys = [record.key for record in engine.judge.task_records(tasks)]
    if keys != list(last.task_keys):
        raise RunError(
            f"stage '{last.stage}' of the last generation asked {', '.join(last.task_keys)}; it now asks "
            f"{', '.join(keys) or 'nothing'}: go on with the package and tasks that began the run, "
            "or start a new one"
        )


@contextmanager
def _ending_cleanly(engine: Engine, progress: Progress) -> Iterator[None]:
    """Let the first Ctrl-C (or SIGTERM) end the run after the generation in flight, the second at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        if engine.should_stop:
            raise KeyboardInterrupt
        engine.should_stop = True
        progress.say("ending after this generation; once more to stop at once")

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _summary(
    config: Config,
    folder: RunFolder,
    engine: Engine,
    store: Store,
    entries: Sequence[Entry],
    seconds: float,
) -> dict[str, Any]:
    rows = store.metrics(engine.run_id)
    counts = store.counts(engine.run_id)
    first_of_stage: dict[str, int] = {}
    for row in rows:
        first_of_stage.setdefault(row["stage"], row["generation"])
    return {
        "run_id": engine.run_id,
        "strategy": config.strategy,
        "seed": config.seed,
        "generations": engine.state.generation,
        "budget_generations": config.budget.generations,
        "is_complete": engine.state.generation >= config.budget.generations,
        "evaluations": counts.evaluations,
        "blueprints": counts.blueprints,
        **_proved(engine),
        "database": store.name,
        "library": store.name if config.hall_of_fame.database else str(folder.path),
        "stages": first_of_stage,
        "demotions": sum(bool(row.get("stage_demoted")) for row in rows),
        "best_reward": engine.state.best_reward,
        "best": [
            {"id": entry.id, "program": " ".join(entry.tokens), "performance": entry.performance}
            for entry in entries
        ],
        "last": rows[-1] if rows else {},
        "this_process_s": seconds,
    }


def _proved(engine: Engine) -> dict[str, int]:
    """Return how many candidates of the run were proved, how many stand as entrants, and what it took."""
    book = engine.reprover.book
    proofs = [proof for proof in book.proofs() if proof.run_id == engine.run_id]
    ids = {proof.blueprint_id for proof in proofs}
    entrants = [id_ for id_, standing in book.standings().items() if standing.status == "entrant"]
    return {
        "proved": len(ids),
        "entrants": len(ids.intersection(entrants)),
        "proof_trainings": book.num_trainings(engine.run_id),
    }


def new_run_folder(config: Config) -> RunFolder:
    """Create the folder of a new run; without `run.dir` it is named by strategy, seed and time."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    name = f"{stamp}-{config.strategy}-seed{config.seed}"
    return RunFolder.create(Path(config.run.dir or Path("runs") / name), config)


def resumed_config(folder: RunFolder, wanted: Config) -> Config:
    """Return the run's own configuration with the budget, workers and tracking of `wanted`.

    `wanted` is the run's configuration under overrides; anything else that differs is refused.
    """
    own = folder.config()
    allowed = replace(
        own,
        run=wanted.run,
        budget=wanted.budget,
        tracking=wanted.tracking,
        crucible=replace(own.crucible, num_workers=wanted.crucible.num_workers),
    )
    if allowed != wanted:
        changed = _differences(as_dict(own), as_dict(wanted))
        raise ConfigError(
            f"{', '.join(changed)} cannot change in a resumed run; leave it out, or start a new run"
        )
    return allowed


def _differences(a: dict[str, Any], b: dict[str, Any], path: str = "") -> list[str]:
    """Return the dotted names of the settings that differ."""
    names = []
    for key in a:
        if isinstance(a[key], dict):
            names += _differences(a[key], b[key], f"{path}{key}.")
        elif a[key] != b[key]:
            names.append(f"{path}{key}")
    free = ("run.", "budget.", "tracking.", "crucible.num_workers")
    return [name for name in names if not name.startswith(free)]


def describe_end(folder: RunFolder, summary: dict[str, Any]) -> str:
    """Return where the curves and the library are, and how to go on."""
    lines = [
        f"curves   {folder.path / 'report.html'}  (numbers: {folder.metrics_file})",
        f"library  {summary['database']}  (tamiyo list --library {summary['library']})",
    ]
    if not summary["is_complete"]:
        lines.append(f"go on    python scripts/train_architect.py run.resume={folder.path}")
    if sorted(folder.path.glob("wandb/offline-run-*")):
        lines.append(f"W&B      wandb sync {folder.path / 'wandb'}/offline-run-*")
    return "\n".join(lines)
