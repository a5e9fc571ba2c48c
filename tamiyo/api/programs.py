"""Checks what somebody types: a typed graph, or what is wrong and how to mend it; trains nothing."""

import itertools
import re
import threading
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field

from blueprints import (
    LANGUAGE,
    Blueprint,
    BlueprintError,
    Graph,
    TamiyoError,
    blueprint_svg,
    emit,
    explanation,
    flops,
    legal_tokens,
    num_parameters,
    parse,
    repair,
    to_tokens,
)
from blueprints.repair import forget_walks
from blueprints.vocabulary import END
from hall_of_fame.library import Library
from tamiyo.api.context import InContext
from tamiyo.api.errors import AnswerError, ErrorBody, blueprint_body, documented
from tamiyo.api.graphs import GraphShape, graph_shape
from tamiyo.api.shapes import Shape

router = APIRouter(prefix="/api/v1", tags=["programs"])

#: Most characters of a text, most tokens, and most characters of one: far above what a program has.
MAX_TEXT, MAX_TOKENS, MAX_TOKEN = 4096, 96, 64
#: Edits that a search for a repair may try; a slip or two are mended with fewer.
MAX_EDITS_TRIED = 400
#: Checks after which what is remembered of programs is forgotten, so that strangers cannot fill memory.
FORGETTING = 5000
#: What separates tokens: as people type them, and as Python prints lists of them.
_TOKEN = re.compile(r"[^\s,\[\]'\"]+")

Token = Annotated[str, Field(max_length=MAX_TOKEN)]
#: A program in a request: a text, or a list of tokens.
Program = (
    Annotated[str, Field(max_length=MAX_TEXT, examples=["RES_START LINEAR OUT_DIM_IN GELU RES_END"])]
    | Annotated[list[Token], Field(max_length=MAX_TOKENS)]
)

#: The states of an automaton that repairs are shared, and one search is enough for a core.
_REPAIRING = threading.Lock()
_CHECKS = itertools.count(1)


class CheckRequest(Shape):
    """A program, or what there is of it so far."""

    tokens: Program = Field(description="text with tokens between spaces or commas, or a list of tokens")
    width: int = Field(
        default=16, ge=16, le=1024, multiple_of=16, description="D of the host that costs are given for"
    )
    time: int = Field(default=16, ge=1, le=4096, description="steps T of the example, likewise")


class SuggestionShape(Shape):
    """A legal program near what came."""

    tokens: tuple[str, ...] = Field(description="the program")
    edits: int = Field(description="tokens to insert, delete or replace on the way there")
    drawing: str = Field(description="its graph as SVG")


class FaultShape(Shape):
    """Where and why the tokens are no program."""

    error: ErrorBody = Field(description="as every error of this server has it")
    caret: str = Field(description="the tokens on a line, a caret below the fault, the message below both")
    meaning: str = Field(description="what the broken rule asks for")
    reason: str = Field(description="why the language asks for that")
    breaks: str = Field(description="a program that breaks it")
    mends: str = Field(description="a legal program close to that one")
    suggestion: SuggestionShape = Field(description="what may have been meant")


class SpelledShape(Shape):
    """The blueprint that the tokens spell."""

    id: str = Field(description="canonical hash, 64 hexadecimal digits: equal for isomorphic graphs")
    is_known: bool = Field(
        description="whether the library holds it; then /api/v1/blueprints/{id} tells more"
    )
    canonical_tokens: tuple[str, ...] | None = Field(
        description="a program of the canonical graph; null where the language has too few names for one"
    )
    graph: GraphShape = Field(description="the typed graph in its canonical form")
    graph_text: str = Field(description="the graph for people: a line a node, with its type")
    drawing: str = Field(description="the graph as SVG")
    source: str = Field(description="a standalone PyTorch module")
    is_causal: bool = Field(description="whether its output at a step knows earlier steps alone")
    num_parameters: int = Field(description="trainable scalars in a host of the width asked for")
    flops: int = Field(description="forward FLOPs of one example of the width and steps asked for")


class CheckShape(Shape):
    """What the tokens are, and what may follow them."""

    status: Literal["legal", "incomplete", "illegal"] = Field(
        description="a program; the beginning of one; or neither"
    )
    tokens: tuple[str, ...] = Field(description="the tokens that were read")
    num_legal: int = Field(description="how many of them, from the first, are legal")
    next_tokens: tuple[str, ...] = Field(description="the tokens that may follow those, each to a program")
    may_end: bool = Field(description="whether those are a program as they are")
    blueprint: SpelledShape | None = Field(description="what they spell, where they are legal")
    fault: FaultShape | None = Field(description="what is wrong, where they are not")
    width: int = Field(description="D of the host that costs are given for")
    time: int = Field(description="steps T of the example, likewise")


@router.post("/check", responses=documented(422), operation_id="check_program")
def check_program(context: InContext, request: CheckRequest) -> CheckShape:
    """Tell what tokens spell, or where and why they are no program, and what may follow them."""
    return check(context.library, request)


def check(library: Library, request: CheckRequest) -> CheckShape:
    """Return what is to be said of a program, legal or not.

    Raises:
        AnswerError: for more tokens than are read.
    """
    tokens = read_tokens(request.tokens)
    if next(_CHECKS) % FORGETTING == 0:
        forget_walks()
    try:
        blueprint = parse(tokens)
    except BlueprintError as error:
        is_open = error.position == len(tokens)
        return _checked(request, tokens, "incomplete" if is_open else "illegal", fault=_fault(error))
    return _checked(request, tokens, "legal", blueprint=_spelled(library, blueprint, request))


def read_tokens(program: str | Sequence[str]) -> tuple[str, ...]:
    """Return the tokens of a text, or of a list.

    Raises:
        AnswerError: for more tokens than are read.
    """
    tokens = tuple(_TOKEN.findall(program) if isinstance(program, str) else program)
    longest = max(map(len, tokens), default=0)
    if len(tokens) > MAX_TOKENS or longest > MAX_TOKEN:
        raise AnswerError(
            422,
            "too-long",
            f"{len(tokens)} tokens of up to {longest} characters",
            expected=f"at most {MAX_TOKENS} of at most {MAX_TOKEN}",
            mend=f"a program has at most {LANGUAGE.max_length} tokens",
            where="tokens",
        )
    return tokens


def _checked(
    request: CheckRequest,
    tokens: tuple[str, ...],
    status: Literal["legal", "incomplete", "illegal"],
    blueprint: SpelledShape | None = None,
    fault: FaultShape | None = None,
) -> CheckShape:
    position = None if fault is None else fault.error.position
    num_legal = len(tokens) if position is None else position
    legal = legal_tokens(tokens[:num_legal])
    return CheckShape(
        status=status,
        tokens=tokens,
        num_legal=num_legal,
        next_tokens=tuple(token for token in legal if token != END),
        may_end=END in legal,
        blueprint=blueprint,
        fault=fault,
        width=request.width,
        time=request.time,
    )


def _spelled(library: Library, blueprint: Blueprint, request: CheckRequest) -> SpelledShape:
    graph = blueprint.graph
    return SpelledShape(
        id=blueprint.id,
        is_known=library.store.ids(blueprint.id, limit=1) == [blueprint.id],
        canonical_tokens=_canonical_tokens(graph),
        graph=graph_shape(graph),
        graph_text=str(graph),
        drawing=blueprint_svg(graph, form="page"),
        source=emit(blueprint),
        is_causal=graph.type.causal,
        num_parameters=num_parameters(graph, request.width),
        flops=flops(graph, request.width, request.time),
    )


def _canonical_tokens(graph: Graph) -> tuple[str, ...] | None:
    try:
        return to_tokens(graph)
    except TamiyoError:
        return None


def _fault(error: BlueprintError) -> FaultShape:
    with _REPAIRING:
        near = repair(error.tokens, max_edits_tried=MAX_EDITS_TRIED)
    rule = explanation(error.rule)
    return FaultShape(
        error=blueprint_body(error),
        caret=error.explain(),
        meaning=rule.meaning,
        reason=rule.reason,
        breaks=rule.breaks,
        mends=rule.mends,
        suggestion=SuggestionShape(
            tokens=near.tokens,
            edits=near.edits,
            drawing=blueprint_svg(parse(near.tokens).graph, form="page"),
        ),
    )
