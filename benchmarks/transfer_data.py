"""The two data sets of transfer.py: scikit-learn's digits as sequences, and Python's standard library."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from tamiyo.expansion.records import TargetName

#: Decides which digit is in which split; the same for every training.
SPLIT_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """One data set and how models are trained on it; fixed before any of them was trained.

    Attributes:
        name: as figures tell it.
        target: of the architecture.
        load: an architecture's modules `data` and `config` to its `Data`.
        sizes: settings of the architecture that the data decide.
        num_parameters: that every model is matched to.
        steps: of every training.
        batch_size: examples a step.
    """

    name: str
    target: TargetName
    load: Callable[[ModuleType, Any], Any]
    sizes: Mapping[str, int]
    num_parameters: int
    steps: int
    batch_size: int


def _standard_library(data: ModuleType, config: Any) -> Any:
    return data.load(None, config)


def _digits(data: ModuleType, config: Any) -> Any:
    """Return the digits as sequences of eight rows of eight pixels; three fifths train, one validates."""
    pixels, classes = load_digits(return_X_y=True)
    places = range(len(classes))
    train, held_out = train_test_split(places, test_size=0.4, random_state=SPLIT_SEED, stratify=classes)
    validation, test = train_test_split(
        held_out, test_size=0.5, random_state=SPLIT_SEED, stratify=classes[held_out]
    )
    inputs = torch.tensor(pixels, dtype=torch.float32).view(-1, 8, 8) / 8 - 1
    answers = torch.tensor(classes)
    parts = {"train": train, "validation": validation, "test": test}
    splits = {name: (inputs[part], answers[part]) for name, part in parts.items()}
    return data.Data(splits, input_size=8, output_size=10, max_length=8)


#: Both data sets by name.
DATA_SETS: Mapping[str, DataSet] = MappingProxyType(
    {
        data_set.name: data_set
        for data_set in (
            DataSet(
                name="stdlib",
                target="char_lm",
                load=_standard_library,
                sizes={"input_size": 97, "output_size": 97, "max_length": 64},
                num_parameters=60_000,
                steps=200,
                batch_size=32,
            ),
            DataSet(
                name="digits",
                target="sequence_classifier",
                load=_digits,
                sizes={"input_size": 8, "output_size": 10, "max_length": 8},
                num_parameters=60_000,
                steps=150,
                batch_size=64,
            ),
        )
    }
)


def write_folder(files: Mapping[str, bytes], folder: Path) -> None:
    """Write an architecture's files."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        (folder / path).write_bytes(content)
