"""Processes that write runs into a library until they have done their part or are killed; judges nothing.

Run as a script it loads everything and forks a writer for each line of its input, so that a test may
kill many; what a writer has begun and what the store has reported as committed come back as lines.
"""

import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, Self

import ledgers
import numpy as np
from ledgers import ENGINE, XOR

from blueprints import Blueprint, parse, random_program
from crucible.evaluation import Evaluation, TaskResult
from hall_of_fame.errors import StoreError
from hall_of_fame.store import Store

#: Candidates a generation.
NUM = 8
#: Exit status of a writer that the store refused, after its line was told.
REFUSED = 3


class Writers:
    """Starts writers and hears from them; leaving the context ends all that are left."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.hear() == {"event": "ready"}

    def start(
        self, url: str, run_id: str, *, generations: int = sys.maxsize, at: float = 0.0, rest: float = 0.0
    ) -> int:
        """Start a writer of a run and return its process id.

        Args:
            url: the library.
            run_id: the run, which goes on where it stands.
            generations: it ends with so many on record.
            at: when it opens the library, as time.time() tells it.
            rest: seconds before each generation, in which a search would train.
        """
        order = {"url": url, "run_id": run_id, "generations": generations, "at": at, "rest": rest}
        assert self._process.stdin is not None
        print(json.dumps(order), file=self._process.stdin, flush=True)
        heard = self.hear()
        while heard["event"] != "born" or heard["run_id"] != run_id:
            heard = self.hear()
        return heard["pid"]

    def hear(self) -> dict[str, Any]:
        """Return what the next line tells: `event`, and of which `run_id`."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def hear_until_ended(self, num: int = 1) -> Iterator[dict[str, Any]]:
        """Yield what is told until `num` writers have ended, their ends included."""
        while num:
            heard = self.hear()
            num -= heard["event"] == "ended"
            yield heard

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()  # a writer that is left ends when nobody hears it
        self._process.wait()


@functools.cache
def pool() -> list[Blueprint]:
    """Return the blueprints that all runs share."""
    rng = random.Random(0)
    found = {
        blueprint.id: blueprint for blueprint in (parse(random_program(rng, max_ops=4)) for _ in range(40))
    }
    return list(found.values())


def generation(run_id: str, number: int) -> list[tuple[Blueprint, Evaluation]]:
    """Return a generation of a run: blueprints that others write too, each trained on seeds of its own."""
    rng = random.Random(f"{run_id} {number}")
    shape = np.random.default_rng(number).normal(size=(64, 16)).astype(np.float32)
    return [
        (
            blueprint,
            ledgers.evaluation(
                blueprint,
                *(
                    TaskResult(task="xor", seed=2 * number + part, score=rng.random(), fingerprint=shape)
                    for part in (0, 1)
                ),
            ),
        )
        for blueprint in rng.sample(pool(), NUM)
    ]


def assert_whole(store: Store, run_id: str) -> int:
    """Assert that a run's generations are on record to the last row; return how many there are."""
    last = store.last_generation(run_id)
    num = 0 if last is None else last.generation + 1
    expected: dict[str, dict[int, float]] = {}
    for number in range(num):
        judged = generation(run_id, number)
        assert [c.tokens for c in store.candidates(run_id, number)] == [b.tokens for b, _ in judged]
        for blueprint, evaluation in judged:
            scores = {result.seed: result.score for result in evaluation.results}
            expected.setdefault(blueprint.id, {}).update(scores)
    known = store.known_results(expected, ENGINE, [XOR.key], run_id=run_id)
    assert {id_: {result.seed: result.score for result in found} for id_, found in known.items()} == expected
    counts = store.counts(run_id)
    assert (counts.generations, counts.candidates, counts.evaluations) == (num, NUM * num, 2 * NUM * num)
    return num


def _write(url: str, run_id: str, generations: int, at: float, rest: float) -> None:
    """Write a run from where it stands."""
    pool()
    time.sleep(max(0.0, at - time.time()))
    with Store.open(url, create=True) as store:
        store.add_run(ledgers.run_record(run_id))
        last = store.last_generation(run_id)
        for number in range(0 if last is None else last.generation + 1, generations):
            judged = generation(run_id, number)
            time.sleep(rest)
            _tell("begun", run_id, generation=number)
            ledgers.commit(store, number, judged, run_id=run_id, tasks=[XOR])
            _tell("committed", run_id, generation=number)


def _tell(event: str, run_id: str, **values: Any) -> None:
    """Write one line at once, whole though others write into the same pipe."""
    os.write(1, (json.dumps({"event": event, "run_id": run_id, **values}) + "\n").encode())


def _tend(order: dict[str, Any]) -> None:
    """Fork a writer, tell of its birth and, when it is gone, of its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    run_id = order["run_id"]
    writer = os.fork()
    if writer == 0:
        try:
            _write(**order)
        except StoreError as error:
            _tell("refused", run_id, line=str(error))
            os._exit(REFUSED)
        os._exit(0)
    _tell("born", run_id, pid=writer)
    status = os.waitstatus_to_exitcode(os.waitpid(writer, 0)[1])
    _tell("ended", run_id, status=status)


if __name__ == "__main__":
    pool()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever tends a writer needs no burial
    print(json.dumps({"event": "ready"}), flush=True)
    for text in sys.stdin:
        if os.fork() == 0:
            _tend(json.loads(text))
            os._exit(0)
