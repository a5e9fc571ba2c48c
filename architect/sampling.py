"""Batched, KV-cached sampling of programs from a policy; judges no program and keeps no gradient."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from architect.policy import Policy
from architect.scoring import Decoding, entropy, masked_log_probs
from architect.strategy import Program
from architect.token_space import END_ID, Cursor, TokenSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Programs drawn together.

    Attributes:
        programs: token ids, the end marker excluded. In free decoding a program that did not end in time is
            cut at `max_length + 1` tokens: one too many, so that it is illegal by its length alone.
        entropy: exact entropy of the (masked) next-token distribution, mean over all choices, in nats.
    """

    programs: list[Program]
    entropy: float


@torch.no_grad()
def sample(
    policy: Policy, space: TokenSpace, num: int, *, decoding: Decoding, generator: torch.Generator
) -> Sample:
    """Draw `num` programs; `generator` lives on the CPU, so that the draws do not depend on the device."""
    device = policy.device
    cache = policy.empty_cache(num)
    walk = _GrammarWalk(space, num) if decoding == "grammar" else None
    programs: list[list[int]] = [[] for _ in range(num)]
    ended = np.zeros(num, bool)
    tokens = torch.full((num,), policy.start_id, device=device)
    total_entropy, total_choices = 0.0, 0
    for _ in range(space.max_length + 1):
        legal = None if walk is None else torch.from_numpy(walk.legal()).to(device)
        log_probs = masked_log_probs(policy.step(tokens, cache), legal)
        tokens = _draw(log_probs, generator)
        open_rows = torch.from_numpy(~ended).to(device)
        total_entropy += float(entropy(log_probs)[open_rows].sum())
        total_choices += int((~ended).sum())
        chosen = tokens.tolist()
        for row in np.flatnonzero(~ended).tolist():
            if chosen[row] == END_ID:
                ended[row] = True
            else:
                programs[row].append(chosen[row])
            if walk is not None:
                walk.advance(row, chosen[row])
        if ended.all():
            break
    return Sample(
        programs=[tuple(program) for program in programs], entropy=total_entropy / max(1, total_choices)
    )


def _draw(log_probs: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a token of each row by a race of exponentials; an impossible token never wins."""
    race = (
        torch.empty(log_probs.shape, dtype=torch.float32).exponential_(generator=generator).clamp_min_(1e-30)
    )
    tokens = (log_probs.exp() / race.to(log_probs.device)).argmax(dim=-1)
    assert bool((log_probs.gather(-1, tokens[:, None]) > -torch.inf).all()), "an impossible token was drawn"
    return tokens


class _GrammarWalk:
    """The cursors of a batch of programs, and their masks as one array."""

    def __init__(self, space: TokenSpace, num: int) -> None:
        self._space = space
        self._end_only = np.zeros(len(space.tokens), bool)
        self._end_only[END_ID] = True
        self._cursors: list[Cursor | None] = [space.start()] * num

    def legal(self) -> np.ndarray:
        """Return the masks `[N, V]`; a program that ended may only stay ended."""
        masks: dict[Cursor | None, np.ndarray] = {None: self._end_only}
        for cursor in self._cursors:
            if cursor not in masks:
                masks[cursor] = self._space.legal(cursor)
        for cursor, mask in masks.items():
            assert mask.any(), f"no token is legal at {cursor}"
        return np.stack([masks[cursor] for cursor in self._cursors])

    def advance(self, row: int, token_id: int) -> None:
        """Move one program on by a legal token or the end marker."""
        cursor = self._cursors[row]
        self._cursors[row] = None if token_id == END_ID else self._space.advance(cursor, token_id)
