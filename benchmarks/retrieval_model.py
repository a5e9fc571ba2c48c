"""A tiny Llama that learns in minutes, from examples made here, to plan and to write units; no pretraining.

What it is taught, by construction: where the question has a neighbour's recipe, the answer follows that
recipe, whatever it is; where it has none, the answer follows the recipe that did best around the blueprint
with these tokens, if the library knows it, or one drawn from the best of its target. So without retrieval
the model has in its weights what the library holds, and with retrieval it is taught to read.
"""

import ast
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from tokenizers import Regex, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Split
from tokenizers.pre_tokenizers import Sequence as Sequential
from tokenizers.trainers import BpeTrainer
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from benchmarks.retrieval_recipes import KNOWN, Recipe, plan_line, random_recipe, told
from blueprints import parse, random_program
from blueprints.human import human
from tamiyo.expansion.dialogue import LanguageModelDesigner
from tamiyo.expansion.prompting import load_prompts
from tamiyo.expansion.records import TARGETS, UNITS, Brief, TargetName
from tamiyo.providers.contract import Answer, Message, ProviderError, Request
from tamiyo.providers.recorded import ScriptedProvider

PROMPTS = Path(__file__).with_name("retrieval_prompts")
END, PAD = "<end>", "<pad>"
VOCABULARY, MAX_LENGTH = 1024, 384
#: Weight of a token of the question in the loss; one of the answer has 1.
QUESTION_WEIGHT = 0.1

Best = Mapping[tuple[str, TargetName], Recipe]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A question as the dialogue asks it, and the answer that is taught."""

    question: str
    answer: str


class Teacher:
    """Makes examples.

    Attributes:
        best: the recipe that did best, by blueprint and target.
    """

    def __init__(self, best: Best) -> None:
        self.best = best
        self._prompts = load_prompts(PROMPTS)
        self._known: dict[tuple[str, ...], str] = {human(name).tokens: name for name in KNOWN}

    def examples(self, num: int, seed: int) -> list[Example]:
        """Return `num` examples, half of them with a neighbour, three in four of them plans."""
        rng = random.Random(seed)
        return [self._example(rng) for _ in range(num)]

    def _example(self, rng: random.Random) -> Example:
        target = rng.choice(TARGETS)
        tokens = human(rng.choice(KNOWN)).tokens if rng.random() < 0.5 else _random_tokens(rng)
        if rng.random() < 0.5:
            recipe = random_recipe(rng, target) if rng.random() < 0.7 else self._prior(rng, target)
            knowledge = (told(_random_tokens(rng), recipe),)
        else:
            recipe = self.best.get((self._known.get(tokens, ""), target)) or self._prior(rng, target)
            knowledge = ()
        brief = Brief(blueprint_id="", tokens=tokens, target=target, block_source="", knowledge=knowledge)
        return self._asked(brief, recipe, "plan" if rng.random() < 0.75 else rng.choice(UNITS))

    def _prior(self, rng: random.Random, target: TargetName) -> Recipe:
        return rng.choice([recipe for (_, one), recipe in self.best.items() if one == target])

    def _asked(self, brief: Brief, recipe: Recipe, subject: str) -> Example:
        """Return the question that the dialogue asks, with the recipe's answer to it."""
        answer = plan_line(recipe.plan)
        if subject != "plan":
            answer = compact(recipe.units(brief.target)[subject])  # pyright: ignore[reportArgumentType]
        provider = ScriptedProvider([answer])
        designer = LanguageModelDesigner(provider, self._prompts)
        if subject == "plan":
            designer.plan(brief)
        else:
            designer.unit(brief, recipe.plan, subject)  # pyright: ignore[reportArgumentType]
        return Example(question=question_text(provider.requests[0].messages), answer=answer)


def question_text(messages: Sequence[Message]) -> str:
    """Return messages as the model reads them."""
    return "\n".join(message.text.strip() for message in messages) + "\n"


def compact(source: str) -> str:
    """Return a Python file without its comments and docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) and body:
            del body[0]
    return ast.unparse(tree)


def _random_tokens(rng: random.Random) -> tuple[str, ...]:
    while True:
        tokens = tuple(random_program(rng, max_ops=5))
        if parse(tokens).graph.type.causal:
            return tokens


# -- the model -----------------------------------------------------------------------------------------------


def make_tokenizer(examples: Sequence[Example]) -> Tokenizer:
    """Return byte-pair pieces learned from questions and answers, none longer than a word between spaces."""
    tokenizer = Tokenizer(BPE())
    words = Split(Regex(r" ?\S+|\s+"), behavior="isolated")
    pieces = Sequential([words, ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.pre_tokenizer = pieces  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = ByteLevelDecoder()  # pyright: ignore[reportAttributeAccessIssue]
    trainer = BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, END],
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([example.question + example.answer for example in examples], trainer)
    return tokenizer


def make_model(seed: int, width: int = 128, depth: int = 2, length: int = MAX_LENGTH) -> LlamaForCausalLM:
    """Return an untrained model."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=depth,
            num_attention_heads=width // 32,
            max_position_embeddings=length,
            tie_word_embeddings=True,
            initializer_range=0.05,
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=1,
        )
    )


def train(
    model: LlamaForCausalLM, tokenizer: Tokenizer, examples: Sequence[Example], steps: int, seed: int
) -> Iterator[tuple[int, float]]:
    """Train in place on `steps` batches of about 2,000 tokens; yield each step with its answers' loss."""
    encoded = [_encoded(tokenizer, example) for example in examples]
    encoded = [one for one in encoded if len(one[0]) <= MAX_LENGTH]
    rng = random.Random(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01, betas=(0.9, 0.98))
    model.train()
    for step in range(steps):
        rate = min(1.0, (step + 1) / 40) * max(0.05, 1 - step / steps)
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * rate
        ids, weights = _batch(rng, encoded)
        logits = model(input_ids=ids[:, :-1]).logits
        losses = cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        weight = weights[:, 1:].flatten()
        loss = (losses * weight).sum() / weight.sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        yield step, float(losses.detach()[weight == 1].mean())


def _encoded(tokenizer: Tokenizer, example: Example) -> tuple[list[int], int]:
    """Return the ids of question, answer and end, and how many are the question's."""
    asked = tokenizer.encode(example.question).ids
    return [*asked, *tokenizer.encode(example.answer).ids, 1], len(asked)


def _batch(rng: random.Random, encoded: Sequence[tuple[list[int], int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and weights, `[B, T]`, of examples of about one length, so that little is padding."""
    pivot = len(rng.choice(encoded)[0])
    near = [one for one in rng.sample(encoded, min(len(encoded), 400)) if abs(len(one[0]) - pivot) <= 24]
    chosen = near[: max(1, 2048 // (pivot + 24))] or [rng.choice(encoded)]
    longest = max(len(ids) for ids, _ in chosen)
    ids_BT = torch.zeros(len(chosen), longest, dtype=torch.long)
    weights_BT = torch.zeros(len(chosen), longest)
    for row, (ids, num_asked) in enumerate(chosen):
        ids_BT[row, : len(ids)] = torch.tensor(ids)
        weights_BT[row, :num_asked] = QUESTION_WEIGHT
        weights_BT[row, num_asked : len(ids)] = 1
    return ids_BT, weights_BT


def write(model: LlamaForCausalLM, tokenizer: Tokenizer, folder: Path) -> None:
    """Write a model as transformers reads it, its tokenizer beside it."""
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PAD).save_pretrained(folder)


def read(folder: Path) -> tuple[LlamaForCausalLM, Tokenizer]:
    """Return what `write` wrote."""
    model = LlamaForCausalLM.from_pretrained(folder)
    return model, Tokenizer.from_file(str(folder / "tokenizer.json"))


class TinyProvider:
    """Answers by the likeliest next piece, with no constraint on what comes; equal questions are cached."""

    def __init__(self, model: LlamaForCausalLM, tokenizer: Tokenizer) -> None:
        self._model: Any = model.eval()
        self._tokenizer = tokenizer
        self._known: dict[str, tuple[list[int], int]] = {}

    @property
    def name(self) -> str:
        """What it is."""
        return "tiny:llama"

    def complete(self, request: Request) -> Answer:
        """Return the model's answer.

        Raises:
            ProviderError: `cut_off` when it does not end within its length.
        """
        started = perf_counter()
        text = question_text(request.messages)
        if text not in self._known:
            self._known[text] = self._continued(self._tokenizer.encode(text).ids)
        ids, num_asked = self._known[text]
        answer = Answer(
            text=self._tokenizer.decode([one for one in ids if one > 1]),
            model=self.name,
            prompt_tokens=num_asked,
            completion_tokens=len(ids),
            cost_usd=None,
            seconds=perf_counter() - started,
        )
        if not ids or ids[-1] != 1:
            raise ProviderError("cut_off", f"no end within {len(ids)} tokens", answer=answer)
        return answer

    def answer_to(self, question: str) -> str:
        """Return the likeliest answer to a question, whole or not."""
        ids, _ = self._continued(self._tokenizer.encode(question).ids)
        return self._tokenizer.decode([one for one in ids if one > 1])

    @torch.no_grad()
    def _continued(self, asked: list[int]) -> tuple[list[int], int]:
        asked = asked[-(MAX_LENGTH - 8) :]
        found: list[int] = []
        inputs, cache = torch.tensor([asked]), None
        while len(asked) + len(found) < MAX_LENGTH and (not found or found[-1] != 1):
            out = self._model(input_ids=inputs, past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            found.append(int(out.logits[0, -1].argmax()))
            inputs = torch.tensor([found[-1:]])
        return found, len(asked)
