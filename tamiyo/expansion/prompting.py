"""Prompts as data files whose variables are declared; what comes from elsewhere is fenced; asks no model.

A prompt is Markdown: front matter with the lines `own` and `quoted`, which declare variables, then the parts
`# system` and `# user` with placeholders `{{name}}`. Text of this package's own stands in `own` variables.
Tokens, sources, cards, notes, facts, answers and errors are `quoted`: whatever they say, they stand between
two lines with a tag that they do not contain, without control characters and without the marks by which chat
templates tell turns apart. So a text cannot end its fence or pose as a turn; that a model heeds what it reads
cannot be ruled out, which is why what it writes is checked whatever was asked.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from tamiyo.expansion import front_matter
from tamiyo.expansion.records import ExpansionError
from tamiyo.providers.contract import Message

PromptName = Literal["plan", "unit", "failure"]
#: Variables that the dialogue offers to each prompt; a prompt may do without some.
OWN: Mapping[PromptName, frozenset[str]] = MappingProxyType(
    {
        "plan": frozenset("target target_facts max_parameters schema failures".split()),
        "unit": frozenset(
            "target target_facts max_parameters unit interface common_interface plan failures".split()
        ),
        "failure": frozenset({"number", "subject"}),
    }
)
QUOTED: Mapping[PromptName, frozenset[str]] = MappingProxyType(
    {
        "plan": frozenset("tokens block_source facts knowledge".split()),
        "unit": frozenset("tokens block_source facts knowledge".split()),
        "failure": frozenset({"answer", "error"}),
    }
)
#: Characters of one quoted text at most; what is longer loses its middle.
MAX_QUOTED = 12_000

_PLACEHOLDER = re.compile(r"\{\{ *(\w*) *\}\}")
_PARTS = re.compile(r"(?m)^# (system|user)[ \t]*$")
#: Marks of turns in the chat templates of common models; a space after the first character disarms them.
_MARKS = re.compile(
    r"<(?=[|｜]|/?s>|/?(?:bos|eos|pad|unk|think|start_of_turn|end_of_turn)>|</?SYS>>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|TOOL_CALLS|AVAILABLE_TOOLS|TOOL_RESULTS)\])"
)


class PromptError(ExpansionError):
    """A prompt whose variables do not fit; `rule` names what is wrong."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(f"rule '{rule}': {reason}")
        self.rule = rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A text with placeholders.

    Attributes:
        name: what it is for.
        system: the first message; empty when there is none.
        user: the second message.
        own: variables that are put in as they are.
        quoted: variables that are fenced.
    """

    name: str
    system: str
    user: str
    own: frozenset[str]
    quoted: frozenset[str]

    @property
    def variables(self) -> frozenset[str]:
        """Every variable that it declares."""
        return self.own | self.quoted

    def messages(self, values: Mapping[str, str | Sequence[str]]) -> tuple[Message, ...]:
        """Return the messages with a value for every variable; a quoted one may have several texts.

        Raises:
            PromptError: `missing-variable`, `unknown-variable`.
        """
        _require_same(self.name, self.variables, values)
        texts = _fences({name: values[name] for name in sorted(self.quoted)})
        texts |= {name: str(values[name]) for name in self.own}
        system, user = (
            _PLACEHOLDER.sub(lambda found: texts[found[1]], part) for part in (self.system, self.user)
        )
        spoken = (Message(role="system", text=system),) if system else ()
        return (*spoken, Message(role="user", text=user))


def load_prompts(folder: Path | None = None) -> Mapping[PromptName, Prompt]:
    """Return the prompts of a folder, or of this package: `plan.md`, `unit.md`, `failure.md`.

    Raises:
        PromptError: one is missing, or its variables do not fit what the dialogue offers.
        FrontMatterError: its front matter has other lines than `own` and `quoted`.
    """
    place = files("tamiyo.expansion") / "prompts" if folder is None else folder
    found: dict[PromptName, Prompt] = {}
    for name in OWN:
        path = place / f"{name}.md"
        if not path.is_file():
            raise PromptError("missing-prompt", f"no file {path}; expected {', '.join(OWN)}, each .md")
        prompt = read_prompt(path.read_text(encoding="utf-8"), name)
        _require_offered(prompt, name)
        found[name] = prompt
    return MappingProxyType(found)


def read_prompt(text: str, name: str) -> Prompt:
    """Return the prompt that a file's text is.

    Raises:
        PromptError: `no-declaration`, `no-parts`, `undeclared-placeholder`, `unused-variable`,
            `declared-twice`.
        FrontMatterError: its front matter has other lines than `own` and `quoted`.
    """
    where = f"prompt {name}"
    head, body = front_matter.split(text)
    if head is None:
        raise PromptError("no-declaration", f"{where} declares no variables; begin with `---`, `own: ...`")
    declared = front_matter.parse(head, where, required=(), optional=("own", "quoted"))
    own, quoted = (_names(declared.get(key, "")) for key in ("own", "quoted"))
    if own & quoted:
        raise PromptError("declared-twice", f"{where}: {_list(own & quoted)} is both own and quoted")
    pieces = _PARTS.split(body)
    parts = dict(zip(pieces[1::2], pieces[2::2], strict=True))
    if pieces[0].strip() or not parts.get("user", "").strip() or len(parts) * 2 + 1 != len(pieces):
        raise PromptError("no-parts", f"{where} is not `# system` (or none) and `# user`, each once")
    used = set(_PLACEHOLDER.findall(body))
    if undeclared := used - own - quoted:
        raise PromptError(
            "undeclared-placeholder",
            f"{where} has {{{{{_list(undeclared)}}}}}, which its front matter does not declare",
        )
    if unused := (own | quoted) - used:
        raise PromptError("unused-variable", f"{where} declares {_list(unused)} and never uses it")
    system, user = (parts.get(part, "").strip() for part in ("system", "user"))
    return Prompt(name=name, system=system, user=user, own=own, quoted=quoted)


def harmless(text: str) -> str:
    """Return a text without control and invisible characters and with the marks of chat turns disarmed."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    kept = "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    kept = _MARKS.sub(lambda found: found[0] + " ", kept)
    if len(kept) <= MAX_QUOTED:
        return kept
    half = MAX_QUOTED // 2
    return f"{kept[:half]}\n[... {len(kept) - 2 * half} characters left out ...]\n{kept[-half:]}"


def _fences(values: Mapping[str, str | Sequence[str]]) -> dict[str, str]:
    """Return each value between two lines with a tag that stands in none of them."""
    texts = {
        name: [
            harmless(text).strip("\n")
            for text in ([value] if isinstance(value, str) else value)
            if text.strip()
        ]
        for name, value in values.items()
    }
    tag = _tag(text for several in texts.values() for text in several)
    return {name: _fence(name, several, tag) for name, several in texts.items()}


def _tag(texts: Iterable[str]) -> str:
    joined = "\0".join(texts)
    seed = joined
    while (tag := hashlib.sha256(seed.encode()).hexdigest()[:10]) in joined:
        seed += tag
    return tag


def _fence(name: str, texts: Sequence[str], tag: str) -> str:
    if not texts:
        return f"(no {name.replace('_', ' ')})"
    return "\n".join(f"<<< {name} {tag}\n{text}\n{tag} >>>" for text in texts)


def _require_same(name: str, declared: frozenset[str], values: Mapping[str, object]) -> None:
    if missing := declared - values.keys():
        raise PromptError("missing-variable", f"prompt {name} is given no {_list(missing)}")
    if unknown := values.keys() - declared:
        raise PromptError(
            "unknown-variable",
            f"prompt {name} is given {_list(unknown)}; it declares {_list(declared) or 'none'}",
        )


def _require_offered(prompt: Prompt, name: PromptName) -> None:
    if bare := prompt.own & QUOTED[name]:
        raise PromptError(
            "must-be-quoted", f"prompt {name}: {_list(bare)} comes from elsewhere; declare it as quoted"
        )
    if unknown := prompt.variables - OWN[name] - QUOTED[name]:
        raise PromptError(
            "unknown-variable",
            f"prompt {name} declares {_list(unknown)}; offered are {_list(OWN[name] | QUOTED[name])}",
        )


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",") if name.strip())


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
