"""How easy the exams of single seeds are, in a search and in its proofs; leaves shrinkage to shrinkage.py.

A seed draws an exam's examples and a blueprint's initial parameters, and all blueprints share the seeds of a
search, as they share those of proofs. What a seed is worth to everybody is therefore in every difference
between search and proof, and more proofs do not make it less. It is measured on blueprints that no score has
selected: the first of a ledger by their ids, which are hashes.

Axes: N blueprints, S seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np

from blueprints import Blueprint, BlueprintError, parse
from crucible.crucible import Run
from curricula.task import Task
from hall_of_fame.library import Library
from hall_of_fame.records import Proof
from tamiyo.cli_proofs import opened_reprover
from tamiyo.config import FIRST_PROOF_SEED, SEEDS_A_RUN, config_of
from tamiyo.intervals import Interval, interval
from tamiyo.reproving import Reprover

#: Seeds of either range that neither the search nor its proofs used.
NUM_FRESH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeds:
    """What seeds are worth to everybody.

    Attributes:
        num_blueprints: that were trained.
        search: mean score by fresh seed of the search's range.
        proof: the same of the range of proofs.
        difference: second less first, paired by place, with its interval over pairs of seeds.
        deviation: standard deviation of a seed's mean score, over the fresh ones of both ranges.
        ease: mean score less that of all fresh seeds, by each seed that the search or its proofs used.
        searched: the seeds behind the search's score, by blueprint id.
        proved: the seeds of proofs.
    """

    num_blueprints: int
    search: Mapping[int, float]
    proof: Mapping[int, float]
    difference: Interval
    deviation: float
    ease: Mapping[int, float]
    searched: Mapping[str, Sequence[int]]
    proved: Sequence[int]

    def corrected(self, proof: Proof) -> float:
        """Return the shrinkage at the search's learning rates, were its seeds as easy as those of proofs.

        It takes a seed to be as easy for one blueprint as for another.
        """
        searched = fmean(self.ease[seed] for seed in self.searched[proof.blueprint_id])
        proved = fmean(self.ease[seed] for seed in self.proved)
        return proof.search_score - proof.mean_as_searched - (searched - proved)


def measure(library: Library, proofs: Sequence[Proof], num: int) -> Seeds:
    """Train `num` blueprints of the newest run's ledger on used and fresh seeds, at the search's rates."""
    with opened_reprover(library, None, workers=None) as (reprover, tasks, _):
        run = library.store.run(reprover.run_id)
        assert run is not None, "a reprover's run is on record"
        settings = config_of(run.config, None)
        searched = {proof.blueprint_id: _searched(library, reprover, tasks, proof) for proof in proofs}
        used = sorted({seed for seeds in searched.values() for seed in seeds} | set(reprover.seeds))
        first = settings.seed * SEEDS_A_RUN + settings.crucible.max_seeds
        search = range(first, first + NUM_FRESH)
        first = FIRST_PROOF_SEED + len(reprover.seeds)
        proof = range(first, first + NUM_FRESH)
        seeds = [*used, *search, *proof]
        blueprints = _unselected(library, reprover, num)
        scores_S = _scores(reprover, blueprints, tasks, seeds).mean(0).tolist()
    means = dict(zip(seeds, scores_S, strict=True))
    fresh = [means[seed] for seed in (*search, *proof)]
    return Seeds(
        num_blueprints=len(blueprints),
        search={seed: means[seed] for seed in search},
        proof={seed: means[seed] for seed in proof},
        difference=interval([means[b] - means[a] for a, b in zip(search, proof, strict=True)]),
        deviation=stdev(fresh),
        ease={seed: means[seed] - fmean(fresh) for seed in used},
        searched=searched,
        proved=reprover.seeds,
    )


def _searched(library: Library, reprover: Reprover, tasks: Sequence[Task], proof: Proof) -> Sequence[int]:
    """Return the seeds that a proved blueprint had in the search."""
    keys = reprover.keys(tasks)
    records = library.store.evaluations(proof.blueprint_id)
    own = {r.result.seed for r in records if r.run_id == reprover.run_id and r.task_key in keys}
    return sorted(own)


def _unselected(library: Library, reprover: Reprover, num: int) -> list[Blueprint]:
    """Return the first `num` blueprints by id; fewer where the ledger has fewer that can be read."""
    found: list[Blueprint] = []
    for id_ in library.store.ids():
        record = library.store.blueprint(id_)
        assert record is not None, "an id on record has its blueprint on record"
        try:
            found.append(parse(record.tokens, reprover.language))
        except BlueprintError:
            continue  # written in a language that this package no longer reads
        if len(found) == num:
            break
    return found


def _scores(
    reprover: Reprover, blueprints: Sequence[Blueprint], tasks: Sequence[Task], seeds: Sequence[int]
) -> np.ndarray:
    """Return the task term of the reward `[N, S]` of each blueprint for each seed alone."""
    jobs = [Run(b, task, seed) for b in blueprints for seed in seeds for task in tasks]
    results = iter(reprover.crucible.run_jobs(jobs, competing=False))
    return np.array(
        [
            [reprover.term(blueprint, {task: [next(results)] for task in tasks}) for _ in seeds]
            for blueprint in blueprints
        ]
    )
