"""Pretraining: what is learned from, that it teaches validity, and that equal seeds repeat it."""

import random
import warnings
from pathlib import Path

import pytest
import torch
from toy_spaces import Brackets, small_policy

from architect.checks import SettingError
from architect.corpus import Corpus, CorpusConfig, build_corpus, split
from architect.language_space import LanguageSpace
from architect.policy import Policy, PolicyConfig
from architect.pretraining import PretrainingConfig, mean_loss, pretrain
from architect.sampling import sample
from architect.scoring import actions_of, likelihoods, score
from architect.token_space import ids, is_legal, names
from blueprints import HUMAN_BLUEPRINTS, parse

BRACKETS = [(3,), (3, 3), (1, 3, 2), (1, 3, 2, 3), (3, 1, 3, 2), (1, 1, 3, 2, 2), (3, 3, 3), (1, 3, 3, 2)]


@pytest.fixture(scope="module")
def space() -> LanguageSpace:
    return LanguageSpace()


@pytest.fixture(scope="module")
def corpus(space: LanguageSpace) -> Corpus:
    return build_corpus(space, CorpusConfig(num_programs=700), seed=0)


def brackets_corpus() -> Corpus:
    return split(BRACKETS, 0.25, random.Random(0))


def test_a_corpus_holds_every_human_blueprint_and_no_blueprint_twice(
    space: LanguageSpace, corpus: Corpus
) -> None:
    programs = corpus.train + corpus.held_out
    blueprint_ids = {parse(names(space, program)).id for program in programs}
    assert len(programs) == len(blueprint_ids) == 700
    assert {parse(human.tokens).id for human in HUMAN_BLUEPRINTS} <= blueprint_ids
    assert len(corpus.held_out) == 70


def test_equal_seeds_build_equal_corpora(space: LanguageSpace) -> None:
    config = CorpusConfig(num_programs=120)
    one, same, other = (build_corpus(space, config, seed) for seed in (1, 1, 2))
    assert one == same != other
    assert ids(space, HUMAN_BLUEPRINTS[0].tokens) in one.train + one.held_out


def test_a_corpus_of_one_program_cannot_be_split() -> None:
    with pytest.raises(SettingError, match="a corpus of 1 programs cannot be split; expected at least 2"):
        split([(3,)], 0.1, random.Random(0))


def test_pretraining_raises_the_validity_of_free_decoding(space: LanguageSpace, corpus: Corpus) -> None:
    policy = Policy(len(space.tokens), space.max_length, PolicyConfig(), seed=0)
    untrained_loss = mean_loss(policy, space, corpus.held_out)
    report = pretrain(policy, space, corpus, PretrainingConfig(num_epochs=16), seed=0)
    assert report.validity_before < 0.1
    assert report.validity > 0.4
    assert report.held_out_loss < untrained_loss - 1.0
    assert (report.num_train, report.num_held_out) == (630, 70)
    assert report.train_loss == pytest.approx(mean_loss(policy, space, corpus.train))


def test_pretraining_repeats_with_equal_seeds_and_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    space, before = Brackets(), torch.get_rng_state()
    weights = []
    for seed in (1, 1, 2):
        policy = small_policy(space)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            pretrain(policy, space, brackets_corpus(), PretrainingConfig(batch_size=2), seed=seed)
        weights.append(policy.head.weight.detach())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(torch.get_rng_state(), before)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_likelihoods_are_of_the_choice_and_of_anything_legal_by_hand() -> None:
    # Uniform over 4 tokens, so any choice 1/4. Legal at first: `(` and `x`, 2/4; after `x`: all but `)`, 3/4.
    space = Brackets()
    policy = small_policy(space)
    with torch.no_grad():
        policy.head.weight.zero_()
        chosen, allowed = likelihoods(policy, actions_of(space, [(3,)], "grammar"))
    torch.testing.assert_close(chosen.exp(), torch.tensor([[0.25, 0.25]]))
    torch.testing.assert_close(allowed.exp(), torch.tensor([[0.5, 0.75]]))


def test_the_weight_of_legality_moves_probability_to_legal_tokens() -> None:
    space = Brackets()
    allowed = []
    for weight in (0.0, 8.0):
        policy = small_policy(space)
        config = PretrainingConfig(num_epochs=6, batch_size=2, legality_weight=weight)
        pretrain(policy, space, brackets_corpus(), config, seed=0)
        with torch.no_grad():
            allowed.append(float(likelihoods(policy, actions_of(space, BRACKETS, "grammar"))[1].sum()))
    assert allowed[1] > allowed[0]


def test_a_masked_sample_after_pretraining_is_likelier_than_before(
    space: LanguageSpace, corpus: Corpus
) -> None:
    policy = Policy(len(space.tokens), space.max_length, PolicyConfig(width=32), seed=0)
    program = [ids(space, HUMAN_BLUEPRINTS[0].tokens)]
    before = score(policy, actions_of(space, program, "grammar"))[0].detach().sum()
    pretrain(policy, space, corpus, PretrainingConfig(num_epochs=2, num_validity_samples=16), seed=0)
    after = score(policy, actions_of(space, program, "grammar"))[0].detach().sum()
    assert float(after) > float(before) + 1.0
    drawn = sample(policy, space, 50, decoding="grammar", generator=torch.Generator().manual_seed(0))
    assert all(is_legal(space, program) for program in drawn.programs)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "PretrainingConfig.batch_size is 0; expected a number greater than 0"),
        ({"legality_weight": -1.0}, "PretrainingConfig.legality_weight is -1.0; expected 0 or greater"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(SettingError) as caught:
        PretrainingConfig(**settings)
    assert str(caught.value) == message
