"""The designer that needs no model and no network: decides by the blueprint's graph, writes known units."""

from importlib.resources import files

from blueprints.cost import flops, num_parameters
from blueprints.graph import ADD, LOOP, SCAN, Graph
from blueprints.language import LANGUAGE, Language
from blueprints.parser import parse
from tamiyo.expansion.records import Attempt, Brief, ExpansionError, Plan, TargetName, UnitName
from tamiyo.expansion.targets import Target, require_fit, target_named

#: Sizes from the largest to the smallest: depth and width. The first within the budgets is planned.
SIZES = ((4, 64), (2, 64), (2, 32), (1, 32), (1, 16))
#: Forward FLOPs that a template's model may need for one example, so that it trains on one core in minutes.
MAX_FLOPS = 50_000_000


class TemplateDesigner:
    """Plans and writes deterministically; `failed` attempts change nothing, as there is nothing to vary."""

    def __init__(self, language: Language = LANGUAGE) -> None:
        self.language = language

    @property
    def name(self) -> str:
        """Who designs."""
        return "template"

    def plan(self, brief: Brief, failed: tuple[Attempt, ...] = ()) -> Plan:
        """Return the largest plan of `SIZES` within the budgets.

        Raises:
            ExpansionError: the blueprint cannot serve the target, or the smallest plan is too large.
        """
        target, graph = target_named(brief.target), parse(brief.tokens, self.language).graph
        require_fit(graph, target)
        return Plan(
            **dict(zip(("depth", "width"), self._size(brief, graph, target), strict=True)),
            positions="none" if target.name == "tabular" else "learned",
            normalisation="none" if self._normalises(graph, target) else "layernorm",
            head="norm_linear",
            initialisation="depth_scaled",
        )

    def unit(self, brief: Brief, plan: Plan, name: UnitName, failed: tuple[Attempt, ...] = ()) -> str:
        """Return the source of one unit."""
        graph = parse(brief.tokens, self.language).graph
        if name == "layer":
            return layer_source(graph, plan, target_named(brief.target), self.language)
        return unit_file(brief.target, unit_path(name, brief.target, graph, self.language))

    def _normalises(self, graph: Graph, target: Target) -> bool:
        """Say whether the block does what its layer's normalisation is for."""
        return normalises_input(graph, self.language) and not needs_bounds(graph, target, self.language)

    def _size(self, brief: Brief, graph: Graph, target: Target) -> tuple[int, int]:
        num = 0
        for depth, width in SIZES:
            num = depth * num_parameters(graph, width, self.language) + surroundings(target, depth, width)
            work = depth * flops(graph, width, target.max_length, self.language)
            if num <= brief.max_parameters and (work <= MAX_FLOPS or (depth, width) == SIZES[-1]):
                return depth, width
        raise ExpansionError(
            f"rule 'parameter-budget': the smallest plan has {num:,} parameters; "
            f"max_parameters is {brief.max_parameters:,}: raise it"
        )


def surroundings(target: Target, depth: int, width: int) -> int:
    """Return the most parameters that the template's units have around the blocks."""
    embedding = (target.input_size + target.max_length + 1) * width
    if target.name == "tabular":
        embedding = 2 * target.input_size * width
    return embedding + depth * 3 * width + 2 * width + (width + 1) * target.output_size


def unit_path(name: UnitName, target: TargetName, graph: Graph, language: Language = LANGUAGE) -> str:
    """Return which file of the template serves as a unit of a blueprint's architecture.

    A block whose values grow fast is bounded; one that adds its input to its output needs no second residual
    connection around it. In a table, a block that carries information from step to step is given columns as
    steps, any other the whole row.
    """
    if name == "layer" and needs_bounds(graph, target_named(target), language):
        return "bounded_layer.py"
    if name == "layer" and carries_input(graph):
        return "carrying_layer.py"
    if name == "embedding" and target == "tabular" and mixes_steps(graph, language):
        return "columns_embedding.py"
    return f"{name}.py"


def layer_source(graph: Graph, plan: Plan, target: Target, language: Language = LANGUAGE) -> str:
    """Return the layer around a block: the usual one, or one that keeps in bounds a block that overflows."""
    from tamiyo.expansion.steadying import Steadiness, steadiness  # needs torch

    way = steadiness(graph, plan.width, target.max_length, language)
    if way == Steadiness(factor=1.0, stretch=target.max_length):
        return unit_file(target.name, unit_path("layer", target.name, graph, language))
    source = unit_file(target.name, "steadied_layer.py")
    for written, meant in (
        ("QUIET = 1.0", f"QUIET = {way.factor}"),
        ("STRETCH = 64", f"STRETCH = {way.stretch}"),
        ("CARRIES = False", f"CARRIES = {carries_input(graph)}"),
    ):
        assert written in source, f"steadied_layer.py has no line {written!r}"
        source = source.replace(written, meant)
    return source


def unit_file(target: TargetName, path: str) -> str:
    """Return a file of the template, the target's own where it has one."""
    root = files("tamiyo.expansion").joinpath("units")
    own = root.joinpath(target, path)
    return (own if own.is_file() else root.joinpath("shared", path)).read_text(encoding="utf-8")


# -- what the graph says -------------------------------------------------------------------------------------


def carries_input(graph: Graph) -> bool:
    """Say whether the output is the input plus something: additions alone lead from one to the other."""
    return graph.output in _stream(graph)


def normalises_input(graph: Graph, language: Language = LANGUAGE) -> bool:
    """Say whether all that is computed from the input, and from sums that carry it on, begins with a norm."""
    stream = _stream(graph)
    for index, node in enumerate(graph.nodes):
        if node.op == LOOP and index in stream:
            assert node.body is not None
            if not normalises_input(node.body, language):
                return False
        elif index not in stream and not stream.isdisjoint(node.inputs):
            row = language.table.get(node.op)
            if row is None or row.family != "norm":
                return False
    return True


def needs_bounds(graph: Graph, target: Target, language: Language = LANGUAGE) -> bool:
    """Say whether what the block makes of normalised input is too large, or its gradients are not finite."""
    from tamiyo.expansion.taming import is_tame  # loads torch

    return not is_tame(graph, target.max_length, language)


def mixes_steps(graph: Graph, language: Language = LANGUAGE) -> bool:
    """Say whether any step of the output depends on other steps of the input than its own."""
    rows = (language.table.get(node.op) for node in graph.all_nodes())
    return any(node.op == SCAN for node in graph.all_nodes()) or any(
        row is not None and (row.needs_sequence or row.pools) for row in rows
    )


def _stream(graph: Graph) -> set[int]:
    """Return the input and the sums that carry it on, loops around such sums included."""
    stream = {0}
    for index, node in enumerate(graph.nodes):
        carries = node.op == ADD or (node.op == LOOP and node.body is not None and carries_input(node.body))
        if carries and not stream.isdisjoint(node.inputs):
            stream.add(index)
    return stream
