"""Entrants are measured once, the first first, as far as the budget goes; whole runs have their own tests."""

from dataclasses import replace

import torch

from blueprints import HUMAN_BLUEPRINTS, LANGUAGE
from crucible.devices import device_model
from crucible.stopwatch import Stopwatch
from hall_of_fame.records import Entry
from tamiyo.entrants import Entrants

ENTRANTS = Entrants(language=LANGUAGE, stopwatch=Stopwatch(budget_s=0.0), width=32, time=8, batch_size=4)


def entries(num: int) -> list[Entry]:
    return [
        Entry(
            rank=rank,
            id=f"id-{rank}",
            tokens=human.tokens,
            language_version=LANGUAGE.version_hash,
            performance=1 / rank,
            reward=None,
            num_parameters=None,
            flops=None,
            latency_us=None,
            tasks=(),
            num_evaluations=1,
            run_id="run",
            generation=0,
        )
        for rank, human in enumerate(HUMAN_BLUEPRINTS[:num], start=1)
    ]


def test_each_entry_is_measured_in_the_run_s_host_on_its_device() -> None:
    found = ENTRANTS.measure(entries(3))
    assert list(found) == ["id-1", "id-2", "id-3"]
    for latency in found.values():
        assert (latency.width, latency.time, latency.batch_size) == (32, 8, 4)
        assert latency.device == device_model(torch.device("cpu"))


def test_an_entry_measured_on_this_device_and_width_is_not_measured_again() -> None:
    first, second, third = entries(3)
    latency = ENTRANTS.measure([first])[first.id]
    known = replace(first, measured=(latency,))
    other_width = replace(second, measured=(replace(latency, width=16),))
    other_device = replace(third, measured=(replace(latency, device="cuda/a"),))
    assert list(ENTRANTS.measure([known, other_width, other_device])) == [second.id, third.id]
    assert ENTRANTS.measure([known]) == {}


def test_the_budget_ends_the_measuring_after_one_and_the_rest_wait() -> None:
    first, second, third = entries(3)
    found = ENTRANTS.measure([first, second, third], budget_s=0.0)
    assert list(found) == [first.id]
    known = replace(first, measured=(found[first.id],))
    assert list(ENTRANTS.measure([known, second, third], budget_s=0.0)) == [second.id]
