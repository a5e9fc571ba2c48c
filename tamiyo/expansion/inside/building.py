"""Builds what is examined, a unit or the whole model, and says what of its interface is missing."""

import dataclasses
from typing import Any

import torch
from torch import nn


def built(
    subject: str, modules: dict[str, Any], dropout: float | None = None
) -> tuple[nn.Module, nn.Module | None]:
    """Return a new subject on its folder's own settings, and what it was given and does not own."""
    config = modules["config"].read_config()
    if dropout is not None:
        config = dataclasses.replace(config, dropout=dropout)
    if subject == "embedding":
        return modules["embedding"].Embedding(config), None
    if subject == "layer":
        return modules["layer"].Layer(config, modules["block"].Block(config.width)), None
    if subject == "head":
        embedding = modules["embedding"].Embedding(config)
        return modules["head"].Head(config, embedding), embedding
    return modules["model"].build(config), None


def complaint(subject: str, modules: dict[str, Any], part: nn.Module) -> str:
    """Return what a built subject lacks of its interface, or nothing."""
    config = modules["config"].read_config()
    if subject == "embedding":
        return _embedding_complaint(config, part)
    if subject == "layer":
        return _layer_complaint(config, part, modules["block"].Block)
    if subject == "head":
        return ""
    block, layers = modules["block"].Block, part.get_submodule("layers").children()
    complaints = (_layer_complaint(config, layer, block) for layer in layers)
    return next(filter(None, complaints), "") or _initialisation_complaint(config, modules)


def _embedding_complaint(config: Any, part: nn.Module) -> str:
    if config.target != "char_lm":
        return ""
    tokens = getattr(part, "tokens", None)
    if not isinstance(tokens, nn.Embedding):
        return f"Embedding.tokens is {type(tokens).__name__}, expected nn.Embedding"
    shape, expected = list(tokens.weight.shape), [config.input_size, config.width]
    return "" if shape == expected else f"Embedding.tokens.weight is {shape}, expected {expected}"


def _layer_complaint(config: Any, part: nn.Module, block: type[nn.Module]) -> str:
    kept, gain = getattr(part, "block", None), getattr(part, "gain", None)
    if type(kept) is not block:
        return f"Layer.block is {type(kept).__name__}, expected the Block that Layer was given"
    if not isinstance(gain, nn.Parameter):
        return f"Layer.gain is {type(gain).__name__}, expected nn.Parameter(torch.ones(config.width))"
    if list(gain.shape) != [config.width]:
        return f"Layer.gain has the shape {list(gain.shape)}, expected [{config.width}]"
    return ""


def _initialisation_complaint(config: Any, modules: dict[str, Any]) -> str:
    """Build a model and look at what `initialise` returns and what it does to the blocks."""
    found: list[str] = []
    initialise = modules["initialisation"].initialise

    def watched(model: nn.Module, config: Any) -> None:
        kind = modules["block"].Block
        blocks = [part for part in model.modules() if type(part) is kind]
        before = [[weight.clone() for weight in part.parameters()] for part in blocks]
        returned = initialise(model, config)
        if returned is not None:
            found.append(f"initialise returned {type(returned).__name__}, expected nothing")
        for index, (part, weights) in enumerate(zip(blocks, before, strict=True)):
            if not all(torch.equal(p, weight) for p, weight in zip(part.parameters(), weights, strict=True)):
                found.append(
                    f"initialise changed the weights of block {index}, expected them left as they are"
                )

    model = modules["model"]
    model.initialise = watched
    try:
        model.build(config)
    finally:
        model.initialise = initialise
    return found[0] if found else ""
