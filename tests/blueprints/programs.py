"""Hypothesis strategies for programs: legal by construction, and token soup for the rejecting side."""

from hypothesis import strategies as st

from blueprints import LANGUAGE, Language, grammar_of
from blueprints.vocabulary import BLOCK_STARTS, BODY_ATTRIBUTES, END, LOAD, SAVE

#: Kinds of tokens, each drawn as often as it stands here: few tokens open bodies or move values by name, and
#: laws are broken there. What shrinks is the first of a kind, and the first kind.
KINDS = ("end", "close", "op", "op", "op", "other", "body", "block", "move", "move", "merge", "merge")


@st.composite
def programs(draw: st.DrawFn, max_length: int = 24, language: Language = LANGUAGE) -> tuple[str, ...]:
    """Draw a legal program token by token from what the grammar offers."""
    grammar = grammar_of(language)
    cursor = grammar.start()
    tokens: list[str] = []
    while True:
        by_kind: dict[str, list[str]] = {}
        for token in grammar.legal(cursor, max_length):
            by_kind.setdefault(_kind(token, language), []).append(token)
        kinds = [kind for kind in KINDS if kind in by_kind]
        choices = by_kind[draw(st.sampled_from(kinds))] if len(by_kind) > 1 else next(iter(by_kind.values()))
        token = draw(st.sampled_from(choices)) if len(choices) > 1 else choices[0]
        if token == END:
            return tuple(tokens)
        tokens.append(token)
        cursor = grammar.advance(cursor, token)


def _kind(token: str, language: Language) -> str:
    if token == END:
        return "end"
    if token in (*BLOCK_STARTS.values(), *language.vocabulary.merges):
        return "close"
    if token in BODY_ATTRIBUTES:
        return "body"
    if token in BLOCK_STARTS:
        return "block"
    if token in (SAVE, LOAD):
        return "move"
    if token not in language.table:
        return "other"
    return "op" if language.table[token].arity == 1 else "merge"


def token_soup() -> st.SearchStrategy[list[str]]:
    """Draw any tokens, most of them no program."""
    return st.lists(st.sampled_from([*LANGUAGE.tokens, "NO_SUCH_TOKEN"]), max_size=30)
