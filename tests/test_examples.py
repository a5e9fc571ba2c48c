"""The examples of docs/ run as a reader would run them."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OWN_OP = ROOT / "docs" / "examples" / "own_op.py"


def test_an_own_op_takes_at_most_thirty_lines_to_training_and_source():
    assert sum(bool(line.strip()) for line in OWN_OP.read_text().splitlines()) <= 30
    run = subprocess.run([sys.executable, str(OWN_OP)], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    score, _, source = run.stdout.partition("\n")
    assert float(score.removeprefix("score ")) > 0.9
    assert "class Snake(nn.Module):" in source
    compile(source, "emitted", "exec")
