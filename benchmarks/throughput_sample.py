"""The frozen samples that throughput is measured on; leaves measuring to the benchmarks."""

import random

from blueprints import (
    CORE_LANGUAGE,
    HUMAN_BLUEPRINTS,
    LANGUAGE,
    Blueprint,
    Language,
    mutate,
    parse,
    random_program,
)

#: D of the host.
WIDTH = 16
SAMPLE_SEED = 20_240


def draw_sample(num: int, mix: str, language: Language = CORE_LANGUAGE) -> list[Blueprint]:
    """Return the frozen sample: random legal programs of 1 to 12 ops, or human blueprints and mutations.

    The random programs are of the core ops, which the yardsticks of other systems know, or of `language`.
    """
    rng = random.Random(SAMPLE_SEED)
    if mix == "random":
        return [parse(random_program(rng, language, min_ops=1, max_ops=12)) for _ in range(num)]
    programs = [tuple(entry.tokens) for entry in HUMAN_BLUEPRINTS]
    while len(programs) < num:
        programs.append(mutate(rng.choice(programs), rng))
    return [parse(tokens, LANGUAGE) for tokens in programs[:num]]
