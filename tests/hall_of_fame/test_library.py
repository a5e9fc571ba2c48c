"""What the library shows on any database: entrants first, statuses, lineage, proofs as written, and views."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import ledgers
import numpy as np
import pytest
from alembic import command
from alembic.config import Config
from ledgers import ENGINE, TEMPORAL, XOR, commit, evaluation, human_blueprints, run_record
from sqlalchemy import inspect

from blueprints import HUMAN_BLUEPRINTS, parse
from crucible.evaluation import TaskResult
from hall_of_fame import database
from hall_of_fame.database import open_database
from hall_of_fame.errors import StoreError
from hall_of_fame.library import Library
from hall_of_fame.proofs import ProofBook, standings
from hall_of_fame.records import CandidateRecord, Entry, Lineage, Proof, TaskProof
from hall_of_fame.store import Store
from hall_of_fame.views import by_niche, niche_of, pareto_front

HUMAN = human_blueprints(5)
IDS = [blueprint.id for blueprint in HUMAN]


@pytest.fixture
def library(library_url: str) -> Iterator[Library]:
    """Five blueprints, each scoring a little less in the search than the one before it."""
    with Store.open(library_url, create=True) as store:
        store.add_run(run_record(config={"strategy": "evolution"}))
        judged = [
            (b, evaluation(b, TaskResult(task="xor", seed=0, score=1.0 - i / 10)))
            for i, b in enumerate(HUMAN)
        ]
        commit(store, 0, judged, tasks=[XOR])
        yield Library(store)


def proof_of(number: int, **fields) -> Proof:
    """Return a proof of one of the blueprints, of the time `number`."""
    of = {"created": f"2026-01-01T00:00:0{number}+00:00", "rank": number + 1}
    return ledgers.proof(IDS[number], **{**of, **fields})


def ids_of(entries: list[Entry]) -> list[str]:
    return [entry.id for entry in entries]


def test_a_proof_comes_back_as_it_was_written(library: Library) -> None:
    tasks = (
        TaskProof(task="xor", held_out=False, factor=0.3, mean=0.5, low=0.4, high=0.6, num_seeds=2, num_ok=2),
        TaskProof(task="temporal", held_out=True, reason="rule 'not-causal'"),
    )
    told = {"nearest": IDS[3], "similarity": 0.97, "supersedes": (IDS[3],), "reason": "why", "tasks": tasks}
    proof = proof_of(2, **told)
    trainings = {
        XOR.key: [
            TaskResult(task="xor", seed=1, score=0.7, validation_score=0.8, num_steps=5, loss_last=0.5),
            TaskResult(task="xor", seed=2, status="diverged", reason="loss nan"),
        ]
    }
    fingerprint = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    book = library.proofs
    assert book.add(proof, trainings, [XOR], fingerprint)
    assert book.proofs() == [proof]
    assert proof.shrinkage == pytest.approx(0.4)
    found = book.trainings(proof)
    assert repr(found) == repr(trainings)
    np.testing.assert_allclose(book.fingerprints([proof])[proof.blueprint_id], fingerprint, atol=2e-3)
    assert book.num_trainings("run") == 2
    assert book.num_trainings("another") == 0


def test_a_proof_is_written_once_and_only_while_its_verdict_is_fresh(library: Library) -> None:
    book = library.proofs
    assert not book.add(proof_of(0), {}, [], seen=1)
    assert book.add(proof_of(0), {}, [], seen=0)
    assert not book.add(proof_of(0, mean=0.9), {}, [])
    assert book.add(proof_of(0, protocol="q"), {}, [])
    assert [proof.mean for proof in book.proofs()] == [0.5, 0.5]


def test_proofs_leave_the_search_s_evidence_alone(library: Library) -> None:
    store = library.store

    def evidence() -> str:
        return repr((store.counts(), store.top(5), store.known_results(IDS, ENGINE, [XOR.key])))

    before = evidence()
    trainings = {XOR.key: [TaskResult(task="xor", seed=seed, score=0.0) for seed in (8, 9)]}
    library.proofs.add(proof_of(0), trainings, [XOR])
    assert evidence() == before


def test_entrants_come_first_by_their_proofs_then_candidates_then_the_refused(library: Library) -> None:
    book = library.proofs
    book.add(proof_of(0, verdict="refused", reason="no better than the identity"), {}, [])
    book.add(proof_of(2, mean=0.5), {}, [])
    book.add(proof_of(4, mean=0.6), {}, [])
    entries = library.list()
    assert ids_of(entries) == [IDS[i] for i in (4, 2, 1, 3, 0)]
    assert [entry.standing.status for entry in entries] == [
        "entrant", "entrant", "candidate", "candidate", "refused",
    ]  # fmt: skip
    assert [entry.rank for entry in entries] == [1, 2, 3, 4, 5]
    assert [entry.score for entry in entries] == pytest.approx([0.6, 0.5, 0.8, 0.4, 0.5])
    assert entries[-1].standing.reason == "no better than the identity"
    assert ids_of(library.list(3)) == [IDS[i] for i in (4, 2, 1)]
    assert ids_of(library.list(1, status="candidate")) == [IDS[1]]
    assert ids_of(library.list(status="entrant")) == [IDS[4], IDS[2]]
    assert ids_of(library.list(status="refused")) == [IDS[0]]
    assert library.get(IDS[4][:20]).standing.proof == proof_of(4, mean=0.6)
    assert library.get(IDS[1]).standing.status == "candidate"


def test_a_superseded_entrant_is_refused_and_says_by_whom(library: Library) -> None:
    library.proofs.add(proof_of(0), {}, [])
    library.proofs.add(proof_of(1, mean=0.7, nearest=IDS[0], similarity=0.99, supersedes=(IDS[0],)), {}, [])
    found = library.proofs.standings()
    assert (found[IDS[0]].status, found[IDS[1]].status) == ("refused", "entrant")
    assert IDS[1][:12] in found[IDS[0]].reason


def test_the_newest_proof_of_a_blueprint_decides() -> None:
    early, late = proof_of(0), replace(proof_of(0), protocol="q", verdict="refused", reason="too low")
    assert standings([early, late])[IDS[0]].status == "refused"
    assert standings([late, early])[IDS[0]].status == "entrant"


def test_lineage_names_strategy_and_parents(library: Library) -> None:
    child = parse(HUMAN_BLUEPRINTS[7].tokens)
    candidates = [
        CandidateRecord(
            position=0, tokens=child.tokens, blueprint_id=child.id, reward=0.5, parents=(IDS[0],)
        ),
        CandidateRecord(
            position=1, tokens=child.tokens, blueprint_id=child.id, reward=0.5, parents=(IDS[1],)
        ),
    ]
    judged = evaluation(child, TaskResult(task="xor", seed=0, score=0.9))
    commit(library.store, 1, [(child, judged)], candidates=candidates, tasks=[XOR])
    assert library.store.candidates("run", 1) == candidates
    assert library.get(child.id).lineage == Lineage(strategy="evolution", parents=(IDS[0],))
    [entry] = [entry for entry in library.list() if entry.id == child.id]
    assert entry.lineage.parents == (IDS[0],)
    assert library.get(IDS[0]).lineage == Lineage(strategy="evolution")


def test_the_best_are_selected_by_reward_among_generations_on_the_same_tasks(library: Library) -> None:
    store, book = library.store, library.proofs
    commit(store, 1, [(HUMAN[4], evaluation(HUMAN[4], TaskResult(task="xor", seed=1, score=1.0)))])
    book.add(proof_of(1), {}, [])
    found = book.selected("run", [XOR.key], "p")
    assert [(row.blueprint_id, row.rank, row.is_proved) for row in found] == [
        (id_, rank, id_ == IDS[1]) for rank, id_ in enumerate(IDS, start=1)
    ]
    assert [row.reward for row in found] == pytest.approx([1.0, 0.9, 0.8, 0.7, 0.6])
    both = book.selected("run", [TEMPORAL.key, XOR.key], "p")
    assert [(row.blueprint_id, row.reward) for row in both] == [(IDS[4], 1.0)]
    assert book.selected("another", [XOR.key], "p") == []


def test_a_ledger_of_before_proofs_keeps_everything(library: Library, library_url: str) -> None:
    store = library.store
    before = store.top(5), store.counts(), store.candidates("run", 0), store.evaluations(IDS[0])
    library.proofs.add(proof_of(0), {}, [])
    store.close()
    engine = open_database(library_url, create=False)
    with database.writing(engine) as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
        command.downgrade(config, "0004")
    columns = {column["name"] for column in inspect(engine).get_columns("candidates")}
    engine.dispose()
    assert "tokens" in columns
    assert "parents" not in columns
    with Store.open(library_url) as store:
        assert ProofBook(store).proofs() == []
        after = store.top(5), store.counts(), store.candidates("run", 0), store.evaluations(IDS[0])
        assert repr(after) == repr(before)


def entry_of(tokens: tuple[str, ...], performance: float, parameters: int | None, us: float | None) -> Entry:
    """Return a candidate with these figures."""
    of = {"language_version": "", "reward": None, "flops": None, "tasks": (), "num_evaluations": 1}
    return Entry(
        id=f"{performance}-{parameters}-{us}",
        tokens=tokens,
        performance=performance,
        num_parameters=parameters,
        latency_us=us,
        run_id="run",
        generation=0,
        **of,
    )


def test_the_pareto_front_holds_what_nothing_beats() -> None:
    tokens = ("LINEAR", "OUT_DIM_IN")
    small, fast, best = (
        entry_of(tokens, 0.5, 10, 9.0),
        entry_of(tokens, 0.6, 90, 1.0),
        entry_of(tokens, 0.9, 50, 5.0),
    )
    worse, equal = entry_of(tokens, 0.8, 50, 6.0), replace(best, id="equal")
    unknown = entry_of(tokens, 0.4, 5, None)
    found = pareto_front([worse, small, best, fast, equal, unknown])
    assert found == [best, fast, small, unknown]
    assert pareto_front([]) == []


def test_niches_hold_the_best_of_family_size_and_depth() -> None:
    linear = ("LINEAR", "OUT_DIM_IN")
    deep = ("LINEAR", "OUT_DIM_IN", "GELU", "LINEAR", "OUT_DIM_IN")
    entries = [
        entry_of(linear, 0.4, 272, 1.0),
        entry_of(linear, 0.5, 272, 1.0),
        entry_of(deep, 0.3, 544, 2.0),
        entry_of(("GELU",), 0.2, 0, 1.0),
    ]
    found = by_niche(entries)
    assert [str(niche) for niche in found] == [
        "linear 101..1000 0..2", "linear 101..1000 3..4", "elementwise 0 0..2",
    ]  # fmt: skip
    assert [entry.performance for entry in found.values()] == [0.5, 0.3, 0.2]
    assert niche_of(entry_of(("WARP",), 0.1, 20_000, None)).family == ""
    assert niche_of(entry_of(("WARP",), 0.1, 20_000, None)).size == "10001.."


def test_views_are_of_every_status_and_unknown_ones_are_refused(library: Library) -> None:
    library.proofs.add(proof_of(1, mean=0.99), {}, [])
    assert ids_of(library.list(view="pareto")) == [IDS[0]]
    assert ids_of(library.list(view="pareto", status="entrant")) == [IDS[1]]
    niches = library.list(view="niches")
    assert [entry.standing.status for entry in niches] == ["entrant"] + ["candidate"] * (len(niches) - 1)
    assert [entry.rank for entry in niches] == list(range(1, len(niches) + 1))
    assert len({str(niche_of(entry)) for entry in niches}) == len(niches) > 1
    assert not math.isnan(niches[0].score)
    with pytest.raises(StoreError, match="no view 'map'; expected one of top, pareto, niches"):
        library.list(view="map")  # pyright: ignore[reportArgumentType]
