"""Does retrieval help a designer? Hits on questions, and validity and score with and without it.

    python benchmarks/retrieval.py questions
    python benchmarks/retrieval.py library --out runs/retrieval --minutes 3
    python benchmarks/retrieval.py learn --out runs/retrieval
    python benchmarks/retrieval.py compare --out runs/retrieval --minutes 3
    python benchmarks/retrieval.py report --out runs/retrieval

`library` and `compare` go on where they stopped; call them until they say that nothing is left. A model of
one's own takes the place of the tiny one, and sees cards as well as a neighbour:

    python benchmarks/retrieval.py compare --out runs/mine --provider openai --model NAME --base-url URL

12 held-out blueprints are expanded for 3 targets. A designer is asked once for the plan and for each unit;
what is missing or fails its checks is taken from the template, and the whole is trained for 80 batches.
docs/knowledge.md says what the figures show.
"""

# ruff: noqa: E402

import argparse
import json
import math
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.retrieval_queries import QUERIES, hits
from benchmarks.retrieval_recipes import (
    HELD_OUT,
    KNOWN,
    Case,
    RememberingLibrary,
    Trial,
    best_recipes,
    brief_of,
    recipe_from,
    short_training,
    told,
    trials_to_make,
    tried,
)
from blueprints.human import human
from tamiyo.expansion.dialogue import LanguageModelDesigner
from tamiyo.expansion.knowledge import card_passage, cards
from tamiyo.expansion.prompting import load_prompts
from tamiyo.expansion.records import TARGETS, Designer, TargetName
from tamiyo.expansion.retrieval import Index, retrieve
from tamiyo.expansion.targets import target_named
from tamiyo.expansion.template import TemplateDesigner
from tamiyo.intervals import Interval, interval
from tamiyo.sandbox.choosing import open_sandbox
from tamiyo.sandbox.contract import Sandbox

#: What a designer is told: nothing, the nearest known blueprint's recipe, or any known blueprint's.
TOLD = ("nothing", "nearest", "any")
STEPS, NUM_EXAMPLES = 450, 3000


def main() -> None:
    """Do one part of the benchmark."""
    options = _options()
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    if options.part == "questions":
        questions()
    elif options.part == "library":
        with _sandbox(options.sandbox) as sandbox:
            build_library(options.out, options.minutes, sandbox)
    elif options.part == "learn":
        learn(options.out, options.steps)
    elif options.part == "compare":
        with _sandbox(options.sandbox) as sandbox:
            compare(options, sandbox)
    else:
        print("\n".join(report(read_cases(options.out / "cases.jsonl"))))


def questions() -> None:
    """Print how many questions find a card that answers them."""
    index = Index([card_passage(card) for card in cards()])
    print(f"{len(QUERIES)} questions, {len(cards())} cards")
    for method in ("bm25", "tfidf", "both"):
        found = [hits(index, method, num) for num in (1, 3, 6)]
        print(f"{method:6}" + "".join(f"  hit@{k} {n}" for k, n in zip((1, 3, 6), found, strict=True)))


def build_library(folder: Path, minutes: float, sandbox: Sandbox) -> None:
    """Train recipes around the known blueprints until the time is over or all are done."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "trials.jsonl"
    wanted = trials_to_make(0)
    done = len(read_trials(path))
    end = time.monotonic() + 60 * minutes
    with path.open("a") as file:
        for name, target, recipe in wanted[done:]:
            if time.monotonic() > end:
                break
            loss = short_training(sandbox, brief_of(name, target), recipe.plan, recipe.units(target), 0)
            trial = Trial(name=name, target=target, recipe=recipe, loss=loss)
            file.write(json.dumps(asdict(trial)) + "\n")
            file.flush()
            done += 1
    print(f"{done} of {len(wanted)} recipes tried; {len(wanted) - done} left")


def learn(folder: Path, steps: int) -> None:
    """Train the tiny model and write it, telling what it learned on the way."""
    from benchmarks import retrieval_model

    best = best_recipes(read_trials(folder / "trials.jsonl"))
    examples = retrieval_model.Teacher(best).examples(NUM_EXAMPLES, seed=0)
    tokenizer = retrieval_model.make_tokenizer(examples[:1000])
    model = retrieval_model.make_model(0)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    started = time.process_time()
    for step, loss in retrieval_model.train(model, tokenizer, examples, steps, seed=0):
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}  loss {loss:.3f}  {time.process_time() - started:.0f} s", flush=True)
    retrieval_model.write(model, tokenizer, folder / "model")
    fresh = retrieval_model.Teacher(best).examples(300, seed=1)
    provider = retrieval_model.TinyProvider(model, tokenizer)
    for name, part in (("with a neighbour", True), ("without", False)):
        chosen = [one for one in fresh if ("Around it did best" in one.question) == part][:40]
        right = sum(provider.answer_to(one.question) == one.answer for one in chosen)
        print(f"{name}: {right} of {len(chosen)} fresh answers as taught")


def compare(options: argparse.Namespace, sandbox: Sandbox) -> None:
    """Expand the held-out blueprints with each kind of knowledge, and by the template."""
    folder = options.out
    folder.mkdir(parents=True, exist_ok=True)
    best = best_recipes(read_trials(options.library or folder / "trials.jsonl"))
    designer, is_tiny = _designer(options)
    path = folder / "cases.jsonl"
    done = {(case.name, case.target, case.told) for case in read_cases(path)}
    passes = (("nothing", "nearest"), ("template",), ("any",) if is_tiny else ())
    left: list[tuple[str, TargetName, str]] = [
        (name, target, kind)
        for kinds in passes
        for name in HELD_OUT
        for target in TARGETS
        for kind in kinds
        if (name, target, kind) not in done
    ]
    end = time.monotonic() + 60 * options.minutes
    scratch = Path(tempfile.mkdtemp())
    try:
        library = RememberingLibrary(scratch / "library.db", best)
        with path.open("a") as file:
            while left and time.monotonic() < end:
                name, target, kind = left.pop(0)
                who: Designer = TemplateDesigner() if kind == "template" else designer
                knowledge = _knowledge(library, name, target, kind, is_tiny)
                case = tried(sandbox, who, brief_of(name, target, knowledge), name, kind)
                file.write(json.dumps(asdict(case)) + "\n")
                file.flush()
        library.store.close()
    finally:
        shutil.rmtree(scratch)
    print(f"{len(left)} cases left")


def _knowledge(
    library: RememberingLibrary, name: str, target: TargetName, kind: str, is_tiny: bool
) -> tuple[str, ...]:
    """Return what a designer is told."""
    if kind in ("template", "nothing"):
        return ()
    if not is_tiny:
        return retrieve(human(name).tokens, target, entries=[library.near(name, target)])
    known = library.known(library.near(name, target))
    if kind == "any":
        others = [other for other in KNOWN if other != known and (other, target) in library.best]
        known = random.Random(f"{name} {target}").choice(others)
    return (told(human(known).tokens, library.best[known, target]),)


def _designer(options: argparse.Namespace) -> tuple[LanguageModelDesigner, bool]:
    """Return who designs, and whether it is the tiny model."""
    if options.provider == "tiny":
        from benchmarks import retrieval_model

        provider = retrieval_model.TinyProvider(*retrieval_model.read(options.out / "model"))
        return LanguageModelDesigner(provider, load_prompts(retrieval_model.PROMPTS)), True
    from tamiyo.providers.choosing import open_provider

    calls = options.out / "calls.jsonl"
    provider = open_provider(
        options.provider,
        model=options.model,
        base_url=options.base_url,
        record=lambda call: _append(calls, asdict(call)),
    )
    return LanguageModelDesigner(provider), False


def report(cases: Sequence[Case]) -> Iterator[str]:
    """Yield validity and score by what was told, then paired differences, in Markdown."""
    table = {(case.name, case.target, case.told): case for case in cases}
    pairs = [(name, target) for name in HELD_OUT for target in TARGETS]
    whole = [pair for pair in pairs if all((*pair, kind) in table for kind in ("nothing", "nearest"))]
    kinds = [kind for kind in ("template", *TOLD) if all((*pair, kind) in table for pair in whole)]
    yield f"{len(whole)} expansions: {len({name for name, _ in whole})} held-out blueprints"
    yield ""
    yield "| told | plans valid | units valid | loss / chance |"
    yield "|---|---|---|---|"
    for kind in kinds:
        of = [table[name, target, kind] for name, target in whole]
        plans = sum(case.valid["plan"] for case in of)
        units = sum(sum(case.valid.values()) - case.valid["plan"] for case in of)
        losses = [_score(case) for case in of]
        mean = sum(losses) / len(losses)
        yield f"| {kind} | {plans} of {len(of)} | {units} of {4 * len(of)} | {mean:.3f} |"
    yield ""
    yield "| difference, mean over blueprints with its 95 % interval | validity | loss / chance |"
    yield "|---|---|---|"
    for one, other in (("nearest", "nothing"), ("nearest", "any"), ("nearest", "template")):
        if one in kinds and other in kinds:
            both = [(table[n, t, one], table[n, t, other]) for n, t in whole]
            validity = _by_blueprint([(a.name, _validity(a) - _validity(b)) for a, b in both])
            score = _by_blueprint([(a.name, _score(a) - _score(b)) for a, b in both])
            yield f"| {one} - {other} | {_shown(validity)} | {_shown(score)} |"


def _by_blueprint(values: Sequence[tuple[str, float]]) -> Interval:
    """Return the mean over blueprints of each one's mean: its targets are not independent."""
    names = list(dict.fromkeys(name for name, _ in values))
    of = [[value for other, value in values if other == name] for name in names]
    return interval([sum(one) / len(one) for one in of])


def _validity(case: Case) -> float:
    return sum(case.valid.values()) / len(case.valid)


def _score(case: Case) -> float:
    """Return the loss as a share of what a model reaches that learned nothing; 1 where nothing trained."""
    chance = math.log(target_named(case.target).output_size)
    return 1.0 if case.loss is None else case.loss / chance


def _shown(found: Interval) -> str:
    if found.low is None or found.high is None:
        return f"{found.mean:+.3f}"
    return f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def read_trials(path: Path) -> list[Trial]:
    """Return the trials of a file; none where there is none."""
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    return [Trial(**{**row, "recipe": recipe_from(row["recipe"])}) for row in rows]


def read_cases(path: Path) -> list[Case]:
    """Return the cases of a file; none where there is none."""
    return [Case(**json.loads(line)) for line in path.read_text().splitlines()] if path.is_file() else []


def _append(path: Path, row: dict) -> None:
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


@contextmanager
def _sandbox(name: str) -> Iterator[Sandbox]:
    sandbox = open_sandbox(name)
    try:
        yield sandbox
    finally:
        sandbox.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=("questions", "library", "learn", "compare", "report"))
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "retrieval", help="folder of the figures")
    parser.add_argument("--library", type=Path, help="trials.jsonl of another folder")
    parser.add_argument("--minutes", type=float, default=3.0, help="when library or compare pauses")
    parser.add_argument("--steps", type=int, default=STEPS, help="batches that the tiny model learns from")
    parser.add_argument("--provider", choices=("tiny", "openai", "anthropic", "local"), default="tiny")
    parser.add_argument("--model", help="of the provider")
    parser.add_argument("--base-url", help="of an OpenAI-compatible server")
    parser.add_argument("--sandbox", default="auto", help="where generated code runs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
