"""The map at hand: drawn by another process, served while it is drawn anew, ended in time; judges no map."""

import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from blueprints import parse, random_program
from hall_of_fame.views import shape_of
from tamiyo.space_records import Member, SpaceSettings
from tamiyo.space_service import SpaceService, SpaceState

SETTINGS = SpaceSettings(num_steps=2, most_clusters=5)


def members(seed: int, num: int = 60) -> list[Member]:
    rng = random.Random(seed)
    found = [parse(random_program(rng, max_ops=3)) for _ in range(num)]
    return [
        Member(id=f"{place:064x}", tokens=one.tokens, family=shape_of(one.tokens)[0], reward=rng.random())
        for place, one in enumerate(found)
    ]


class Growing:
    """A library that grows when told."""

    def __init__(self) -> None:
        self.num, self.members, self.num_reads = 1000, members(0), 0

    def count(self) -> int:
        return self.num

    def sample(self) -> Sequence[Member]:
        self.num_reads += 1
        return self.members


@pytest.fixture
def library() -> Growing:
    return Growing()


@pytest.fixture
def service(library: Growing) -> Iterator[SpaceService]:
    service = SpaceService(count=library.count, sample=library.sample, settings=SETTINGS)
    yield service
    service.close()


def wait(service: SpaceService, until: Callable[[SpaceState], bool]) -> SpaceState:
    """Return the first state that fits; the limit is generous, for a machine may be busy."""
    end = time.monotonic() + 240
    while not until(state := service.state()):
        assert time.monotonic() < end, state
        time.sleep(0.02)
    return state


def is_ready(state: SpaceState) -> bool:
    return state.status == "ready" and not state.is_redrawn


def test_the_first_request_starts_a_drawing_and_is_answered_at_once(service: SpaceService) -> None:
    first = service.state()
    assert (first.status, first.map, first.is_redrawn) == ("computing", None, True)
    seen = {first.phase}
    ready = wait(service, lambda state: seen.add(state.phase) or is_ready(state))
    assert ready.map is not None
    assert len(ready.map.points) == 60
    assert {"reading the library", "reading graphs", "learning"} & seen


def test_a_map_serves_until_the_library_has_a_tenth_more(service: SpaceService, library: Growing) -> None:
    first = wait(service, is_ready)
    library.num, library.members = 1099, members(1)
    assert service.state() is first
    library.num = 1100
    meanwhile = service.state()
    assert (meanwhile.status, meanwhile.is_redrawn, meanwhile.map) == ("ready", True, first.map)
    second = wait(service, is_ready)
    assert second.map != first.map
    assert (second.num_blueprints, library.num_reads) == (1100, 2)


def test_a_sample_that_came_out_the_same_is_not_drawn_again(service: SpaceService, library: Growing) -> None:
    first = wait(service, is_ready)
    library.num, library.members = 2000, library.members[::-1]
    service.state()
    second = wait(service, is_ready)
    assert second.map is first.map
    assert (second.num_blueprints, library.num_reads) == (2000, 2)


def test_what_the_process_refuses_is_the_reason_and_is_not_tried_at_once(library: Growing) -> None:
    library.members = library.members[:3]
    service = SpaceService(count=library.count, sample=library.sample, settings=SETTINGS)
    failed = wait(service, lambda state: state.status == "failed")
    assert failed.reason.startswith("3 blueprints make no map; expected at least 50")
    assert service.state() is failed
    assert library.num_reads == 1
    service.close()


def test_a_drawing_that_takes_too_long_is_ended(library: Growing) -> None:
    service = SpaceService(count=library.count, sample=library.sample, settings=SETTINGS, deadline_s=0.05)
    failed = wait(service, lambda state: state.status == "failed")
    assert failed.reason == "the map was not drawn in 0.05 s; it is tried again later"
    service.close()


def test_a_library_that_cannot_be_read_leaves_a_reason(
    library: Growing, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Sequence[Member]:
        raise RuntimeError("no disk")

    service = SpaceService(count=library.count, sample=broken, settings=SETTINGS)
    failed = wait(service, lambda state: state.status == "failed")
    assert failed.reason == "the map failed: RuntimeError; the server's log says why"
    assert "no disk" in caplog.text
    service.close()


def test_closing_ends_the_process_and_no_other_is_started(service: SpaceService, library: Growing) -> None:
    service.state()
    wait(service, lambda state: state.phase == "reading graphs")
    process = service._process
    assert process is not None
    assert process.poll() is None
    service.close()
    assert process.returncode == -signal.SIGKILL
    assert not service.state().is_redrawn
    assert service.state().map is None
    assert library.num_reads == 1
