"""`tamiyo prove`, and what `list` and `show` say of a proof, on a small search that was really trained."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from test_reproving import AFFINE, GATED, MLP, search

from blueprints import LANGUAGE
from crucible import Crucible
from crucible.reward import RewardBounds, RewardWeights
from hall_of_fame.records import RunRecord
from hall_of_fame.store import Store
from tamiyo.cli import main
from tamiyo.config import Config, CurriculumConfig, LibraryConfig, as_dict
from tamiyo.judging import Judge


@pytest.fixture
def library(tmp_path: Path) -> str:
    """Return the ledger of a run of one generation on XOR."""
    config = replace(
        Config(),
        curriculum=CurriculumConfig(tasks=("xor",)),
        library=LibraryConfig(seeds=2, held_out=("counting",)),
    )
    path = tmp_path / "library.db"
    with Store.open(path, create=True) as store, Crucible(num_workers=1) as crucible:
        created = "2026-01-01T00:00:00+00:00"
        store.add_run(RunRecord(id="run", created=created, seed=0, config=as_dict(config)))
        judge = Judge(
            language=LANGUAGE,
            crucible=crucible,
            store=store,
            run_id="run",
            seeds=(10,),
            weights=RewardWeights(),
            bounds=RewardBounds(),
            hall_of_fame_size=4,
        )
        search(judge, MLP, GATED, AFFINE)
    return str(path)


def rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict]:
    """Return what a command prints as JSON."""
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_best_are_proved_listed_first_and_shown_with_their_proofs(library, capsys):
    of = ("--library", library)
    assert {row["status"] for row in rows(capsys, "list", *of)} == {"candidate"}
    [proof] = rows(capsys, "prove", *of, "--top", "1", "--workers", "1")
    assert (proof["rank"], proof["verdict"]) == (1, "entered")
    assert proof["shrinkage"] == pytest.approx(proof["search_score"] - proof["mean"])
    [last] = rows(capsys, "prove", *of, "--top", "2", "--stride", "2", "--workers", "1")
    assert (last["rank"], last["verdict"]) == (3, "refused")
    assert main(["prove", *of, "--top", "1", "--workers", "1"]) == 0
    assert capsys.readouterr().out == "they are all proved already\n"
    listed = rows(capsys, "list", *of)
    assert [row["status"] for row in listed] == ["entrant", "candidate", "refused"]
    assert listed[0]["id"] == proof["blueprint_id"]
    assert listed[0]["score"] == proof["mean"]
    assert [row["id"] for row in rows(capsys, "list", *of, "--status", "refused")] == [last["blueprint_id"]]
    assert {row["niche"]["family"] for row in rows(capsys, "list", *of, "--view", "niches")} == {"linear"}
    assert rows(capsys, "list", *of, "--view", "pareto")
    assert main(["show", proof["blueprint_id"], *of]) == 0
    shown = capsys.readouterr().out
    told = {line[:13].strip(): line[13:] for line in shown.splitlines()}
    assert "status  entrant" in shown.splitlines()
    interval = f"{proof['mean']:.3f} [{proof['low']:.3f}, {proof['high']:.3f}]"
    assert told["proof"] == f"{interval}, 95 % interval; the identity has {proof['floor']:.3f}"
    assert told["search"] == f"{proof['search_score']:.3f} over 1 training, rank 1"
    assert told["shrinkage"].startswith(f"{proof['shrinkage']:+.3f}; ")
    assert told["strategy"] == "reinforce"
    sat = next(task for task in proof["tasks"] if task["held_out"])
    cells = (
        f"counting (held out) {sat['mean']:.3f} [{sat['low']:.3f}, {sat['high']:.3f}] 2 2 {sat['factor']:g}x"
    )
    assert cells.split() in [line.split() for line in shown.splitlines()]
    assert main(["list", *of]) == 0
    first = capsys.readouterr().out.splitlines()[1]
    wanted = f"1 {proof['blueprint_id'][:12]} entrant {interval} {proof['shrinkage']:+.3f}"
    assert first.split()[:7] == wanted.split()


def test_what_cannot_be_proved_is_one_line(library, capsys):
    assert main(["prove", "--library", library, "--run", "nobody"]) == 1
    assert "no run 'nobody'" in capsys.readouterr().err
    with Store.open(library) as store:
        store.add_run(RunRecord(id="young", created="2027-01-01T00:00:00+00:00", seed=0, config={}))
    assert main(["prove", "--library", library]) == 1
    error = capsys.readouterr().err
    assert "run young has no generation yet" in error
    assert error.count("\n") == 1
