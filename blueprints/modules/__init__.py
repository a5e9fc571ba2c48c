"""The table from op name to torch module builder; imports torch, unlike the rows of the op table."""

from blueprints.modules.core import CORE_MODULES, ModuleBuilder

MODULES = CORE_MODULES

__all__ = ["MODULES", "ModuleBuilder"]
