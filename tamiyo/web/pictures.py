"""The pictures that a page holds, as SVG drawn here: blueprints, intervals, family trees; leaves charts out.

Colours are classes of the style sheet or presentation attributes, because a page's content policy refuses
attributes of style. A blueprint's drawings are kept by its tokens, since a page of cards asks for dozens.
"""

from collections.abc import Sequence
from functools import lru_cache

from markupsafe import Markup

from blueprints import BlueprintError, Graph, Language, blueprint_svg, parse
from blueprints.drawing import FAMILY_COLOURS, OTHER_COLOUR, Form
from hall_of_fame.library import SHORT_ID
from tamiyo.api.shapes import BlueprintRow, Relative
from tamiyo.web.tokens import coloured

#: Drawings that are kept, some 4 kB each.
NUM_KEPT = 4096
#: A card draws no more nodes than this; of a larger graph it says how large it is.
MOST_NODES = 64
#: Sizes of a family tree: from one relative to the next, from one row to the next, and of a box.
_TREE_STEP, _TREE_LEVEL, _TREE_WIDTH, _TREE_HEIGHT = 132.0, 96.0, 120.0, 56.0


@lru_cache(maxsize=NUM_KEPT)
def graph_of(tokens: tuple[str, ...]) -> Graph | None:
    """Return the graph of a program, or None where this version of the language does not read it."""
    try:
        return parse(tokens, _unbounded()).graph
    except BlueprintError:
        return None


@lru_cache(maxsize=NUM_KEPT)
def blueprint_picture(tokens: tuple[str, ...], form: Form = "page") -> Markup:
    """Return the drawing of a program, or a line that says why there is none."""
    graph = graph_of(tokens)
    if graph is None:
        return Markup('<p class="note">Not drawn: this version of the language does not read its tokens.</p>')
    num_nodes = sum(1 for _ in graph.all_nodes())
    if form == "card" and num_nodes > MOST_NODES:
        return Markup('<p class="note">{} nodes: open it to see them.</p>').format(num_nodes)
    return Markup(blueprint_svg(graph, _unbounded(), form))


def interval_bar(
    mean: float | None, low: float | None = None, high: float | None = None, mark: float | None = None
) -> Markup:
    """Return a line from 0 to 1 with a mean, its interval, and a mark such as chance; none without a mean."""
    if mean is None:
        return Markup("")
    parts = ['<line class="track" x1="0" x2="100%" y1="7" y2="7"/>']
    if mark is not None:
        x = _percent(mark)
        parts.append(f'<line class="mark" x1="{x}" x2="{x}" y1="1" y2="13"/>')
    if low is not None and high is not None:
        parts.append(f'<line class="span" x1="{_percent(low)}" x2="{_percent(high)}" y1="7" y2="7"/>')
    parts.append(f'<circle class="mean" cx="{_percent(mean)}" cy="7" r="3.5"/>')
    return Markup(f'<svg class="interval" aria-hidden="true">{"".join(parts)}</svg>')


def reward_bar(mean: float | None, best: float | None) -> Markup:
    """Return a line from 0 to 1 with a mean reward, filled, and the best one, hollow, if there are any."""
    circles = Markup("").join(
        Markup('<circle class="{}" cx="{}" cy="7" r="3.5"/>').format(name, _percent(value))
        for name, value in (("searched", best), ("mean", mean))
        if value is not None
    )
    track = Markup('<line class="track" x1="0" x2="100%" y1="7" y2="7"/>')
    return Markup('<svg class="interval" aria-hidden="true">{}{}</svg>').format(track, circles)


def shrinkage_bar(search: float, mean: float, low: float, high: float, floor: float) -> Markup:
    """Return a line from 0 to 1 with a search's score, hollow, and how much of it a proof found again."""
    ends = sorted((search, mean))
    return Markup(
        '<svg class="interval tall" role="img" aria-label="{label}">'
        '<line class="track" x1="0" x2="100%" y1="10" y2="10"/>'
        '<line class="mark" x1="{floor}" x2="{floor}" y1="1" y2="19"/>'
        '<line class="span" x1="{low}" x2="{high}" y1="10" y2="10"/>'
        '<line class="lost" x1="{left}" x2="{right}" y1="10" y2="10"/>'
        '<circle class="searched" cx="{search}" cy="10" r="4.5"/>'
        '<circle class="mean" cx="{mean}" cy="10" r="4.5"/></svg>'
    ).format(
        label=f"{search:.3f} in the search, {mean:.3f} proved, from {low:.3f} to {high:.3f}",
        floor=_percent(floor),
        low=_percent(low),
        high=_percent(high),
        left=_percent(ends[0]),
        right=_percent(ends[1]),
        search=_percent(search),
        mean=_percent(mean),
    )


def family_tree(levels: Sequence[Sequence[Relative]]) -> Markup:
    """Return generations of a family in rows, the oldest first; all but the blueprint itself are links."""
    width = max(len(level) for level in levels) * _TREE_STEP
    places = {
        of.blueprint.id: (width / 2 + (i + 0.5 - len(level) / 2) * _TREE_STEP, row * _TREE_LEVEL)
        for row, level in enumerate(levels)
        for i, of in enumerate(level)
    }
    lines = [
        _branch(places[parent], places[of.blueprint.id])
        for level in levels
        for of in level
        for parent in of.parents
        if parent in places
    ]
    boxes = [
        _relative(of.blueprint, *places[of.blueprint.id], is_self=of.step == 0)
        for level in levels
        for of in level
    ]
    height = (len(levels) - 1) * _TREE_LEVEL + _TREE_HEIGHT + 2
    return Markup(
        '<svg class="tree" width="{w:.0f}" height="{h:.0f}" viewBox="0 -1 {w:.0f} {h:.0f}">'
    ).format(w=width, h=height) + Markup("{}</svg>").format(Markup("").join([*lines, *boxes]))


def _branch(parent: tuple[float, float], child: tuple[float, float]) -> Markup:
    """Return the line from a parent's lower side to the upper side of its child."""
    (x, y), (below, bottom) = parent, child
    y += _TREE_HEIGHT
    middle = (y + bottom) / 2
    return Markup(
        f'<path class="branch" d="M{x:.1f} {y:.1f}C{x:.1f} {middle:.1f} {below:.1f} {middle:.1f} '
        f'{below:.1f} {bottom:.1f}"/>'
    )


def _relative(of: BlueprintRow, x: float, y: float, *, is_self: bool) -> Markup:
    """Return a box with an id, a score and a stripe of the families of its tokens."""
    box = Markup(
        '<rect class="relative{here}" x="{x:.1f}" y="{y:.1f}" width="{width}" height="{height}" rx="6"/>'
        "{stripe}"
        '<text x="{middle:.1f}" y="{top:.1f}">{name}</text>'
        '<text class="faint" x="{middle:.1f}" y="{bottom:.1f}">score {score:.3f}</text>'
    ).format(
        here=" self" if is_self else "",
        x=x - _TREE_WIDTH / 2,
        y=y,
        width=f"{_TREE_WIDTH:.0f}",
        height=f"{_TREE_HEIGHT:.0f}",
        stripe=_stripe(of.tokens, x - _TREE_WIDTH / 2 + 8, y + 8, _TREE_WIDTH - 16),
        middle=x,
        top=y + 30,
        bottom=y + 46,
        name=of.id[:SHORT_ID],
        score=of.score,
    )
    return box if is_self else Markup('<a href="/blueprints/{}">{}</a>').format(of.id, box)


def _stripe(tokens: Sequence[str], x: float, y: float, width: float) -> Markup:
    """Return a bar with a piece for each token in the colour of its family: a program at a glance."""
    step = width / max(len(tokens), 1)
    pieces = (
        Markup('<rect x="{:.2f}" y="{:.1f}" width="{:.2f}" height="6" fill="{}"/>').format(
            x + i * step, y, step * 0.86, FAMILY_COLOURS.get(token.family, OTHER_COLOUR)
        )
        for i, token in enumerate(coloured(tokens))
    )
    return Markup("").join(pieces)


def _percent(value: float) -> str:
    return f"{100 * min(max(value, 0.0), 1.0):.1f}%"


@lru_cache(maxsize=1)
def _unbounded() -> Language:
    """Return a language without budgets: a run may have allowed larger programs than the default does."""
    return Language(max_length=1 << 20, max_flops=1 << 60)
