"""How near `repair` stays to what was meant, and how fast it is; leaves its laws to the tests."""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from blueprints import LANGUAGE, BlueprintError, parse, random_program
from blueprints.repair import repair

Tokens = tuple[str, ...]


def program(length: int, rng: random.Random) -> Tokens:
    """Return a random legal program of about `length` tokens."""
    while abs(len(tokens := random_program(rng, max_ops=length)) - length) > length // 6:
        pass
    return tokens


def edited(tokens: Tokens, rng: random.Random) -> Tokens:
    """Return the tokens with one of them replaced or deleted, or another inserted, at random."""
    kind = rng.choice(("replace", "insert", "delete"))
    position = rng.randrange(len(tokens) + (kind == "insert"))
    written = () if kind == "delete" else (rng.choice(LANGUAGE.tokens[1:]),)
    return (*tokens[:position], *written, *tokens[position + (kind != "insert") :])


def is_legal(tokens: Tokens) -> bool:
    """Say whether tokens are a program."""
    try:
        parse(tokens)
    except BlueprintError:
        return False
    return True


def mutants(num_edits: int, length: int) -> Callable[[random.Random], Tokens]:
    """Return a source of programs with so many random edits, illegal ones only."""

    def draw(rng: random.Random) -> Tokens:
        while True:
            tokens = program(length, rng)
            for _ in range(num_edits):
                tokens = edited(tokens, rng)
            if not is_legal(tokens):
                return tokens

    return draw


def soup(length: int) -> Callable[[random.Random], Tokens]:
    """Return a source of tokens drawn one by one from the whole vocabulary."""
    return lambda rng: tuple(rng.choices(LANGUAGE.tokens[1:], k=length))


def report(name: str, inputs: list[Tokens]) -> None:
    """Repair the inputs twice, with cold and with warm caches, and print one line."""
    seconds = []
    for _ in range(2):
        start = time.process_time()
        found = [repair(tokens) for tokens in inputs]
        seconds.append(time.process_time() - start)
    edits = [result.edits for result in found]
    counts = " ".join(f"{number}:{count}" for number, count in sorted(Counter(edits).items()))
    print(
        f"{name:10} {fmean(edits):10.3f} {fmean(e <= 1 for e in edits):8.1%} "
        f"{fmean(e <= 2 for e in edits):8.1%} {len(inputs) / seconds[0]:8.0f} {len(inputs) / seconds[1]:8.0f}"
        f"   {counts}",
        flush=True,
    )


def main() -> None:
    """Print one line for each kind of input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num", type=int, default=1_000, help="inputs with one edit (default 1,000)")
    parser.add_argument("--length", type=int, default=24, help="tokens, about (default 24)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng, num, length = random.Random(arguments.seed), arguments.num, arguments.length
    share = fmean(is_legal(edited(program(length, rng), rng)) for _ in range(num))
    print(f"{share:.1%} of {num} programs with one random edit are legal; below, those that are not")
    print("input      mean edits within 1 within 2   cold/s   warm/s   edits:inputs")
    for num_edits in (1, 2, 4):
        draw = mutants(num_edits, length)
        report(f"{num_edits} edits", [draw(rng) for _ in range(num // num_edits**2)])
    draw = soup(length)
    report("soup", [draw(rng) for _ in range(num // 10)])


if __name__ == "__main__":
    main()
