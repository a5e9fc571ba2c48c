"""Front, heat map and runs over a real socket, held against what the test library is known to hold."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import servers


@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Give a client of a library whose run has twelve generations."""
    path = tmp_path_factory.mktemp("long") / "library.db"
    with servers.browsing(servers.write_library(path, num_generations=12)) as client:
        yield client


def test_the_front_holds_what_no_other_beats(client: httpx.Client) -> None:
    found = client.get("/api/v1/pareto").json()
    points = found["points"]
    assert (found["total"], found["is_whole"], len(points)) == (12, True, 12)
    assert [point["score"] for point in points] == sorted((p["score"] for p in points), reverse=True)

    def beats(a: dict, b: dict) -> bool:
        costs = ("num_parameters", "latency_us")
        return a["score"] >= b["score"] and all(a[cost] <= b[cost] for cost in costs)

    for point in points:
        is_beaten = any(beats(other, point) for other in points if other["id"] != point["id"])
        assert point["is_front"] is not is_beaten
    few = client.get("/api/v1/pareto", params={"limit": 1}).json()["points"]
    assert [p["id"] for p in few] == [p["id"] for p in points if p["is_front"] or p == points[0]]


def test_the_heat_map_has_the_mean_score_of_every_task(client: httpx.Client) -> None:
    found = client.get("/api/v1/heat", params={"limit": 3}).json()
    assert [task["task"] for task in found["tasks"]] == ["temporal", "xor"]
    assert [row["blueprint"]["id"] for row in found["rows"]] == [b.id for b in servers.human_blueprints(3)]
    for place, row in enumerate(found["rows"]):
        assert row["scores"] == [pytest.approx(0.995 - place / 40)] * 2
    assert client.get("/api/v1/heat", params={"family": "attention"}).json()["rows"] == []


def test_runs_are_listed_with_how_far_they_are(client: httpx.Client) -> None:
    found = client.get("/api/v1/runs").json()
    assert found["total"] == 1
    [run] = found["rows"]
    assert (run["id"], run["strategy"], run["seed"]) == ("demo", "reinforce", 7)
    assert (run["num_generations"], run["num_blueprints"], run["reward_mean"]) == (2, 12, 0.6)
    detail = client.get("/api/v1/runs/demo").json()
    assert detail["command"] == "python scripts/train_architect.py seed=7"
    assert detail["config"] == {"seed": 7, "strategy": "reinforce"}
    assert client.get("/api/v1/runs/another").json()["error"]["code"] == "unknown-run"


def test_curves_are_thinned_and_followed(long_run: httpx.Client) -> None:
    def read(**asked: int) -> dict:
        return long_run.get("/api/v1/runs/demo/metrics", params=asked).json()

    whole = read()
    assert [row["generation"] for row in whole["rows"]] == list(range(12))
    assert whole["rows"][3]["reward_mean"] == pytest.approx(0.8)
    assert (whole["stride"], whole["num_generations"], whole["next_after"]) == (1, 12, 11)
    thin = read(limit=4)
    assert [row["generation"] for row in thin["rows"]] == [0, 3, 6, 9, 11]
    assert thin["stride"] == 3
    assert [row["generation"] for row in read(after=8)["rows"]] == [9, 10, 11]
    next_ones = read(after=2, limit=4)
    assert [row["generation"] for row in next_ones["rows"]] == [3, 4, 5, 6]
    assert (next_ones["next_after"], next_ones["num_generations"]) == (6, 12)
    assert read(after=1000)["num_generations"] == 12
    news = read(after=11)
    assert (news["rows"], news["next_after"]) == ([], 11)


def test_a_run_that_is_written_to_is_followed_while_it_is(tmp_path: Path) -> None:
    path = servers.write_library(tmp_path / "library.db", servers.human_blueprints(4))
    with servers.browsing(path) as client:
        assert client.get("/api/v1/facets").json()["run"] == {"demo": 4}
        servers.write_library(path, servers.human_blueprints(9)[4:], run_id="later")
        assert client.get("/api/v1/facets").json()["run"] == {"demo": 4, "later": 5}
        assert {run["id"] for run in client.get("/api/v1/runs").json()["rows"]} == {"demo", "later"}


def test_an_empty_library_is_answered_too(tmp_path: Path) -> None:
    path = servers.write_library(tmp_path / "library.db", [])
    with servers.browsing(path) as client:
        for asked in ("blueprints", "facets", "pareto", "heat", "runs", "runs/demo", "runs/demo/metrics"):
            assert client.get(f"/api/v1/{asked}").status_code == 200, asked
        assert client.get("/api/v1/blueprints").json()["total"] == 0
        assert "no blueprint yet" in client.get("/api/v1/blueprints/ffff").json()["error"]["mend"]
