"""A model of the Llama family in this process, whose answers meet a JSON schema by construction; no hub.

What is loaded is data alone: weights as safetensors, a tokenizer and its settings from a folder. A folder
that needs code of its own is refused. At each step of an answer by schema only the tokens stay that can go on
to one that meets it (llguidance); among them the model chooses as ever.
"""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tamiyo.providers.answers import check_request, checked, refuse
from tamiyo.providers.contract import Answer, ProviderError, ProviderSettingError, Request
from tamiyo.providers.hiding import one_line
from tamiyo.providers.wire import check_installed

#: Tokens of a question that are read at a time, between two looks at the clock.
_CHUNK = 512


class LocalLlama:
    """A causal language model of a folder, as transformers saves it; one request at a time."""

    def __init__(self, folder: Path) -> None:
        """Load it, on the first GPU where there is one.

        Raises:
            ProviderSettingError: for a folder without such a model, or a missing package.
        """
        for package in ("transformers", "llguidance", "jsonschema"):
            check_installed(package)
        _check_folder(folder)
        import torch
        from safetensors import SafetensorError
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        where = {"local_files_only": True, "trust_remote_code": False}
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), **where)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                str(folder), **where, use_safetensors=True, dtype="auto", output_loading_info=True
            )
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise ProviderSettingError(f"local model {folder}: {one_line(str(error))}") from None
        model, found = loaded
        if missing := sorted(found["missing_keys"]):  # they would be drawn at random
            raise ProviderSettingError(
                f"local model {folder}: {len(missing)} of its weights are missing, the first: {missing[0]}"
            )
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = model.to(self._device).eval()
        self._folder = folder
        self._context = int(getattr(model.config, "max_position_embeddings", 0)) or 2048
        self._ends = _ends(model, self._tokenizer)
        self._guide = _guide(self._tokenizer, int(model.config.vocab_size), self._ends)
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """`local:FOLDER`, by the folder's own name."""
        return f"local:{self._folder.resolve().name}"

    def complete(self, request: Request) -> Answer:
        """Return the answer to `request`: equal for equal seeds on CPU.

        Raises:
            ProviderError: `timed_out`, `cut_off`, or `refused` for a question or a schema that cannot be.
        """
        started = time.monotonic()
        deadline = started + request.timeout_s
        check_request(request)
        if not self._lock.acquire(timeout=max(request.timeout_s, 0.0)):
            raise ProviderError("timed_out", "the model was busy with other requests", is_unspent=True)
        try:
            question = self._question(request)
            said: list[int] = []
            is_ended = False
            for token in self._tokens(question, request, deadline):
                is_ended = token in self._ends
                if is_ended:
                    break
                said.append(token)
        finally:
            self._lock.release()
        answer = self._answer(said, len(question), time.monotonic() - started)
        if not is_ended and time.monotonic() >= deadline:
            refuse("timed_out", f"no whole answer in {request.timeout_s:.1f} s", answer)
        if not is_ended:
            refuse("cut_off", f"the answer was cut off after {len(said)} tokens", answer)
        return checked(answer, request)

    def _question(self, request: Request) -> list[int]:
        """Return the tokens of the conversation, by the model's own template where it has one."""
        from jinja2 import TemplateError

        messages = [{"role": message.role, "content": message.text} for message in request.messages]
        try:
            if self._tokenizer.chat_template:
                text = self._tokenizer.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=True
                )
                tokens = self._tokenizer(text, add_special_tokens=False)["input_ids"]
            else:
                lines = [f"{message['role']}: {message['content']}\n" for message in messages]
                tokens = self._tokenizer("".join(lines) + "assistant: ")["input_ids"]
        except TemplateError as error:
            said = one_line(str(error))
            raise ProviderError("refused", f"the model's template says: {said}", is_unspent=True) from None
        if not tokens or len(tokens) >= self._context:
            raise ProviderError(
                "refused",
                f"the question has {len(tokens)} tokens, and the model reads {self._context} with the answer",
                is_unspent=True,
            )
        return tokens

    def _tokens(self, question: list[int], request: Request, deadline: float) -> Iterator[int]:
        """Yield the tokens of the answer and one of the end, as long as time and room last."""
        import torch

        constraint = None if request.schema is None else _Constraint(self._guide, request.schema)
        generator = torch.Generator().manual_seed(request.seed)
        room = min(request.max_tokens, self._context - len(question))
        with torch.inference_mode():
            logits, cache = None, None
            for start in range(0, len(question), _CHUNK):
                if time.monotonic() >= deadline:
                    return
                logits, cache = self._step(question[start : start + _CHUNK], cache)
            for count in range(room + 1):
                if constraint is not None:
                    logits = constraint.masked(logits)
                token = _choose(logits, request.temperature, generator)
                if count == room and token not in self._ends:  # the end alone takes no room
                    return
                yield token
                if constraint is not None and constraint.take(token):
                    yield min(self._ends)
                if time.monotonic() >= deadline:
                    return
                logits, cache = self._step([token], cache)

    def _step(self, tokens: list[int], cache: Any) -> tuple[Any, Any]:
        """Return the logits (V,) after `tokens`, as 32-bit numbers on the CPU, and the cache with them."""
        import torch

        ids_BT = torch.tensor([tokens], device=self._device)
        out = self._model(input_ids=ids_BT, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return out.logits[0, -1].float().cpu(), out.past_key_values

    def _answer(self, said: list[int], num_asked: int, seconds: float) -> Answer:
        return Answer(
            text=self._tokenizer.decode(said, skip_special_tokens=True),
            model=self._folder.resolve().name,
            prompt_tokens=num_asked,
            completion_tokens=len(said),
            cost_usd=None,
            seconds=seconds,
        )


class _Constraint:
    """The tokens that may come next so that the answer can still meet a schema."""

    def __init__(self, guide: Any, schema: Any) -> None:
        import llguidance

        grammar = llguidance.LLMatcher.grammar_from_json_schema(
            json.dumps(schema), defaults={"whitespace_flexible": False}
        )
        self._matcher = llguidance.LLMatcher(guide, grammar)
        if self._matcher.is_error():
            said = one_line(self._matcher.get_error())
            raise ProviderError("refused", f"no answer can be held to this schema: {said}", is_unspent=True)

    def masked(self, logits_V: Any) -> Any:
        """Return the logits with minus infinity where a token may not come."""
        import torch

        packed = torch.frombuffer(bytearray(self._matcher.compute_bitmask()), dtype=torch.uint8)
        bits = (packed[:, None] >> torch.arange(8)) & 1
        return logits_V.masked_fill(bits.flatten()[: len(logits_V)] == 0, float("-inf"))

    def take(self, token: int) -> bool:
        """Go on by `token`; return whether nothing can follow."""
        self._matcher.consume_token(token)
        return self._matcher.is_stopped()


def _choose(logits_V: Any, temperature: float, generator: Any) -> int:
    import torch

    if temperature <= 0:
        return int(logits_V.argmax())
    return int(torch.multinomial((logits_V / temperature).softmax(0), 1, generator=generator))


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end an answer."""
    told = model.generation_config.eos_token_id
    ends = {*(told if isinstance(told, list) else [told]), tokenizer.eos_token_id} - {None}
    if not ends:
        raise ProviderSettingError(
            "local model: neither its settings nor its tokenizer has a token of the end"
        )
    return frozenset(ends)


def _guide(tokenizer: Any, num_tokens: int, ends: frozenset[int]) -> Any:
    from llguidance import hf

    return hf.from_tokenizer(tokenizer, n_vocab=num_tokens, eos_token=sorted(ends))


def _check_folder(folder: Path) -> None:
    """Refuse a folder that has no model of data alone."""
    if not folder.is_dir():
        raise ProviderSettingError(f"local model: {folder} is no folder; models are not fetched from a hub")
    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise ProviderSettingError(f"local model {folder}: it has no {name}")
    if not list(folder.glob("*.safetensors")):
        raise ProviderSettingError(f"local model {folder}: it has no weights as *.safetensors")
    if (folder / "adapter_config.json").exists():
        raise ProviderSettingError(f"local model {folder}: it is an adapter; merge it into its model first")
    for path in sorted(folder.glob("*.json")):
        if '"auto_map"' in path.read_text(encoding="utf-8", errors="replace"):
            raise ProviderSettingError(
                f"local model {folder}: {path.name} names code of its own (auto_map), which is not run"
            )
