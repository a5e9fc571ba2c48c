"""Two TokenSpaces small enough to reason about; neither knows the language of blueprints."""

import numpy as np

from architect.policy import Policy, PolicyConfig
from architect.token_space import CursorWalk


class Bandit:
    """Three arms: a program is one of the tokens A, B and C."""

    tokens = ("END", "A", "B", "C")
    max_length = 1
    version_hash = "bandit"

    def start(self) -> int:
        return 0

    def walk(self, num: int) -> CursorWalk:
        return CursorWalk(self, num)

    def advance(self, cursor: int, token_id: int) -> int:
        assert self.legal(cursor)[token_id], f"token {token_id} is illegal at {cursor}"
        return cursor + 1

    def legal(self, cursor: int) -> np.ndarray:
        return np.array([cursor == 1, *[cursor == 0] * 3])


class Brackets:
    """Balanced brackets around x: `x`, `( x )`, `( x ( x ) )`, never an empty pair."""

    tokens = ("END", "(", ")", "x")
    max_length = 9
    version_hash = "brackets"

    def start(self) -> tuple[int, int, bool]:
        return (0, 0, True)  # tokens, open brackets, whether the innermost pair is empty

    def walk(self, num: int) -> CursorWalk:
        return CursorWalk(self, num)

    def advance(self, cursor: tuple[int, int, bool], token_id: int) -> tuple[int, int, bool]:
        assert self.legal(cursor)[token_id], f"token {token_id} is illegal at {cursor}"
        length, depth, _ = cursor
        return (length + 1, depth + {1: 1, 2: -1, 3: 0}[token_id], token_id == 1)

    def legal(self, cursor: tuple[int, int, bool]) -> np.ndarray:
        length, depth, empty = cursor
        room = self.max_length - length
        return np.array(
            [depth == 0 and not empty, room >= depth + 3, depth > 0 and not empty, room >= depth + 1]
        )


def small_policy(space: Bandit | Brackets, seed: int = 0) -> Policy:
    return Policy(
        len(space.tokens), space.max_length, PolicyConfig(num_layers=2, num_heads=2, width=16), seed=seed
    )
