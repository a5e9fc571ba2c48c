"""The terminal: what a live display shows, and that a pipe gets plain lines only."""

import io
import re

import pytest
from rich.console import Console

from hall_of_fame.records import Entry
from tamiyo.progress import Progress

BEST = Entry(
    rank=1,
    id="ab" * 32,
    tokens=("RES_START", "RELU", "RES_END"),
    language_version="f" * 64,
    performance=0.8125,
    reward=0.7,
    num_parameters=12,
    flops=345,
    latency_us=6.5,
    tasks=(),
    num_evaluations=2,
    run_id="demo",
    generation=0,
)


def metrics(generation: int, stage: str = "xor", seconds: float = 10.0) -> dict:
    return {
        "generation": generation,
        "stage": stage,
        "reward_mean": 0.25 + generation / 100,
        "reward_best": 0.875,
        "valid_rate": 0.5,
        "unique_rate": 0.75,
        "entropy": 1.5,
        "blueprints_per_s": 1234.5,
        "hall_of_fame_size": 64,
        "generation_s": seconds,
    }


class Clock:
    """A clock that stands until it is told to move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def live(num_generations: int, clock: Clock, width: int = 140) -> tuple[Progress, io.StringIO]:
    """Return a progress on a terminal of so many columns, and what is written there."""
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=width, height=40, _environ={"TERM": "xterm"})
    return Progress(num_generations, console, clock), written


def plain(text: str) -> str:
    """Return what a terminal shows of `text`, without its control sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_a_pipe_gets_one_plain_line_a_generation(capsys: pytest.CaptureFixture[str]):
    with Progress(14) as progress:
        progress.say("measuring op latencies [on cpu]")
        for generation in range(2):
            progress.phase(generation, "sample")
            progress.phase(generation, "evaluate", 64)
            progress.advance(64)
            progress.phase(generation, "update")
            progress.generation(metrics(generation), [BEST])
    assert capsys.readouterr().out.splitlines() == [
        "measuring op latencies [on cpu]",
        "generation 1/14  stage xor  reward 0.250  best 0.875  valid 50.0 %  unique 75.0 %  entropy 1.50  "
        "blueprints/s 1,234.5  hall of fame 64  left 2 min 10 s",
        "generation 2/14  stage xor  reward 0.260  best 0.875  valid 50.0 %  unique 75.0 %  entropy 1.50  "
        "blueprints/s 1,234.5  hall of fame 64  left 2 min 00 s",
    ]


def test_a_pipe_gets_no_control_sequences_where_colours_are_forced(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Progress(14) as progress:
        progress.generation(metrics(0), [])
    out = capsys.readouterr().out
    assert out.startswith("generation 1/14")
    assert "\x1b" not in out


def test_a_missing_field_is_a_dash(capsys: pytest.CaptureFixture[str]):
    with Progress(2) as progress:
        progress.generation({"generation": 0, "stage": "xor", "entropy": None, "generation_s": 1.0}, [])
    out = capsys.readouterr().out
    assert "reward -  best -" in out
    assert "entropy -" in out


def test_a_terminal_shows_the_table_the_bar_and_the_best_blueprint():
    clock = Clock()
    progress, written = live(14, clock)
    with progress:
        progress.say("pretraining [the Architect]")
        progress.phase(0, "sample")
        progress.generation(metrics(0), [BEST])
        progress.phase(1, "sample")
        clock.now = 4.0
        progress.phase(1, "evaluate", 2048)
        progress.advance(1000)
        progress.advance(24)
        clock.now = 7.0
        progress._live.refresh()
        screen = plain(written.getvalue())
    assert "pretraining [the Architect]" in screen
    assert re.search(r"1/14 +xor +0\.250 +0\.875 +50\.0 % +75\.0 % +1\.50 +1,234\.5 +64 +10 s", screen)
    assert "best so far  0.812  RES_START RELU RES_END" in screen
    assert "1,024/2,048 generation 2/14  evaluate  3 s  about 2 min 03 s left" in screen


def test_after_the_last_generation_the_terminal_says_that_the_run_is_finishing():
    progress, written = live(1, Clock())
    with progress:
        progress.phase(0, "record")
        progress.generation(metrics(0), [])
        progress._live.refresh()
        assert "finishing  0 s" in plain(written.getvalue())
        assert "left" not in plain(written.getvalue())


def test_eighty_columns_are_enough():
    progress, written = live(14, Clock(), width=80)
    with progress:
        progress.generation(metrics(8, "temporal", seconds=70.0), [])
        progress.phase(9, "evaluate", 2048)
        progress._live.refresh()
        screen = plain(written.getvalue())
    assert "9/14 temporal  0.330 0.875 50.0 % 75.0 %    1.50    1,234.5      64 1 min 10 s" in screen
    assert "0/2,048 generation 10/14  evaluate  0 s  about 5 min 50 s left" in screen


def test_the_bar_never_runs_over():
    progress, written = live(2, Clock())
    with progress:
        progress.phase(0, "evaluate", 10)
        progress.advance(11)
        progress._live.refresh()
    assert "10/10" in plain(written.getvalue())


def test_time_left_looks_at_the_last_five_generations_of_the_same_stage():
    progress, _ = live(20, Clock())
    assert progress.time_left_s() is None
    progress.generation(metrics(0, seconds=100.0), [])
    assert progress.time_left_s() == 19 * 100.0
    for generation in range(1, 6):
        progress.generation(metrics(generation, seconds=2.0), [])
    assert progress.time_left_s() == 14 * 2.0
    progress.generation(metrics(6, "temporal", seconds=30.0), [])
    progress.generation(metrics(7, "temporal", seconds=40.0), [])
    assert progress.time_left_s() == 12 * 35.0


def test_only_the_last_generations_are_rows():
    progress, written = live(20, Clock())
    with progress:
        for generation in range(12):
            progress.generation(metrics(generation), [])
    last = plain(written.getvalue()).rsplit("gen ", 1)[1]
    assert re.findall(r"(\d+)/20", last) == [str(n) for n in range(5, 13)]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (7260, "2 h 01 min")]
)
def test_durations_are_readable(seconds: float, text: str, capsys: pytest.CaptureFixture[str]):
    with Progress(2) as progress:
        progress.generation(metrics(0, seconds=seconds), [])
    assert capsys.readouterr().out.rstrip().endswith(f"left {text}")
