"""What the API says of blueprints, asked over a real socket; leaves guards to their own tests."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import get_args

import httpx
import pytest
import servers

from blueprints import emit
from hall_of_fame.catalogue import SORTS
from hall_of_fame.structure import features, similarity
from tamiyo.api.blueprints import Sort


def test_blueprints_are_listed_best_first(client: httpx.Client) -> None:
    answer = client.get("/api/v1/blueprints", params={"limit": 3})
    assert answer.status_code == 200
    rows = answer.json()["rows"]
    assert [row["id"] for row in rows] == [blueprint.id for blueprint in servers.human_blueprints(3)]
    assert rows[0]["family"] == "linear"


def test_a_blueprint_is_found_by_the_beginning_of_its_id(client: httpx.Client) -> None:
    [first] = servers.human_blueprints(1)
    answer = client.get(f"/api/v1/blueprints/{first.id[:12]}")
    assert answer.status_code == 200
    assert answer.json()["tokens"] == list(first.tokens)
    assert {task["task"] for task in answer.json()["tasks"]} == {"xor", "temporal"}
    assert answer.json()["command"] == "python scripts/train_architect.py seed=7"


def test_every_error_has_the_one_envelope(client: httpx.Client) -> None:
    asked = {
        "/api/v1/blueprints/ffff": (404, "unknown-blueprint"),
        "/api/v1/blueprints/..": (404, "not-found"),
        "/api/v1/blueprints/CAT": (422, "invalid-request"),
        "/api/v1/blueprints?limit=0": (422, "invalid-request"),
        "/api/v1/blueprints?cursor=none": (422, "refused"),
        "/api/v1/blueprints?serch=x": (422, "invalid-request"),
        "/api/v1/runs/none": (404, "unknown-run"),
        "/no/such/path": (404, "not-found"),
        "/static/none.css": (404, "not-found"),
    }
    for path, (status, code) in asked.items():
        answer = client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), path
        assert answer.json()["error"]["message"]
    refused = client.post("/healthz")
    assert (refused.status_code, refused.json()["error"]["code"]) == (405, "method-not-allowed")


def test_the_server_says_whether_it_is_well(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


def test_filters_leave_what_they_say(client: httpx.Client) -> None:
    def ids(**asked: object) -> list[str]:
        return [row["id"] for row in client.get("/api/v1/blueprints", params=asked).json()["rows"]]

    every = client.get("/api/v1/blueprints").json()["rows"]
    gelu = [row["id"] for row in every if "GELU" in row["tokens"]]
    assert 0 < len(gelu) < len(every)
    assert ids(search="gelu") == gelu
    assert ids(search="gelu", min_length=8) == [
        r["id"] for r in every if r["id"] in gelu and r["length"] >= 8
    ]
    by_size = sorted(every, key=lambda row: -row["num_parameters"])
    assert ids(sort="num_parameters") == [row["id"] for row in by_size]
    assert ids(status="entrant") == []
    assert ids(run_id="another") == []


def test_pages_follow_each_other_by_their_cursors(client: httpx.Client) -> None:
    every = [row["id"] for row in client.get("/api/v1/blueprints").json()["rows"]]
    seen, asked = [], {"limit": 5}
    while True:
        page = client.get("/api/v1/blueprints", params=asked).json()
        seen += [row["id"] for row in page["rows"]]
        assert page["total"] == 12
        if page["next_cursor"] is None:
            break
        asked = {"limit": 5, "cursor": page["next_cursor"]}
    assert seen == every
    stolen = client.get("/api/v1/blueprints", params={**asked, "status": "candidate"})
    assert stolen.status_code == 422
    assert "another query" in stolen.json()["error"]["message"]


@pytest.mark.parametrize(
    "asked",
    [
        {"search": "' OR 1=1 --"},
        {"search": '"; DROP TABLE catalogue; --'},
        {"search": "%"},
        {"search": "_" * 8},
        {"family": "linear' OR 'a'='a"},
        {"run_id": "demo'/*"},
        {"stage": "xor\\'; DELETE FROM runs; --"},
    ],
)
def test_sql_in_a_filter_is_a_word_like_others(client: httpx.Client, asked: dict[str, str]) -> None:
    answer = client.get("/api/v1/blueprints", params=asked)
    assert answer.status_code == 200
    assert answer.json()["rows"] == []
    assert answer.json()["total"] == 0
    assert client.get("/api/v1/facets").json()["num"] == 12


@pytest.mark.parametrize(
    "asked",
    [
        {"sort": "id; DROP TABLE runs"},
        {"min_score": "1 OR 1=1"},
        {"min_score": "nan"},
        {"max_reward": "1e999"},
        {"cursor": "WyInIE9SIDE9MSJd"},
        {"limit": "201"},
        {"search": "a\0b"},
        {"status": "candidate' --"},
    ],
)
def test_what_no_catalogue_can_be_asked_is_refused(client: httpx.Client, asked: dict[str, str]) -> None:
    answer = client.get("/api/v1/blueprints", params=asked)
    assert answer.status_code == 422
    assert answer.json()["error"]["message"]


def test_what_can_be_sorted_by_is_what_the_catalogue_sorts_by() -> None:
    assert get_args(Sort) == SORTS


def test_facets_count_the_library(client: httpx.Client) -> None:
    found = client.get("/api/v1/facets").json()
    assert found["num"] == 12
    assert found["status"] == {"candidate": 12}
    assert found["run"] == {"demo": 12}
    assert sum(found["family"].values()) == 12


def test_a_graph_has_the_nodes_and_types_of_the_blueprint(client: httpx.Client) -> None:
    [first] = servers.human_blueprints(1)
    found = client.get(f"/api/v1/blueprints/{first.id}/graph").json()
    assert found["text"] == str(first.graph)
    assert [node["op"] for node in found["graph"]["nodes"]] == [node.op for node in first.graph.nodes]


def test_the_source_is_the_module_that_is_emitted(client: httpx.Client) -> None:
    [first] = servers.human_blueprints(1)
    found = client.get(f"/api/v1/blueprints/{first.id}/source").json()
    assert found["source"] == f"# Blueprint {first.id}\n{emit(first)}"
    file = client.get(f"/api/v1/blueprints/{first.id}/source.py")
    assert file.text == found["source"]
    assert file.headers["Content-Disposition"] == f'attachment; filename="{found["file_name"]}"'


def test_trainings_are_listed_with_their_provenance(client: httpx.Client) -> None:
    [first] = servers.human_blueprints(1)
    found = client.get(f"/api/v1/blueprints/{first.id}/evaluations").json()
    assert found["total"] == 4
    assert {(row["task"], row["seed"]) for row in found["rows"]} == {
        (task, seed) for task in ("xor", "temporal") for seed in (0, 1)
    }
    assert {(row["run_id"], row["engine_id"]) for row in found["rows"]} == {("demo", "batched 1")}
    one = client.get(f"/api/v1/blueprints/{first.id}/evaluations", params={"limit": 1}).json()
    assert (len(one["rows"]), one["total"]) == (1, 4)


def test_evidence_has_its_interval(client: httpx.Client) -> None:
    [first] = servers.human_blueprints(1)
    [xor] = [t for t in client.get(f"/api/v1/blueprints/{first.id}").json()["tasks"] if t["task"] == "xor"]
    # Two seeds, 1.00 and 0.99: mean 0.995, standard error 0.005, Student's t for one degree 12.706.
    assert xor["mean"] == pytest.approx(0.995)
    assert xor["interval"]["low"] == pytest.approx(0.995 - 12.706 * 0.005)
    assert xor["interval"]["high"] == 1.0
    assert (xor["chance"], xor["solved"], xor["num_seeds"]) == (0.5, 0.95, 2)


def test_neighbours_are_those_built_alike_nearest_first(client: httpx.Client) -> None:
    asked = servers.human_blueprints(1)[0]
    found = client.get(f"/api/v1/blueprints/{asked.id}/neighbours", params={"limit": 11}).json()
    others = servers.human_blueprints(12)[1:]
    likeness = similarity(features([asked.graph]), features([other.graph for other in others]))[0]
    expected = dict(zip([other.id for other in others], likeness, strict=True))
    assert found["num_considered"] == len(found["neighbours"]) > 5
    assert {n["blueprint"]["id"] for n in found["neighbours"]} <= expected.keys()
    shown = [n["likeness"] for n in found["neighbours"]]
    assert shown == sorted(shown, reverse=True)
    for neighbour in found["neighbours"]:
        assert neighbour["likeness"] == pytest.approx(expected[neighbour["blueprint"]["id"]])
        kept = [t for edit in neighbour["edits"] if edit["kind"] != "insert" for t in edit["tokens"]]
        made = [t for edit in neighbour["edits"] if edit["kind"] != "delete" for t in edit["tokens"]]
        assert kept == list(asked.tokens)
        assert made == neighbour["blueprint"]["tokens"]


def test_a_lineage_goes_back_and_forth(tmp_path: Path) -> None:
    path = servers.write_library(tmp_path / "library.db", parents={3: (1, 2), 7: (3,), 9: (7,)})
    ids = [blueprint.id for blueprint in servers.human_blueprints(12)]
    with servers.browsing(path) as client:
        found = client.get(f"/api/v1/blueprints/{ids[9]}/lineage").json()
        young = client.get(f"/api/v1/blueprints/{ids[1]}/lineage").json()
    shown = {(ids.index(a["blueprint"]["id"]), a["step"]) for a in found["relatives"]}
    assert shown == {(9, 0), (7, -1), (3, -2), (1, -3), (2, -3)}
    assert {(ids.index(a["blueprint"]["id"]), a["step"]) for a in young["relatives"]} == {(1, 0), (3, 1)}
    assert found["is_whole"]
    first = found["relatives"][0]
    assert first["parents"] == [ids[7]]
    made = [t for edit in first["edits"] if edit["kind"] != "delete" for t in edit["tokens"]]
    assert made == first["blueprint"]["tokens"]
    assert found["relatives"][-1]["edits"] == []


def test_a_blueprint_that_an_import_is_bringing_is_told_so(tmp_path: Path) -> None:
    path = servers.write_library(tmp_path / "library.db")
    new, other = (blueprint.id for blueprint in servers.human_blueprints(2))
    with closing(sqlite3.connect(path)) as connection:  # its rows are there; the catalogue's comes last
        connection.execute("DELETE FROM catalogue WHERE blueprint_id = ?", (new,))
        connection.commit()
    with servers.browsing(path) as client:
        for asked in (f"blueprints/{new}", f"blueprints/{new}/lineage", f"compare?a={new}&b={other}"):
            answer = client.get(f"/api/v1/{asked}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "being-imported"), asked
            assert answer.headers["Retry-After"] == "10"
        page = client.get(f"/blueprints/{new}", headers={"Accept": "text/html"})
        assert page.status_code == 503
        assert client.get(f"/api/v1/blueprints/{other}").status_code == 200


def test_two_blueprints_are_compared_task_by_task(client: httpx.Client) -> None:
    first, second = servers.human_blueprints(2)
    found = client.get("/api/v1/compare", params={"a": first.id[:12], "b": second.id}).json()
    assert (found["first"]["id"], found["second"]["id"]) == (first.id, second.id)
    assert {task["task"] for task in found["tasks"]} == {"xor", "temporal"}
    assert all(task["difference"]["mean"] == pytest.approx(-0.025) for task in found["tasks"])
    same = client.get("/api/v1/compare", params={"a": first.id, "b": first.id}).json()
    assert (same["likeness"], same["edit_distance"]) == (1.0, 0)
    assert client.get("/api/v1/compare", params={"a": first.id}).status_code == 422
    assert client.get("/api/v1/compare", params={"a": first.id, "b": "ffff"}).status_code == 404
