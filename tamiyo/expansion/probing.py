"""The inputs with which a candidate is examined, drawn by a seed outside the sandbox; runs nothing itself."""

import torch
from torch import Tensor, nn

from blueprints.compiler import compile_blueprint
from blueprints.graph import Graph
from blueprints.language import LANGUAGE, Language
from tamiyo.expansion.small_problems import small_problem
from tamiyo.expansion.targets import Target

SEED = 70_001
#: Axes: B examples, T steps, D width.
CAUSAL_LENGTH = 11
#: The example that is looked at while others around it change.
WATCHED = 1


class Probes:
    """Draws the inputs of one subject for one target.

    Attributes:
        tensors: inputs by the names that the stages inside look for.
    """

    def __init__(self, target: Target, subject: str, width: int) -> None:
        self.target = target
        self.subject = subject
        self.width = width
        self.generator = torch.Generator().manual_seed(SEED)
        self.tensors: dict[str, Tensor] = {}

    @property
    def reads_features(self) -> bool:
        """Whether the subject reads features between the layers, not the target's own inputs."""
        return self.subject in ("layer", "head")

    def inputs(self, batch: int, length: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return random inputs of the subject: ids as integers, everything else normal."""
        if self.reads_features:
            shape: tuple[int, ...] = (batch, length, self.width)
        else:
            shape = self.target.input_shape(batch, length)
            if self.target.is_integer:
                return torch.randint(self.target.input_size, shape, generator=self.generator)
        return torch.randn(shape, generator=self.generator).to(dtype)

    def sizes(self) -> list[tuple[int, int]]:
        """Return batch sizes and lengths: one, odd ones, and the longest."""
        longest = self.target.max_length
        pairs = [(1, 1), (3, 1), (2, 2), (5, 7), (1, longest), (2, longest - 1)]
        return (
            pairs
            if self.reads_features or self.target.name != "tabular"
            else [(1, 1), (2, 1), (5, 1), (17, 1)]
        )

    def draw(self) -> None:
        """Draw the inputs of every stage but those of the block and of the training."""
        self.tensors |= {f"shape.{i}": self.inputs(*pair) for i, pair in enumerate(self.sizes())}
        self.tensors["modes"] = self.inputs(4, 6)
        self._draw_independence()
        if self.target.is_per_step:
            self._draw_causality()
        for index, (batch, length) in enumerate([(3, 5), (2, 9), (1, min(17, self.target.max_length))]):
            self.tensors[f"gradient.{index}"] = self.inputs(batch, length, torch.float64)

    def draw_block(self, graph: Graph, language: Language = LANGUAGE) -> nn.Module:
        """Draw weights and inputs of the block; return the compiled blueprint that holds the weights."""
        module = compiled(graph, self.width, self.generator, language)
        for index, weight in enumerate(module.parameters()):
            self.tensors[f"weight.{index:04}"] = weight.detach().float()
        for index, (batch, length) in enumerate([(1, 1), (3, 5), (2, 12)]):
            probe = torch.randn(batch, length, self.width, generator=self.generator)
            self.tensors[f"alone.{index}"] = probe.double()
        self.tensors["block"] = self.inputs(3, 6, torch.float64)
        return module

    def draw_training(self) -> Tensor:
        """Draw a small problem; return the labels of its unseen examples, which stay outside."""
        problem = small_problem(self.target, self.generator)
        self.tensors |= {
            "train_inputs": problem.train_inputs,
            "train_labels": problem.train_labels,
            "test_inputs": problem.test_inputs,
        }
        return problem.test_labels

    def _draw_independence(self) -> None:
        together = self.inputs(4, 6, torch.float64)
        others = self.inputs(4, 6, torch.float64)
        others[WATCHED] = together[WATCHED]
        self.tensors |= {
            "independence.together": together,
            "independence.others": others,
            "independence.turned": together.flip(0),
            "independence.alone": together[WATCHED : WATCHED + 1].clone(),
        }

    def _draw_causality(self) -> None:
        """Draw sequences with other futures; faint ones too, on which attention is spread over all steps."""
        for kind, scale in (
            (("causality", 1.0), ("faint", 0.1)) if self.reads_features else (("causality", 1),)
        ):
            past = self.inputs(2, CAUSAL_LENGTH, torch.float64) * scale
            self.tensors[f"{kind}.past"] = past
            for position in (0, 3, CAUSAL_LENGTH - 2):
                changed = self.inputs(2, CAUSAL_LENGTH, torch.float64) * scale
                changed[:, : position + 1] = past[:, : position + 1]
                self.tensors[f"{kind}.{position}"] = changed
            self.tensors[f"{kind}.cut"] = past[:, :4].clone()


def compiled(
    graph: Graph, width: int, generator: torch.Generator, language: Language = LANGUAGE
) -> nn.Module:
    """Return a compiled blueprint in float64 with random weights that single precision holds exactly.

    They are torch's initial weights with a noise, so that gains and biases differ as well.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        module = compile_blueprint(graph, width, language)
    with torch.no_grad():
        for weight in module.parameters():
            noise = torch.randn(weight.shape, generator=generator)
            weight.copy_(weight * (1 + 0.2 * noise) + 0.02 * noise)
    return module.double().eval()
