"""Batched, KV-cached sampling of programs from a policy; judges no program and keeps no gradient."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from architect.policy import Policy
from architect.scoring import Decoding, entropy, masked_log_probs
from architect.strategy import Program
from architect.token_space import END_ID, TokenSpace, Walk


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
    walk = space.walk(num) if decoding == "grammar" else None
    columns: list[np.ndarray] = []
    open_rows = torch.ones(num, dtype=torch.bool, device=device)
    tokens = torch.full((num,), policy.start_id, device=device)
    total_entropy, total_choices = 0.0, 0
    for _ in range(space.max_length + 1):
        legal = None if walk is None else _masks(walk).to(device)
        log_probs = masked_log_probs(policy.step(tokens, cache), legal)
        tokens = _draw(log_probs, generator)
        columns.append(tokens.cpu().numpy())
        total_entropy += float(entropy(log_probs)[open_rows].sum())
        total_choices += int(open_rows.sum())
        open_rows &= tokens != END_ID
        if walk is not None:
            walk.advance(columns[-1])
        if not open_rows.any():
            break
    return Sample(programs=_programs(np.stack(columns, 1)), entropy=total_entropy / max(1, total_choices))


def _masks(walk: Walk) -> Tensor:
    legal = walk.legal()
    stuck = np.flatnonzero(~legal.any(axis=1))
    assert not stuck.size, f"no token is legal at program {stuck[0]}"
    return torch.from_numpy(legal)


def _programs(tokens: np.ndarray) -> list[Program]:
    """Return the rows of `tokens` `[N, L]`, each up to its end marker."""
    ends = tokens == END_ID
    lengths = np.where(ends.any(1), ends.argmax(1), tokens.shape[1])
    return [tuple(row[:length]) for row, length in zip(tokens.tolist(), lengths.tolist(), strict=True)]


def _draw(log_probs: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a token of each row by a race of exponentials; an impossible token never wins."""
    race = (
        torch.empty(log_probs.shape, dtype=torch.float32).exponential_(generator=generator).clamp_min_(1e-30)
    )
    tokens = (log_probs.exp() / race.to(log_probs.device)).argmax(dim=-1)
    assert bool((log_probs.gather(-1, tokens[:, None]) > -torch.inf).all()), "an impossible token was drawn"
    return tokens
