"""Python and JSON are found in answers as models write them, and an answer without any says exactly why."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamiyo.expansion.extraction import python_in
from tamiyo.providers.objects import ExtractionError, json_in

FILE = "import torch\n\n\nclass Head(torch.nn.Module):\n    pass\n"
PLAN = '{"depth": 2, "width": 64}'


@pytest.mark.parametrize(
    "answer",
    [
        f"```python\n{FILE}```",
        f"```py\n{FILE}```\n",
        f"Here is the head:\n\n```python\n{FILE}```\nIt is linear.",
        f"```\n{FILE}```",
        f"~~~python\n{FILE}~~~",
        f"````python\n{FILE}````",
        FILE,
        f"\n\n{FILE}\n\n",
        f"<think>A head ... ```python\nx\n```</think>\n```python\n{FILE}```",
        "1. The file:\n\n   ```python\n" + "".join(f"   {line}\n" for line in FILE.splitlines()) + "   ```",
        f"```python\n{FILE}```\nUse it so:\n```python\nhead = Head()\n```\nor\n```bash\npython x.py\n```",
        f"```python\n{FILE}",
    ],
)
def test_a_file_is_found_in_an_answer(answer: str) -> None:
    found = python_in(answer)
    assert [line for line in found.splitlines() if line.strip()] == [
        line for line in FILE.splitlines() if line.strip()
    ]
    assert found.endswith("\n")


def test_back_quotes_inside_a_longer_fence_belong_to_the_file() -> None:
    source = 'class Head:\n    """As\n\n    ```\n    head(x)\n    ```\n    """\n'
    assert python_in(f"````python\n{source}````") == source


def test_one_block_that_is_no_python_is_left_to_the_checks() -> None:
    assert python_in("```python\nclass Head(\n```") == "class Head(\n"


@pytest.mark.parametrize(
    ("answer", "rule", "message"),
    [
        ("", "answer-empty", "the answer is empty"),
        ("<think>done</think>\n ", "answer-empty", "the answer is empty"),
        ("<think>Let me see", "thought-unfinished", "<think> never ends"),
        (
            "I cannot do that.",
            "no-code",
            "is not a Python file by itself: invalid syntax, line 1; it began 'I",
        ),
        ("x = 1", "no-code", "it defines no class and no function; it began 'x = 1'"),
        ("```bash\nls\n```", "no-code", "no block between ```"),
        ("a\x00b", "no-code", "null bytes"),
        (
            "```python\nclass Head:\n    def f(self):\n        return (x +",
            "fence-open",
            "never ends, and what there is of it is no Python: '(' was never closed, line 3; the answer may",
        ),
        (
            f"```python\n{FILE}```\n```python\n{FILE}```",
            "several-blocks",
            "2 blocks between ```, of which 2 define a class or function; expected one block",
        ),
        ("```\na = 1\n```\n```\nb = 2\n```", "several-blocks", "of which 0 define"),
    ],
)
def test_an_answer_without_a_file_says_why(answer: str, rule: str, message: str) -> None:
    with pytest.raises(ExtractionError, match=re.escape(message)) as found:
        python_in(answer)
    assert found.value.rule == rule


@pytest.mark.parametrize(
    "answer",
    [
        PLAN,
        f"```json\n{PLAN}\n```",
        f"The plan is {PLAN}, as {{this}} fits.",
        f"<think>Maybe {{}} or {PLAN}</think>{PLAN}",
        f"{PLAN}\n{PLAN}",
    ],
)
def test_an_object_is_found_in_an_answer(answer: str) -> None:
    assert json_in(answer) == PLAN


def test_objects_in_an_object_are_its_own() -> None:
    nested = '{"a": {"b": {}}}'
    assert json_in(f"x {nested} y") == nested


@pytest.mark.parametrize(
    ("answer", "rule", "message"),
    [
        ("two layers of 64", "no-object", "no JSON object in the answer (it has no '{'); it began 'two"),
        ('{"depth": 2, "wid', "no-object", "(Unterminated string starting at: line 1 column 14 (char 13))"),
        ('{"a": 1} or {"a": 2}', "several-objects", "2 JSON objects; expected one"),
        (" ", "answer-empty", "the answer is empty"),
    ],
)
def test_an_answer_without_an_object_says_why(answer: str, rule: str, message: str) -> None:
    with pytest.raises(ExtractionError, match=re.escape(message)) as found:
        json_in(answer)
    assert found.value.rule == rule


@given(st.text(alphabet="`~{}<>think/ \n\"':,ax=()", max_size=60) | st.text(max_size=60))
def test_whatever_comes_is_taken_or_refused_by_name(answer: str) -> None:
    for extract in (python_in, json_in):
        try:
            found = extract(answer)
        except ExtractionError:
            continue
        assert found.strip()


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), min_size=1))
def test_every_object_is_found_again(document: dict) -> None:
    assert json.loads(json_in(f"So: {json.dumps(document)} it is")) == document


def test_a_long_run_of_brackets_is_refused_soon() -> None:
    for answer in ("{" * 20_000, "[{" * 20_000, '{"a":' * 20_000, "```python\n" + "(" * 20_000):
        with pytest.raises(ExtractionError):
            json_in(answer)
        with pytest.raises(ExtractionError):
            python_in(answer)
