"""What each named rule means, why it is there, and a program that breaks it; leaves judging to rules.py."""

from dataclasses import dataclass

from blueprints.errors import TamiyoError
from blueprints.language import LANGUAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One rule of the grammar, for people.

    Attributes:
        rule: its name, as in `BlueprintError.rule`.
        meaning: what it asks for.
        reason: why the language asks for that.
        breaks: a program that breaks it first of all rules, tokens separated by spaces.
        mends: a legal program close to that one.
    """

    rule: str
    meaning: str
    reason: str
    breaks: str
    mends: str


#: Every rule that an error can name: about tokens, registers, blocks, types, work in vain, and budgets.
EXPLANATIONS: tuple[Explanation, ...] = (
    Explanation(
        rule="unknown-token",
        meaning="Every token is in the vocabulary, in capitals; END is not written, the last token ends a "
        "program.",
        reason="A word that the language does not have says nothing, and guessing what was meant would "
        "hide it.",
        breaks="linear OUT_DIM_IN",
        mends="LINEAR OUT_DIM_IN",
    ),
    Explanation(
        rule="attribute-fits-op",
        meaning="An attribute's token follows an op, or a block, that takes it, in the order of the op's "
        "row.",
        reason="A kernel size means nothing to a linear map; a token that can be ignored would spell one "
        "blueprint in many ways.",
        breaks="LINEAR KERNEL_5",
        mends="LINEAR OUT_DIM_IN",
    ),
    Explanation(
        rule="attribute-missing",
        meaning="The attributes that an op or a block needs follow it at once, before any other token.",
        reason="A width or a kernel size has no value that is right for all: only an attribute with a "
        "default may be left out.",
        breaks="LINEAR RELU",
        mends="LINEAR OUT_DIM_IN RELU",
    ),
    Explanation(
        rule="register-fits-op",
        meaning="A register's token follows SAVE, LOAD or an op that merges.",
        reason="A name says which value is meant; where no value is asked for there is nothing to name.",
        breaks="TANH TAP_0",
        mends="TANH",
    ),
    Explanation(
        rule="register-missing",
        meaning="SAVE and LOAD are followed by a register, an op that merges by one for each further input.",
        reason="Without the name it is open which value is moved or merged.",
        breaks="SAVE TANH",
        mends="SAVE TAP_0 TANH",
    ),
    Explanation(
        rule="empty-register",
        meaning="A register is read only after a value was saved in it, in the same scope.",
        reason="There is no value to read. Bodies of loops and scans start with empty taps, so that a body "
        "can be understood, and shared, without what stands around it.",
        breaks="TANH ADD TAP_0",
        mends="SAVE TAP_0 TANH ADD TAP_0",
    ),
    Explanation(
        rule="state-outside-scan",
        meaning="STATE_0 and the other states are named in the body of a SCAN_START only, not in a loop "
        "inside it.",
        reason="A state is what the step before left behind, and only a scan runs step by step.",
        breaks="TANH SAVE STATE_1",
        mends="TANH SAVE TAP_0",
    ),
    Explanation(
        rule="state-0-is-output",
        meaning="Nothing is saved in STATE_0: at SCAN_END it takes the value that the body ends with.",
        reason="The output of a step is what the next step sees in STATE_0, so saving there would be "
        "overwritten.",
        breaks="SCAN_START OUT_DIM_IN TANH SAVE STATE_0 SCAN_END",
        mends="SCAN_START OUT_DIM_IN TANH SCAN_END",
    ),
    Explanation(
        rule="block-mismatch",
        meaning="A token that ends a block, or a branch, stands in a block of its kind; a merge of two "
        "ends two branches, a merge of three ends three.",
        reason="Blocks nest like brackets; otherwise it is open which value an end adds, gates or merges.",
        breaks="RES_START TANH GATE_END",
        mends="RES_START TANH RES_END",
    ),
    Explanation(
        rule="unclosed-block",
        meaning="Every block that a program opens is closed before it ends.",
        reason="Only at its end is it known what a block does with its body.",
        breaks="RES_START TANH",
        mends="RES_START TANH RES_END",
    ),
    Explanation(
        rule="empty-block",
        meaning="A block holds an op, and a loop or scan returns something that it computed; of the "
        "branches, any but the first may be empty.",
        reason="An empty body adds, gates or repeats nothing but its own input, which is written shorter "
        "without it.",
        breaks="RES_START RES_END",
        mends="RES_START GELU RES_END",
    ),
    Explanation(
        rule="empty-program",
        meaning="A program holds an op, and ends with something that it computed.",
        reason="The identity is the floor that every task is checked against; it is not a blueprint.",
        breaks="SAVE TAP_0 TANH LOAD TAP_0",
        mends="SAVE TAP_0 TANH ADD TAP_0",
    ),
    Explanation(
        rule="needs-sequence",
        meaning="Pools, convolutions, recurrences, attention and scans follow a sequence, not a single step.",
        reason="Over a single step they would do nothing, or little that a linear map does not do.",
        breaks="POOL_MEAN GRU",
        mends="GRU POOL_MEAN",
    ),
    Explanation(
        rule="width-mismatch",
        meaning="Values that are added, multiplied or blended have one width; so have a scan's states and "
        "what is saved in them, and the end and the input of a program.",
        reason="Sums and products go feature by feature, and a host takes back the width that it gave.",
        breaks="RES_START LINEAR OUT_DIM_HALF RES_END",
        mends="RES_START LINEAR OUT_DIM_HALF LINEAR OUT_DIM_IN RES_END",
    ),
    Explanation(
        rule="too-wide",
        meaning=f"Values set side by side are at most {LANGUAGE.max_width}D wide together.",
        reason="Widths add up with every concatenation, and with them the cost of all that follows.",
        breaks="BRANCH_START LINEAR OUT_DIM_QUAD BRANCH_SEP MERGE_CONCAT LINEAR OUT_DIM_IN",
        mends="BRANCH_START LINEAR OUT_DIM_DOUBLE BRANCH_SEP MERGE_CONCAT LINEAR OUT_DIM_IN",
    ),
    Explanation(
        rule="loop-changes-type",
        meaning="A loop's body returns what it takes: a sequence for a sequence, of the same width; one that "
        "pools has a sequence to return by name or in an open block.",
        reason="The next repetition starts where the one before ended.",
        breaks="LOOP_START REPEAT_2 SAVE TAP_0 POOL_MEAN LOOP_END",
        mends="LOOP_START REPEAT_2 SAVE TAP_0 POOL_MEAN ADD TAP_0 LOOP_END",
    ),
    Explanation(
        rule="no-op",
        meaning="Every token changes something: an op does not repeat what was just done, no value is saved "
        "where it is or loaded where it stands.",
        reason="Two programs that differ in it would be one blueprint, trained and counted twice.",
        breaks="RELU RELU",
        mends="RELU",
    ),
    Explanation(
        rule="too-long",
        meaning="Within the most tokens of a program there is room to complete it after every token.",
        reason="Programs are searched through; the bound keeps the search, and what it finds, small. Asked "
        "at every token, it keeps a walk over legal tokens from ever meeting a dead end.",
        breaks=" ".join(["TANH"] * (LANGUAGE.max_length + 1)),
        mends=" ".join(["TANH"] * LANGUAGE.max_length),
    ),
    Explanation(
        rule="over-cost",
        meaning="The shortest completion after every token stays under the cap of FLOPs a step, counted in "
        "a host of width 16; what a loop holds counts as often as it is repeated.",
        reason="A thousand blueprints train at once: the cost of each is bounded before it is built.",
        breaks="CONV1D KERNEL_7 CHANNELS_QUAD CONV1D KERNEL_7 CHANNELS_QUAD",
        mends="CONV1D KERNEL_7 CHANNELS_QUAD CONV1D KERNEL_7 CHANNELS_IN",
    ),
)


def explanation(rule: str) -> Explanation:
    """Return the explanation of a rule by its name.

    Raises:
        TamiyoError: naming the known rules.
    """
    for row in EXPLANATIONS:
        if row.rule == rule:
            return row
    raise TamiyoError(f"no rule {rule!r}; expected one of " + ", ".join(row.rule for row in EXPLANATIONS))
