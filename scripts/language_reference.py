"""Writes docs/language.md, the reference of the language, from the op table; `--check` compares.

What a row of the table or a rule's explanation says is taken from there; only what no row says stands here.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from textwrap import wrap

from blueprints import LANGUAGE, BlueprintError, Graph, grammar_of, parse
from blueprints.drawing import blueprint_svg
from blueprints.explanations import EXPLANATIONS, Explanation
from blueprints.grammar import Cursor
from blueprints.graph import AttributeValue
from blueprints.language import COST_WIDTH
from blueprints.ops import Op
from blueprints.types import INPUT_TYPE, WIDTHS, ValueType
from blueprints.typing_table import attribute_values
from blueprints.vocabulary import END

ROOT = Path(__file__).resolve().parents[1]
PAGE = Path("docs/language.md")
FIGURES = Path("docs/figures/ops")
COMMAND = "python scripts/language_reference.py --write"
#: Of lines and letters in drawings; an image does not know the page's theme, and this is readable on both.
INK = "#7d8590"

Values = dict[str, AttributeValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """A part of the language's surface.

    Attributes:
        name: its drawing's file name, without the suffix.
        title: its heading.
        text: what it means.
        program: an example of it.
    """

    name: str
    title: str
    text: str
    program: str


SURFACE = (
    Surface(
        name="chains",
        title="Chains",
        text="An op takes the current value and makes the next one. The attributes that it needs follow it "
        "at once, in the order of its row; an optional attribute may follow after them.",
        program="CONV1D KERNEL_3 CHANNELS_IN DILATION_2 GELU LINEAR OUT_DIM_IN",
    ),
    Surface(
        name="residual-blocks",
        title="Residual blocks",
        text="`RES_START … RES_END` adds the block's input to what its body makes of it.",
        program="RES_START LINEAR OUT_DIM_DOUBLE GELU LINEAR OUT_DIM_IN RES_END",
    ),
    Surface(
        name="gates",
        title="Gates",
        text="`GATE_START … GATE_END` multiplies the block's input by the sigmoid of what its body makes of "
        "it. A single step is broadcast along the sequence.",
        program="GATE_START POOL_MEAN LINEAR OUT_DIM_QUARTER RELU LINEAR OUT_DIM_IN GATE_END",
    ),
    Surface(
        name="branches",
        title="Branches",
        text="`BRANCH_START a BRANCH_SEP b MERGE_ADD` makes two values of one input and merges them; any op "
        "of two or three inputs has its `MERGE_`. Every branch but the first may be empty and is then the "
        "block's input. `MERGE_BLEND` merges three: the first says how much of the second, the rest is of "
        "the third.",
        program="BRANCH_START LINEAR OUT_DIM_IN SIGMOID BRANCH_SEP TANH BRANCH_SEP MERGE_BLEND",
    ),
    Surface(
        name="names",
        title="Names for values",
        text="`SAVE TAP_0` gives the current value a name, `LOAD TAP_0` makes a named value the current "
        "one, and an op of several inputs merges the current value, its first input, with named ones: `MUL "
        "TAP_1`. Names reach through residual blocks, gates and branches, so that any graph can be written; "
        "the bodies of loops and scans have names of their own.",
        program="LINEAR OUT_DIM_IN SAVE TAP_0 SIGMOID SAVE TAP_1 LOAD TAP_0 TANH MUL TAP_1",
    ),
    Surface(
        name="loops",
        title="Loops",
        text="`LOOP_START REPEAT_3 … LOOP_END` applies its body three times with the same weights; the body "
        "returns the type that it takes.",
        program="LOOP_START REPEAT_3 RES_START LINEAR OUT_DIM_IN TANH RES_END LOOP_END",
    ),
    Surface(
        name="scans",
        title="Scans",
        text="`SCAN_START OUT_DIM_IN … SCAN_END` runs its body once for each step, in order: a recurrent "
        "cell. The body sees one step of the input, and states, all as wide as the attribute says and zero "
        "before the first step. `STATE_0` is what the body ended with at the step before. `SAVE STATE_1` "
        "leaves a value for the next step; a state that nothing is saved in takes the state before it, so "
        "that `STATE_1` alone is what the body ended with two steps ago.",
        program="SCAN_START OUT_DIM_IN LINEAR OUT_DIM_IN SAVE TAP_0 LOAD STATE_0 LINEAR OUT_DIM_IN ADD TAP_0 "
        "TANH SCAN_END",
    ),
)

#: Headings of the families of ops, in the order of the page.
FAMILIES = {
    "mixing": "Mixing",
    "recurrent": "Recurrences and fast weights",
    "pool": "Pools",
    "norm": "Norms and scales",
    "activation": "Activations",
    "merge": "Merges",
}


def files() -> dict[Path, str]:
    """Return the page and its drawings by their paths from the root."""
    programs = {op.name: shortest_example(op) for op in LANGUAGE.ops}
    programs |= {part.name: part.program for part in SURFACE}
    drawings = {FIGURES / f"{name}.svg": _drawn(program) for name, program in programs.items()}
    return {PAGE: page(), **drawings}


def stale() -> list[Path]:
    """Return the files that are missing, say something else, or are drawings of what is gone."""
    wanted = files()
    wrong = [path for path, text in wanted.items() if _read(ROOT / path) != text]
    drawings = (path.relative_to(ROOT) for path in sorted((ROOT / FIGURES).glob("*.svg")))
    return [*wrong, *(path for path in drawings if path not in wanted)]


def write() -> None:
    """Write the files, and remove drawings of what is gone."""
    wanted = files()
    for path in stale():
        if path in wanted:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(wanted[path])
        else:
            (ROOT / path).unlink()


def page() -> str:
    """Return the whole page."""
    return "\n".join([*_values(), *_tokens(), *_surface(), *_ops(), *_rules(), *_budgets()]) + "\n"


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _drawn(program: str) -> str:
    drawing = blueprint_svg(parse(program.split()).graph)
    return drawing.replace("<svg ", f'<svg color="{INK}" ', 1) + "\n"


def _text(*sentences: str) -> Iterator[str]:
    """Yield the lines of a paragraph, and the empty line after it."""
    yield from wrap(" ".join(sentences), 110, break_long_words=False, break_on_hyphens=False)
    yield ""


def _block(*lines: str) -> Iterator[str]:
    yield from ("```", *lines, "```", "")


# -- values, tokens and surface ------------------------------------------------------------------------------


def _values() -> Iterator[str]:
    widths = ", ".join(f"`{name}` {ratio}" for name, ratio in WIDTHS.items())
    yield from ("# The language of blueprints", "")
    yield from (f"<!-- Written from the op table: {COMMAND} -->", "")
    yield from _text(
        "A blueprint is a program of tokens, read from left to right; the language is typed, and one grammar",
        "says which tokens may follow which. `tamiyo check TOKENS` prints a program's typed graph, or where",
        "and why it is not one; `tamiyo check --explain RULE` explains a rule.",
    )
    yield from ("## Values", "")
    yield from _text(
        f"A value is a batch of feature sequences, `{INPUT_TYPE}`: batch, time, width. The input of a",
        "program is one, and its output is again as wide as the host, D. A pool leaves a single step,",
        f"`{ValueType(time='single')}`, which is broadcast where it meets a sequence.",
    )
    yield from _text(
        f"Widths are ratios of D, so that one blueprint fits any host whose D is a multiple of {COST_WIDTH}:",
        f"{widths}. A concatenation adds them, up to {LANGUAGE.max_width}D.",
    )
    yield from _text("A value is **causal** when its step t depends on no input after step t.")


def _tokens() -> Iterator[str]:
    yield from ("## Tokens", "")
    yield from _text(
        f"The vocabulary has {len(LANGUAGE.tokens)} tokens, among them {END}, which marks the end of a",
        "program and is not written.",
    )
    yield from ("| kind | tokens |", "|---|---|")
    for kind, tokens in _kinds().items():
        yield f"| {kind} | {_listed(tokens)} |"
    yield ""


def _kinds() -> dict[str, list[str]]:
    """Return the tokens by kind, each in one."""
    vocabulary = LANGUAGE.vocabulary
    merging = [op.name for op in LANGUAGE.ops if op.arity > 1]
    kinds = {
        "ops": [op.name for op in LANGUAGE.ops if op.arity == 1],
        "ops of several inputs": merging,
        "attributes": [token for token in vocabulary.tokens if token in vocabulary.attribute_tokens],
        "ends of branches": list(vocabulary.merges),
        "registers": list(vocabulary.registers),
    }
    named = {token for tokens in kinds.values() for token in tokens}
    return {**kinds, "blocks and moves": [token for token in vocabulary.tokens[1:] if token not in named]}


def _listed(tokens) -> str:
    return " ".join(f"`{token}`" for token in tokens)


def _surface() -> Iterator[str]:
    yield from ("## How programs read", "")
    yield from _text(
        "Below each program stands its graph as `tamiyo check` prints it: a line is a node with its",
        "attributes, its inputs and its type; `%0` is the input of the program or, behind a bar, of the body",
        "above it.",
    )
    for part in SURFACE:
        yield from (f"### {part.title}", "")
        yield from _text(part.text)
        yield from _block(part.program, "", str(parse(part.program.split()).graph))
        yield from (f"![{part.title}](figures/ops/{part.name}.svg)", "")


# -- ops -----------------------------------------------------------------------------------------------------


def _ops() -> Iterator[str]:
    yield from ("## Ops", "")
    yield from _text(
        f"Parameters and FLOPs are those of a host of width {COST_WIDTH}, for an input of that width; FLOPs",
        "are forward, for one time step of one example, a multiply-add counted as two. W is the width of an",
        "op's input.",
    )
    families = dict.fromkeys((*FAMILIES, *(op.family for op in LANGUAGE.ops)))
    for family in families:
        yield from (f"### {FAMILIES.get(family, family.capitalize())}", "")
        for op in LANGUAGE.ops:
            if op.family == family:
                yield from _op(op)


def _op(op: Op) -> Iterator[str]:
    yield from (f"#### {op.name}", "")
    yield from (f"![{op.name}](figures/ops/{op.name}.svg)", "")
    yield from _text(op.summary)
    yield from _block(op.formula)
    yield from ("| | |", "|---|---|")
    yield f"| tokens | {_written(op)} |"
    yield f"| shapes | {_shapes(op)} |"
    yield f"| time | {_time(op)} |"
    yield f"| parameters | {_range(op, _num_parameters)} |"
    yield f"| FLOPs | {_range(op, _flops)} |"
    yield f"| example | `{shortest_example(op)}` |"
    yield from (f"| paper | {op.paper} |", "")


def _written(op: Op) -> str:
    """Return how the op is written in a program."""
    if op.arity > 1:
        taps = " ".join(["`TAP_*`"] * (op.arity - 1))
        return f"`{op.name}` {taps}, or `MERGE_{op.name}` at the end of {op.arity} branches"
    parts = [f"`{op.name}`"]
    for attribute in op.attributes:
        kind = "one of" if attribute.default is None else "optionally"
        parts.append(f"{kind} {_listed(attribute.tokens)}")
    return ", then ".join(parts)


def _shapes(op: Op) -> str:
    if op.widths == "sum":
        return "`[B, T, V]` and `[B, T, W]` to `[B, T, V + W]`"
    if op.arity > 1:
        return f"{op.arity} of `[B, T, W]` to `[B, T, W]`"
    if any(attribute.name == "width" for attribute in op.attributes):
        return "`[B, T, W]` to `[B, T, V]`, V as the attribute says"
    return f"`[B, T, W]` to `[B, {'1' if op.pools else 'T'}, W]`"


def _time(op: Op) -> str:
    full = [token for attribute in op.attributes if attribute.name == "full" for token in attribute.tokens]
    parts = ["causal" if op.causal else "not causal", *(f"with `{token}` not causal" for token in full)]
    if op.needs_sequence:
        parts.append("needs a sequence")
    elif op.arity > 1:
        parts.append("a single step is broadcast to a sequence")
    else:
        parts.append("takes single steps too")
    if op.no_op_after:
        parts.append(f"refused directly after {_listed(sorted(op.no_op_after))}")
    return "; ".join(parts)


def _channels(op: Op, values: Values) -> tuple[int, int, dict[str, int]]:
    """Return the widths in and out, and the attributes as integers, in a host of the reference width."""
    w_out = op.infer((INPUT_TYPE,) * op.arity, values).channels(COST_WIDTH)
    resolved = {name: w_out if name == "width" else int(value) for name, value in values.items()}
    return (COST_WIDTH if op.arity == 1 else w_out), w_out, resolved


def _num_parameters(op: Op, values: Values) -> int:
    return sum(parameter.size for parameter in op.parameters(*_channels(op, values)))


def _flops(op: Op, values: Values) -> int:
    return op.flops(*_channels(op, values))


def _range(op: Op, count: Callable[[Op, Values], int]) -> str:
    """Return a count, or the smallest and the largest over the required attributes, each with its tokens."""
    choices = product(*(attribute.tokens for attribute in op.required))
    counts = [(count(op, dict(attribute_values(op, tokens))), tokens) for tokens in choices]
    low, high = (pick(counts, key=lambda pair: pair[0]) for pick in (min, max))
    if low[0] == high[0]:
        return f"{low[0]:,}"
    return f"{low[0]:,} with {_listed(low[1])} to {high[0]:,} with {_listed(high[1])}"


def shortest_example(op: Op) -> str:
    """Return the shortest program that holds an op and is written with few other tokens.

    The inputs of a merge are made by different ops, so that they can be told apart.
    """
    own = [token for attribute in op.required for token in attribute.tokens]
    around: tuple[str, ...] = ()
    if op.arity > 1:
        around = ("BRANCH_START", "BRANCH_SEP", f"MERGE_{op.name}", "LINEAR", "OUT_DIM_IN")
        around += ("SIGMOID", "TANH")[-(op.arity - 1) :]
    alphabet = tuple(dict.fromkeys((op.name, *own, *around)))
    for length in range(1, LANGUAGE.max_length):
        for tokens in _programs(alphabet, grammar_of(LANGUAGE).start(), length):
            if _shows(parse(tokens).graph, op):
                return " ".join(tokens)
    raise AssertionError(f"no program holds {op.name}")


def _programs(alphabet: tuple[str, ...], cursor: Cursor, length: int) -> Iterator[tuple[str, ...]]:
    """Yield the ways to complete a prefix to exactly `length` tokens, all of an alphabet."""
    grammar = grammar_of(LANGUAGE)
    legal = grammar.legal(cursor, length)
    if cursor.length == length:
        if END in legal:
            yield ()
        return
    for token in alphabet:
        if token in legal:
            for rest in _programs(alphabet, grammar.advance(cursor, token), length):
                yield (token, *rest)


def _shows(graph: Graph, op: Op) -> bool:
    nodes = (node for node in graph.nodes if node.op == op.name)
    return any(len({graph.nodes[i].label for i in node.inputs}) == op.arity for node in nodes)


# -- rules and budgets ---------------------------------------------------------------------------------------


def _rules() -> Iterator[str]:
    yield from ("## Rules", "")
    yield from _text(
        "A token is refused by the first rule that it breaks. The error names the rule, the token's",
        "position, and what would have been legal there; `tamiyo check` adds a program close by to try.",
    )
    for row in EXPLANATIONS:
        yield from (f"### {row.rule}", "")
        yield from _text(row.meaning, row.reason)
        yield from _block(*_refusal(row))


def _refusal(row: Explanation) -> tuple[str, ...]:
    """Return the refused example with its caret, the reason without what was expected, and the mended one."""
    try:
        parse(row.breaks.split())
    except BlueprintError as error:
        line, caret, *_ = error.explain().splitlines()
        return line, caret, error.reason, f"try: {row.mends}"
    raise AssertionError(f"the example of {row.rule} breaks no rule")


def _budgets() -> Iterator[str]:
    yield from ("## Budgets", "")
    yield from _text(
        "A token is offered only when a complete program within the budgets can follow, so that a walk over",
        "legal tokens meets no dead end. A language of one's own may have others: `Language(max_length=96)`.",
    )
    yield from ("| budget | value | what it bounds |", "|---|---|---|")
    yield f"| `max_length` | {LANGUAGE.max_length} | tokens of a program |"
    flops = f"forward FLOPs of a time step of one example in a host of width {COST_WIDTH}, loops repeated"
    yield f"| `max_flops` | {LANGUAGE.max_flops:,} | {flops} |"
    yield f"| `max_width` | {LANGUAGE.max_width} | the width of any value, times D |"
    yield f"| `num_taps` | {LANGUAGE.num_taps} | names for values, in the program and in each body |"
    yield f"| `num_states` | {LANGUAGE.num_states} | states of a scan |"


def main() -> int:
    """Write the files, or name those that are not current and return 1."""
    if sys.argv[1:] == ["--write"]:
        write()
        return 0
    wrong = stale()
    for path in wrong:
        print(f"{path} is not current; write it anew: {COMMAND}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
