"""The op table: one row an op, free of torch; an explicit tuple, no registration by side effect."""

from blueprints.ops.activations import ACTIVATION_OPS
from blueprints.ops.core import CORE_OPS
from blueprints.ops.features import FEATURE_OPS
from blueprints.ops.merges import MERGE_OPS
from blueprints.ops.row import Attribute, Op, Parameter, SourceTemplate
from blueprints.ops.temporal import TEMPORAL_OPS

OPS: tuple[Op, ...] = (*CORE_OPS, *TEMPORAL_OPS, *FEATURE_OPS, *ACTIVATION_OPS, *MERGE_OPS)

__all__ = ["CORE_OPS", "OPS", "Attribute", "Op", "Parameter", "SourceTemplate"]
