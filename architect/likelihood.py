"""Maximum likelihood as a Lightning module, and its batches; imported only when pretraining starts."""

import signal
from collections.abc import Iterator

import lightning
import torch
from torch import Tensor

from architect.policy import Policy
from architect.scoring import Actions, likelihoods


class LikelihoodModule(lightning.LightningModule):
    """Minimises the mean loss of a choice, with AdamW and a one-cycle learning rate."""

    def __init__(
        self, policy: Policy, *, learning_rate: float, legality_weight: float, num_steps: int
    ) -> None:
        super().__init__()
        self.policy = policy
        self._learning_rate = learning_rate
        self._legality_weight = legality_weight
        self._num_steps = num_steps

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Return the loss of one batch, in nats a choice."""
        inputs, tokens, taken, legal = batch
        chosen, allowed = likelihoods(
            self.policy, Actions(inputs=inputs, tokens=tokens, taken=taken, legal=legal)
        )
        return -(chosen + self._legality_weight * allowed).sum() / taken.sum()

    def configure_optimizers(self) -> dict[str, object]:
        """Return the optimiser with its schedule."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=self._learning_rate, betas=(0.9, 0.98))
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=self._learning_rate, total_steps=self._num_steps, pct_start=0.1
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class LengthBatches:
    """Batches of programs of like length, so that little is computed for padding; the order is seeded."""

    #: Batches that are sorted by length together.
    POOL = 8

    def __init__(self, actions: Actions, batch_size: int, seed: int) -> None:
        self._actions = actions
        self._batch_size = batch_size
        self._generator = torch.Generator().manual_seed(seed)
        self._lengths = actions.taken.sum(dim=1)

    @property
    def num_batches(self) -> int:
        """Batches of an epoch; the last of a pool may be smaller."""
        return -(-len(self._lengths) // self._batch_size)

    def __iter__(self) -> Iterator[list[Tensor]]:
        """Yield inputs, tokens, taken and legal of each batch of an epoch."""
        shuffled = torch.randperm(len(self._lengths), generator=self._generator)
        batches = []
        for pool in shuffled.split(self.POOL * self._batch_size):
            by_length = pool[self._lengths[pool].argsort(stable=True)]
            batches += by_length.split(self._batch_size)
        for index in torch.randperm(len(batches), generator=self._generator).tolist():
            part = self._actions.rows(batches[index])
            assert part.legal is not None, "pretraining needs the masks"
            yield [part.inputs, part.tokens, part.taken, part.legal]


def fit(module: LikelihoodModule, batches: LengthBatches, *, num_epochs: int, device: str) -> None:
    """Train in place, without files, bars or log lines."""
    trainer = lightning.Trainer(
        accelerator=torch.device(device).type,
        devices=1,
        max_epochs=num_epochs,
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    try:
        trainer.fit(module, train_dataloaders=batches)
    except SystemExit as stop:  # what Lightning makes of Ctrl-C, which it also ignores from then on
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise KeyboardInterrupt from stop
