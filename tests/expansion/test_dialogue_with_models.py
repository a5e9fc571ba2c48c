"""The dialogue with a real model of the Llama family in this process, whose weights are random."""

from pathlib import Path

import pytest
from test_dialogue import BRIEF, PLAN

from benchmarks.retrieval_model import Example, make_model, make_tokenizer, write
from tamiyo.expansion.dialogue import LanguageModelDesigner
from tamiyo.expansion.plan import plan_text
from tamiyo.expansion.prompting import load_prompts
from tamiyo.expansion.records import Plan
from tamiyo.providers.contract import ProviderError
from tamiyo.providers.local_llama import LocalLlama


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> LocalLlama:
    """Give a model that knows the words of the prompts and nothing else."""
    texts = [prompt.user for prompt in load_prompts().values()]
    texts += [BRIEF.block_source, plan_text(PLAN), *BRIEF.knowledge]
    tokenizer = make_tokenizer([Example(question=text, answer="") for text in texts * 3])
    folder: Path = tmp_path_factory.mktemp("llama") / "model"
    write(make_model(0, width=32, depth=1, length=8192), tokenizer, folder)
    return LocalLlama(folder)


def test_a_model_constrained_by_the_schema_gives_a_plan_though_it_knows_nothing(llama: LocalLlama) -> None:
    """The whole chain: prompt, template of the conversation, constrained decoding, plan."""
    plan = LanguageModelDesigner(llama, max_tokens=400, temperature=1.0).plan(BRIEF)
    assert isinstance(plan, Plan)
    again = LanguageModelDesigner(llama, max_tokens=400, temperature=1.0).plan(BRIEF)
    assert plan == again


def test_noise_in_place_of_a_unit_is_refused_and_goes_back_as_what_it_was(llama: LocalLlama) -> None:
    designer = LanguageModelDesigner(llama, max_tokens=40)
    with pytest.raises(ProviderError) as found:
        designer.unit(BRIEF, PLAN, "head")
    assert found.value.kind in ("cut_off", "garbage")
    assert found.value.answer is not None
    assert found.value.answer.prompt_tokens > 500
