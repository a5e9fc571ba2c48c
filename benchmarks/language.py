"""What legality costs: reading programs beside training them, and masked sampling beside free sampling.

    python benchmarks/language.py --json language.json

Reading is parsing, verifying and hashing a batch of blueprints, and the masks on the way through them, in
one process with cold caches; training is the same batch on XOR, by the batched engine on all cores. Sampling
is 1,024 programs from the Architect's policy, before pretraining and after that of a run; each round draws
new ones, so that the caches hold what earlier rounds left. Which programs are found is left aside.
"""

# ruff: noqa: E402

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import torch
from crucible_throughput import describe_machine
from preflight import check

from architect.corpus import CorpusConfig, build_corpus
from architect.language_space import LanguageSpace
from architect.policy import Policy, PolicyConfig
from architect.pretraining import PretrainingConfig, pretrain
from architect.sampling import sample
from architect.scoring import actions_of
from architect.token_space import ids
from blueprints import Blueprint, Language, parse, random_program, structural_hash, verify
from crucible.crucible import Crucible, num_cores
from curricula.xor import Xor

WIDTH = 16
#: Shares that the language is meant to stay below.
TARGET_SHARE, TARGET_RATIO = 0.10, 1.3


def main() -> None:
    """Measure both, print the ratios with their spread and the machine, and write them as JSON."""
    arguments = _arguments()
    check("cpu", arguments.json)
    machine = describe_machine(torch.device("cpu"), arguments.workers)
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    document: dict[str, Any] = {"num": arguments.num, "rounds": arguments.rounds, "machine": machine}
    if not arguments.only_sampling:
        document["reading"] = measure_reading(arguments.num, arguments.rounds, arguments.workers)
    torch.set_num_threads(1)
    document["sampling"] = [
        measure_sampling(epochs, arguments.num, arguments.rounds) for epochs in (0, arguments.epochs)
    ]
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--num", type=int, default=1024, help="programs a round (default 1024)")
    parser.add_argument("--rounds", type=int, default=3, help="paired rounds (default 3)")
    parser.add_argument("--workers", type=int, default=num_cores(), help="processes that train")
    epochs = PretrainingConfig().num_epochs
    parser.add_argument("--epochs", type=int, default=epochs, help=f"of pretraining (a run's: {epochs})")
    parser.add_argument(
        "--only-sampling", action="store_true", help="leave the Crucible out: it takes minutes"
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the figures to OUT")
    arguments = parser.parse_args()
    for name in ("num", "rounds", "workers", "epochs"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(arguments, name)}")
    return arguments


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median of some rounds, with the least and the most."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


# -- reading and training ------------------------------------------------------------------------------------


def measure_reading(num: int, rounds: int, num_workers: int) -> dict[str, Any]:
    """Return the seconds that reading and training take, and the share of the one in the other."""
    parts: dict[str, list[float]] = {name: [] for name in ("masks", "parse", "verify", "hash", "train")}
    with Crucible(WIDTH, "batched", num_workers=num_workers) as crucible:
        for r in range(rounds):
            rng = random.Random(r)
            programs = [random_program(rng) for _ in range(num)]
            seconds, blueprints = read(programs)
            if r == 0:
                crucible.evaluate(blueprints[: 2 * num_workers], [Xor()], [0])
            seconds["train"] = _seconds(lambda batch=blueprints: crucible.evaluate(batch, [Xor()], [0]))
            for name, value in seconds.items():
                parts[name].append(value)
    reading = [sum(values) for values in zip(*(v for n, v in parts.items() if n != "train"), strict=True)]
    shares = [r / t for r, t in zip(reading, parts["train"], strict=True)]
    result = {"share": spread(shares), "seconds": {name: spread(v) for name, v in parts.items()}}
    print(
        f"reading {num} programs takes {statistics.median(shares):.2%} of training them on XOR "
        f"({min(shares):.2%}-{max(shares):.2%} in {rounds} rounds; meant: under {TARGET_SHARE:.0%})"
    )
    print("  " + ", ".join(f"{name} {statistics.median(v):.2f} s" for name, v in parts.items()))
    return result


def read(programs: Sequence[Sequence[str]]) -> tuple[dict[str, float], list[Blueprint]]:
    """Return the seconds that each part of reading takes in a language that knows nothing yet."""
    language = Language()
    space = LanguageSpace(language)
    blueprints: list[Blueprint] = []
    seconds = {
        "masks": _seconds(lambda: actions_of(space, [ids(space, tokens) for tokens in programs], "grammar")),
        "parse": _seconds(lambda: blueprints.extend(parse(tokens, language) for tokens in programs)),
        "verify": _seconds(lambda: [verify(blueprint.graph, language) for blueprint in blueprints]),
        "hash": _seconds(lambda: [structural_hash(blueprint.graph) for blueprint in blueprints]),
    }
    return seconds, blueprints


# -- masked and free sampling --------------------------------------------------------------------------------


def measure_sampling(epochs: int, num: int, rounds: int) -> dict[str, Any]:
    """Return how much longer masked sampling takes than free sampling, after some epochs of pretraining."""
    space = LanguageSpace(Language())
    policy = Policy(len(space.tokens), space.max_length, PolicyConfig(), seed=0)
    validity = 0.0
    if epochs:
        corpus = build_corpus(space, CorpusConfig(), 0)
        config = PretrainingConfig(num_epochs=epochs)
        validity = pretrain(policy, space, corpus, config, seed=0).validity
        space = LanguageSpace(Language())
    seconds: dict[str, list[float]] = {"grammar": [], "free": []}
    lengths = {}
    for r in range(rounds + 1):
        for decoding, times in seconds.items():
            generator = torch.Generator().manual_seed(r)
            start = time.perf_counter()
            drawn = sample(policy, space, num, decoding=decoding, generator=generator)  # pyright: ignore[reportArgumentType]
            times.append(time.perf_counter() - start)
            lengths[decoding] = statistics.fmean(map(len, drawn.programs))
    cold, *ratios = (m / f for m, f in zip(seconds["grammar"], seconds["free"], strict=True))
    print(
        f"masked sampling after {epochs} epochs takes {statistics.median(ratios):.2f} times as long as free "
        f"({min(ratios):.2f}-{max(ratios):.2f} in {rounds} rounds, {cold:.2f} with cold caches; meant: "
        f"{TARGET_RATIO}); mean lengths {lengths['grammar']:.1f} and {lengths['free']:.1f}, "
        f"{validity:.0%} of the free ones legal"
    )
    return {
        "epochs": epochs,
        "ratio": spread(ratios),
        "ratio_cold": cold,
        "seconds": {name: spread(times[1:]) for name, times in seconds.items()},
        "mean_length": lengths,
        "free_validity": validity,
    }


if __name__ == "__main__":
    main()
