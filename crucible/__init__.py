"""The Crucible judges: trains many blueprints at once; its records import without torch."""

from typing import TYPE_CHECKING, Any

from crucible.evaluation import Evaluation, LossCurve, Status, TaskResult

if TYPE_CHECKING:
    from crucible.crucible import Crucible
    from crucible.latency import LatencyTable

__all__ = ["Crucible", "Evaluation", "LatencyTable", "LossCurve", "Status", "TaskResult"]


def __getattr__(name: str) -> Any:
    """Load the engines, and torch with them, on first use."""
    if name == "Crucible":
        from crucible.crucible import Crucible

        return Crucible
    if name == "LatencyTable":
        from crucible.latency import LatencyTable

        return LatencyTable
    raise AttributeError(f"module 'crucible' has no attribute {name!r}")
