"""Shows a run on the terminal, live, or in plain lines where there is none; keeps nothing of it."""

import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from hall_of_fame.records import Entry
from tamiyo.engine import Observer

#: Generations kept as rows of the table.
_ROWS = 8
#: Generations whose mean duration predicts the rest.
_RECENT = 5
#: Metrics of a row: title, its field, its form.
_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("stage", "stage", "s"),
    ("reward", "reward_mean", ".3f"),
    ("best", "reward_best", ".3f"),
    ("valid", "valid_rate", ".1%"),
    ("unique", "unique_rate", ".1%"),
    ("entropy", "entropy", ".2f"),
    ("blueprints\n/s", "blueprints_per_s", ",.1f"),
    ("hall\nof fame", "hall_of_fame_size", "d"),
)


class Progress(Observer):
    """Watches a run; use it as a context manager around the whole of it.

    Args:
        num_generations: generations of the run in all.
        console: where to write; standard output by default.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        num_generations: int,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._num_generations = num_generations
        self._console = console or Console(
            force_terminal=None if sys.stdout.isatty() else False, highlight=False
        )
        self._clock = clock
        self._rows: deque[dict[str, Any]] = deque(maxlen=_ROWS)
        self._durations: list[float] = []
        self._best: Entry | None = None
        self._phase = "setting up"
        self._done = self._total = 0
        self._generation_start = self._phase_start = clock()
        self._spinner = Spinner("dots", style="cyan")
        is_live = self._console.is_terminal and not self._console.is_dumb_terminal
        self._live = Live(console=self._console, get_renderable=self._render) if is_live else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._phase = ""
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        """Print one line, such as a step of the set-up."""
        if self._live:
            self._console.print(Text(text))
        else:
            print(text, file=self._console.file, flush=True)

    def phase(self, generation: int, name: str, total: int = 0) -> None:
        """Show a phase of a generation; with a `total`, as a bar that `advance` fills."""
        now = self._clock()
        if name == "sample":
            self._generation_start = now
        self._phase = f"generation {generation + 1}/{self._num_generations}  {name}"
        self._phase_start = now
        self._done, self._total = 0, total

    def advance(self, done: int) -> None:
        """Fill the bar of the phase by `done` trainings."""
        self._done = min(self._done + done, self._total)

    def generation(self, metrics: Mapping[str, Any], best: Sequence[Entry]) -> None:
        """Show a committed generation: a row of the table, or a plain line."""
        if self._rows and self._rows[-1].get("stage") != metrics.get("stage"):
            self._durations.clear()
        self._durations.append(metrics.get("generation_s", self._clock() - self._generation_start))
        self._rows.append(dict(metrics))
        self._best = best[0] if best else self._best
        self._phase, self._phase_start = "finishing", self._clock()  # until the next generation begins
        self._done = self._total = 0
        if not self._live:
            self.say(self._line(metrics))

    def time_left_s(self) -> float | None:
        """Return the seconds that the remaining generations take; absent before the first one ended.

        They are taken to last as long as the recent ones of the same stage.
        """
        if not self._rows:
            return None
        remaining = self._num_generations - self._rows[-1]["generation"] - 1
        return remaining * fmean(self._durations[-_RECENT:])

    @property
    def _is_narrow(self) -> bool:
        return self._console.width < 100

    def _line(self, metrics: Mapping[str, Any]) -> str:
        cells = "  ".join(
            f"{_one_line(title)} {_form(metrics, name, form)}" for title, name, form in _COLUMNS
        )
        left = self.time_left_s()
        last = "" if left is None else f"  left {_duration(left)}"
        return f"generation {metrics['generation'] + 1}/{self._num_generations}  {cells}{last}"

    def _render(self) -> RenderableType:
        parts: list[RenderableType] = []
        if self._rows:
            parts.append(self._table())
        if self._best:
            parts.append(self._best_line(self._best))
        if self._phase:
            parts.append(self._phase_line())
        return Group(*parts)

    def _table(self) -> Table:
        gap = 1 if self._is_narrow else 2
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, gap, 0, 0))
        table.add_column("gen", justify="right", no_wrap=True)
        for title, _, form in _COLUMNS:
            table.add_column(title, justify="left" if form == "s" else "right", no_wrap=True)
        table.add_column("time", justify="right", no_wrap=True)
        newest = len(self._rows) - 1
        for i, row in enumerate(self._rows):
            table.add_row(
                f"{row['generation'] + 1}/{self._num_generations}",
                *(_form(row, name, form) for _, name, form in _COLUMNS),
                _duration(row["generation_s"]) if "generation_s" in row else "-",
                style="" if i == newest else "dim",
            )
        return table

    def _best_line(self, best: Entry) -> Text:
        return Text.assemble(
            ("best so far  ", "bold"),
            (f"{best.performance:.3f}  ", "green"),
            " ".join(best.tokens),
            no_wrap=True,
            overflow="ellipsis",
        )

    def _phase_line(self) -> RenderableType:
        elapsed = self._clock() - self._phase_start
        text = f"{self._phase}  {_duration(elapsed)}"
        left = self.time_left_s()
        if left:
            spent = self._clock() - self._generation_start
            text += f"  about {_duration(max(left - spent, 0))} left"
        line = Table.grid(padding=(0, 1))
        if self._total:
            bar = ProgressBar(total=self._total, completed=self._done, width=12 if self._is_narrow else 30)
            line.add_row(self._spinner, bar, f"{self._done:,}/{self._total:,}", text)
        else:
            line.add_row(self._spinner, text)
        return line


def _one_line(title: str) -> str:
    return title.replace("\n/", "/").replace("\n", " ")


def _form(metrics: Mapping[str, Any], name: str, form: str) -> str:
    value = metrics.get(name)
    if value is None:
        return "-"
    return format(value, form).replace("%", " %")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
