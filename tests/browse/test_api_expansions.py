"""What the API and a blueprint's page say of expansions, asked over a real socket."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import servers

from hall_of_fame.expansions import ExpansionBook, ExpansionCall, ExpansionRecord
from hall_of_fame.library import Library

HOSTILE = "<script>alert('x')</script>"
CALL = ExpansionCall(
    subject="head",
    attempt=1,
    provider="openai:tiny",
    model="tiny-1",
    request={"messages": [{"role": "user", "text": "the secret prompt"}]},
    answer=HOSTILE,
    prompt_tokens=10,
    completion_tokens=4,
    cost_usd=0.25,
    usage="told",
    seconds=0.5,
    error="",
    verdict="failed",
    detail=f"source: {HOSTILE}",
)


def expansion(library: Library, **fields: Any) -> ExpansionRecord:
    """Return an invented expansion of the library's first blueprint."""
    [blueprint] = servers.human_blueprints(1)
    found = library.store.blueprint(blueprint.id)
    assert found is not None
    part = {
        "name": "head",
        "author": "template",
        "attempts": 3,
        "cause": HOSTILE,
        "reason": HOSTILE,
        "source": "x",
    }
    values = {
        "blueprint_id": found.id,
        "run_id": found.run_id,
        "generation": found.generation,
        "created": "2026-01-01T00:00:00+00:00",
        "target": "char_lm",
        "designer": "openai:tiny",
        "verdict": "passed",
        "fallbacks": ("head",),
        "settings": {"seed": 0},
        "plan": {"depth": 2},
        "units": (part,),
        "files": {"block.py": "0" * 64},
        "num_parameters": 77_601,
        "tree_hash": "a" * 40,
        "commit_hash": "b" * 40,
        "sandbox": "bubblewrap",
        "environment": {"torch": "2"},
        "usage": {"wall_s": 1.5, "cpu_s": 1.25, "peak_bytes": 1 << 20},
        "checks": ({"name": "training", "is_passed": True, "detail": "loss 4 to 1", "seconds": 0.1},),
    }
    return ExpansionRecord(**{**values, **fields})


@pytest.fixture
def expanded(library: Path) -> Iterator[tuple[httpx.Client, list[ExpansionRecord]]]:
    """Give a client of a library in which one blueprint was expanded twice."""
    with Library.open(library) as opened:
        book = ExpansionBook(opened.store)
        made = [
            book.add(
                expansion(opened, created=f"2026-01-0{day}T00:00:00+00:00", settings={"seed": day}), [CALL]
            )
            for day in (1, 2)
        ]
    with servers.browsing(library, num_jobs=0) as client:
        yield client, made[::-1]


def test_expansions_of_a_blueprint_are_listed_newest_first(
    expanded: tuple[httpx.Client, list[ExpansionRecord]],
) -> None:
    client, made = expanded
    path = f"/api/v1/blueprints/{made[0].blueprint_id[:12]}/expansions"
    rows = client.get(path).json()["rows"]
    assert [row["id"] for row in rows] == [record.id for record in made]
    assert rows[0]["parts"][0]["author"] == "template"
    assert rows[0]["files"] == {"block.py": "0" * 64}
    assert rows[0]["usage"]["cpu_s"] == 1.25
    assert rows[0]["tag"].endswith(f"/{made[0].blueprint_id[:12]}/char_lm-{'a' * 12}")
    assert len(client.get(path, params={"limit": 1}).json()["rows"]) == 1
    other = servers.human_blueprints(2)[1].id
    assert client.get(f"/api/v1/blueprints/{other}/expansions").json() == {"rows": []}


def test_one_expansion_is_told_with_its_calls_and_without_prompts_and_answers(
    expanded: tuple[httpx.Client, list[ExpansionRecord]],
) -> None:
    client, made = expanded
    answer = client.get(f"/api/v1/expansions/{made[0].id[:16]}")
    told = answer.json()
    assert (told["id"], told["plan"], told["environment"]) == (made[0].id, {"depth": 2}, {"torch": "2"})
    [call] = told["calls"]
    assert (call["provider"], call["cost_usd"], call["verdict"]) == ("openai:tiny", 0.25, "failed")
    assert "the secret prompt" not in answer.text
    assert "source" not in told["parts"][0]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/v1/expansions/ffff", 404, "unknown-expansion"),
        ("/api/v1/expansions/CAT", 422, "invalid-request"),
        ("/api/v1/blueprints/ffff/expansions", 404, "unknown-blueprint"),
    ],
)
def test_what_is_not_there_has_the_one_envelope(
    client: httpx.Client, path: str, status: int, code: str
) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_blueprints_page_shows_who_wrote_what_and_runs_nothing_of_it(
    expanded: tuple[httpx.Client, list[ExpansionRecord]],
) -> None:
    client, made = expanded
    page = client.get(f"/blueprints/{made[0].blueprint_id}", headers={"accept": "text/html"}).text
    for text in (
        "Expansions",
        "char_lm by openai:tiny, passed, 77,601 parameters",
        "block.py",
        "loss 4 to 1",
    ):
        assert text in page
    assert f"tamiyo reproduce {made[0].id[:12]}" in page
    assert HOSTILE not in page
    other = servers.human_blueprints(2)[1].id
    page = client.get(f"/blueprints/{other}", headers={"accept": "text/html"}).text
    assert f"tamiyo expand {other[:12]} --library " in page
