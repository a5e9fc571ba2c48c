"""REINFORCE with a batch baseline and an entropy bonus; advantages are computed next door.

Axes: N programs, L positions.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from architect.advantage import advantages
from architect.checks import require_non_negative, require_one_of, require_positive, require_share
from architect.policy import Policy
from architect.sampling import sample
from architect.scoring import DECODINGS, Decoding, actions_of, score
from architect.strategy import Program, Strategy, check_num, check_state, check_told, program_metrics
from architect.token_space import TokenSpace

#: Number formats of an update, by the names that Fabric gives them.
PRECISIONS: dict[str, Literal["32-true", "bf16-mixed"]] = {"32-true": "32-true", "bf16-mixed": "bf16-mixed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReinforceConfig:
    """Settings of the update.

    Attributes:
        learning_rate: of Adam.
        entropy_weight: advantages that a nat of mean per-position entropy is worth.
        max_gradient_norm: the gradient is scaled down to this norm.
        minibatch_size: programs of like length whose activations are held at once; the update is the same
            for any, up to rounding.
        precision: number format of the update.
        alarm_unique_rate: the collapse alarm sounds under this share of distinct programs.
        alarm_entropy: the collapse alarm sounds under this mean per-position entropy, in nats.
    """

    learning_rate: float = 1e-3
    entropy_weight: float = 0.3
    max_gradient_norm: float = 1.0
    minibatch_size: int = 256
    precision: str = "32-true"
    alarm_unique_rate: float = 0.5
    alarm_entropy: float = 0.1

    def __post_init__(self) -> None:
        require_positive(self, "learning_rate", "max_gradient_norm", "minibatch_size")
        require_non_negative(self, "entropy_weight", "alarm_entropy")
        require_share(self, "alarm_unique_rate")
        require_one_of("ReinforceConfig.precision", self.precision, PRECISIONS)


def policy_loss(
    log_probs: Float[Tensor, "N L"], advantages: Float[Tensor, " N"], num: int
) -> Float[Tensor, ""]:
    """Return the surrogate whose gradient is that of minus the expected advantage.

    The log-probability of a program is the *sum* over its choices, so there is no length normalisation:
    dividing by the length would let a choice count less the longer its program became, and long bad programs
    go nearly unpunished. `num` is the number of programs of the whole generation.
    """
    return -(advantages * log_probs.sum(dim=1)).sum() / num


def entropy_bonus(entropies: Float[Tensor, "N L"], num_choices: int) -> Float[Tensor, ""]:
    """Return the entropy of the choices' distributions, mean over all choices of the generation.

    Unlike the loss this is normalised by length. A sum over the choices of a program would grow as programs
    do, and since a distribution of high entropy seldom ends a program, each would feed the other: measured,
    mean lengths drifted to the maximum at twice the weight that a collapse called for. For programs of ten
    tokens a weight of 0.3 here is one of 0.03 on the sum.
    """
    return entropies.sum() / num_choices


class Reinforce(Strategy):
    """One policy-gradient step a generation, on a copy of the given policy."""

    name = "reinforce"

    def __init__(
        self,
        space: TokenSpace,
        policy: Policy,
        config: ReinforceConfig,
        *,
        decoding: Decoding,
        seed: int,
        device: str = "cpu",
    ) -> None:
        from lightning.fabric import Fabric  # seconds to import, and only an update needs it

        require_one_of("decoding", decoding, DECODINGS)
        self._space, self._config = space, config
        self._decoding: Decoding = decoding
        self._fabric = Fabric(
            accelerator=torch.device(device).type, devices=1, precision=PRECISIONS[config.precision]
        )
        self._policy = copy.deepcopy(policy)
        optimizer = torch.optim.Adam(self._policy.parameters(), lr=config.learning_rate)
        self._module, self._optimizer = self._fabric.setup(self._policy, optimizer)
        self._generator = torch.Generator().manual_seed(seed)
        self._asked: list[Program] = []

    def ask(self, num: int) -> list[Program]:
        """Return `num` programs sampled from the policy."""
        check_num(num)
        drawn = sample(self._policy, self._space, num, decoding=self._decoding, generator=self._generator)
        self._asked = drawn.programs
        return list(self._asked)

    def tell(self, programs: Sequence[Program], rewards: Sequence[float]) -> dict[str, float]:
        """Take one step towards the better programs; return loss, entropy, gradient norm and the alarm."""
        check_told(self._asked, programs, rewards)
        metrics = self._update(programs, torch.tensor(rewards)) | program_metrics(programs)
        collapsed = (
            metrics["unique_token_rate"] < self._config.alarm_unique_rate
            or metrics["entropy"] < self._config.alarm_entropy
        )
        return metrics | {"collapse_alarm": float(collapsed)}

    def _update(self, programs: Sequence[Program], rewards: Tensor) -> dict[str, float]:
        device = self._fabric.device
        actions = actions_of(self._space, programs, self._decoding, device)
        advantages_N = advantages(rewards).to(device)
        num, num_choices = len(programs), int(actions.taken.sum())
        total_loss = total_entropy = 0.0
        self._optimizer.zero_grad()
        by_length = actions.taken.sum(dim=1).argsort(stable=True)
        for rows in by_length.split(self._config.minibatch_size):
            part = actions.rows(rows)
            log_probs, entropies = score(self._module, part)
            loss = policy_loss(log_probs, advantages_N[rows], num)
            bonus = entropy_bonus(entropies, num_choices)
            self._fabric.backward(loss - self._config.entropy_weight * bonus)
            total_loss += float(loss.detach())
            total_entropy += float(bonus.detach())
        norm = self._fabric.clip_gradients(
            self._module, self._optimizer, max_norm=self._config.max_gradient_norm
        )
        assert norm is not None, "clipping by norm returns it"
        self._optimizer.step()
        return {
            "policy_loss": total_loss,
            "entropy": total_entropy,
            "gradient_norm": float(norm),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return policy, optimiser, generator and the programs last asked for."""
        state = {
            "strategy": self.name,
            "space": self._space.version_hash,
            "policy": self._policy.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "generator": self._generator.get_state(),
            "asked": self._asked,
        }
        return copy.deepcopy(state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned; on the CPU the continuation is bit-equal."""
        check_state(state, self.name, self._space.version_hash)
        self._policy.load_state_dict(state["policy"])
        self._optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self._generator.set_state(state["generator"])
        self._asked = [tuple(program) for program in state["asked"]]
