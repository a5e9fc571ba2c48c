"""The language: tokens, grammar, typed graphs, identity and source; torch is loaded only by the compiler."""

from typing import TYPE_CHECKING, Any

from blueprints.canonical import canonical_form, is_isomorphic, structural_hash
from blueprints.cost import flops, num_parameters
from blueprints.emitter import emit
from blueprints.errors import BlueprintError, TamiyoError
from blueprints.generation import mutate, random_program
from blueprints.grammar import Cursor, Grammar, grammar_of, legal_tokens
from blueprints.graph import Graph, Node
from blueprints.human import HUMAN_BLUEPRINTS, HumanBlueprint, human
from blueprints.language import LANGUAGE, Language
from blueprints.ops import CORE_OPS, OPS, Attribute, Op, Parameter, SourceTemplate
from blueprints.parser import IDENTITY, Blueprint, parse
from blueprints.printer import to_tokens
from blueprints.verifier import VerificationError, verify

if TYPE_CHECKING:
    from blueprints.compiler import BlueprintModule, compile_blueprint

__all__ = [
    "CORE_OPS",
    "HUMAN_BLUEPRINTS",
    "IDENTITY",
    "LANGUAGE",
    "OPS",
    "Attribute",
    "Blueprint",
    "BlueprintError",
    "BlueprintModule",
    "Cursor",
    "Grammar",
    "Graph",
    "HumanBlueprint",
    "Language",
    "Node",
    "Op",
    "Parameter",
    "SourceTemplate",
    "TamiyoError",
    "VerificationError",
    "canonical_form",
    "compile_blueprint",
    "emit",
    "flops",
    "grammar_of",
    "human",
    "is_isomorphic",
    "legal_tokens",
    "mutate",
    "num_parameters",
    "parse",
    "random_program",
    "structural_hash",
    "to_tokens",
    "verify",
]

#: What needs torch, by the module that holds it.
_WITH_TORCH = {"BlueprintModule": "compiler", "compile_blueprint": "compiler"}


def __getattr__(name: str) -> Any:
    """Load what needs torch, and torch with it, on first use."""
    if name not in _WITH_TORCH:
        raise AttributeError(f"module 'blueprints' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"blueprints.{_WITH_TORCH[name]}"), name)
