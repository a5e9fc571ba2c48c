"""The architecture's settings, read from config.json; how they are trained stands in train.py."""

import json
from dataclasses import dataclass
from pathlib import Path

CONFIG_FILE = Path(__file__).with_name("config.json")


@dataclass(frozen=True)
class Config:
    """The settings of a model.

    Attributes:
        target: `char_lm`, `sequence_classifier` or `tabular`.
        input_size: characters of the alphabet, features of a step, or columns of a row.
        output_size: characters of the alphabet, or classes.
        max_length: most steps of a sequence.
        depth: number of layers.
        width: features of a step within the model, a multiple of 16.
        positions: how a step's place is told: `none`, `learned` or `sinusoidal`.
        normalisation: before each block: `none`, `layernorm` or `rmsnorm`.
        head: `linear`, `norm_linear` or `mlp`.
        initialisation: `default`, `small_normal` or `depth_scaled`.
        dropout: share of what a layer adds that is dropped in training.
    """

    target: str
    input_size: int
    output_size: int
    max_length: int
    depth: int
    width: int
    positions: str
    normalisation: str
    head: str
    initialisation: str
    dropout: float


def read_config(path: Path = CONFIG_FILE) -> Config:
    """Return the settings in a JSON file; an unknown or missing one is a TypeError that names it."""
    return Config(**json.loads(path.read_text()))
