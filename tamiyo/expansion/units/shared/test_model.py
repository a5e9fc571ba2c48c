"""The model keeps its promises: run `python -m unittest` in this folder."""

import unittest
from dataclasses import replace

import torch

from config import read_config
from data import load
from model import Model, build
from train import Settings, loss_of, train

CONFIG = read_config()
DATA = load(None, CONFIG)


def fresh(seed: int = 0) -> Model:
    """Return a model with the weights of a seed."""
    torch.manual_seed(seed)
    return build(CONFIG)


def batch(size: int, length: int = CONFIG.max_length) -> tuple[torch.Tensor, torch.Tensor]:
    """Return examples, cut to a length where they are sequences."""
    inputs, targets = DATA.batch("train", size, torch.Generator().manual_seed(1))
    if CONFIG.target == "tabular":
        return inputs, targets
    return inputs[:, :length], targets[:, :length] if targets.ndim == 2 else targets


class ModelTest(unittest.TestCase):
    """What must hold of a model with fresh weights, and of one that has learned a little."""

    def test_logits_have_the_shape_of_the_answers(self) -> None:
        for size in (1, 3):
            for length in (1, CONFIG.max_length // 2, CONFIG.max_length):
                inputs, targets = batch(size, length)
                logits = fresh()(inputs)
                self.assertEqual(logits.shape, (*targets.shape, CONFIG.output_size))
                self.assertTrue(bool(logits.isfinite().all()))

    def test_gradients_are_finite(self) -> None:
        model = fresh()
        inputs, targets = batch(4)
        loss_of(model(inputs), targets).backward()
        for name, parameter in model.named_parameters():
            gradient = parameter.grad
            self.assertTrue(gradient is not None and bool(gradient.isfinite().all()), name)

    def test_equal_seeds_give_equal_models(self) -> None:
        inputs, _ = batch(2)
        self.assertTrue(torch.equal(fresh(5).eval()(inputs), fresh(5).eval()(inputs)))

    @unittest.skipUnless(CONFIG.target == "char_lm", "only a language model must not see the future")
    def test_the_future_changes_nothing(self) -> None:
        model, (inputs, _) = fresh().eval(), batch(2)
        half = CONFIG.max_length // 2
        changed = inputs.clone()
        changed[:, half:] = (changed[:, half:] + 1) % CONFIG.input_size
        torch.testing.assert_close(model(inputs)[:, :half], model(changed)[:, :half])

    def test_a_short_training_lowers_the_loss(self) -> None:
        model = fresh()
        losses = train(model, DATA, Settings(steps=60, batch_size=16))
        self.assertLess(sum(losses[-10:]), sum(losses[:10]))

    def test_dropout_is_off_in_evaluation(self) -> None:
        model, (inputs, _) = build(replace(CONFIG, dropout=0.5)).eval(), batch(2)
        self.assertTrue(torch.equal(model(inputs), model(inputs)))


if __name__ == "__main__":
    unittest.main()
