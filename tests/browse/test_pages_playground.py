"""The playground as HTML over a real socket: checked, mended, offered, sent; without a browser or script."""

import re
import time
import tracemalloc
from urllib.parse import urlencode

import httpx
import pytest

from tamiyo.api.errors import AnswerError
from tamiyo.api.programs import MAX_TOKENS
from tamiyo.web.playground import asked_job

LEGAL = "RES_START LINEAR OUT_DIM_DOUBLE GELU LINEAR OUT_DIM_IN RES_END"


def _text(client: httpx.Client, **asked: str | int) -> str:
    answer = client.get("/playground", params=asked, headers={"Accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return answer.text


def _offered(text: str) -> list[str]:
    return re.findall(r'name="add" value="(\w+)"', text)


def test_an_empty_playground_offers_what_a_program_may_begin_with(client: httpx.Client) -> None:
    text = _text(client)
    assert {"LINEAR", "RES_START"} <= set(_offered(text))
    assert "OUT_DIM_IN" not in _offered(text)
    assert "END" not in _offered(text)
    assert "data-train disabled" in text


def test_a_program_is_drawn_and_can_be_sent_to_the_crucible(client: httpx.Client) -> None:
    text = _text(client, tokens=LEGAL, width=32)
    checked = client.post("/api/v1/check", json={"tokens": LEGAL, "width": 32}).json()["blueprint"]
    assert f"{checked['num_parameters']:,d} parameters" in text
    assert 'class="wire"' in text
    assert f'name="tokens" value="{LEGAL}" data-program' in text
    assert "data-train disabled" not in text


def test_a_broken_program_shows_the_fault_and_a_program_near_it(client: httpx.Client) -> None:
    text = _text(client, tokens="LINEAR KERNEL_5 GELU")
    assert re.search(r'<li class="token family-\w+ fault">KERNEL_5</li>', text)
    assert "rule attribute-fits-op" in text
    [mended] = re.findall(r'data-take="([^"]+)"', text)
    assert "A blueprint" in _text(client, tokens=mended)
    assert _offered(text)[0].startswith("OUT_DIM_")


def test_an_offer_is_added_where_the_legal_part_ends(client: httpx.Client) -> None:
    text = _text(client, tokens="RES_START GRU", add="RES_END")
    assert ">RES_START GRU RES_END</textarea>" in text
    assert "A blueprint" in text


def test_offers_are_those_of_the_place_of_the_caret(client: httpx.Client) -> None:
    assert "OUT_DIM_DOUBLE" in _offered(_text(client, tokens=LEGAL, at=2))
    assert "OUT_DIM_DOUBLE" not in _offered(_text(client, tokens=LEGAL, at=3))


@pytest.mark.parametrize("place", ["-1", "9999", "²", "x"])
def test_a_place_that_is_none_is_that_of_the_end(client: httpx.Client, place: str) -> None:
    assert _offered(_text(client, tokens=LEGAL, at=place)) == _offered(_text(client, tokens=LEGAL))


def test_one_starts_from_a_known_module_or_from_the_library(client: httpx.Client) -> None:
    assert "ATTENTION" in _text(client, human="transformer_block")
    row = client.get("/api/v1/blueprints").json()["rows"][0]
    text = _text(client, id=row["id"][:12])
    assert f">{' '.join(row['tokens'])}</textarea>" in text
    assert "that the library holds" in text
    answer = client.get("/playground", params={"human": "nobody"}, headers={"Accept": "text/html"})
    assert answer.status_code == 422


def test_what_is_typed_is_shown_as_text(client: httpx.Client) -> None:
    text = _text(client, tokens="<script>alert(1)</script>")
    assert "<script>alert" not in text
    assert "&lt;script&gt;" in text


def test_a_job_is_sent_by_a_form_followed_and_cancelled(client: httpx.Client) -> None:
    form = {"tokens": LEGAL, "task": "xor", "seeds": "2", "max_seconds": "120"}
    answer = client.post("/evaluations", data=form)
    assert answer.status_code == 303, answer.text
    place = answer.headers["location"]
    assert 'http-equiv="refresh"' in client.get(place).text
    deadline = time.monotonic() + 120
    while 'data-poll="1"' in (text := client.get(place).text) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert "Done: 2 of 2 trainings." in text
    assert 'http-equiv="refresh"' not in text
    assert "reward</span>" in text
    assert client.post(f"{place}/cancel").headers["location"] == place
    assert f'href="{place}"' in client.get("/playground").text


def test_a_form_that_is_none_of_the_playgrounds_is_refused(client: httpx.Client) -> None:
    answer = client.post("/evaluations", data={"tokens": LEGAL, "seeds": "many"})
    assert answer.status_code == 422
    answer = client.post("/evaluations", data={"tokens": "LINEAR KERNEL_5"})
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "not-a-blueprint"


@pytest.mark.parametrize("seeds", ["0", "-1", "9", "1000000000", "9" * 40])
def test_seeds_that_nobody_offers_are_refused_before_they_are_counted_out(client, seeds: str) -> None:
    tracemalloc.start()
    with pytest.raises(AnswerError, match="the form says something"):
        asked_job(urlencode({"tokens": LEGAL, "seeds": seeds}))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
    assert client.post("/evaluations", data={"tokens": LEGAL, "seeds": seeds}).status_code == 422


def test_a_form_of_many_fields_is_refused(client: httpx.Client) -> None:
    form = {"tokens": LEGAL, **{f"more{number}": "1" for number in range(30)}}
    assert client.post("/evaluations", data=form).status_code == 422


def test_a_program_that_grows_too_long_is_refused_and_not_a_fault_of_the_server(client: httpx.Client) -> None:
    most = " ".join(["RELU"] * MAX_TOKENS)
    assert client.get("/playground", params={"tokens": most}).status_code == 200
    answer = client.get("/playground", params={"tokens": most, "add": "RELU"})
    assert (answer.status_code, f"{MAX_TOKENS + 1} tokens" in answer.text) == (422, True)


def test_a_job_that_nobody_knows_is_answered_with_a_page(client: httpx.Client) -> None:
    answer = client.get("/evaluations/0123456789abcdef", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert "Nothing is here" in answer.text


def test_the_page_of_a_job_shows_every_blueprint_with_all_terms_of_its_reward(client: httpx.Client) -> None:
    body = {"programs": ["TANH", LEGAL], "suite": "xor", "seeds": [0]}
    job = client.post("/api/v1/evaluations", json=body).json()
    place = f"/evaluations/{job['id']}"
    deadline = time.monotonic() + 120
    while 'data-poll="1"' in (text := client.get(place).text) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert "Done: 2 of 2 trainings." in text
    told = client.get(f"/api/v1{place}").json()
    for result in told["results"]:
        for value in (result["reward"], *result["terms"].values()):
            assert f"{value:.3f}".replace("-", "−") in text
        assert result["blueprint_id"][:12] in text
    assert text.count('class="blueprint"') == 2
