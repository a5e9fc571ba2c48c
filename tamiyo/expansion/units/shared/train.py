"""Trains the model, keeps its weights, and tells what it is worth on data that it never saw.

    python train.py --steps 1000 --seed 0
    python train.py --data FILE --out model.pt
    python train.py --evaluate model.pt

Equal settings and seeds give equal numbers on one machine's CPU.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from config import Config, read_config
from data import Data, load
from model import Model, build


@dataclass(frozen=True)
class Settings:
    """How a model is trained: AdamW (Loshchilov and Hutter 2019) with a warm-up and half a cosine.

    Attributes:
        steps: batches in all.
        seed: decides initial weights, batches, dropout and, of classifiers, which example is in which split.
        batch_size: examples a step.
        learning_rate: its largest value.
        weight_decay: of matrices; gains and biases have none.
        warmup: share of the steps in which the learning rate rises from zero.
        max_gradient: norm to which longer gradients are cut.
    """

    steps: int = 1000
    seed: int = 0
    batch_size: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    warmup: float = 0.05
    max_gradient: float = 1.0

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        num_warmup = max(1, round(self.warmup * self.steps))
        if step < num_warmup:
            return self.learning_rate * (step + 1) / num_warmup
        progress = (step - num_warmup) / max(1, self.steps - num_warmup)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def train(
    model: Model, data: Data, settings: Settings, on_step: Callable[[int, float], None] | None = None
) -> list[float]:
    """Train in place and return the loss of every batch, in nats.

    Raises:
        FloatingPointError: the loss is no number any more.
    """
    optimizer = torch.optim.AdamW(_groups(model, settings.weight_decay))
    generator = torch.Generator().manual_seed(settings.seed)
    losses = []
    model.train()
    for step in range(settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = settings.rate(step)
        inputs, targets = data.batch("train", settings.batch_size, generator)
        loss = loss_of(model(inputs), targets)
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise FloatingPointError(f"the loss of step {step} is {losses[-1]}; lower the learning rate")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), settings.max_gradient)
        optimizer.step()
        if on_step is not None:
            on_step(step, losses[-1])
    return losses


def loss_of(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy in nats of logits `[..., K]` and classes `[...]`."""
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten())


@torch.no_grad()
def evaluate(model: Model, data: Data, split: str, batch_size: int = 64) -> dict[str, float]:
    """Return mean loss in nats and share of right answers over a split."""
    model.eval()
    loss, num_right, num = 0.0, 0, 0
    for inputs, targets in data.batches(split, batch_size):
        logits = model(inputs)
        loss += loss_of(logits, targets).item() * targets.numel()
        num_right += int((logits.argmax(-1) == targets).sum())
        num += targets.numel()
    return {"loss": loss / num, "accuracy": num_right / num}


def save(model: Model, settings: Settings, path: Path) -> None:
    """Write weights and settings."""
    torch.save(
        {"config": asdict(model.config), "settings": asdict(settings), "weights": model.state_dict()}, path
    )


def restore(path: Path) -> tuple[Model, Settings]:
    """Return the model that `save` wrote, and how it was trained."""
    saved = torch.load(path, weights_only=True)
    model = build(Config(**saved["config"]))
    model.load_state_dict(saved["weights"])
    return model, Settings(**saved["settings"])


def main() -> None:
    """Train or evaluate as the command line asks."""
    options = _options()
    if options.evaluate:
        model, settings = restore(options.evaluate)
        data = load(options.data, model.config, settings.seed)
    else:
        settings = Settings(
            steps=options.steps,
            seed=options.seed,
            batch_size=options.batch_size,
            learning_rate=options.learning_rate,
        )
        torch.manual_seed(settings.seed)
        config = read_config()
        data = load(options.data, config, settings.seed)
        sizes = {name: getattr(data, name) for name in ("input_size", "output_size", "max_length")}
        model = build(replace(config, **sizes))
        print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
        train(model, data, settings, _progress(settings.steps))
        save(model, settings, options.out)
    for split in ("validation", "test"):
        figures = evaluate(model, data, split)
        print(f"{split:10}  loss {figures['loss']:.4f} nats  accuracy {figures['accuracy']:.4f}")


def _groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Return the matrices, which decay, and everything else, which does not."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def _progress(steps: int) -> Callable[[int, float], None]:
    """Return what prints ten lines over a training."""

    def show(step: int, loss: float) -> None:
        if (step + 1) % max(1, steps // 10) == 0:
            print(f"step {step + 1:6}  loss {loss:.4f}", flush=True)

    return show


def _options() -> argparse.Namespace:
    defaults = Settings()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=defaults.steps, help="batches in all")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="decides every random choice")
    parser.add_argument("--batch-size", type=int, default=defaults.batch_size, help="examples a step")
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate, help="largest value")
    parser.add_argument("--data", type=Path, metavar="FILE", help="your own data; data.py tells the format")
    parser.add_argument("--out", type=Path, default=Path("model.pt"), help="where the weights go")
    parser.add_argument(
        "--evaluate", type=Path, metavar="WEIGHTS", help="only tell what saved weights are worth"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
