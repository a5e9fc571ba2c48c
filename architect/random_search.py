"""The control without learning: programs from the pretrained policy as it is."""

import copy
from collections.abc import Sequence
from typing import Any

import torch

from architect.checks import require_one_of
from architect.policy import Policy
from architect.sampling import Sample, sample
from architect.scoring import DECODINGS, Decoding
from architect.strategy import Program, Strategy, check_num, check_state, check_told, program_metrics
from architect.token_space import TokenSpace


class PolicySampling(Strategy):
    """Samples a copy of the given policy for ever; rewards change nothing."""

    name = "random"

    def __init__(
        self, space: TokenSpace, policy: Policy, *, decoding: Decoding, seed: int, device: str = "cpu"
    ) -> None:
        require_one_of("decoding", decoding, DECODINGS)
        self._space = space
        self._decoding: Decoding = decoding
        self._policy = copy.deepcopy(policy).to(device)
        self._generator = torch.Generator().manual_seed(seed)
        self._asked = Sample(programs=[], entropy=0.0)

    def ask(self, num: int) -> list[Program]:
        """Return `num` programs sampled from the policy."""
        check_num(num)
        self._asked = sample(
            self._policy, self._space, num, decoding=self._decoding, generator=self._generator
        )
        return list(self._asked.programs)

    def tell(self, programs: Sequence[Program], rewards: Sequence[float]) -> dict[str, float]:
        """Return the entropy, mean length and share of distinct programs of what was asked."""
        check_told(self._asked.programs, programs, rewards)
        return {"entropy": self._asked.entropy} | program_metrics(programs)

    def state_dict(self) -> dict[str, Any]:
        """Return policy, generator and the programs last asked for."""
        return {
            "strategy": self.name,
            "space": self._space.version_hash,
            "policy": copy.deepcopy(self._policy.state_dict()),
            "generator": self._generator.get_state(),
            "asked": list(self._asked.programs),
            "entropy": self._asked.entropy,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        check_state(state, self.name, self._space.version_hash)
        self._policy.load_state_dict(state["policy"])
        self._generator.set_state(state["generator"])
        self._asked = Sample(
            programs=[tuple(program) for program in state["asked"]], entropy=state["entropy"]
        )
