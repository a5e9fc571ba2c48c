"""What the policy is pretrained on: human blueprints and their legal variations; trains nothing."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from architect.checks import SettingError, require_positive
from architect.language_space import LanguageSpace
from architect.strategy import Program
from architect.token_space import ids
from blueprints import HUMAN_BLUEPRINTS, BlueprintError, mutate, parse


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusConfig:
    """Size of the corpus.

    Attributes:
        num_programs: distinct programs, human blueprints included.
        max_mutations: a variation lies 1 to this many mutations from a human blueprint.
        held_out_share: share of the programs on which the loss is reported and nothing is trained.
    """

    num_programs: int = 4096
    max_mutations: int = 3
    held_out_share: float = 0.1

    def __post_init__(self) -> None:
        require_positive(self, "num_programs", "max_mutations")
        if not 0 < self.held_out_share < 1:
            raise SettingError(
                f"CorpusConfig.held_out_share is {self.held_out_share}; expected a number between 0 and 1"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Programs of one TokenSpace, in two parts that share none.

    Attributes:
        train: programs to learn from.
        held_out: programs to be measured on.
    """

    train: tuple[Program, ...]
    held_out: tuple[Program, ...]


def build_corpus(space: LanguageSpace, config: CorpusConfig, seed: int) -> Corpus:
    """Return human blueprints and their variations, no two of which are the same blueprint."""
    rng = random.Random(seed)
    programs: dict[str, Program] = {}
    parents = [human.tokens for human in HUMAN_BLUEPRINTS if _is_program(human.tokens, space)]
    if not parents:
        raise SettingError(
            f"no human blueprint is legal within {space.max_length} tokens and "
            f"{space.language.max_flops:,} FLOPs a step; raise language.max_length or language.max_flops"
        )
    for tokens in _variations(parents, space, config, rng):
        programs.setdefault(parse(tokens, space.language).id, ids(space, tokens))
        if len(programs) == config.num_programs:
            break
    return split(list(programs.values()), config.held_out_share, rng)


def _is_program(tokens: tuple[str, ...], space: LanguageSpace) -> bool:
    try:
        parse(tokens, space.language)
    except BlueprintError:
        return False
    return True


def split(programs: Sequence[Program], held_out_share: float, rng: random.Random) -> Corpus:
    """Return the programs in two parts, drawn at random; each holds at least one."""
    if len(programs) < 2:
        raise SettingError(f"a corpus of {len(programs)} programs cannot be split; expected at least 2")
    shuffled = rng.sample(programs, len(programs))
    num_held_out = min(len(programs) - 1, max(1, round(held_out_share * len(programs))))
    return Corpus(train=tuple(shuffled[num_held_out:]), held_out=tuple(shuffled[:num_held_out]))


def _variations(
    parents: Sequence[tuple[str, ...]], space: LanguageSpace, config: CorpusConfig, rng: random.Random
):
    """Yield the parents, then variations, at most ten times as many as are wanted."""
    yield from parents
    for _ in range(10 * config.num_programs):
        tokens = rng.choice(parents)
        for _ in range(rng.randint(1, config.max_mutations)):
            tokens = mutate(tokens, rng, space.language)
        yield tokens
