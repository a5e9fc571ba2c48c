"""Does predicted latency rank blueprints as measured latency does? Trains briefly for scores; tunes nothing.

    python benchmarks/latency.py --json latency.json --picture latency.png

Blueprints of the whole language, one from each stratum of FLOPs, are measured in rounds, each pass beside
one of a reference module; the table that predicts them was measured on single ops beside the same reference,
in whose time both are compared. What measuring itself is worth is the correlation of odd and even rounds.
Figures within quarters of FLOPs say what is left of a correlation once the easy differences are gone.

Axes: N blueprints, R rounds.
"""

# ruff: noqa: E402

import argparse
import json
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import numpy as np
from crucible_throughput import describe_machine
from preflight import check
from ranks import Estimate, against, kendall

from blueprints import LANGUAGE, Blueprint, flops, num_parameters, parse, random_program
from blueprints.graph import LOOP, SCAN, Node
from crucible.crucible import Crucible
from crucible.devices import find_device
from crucible.latency import LatencyTable
from crucible.stopwatch import Stopwatch
from curricula.temporal import Temporal

SAMPLE_SEED = 20_240
#: Programs drawn for one that is kept.
DRAWN = 10
NUM_QUARTERS = 4
#: What a blueprint holds, by name, so that the table can be judged on those alone.
KINDS: Mapping[str, Callable[[Node], bool]] = {
    "loop": lambda node: node.op == LOOP,
    "scan": lambda node: node.op == SCAN,
    "merge": lambda node: len(node.inputs) > 1,
    "convolution": lambda node: node.op in ("CONV1D", "DWCONV1D"),
    "attention": lambda node: node.op == "ATTENTION",
    "recurrence": lambda node: node.op in ("GRU", "LSTM", "DIAGONAL_SCAN"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Of a host and its input: D, T and examples a pass."""

    width: int = 16
    time: int = 16
    batch_size: int = 32


def main() -> None:
    """Measure, predict, compare; print tables and write JSON and a picture."""
    options = _options()
    check(options.device, options.json)
    check(options.device, options.picture)
    sizes = Sizes(width=options.width, time=options.time)
    sample = draw_sample(options.num, sizes)
    print(f"{len(sample)} blueprints of the whole language, stratified by FLOPs, on {options.device}")
    table = LatencyTable.measure(**asdict(sizes), device=options.device)
    measured = measure(sample, sizes, options.device, options.rounds)
    assert table.reference_us is not None, "a table that was just measured knows its reference"
    speed = measured.reference_us / table.reference_us
    predicted_N = speed * np.array([table.predict(blueprint.graph) for blueprint in sample])
    document = compare(sample, sizes, predicted_N, measured)
    document["rows"] = rows(sample, sizes, predicted_N, measured, scores(sample, sizes))
    document["machine"] = describe_machine(find_device(options.device), 1)
    _print(document)
    if options.json:
        Path(options.json).write_text(json.dumps(document, indent=1) + "\n")
    if options.picture:
        from latency_figure import draw

        draw(document, options.picture)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--num", type=int, default=200, help="blueprints, at least 8")
    parser.add_argument("--rounds", type=int, default=6, help="measurements of each, at least 2")
    parser.add_argument("--width", type=int, default=16, help="D of the host, a multiple of 16")
    parser.add_argument("--time", type=int, default=16, help="T of the input")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", help="where the numbers go")
    parser.add_argument("--picture", help="where the picture goes (needs matplotlib)")
    options = parser.parse_args()
    if options.width % 16:
        parser.error(f"--width must be a multiple of 16, got {options.width}")
    for name, least in (("num", 2 * NUM_QUARTERS), ("rounds", 2), ("width", 16), ("time", 1)):
        if getattr(options, name) < least:
            parser.error(f"--{name} must be at least {least}, got {getattr(options, name)}")
    return options


def draw_sample(num: int, sizes: Sizes) -> list[Blueprint]:
    """Return `num` distinct random blueprints of 1 to 12 ops, one a stratum of FLOPs, the fewest first."""
    rng = random.Random(SAMPLE_SEED)
    drawn: dict[str, Blueprint] = {}
    while len(drawn) < DRAWN * num:
        blueprint = parse(random_program(rng, LANGUAGE, min_ops=1, max_ops=12))
        drawn.setdefault(blueprint.id, blueprint)
    ordered = sorted(drawn.values(), key=lambda b: (_flops(b, sizes), b.id))
    return [ordered[int((i + 0.5) * DRAWN)] for i in range(num)]


class Measured(NamedTuple):
    """Every measurement, `[R, N]` each: median and interquartile range of the passes, and ratio."""

    median_us: np.ndarray
    spread_us: np.ndarray
    ratio: np.ndarray
    reference_us: float

    def us(self, rounds: slice = slice(None)) -> np.ndarray:
        """Return latencies `[N]`: median ratios over some rounds, at the reference's median speed in all."""
        return np.median(self.ratio[rounds], axis=0) * self.reference_us


def measure(sample: Sequence[Blueprint], sizes: Sizes, device: str, rounds: int) -> Measured:
    """Measure the sample once a round, each time in another order."""
    stopwatch = Stopwatch(device)
    rng = random.Random(SAMPLE_SEED)
    found = np.empty((4, rounds, len(sample)))
    for r in range(rounds):
        for i in rng.sample(range(len(sample)), len(sample)):
            latency = stopwatch.measure(sample[i].graph, **asdict(sizes))
            found[:, r, i] = latency.median_us, latency.spread_us, latency.ratio, latency.reference_us
    median_us, spread_us, ratio, reference_us = found
    return Measured(median_us, spread_us, ratio, float(np.median(reference_us)))


def scores(sample: Sequence[Blueprint], sizes: Sizes) -> list[float]:
    """Return the test accuracy of one short training of each, on the temporal task from seed 0."""
    with Crucible(sizes.width, "auto") as crucible:
        return [e.results[0].score for e in crucible.evaluate(sample, [Temporal()], [0])]


def compare(
    sample: Sequence[Blueprint], sizes: Sizes, predicted_N: np.ndarray, measured: Measured
) -> dict[str, Any]:
    """Return rank correlations with measured latency: overall, by quarter of FLOPs, and by kind."""
    us_N = measured.us()
    odd_N, even_N = measured.us(slice(1, None, 2)), measured.us(slice(0, None, 2))
    flops_N = np.array([_flops(blueprint, sizes) for blueprint in sample])
    parameters_N = np.array([num_parameters(blueprint.graph, sizes.width) for blueprint in sample])

    def figures(chosen: np.ndarray) -> dict[str, Any]:
        return {
            "num": len(chosen),
            "spearman": _spearman(predicted_N[chosen], us_N[chosen]),
            "kendall": asdict(against(predicted_N[chosen, None], us_N[chosen], kendall)),
            "ceiling": _spearman(odd_N[chosen], even_N[chosen]),
            "predicted_over_measured": float(np.median(predicted_N[chosen] / us_N[chosen])),
            "factor": _factor(predicted_N[chosen], us_N[chosen]),
        }

    everyone = np.arange(len(sample))
    return {
        "rounds": len(measured.ratio),
        "sizes": asdict(sizes),
        "all": figures(everyone),
        "quarters": [figures(part) for part in np.array_split(everyone, NUM_QUARTERS)],
        "kinds": {
            name: figures(np.array(chosen))
            for name, has in KINDS.items()
            if len(chosen := [i for i, b in enumerate(sample) if any(map(has, b.graph.all_nodes()))]) > 2
        },
        "others": {
            "flops": _spearman(flops_N, us_N),
            "parameters": _spearman(parameters_N, us_N),
            "nodes": _spearman(np.array([len(list(b.graph.all_nodes())) for b in sample]), us_N),
        },
        "one_round_with_the_next": {
            "unpaired": _spearman(measured.median_us[0], measured.median_us[1]),
            "unpaired_factor": _factor(measured.median_us[0], measured.median_us[1]),
            "paired": _spearman(measured.ratio[0], measured.ratio[1]),
            "paired_factor": _factor(measured.ratio[0], measured.ratio[1]),
        },
    }


def rows(
    sample: Sequence[Blueprint],
    sizes: Sizes,
    predicted_N: np.ndarray,
    measured: Measured,
    score_N: Sequence[float],
) -> list[dict[str, Any]]:
    """Return one row a blueprint, with whether it is on the Pareto front of parameters, latency and score."""
    us_N = measured.us()
    parameters = [num_parameters(blueprint.graph, sizes.width) for blueprint in sample]
    front = pareto_front([(p, float(us), -s) for p, us, s in zip(parameters, us_N, score_N, strict=True)])
    return [
        {
            "id": blueprint.id,
            "program": " ".join(blueprint.tokens),
            "flops": _flops(blueprint, sizes),
            "parameters": parameters[i],
            "predicted_us": float(predicted_N[i]),
            "measured_us": float(us_N[i]),
            "spread_us": float(np.median(measured.spread_us[:, i])),
            "ratio": float(np.median(measured.ratio[:, i])),
            "score": score_N[i],
            "on_front": i in front,
        }
        for i, blueprint in enumerate(sample)
    ]


def pareto_front(costs: Sequence[tuple[float, ...]]) -> set[int]:
    """Return the indices of costs that no other dominates: none is at most as high in all and less in one."""
    return {
        i
        for i, own in enumerate(costs)
        if not any(other != own and all(a <= b for a, b in zip(other, own, strict=True)) for other in costs)
    }


def _flops(blueprint: Blueprint, sizes: Sizes) -> int:
    return flops(blueprint.graph, sizes.width, sizes.time)


def _spearman(x_N: np.ndarray, y_N: np.ndarray) -> dict[str, Any]:
    return asdict(against(x_N[:, None], y_N))


def _factor(x_N: np.ndarray, y_N: np.ndarray) -> float:
    """Return e to the standard deviation of log x/y: by what factor one misses the other, bias aside."""
    return float(np.exp(np.std(np.log(x_N / y_N))))


def _print(document: Mapping[str, Any]) -> None:
    print(f"\n{'':<14}{'num':>4}  {'Spearman':<24}{'Kendall':<24}{'odd with even rounds':<24}factor  bias")
    quarters = {f"quarter {q}": part for q, part in enumerate(document["quarters"], start=1)}
    for name, part in {"all": document["all"], **quarters, **document["kinds"]}.items():
        shown = [str(Estimate(**part[key])) for key in ("spearman", "kendall", "ceiling")]
        print(
            f"{name:<14}{part['num']:>4}  " + "".join(f"{text:<24}" for text in shown),
            f"{part['factor']:5.2f} {part['predicted_over_measured']:5.2f}",
        )
    print("\ninstead of the table")
    for name, part in document["others"].items():
        print(f"{name:<20}{Estimate(**part)}")
    once = document["one_round_with_the_next"]
    for name in ("unpaired", "paired"):
        print(
            f"one round with the next, {name}: {Estimate(**once[name])}, factor {once[f'{name}_factor']:.2f}"
        )
    front = sorted((row for row in document["rows"] if row["on_front"]), key=lambda row: -row["score"])
    print(f"\nPareto front of parameters, latency and score: {len(front)} of {len(document['rows'])}")
    for row in front:
        print(
            f"{row['score']:.3f} {row['measured_us']:9.1f} us {row['parameters']:7,d}  {row['program'][:80]}"
        )


if __name__ == "__main__":
    main()
