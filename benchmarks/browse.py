"""How soon does a page of a library come, and what does it weigh? Percentiles by page and size, and pictures.

    python benchmarks/catalogue_rows.py runs/rows/100000 --blueprints 100000
    python benchmarks/browse.py runs/rows/100000 --json browse.json --figure browse.png

Each library named is copied and served by `tamiyo browse`, a process of its own, while another commits 1,024
trainings every `--write-every` seconds. Every page is asked for `--requests` times in turn, over one
connection, each time for another blueprint, run or filter; what counts is the time to the first part of the
HTML. That is all of a page but a blueprint's, which is sent before its neighbours are found. Chromium, where
there is one, then opens each page with nothing in its cache: first contentful paint, and bytes of all that
came. In every fourth round each page is asked for without compression too, to be told beside. The map is
computed before. What is on file under the number of a library's blueprints is not measured
again.
"""

# ruff: noqa: E402

import argparse
import contextlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import httpx
import numpy as np
import torch
from browse_chromium import missing, opened, screenshots
from catalogue_rows import duplicate
from crucible_throughput import describe_machine
from preflight import check

from hall_of_fame.library import RUN_LEDGER
from hall_of_fame.store import Store

#: The aim: 95 of 100 first contents come sooner.
AIM_S = 0.3
#: Seconds that the map may take to be computed before pages are asked for.
MAP_S = 300.0
#: Rounds of requests from one in which each page is asked for without compression too to the next.
PLAIN_EVERY = 4
#: Programs that the playground is asked to check.
PROGRAMS = (
    "RES_START LINEAR OUT_DIM_DOUBLE GELU LINEAR OUT_DIM_IN RES_END",
    "RES_START GRU RES_END",
    "LINEAR KERNEL_5 GELU",
)

Pages = Mapping[str, Callable[[], str]]
#: Seconds until the first part of a page, until its last byte, and its bytes as sent.
Timed = tuple[float, float, int]


def main() -> None:
    """Measure the libraries that are not on file yet; print tables, write JSON, a figure, screenshots."""
    options = _options()
    check("cpu", options.json)
    check("cpu", options.figure)
    document = _document(options.json)
    for folder in options.folders:
        with _served(folder) as (copied, address, client):
            num = str(_json(client, "/api/v1/facets")["num"])
            if num not in document["measured"]:
                print(f"{int(num):,} blueprints", flush=True)
                with _writing(copied, options.write_every):
                    document["measured"][num] = measure(client, address, options)
                _write(document, options.json)
            if options.screenshots:
                screenshots(address, pages_of(client, random.Random(0)), options.screenshots)
    _print(document)
    if options.figure:
        from browse_figure import draw

        draw(document, options.figure)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="*", help="libraries of benchmarks/catalogue_rows.py")
    parser.add_argument("--requests", type=int, default=200, metavar="N", help="of every page")
    parser.add_argument("--paints", type=int, default=5, metavar="N", help="times that Chromium opens each")
    parser.add_argument(
        "--write-every", type=float, default=10.0, metavar="S", help="seconds between generations (0: none)"
    )
    parser.add_argument("--json", type=Path, help="where the numbers go, and what is not measured again")
    parser.add_argument("--figure", type=Path, help="where the picture goes (needs matplotlib)")
    parser.add_argument("--screenshots", type=Path, metavar="FOLDER", help="where pictures of pages go")
    options = parser.parse_args()
    if options.requests < 1 or options.paints < 0 or options.write_every < 0:
        parser.error("expected at least one request of every page, and neither paints nor seconds below 0")
    return options


def measure(client: httpx.Client, address: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return what every page of a library takes, and weighs."""
    map_s = _wait_for_map(client)
    pages = pages_of(client, random.Random(0))
    first = {name: timed(client, page())[0] for name, page in pages.items()}
    sent: dict[str, list[Timed]] = {name: [] for name in pages}
    plain: dict[str, list[Timed]] = {name: [] for name in pages}
    for number in range(options.requests):
        for name, page in pages.items():
            sent[name].append(timed(client, page()))
            if number % PLAIN_EVERY == 0:
                plain[name].append(timed(client, page(), coding="identity"))
    why = missing()
    if why:
        print(f"paints and weights are left out: {why}")
    seen = {} if why or not options.paints else opened(address, pages, options.paints)
    return {
        "write_every_s": options.write_every,
        "map_s": map_s,
        "pages": {
            name: {
                "first_s": first[name],
                **summary([first_part_s for first_part_s, _, _ in sent[name]]),
                "whole_p95_s": float(np.quantile([whole_s for _, whole_s, _ in sent[name]], 0.95)),
                "html_bytes": float(np.median([size for _, _, size in sent[name]])),
                "plain_p50_s": float(np.median([first_part_s for first_part_s, _, _ in plain[name]])),
                "plain_html_bytes": float(np.median([size for _, _, size in plain[name]])),
                **seen.get(name, {}),
            }
            for name in pages
        },
    }


def pages_of(client: httpx.Client, rng: random.Random) -> Pages:
    """Return what gives the next address of every page: blueprints, runs, filters drawn anew each time."""
    rows = [
        row
        for sort in ("reward", "score", "num_parameters", "length")
        for row in _json(client, f"/api/v1/blueprints?sort={sort}&limit=100")["rows"]
    ]
    runs = [run["id"] for run in _json(client, "/api/v1/runs")["rows"]]
    families = sorted({row["family"] for row in rows if row["family"]})
    tokens = sorted({token for row in rows for token in row["tokens"]})

    def someone() -> str:
        return rng.choice(rows)["id"]

    def word(number: int) -> str:
        return "+".join(rng.sample(tokens, number))

    return {
        "gallery": lambda: "/",
        "gallery, a family": lambda: f"/?family={rng.choice(families)}&min_score={rng.uniform(0, 0.9):.3f}",
        "gallery, one word": lambda: f"/?search={word(1)}",
        "gallery, two words": lambda: f"/?search={word(2)}",
        "blueprint": lambda: f"/blueprints/{someone()}",
        "compare": lambda: f"/compare?a={someone()}&b={someone()}",
        "front": lambda: "/pareto",
        "map": lambda: "/map",
        "heat map": lambda: f"/heat?family={rng.choice(['', *families])}",
        "runs": lambda: "/runs",
        "run": lambda: f"/runs/{rng.choice(runs)}",
        "playground": lambda: f"/playground?tokens={rng.choice(PROGRAMS).replace(' ', '+')}",
    }


def timed(client: httpx.Client, path: str, coding: str = "gzip") -> Timed:
    """Ask for a page in a coding of its content."""
    start = time.perf_counter()
    with client.stream("GET", path, headers={"Accept": "text/html", "Accept-Encoding": coding}) as answer:
        parts = answer.iter_raw()
        text = next(parts)
        first_part_s = time.perf_counter() - start
        text += b"".join(parts)
        took_s = time.perf_counter() - start
    assert answer.status_code == 200, f"{path} was answered with {answer.status_code}: {text[:500]!r}"
    return first_part_s, took_s, len(text)


def summary(seconds: Sequence[float]) -> dict[str, Any]:
    """Return percentiles of some durations, and how many there are."""
    p50_s, p95_s, p99_s = np.quantile(seconds, (0.5, 0.95, 0.99))
    return {"p50_s": float(p50_s), "p95_s": float(p95_s), "p99_s": float(p99_s), "num": len(seconds)}


def _wait_for_map(client: httpx.Client) -> float | None:
    """Return the seconds until the map was there; None where it cannot be computed, or not in time."""
    start = time.perf_counter()
    while time.perf_counter() - start < MAP_S:
        status = _json(client, "/api/v1/map")["status"]
        if status == "ready":
            return time.perf_counter() - start
        if status == "failed":
            return None
        time.sleep(1.0)
    return None


@contextlib.contextmanager
def _served(folder: Path) -> Iterator[tuple[Path, str, httpx.Client]]:
    """Serve a copy of a library; give its folder, the server's address and a client."""
    with tempfile.TemporaryDirectory(prefix="tamiyo-browse-", dir=folder.parent) as name:
        copied = Path(name)
        duplicate(folder / RUN_LEDGER, copied / RUN_LEDGER)
        Store.open(copied / RUN_LEDGER).close()  # brings one of an earlier version up to date
        browse = ("-m", "tamiyo.cli", "browse", "--library", copied, "--port", 0)
        with _process(*browse, "--requests-per-minute", 10**6) as line:
            address = line.partition(" at ")[2].split()[0]
            with httpx.Client(base_url=address, timeout=120.0) as client:
                yield copied, address, client


def _writing(folder: Path, every_s: float) -> contextlib.AbstractContextManager[Any]:
    """Have another process write into a library meanwhile, from its first generation on."""
    if not every_s:
        return contextlib.nullcontext()
    return _process(Path(__file__).with_name("catalogue_rows.py"), folder, "--write-every", every_s)


@contextlib.contextmanager
def _process(*words: object) -> Iterator[str]:
    """Start a Python program, and give the first line that it writes; end it afterwards."""
    root = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryFile("w+") as told:
        command = [sys.executable, *map(str, words)]
        process = None
        try:
            with _ending_later():
                process = subprocess.Popen(command, stdout=told, stderr=told, cwd=root)
            yield _first_line(process, told)
        finally:
            if process is not None:
                process.terminate()
                process.wait()


@contextlib.contextmanager
def _ending_later() -> Iterator[None]:
    """Hold back a request to end: a process that is just being started has nobody yet who would end it."""
    held: list[int] = []
    handler = signal.signal(signal.SIGTERM, lambda number, _: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
        for number in held:
            signal.raise_signal(number)


def _first_line(process: "subprocess.Popen[bytes]", told: Any) -> str:
    while True:
        told.seek(0)
        text = told.read()
        if "\n" in text:
            return text
        assert process.poll() is None, f"{process.args} ended with {process.returncode}: {text}"
        time.sleep(0.05)


def _json(client: httpx.Client, path: str) -> Any:
    answer = client.get(path)
    answer.raise_for_status()
    return answer.json()


def _document(path: Path | None) -> dict[str, Any]:
    """Return what was measured before, or an empty document of this machine."""
    if path and path.exists():
        return json.loads(path.read_text())
    return {"machine": describe_machine(torch.device("cpu"), 1), "measured": {}}


def _write(document: dict[str, Any], path: Path | None) -> None:
    document["measured"] = dict(sorted(document["measured"].items(), key=lambda pair: int(pair[0])))
    if path:
        path.write_text(json.dumps(document, indent=1) + "\n")


_TIMES = ("p50_s", "p95_s", "p99_s", "whole_p95_s", "first_s", "paint_s", "plain_p50_s")
_SIZES = ("html_bytes", "weight_bytes", "plain_html_bytes", "plain_weight_bytes")


def _print(document: Mapping[str, Any]) -> None:
    for num, found in document["measured"].items():
        every = f"a generation every {found['write_every_s']:g} s"
        print(f"\n{int(num):,} blueprints, {every}; ms and kB (*: not compressed)")
        heads = ("p50", "p95", "p99", "whole", "first", "paint", "p50*", "HTML", "all", "HTML*", "all*")
        print(f"{'':<20}{''.join(f'{head:>8}' for head in heads)}")
        for name, page in found["pages"].items():
            times, sizes = ([page.get(key) for key in keys] for keys in (_TIMES, _SIZES))
            shown = [f"{1000 * value:8.0f}" if value is not None else f"{'-':>8}" for value in times]
            shown += [f"{value / 1000:8.1f}" if value is not None else f"{'-':>8}" for value in sizes]
            print(f"{name:<20}{''.join(shown)}{'  late' if page['p95_s'] > AIM_S else ''}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # copies are removed all the same
    main()
