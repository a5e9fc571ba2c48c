"""Reads a unit's source, never running it, and names what it may not do; whether it works is tried elsewhere.

A unit is arithmetic on tensors. Its names must be its own, of a table (`allowed_names.py`) or of the folder's
modules; nothing happens when it is imported; it replaces nothing that is not its own. What is left can still
be wrong, slow or greedy: that is the sandbox's and the other checks' work.
"""

import ast
import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from tamiyo.expansion.allowed_names import (
    ATTRIBUTES_REFUSED,
    BUILTINS,
    DECORATORS,
    FRAME_ATTRIBUTES,
    INSTEAD,
    MODULE_MACHINERY,
    MODULES,
    SPECIAL_METHODS,
)

MAX_CHARACTERS = 20_000
#: Faults named at a time: enough to mend by, few enough to read.
MAX_FAULTS = 6

_NODES_REFUSED: Mapping[type[ast.AST], str] = {
    ast.Try: "catches exceptions; a unit lets them pass",
    ast.TryStar: "catches exceptions; a unit lets them pass",
    ast.Global: "writes a global; keep state on self",
    ast.Nonlocal: "writes another function's variable; return it instead",
    ast.AsyncFunctionDef: "is asynchronous; a unit is plain arithmetic",
    ast.AsyncFor: "is asynchronous; a unit is plain arithmetic",
    ast.AsyncWith: "is asynchronous; a unit is plain arithmetic",
    ast.Await: "is asynchronous; a unit is plain arithmetic",
    ast.Match: "matches patterns; use if and elif",
    ast.Yield: "is a generator; build a list instead",
    ast.YieldFrom: "is a generator; build a list instead",
    ast.NamedExpr: "assigns inside an expression; use a line of its own",
}
#: What a constant is made of: literals, and names without a call.
_CONSTANTS = (
    *(
        ast.Constant,
        ast.Tuple,
        ast.List,
        ast.Dict,
        ast.Set,
        ast.UnaryOp,
        ast.BinOp,
        ast.operator,
        ast.unaryop,
    ),
    *(ast.Name, ast.Attribute, ast.Load),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that a source may not do: where, what came, and what was expected."""

    line: int
    text: str


def faults(source: str, own_modules: Mapping[str, Collection[str]]) -> tuple[Fault, ...]:
    """Return what `source` may not do, in the order of its lines; nothing when it may be run in a sandbox.

    Args:
        source: Python source of a unit.
        own_modules: the folder's modules that it may import, each with the names that it may take from it.
    """
    if len(source) > MAX_CHARACTERS:
        text = f"the source has {len(source):,} characters, expected at most {MAX_CHARACTERS:,}"
        return (Fault(line=1, text=text),)
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        shown = f": {error.text.strip()!r}" if error.text else ""
        return (Fault(line=error.lineno or 1, text=f"no Python: {error.msg}{shown}"),)
    except (ValueError, RecursionError, MemoryError) as error:
        return (Fault(line=1, text=f"no Python that can be read: {error or type(error).__name__}"),)
    reader = _Reader(own_modules=own_modules)
    reader.read(tree)
    unique = dict.fromkeys(sorted(reader.faults, key=lambda fault: fault.line))
    return tuple(unique)


def described(file: str, found: Collection[Fault]) -> str:
    """Return the faults of a file as lines that name file, line, what came and what was expected."""
    lines = [f"{file}, line {fault.line}: {fault.text}" for fault in list(found)[:MAX_FAULTS]]
    more = len(found) - len(lines)
    return "\n".join([*lines, f"and {more} more"] if more > 0 else lines)


@dataclass(slots=True)
class _Reader:
    """Walks one module; `modules` are its names for modules, `imported` its names for what they hold."""

    own_modules: Mapping[str, Collection[str]]
    faults: list[Fault] = field(default_factory=list)
    modules: dict[str, str] = field(default_factory=dict)
    imported: dict[str, str] = field(default_factory=dict)
    bound: set[str] = field(default_factory=set)

    def read(self, tree: ast.Module) -> None:
        for node in ast.walk(tree):
            self._read_import(node)
        self._read_bindings(tree)
        self._read_top_level(tree)
        for node in ast.walk(tree):
            self._read_node(node)
        for parent in ast.walk(tree):
            for child in ast.iter_child_nodes(parent):
                self._read_name(child, parent)
        for owner in ast.walk(tree):
            if isinstance(owner, ast.ClassDef):
                self._read_class(owner)

    def _fault(self, node: ast.AST, text: str) -> None:
        self.faults.append(Fault(line=getattr(node, "lineno", 1), text=text))

    # Imports and names

    def _read_import(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                self._import_module(node, alias)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                self._import_name(node, alias)

    def _import_module(self, node: ast.Import, alias: ast.alias) -> None:
        if alias.name not in MODULES and alias.name not in self.own_modules:
            self._fault(node, self._unknown_module(alias.name))
        elif alias.asname:
            self.modules[alias.asname] = alias.name
        else:
            self.modules[alias.name.split(".")[0]] = alias.name.split(".")[0]

    def _import_name(self, node: ast.ImportFrom, alias: ast.alias) -> None:
        module, name = node.module or "", alias.asname or alias.name
        allowed = MODULES.get(module) if node.level == 0 else None
        if allowed is None and node.level == 0:
            allowed = self.own_modules.get(module)
        full = f"{module}.{alias.name}"
        if allowed is None:
            self._fault(node, self._unknown_module("." * node.level + module))
        elif alias.name not in allowed:
            self._fault(node, _not_among(full, module, allowed))
        elif full in MODULES:
            self.modules[name] = full
        else:
            self.imported[name] = full

    def _unknown_module(self, module: str) -> str:
        allowed = [name for name in MODULES if name != "__future__"]
        instead = INSTEAD.get(module.split(".")[0], "")
        return f"imports `{module}`, expected one of {', '.join([*allowed, *self.own_modules])}" + (
            f" ({instead})" if instead else ""
        )

    def _read_bindings(self, tree: ast.Module) -> None:
        receivers = set(_receivers(tree))
        for node, name in _bindings(tree):
            if name == "self" and node not in receivers:
                self._fault(node, "binds `self`, expected it as the first argument of a method alone")
            elif name in self.modules or name in self.imported:
                self._fault(node, f"binds `{name}` again, which is imported; choose another name")
            elif name.startswith("__"):
                self._fault(node, f"binds `{name}`, expected no name with two leading underscores")
            self.bound.add(name)

    def _read_name(self, node: ast.AST, parent: ast.AST) -> None:
        if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load):
            return
        if node.id in self.modules:
            if not isinstance(parent, ast.Attribute):
                self._fault(node, f"uses the module `{node.id}` as a value, expected `{node.id}.NAME`")
        elif node.id not in self.bound and node.id not in self.imported and node.id not in BUILTINS:
            self._fault(node, _unknown_name(node.id, BUILTINS | self.bound | set(self.imported)))

    # What is run on import

    def _read_top_level(self, tree: ast.Module) -> None:
        for node in tree.body:
            if not self._is_declaration(node):
                text = (
                    "does something when it is imported, expected imports, classes, functions and constants"
                )
                self._fault(node, f"`{_shown(node)}` {text}")

    def _is_declaration(self, node: ast.stmt) -> bool:
        if isinstance(node, ast.Import | ast.ImportFrom | ast.ClassDef | ast.FunctionDef | ast.Pass):
            return True
        if isinstance(node, ast.Expr):
            return isinstance(node.value, ast.Constant)
        if isinstance(node, ast.Assign):
            return all(isinstance(target, ast.Name) for target in node.targets) and _is_constant(node.value)
        if isinstance(node, ast.AnnAssign):
            return isinstance(node.target, ast.Name) and (node.value is None or _is_constant(node.value))
        return False

    # Everything else

    def _read_node(self, node: ast.AST) -> None:
        reason = next((text for kind, text in _NODES_REFUSED.items() if isinstance(node, kind)), None)
        if reason is not None:
            self._fault(node, f"`{_shown(node)}` {reason}")
        if isinstance(node, ast.Attribute):
            self._read_attribute(node)
        elif isinstance(node, ast.FunctionDef):
            self._read_function(node)
        elif isinstance(node, ast.Lambda):
            self._read_defaults(node.args)

    def _read_attribute(self, node: ast.Attribute) -> None:
        name, shown = node.attr, _shown(node)
        if name.startswith("__") and name not in SPECIAL_METHODS:
            self._fault(node, f"reads `{shown}`, expected no special attribute but {_list(SPECIAL_METHODS)}")
        elif name in SPECIAL_METHODS:
            if not _is_super(node.value):
                self._fault(node, f"calls `{shown}`, expected `super().{name}(...)`")
        elif name.startswith("_") and (name in _MODULE_PRIVATES or not _is_name(node.value, "self")):
            self._fault(node, f"reads `{shown}`, expected no private attribute but one's own on self")
        elif name in ATTRIBUTES_REFUSED or name in FRAME_ATTRIBUTES:
            self._fault(node, f"uses `{shown}`, which reaches beyond the arithmetic of tensors")
        elif not isinstance(node.ctx, ast.Load):
            self._read_target(node)
        path = self._module_path(node.value)
        if path is not None:
            allowed = MODULES.get(path) or self.own_modules.get(path) or ()
            if name not in allowed and f"{path}.{name}" not in MODULES:
                self._fault(node, _not_among(f"{path}.{name}", path, allowed))

    def _read_target(self, node: ast.Attribute) -> None:
        shown = _shown(node)
        if not _is_rooted_at_self(node):
            self._fault(node, f"sets `{shown}`, expected attributes of self alone to be set")
        elif node.attr in MODULE_MACHINERY or node.attr == "forward":
            self._fault(node, f"sets `{shown}`, which nn.Module owns; choose another name")

    def _module_path(self, node: ast.AST) -> str | None:
        """Return the dotted module that an expression names, if it names one."""
        if isinstance(node, ast.Name):
            return self.modules.get(node.id)
        if isinstance(node, ast.Attribute):
            base = self._module_path(node.value)
            path = f"{base}.{node.attr}"
            return path if base is not None and path in MODULES else None
        return None

    def _read_function(self, node: ast.FunctionDef) -> None:
        if node.name.startswith("__") and node.name not in SPECIAL_METHODS:
            self._fault(
                node, f"defines `{node.name}`, expected no special method but {_list(SPECIAL_METHODS)}"
            )
        self._read_decorators(node)
        self._read_defaults(node.args)

    def _read_defaults(self, arguments: ast.arguments) -> None:
        for default in (*arguments.defaults, *(d for d in arguments.kw_defaults if d is not None)):
            if not _is_constant(default):
                self._fault(default, f"has the default `{_shown(default)}`, expected a constant or a name")

    def _read_decorators(self, node: ast.FunctionDef | ast.ClassDef) -> None:
        for decorator in node.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            if _shown(called) not in DECORATORS:
                text = f"stands under `@{_shown(decorator)}`, expected one of {_list(DECORATORS)}"
                self._fault(decorator, text)

    def _read_class(self, node: ast.ClassDef) -> None:
        self._read_decorators(node)
        for keyword in node.keywords:
            self._fault(node, f"class {node.name} has `{_shown(keyword)}`, expected base classes alone")
        for base in node.bases:
            self._read_base(node, base)
        for statement in node.body:
            if isinstance(statement, ast.FunctionDef):
                if statement.name in MODULE_MACHINERY:
                    text = (
                        f"defines `{node.name}.{statement.name}`, which nn.Module owns; choose another name"
                    )
                    self._fault(statement, text)
            elif isinstance(statement, ast.ClassDef) or not self._is_field(statement):
                text = (
                    f"`{_shown(statement)}` in class {node.name}, expected fields with constants and methods"
                )
                self._fault(statement, text)

    def _is_field(self, node: ast.stmt) -> bool:
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Call):
            return _shown(node.value.func) in ("field", "dataclasses.field")
        return self._is_declaration(node) and not isinstance(node, ast.Import | ast.ImportFrom)

    def _read_base(self, node: ast.ClassDef, base: ast.expr) -> None:
        path = self._module_path(base.value) if isinstance(base, ast.Attribute) else None
        full = f"{path}.{base.attr}" if path and isinstance(base, ast.Attribute) else ""
        if isinstance(base, ast.Name):
            full = self.imported.get(base.id, "" if base.id not in self.bound else "own")
        if full not in ("own", "torch.nn.Module", "typing.NamedTuple", "typing.Protocol"):
            self._fault(
                node, f"class {node.name} extends `{_shown(base)}`, expected nn.Module or an own class"
            )


#: Attributes in which nn.Module keeps its parameters, parts and hooks.
_MODULE_PRIVATES = frozenset(
    "_parameters _buffers _modules _non_persistent_buffers_set _forward_hooks _forward_pre_hooks "
    "_backward_hooks _backward_pre_hooks _state_dict_hooks _is_full_backward_hook _version _call_impl "
    "_wrapped_call_impl _apply _compiled_call_impl _slow_forward _get_name _named_members "
    "_load_from_state_dict _save_to_state_dict".split()
)


def _bindings(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Yield every name that a module binds by other means than an import, in any scope."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node, node.id
        elif isinstance(node, ast.arg):
            yield node, node.arg
        elif isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name not in SPECIAL_METHODS:
            yield node, node.name


def _receivers(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the first argument of every method that is called on an instance."""
    for owner in ast.walk(tree):
        for node in owner.body if isinstance(owner, ast.ClassDef) else ():
            if not isinstance(node, ast.FunctionDef) or not node.args.args:
                continue
            if not any(_shown(d) in ("staticmethod", "classmethod") for d in node.decorator_list):
                yield node.args.args[0]


def _is_constant(node: ast.AST) -> bool:
    """Whether an expression is literals and names alone; a power could be made to take for ever."""
    return all(isinstance(part, _CONSTANTS) and not isinstance(part, ast.Pow) for part in ast.walk(node))


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _is_super(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and _is_name(node.func, "super")


def _is_rooted_at_self(node: ast.AST) -> bool:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return _is_name(node, "self")


def _not_among(full: str, module: str, allowed: Collection[str]) -> str:
    name = full.rsplit(".", 1)[-1]
    near = difflib.get_close_matches(name, sorted(allowed), n=3)
    instead = INSTEAD.get(full) or INSTEAD.get(name)
    hint = f": {instead}" if instead else (f"; near it: {', '.join(near)}" if near else "")
    return f"uses `{full}`, which is not among the names of {module} that a unit may use{hint}"


def _unknown_name(name: str, known: Collection[str]) -> str:
    instead = INSTEAD.get(name)
    near = difflib.get_close_matches(name, sorted(known), n=3)
    hint = f": {instead}" if instead else (f"; near it: {', '.join(near)}" if near else "")
    return f"uses `{name}`, which is neither defined here nor among the built-in names of a unit{hint}"


def _shown(node: ast.AST) -> str:
    text = ast.unparse(node).splitlines()[0]
    return text if len(text) <= 60 else f"{text[:57]}..."


def _list(names: Collection[str]) -> str:
    return ", ".join(sorted(names))
