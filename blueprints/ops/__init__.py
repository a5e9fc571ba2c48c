"""The op table: one row an op, free of torch; an explicit tuple, no registration by side effect."""

from blueprints.ops.core import CORE_OPS
from blueprints.ops.row import Attribute, Op, Parameter, SourceTemplate

OPS: tuple[Op, ...] = CORE_OPS

__all__ = ["OPS", "Attribute", "Op", "Parameter", "SourceTemplate"]
