"""Figures of circuits: neurons as circles, inputs and readouts as tags, synapses as lines.

Inputs stand on the left and readouts on the right; what is called "part.name" stands with the
other parts of its part in a box. A line to several neurons of a box enters it once and branches
there.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neuroflip.circuit import (
    Array,
    Circuit,
    CurrentInput,
    Input,
    NoiseInput,
    PoissonInput,
    SignalInput,
    Synapses,
)
from neuroflip.circuit_layout import Edge, Layout, falling, layered, layers, loops
from neuroflip.figures import COLOURS, _figure, _written, check_path
from neuroflip.units import show

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLES: dict[str, tuple[str, str, str, str]] = {
    # kind of line -> colour, line style, end, what the legend says
    "excitation": (COLOURS[0], "-", "arrow", "excitation"),
    "inhibition": (COLOURS[1], "-", "bar", "inhibition"),
    "either": (COLOURS[3], "-", "circle", "of either sign"),
    "current": ("0.35", "-", "arrow", "current"),
    "noise": ("0.6", "-", "arrow", "noise"),
    "signal": (COLOURS[2], "--", "circle", "signal to a rule"),
    "high": ("0.65", "-", "none", "read as 1"),
    "low": ("0.5", ":", "none", "read as 0"),
    "several": ("0.1", "-", "none", "both"),  # a line that branches into several kinds
}
_TONIC = COLOURS[4]
_CHARACTER, _SMALL = 0.078, 0.064  # widths of a character of a name and of a label, inches
_TITLE = 0.26  # room for the name of a box, inches
_LOOP = 0.34  # height of a line from a neuron to itself
_NO_DELAY = "no delay"
_GAP = (0.85, 0.42)  # between columns, and between nodes of one, inches
_MARGIN = 0.25
_FOLD = 12.0  # a longer figure goes on in another row, inches
_BOX = "->"  # ends the name of a box: no population or input is called so
_ON_LINE = (0.5, 0.42, 0.58, 0.34, 0.66, 0.27, 0.73)  # where on a line a label may stand

_Point = tuple[float, float]
_Stop = tuple[float, float, float]  # a point on the way, and the direction there, +1 to the right
_Box = tuple[float, float, float, float]  # left, bottom, right, top


@dataclass(frozen=True)
class _Node:
    """Something with a place. shape: "neuron", "input" or "readout". group: the box it is in."""

    name: str
    label: str
    below: str
    shape: str
    group: str
    width: float
    height: float
    tonic: bool = False


@dataclass(frozen=True)
class _Line:
    """All that goes from one node to another in one kind. text: what is written beside it."""

    pre: str
    post: str
    kind: str
    text: str = ""
    plastic: bool = False


@dataclass
class _Piece:
    """A part of a line, from a node or port to the next. line: the one that ends at its end; None
    of a piece that branches there. via: points on its way. inside: a box, or the whole if there are
    none. beside: its ends are in one layer."""

    start: str
    end: str
    kind: str
    line: _Line | None
    via: list[_Stop]
    inside: bool
    beside: bool
    curve: Array = field(default_factory=lambda: np.zeros((0, 2)))


@dataclass
class _Plan:
    """Everything with its place. ports: name -> (x, y, side of its box, +1 the right one)."""

    nodes: dict[str, _Node]
    places: dict[str, _Point]
    ports: dict[str, tuple[float, float, int]]
    boxes: list[tuple[str, _Box]]
    pieces: list[_Piece]
    width: float
    height: float


def draw_circuit(circuit: Circuit, path: str | Path | None = None) -> "Figure":
    """Draw a circuit. See `Circuit.plot`.

    Excitation ends in an arrow, inhibition in a bar; synapses of a receptor that takes either
    sign (`DeltaLIF`) are drawn by the signs of their weights. Times beside lines are delays,
    axonal and dendritic together; the most frequent one stands in the caption. Where there is no
    room for a time it is left out, and the caption says so.

    path: write the figure there as well (.png, .pdf, .svg).

    Raises ValueError, before drawing, for another suffix or a folder that does not exist.

    >>> import neuroflip as nf
    >>> figure = draw_circuit(nf.circuits.jk_flip_flop())
    >>> [text.get_text() for text in figure.axes[0].texts if text.get_text() == "Qbar"]
    ['Qbar']
    """
    if path is not None:
        check_path(path)
    lines, caption = _lines(circuit)
    plan = _planned(_nodes(circuit), lines)
    return _written(_drawn(circuit, plan, caption), path)


# What there is to draw


def _title(box: str) -> str:
    """What is written in a box; nothing where it begins with a space."""
    return "" if box.startswith(" ") else box.removesuffix(_BOX)


def _readout(name: str) -> str:
    return f"readout {name}->"  # no population or input is called so


def _nodes(circuit: Circuit) -> list[_Node]:
    group = _groups(circuit)

    def short(name: str, home: str) -> str:
        return name.removeprefix(home.removesuffix(_BOX) + ".") if home else name

    def tag(name: str, shown: str, below: str, shape: str, home: str) -> _Node:
        label = short(shown, home)
        width = max(_CHARACTER * len(label), _SMALL * len(below)) + 0.3
        return _Node(name, label, below, shape, home, width, 0.44 if below else 0.3)

    nodes = [
        tag(i.name, i.name, _described(i), "input",
            group.get(i.target, "") if isinstance(i, NoiseInput) else "")
        for i in circuit.inputs
    ]  # fmt: skip
    for p in circuit.populations:
        home = group.get(p.name, "")
        label = short(p.name, home)
        below = f"×{p.size}" if p.size > 1 else ""
        width = max(0.48, _CHARACTER * max(len(label), len(below)) + 0.2)
        tonic = getattr(p.neuron, "drive", 0.0) > 0
        height = 0.58 if below else 0.48
        nodes.append(_Node(p.name, label, below, "neuron", home, width, height, tonic))
    nodes += [
        tag(_readout(r.name), r.name, "", "readout", group.get(r.high, ""))
        for r in circuit.readouts
    ]
    return nodes


def _groups(circuit: Circuit) -> dict[str, str]:
    """Population -> the box it is in: the part of that name, where it has more than one
    population; beside such parts, a box without a name for each loop of others."""
    part = {p.name: p.name.rpartition(".")[0] for p in circuit.populations}
    count = Counter(part.values())
    groups = {name: home + _BOX for name, home in part.items() if home and count[home] > 1}
    if not groups or len(set(groups.values())) == 1 and len(groups) == len(part):
        return {}
    alone = [name for name in part if name not in groups]
    pairs = [(p.pre, p.post) for p in circuit.projections if {p.pre, p.post} <= set(alone)]
    for loop in loops(alone, pairs):
        groups |= dict.fromkeys(loop, f" {loop[0]}{_BOX}")
    return groups


def _described(item: Input) -> str:
    """What kind of input it is; "" of plain spikes."""
    size = f"×{item.size}" if getattr(item, "size", 1) > 1 else ""  # type: ignore[union-attr]
    if isinstance(item, PoissonInput):
        return f"Poisson {show(item.rate, 'Hz')} {size}".strip()
    if isinstance(item, NoiseInput):
        return f"noise {show(item.sd, 'V')}"
    if isinstance(item, CurrentInput):
        return "current"
    return "signal" if isinstance(item, SignalInput) else size


def _lines(circuit: Circuit) -> tuple[list[_Line], str]:
    """The lines, and what the caption says of their delays."""
    found: dict[tuple[str, str, str], list[tuple[float, float, str]]] = {}
    for p in circuit.projections:
        synapses = circuit.synapses(p)
        signed = str(p.receptor) in circuit.population(p.post).neuron.signed_receptors
        kind = _kind(str(p.receptor), signed, synapses)
        delay = synapses.axonal_delay + synapses.dendritic_delay
        rule = type(p.rule).__name__ if p.rule.plastic else ""
        span = (float(delay.min()), float(delay.max())) if delay.size else (0.0, 0.0)
        found.setdefault((p.pre, p.post, kind), []).append((*span, rule))
    delays = {
        key: _span(min(low for low, _, _ in parts), max(high for _, high, _ in parts))
        for key, parts in found.items()
    }
    most, caption = "", ""
    if delays:
        most, number = Counter(delays.values()).most_common(1)[0]
        if number < 0.5 * len(delays) and len(delays) > 2:
            most = ""
        elif number == len(delays):
            caption = "no delays" if most == _NO_DELAY else f"delay of every connection: {most}"
        else:
            what = most if most == _NO_DELAY else f"delay {most}"
            caption = f"{what} where none is written"
    lines = []
    for key, parts in found.items():
        rules = ", ".join(dict.fromkeys(rule for *_, rule in parts if rule))
        delay_text = delays[key] if delays[key] != most else ""
        text = "\n".join(filter(None, (rules, delay_text)))
        lines.append(_Line(*key, text, bool(rules)))
    for i in circuit.inputs:
        if isinstance(i, CurrentInput):
            lines.append(_Line(i.name, i.target, "current"))
        elif isinstance(i, NoiseInput):
            lines.append(_Line(i.name, i.target, "noise"))
        elif isinstance(i, SignalInput):
            fed = [p for p in circuit.projections if i.target in ("", p.name)]
            posts = dict.fromkeys(p.post for p in fed if i.signal in p.rule.model().signals)
            lines += [_Line(i.name, post, "signal") for post in posts]
    for r in circuit.readouts:
        lines.append(_Line(r.high, _readout(r.name), "high"))
        if r.low is not None:
            lines.append(_Line(r.low, _readout(r.name), "low"))
    return lines, caption


def _kind(receptor: str, signed: bool, synapses: Synapses) -> str:
    if not signed:
        return "inhibition" if receptor in ("inhibitory", "gaba") else "excitation"
    if (synapses.weight >= 0).all():
        return "excitation"
    return "inhibition" if (synapses.weight <= 0).all() else "either"


def _span(low: float, high: float) -> str:
    if high == 0:
        return _NO_DELAY
    return show(low, "s") if math.isclose(low, high) else f"{show(low, 's')} to {show(high, 's')}"


# Where it is drawn


def _planned(nodes: Sequence[_Node], lines: Sequence[_Line]) -> _Plan:
    """The places of all nodes, boxes laid out by themselves and then as nodes among the others."""
    home = {node.name: node.group or node.name for node in nodes}
    looped = {line.pre for line in lines if line.pre == line.post}
    rooms = {n.name: (n.width, n.height + (2 * _LOOP if n.name in looped else 0.0)) for n in nodes}

    def ends(shape: str, group: str) -> list[str]:
        return [n.name for n in nodes if n.shape == shape and n.group == group]

    outside: dict[Edge, list[_Line]] = {}
    for line in lines:
        if home[line.pre] != home[line.post]:
            # One piece for all that goes from a neuron into a box
            alone = f"|{line.post}|{line.kind}" if home[line.post] == line.post else ""
            edge = (home[line.pre], home[line.post], line.pre + alone)
            outside.setdefault(edge, []).append(line)
    first = ends("input", "")
    boxed = any(n.group for n in nodes)
    # Beside boxes, readouts stand next to what they read
    last = [] if boxed else ends("readout", "")
    # Neurons that silence each other stand above each other, boxes need not
    layer = layers(list(dict.fromkeys(home.values())), list(outside), first, last, not boxed)

    def port(line: _Line, box: str) -> tuple[str, int]:
        """Where a line passes the wall of a box, and on which side."""
        other = home[line.pre] if box == home[line.post] else home[line.post]
        side = -1 if layer[other] < layer[box] else 1
        return f"{line.pre}->{box} {side}", side

    sizes: dict[str, tuple[float, float]] = {}
    inner: dict[str, tuple[Layout, dict[Edge, list[_Line]], dict[str, int]]] = {}
    for box in dict.fromkeys(home.values()):
        members = [n.name for n in nodes if n.group == box]
        if not members:
            sizes[box] = rooms[box]
            continue
        sides: dict[str, int] = {}
        edges: dict[Edge, list[_Line]] = {}
        for line in lines:
            start, end, kind = line.pre, line.post, line.kind
            if home[start] == box != home[end]:
                end, side = port(line, box)
                sides[end], kind = side, ""
            elif home[end] == box != home[start]:
                start, side = port(line, box)
                sides[start] = side
            elif home[start] != box:
                continue
            edges.setdefault((start, end, kind), []).append(line)
        within = layered(
            {name: rooms[name] for name in members} | dict.fromkeys(sides, (0.0, 0.1)),
            list(edges),
            ends("input", box) + [name for name, side in sides.items() if side < 0],
            ends("readout", box) + [name for name, side in sides.items() if side > 0],
            _GAP,
        )
        inner[box] = within, edges, sides
        sizes[box] = within.width + 2 * _MARGIN, within.height + _TITLE + _MARGIN
    outer = layered(sizes, list(outside), first, last, _GAP, not boxed)
    rows = _rows(outer, sizes)
    plan = _Plan({n.name: n for n in nodes}, {}, {}, [], [], rows.width, rows.height)
    for name, (x, y) in outer.positions.items():
        x, y = x + rows.right[outer.layer[name]], y + rows.up[outer.layer[name]]
        if name not in inner:
            plan.places[name] = (x, y)
            continue
        within, edges, sides = inner[name]
        width, height = sizes[name]
        left, bottom = x - width / 2, y - height / 2
        plan.boxes.append((name, (left, bottom, left + width, bottom + height)))
        left, bottom = left + _MARGIN, bottom + _MARGIN / 2
        for member, (u, v) in within.positions.items():
            if member in sides:
                wall = x + sides[member] * width / 2
                plan.ports[member] = (wall, bottom + v, sides[member])
            else:
                plan.places[member] = (left + u, bottom + v)
        for edge, joined in edges.items():
            via = _via(within, edge, left, bottom)
            plan.pieces.append(_piece(*edge[:2], joined, via, plan, inside=True))
    for edge, joined in outside.items():
        start, end = (port(joined[0], box)[0] if box in inner else box for box in edge[:2])
        heights = [plan.ports[n][1] if n in plan.ports else plan.places[n][1] for n in (start, end)]
        via = _via_rows(outer, edge, rows, heights)
        piece = _piece(start, end, joined, via, plan, inside=False)
        piece.beside = layer[edge[0]] == layer[edge[1]]
        plan.pieces.append(piece)
    for line in lines:
        if line.pre == line.post and home[line.pre] not in inner:
            plan.pieces.append(_piece(line.pre, line.post, [line], [], plan, inside=True))
    _bend(plan)
    return plan


def _via(layout: Layout, edge: Edge, left: float, bottom: float) -> list[_Stop]:
    """Where an edge passes the layers between its ends."""
    start, end = layout.layer[edge[0]], layout.layer[edge[1]]
    step = 1 if end > start else -1
    return [
        (left + x, bottom + y, step)
        for n, y in zip(range(start + step, end, step), layout.bends.get(edge, []), strict=False)
        for x in layout.columns[n][::step]
    ]


@dataclass
class _Rows:
    """How a long figure goes on in further rows. row: of each layer; right, up: how far the layer
    is moved; ends: the length of each row; lows: the height of its lower edge."""

    row: list[int]
    right: list[float]
    up: list[float]
    ends: list[float]
    lows: list[float]
    width: float
    height: float
    turns: int = 0  # lines that have gone from one row to the next


def _rows(layout: Layout, sizes: Mapping[str, tuple[float, float]]) -> _Rows:
    number, gap = 1, 0.8
    if layout.width > _FOLD:
        number = max(1, round(math.sqrt(layout.width / (1.8 * (layout.height + gap)))))
    middles = [sum(column) / 2 for column in layout.columns]
    row = [min(int(number * x / layout.width), number - 1) for x in middles]
    row = [sorted(set(row)).index(r) for r in row]
    spans = [
        (n, y - sizes[name][1] / 2, y + sizes[name][1] / 2)
        for name, (_, y) in layout.positions.items()
        for n in [layout.layer[name]]
    ]
    for (one, other, _), heights in layout.bends.items():
        a, b = layout.layer[one], layout.layer[other]
        passed = range(a, b, 1 if b > a else -1)[1:]
        spans += [(n, y, y) for n, y in zip(passed, heights, strict=False)]
    right: list[float] = []
    up: list[float] = []
    ends: list[float] = []
    lows: list[float] = []
    floor = 0.0
    for r in range(row[-1] + 1):
        mine = [n for n, of in enumerate(row) if of == r]
        start = layout.columns[mine[0]][0]
        low = min(y for n, y, _ in spans if row[n] == r)
        high = max(y for n, _, y in spans if row[n] == r)
        floor -= high - low + (gap if r else 0.0)
        right += [-start] * len(mine)
        up += [floor - low] * len(mine)
        ends.append(max(layout.columns[n][1] for n in mine) - start)
        lows.append(floor)
    return _Rows(
        row, right, [y - floor for y in up], ends, [y - floor for y in lows], max(ends), -floor
    )


def _via_rows(layout: Layout, edge: Edge, rows: _Rows, heights: Sequence[float]) -> list[_Stop]:
    """`_via`, round the ends of rows where the edge goes on in another."""
    start, end = layout.layer[edge[0]], layout.layer[edge[1]]
    step = 1 if end > start else -1
    passed = range(start + step, end, step)
    bends = dict(zip(passed, layout.bends.get(edge, []), strict=False))
    y = {n: bend + rows.up[n] for n, bend in bends.items()} | {start: heights[0], end: heights[1]}
    stops: list[_Stop] = []
    for n in range(start, end, step):
        if n in bends:
            stops += [(x + rows.right[n], y[n], step) for x in layout.columns[n][::step]]
        after = n + step
        if rows.row[n] == rows.row[after]:
            continue
        above = min(rows.row[n], rows.row[after])
        between = rows.lows[above] - 0.25 - 0.08 * (rows.turns % 5)
        rows.turns += 1
        far = [(rows.ends[above] + 0.1, y[min(n, after)]), (-0.1, y[max(n, after)])][::step]
        stops += [
            (*far[0], step), (far[0][0], between, -step), (far[1][0], between, -step),
            (*far[1], step),
        ]  # fmt: skip
    return stops


def _piece(
    start: str, end: str, lines: Sequence[_Line], via: list[_Stop], plan: _Plan, inside: bool
) -> _Piece:
    kinds = {line.kind for line in lines}
    whole = lines[0] if end in plan.nodes else None
    beside = inside and start in plan.nodes and end in plan.nodes and (
        plan.places[start][0] == plan.places[end][0]
    )  # fmt: skip
    return _Piece(
        start, end, kinds.pop() if len(kinds) == 1 else "several", whole, via, inside, beside
    )


def _bend(plan: _Plan) -> None:
    """Give every piece its curve."""
    joints: dict[tuple[str, int], list[tuple[float, _Piece, bool]]] = {}
    parallel: Counter[tuple[str, str]] = Counter()
    ends: dict[tuple[int, bool], tuple[_Point, _Point]] = {}  # piece, whether start -> point, way
    for piece in plan.pieces:
        if piece.start == piece.end:
            continue
        aside = 30.0 + 18 * parallel[piece.start, piece.end]
        if piece.beside and {piece.start, piece.end} <= plan.nodes.keys():
            parallel[piece.start, piece.end] += 1
            for name, is_start in ((piece.start, True), (piece.end, False)):
                x, y = plan.places[name]
                down = plan.places[piece.end][1] < plan.places[piece.start][1]
                between = any(
                    abs(u - x) < 0.01
                    and min(plan.places[piece.start][1], plan.places[piece.end][1])
                    < v
                    < max(plan.places[piece.start][1], plan.places[piece.end][1])
                    for u, v in plan.places.values()
                )
                turn = 55.0 if between else aside
                # What goes down bulges to the right, what goes up to the left
                upper = is_start == down
                angle = (-90 if upper else 90) + turn * (1 if upper == down else -1)
                ends[id(piece), is_start] = _on(plan.nodes[name], (x, y), math.radians(angle))
            continue
        for name, is_start in ((piece.start, True), (piece.end, False)):
            if name in plan.ports:
                x, y, side = plan.ports[name]
                ends[id(piece), is_start] = (x, y), (-side if piece.inside else side, 0.0)
                continue
            other = piece.end if is_start else piece.start
            there = piece.via[0 if is_start else -1][:2] if piece.via else (
                plan.ports[other][:2] if other in plan.ports else plan.places[other]
            )  # fmt: skip
            x, y = plan.places[name]
            side = 1 if there[0] > x else -1
            slope = math.degrees(math.atan2(there[1] - y, abs(there[0] - x)))
            joints.setdefault((name, side), []).append((slope, piece, is_start))
    for (name, side), met in joints.items():
        node, place = plan.nodes[name], plan.places[name]
        met.sort(key=lambda joint: -joint[0])
        if node.shape == "neuron":
            step = min(26.0, 130.0 / len(met))
            room = step * np.arange(len(met))
            wanted = np.clip([0.8 * slope for slope, *_ in met], -65, 65)
            angles = falling(wanted + room, np.ones(len(met))) - room
            angles += max(-65 - angles[-1], 0) - max(angles[0] - 65, 0)
            for (_, piece, is_start), angle in zip(met, angles, strict=True):
                turned = math.radians(angle if side > 0 else 180 - angle)
                ends[id(piece), is_start] = _on(node, place, turned)
        else:
            for n, (_, piece, is_start) in enumerate(met):
                y = place[1] + (0.08 * ((len(met) - 1) / 2 - n) if node.shape == "readout" else 0)
                ends[id(piece), is_start] = (place[0] + side * node.width / 2, y), (side, 0.0)
    for piece in plan.pieces:
        if piece.start == piece.end:
            here = plan.places[piece.start]
            above = any(
                piece.start in (p.start, p.end) and p.beside and p.start != p.end
                and any(plan.places.get(name, here)[1] > here[1] for name in (p.start, p.end))
                for p in plan.pieces
            )  # fmt: skip
            piece.curve = _loop(plan.nodes[piece.start], here, below=above)
            continue
        (start, out), (end, back) = ends[id(piece), True], ends[id(piece), False]
        travel = [start, *(stop[:2] for stop in piece.via), end]
        ways = [out, *((stop[2], 0.0) for stop in piece.via), (-back[0], -back[1])]
        piece.curve = np.concatenate(
            [
                _cubic(a, u, b, v)
                for a, u, b, v in zip(travel, ways, travel[1:], ways[1:], strict=False)
            ]
        )


def _on(node: _Node, place: _Point, angle: float) -> tuple[_Point, _Point]:
    """The point on a neuron's edge in that direction, and the direction away from it there."""
    a, b = node.width / 2 + 0.02, node.height / 2 + 0.02
    x, y = a * math.cos(angle), b * math.sin(angle)
    away = x / a**2, y / b**2
    size = math.hypot(*away)
    return (place[0] + x, place[1] + y), (away[0] / size, away[1] / size)


def _loop(node: _Node, place: _Point, *, below: bool) -> Array:
    """From a neuron to itself, above or below it."""
    angles = (-115.0, -65.0) if below else (110.0, 45.0)
    (start, out), (end, back) = (_on(node, place, math.radians(angle)) for angle in angles)
    t = np.linspace(0, 1, 40)[:, None]
    a, b, far = np.array(start), np.array(end), 1.5 * _LOOP
    return _bezier(a, a + far * np.array(out), b + far * np.array(back), b, t)


def _cubic(start: _Point, out: _Point, end: _Point, into: _Point) -> Array:
    """A curve that leaves and arrives in the directions given."""
    dx, dy = abs(end[0] - start[0]), abs(end[1] - start[1])
    reach = max(0.45 * dx, 0.35 * min(dy, 2.5) if out[0] * into[0] <= 0 else 0.12 * dy)
    a, b = np.array(start), np.array(end)
    t = np.linspace(0, 1, 30)[:, None]
    return _bezier(a, a + reach * np.array(out), b - reach * np.array(into), b, t)


def _bezier(a: Array, b: Array, c: Array, d: Array, t: Array) -> Array:
    curve: Array = (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d
    return curve


# Drawing


def _drawn(circuit: Circuit, plan: _Plan, caption: str) -> "Figure":
    from matplotlib.patches import FancyBboxPatch

    synapses = sum(circuit.synapses(p).pre.size for p in circuit.projections)
    neurons = sum(p.size for p in circuit.populations)
    caption = "; ".join(
        filter(None, [_number(neurons, "neuron"), _number(synapses, "synapse"), caption])
    )
    missing = "; 99 labels left out for want of room"
    legend = _legend_entries(plan)
    slot = 0.65 + 0.075 * max((len(text) for text, _ in legend), default=0)
    wide = max(plan.width, _SMALL * len(caption + missing), min(len(legend), 3) * slot)
    columns = max(1, int(wide // slot))
    rows = -(-len(legend) // columns)
    columns = -(-len(legend) // max(rows, 1))
    left, right = (plan.width - wide) / 2 - 0.2, (plan.width + wide) / 2 + 0.2
    reach = np.concatenate([p.curve for p in plan.pieces]) if plan.pieces else np.zeros((1, 2))
    low = min(0.0, float(reach[:, 1].min())) - 0.15
    top = max(plan.height, float(reach[:, 1].max())) + 0.15
    bottom = low - 0.1 - 0.26 * rows
    left, right = min(left, float(reach[:, 0].min())), max(right, float(reach[:, 0].max()))
    figure = _figure(right - left + 0.1, top - bottom + 0.6)
    axes = figure.add_subplot()
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_aspect("equal")
    axes.set_axis_off()
    for name, (x0, y0, x1, y1) in plan.boxes:
        axes.add_patch(
            FancyBboxPatch(
                (x0, y0), x1 - x0, y1 - y0, boxstyle="round,pad=0,rounding_size=0.12",
                facecolor="0.965", edgecolor="0.75", linewidth=0.8, zorder=0,
            )
        )  # fmt: skip
        axes.text(
            x0 + 0.1,
            y1 - 0.07,
            _title(name),
            fontsize=8,
            color="0.3",
            va="top",
            zorder=5,
        )
    for piece in plan.pieces:
        _draw_line(axes, piece)
    taken = [_box_of(node, plan.places[name]) for name, node in plan.nodes.items()]
    for name, node in plan.nodes.items():
        _draw_node(axes, node, plan.places[name])
    for name, (x0, _, _, y1) in plan.boxes:
        taken.append((x0, y1 - _TITLE, x0 + 0.1 + _SMALL * 1.2 * len(_title(name)), y1))
    left_out = _draw_labels(axes, plan, taken)
    for n, (_, draw) in enumerate(legend):
        at = (plan.width - slot * columns) / 2
        draw(axes, at + slot * (n % columns), low - 0.2 - 0.26 * (n // columns))
    if left_out:
        caption += f"; {_number(left_out, 'label')} left out for want of room"
    figure.suptitle(circuit.name, fontsize=11)
    axes.set_title(caption, fontsize=8, color="0.3")
    return figure


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _box_of(node: _Node, place: _Point) -> _Box:
    (x, y), a, b = place, node.width / 2, node.height / 2
    return x - a, y - b, x + a, y + b


def _draw_line(axes: "Axes", piece: _Piece) -> None:
    colour, style, end, _ = _STYLES[piece.kind]
    if piece.line is None:
        end = "none"
    curve = piece.curve
    if end in ("arrow", "circle"):  # the line ends where its head begins
        apart = np.hypot(*(curve - curve[-1]).T)
        curve = curve[apart > 0.09]
    axes.plot(*curve.T, color=colour, linestyle=style, linewidth=1.2, zorder=1)
    _draw_end(axes, piece.curve, end, colour)


def _draw_end(axes: "Axes", curve: Array, end: str, colour: str) -> None:
    from matplotlib.patches import Circle, Polygon

    tip = curve[-1]
    near = curve[np.hypot(*(curve - tip).T) > 0.08]
    way = tip - (near[-1] if len(near) else curve[0])
    way = way / max(float(np.hypot(*way)), 1e-9)
    across = np.array([-way[1], way[0]])
    if end == "arrow":
        back = tip - 0.13 * way
        corners = [tip, back + 0.055 * across, back - 0.055 * across]
        axes.add_patch(Polygon(corners, color=colour, linewidth=0, zorder=2))
    elif end == "bar":
        axes.plot(
            *np.array([tip + 0.085 * across, tip - 0.085 * across]).T, color=colour,
            linewidth=2.2, solid_capstyle="butt", zorder=2,
        )  # fmt: skip
    elif end == "circle":
        axes.add_patch(
            Circle(tip - 0.05 * way, 0.05, facecolor="white", edgecolor=colour, zorder=2)
        )


def _draw_node(axes: "Axes", node: _Node, place: _Point) -> None:
    from matplotlib.patches import Ellipse, Polygon

    x, y = place
    a, b = node.width / 2, node.height / 2
    ink = "black"
    if node.shape == "neuron":
        axes.add_patch(Ellipse(place, 2 * a, 2 * b, facecolor="white", edgecolor="black", zorder=3))
        if node.tonic:
            _draw_tonic(axes, *_on(node, place, math.radians(135))[0])
    else:
        tip = min(0.12, a)
        corners = [(x - a, y - b), (x + a - tip, y - b), (x + a, y), (x + a - tip, y + b),
                   (x - a, y + b)]  # fmt: skip
        dark = node.shape == "readout"
        ink = "white" if dark else "black"
        axes.add_patch(
            Polygon(
                corners, facecolor="0.25" if dark else "0.88", edgecolor="0.25", linewidth=0.8,
                zorder=3,
            )
        )  # fmt: skip
        x -= tip / 3
    up = 0.08 if node.below else 0.0
    axes.text(x, y + up, node.label, fontsize=9, color=ink, ha="center", va="center", zorder=4)
    if node.below:
        axes.text(x, y - 0.11, node.below, fontsize=7, color=ink, ha="center", va="center",
                  zorder=4)  # fmt: skip


def _draw_tonic(axes: "Axes", x: float, y: float) -> None:
    from matplotlib.patches import Circle

    axes.add_patch(Circle((x, y), 0.07, facecolor=_TONIC, edgecolor="white", linewidth=0.8,
                          zorder=5))  # fmt: skip


def _draw_plastic(axes: "Axes", x: float, y: float, colour: str) -> None:
    axes.plot([x], [y], marker="D", markersize=5, color=colour, markerfacecolor="white", zorder=2.5)


def _draw_labels(axes: "Axes", plan: _Plan, taken: list[_Box]) -> int:
    """Write beside the lines what there is room for; return how many were left out."""
    left_out = 0
    lines = np.concatenate([p.curve for p in plan.pieces]) if plan.pieces else np.zeros((0, 2))
    written: set[int] = set()
    back = {(p.end, p.start, p.kind): p for p in plan.pieces if p.line is not None}
    for piece in plan.pieces:
        if piece.line is None or id(piece) in written:
            continue
        colour, text = _STYLES[piece.kind][0], piece.line.text
        if piece.line.plastic:
            _draw_plastic(axes, *_at(piece.curve, 0.5), colour)
        if not text:
            continue
        both, texts = [piece], [text]
        other = back.get((piece.start, piece.end, piece.kind))
        if other is not None and other is not piece and other.line is not None:
            if other.line.text == text and piece.beside:  # to and fro: written once
                both.append(other)
                texts = [f"{text} each", f"{text}\neach"]
        written |= {id(p) for p in both}
        spots = (
            (text, size, spot)
            for text in texts
            for size in [_size(text)]
            for p in both
            if (spot := _free_spot(p, size, taken, lines)) is not None
        )
        found = next(spots, None)
        if found is None:
            left_out += len(both)
            continue
        text, size, spot = found
        (x, y), (a, b) = spot, (size[0] / 2, size[1] / 2)
        taken.append((x - a, y - b, x + a, y + b))
        axes.text(
            x, y, text, fontsize=7, color=colour, ha="center", va="center", linespacing=1.0,
            zorder=6,
        )  # fmt: skip
        if len(both) > 1 and other is not None and other.line is not None and other.line.plastic:
            _draw_plastic(axes, *_at(other.curve, 0.5), colour)
    return left_out


def _size(text: str) -> tuple[float, float]:
    parts = text.split("\n")
    return _SMALL * max(map(len, parts)) + 0.04, 0.125 * len(parts) + 0.03


def _at(curve: Array, part: float) -> _Point:
    """The point at that part of a curve's length."""
    lengths = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(curve, axis=0).T))])
    x, y = (float(np.interp(part * lengths[-1], lengths, column)) for column in curve.T)
    return x, y


def _free_spot(
    piece: _Piece, size: tuple[float, float], taken: Iterable[_Box], lines: Array
) -> _Point | None:
    """Where a label of that size lies beside its line and on nothing else. lines: all points."""
    for part in _ON_LINE:
        x, y = _at(piece.curve, part)
        ahead, behind = _at(piece.curve, part + 0.02), _at(piece.curve, part - 0.02)
        way = np.subtract(ahead, behind) / max(math.dist(ahead, behind), 1e-9)
        # far enough across the line for the label's corner to be beside it
        away = abs(way[1]) * size[0] / 2 + abs(way[0]) * size[1] / 2 + 0.03
        for side in (1, -1):
            u, v = x - side * way[1] * away, y + side * way[0] * away
            box = (u - size[0] / 2, v - size[1] / 2, u + size[0] / 2, v + size[1] / 2)
            inside = (
                (lines[:, 0] > box[0]) & (lines[:, 0] < box[2])
                & (lines[:, 1] > box[1]) & (lines[:, 1] < box[3])
            )  # fmt: skip
            clear = all(
                box[2] <= b[0] or box[0] >= b[2] or box[3] <= b[1] or box[1] >= b[3] for b in taken
            )
            if clear and not inside.any():
                return u, v
    return None


_Entry = tuple[str, Callable[["Axes", float, float], None]]


def _legend_entries(plan: _Plan) -> list[_Entry]:
    """The entries of the legend: a text, and what draws it with its mark at a place."""
    kinds = {piece.kind for piece in plan.pieces}
    entries: list[_Entry] = []

    def line(kind: str) -> _Entry:
        colour, style, end, text = _STYLES[kind]

        def draw(axes: "Axes", x: float, y: float) -> None:
            curve = np.stack([np.linspace(x, x + 0.36, 20), np.full(20, y)], axis=1)
            axes.plot(*curve[:-4].T, color=colour, linestyle=style, linewidth=1.2)
            _draw_end(axes, curve, end, colour)
            axes.text(x + 0.45, y, text, fontsize=8, va="center")

        return text, draw

    def mark(draw_mark: Callable[["Axes", float, float], None], text: str) -> _Entry:
        def draw(axes: "Axes", x: float, y: float) -> None:
            draw_mark(axes, x + 0.25, y)
            axes.text(x + 0.45, y, text, fontsize=8, va="center")

        return text, draw

    entries += [line(kind) for kind, style in _STYLES.items() if kind in kinds and style[3]]
    if any(node.tonic for node in plan.nodes.values()):
        entries.append(mark(_draw_tonic, "tonic drive"))
    if any(piece.line is not None and piece.line.plastic for piece in plan.pieces):
        entries.append(mark(lambda axes, x, y: _draw_plastic(axes, x, y, "black"), "plastic"))
    shapes = {node.shape for node in plan.nodes.values()}
    for shape, text in (("input", "input"), ("readout", "readout")):
        if shape in shapes:
            node = _Node("", "", "", shape, "", 0.3, 0.16)
            entries.append(
                mark(lambda axes, x, y, node=node: _draw_node(axes, node, (x, y)), text)  # type: ignore[misc]
            )
    return entries
