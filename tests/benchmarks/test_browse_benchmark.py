"""The benchmark of pages: its document end to end, going on, what it refuses, its figure."""

import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import benchmarks.browse
from benchmarks.browse import main, summary
from benchmarks.browse_chromium import PICTURES, missing
from benchmarks.browse_figure import draw, look
from benchmarks.catalogue_rows import fill
from hall_of_fame.store import Store

PAGES = {
    "gallery",
    "gallery, a family",
    "gallery, one word",
    "gallery, two words",
    "blueprint",
    "compare",
    "front",
    "map",
    "heat map",
    "runs",
    "run",
    "playground",
}


@pytest.fixture
def run(monkeypatch):
    """Return a function that runs the command with these words; it waits for no map."""
    monkeypatch.setattr(benchmarks.browse, "MAP_S", 0.0)

    def command(*words: object) -> None:
        monkeypatch.setattr(sys, "argv", ["browse.py", *map(str, words)])
        main()

    return command


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browse") / "80"
    folder.mkdir()
    with Store.open(folder / "library.db", create=True) as store:
        fill(store, 80)
    return folder


@pytest.mark.slow
def test_every_page_is_asked_for_while_another_process_writes(run, folder, tmp_path, capsys) -> None:
    out, picture = tmp_path / "browse.json", tmp_path / "browse.png"
    paints = 0 if missing() else 1
    run(folder, "--requests", 2, "--paints", paints, "--json", out, "--figure", picture)
    document = json.loads(out.read_text())
    [(num, found)] = document["measured"].items()
    assert num == "80"
    assert found["pages"].keys() == PAGES
    for page in found["pages"].values():
        assert page["num"] == 2
        assert 0 < page["p50_s"] <= page["p95_s"] <= page["p99_s"]
        assert page["p95_s"] <= page["whole_p95_s"]
        assert 1000 < page["html_bytes"] < page["plain_html_bytes"]
        assert page["plain_p50_s"] > 0
        if paints:
            assert page["html_bytes"] < page["weight_bytes"] < page["plain_weight_bytes"]
            assert page["paint_s"] > 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "a generation every 10 s" in capsys.readouterr().out
    assert [path.name for path in folder.parent.iterdir()] == ["80"], "copies are removed"


@pytest.mark.slow
def test_a_benchmark_that_is_told_to_end_leaves_no_copy_and_no_server(folder: Path) -> None:
    command = [sys.executable, benchmarks.browse.__file__, folder, "--requests", "100000", "--paints", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        assert b"80 blueprints" in process.stdout.readline()
        [copied] = [path.name for path in folder.parent.iterdir() if path.name != "80"]
        assert _processes_that_name(copied), "the copy is served"
        process.terminate()
        assert process.wait() == 128 + signal.SIGTERM
    assert [path.name for path in folder.parent.iterdir()] == ["80"]
    assert _processes_that_name(copied) == []


def test_a_request_to_end_while_a_process_is_started_ends_that_too(folder: Path, monkeypatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: Any, **settings: Any) -> subprocess.Popen[bytes]:
        started.append(Popen(*words, **settings))
        signal.raise_signal(signal.SIGTERM)
        return started[-1]

    Popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", start)
    handler = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        with pytest.raises(SystemExit, match="143"), benchmarks.browse._writing(folder, 10.0):
            pytest.fail("it went on")
    finally:
        signal.signal(signal.SIGTERM, handler)
    [process] = started
    assert process.returncode == -signal.SIGTERM


def _processes_that_name(word: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # one that has ended meanwhile
            found.append(path.read_text(errors="replace").replace("\0", " "))
    return [line for line in found if word in line]


@pytest.mark.slow
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_what_is_on_file_is_not_measured_again_and_pages_are_pictured(run, folder, tmp_path) -> None:
    out = tmp_path / "browse.json"
    page = {"p50_s": 0.1, "p95_s": 0.2, "p99_s": 0.3, "first_s": 0.4, "html_bytes": 2e4, "num": 2}
    known = {"80": {"write_every_s": 10.0, "map_s": None, "pages": {"gallery": page}}}
    out.write_text(json.dumps({"machine": {}, "measured": known}))
    run(folder, "--write-every", 0, "--json", out, "--screenshots", tmp_path / "pictures")
    assert json.loads(out.read_text())["measured"] == known
    assert {path.stem for path in (tmp_path / "pictures").iterdir()} == PICTURES.keys()


def test_percentiles_are_of_the_durations_given() -> None:
    found = summary([float(i) for i in range(101)])
    assert found == {"p50_s": 50.0, "p95_s": 95.0, "p99_s": 99.0, "num": 101}


def test_numbers_that_mean_nothing_are_refused(run, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        run("--requests", 0)
    assert caught.value.code == 2
    assert "at least one request" in capsys.readouterr().err


def test_a_picture_needs_no_more_than_one_library(tmp_path: Path) -> None:
    page = {"p50_s": 0.1, "p95_s": 0.2, "p99_s": 0.3}
    draw({"measured": {"1000": {"pages": {"gallery": page}}}}, tmp_path / "browse.png")
    assert (tmp_path / "browse.png").read_bytes().startswith(b"\x89PNG")


def test_no_two_pages_are_drawn_alike() -> None:
    assert len({tuple(look(number).values()) for number in range(2 * len(PAGES))}) == 2 * len(PAGES)
    assert len({look(number)["marker"] for number in range(len(PAGES))}) == len(PAGES)
