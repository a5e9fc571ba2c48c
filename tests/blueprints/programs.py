"""Hypothesis strategies for programs: legal by construction, and token soup for the rejecting side."""

from hypothesis import strategies as st

from blueprints import LANGUAGE, grammar_of

END = LANGUAGE.tokens[0]


@st.composite
def programs(draw: st.DrawFn, max_length: int = 24) -> tuple[str, ...]:
    """Draw a legal program token by token from what the grammar offers."""
    grammar = grammar_of(LANGUAGE)
    cursor = grammar.start()
    tokens: list[str] = []
    while True:
        legal = grammar.legal(cursor, max_length)
        token = legal[draw(st.integers(0, len(legal) - 1))]
        if token == END:
            return tuple(tokens)
        tokens.append(token)
        cursor = grammar.advance(cursor, token)


def token_soup() -> st.SearchStrategy[list[str]]:
    """Draw any tokens, most of them no program."""
    return st.lists(st.sampled_from([*LANGUAGE.tokens, "NO_SUCH_TOKEN"]), max_size=30)
