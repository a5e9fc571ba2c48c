"""Answers compressed on a real socket: what a client gets out is what others get; secrets are left alone."""

import gzip
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import servers
from fastapi import Response
from starlette.responses import StreamingResponse

from tamiyo.api.app import create_app
from tamiyo.api.compression import MIN_BYTES, accepts_gzip
from tamiyo.api.settings import BrowseSettings

PLAIN, GZIP = {"Accept-Encoding": "identity"}, {"Accept-Encoding": "gzip"}
LONG = "a secret that a stranger must not guess " * 100


def raw(client: httpx.Client, path: str, **headers: str) -> tuple[httpx.Response, bytes]:
    """Return an answer and its body as it was sent."""
    with client.stream("GET", path, headers=headers) as answer:
        return answer, b"".join(answer.iter_raw())


@pytest.mark.parametrize("path", ["/", "/api/v1/blueprints", "/pareto", "/metrics", "/static/style.css"])
def test_a_compressed_answer_is_shorter_and_says_the_same(client: httpx.Client, path: str) -> None:
    plain, whole = raw(client, path, **PLAIN)
    answer, sent = raw(client, path, **GZIP)
    assert "Content-Encoding" not in plain.headers
    assert answer.headers["Content-Encoding"] == "gzip"
    assert int(answer.headers["Content-Length"]) == len(sent) < len(whole) / 2
    assert plain.headers["Vary"] == answer.headers["Vary"] == "Accept-Encoding"
    if path != "/metrics":  # which counts the requests themselves
        assert gzip.decompress(sent) == whole
    head = client.head(path, headers=GZIP)
    assert (head.headers["Content-Encoding"], head.content) == ("gzip", b"")
    assert client.get("/healthz").status_code == 200, "the connection goes on"


def test_a_page_in_parts_says_the_same(client: httpx.Client) -> None:
    path = f"/blueprints/{servers.human_blueprints(1)[0].id}"
    answer, sent = raw(client, path, **GZIP)
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert gzip.decompress(sent) == raw(client, path, **PLAIN)[1]


def test_each_part_can_be_read_before_the_next_is_there(library: Path) -> None:
    app = create_app(BrowseSettings(library=str(library)))
    is_read = threading.Event()

    def parts() -> Iterator[str]:
        yield "the first part "
        assert is_read.wait(100)
        yield "the last"

    app.add_api_route("/parts", lambda: StreamingResponse(parts(), media_type="text/html"))
    reader, text = zlib.decompressobj(wbits=31), b""
    with (
        servers.answering(app) as client,
        client.stream("GET", "/parts", headers=GZIP) as answer,
    ):
        for part in answer.iter_raw():
            text += reader.decompress(part)
            if text == b"the first part ":
                is_read.set()
    assert (text, reader.eof) == (b"the first part the last", True)


def test_small_answers_are_sent_as_they_are(client: httpx.Client) -> None:
    answer, sent = raw(client, "/healthz", **GZIP)
    assert "Content-Encoding" not in answer.headers
    assert len(sent) < MIN_BYTES
    assert answer.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize("name", ["Set-Cookie", "Cache-Control", "Content-Encoding", "ETag"])
def test_what_may_hold_a_secret_or_has_its_own_form_is_left_as_it_is(library: Path, name: str) -> None:
    app = create_app(BrowseSettings(library=str(library)))
    values = {
        "Set-Cookie": "tamiyo=secret",
        "Cache-Control": "no-store",
        "Content-Encoding": "own",
        "ETag": '"own"',
    }

    def secret() -> Response:
        return Response(LONG, media_type="text/html", headers={name: values[name]})

    app.add_api_route("/secret", secret)
    app.add_api_route("/open", lambda: Response(LONG, media_type="text/html"), methods=["GET", "POST"])
    with servers.answering(app) as client:
        assert raw(client, "/secret", **GZIP)[1] == LONG.encode()
        assert len(raw(client, "/open", **GZIP)[1]) < len(LONG) / 10
        assert "Content-Encoding" not in client.post("/open", headers=GZIP).headers


def test_the_two_forms_of_a_file_have_tags_of_their_own(client: httpx.Client) -> None:
    plain, packed = (client.get("/static/style.css", headers=form) for form in (PLAIN, GZIP))
    assert plain.text == packed.text
    tags = [answer.headers["ETag"] for answer in (plain, packed)]
    assert tags[0] != tags[1]
    assert all(tag.startswith('"') for tag in tags), "strong"
    for form, own, other in ((PLAIN, *tags), (GZIP, *tags[::-1])):
        again = client.get("/static/style.css", headers={**form, "If-None-Match": own})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", own)
        assert client.get("/static/style.css", headers={**form, "If-None-Match": other}).status_code == 200


def test_a_range_of_a_file_is_answered_with_all_of_it(client: httpx.Client) -> None:
    for form in (PLAIN, GZIP):
        answer = client.get("/static/style.css", headers={**form, "Range": "bytes=0-9"})
        assert (answer.status_code, "Content-Range" in answer.headers) == (200, False)
        assert answer.text == client.get("/static/style.css").text


@pytest.mark.parametrize(
    ("header", "is_taken"),
    [
        ("gzip", True),
        ("GZIP;q=0.5", True),
        ("br, deflate, gzip;q=1.0", True),
        ("*", True),
        ("*;q=0.1, br", True),
        ("gzip; q=0", False),
        ("gzip;q=0, *", False),
        ("gzip;q=0.000", False),
        ("gzip;q=no", False),
        ("identity", False),
        ("x-gzip2, deflate", False),
        ("", False),
    ],
)
def test_gzip_is_sent_to_those_who_take_it(header: str, is_taken: bool) -> None:
    assert accepts_gzip(header) is is_taken
