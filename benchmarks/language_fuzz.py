"""Random token sequences through the parser: nothing but a BlueprintError may escape; trains nothing.

    python benchmarks/language_fuzz.py --num 1000000 --json fuzz.json

Half of the sequences are soup, tokens drawn uniformly; the other half are legal programs with one to three
random edits, which get far deeper into the grammar. Sequences come in chunks, each with a seed of its own, so
that the figures do not depend on the number of processes.
"""

# ruff: noqa: E402

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from preflight import check

from blueprints import LANGUAGE, BlueprintError, parse, random_program
from crucible.crucible import num_cores

CHUNK = 2_000
MAX_SOUP = 30
#: Edited copies of one legal program.
COPIES = 4
MAX_EDITS = 3
ACCEPTED = "accepted"
TOKENS = (*LANGUAGE.tokens, "NO_SUCH_TOKEN", "")


@dataclass(slots=True, kw_only=True)
class Outcomes:
    """What became of some sequences.

    Attributes:
        rules: rule to the sequences that it refused; `accepted` to those that parsed.
        escaped: sequences that raised something else, with what it was.
        seconds: spent parsing, over all processes.
    """

    rules: Counter[str] = field(default_factory=Counter)
    escaped: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, other: "Outcomes") -> None:
        """Count another lot in."""
        self.rules += other.rules
        self.escaped += other.escaped
        self.seconds += other.seconds


def sequences(num: int, rng: random.Random) -> Iterator[list[str]]:
    """Yield `num` sequences, by turns soup and legal programs with random edits."""
    parent: Sequence[str] = ()
    for index in range(num):
        if index % 2 == 0:
            yield rng.choices(TOKENS, k=rng.randint(1, MAX_SOUP))
            continue
        if index // 2 % COPIES == 0:
            parent = random_program(rng, max_ops=8)
        yield edited(parent, rng)


def edited(tokens: Sequence[str], rng: random.Random) -> list[str]:
    """Return the sequence with one to three tokens replaced, inserted, deleted or swapped."""
    result = list(tokens)
    for _ in range(rng.randint(1, MAX_EDITS)):
        position = rng.randrange(len(result) + 1)
        kind = rng.choice(("replace", "insert", "delete", "swap")) if position < len(result) else "insert"
        if kind == "swap":
            other = rng.randrange(len(result))
            result[position], result[other] = result[other], result[position]
        else:
            result[position : position + (kind != "insert")] = (
                [] if kind == "delete" else [rng.choice(TOKENS)]
            )
    return result


def fuzz(num: int, seed: str) -> Outcomes:
    """Parse `num` sequences and count what became of them."""
    outcomes = Outcomes()
    for tokens in sequences(num, random.Random(seed)):
        start = time.perf_counter()
        try:
            rule = outcome(tokens)
        except Exception as error:  # what a fuzzer is for: it is reported, and fails the run
            rule = "escaped"
            outcomes.escaped.append(f"{type(error).__name__}: {error} in {' '.join(tokens)}")
        outcomes.seconds += time.perf_counter() - start
        outcomes.rules[rule] += 1
    return outcomes


def outcome(tokens: Sequence[str]) -> str:
    """Return the rule that the parser refuses a sequence by, or that it accepted it."""
    try:
        parse(tokens)
    except BlueprintError as error:
        return error.rule
    return ACCEPTED


def main() -> int:
    """Fuzz on all cores, print and write the shares; return 1 when anything escaped."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--num", type=int, default=1_000_000, help="sequences (default 1,000,000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=num_cores(), help="processes (default: one a core)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the figures to OUT")
    arguments = parser.parse_args()
    for name in ("num", "workers"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(arguments, name)}")
    check("cpu", arguments.json)
    sizes = [CHUNK] * (arguments.num // CHUNK) + [arguments.num % CHUNK] * (arguments.num % CHUNK > 0)
    seeds = [f"{arguments.seed}:{chunk}" for chunk in range(len(sizes))]
    total, start = Outcomes(), time.perf_counter()
    with ProcessPoolExecutor(arguments.workers) as pool:
        for done, outcomes in enumerate(pool.map(fuzz, sizes, seeds), start=1):
            total.add(outcomes)
            if done % 50 == 0:
                print(f"{done * CHUNK:,} sequences in {time.perf_counter() - start:.0f} s", file=sys.stderr)
    wall_s = time.perf_counter() - start
    print(report(total, wall_s))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures(total, wall_s), indent=1) + "\n")
    return 1 if total.escaped else 0


def figures(total: Outcomes, wall_s: float) -> dict[str, object]:
    """Return what is written as JSON."""
    num = total.rules.total()
    return {
        "num": num,
        "accepted": total.rules[ACCEPTED] / num,
        "rules": {rule: count / num for rule, count in total.rules.most_common() if rule != ACCEPTED},
        "escaped": total.escaped,
        "sequences_per_s": num / wall_s,
        "parse_ms": 1e3 * total.seconds / num,
    }


def report(total: Outcomes, wall_s: float) -> str:
    """Return the figures as lines, the commonest rule first."""
    num = total.rules.total()
    lines = [
        f"{num:,} sequences in {wall_s:.1f} s, {num / wall_s:,.0f} a second; {len(total.escaped)} escaped"
    ]
    lines += [f"{count / num:8.3%}  {rule}" for rule, count in total.rules.most_common()]
    return "\n".join([*lines, *total.escaped[:20]])


if __name__ == "__main__":
    sys.exit(main())
