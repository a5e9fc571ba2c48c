"""A graph as a torch_geometric Data object and back, for graph networks; trains none."""

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import networkx as nx

from blueprints.errors import TamiyoError
from blueprints.graph import INPUT, LOOP, SCAN, STATE, AttributeValue, Graph
from blueprints.language import LANGUAGE, Language
from blueprints.networkx_form import GraphFormError, Name, from_networkx, to_networkx
from blueprints.types import ValueType

if TYPE_CHECKING:
    import torch
    from torch_geometric.data import Data

#: Kinds of edges, by the number in the first column of `edge_attr`.
EDGE_KINDS = ("input", "body", "store", "state")
#: The columns of `x` that every node has; those of the attributes follow.
NODE_COLUMNS = ("op", "is_sequence", "width", "is_causal")
#: Attributes of nodes that are no rows of the op table.
_OWN_ATTRIBUTES = {INPUT: (), STATE: ("index",), LOOP: ("repeat",), SCAN: ("width",)}


class MissingPackageError(TamiyoError, ImportError):
    """A package that an extra of this distribution installs."""


def pyg_ops(language: Language = LANGUAGE) -> tuple[str, ...]:
    """Return the ops by the number in column `op` of `x`."""
    return (*_OWN_ATTRIBUTES, *language.table)


def pyg_columns(language: Language = LANGUAGE) -> tuple[str, ...]:
    """Return what the columns of `x` hold: `NODE_COLUMNS`, then each attribute that some op has."""
    named = (name for op in pyg_ops(language) for name in _attributes(op, language) if name != "width")
    return (*NODE_COLUMNS, *dict.fromkeys(named))


def to_pyg(graph: Graph, language: Language = LANGUAGE) -> "Data":
    """Return a graph as tensors; `from_pyg` is the inverse.

    Returns:
        A Data object of N nodes, those of bodies right after their loop or scan, with

        - `x`, float `[N, F]`: the columns of `pyg_columns`. Widths are ratios of D; an attribute that an op
          does not have is 0;
        - `edge_index`, int `[2, E]`: an edge for each slot of the edges of `to_networkx`;
        - `edge_attr`, int `[E, 2]`: the edge's kind, an index of `EDGE_KINDS`, and its slot;
        - `owner_index`, int `[N]`: the loop or scan in whose body a node stands, or else the node itself.

    Raises:
        MissingPackageError: when torch_geometric is not installed.
    """
    torch, data_class = _packages()
    form = to_networkx(graph, language)
    number = {name: index for index, name in enumerate(sorted(form))}
    columns = pyg_columns(language)
    edges, kinds = [], []
    for source, target, data in form.edges(data=True):
        for slot in data["slots"] or (0,):
            edges.append((number[source], number[target]))
            kinds.append((EDGE_KINDS.index(data["kind"]), slot))
    return data_class(
        x=torch.tensor([_features(form.nodes[name], columns, language) for name in number]),
        edge_index=torch.tensor(edges, dtype=torch.long).reshape(-1, 2).T.contiguous(),
        edge_attr=torch.tensor(kinds, dtype=torch.long).reshape(-1, 2),
        owner_index=torch.tensor([number.get(name[:-1], number[name]) for name in number]),
    )


def from_pyg(data: "Data", language: Language = LANGUAGE) -> Graph:
    """Return the graph of what `to_pyg` made in the same language.

    Raises:
        GraphFormError: when a tensor is missing, has another shape, or holds what no graph has.
        VerificationError: when the graph breaks the typing of `language`.
    """
    columns = pyg_columns(language)
    x, edges, kinds, owners = _tensors(data, len(columns))
    names: list[Name] = []
    sizes: dict[Name, int] = {}
    for index, owner in enumerate(owners):
        if not 0 <= owner <= index:
            raise GraphFormError(f"node {index} stands in the body of {owner}, expected a node before it")
        path = () if owner == index else names[owner]
        names.append((*path, sizes.setdefault(path, 0)))
        sizes[path] += 1
    form = nx.DiGraph()
    for index, row in enumerate(x):
        form.add_node(names[index], **_node(index, dict(zip(columns, row, strict=True)), language))
    for pair, (kind, slot) in zip(edges, kinds, strict=True):
        if not all(0 <= node < len(names) for node in pair) or not 0 <= kind < len(EDGE_KINDS):
            raise GraphFormError(f"edge {pair} of kind {kind} is none of a graph of {len(names)} nodes")
        source, target = (names[node] for node in pair)
        known = form.edges[source, target]["slots"] if form.has_edge(source, target) else ()
        form.add_edge(source, target, kind=EDGE_KINDS[kind], slots=(*known, slot))
    return from_networkx(form, language)


def _packages() -> tuple[Any, Any]:
    """Return torch and the class Data."""
    try:
        import torch
        from torch_geometric.data import Data
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"graphs for PyG need {error.name}, which is not installed: pip install 'tamiyo[interop]'"
        ) from error
    return torch, Data


def _attributes(op: str, language: Language) -> tuple[str, ...]:
    """Return the names of an op's attributes, in order."""
    if op in _OWN_ATTRIBUTES:
        return _OWN_ATTRIBUTES[op]
    return tuple(attribute.name for attribute in language.table[op].attributes)


def _features(node: dict[str, Any], columns: tuple[str, ...], language: Language) -> list[float]:
    type_: ValueType = node["type"]
    values = {name: float(value) for name, value in node["attributes"].items()}
    values |= {
        "op": pyg_ops(language).index(node["op"]),
        "is_sequence": type_.time == "sequence",
        "width": float(type_.width),
        "is_causal": type_.causal,
    }
    return [float(values.get(column, 0)) for column in columns]


def _tensors(data: "Data", num_columns: int) -> tuple[list, list, list, list]:
    """Return x, edges, kinds and owners as lists."""
    shapes = {"x": (-1, num_columns), "edge_index": (2, -1), "edge_attr": (-1, 2), "owner_index": (-1,)}
    values = []
    for name, shape in shapes.items():
        value: torch.Tensor | None = getattr(data, name, None)
        if value is None or not _fits(tuple(value.shape), shape):
            what = "missing" if value is None else f"of shape {list(value.shape)}"
            raise GraphFormError(
                f"{name} is {what}, expected {list(shape)} in this language; -1 is any length"
            )
        values.append((value.T if name == "edge_index" else value).tolist())
    x, edges, kinds, owners = values
    if len(owners) != len(x) or len(edges) != len(kinds):
        raise GraphFormError(
            f"{len(x)} nodes have {len(owners)} owners, and {len(edges)} edges {len(kinds)} kinds"
        )
    return x, edges, kinds, owners


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(b in (-1, a) for a, b in zip(shape, wanted, strict=True))


def _node(index: int, values: dict[str, float], language: Language) -> dict[str, Any]:
    ops = pyg_ops(language)
    if values["op"] not in range(len(ops)):
        raise GraphFormError(f"node {index} has op number {values['op']:g}, expected 0 to {len(ops) - 1}")
    op = ops[int(values["op"])]
    time = "sequence" if values["is_sequence"] else "single"
    return {
        "op": op,
        "attributes": {name: _value(name, values[name], index) for name in _attributes(op, language)},
        "type": ValueType(
            time=time,
            width=Fraction(_value("width", values["width"], index)),
            causal=bool(values["is_causal"]),
        ),
    }


def _value(name: str, number: float, index: int) -> AttributeValue:
    """Return the ratio or integer that a float stands for; widths are multiples of 1/16, which are exact."""
    if not abs(number) < 1 << 24:
        raise GraphFormError(f"node {index} has {name} {number:g}, which is no value of an attribute")
    value = Fraction(number).limit_denominator(1000)
    return value if name == "width" or value.denominator > 1 else int(value)
