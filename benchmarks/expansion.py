"""Random legal blueprints times targets, expanded by the template and put through every check; asks no model.

Each row is kept in a file as it comes, so that a run goes on where an earlier one ended.
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median, quantiles
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from blueprints import parse, random_program
from blueprints.emitter import emit
from tamiyo.expansion.assembly import expand_by
from tamiyo.expansion.examination import check_architecture
from tamiyo.expansion.records import TARGETS, Brief, ExpansionError, TargetName
from tamiyo.expansion.targets import target_named
from tamiyo.expansion.template import TemplateDesigner
from tamiyo.sandbox.choosing import open_sandbox
from tamiyo.sandbox.contract import Sandbox

Row = dict[str, Any]


def expanded(sandbox: Sandbox, tokens: Sequence[str], target: TargetName) -> Row:
    """Return what came of one blueprint for one target: refused by a rule, or the verdict of the checks.

    The row's `is_right` says that a blueprint which breaks the target's type rule was refused by its name,
    and that any other passed.
    """
    blueprint = parse(tokens)
    brief = Brief(blueprint_id="", tokens=tuple(tokens), target=target, block_source=emit(blueprint))
    refusal = target_named(target).refusal(blueprint.graph)
    row: Row = {"tokens": " ".join(tokens), "target": target, "is_refused": False, "is_right": False}
    try:
        files = expand_by(TemplateDesigner(), brief, {})
    except ExpansionError as error:
        named = str(error).startswith("rule 'not-causal'")
        return {**row, "is_refused": True, "is_right": named and bool(refusal), "failure": str(error)}
    started = time.perf_counter()
    verdict, usage = check_architecture(sandbox, files, blueprint, target)
    failure = verdict.failure
    return {
        **row,
        "is_right": verdict.is_passed and not refusal,
        "failure": "" if failure is None else f"{failure.name}: {failure.detail}",
        "seconds": time.perf_counter() - started,
        "cpu_s": usage.cpu_s,
        "peak_bytes": usage.peak_bytes,
        "checks": {check.name: check.seconds for check in verdict.checks if check.name != "resources"},
    }


def programs(num: int, seed: int) -> list[tuple[str, ...]]:
    """Return random legal programs, each once."""
    rng = random.Random(seed)
    found: dict[tuple[str, ...], None] = {}
    while len(found) < num:
        found[tuple(random_program(rng))] = None
    return list(found)


def known_rows(path: Path | None) -> dict[tuple[str, str], Row]:
    """Return the rows of earlier runs by program and target."""
    if path is None or not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {(row["tokens"], row["target"]): row for row in rows}


def report(rows: Sequence[Row]) -> None:
    """Print a line for each target, the times, and each row that is not as it should be."""
    print("target                 served   passed  refused by the rule")
    for target in TARGETS:
        own = [row for row in rows if row["target"] == target]
        served = [row for row in own if not row["is_refused"]]
        passed = sum(row["is_right"] for row in served)
        share = f"{passed / len(served):8.1%}" if served else "       -"
        refused = [row for row in own if row["is_refused"]]
        num_right = sum(row["is_right"] for row in refused)
        print(f"{target:22} {len(served):6} {share}  {num_right} of {len(refused)}")
    checked = [row for row in rows if "cpu_s" in row]
    if len(checked) > 1:
        report_times(checked)
    wrong = [row for row in rows if not row["is_right"]]
    for name, count in Counter(row["failure"].partition(":")[0] for row in wrong).most_common():
        print(f"{count} by {name}")
    for row in wrong:
        print(f"{row['target']}: {row['tokens']}\n    {row['failure']}")


def report_times(rows: Sequence[Row]) -> None:
    """Print how long the checks of a candidate take, and which of them take it."""
    for name, unit in (("cpu_s", "s of computing in the sandbox"), ("seconds", "s by the clock, all told")):
        values = [row[name] for row in rows]
        tenth = quantiles(values, n=10)[-1]
        print(
            f"{median(values):6.2f} {unit} (median), {tenth:.2f} (90th percentile), {max(values):.2f} (most)"
        )
    names = dict.fromkeys(name for row in rows for name in row["checks"])
    mean = {name: fmean(row["checks"].get(name, 0.0) for row in rows) for name in names}
    print("mean s by the clock: " + ", ".join(f"{name} {seconds:.3f}" for name, seconds in mean.items()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and report; return 1 when a row is not as it should be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--num", type=int, default=500, help="random programs (default 500)")
    parser.add_argument("--seed", type=int, default=0, help="of the programs (default 0)")
    parser.add_argument("--sandbox", default="auto", help="backend (default: the strongest there is)")
    parser.add_argument("--rows", type=Path, help="file of JSON lines that is read and added to")
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="end then with what there is (default 30)"
    )
    options = parser.parse_args(arguments)
    deadline = time.monotonic() + 60 * options.minutes
    known, rows = known_rows(options.rows), []
    sandbox = open_sandbox(options.sandbox)
    try:
        for tokens in programs(options.num, options.seed):
            for target in TARGETS:
                row = known.get((" ".join(tokens), target))
                if row is None and time.monotonic() > deadline:
                    continue
                if row is None:
                    row = expanded(sandbox, tokens, target)
                    if options.rows is not None:
                        with options.rows.open("a") as file:
                            file.write(json.dumps(row) + "\n")
                rows.append(row)
    finally:
        sandbox.close()
    print(f"{len(rows)} of {options.num * len(TARGETS)} expansions, sandbox {sandbox.name}")
    report(rows)
    return 0 if all(row["is_right"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
