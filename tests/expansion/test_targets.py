"""Which blueprint serves which target, and by which rule one is refused."""

import pytest

from blueprints import HUMAN_BLUEPRINTS, human, parse
from tamiyo.expansion.records import TARGETS, ExpansionError
from tamiyo.expansion.targets import TARGET_FACTS, require_fit, target_named


def test_every_target_has_its_facts() -> None:
    assert tuple(TARGET_FACTS) == TARGETS
    assert all(target_named(name).name == name for name in TARGETS)


def test_an_unknown_target_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(
        ExpansionError,
        match="no target is named 'vision'; expected one of char_lm, sequence_classifier, tabular",
    ):
        target_named("vision")


@pytest.mark.parametrize("name", ["bert_block", "gru_last", "squeeze_excitation"])
def test_a_language_model_refuses_what_sees_later_steps(name: str) -> None:
    with pytest.raises(ExpansionError, match="rule 'not-causal': %"):
        require_fit(human(name).graph, target_named("char_lm"))


def test_the_refusal_names_the_first_node_that_sees_later_steps() -> None:
    reason = target_named("char_lm").refusal(parse("RELU POOL_MAX TANH".split()).graph)
    assert reason.startswith(
        "rule 'not-causal': %2 POOL_MAX sees later steps, and char_lm predicts each step"
    )


def test_classifiers_take_every_blueprint() -> None:
    for entry in HUMAN_BLUEPRINTS:
        for name in ("sequence_classifier", "tabular"):
            require_fit(human(entry.name).graph, target_named(name))


def test_what_a_language_model_takes_keeps_the_sequence() -> None:
    target = target_named("char_lm")
    graphs = [human(entry.name).graph for entry in HUMAN_BLUEPRINTS]
    taken = [graph for graph in graphs if not target.refusal(graph)]
    assert 0 < len(taken) < len(graphs)
    assert all(graph.type.time == "sequence" for graph in taken)
