"""Log-probabilities and entropies of programs under a policy; samples nothing and updates nothing.

Axes: N programs, L positions (the longest program's, end marker included), V symbols of the vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from architect.strategy import Program
from architect.token_space import END_ID, TokenSpace

#: `free`: every token is open at every position. `grammar`: only what the TokenSpace calls legal.
Decoding = Literal["free", "grammar"]
DECODINGS: tuple[str, ...] = get_args(Decoding)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """The choices that made a batch of programs.

    Attributes:
        inputs: `[N, L]` what the policy read before each choice: its start token, then the tokens chosen.
        tokens: `[N, L]` the tokens chosen, end marker included, then padding.
        taken: `[N, L]` which positions were chosen, padding being the rest.
        legal: `[N, L, V]` what could be chosen; absent when everything could. All true in padding.
    """

    inputs: Tensor
    tokens: Tensor
    taken: Tensor
    legal: Tensor | None

    def rows(self, chosen: Int[Tensor, " n"]) -> "Actions":
        """Return some of the programs, cut to the longest of them."""
        longest = int(self.taken[chosen].sum(dim=1).max())
        return Actions(
            inputs=self.inputs[chosen, :longest],
            tokens=self.tokens[chosen, :longest],
            taken=self.taken[chosen, :longest],
            legal=None if self.legal is None else self.legal[chosen, :longest],
        )


def actions_of(
    space: TokenSpace, programs: Sequence[Program], decoding: Decoding, device: torch.device | str = "cpu"
) -> Actions:
    """Return the choices behind `programs`.

    A program chose its tokens, then the end marker; only one cut at `max_length + 1` tokens never did.
    """
    lengths = [min(len(program) + 1, space.max_length + 1) for program in programs]
    N, L = len(programs), max(lengths, default=1)
    tokens = np.full((N, L), END_ID, np.int64)
    taken = np.arange(L) < np.array(lengths, np.int64).reshape(N, 1)
    for row, program in enumerate(programs):
        tokens[row, : len(program)] = program
    legal = _legal_along(space, tokens, taken) if decoding == "grammar" else None
    start = np.full((N, 1), len(space.tokens), np.int64)
    return Actions(
        inputs=torch.from_numpy(np.concatenate([start, tokens[:, :-1]], axis=1)).to(device),
        tokens=torch.from_numpy(tokens).to(device),
        taken=torch.from_numpy(taken).to(device),
        legal=None if legal is None else torch.from_numpy(legal).to(device),
    )


def _legal_along(space: TokenSpace, tokens: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Return the legality masks `[N, L, V]` met on the way through legal programs."""
    walk = space.walk(len(tokens))
    legal_NLV = np.ones((*tokens.shape, len(space.tokens)), bool)
    for position in range(tokens.shape[1]):
        legal_NLV[taken[:, position], position] = walk.legal()[taken[:, position]]
        walk.advance(tokens[:, position])
    return legal_NLV


def masked_log_probs(
    logits: Float[Tensor, "*batch V"], legal: Bool[Tensor, "*batch V"] | None
) -> Float[Tensor, "*batch V"]:
    """Return log-probabilities renormalised over the legal tokens; minus infinity elsewhere."""
    if legal is not None:
        logits = logits.masked_fill(~legal, -torch.inf)
    return logits.log_softmax(dim=-1)


def entropy(log_probs: Float[Tensor, "*batch V"]) -> Float[Tensor, "*batch"]:
    """Return the exact entropy in nats of each distribution; an impossible token contributes nothing."""
    finite = log_probs.masked_fill(log_probs == -torch.inf, 0.0)
    return -(log_probs.exp() * finite).sum(dim=-1)


def score(policy: nn.Module, actions: Actions) -> tuple[Float[Tensor, "N L"], Float[Tensor, "N L"]]:
    """Return log-probability and entropy of each choice; both are 0 in padding."""
    log_probs = masked_log_probs(policy(actions.inputs), actions.legal)
    chosen = log_probs.gather(-1, actions.tokens[..., None])[..., 0]
    nothing = torch.zeros((), device=chosen.device)
    return torch.where(actions.taken, chosen, nothing), torch.where(
        actions.taken, entropy(log_probs), nothing
    )


def likelihoods(policy: nn.Module, actions: Actions) -> tuple[Float[Tensor, "N L"], Float[Tensor, "N L"]]:
    """Return, in free decoding, the log-probabilities of each choice and of choosing anything legal there."""
    assert actions.legal is not None, "the masks are needed"
    log_probs = masked_log_probs(policy(actions.inputs), None)
    chosen = log_probs.gather(-1, actions.tokens[..., None])[..., 0]
    allowed = log_probs.masked_fill(~actions.legal, -torch.inf).logsumexp(dim=-1)
    nothing = torch.zeros((), device=chosen.device)
    return torch.where(actions.taken, chosen, nothing), torch.where(actions.taken, allowed, nothing)
