"""A user's own file: what it may hold, how it travels, what is refused; runs on it stand in tests/tamiyo."""

import copy
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from blueprints import IDENTITY, human
from crucible import Crucible
from crucible.engines.workers import Worker
from curricula.suites import task_named
from curricula.task import Task, TaskError
from curricula.user_tasks import load_user_tasks, source_hash, try_task

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "own_task.py"
HEAD = """\
from dataclasses import dataclass, replace
import torch
from curricula.task import Split, Splits
from curricula.xor import Xor
"""


def written(folder: Path, body: str) -> Path:
    path = folder / "mine.py"
    path.write_text(HEAD + body)
    return path


def own_xor(body: str) -> str:
    """Return a file whose task is XOR but for `body`, which overrides."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    head = "@dataclass(frozen=True, kw_only=True)\nclass Mine(Xor):\n    name: str = 'mine'\n"
    return f"{head}{lines}TASKS = (Mine(),)\n"


def example() -> Task:
    return load_user_tasks(EXAMPLE)["rises"]


def test_the_example_keeps_the_contract_in_at_most_thirty_lines():
    assert sum(bool(line.strip()) for line in EXAMPLE.read_text().splitlines()) <= 30
    for seed in (0, 5000):
        try_task(example(), seed)
    for split in (example().splits(0).train, example().splits(0).test):
        assert 0.4 < split.targets.float().mean() < 0.6


def test_on_the_example_memoryless_blueprints_stay_at_chance_and_one_with_memory_passes():
    blueprints = [IDENTITY, human("residual_mlp"), human("tcn_block")]
    with Crucible(num_workers=1) as crucible:
        found = crucible.evaluate(blueprints, [example()], range(8))
    means = [sum(result.score for result in evaluation.results) / 8 for evaluation in found]
    assert all(0.45 < mean < 0.55 for mean in means[:2])
    assert means[2] > example().solved


def test_the_package_s_own_tasks_keep_what_is_asked_of_a_user_s():
    for name in ("xor", "temporal"):
        assert source_hash(task_named(name)) == ""
        try_task(task_named(name), 3)


def test_a_file_loaded_twice_gives_equal_tasks_and_a_changed_one_gives_others(tmp_path):
    path = written(tmp_path, own_xor("def extra(self): return 1"))
    first, again = load_user_tasks(path)["mine"], load_user_tasks(path)["mine"]
    assert first == again
    assert hash(first) == hash(again)
    path.write_text(path.read_text().replace("return 1", "return 2"))
    changed = load_user_tasks(path)["mine"]
    assert (first.extra(), changed.extra()) == (1, 2)
    assert first != changed
    assert len({source_hash(task) for task in (first, again, changed)}) == 2


def test_a_file_may_hold_variants_of_the_package_s_tasks(tmp_path):
    tasks = load_user_tasks(
        written(tmp_path, "TASKS = (Xor(name='xor_2', num_distractors=2), Xor(name='b'))")
    )
    assert list(tasks) == ["xor_2", "b"]
    assert tasks["xor_2"].input_width == 4


@pytest.mark.parametrize("travel", [copy.copy, copy.deepcopy, lambda task: pickle.loads(pickle.dumps(task))])
def test_a_task_travels_as_a_value(travel):
    assert travel(example()) == example()


def test_a_task_reaches_a_fresh_process_that_has_no_such_file(tmp_path):
    path = tmp_path / "gone.py"
    path.write_text(EXAMPLE.read_text())
    task = load_user_tasks(path)["rises"]
    (tmp_path / "task.pickle").write_bytes(pickle.dumps(task))
    path.unlink()
    program = (
        "import pickle, sys; task = pickle.load(open(sys.argv[1], 'rb'));"
        "from curricula.user_tasks import source_hash;"
        "print(task, source_hash(task), float(task.splits(7).test.inputs.sum()))"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path / "task.pickle")]
    run = subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT, check=True)
    assert run.stdout.split() == [
        *str(task).split(),
        source_hash(task),
        str(float(task.splits(7).test.inputs.sum())),
    ]


def test_a_worker_process_knows_a_task_of_a_file_that_is_gone(tmp_path):
    path = tmp_path / "gone.py"
    path.write_text(EXAMPLE.read_text().replace("rises", "climbs"))
    task = load_user_tasks(path)["climbs"]
    path.unlink()
    worker = Worker()
    try:
        assert worker.call(source_hash, task) == source_hash(task)
    finally:
        worker.close()


def test_a_task_trains_in_worker_processes_as_it_does_in_this_one():
    blueprints, results = [human("conv"), human("residual_mlp")], []
    for num_workers in (1, 2):
        with Crucible(engine="batched", num_workers=num_workers) as crucible:
            results.append(crucible.evaluate(blueprints, [replace(example(), epochs=2)], [0]))
    assert results[0] == results[1]
    assert all(evaluation.status == "ok" for evaluation in results[0])


BROKEN_FILES = {
    "x = (": ("cannot be loaded: SyntaxError", "line 5"),
    "\n\nraise KeyError('lost')": ("cannot be loaded: KeyError: 'lost'", "line 7"),
    "import nosuchmodule": ("ModuleNotFoundError: No module named 'nosuchmodule'", "line 5"),
    "class Mine(Xor, kw=1): pass": ("cannot be loaded: TypeError", "line 5"),
    own_xor("delays: tuple = (1, 2)").replace("Mine()", "Mine(delays=[1])"): (
        "TaskError: mine: delays = [1] (unhashable type: 'list')",
        "a tuple in place of a list",
        "line 9",
    ),
    "TASKS = (Xor(name='a', epochs=0),)": ("TaskError: a: epochs = 0; expected at least 1", "line 5"),
    "": ("has TASKS = None; expected a tuple of tasks",),
    "TASKS = ()": ("has TASKS = (); expected a tuple of tasks",),
    "TASKS = [Xor()]": ("expected a tuple of tasks",),
    "TASKS = (Xor,)": ("expected a tuple of tasks",),
    "TASKS = (Xor(name='a'), Xor(name='a', sigma=0.1))": ("tasks named a, a; expected no name twice",),
    "TASKS = (Xor(name='a b'),)": ("names a task 'a b'; expected at most 64 letters",),
    f"TASKS = (Xor(name={'a' * 65!r}),)": ("expected at most 64 letters",),
}


@pytest.mark.parametrize("body", BROKEN_FILES)
def test_a_file_that_gives_no_tasks_is_refused_by_name_line_and_reason(body, tmp_path):
    path = written(tmp_path, body)
    for _ in range(2):  # a failed module leaves nothing behind that a second try would take for whole
        with pytest.raises(TaskError) as caught:
            load_user_tasks(path)
        assert str(path) in str(caught.value)
        for words in BROKEN_FILES[body]:
            assert words in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "bytes.py").write_bytes(b"\xff\xfe")
    for path, words in ((tmp_path / "none.py", "No such file"), (tmp_path / "bytes.py", "decode")):
        with pytest.raises(TaskError, match=rf"{path.name} cannot be read .*{words}"):
            load_user_tasks(path)


BROKEN_TASKS = {
    "def splits(self, seed): return Xor().draw(seed)": "has a method splits of its own; name it draw",
    "def probe(self): return Xor().probe()": "has a method probe of its own; name it draw_probe",
    "def draw(self, seed): return [][seed]": "cannot draw the splits of seed 0: IndexError: list index out",
    "def draw(self, seed): return 3": "draw(0) is 3; expected curricula.task.Splits",
    "def draw_probe(self): return torch.zeros(3, 1, 2)": "the probe set is no tensor of 256 examples",
    "def draw_probe(self): return torch.rand(256, 1, 2)": "the probe set differs from call to call",
    "def draw(self, seed):\n"
    "    s = Xor().splits(seed)\n"
    "    return replace(s, test=replace(s.test, inputs=torch.rand(512, 1, 2)))": (
        "test split of seed 0: the inputs differ from call to call; draw them from a generator"
    ),
    "def draw(self, seed):\n"
    "    s = Xor().splits(seed)\n"
    "    return replace(s, validation=Split(inputs=s.test.inputs[:256], targets=s.test.targets[:256]))": (
        "an example of the test split is in the validation split too"
    ),
    "def draw(self, seed):\n    s = Xor().splits(seed)\n    return replace(s, train=s.test)": (
        "train split of seed 0: the inputs are no tensor of 64 examples"
    ),
}


@pytest.mark.parametrize("body", BROKEN_TASKS)
def test_a_task_that_breaks_its_contract_is_refused_with_what_it_did(body, tmp_path):
    task = load_user_tasks(written(tmp_path, own_xor(body)))["mine"]
    with pytest.raises(TaskError) as caught:
        try_task(task, 0)
    assert "task 'mine'" in str(caught.value)
    assert BROKEN_TASKS[body] in str(caught.value)


@pytest.mark.parametrize(
    ("knob", "words"),
    [
        (
            "delays: tuple = ([1],)",
            r"mine: delays = .* \(unhashable type: 'list'\); expected .* a tuple in place",
        ),
        ("batch_size: int = 48", "mine: batch_size = 48 does not divide 64"),
    ],
)
def test_a_knob_that_a_task_s_own_check_lets_pass_is_refused_when_it_is_tried(knob, words, tmp_path):
    body = f"{knob}\ndef __post_init__(self): pass"
    task = load_user_tasks(written(tmp_path, own_xor(body)))["mine"]
    with pytest.raises(TaskError, match=words):
        try_task(task, 0)
