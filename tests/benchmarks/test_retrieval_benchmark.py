"""The benchmark of retrieval: what the tiny model is taught, what a case holds, how cases are summed up."""

import ast
import random
from pathlib import Path

import pytest

from benchmarks import retrieval
from benchmarks.retrieval_model import Example, Teacher, compact, make_model, make_tokenizer, train
from benchmarks.retrieval_recipes import (
    HELD_OUT,
    KNOWN,
    Case,
    RememberingLibrary,
    Trial,
    best_recipes,
    brief_of,
    plan_line,
    random_recipe,
    trials_to_make,
    tried,
)
from blueprints.human import human
from tamiyo.expansion.plan import parse_plan
from tamiyo.expansion.records import TARGETS, UNITS
from tamiyo.expansion.template import TemplateDesigner, unit_file
from tamiyo.sandbox.choosing import open_sandbox

BEST = {
    (name, target): random_recipe(random.Random(name + target), target)
    for name in KNOWN
    for target in TARGETS
}


def test_no_held_out_blueprint_is_known_and_all_are_causal() -> None:
    ids = [human(name).id for name in (*KNOWN, *HELD_OUT)]
    assert len(set(ids)) == len(ids)
    assert len(HELD_OUT) * len(TARGETS) >= 30
    assert all(human(name).graph.type.causal for name in (*KNOWN, *HELD_OUT))


def test_every_recipe_is_a_legal_plan_with_a_source_for_every_unit() -> None:
    for _, target, recipe in trials_to_make(0):
        assert parse_plan(plan_line(recipe.plan), target) == recipe.plan
        assert set(recipe.units(target)) == set(UNITS)


def test_the_best_recipe_is_that_of_the_lowest_loss() -> None:
    recipes = [random_recipe(random.Random(i), "char_lm") for i in range(3)]
    losses = (None, 2.5, 2.25)
    trials = [
        Trial(name="mlp", target="char_lm", recipe=recipe, loss=loss)
        for recipe, loss in zip(recipes, losses, strict=True)
    ]
    assert best_recipes(trials) == {("mlp", "char_lm"): recipes[2]}
    assert best_recipes(trials[:1]) == {}


def test_every_held_out_blueprint_has_a_known_neighbour(tmp_path: Path) -> None:
    library = RememberingLibrary(tmp_path / "library.db", BEST)
    for name in HELD_OUT:
        passage = library.near(name, "tabular")
        known = library.known(passage)
        assert known in KNOWN
        assert BEST[known, "tabular"].text in passage.text
    library.store.close()


def test_the_answer_follows_the_neighbour_that_the_question_tells_of() -> None:
    examples = Teacher(BEST).examples(200, seed=0)
    plans = [one for one in examples if one.question.startswith("plan") and "Around it" in one.question]
    assert len(plans) > 40
    assert all(one.answer in one.question for one in plans)
    without = [one for one in examples if "Around it" not in one.question]
    assert len(without) > 40
    assert all("(no knowledge)" in one.question for one in without)


def test_without_a_neighbour_the_answer_is_what_did_best_around_the_tokens() -> None:
    tokens = {" ".join(human(name).tokens): name for name in KNOWN}
    seen = 0
    for one in Teacher(BEST).examples(400, seed=1):
        head, *rest = one.question.splitlines()
        kind, target = head.split()
        if kind == "plan" and rest[0] == "(no knowledge)" and rest[2] in tokens:
            assert one.answer == plan_line(BEST[tokens[rest[2]], target].plan)  # pyright: ignore[reportArgumentType]
            seen += 1
    assert seen > 20


def test_compact_sources_are_the_same_program_without_words() -> None:
    source = unit_file("char_lm", "embedding.py")
    short = compact(source)
    assert len(short) < 0.8 * len(source)
    assert '"""' not in short
    assert [type(node) for node in ast.parse(short).body] == [type(node) for node in ast.parse(source).body][
        1:
    ]


def test_the_tiny_model_learns_and_equal_seeds_learn_the_same() -> None:
    examples = [Example(question=f"ask {i % 4}\n", answer=f"answer {i % 4}") for i in range(40)]
    tokenizer = make_tokenizer(examples)
    runs = [
        [loss for _, loss in train(make_model(0, width=32, depth=1), tokenizer, examples, 100, seed=0)]
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert runs[0][-1] < 0.3 * runs[0][0]


def test_a_case_tells_what_was_valid_and_what_the_whole_is_worth() -> None:
    sandbox = open_sandbox("rlimits")
    try:
        case = tried(
            sandbox, TemplateDesigner(), brief_of("residual_mlp", "tabular"), "residual_mlp", "template"
        )
    finally:
        sandbox.close()
    assert case.faults == {}
    assert case.valid == dict.fromkeys(("plan", *UNITS), True)
    assert case.loss is not None
    assert 0.1 < case.loss < 1.6


def test_a_report_sums_up_by_blueprint_and_pairs_what_is_whole() -> None:
    """By hand: two blueprints; nearest is better by 0.1 and 0.3 of chance, log 4 nats."""
    chance = 1.3862943611198906

    def case(name: str, kind: str, loss: float | None, num_valid: int) -> Case:
        subjects = ("plan", *UNITS)
        valid = {subject: i < num_valid for i, subject in enumerate(subjects)}
        loss = None if loss is None else loss * chance
        return Case(name=name, target="tabular", told=kind, valid=valid, faults={}, loss=loss)

    first, second, third = HELD_OUT[:3]
    cases = [
        case(first, "nothing", 0.6, 4),
        case(first, "nearest", 0.5, 5),
        case(second, "nothing", None, 0),
        case(second, "nearest", 0.7, 5),
        case(third, "nearest", 0.1, 5),
    ]
    lines = list(retrieval.report(cases))
    assert lines[0] == "2 expansions: 2 held-out blueprints"
    assert "| nothing | 1 of 2 | 3 of 8 | 0.800 |" in lines
    assert "| nearest | 2 of 2 | 8 of 8 | 0.600 |" in lines
    assert lines[-1].startswith("| nearest - nothing | +0.600 (")
    assert "| -0.200 (-1.471 to +1.071) |" in lines[-1]


def test_questions_print_hits(capsys: pytest.CaptureFixture[str]) -> None:
    retrieval.questions()
    printed = capsys.readouterr().out
    assert "48 questions, 108 cards" in printed
    assert "both    hit@1" in printed
