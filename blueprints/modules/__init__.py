"""The table from op name to torch module builder; imports torch, unlike the rows of the op table."""

from collections.abc import Mapping

from blueprints.modules.activations import ACTIVATION_MODULES
from blueprints.modules.core import CORE_MODULES, ModuleBuilder
from blueprints.modules.features import FEATURE_MODULES
from blueprints.modules.merges import MERGE_MODULES
from blueprints.modules.temporal import TEMPORAL_MODULES

MODULES: Mapping[str, ModuleBuilder] = {
    **CORE_MODULES,
    **TEMPORAL_MODULES,
    **FEATURE_MODULES,
    **ACTIVATION_MODULES,
    **MERGE_MODULES,
}

__all__ = ["MODULES", "ModuleBuilder"]
