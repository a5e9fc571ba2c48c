"""What the guards refuse and how, each tried over a real socket; leaves sessions to their own tests."""

import json
import logging
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import servers

from hall_of_fame.errors import StoreError
from tamiyo.api.headers import SECURITY_HEADERS
from tamiyo.api.settings import BrowseSettings, Limits, SettingsError

SMALL = Limits(max_body_bytes=1000, max_target_bytes=200, reads_per_minute=10_000)


@pytest.fixture(scope="module")
def small(library: Path):
    """Give a client of a server with small bounds."""
    with servers.browsing(library, limits=SMALL) as client:
        yield client


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.parametrize("path", ["/api/v1/blueprints", "/", "/no/such", "/static/style.css", "/healthz"])
def test_every_answer_carries_the_security_headers(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == value
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert "Server" not in answer.headers
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "path",
    [
        "/static/../settings.py",
        "/static/..%2fapi%2fsettings.py",
        "/static/%2e%2e/%2e%2e/api/tokens.py",
        "/static//etc/passwd",
        "/static/%00style.css",
        "/static/..\\..\\api\\tokens.py",
        "/api/v1/blueprints/..%2f..%2fetc%2fpasswd",
        "/api/v1/blueprints/%00",
    ],
)
def test_paths_lead_to_no_file_but_those_served(client: httpx.Client, path: str) -> None:
    request = client.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=path.encode())
    answer = client.send(request)
    assert answer.status_code in (404, 422)
    assert "error" in answer.json()
    assert "import" not in answer.text


def test_a_static_file_is_kept_for_ever_under_its_own_address(client: httpx.Client) -> None:
    [address] = set(re.findall(r'href="(/static/style\.css[^"]*)"', client.get("/").text))
    kept = client.get(address)
    assert kept.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert kept.headers["Content-Type"].startswith("text/css")
    again = client.get(address, headers={"If-None-Match": kept.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/static/style.css").headers["Cache-Control"] == "no-cache"
    assert client.get("/static/style.css", headers={"If-None-Match": '"0"'}).status_code == 200


def test_a_head_is_answered_as_a_get_without_its_body(client: httpx.Client) -> None:
    for path in ("/healthz", "/", "/api/v1/blueprints", "/static/style.css", "/no/such"):
        whole, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (whole.status_code, b""), path
        assert head.headers["Content-Type"] == whole.headers["Content-Type"]
    assert client.get("/healthz").status_code == 200, "the connection goes on"


def test_other_hosts_are_refused(client: httpx.Client) -> None:
    port = client.base_url.port
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "", "localhost:/static/?"):
        assert code(client.get("/healthz", headers={"Host": host})) == (421, "unknown-host")
    for host in ("localhost", f"LOCALHOST:{port}", "127.0.0.1", "[::1]", f"[::1]:{port}"):
        assert client.get("/healthz", headers={"Host": host}).status_code == 200


def test_pages_of_other_sites_change_nothing(client: httpx.Client) -> None:
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
        refused = client.post("/sign-out", headers={"Origin": origin})
        assert code(refused) == (403, "cross-origin")
    own = str(client.base_url).rstrip("/")
    assert client.post("/sign-out", headers={"Origin": own}).status_code == 303


def test_long_addresses_are_refused(small: httpx.Client) -> None:
    assert small.get("/healthz", params={"a": "b" * 100}).status_code == 200
    assert code(small.get("/healthz", params={"a": "b" * 300})) == (414, "address-too-long")
    assert code(small.get("/" + "a" * 300)) == (414, "address-too-long")


def test_large_bodies_are_refused_by_their_announced_length(small: httpx.Client) -> None:
    answer = small.post("/api/v1/token", content=b"x" * 1001)
    assert code(answer) == (413, "body-too-large")
    assert answer.json()["error"]["expected"] == "at most 1000 bytes"


def test_large_bodies_without_a_length_are_refused_as_they_come(small: httpx.Client) -> None:
    num_sent = 0

    def chunks():
        nonlocal num_sent
        for _ in range(100):
            num_sent += 1
            yield b"x" * 100

    assert code(small.post("/api/v1/token", content=chunks())) == (413, "body-too-large")
    assert code(small.request("GET", "/healthz", content=chunks())) == (413, "body-too-large")
    assert small.get("/healthz").status_code == 200


def test_a_client_is_answered_as_often_as_the_limit_says(library: Path) -> None:
    with servers.browsing(library, limits=Limits(reads_per_minute=7, writes_per_minute=3)) as client:
        reads = [client.get("/healthz").status_code for _ in range(20)]
        assert set(reads) == {200, 429}
        assert 7 <= reads.count(200) <= 8, "one more may fit where a window slides on"
        writes = [client.post("/sign-out").status_code for _ in range(20)]
        assert set(writes) == {303, 429}
        assert 3 <= writes.count(303) <= 4
        refused = client.get("/api/v1/blueprints")
        assert code(refused) == (429, "too-many-requests")
        assert 1 <= int(refused.headers["Retry-After"]) <= 120


def test_a_request_keeps_a_well_formed_correlation_id(client: httpx.Client) -> None:
    brought = client.get("/no/such", headers={"X-Request-ID": "build-4711.a_b"})
    assert brought.headers["X-Request-ID"] == brought.json()["error"]["correlation_id"] == "build-4711.a_b"
    for id_ in ("short", "x" * 65, 'a"b{c}12345', "a b c d e f g", "<script>x</script>"):
        made = client.get("/healthz", headers={"X-Request-ID": id_}).headers["X-Request-ID"]
        assert re.fullmatch("[0-9a-f]{16}", made)


def test_what_nobody_foresaw_is_told_to_the_log_alone(
    library: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    from tamiyo.api.app import create_app

    app = create_app(BrowseSettings(library=str(library)))

    @app.get("/api/v1/broken")
    def broken() -> None:
        raise RuntimeError("a secret of the server")

    with servers.answering(app) as client:
        answer = client.get("/api/v1/broken", headers={"X-Request-ID": "the-broken-one"})
    assert code(answer) == (500, "internal")
    assert "secret" not in answer.text
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    [record] = [record for record in caplog.records if record.exc_info]
    assert record.correlation_id == "the-broken-one"
    assert "a secret of the server" in str(record.exc_info[1])


def test_a_database_that_fails_is_told_without_its_path(tmp_path: Path) -> None:
    path = servers.write_library(tmp_path / "secret-place" / "library.db")
    with servers.browsing(path) as client:
        assert client.get("/healthz").status_code == 200
        for file in path.parent.iterdir():
            file.write_bytes(b"no database at all" * 1000)
        answer = client.get("/healthz")
        assert code(answer) == (503, "library-unavailable")
        assert "secret-place" not in answer.text
        assert answer.headers["Retry-After"] == "5"
        told = client.get("/metrics")
        assert told.status_code == 200
        assert "tamiyo_requests_total{" in told.text
        assert "tamiyo_library_rows{" not in told.text


def test_a_query_that_takes_too_long_is_told_and_others_are_answered(library: Path) -> None:
    from tamiyo.api.app import create_app

    app = create_app(BrowseSettings(library=str(library), limits=Limits(query_timeout_s=0.2)))

    @app.get("/api/v1/endless")
    def endless() -> None:
        query = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
        with app.state.context.library.store.reading() as connection:
            connection.exec_driver_sql(query).all()

    with servers.answering(app) as client:
        answer = client.get("/api/v1/endless")
        assert code(answer) == (503, "query-too-slow")
        assert answer.headers["Retry-After"] == "5"
        assert client.get("/healthz").status_code == 200


def test_a_library_of_an_earlier_version_is_not_upgraded_by_looking(tmp_path: Path) -> None:
    path = servers.write_library(tmp_path / "library.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0007'")
        connection.commit()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="tamiyo library upgrade --library"), servers.browsing(path):
        pass
    assert path.read_bytes() == before


def test_what_is_read_here_changes_no_byte_of_a_library(tmp_path: Path) -> None:
    path = servers.write_library(tmp_path / "library.db")
    before = path.read_bytes()
    with servers.browsing(path) as client:
        for page in ("/", "/pareto", "/heat", "/runs", "/runs/demo", "/metrics"):
            assert client.get(page).status_code == 200
        assert path.read_bytes() == before
    assert path.read_bytes() == before


def test_log_lines_are_json_and_hold_no_query(library: Path, caplog: pytest.LogCaptureFixture) -> None:
    from tamiyo.api.telemetry import JsonFormatter

    with caplog.at_level(logging.INFO, "tamiyo.browse"), servers.browsing(library) as client:
        client.get("/api/v1/blueprints?stage=password", headers={"X-Request-ID": "line-one-2"})
        client.get("/api/v1/%0a%7b%22level%22", headers={"Cookie": "tamiyo_1=hidden"})
        time.sleep(0.1)
    lines = [JsonFormatter().format(record) for record in caplog.records if record.name == "tamiyo.browse"]
    assert len(lines) == 2
    first, second = map(json.loads, lines)
    assert (first["event"], first["correlation_id"], first["status"]) == ("request", "line-one-2", 200)
    assert (first["route"], first["path"]) == ("/api/v1/blueprints", "/api/v1/blueprints")
    assert second["route"] == "none"
    assert not any("password" in line or "hidden" in line or "\n" in line for line in lines)


def test_metrics_count_by_route_and_not_by_address(library: Path) -> None:
    with servers.browsing(library) as client:
        for id_ in ("ffff", "eeee"):
            client.get(f"/api/v1/blueprints/{id_}")
        client.get("/no/such/path/4711")
        text = client.get("/metrics").text
    assert (
        'tamiyo_requests_total{method="GET",route="/api/v1/blueprints/{blueprint_id}",status="404"} 2.0'
        in text
    )
    assert 'tamiyo_request_seconds_count{route="/api/v1/blueprints/{blueprint_id}"} 2.0' in text
    assert 'tamiyo_library_rows{table="blueprints"} 12.0' in text
    assert text.count("# TYPE tamiyo_jobs gauge") == 1
    kinds = re.findall(r"# TYPE (\w+)", text)
    assert len(kinds) == len(set(kinds)), "each of them once"
    assert "tamiyo_requests_in_flight 1.0" in text
    assert "4711" not in text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"library": ""}, "no library; expected a run's folder"),
        ({"port": 70000}, "port 70000; expected 0 to 65535"),
        ({"num_jobs": -1}, "-1 jobs; expected 0 to 64"),
        ({"host": "0.0.0.0"}, "host 0.0.0.0 is not this machine alone, and there are no tokens"),
        ({"host": "example.org"}, "there are no tokens; expected a host such as 127.0.0.1, or tokens"),
        ({"certificate": Path("/none.pem")}, "no file /none.pem; expected a file in PEM form"),
    ],
)
def test_settings_that_cannot_work_are_refused(fields: dict, said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        BrowseSettings(**{"library": "runs/demo", **fields})
    with pytest.raises(SettingsError, match=re.escape("limits.max_body_bytes is 0")):
        Limits(max_body_bytes=0)
