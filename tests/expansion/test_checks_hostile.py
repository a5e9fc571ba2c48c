"""Every hostile or sloppy unit is refused by the check that is there for it; the error names the fault."""

import pytest
from checking import DESIGNER, brief_for
from hostile_units import HOSTILE_UNITS, Hostile

from tamiyo.expansion.examination import check_unit
from tamiyo.expansion.records import UNITS, TargetName, UnitName, Verdict
from tamiyo.sandbox.contract import Limits, Sandbox

LIMITS = Limits(wall_s=5.0, cpu_s=5.0, memory_bytes=2**30)


def source_of(hostile: Hostile) -> str:
    """Return the template's unit with the changes made, each of which must find its place."""
    if not hostile.changes:
        return hostile.source
    brief = brief_for(hostile.target)
    source = DESIGNER.unit(brief, DESIGNER.plan(brief), hostile.unit)
    for piece, other in hostile.changes:
        assert piece in source, f"{hostile.title}: the template has no {piece!r}"
        source = source.replace(piece, other, 1) if piece != "self.tokens" else source.replace(piece, other)
    return source


def checked(sandbox: Sandbox, unit: UnitName, target: TargetName, source: str) -> Verdict:
    brief = brief_for(target)
    plan = DESIGNER.plan(brief)
    done: dict[UnitName, str] = {
        name: DESIGNER.unit(brief, plan, name) for name in UNITS[: UNITS.index(unit)]
    }
    return check_unit(sandbox, brief, plan, unit, source, done, LIMITS)


@pytest.mark.parametrize("hostile", HOSTILE_UNITS, ids=lambda hostile: hostile.title)
def test_a_hostile_unit_is_refused_by_the_check_that_is_there_for_it(
    hostile: Hostile, sandbox: Sandbox
) -> None:
    verdict = checked(sandbox, hostile.unit, hostile.target, source_of(hostile))
    assert verdict.failure is not None, "it passed every check"
    assert verdict.failure.name == hostile.check, verdict.failure
    assert hostile.says in verdict.failure.detail


def test_titles_of_hostile_units_differ() -> None:
    assert len({hostile.title for hostile in HOSTILE_UNITS}) == len(HOSTILE_UNITS) >= 60
