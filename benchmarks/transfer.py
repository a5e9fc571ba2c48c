"""Are discovered blocks worth anything on real data? Two winners against five of people's; resumable.

    python benchmarks/transfer.py --library runs/NAME ... --dir runs/transfer

Every block stands in the same architecture, the one that `tamiyo expand --provider template` makes, with its
parameters matched within 5 % by width, else by depth. Equal steps, equal batches. In this order:

1. The best re-proved entrants of each library that no person designed are trained from one seed; the best on
   each data set's validation split are the two winners.
2. Winners and people's blocks are trained at three learning rates from that seed; validation chooses each
   one's rate, then one winner and one human block for each data set.
3. These two are trained from five fresh seeds and tested: the only look at the test split that decides.
4. The other blocks are trained from the same seeds for the picture; nothing is chosen by them.

Every training is a line of trainings.jsonl; called again, the benchmark goes on where it stopped.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks.transfer_data import DATA_SETS, DataSet
from benchmarks.transfer_models import TOLERANCE, Architecture, Block
from benchmarks.transfer_picture import draw
from benchmarks.transfer_report import Training, chosen_rate, compare, text_of, validation_loss
from blueprints import HUMAN_BLUEPRINTS, LANGUAGE, TamiyoError, human, parse, structural_hash
from hall_of_fame.library import Library

#: People's blocks: residual MLP, SwiGLU, GRU, attention, TCN.
HUMANS = ("residual_mlp", "swiglu", "gru", "transformer_block", "tcn_block")
RATES = (3e-3, 1e-2, 3e-2)
#: The rate at which entrants are screened.
SCREENING_RATE = 1e-2
#: The seed by which everything is chosen, and those that test.
CHOOSING_SEED, FRESH_SEEDS = 0, (1, 2, 3, 4, 5)


class Trainings:
    """The trainings that are done, and whatever is needed to do another."""

    def __init__(self, folder: Path, blocks: Sequence[Block]) -> None:
        self.path = folder / "trainings.jsonl"
        self.folder = folder
        self.blocks = {block.name: block for block in blocks}
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.done = {training.key: training for training in map(Training.from_line, lines)}
        self._architectures: dict[tuple[str, str], Architecture] = {}

    def architecture(self, block: str, data_set: DataSet) -> Architecture:
        """Return a block's architecture."""
        key = block, data_set.name
        if key not in self._architectures:
            self._architectures[key] = Architecture(
                self.blocks[block], data_set, self.folder / "architectures"
            )
        return self._architectures[key]

    def get(self, block: str, data_set: DataSet, rate: float, seed: int) -> Training:
        """Return a training, done now where it is not yet; only fresh seeds are tested."""
        key = data_set.name, block, rate, seed
        if key not in self.done:
            splits = ("validation", "test") if seed in FRESH_SEEDS else ("validation",)
            architecture = self.architecture(block, data_set)
            assert architecture.sized is not None
            figures = architecture.train(seed, rate, splits)
            training = Training(
                data_set=data_set.name,
                block=block,
                rate=rate,
                seed=seed,
                **asdict(architecture.sized),
                cpu_s=figures["cpu_s"],
                validation=figures["validation"],
                test=figures.get("test"),
            )
            with self.path.open("a") as file:
                file.write(training.to_line() + "\n")
            print(training, flush=True)
            self.done[key] = training
        return self.done[key]


def main() -> int:
    """Do what is missing, compare, and write JSON and picture."""
    options = _options()
    torch.set_num_threads(1)
    options.dir.mkdir(parents=True, exist_ok=True)
    try:
        entrants = discovered(options.library, options.screened)
    except TamiyoError as error:
        sys.exit(f"error: {error}")
    people = [Block(name=name, is_human=True, blueprint=human(name)) for name in HUMANS]
    _keep_plan(options.dir / "plan.json", [*entrants, *people], options)
    document = run(Trainings(options.dir, [*entrants, *people]), entrants, people)
    print(text_of(document))
    path = options.json or options.dir / "transfer.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    draw(document, options.dir / "transfer.png")
    print(f"numbers {path}, picture {options.dir / 'transfer.png'}")
    return 0


def discovered(libraries: Sequence[str], num: int) -> list[Block]:
    """Return the best re-proved entrants of each library that are causal and that no person designed.

    Raises:
        TamiyoError: there are fewer than two.
    """
    known = {structural_hash(human(entry.name).graph) for entry in HUMAN_BLUEPRINTS}
    found: list[Block] = []
    for library in libraries:
        with Library.open(library) as opened:
            entries = opened.list(8 * num, status="entrant")
        own = []
        for entry in entries:
            blueprint = parse(entry.tokens, LANGUAGE)
            meaning = structural_hash(blueprint.graph)
            if blueprint.graph.type.causal and meaning not in known:
                known.add(meaning)
                own.append(
                    Block(name=entry.id[:12], is_human=False, blueprint=blueprint, reward=entry.reward)
                )
        found += own[:num]
    if len(found) < 2:
        raise TamiyoError(
            f"{', '.join(libraries)} have {len(found)} re-proved entrants that are causal and no person's; "
            "expected at least 2: search on, or raise library.share"
        )
    return found


def run(trainings: Trainings, entrants: Sequence[Block], people: Sequence[Block]) -> dict[str, Any]:
    """Return the document of the whole comparison, doing what is not done yet."""
    winners = screen(trainings, [block.name for block in entrants])
    names = [*winners, *(block.name for block in people)]
    rates: dict[str, dict[str, float]] = {}
    for data_set in DATA_SETS.values():
        rates[data_set.name] = tune(trainings, data_set, names)
    pairs = {name: _pair(trainings, DATA_SETS[name], found, winners) for name, found in rates.items()}
    for decides in (True, False):
        for name, pair in pairs.items():
            for block in pair if decides else names:
                for seed in FRESH_SEEDS:
                    trainings.get(block, DATA_SETS[name], rates[name][block], seed)
        if decides:
            print(text_of(_document(trainings, entrants, winners, names, rates, pairs)), flush=True)
    return _document(trainings, entrants, winners, names, rates, pairs)


def screen(trainings: Trainings, entrants: Sequence[str]) -> list[str]:
    """Return the two winners: the entrant best on each data set's validation split, no entrant twice.

    An entrant that cannot be matched in size on both data sets is left out.
    """
    fitting = [
        name
        for name in entrants
        if all(trainings.architecture(name, data_set).sized for data_set in DATA_SETS.values())
    ]
    winners: list[str] = []
    for data_set in DATA_SETS.values():
        losses = {
            name: validation_loss(trainings.get(name, data_set, SCREENING_RATE, CHOOSING_SEED))
            for name in fitting
        }
        winners.append(min((name for name in losses if name not in winners), key=lambda name: losses[name]))
    return winners


def tune(trainings: Trainings, data_set: DataSet, names: Sequence[str]) -> dict[str, float]:
    """Return the learning rate of each block that validates best."""
    return {
        name: chosen_rate([trainings.get(name, data_set, rate, CHOOSING_SEED) for rate in RATES])
        for name in names
    }


def _pair(
    trainings: Trainings, data_set: DataSet, rates: Mapping[str, float], winners: Sequence[str]
) -> tuple[str, str]:
    """Return the winner and the human block that validate best on a data set."""

    def loss(name: str) -> float:
        return validation_loss(trainings.get(name, data_set, rates[name], CHOOSING_SEED))

    return min(winners, key=loss), min((name for name in rates if name not in winners), key=loss)


def _document(
    trainings: Trainings,
    entrants: Sequence[Block],
    winners: Sequence[str],
    names: Sequence[str],
    rates: Mapping[str, Mapping[str, float]],
    pairs: Mapping[str, tuple[str, str]],
) -> dict[str, Any]:
    """Return everything: settings, blocks, choices, comparisons, every training."""
    blocks = [trainings.blocks[name] for name in dict.fromkeys([*names, *(e.name for e in entrants)])]
    return {
        "settings": _settings(),
        "blocks": [
            {
                "name": block.name,
                "is_human": block.is_human,
                "tokens": " ".join(block.blueprint.tokens),
                "reward": block.reward,
                "is_compared": block.name in names,
            }
            for block in blocks
        ],
        "winners": list(winners),
        "rates": {name: dict(found) for name, found in rates.items()},
        "comparisons": compare(trainings.done, pairs, rates, FRESH_SEEDS),
        "trainings": [asdict(training) for training in trainings.done.values()],
    }


def _settings() -> dict[str, Any]:
    return {
        "rates": RATES,
        "screening_rate": SCREENING_RATE,
        "choosing_seed": CHOOSING_SEED,
        "fresh_seeds": FRESH_SEEDS,
        "tolerance": TOLERANCE,
        "torch": torch.__version__,
        "python": sys.version.split()[0],
        "data_sets": {
            d.name: {
                "target": d.target,
                "num_parameters": d.num_parameters,
                "steps": d.steps,
                "batch_size": d.batch_size,
            }
            for d in DATA_SETS.values()
        },
    }


def _keep_plan(path: Path, blocks: Sequence[Block], options: argparse.Namespace) -> None:
    """Write what is to be done before anything is; refuse a folder that was begun by another plan."""
    plan = {"settings": _settings(), "blocks": {b.name: list(b.blueprint.tokens) for b in blocks}}
    text = json.dumps(plan, indent=1) + "\n"
    if path.exists() and path.read_text() != text:
        sys.exit(f"error: {options.dir} was begun with other blocks or settings; give another --dir")
    path.write_text(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--library", required=True, nargs="+", help="libraries with re-proved entrants")
    parser.add_argument("--dir", type=Path, default=Path("runs/transfer"), help="where trainings are kept")
    parser.add_argument("--screened", type=int, default=8, help="entrants of each library, of which two win")
    parser.add_argument(
        "--json", type=Path, metavar="OUT", help="where the numbers go; transfer.json in --dir"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
