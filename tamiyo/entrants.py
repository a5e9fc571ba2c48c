"""Measures the latency of what enters the hall of fame, once a device and width; no reward depends on it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from blueprints import Language, parse
from crucible.devices import device_model
from crucible.evaluation import MeasuredLatency
from crucible.stopwatch import Stopwatch
from hall_of_fame.records import Entry

#: Share of a generation's time that measuring may add, one entrant aside; those left over wait for the next.
SHARE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrants:
    """Measures entries that have no latency on record for one device and width.

    Attributes:
        language: what their programs are read with.
        stopwatch: measures them.
        width: D of the host.
        time: T of the input.
        batch_size: examples a pass.
    """

    language: Language
    stopwatch: Stopwatch
    width: int
    time: int
    batch_size: int

    def measure(self, entries: Sequence[Entry], budget_s: float = float("inf")) -> dict[str, MeasuredLatency]:
        """Return the latencies that were missing, by id: of one entry, and of more while the budget lasts."""
        end = time.perf_counter() + budget_s
        found: dict[str, MeasuredLatency] = {}
        for entry in entries:
            if found and time.perf_counter() >= end:
                break
            if not self._is_measured(entry):
                found[entry.id] = self.stopwatch.measure(
                    parse(entry.tokens, self.language).graph,
                    width=self.width,
                    time=self.time,
                    batch_size=self.batch_size,
                    language=self.language,
                )
        return found

    def _is_measured(self, entry: Entry) -> bool:
        key = device_model(self.stopwatch.device), self.width
        return key in {(latency.device, latency.width) for latency in entry.measured}
