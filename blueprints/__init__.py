"""The language: tokens, grammar, typed graphs, identity and source; torch is loaded only by the compiler."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from blueprints.batch_walk import BatchWalk
from blueprints.canonical import canonical_form, is_isomorphic, structural_hash
from blueprints.cost import flops, num_parameters
from blueprints.drawing import blueprint_svg
from blueprints.emitter import emit
from blueprints.errors import BlueprintError, TamiyoError
from blueprints.explanations import EXPLANATIONS, Explanation, explanation
from blueprints.generation import mutate, random_program
from blueprints.grammar import Cursor, Grammar, grammar_of, legal_tokens
from blueprints.graph import Graph, Node
from blueprints.human import HUMAN_BLUEPRINTS, HumanBlueprint, human
from blueprints.json_form import DocumentError, LanguageMismatchError, from_json, to_json
from blueprints.language import CORE_LANGUAGE, LANGUAGE, Language
from blueprints.networkx_form import GraphFormError, from_networkx, to_networkx
from blueprints.ops import CORE_OPS, OPS, Attribute, Op, Parameter, SourceTemplate
from blueprints.parser import IDENTITY, Blueprint, parse
from blueprints.printer import to_tokens
from blueprints.repair import Repair, edit_distance, repair
from blueprints.text import from_text, to_text
from blueprints.vector import VectorError, decode_vector, encode_vector
from blueprints.verifier import VerificationError, verify

if TYPE_CHECKING:
    from blueprints.compiler import BlueprintModule, compile_blueprint
    from blueprints.exporting import (
        ExportError,
        export_onnx,
        export_program,
        load_onnx,
        load_program,
        load_weights,
        save_weights,
    )
    from blueprints.pyg import from_pyg, to_pyg

__all__ = [
    "CORE_LANGUAGE",
    "CORE_OPS",
    "EXPLANATIONS",
    "HUMAN_BLUEPRINTS",
    "IDENTITY",
    "LANGUAGE",
    "OPS",
    "Attribute",
    "BatchWalk",
    "Blueprint",
    "BlueprintError",
    "BlueprintModule",
    "Cursor",
    "DocumentError",
    "Explanation",
    "ExportError",
    "Grammar",
    "Graph",
    "GraphFormError",
    "HumanBlueprint",
    "Language",
    "LanguageMismatchError",
    "Node",
    "Op",
    "Parameter",
    "Repair",
    "SourceTemplate",
    "TamiyoError",
    "VectorError",
    "VerificationError",
    "blueprint_svg",
    "canonical_form",
    "compile_blueprint",
    "decode_vector",
    "edit_distance",
    "emit",
    "encode_vector",
    "explanation",
    "export_onnx",
    "export_program",
    "flops",
    "from_json",
    "from_networkx",
    "from_pyg",
    "from_text",
    "grammar_of",
    "human",
    "is_isomorphic",
    "legal_tokens",
    "load_onnx",
    "load_program",
    "load_weights",
    "mutate",
    "num_parameters",
    "parse",
    "random_program",
    "repair",
    "save_weights",
    "structural_hash",
    "to_json",
    "to_networkx",
    "to_pyg",
    "to_text",
    "to_tokens",
    "verify",
]

#: What needs torch, by the file that holds it.
_WITH_TORCH = {
    "compiler": ("BlueprintModule", "compile_blueprint"),
    "exporting": (
        "Explanation",
        "ExportError",
        "explanation",
        "export_onnx",
        "export_program",
        "load_onnx",
        "load_program",
        "load_weights",
        "save_weights",
    ),
    "pyg": ("from_pyg", "to_pyg"),
}


def __getattr__(name: str) -> Any:
    """Load what needs torch, and torch with it, on first use."""
    file = next((file for file, names in _WITH_TORCH.items() if name in names), None)
    if file is None:
        raise AttributeError(f"module 'blueprints' has no attribute {name!r}")
    return getattr(import_module(f"blueprints.{file}"), name)
