"""A user's own task, does a stream end above its start? `curriculum.user_tasks` names this file to a run."""

from dataclasses import dataclass

import torch

from curricula.task import NUM_PROBES, Split, Splits, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Rises(Task):
    """Streams of normal noise; a mean over time and a memoryless module know nothing of their order."""

    name: str = "rises"
    num_train: int = 256
    num_validation: int = 256
    num_test: int = 512
    batch_size: int = 32
    epochs: int = 20
    length: int = 6
    input_width = 1
    solved = 0.85

    def draw(self, seed: int) -> Splits:
        generator = torch.Generator().manual_seed(seed)
        train, validation, test = (self._examples(size, generator) for size in self.sizes)
        return Splits(train=train, validation=validation, test=test)

    def draw_probe(self) -> torch.Tensor:
        return self._examples(NUM_PROBES, torch.Generator().manual_seed(2**31)).inputs

    def _examples(self, size: int, generator: torch.Generator) -> Split:
        inputs = torch.randn(size, self.length, 1, generator=generator)
        return Split(inputs=inputs, targets=(inputs[:, -1, 0] > inputs[:, 0, 0]).long())


TASKS = (Rises(),)
