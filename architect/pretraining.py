"""Teaches a policy to speak: maximum likelihood on a corpus of programs; rewards play no part.

Lightning takes seconds to import, so it is loaded when training starts and not before.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from architect.checks import require_non_negative, require_positive
from architect.corpus import Corpus
from architect.policy import Policy
from architect.sampling import sample
from architect.scoring import actions_of, score
from architect.strategy import Program
from architect.token_space import TokenSpace, is_legal

#: Loggers that announce devices and the end of training.
_CHATTY = ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero", "lightning.fabric")


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainingConfig:
    """Length and pace of pretraining.

    Attributes:
        num_epochs: passes over the training programs.
        batch_size: programs a step.
        learning_rate: its peak.
        legality_weight: weight of the probability that the policy gives to illegal tokens, as minus the
            logarithm of what it gives to legal ones. Likelihood alone learns that only from the tokens that
            were chosen; the TokenSpace knows it of all of them.
        num_validity_samples: programs sampled freely to report their validity.
    """

    num_epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 3e-3
    legality_weight: float = 4.0
    num_validity_samples: int = 512

    def __post_init__(self) -> None:
        require_positive(self, "num_epochs", "batch_size", "learning_rate", "num_validity_samples")
        require_non_negative(self, "legality_weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainingReport:
    """What pretraining reached.

    Attributes:
        num_train: programs learned from.
        num_held_out: programs measured on.
        train_loss: mean negative log-likelihood of a choice on the former, in nats, after training.
        held_out_loss: the same on the latter.
        validity_before: share of legal programs in free decoding before training.
        validity: the same after training.
    """

    num_train: int
    num_held_out: int
    train_loss: float
    held_out_loss: float
    validity_before: float
    validity: float


def pretrain(
    policy: Policy,
    space: TokenSpace,
    corpus: Corpus,
    config: PretrainingConfig,
    *,
    seed: int,
    device: str = "cpu",
) -> PretrainingReport:
    """Train `policy` in place; equal seeds give equal weights on a CPU with equally many threads."""
    from architect.likelihood import LengthBatches, LikelihoodModule, fit

    num_validity = config.num_validity_samples
    validity_before = validity(policy, space, num_validity, seed=seed)
    batches = LengthBatches(actions_of(space, corpus.train, "grammar"), config.batch_size, seed)
    module = LikelihoodModule(
        policy,
        learning_rate=config.learning_rate,
        legality_weight=config.legality_weight,
        num_steps=config.num_epochs * batches.num_batches,
    )
    with _silence():
        fit(module, batches, num_epochs=config.num_epochs, device=device)
    return PretrainingReport(
        num_train=len(corpus.train),
        num_held_out=len(corpus.held_out),
        train_loss=mean_loss(policy, space, corpus.train),
        held_out_loss=mean_loss(policy, space, corpus.held_out),
        validity_before=validity_before,
        validity=validity(policy, space, num_validity, seed=seed),
    )


@torch.no_grad()
def mean_loss(policy: Policy, space: TokenSpace, programs: Sequence[Program]) -> float:
    """Return the mean negative log-likelihood of a choice in free decoding, in nats."""
    actions = actions_of(space, programs, "free", policy.device)
    log_probs, _ = score(policy, actions)
    return float(-log_probs.sum() / actions.taken.sum())


def validity(policy: Policy, space: TokenSpace, num: int, *, seed: int) -> float:
    """Return the share of legal programs among `num` sampled in free decoding."""
    drawn = sample(policy, space, num, decoding="free", generator=torch.Generator().manual_seed(seed))
    return sum(is_legal(space, program) for program in drawn.programs) / num


@contextmanager
def _silence() -> Iterator[None]:
    """Keep Lightning's advice and announcements from the user for a while."""
    loggers = [logging.getLogger(name) for name in _CHATTY]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
