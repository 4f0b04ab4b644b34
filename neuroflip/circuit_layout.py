"""Where the nodes of a directed graph are drawn, and how its edges run: layers from left to right.

After Sugiyama, Tagawa & Toda (1981, IEEE Trans. Syst. Man Cybern. 11:109): few edges are turned
round so that the rest has no cycle, nodes are put into layers by the longest way to them, edges
get a bend in each layer that they pass, each layer is ordered for few crossings, and heights are
chosen for straight edges. Nodes joined in both directions stand in one layer, beneath each other,
as in the textbook's latch.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np

Edge = tuple[str, str, str]
"""From, to, and what tells parallel edges apart."""

_Item = str | tuple[Edge, int]  # a node, or the bend of an edge in a layer
_BEND = 0.12  # room that an edge takes in a layer that it passes, inches
_SWEEPS = 12
_MANY = 120  # items, of which neighbours are no more exchanged one by one


@dataclass(frozen=True)
class Layout:
    """Centres of the nodes; the columns (left, right) of the layers, and which is each node's;
    the heights of each edge's bends, from its start on; and the size of it all. In inches, from
    the lower left corner."""

    positions: dict[str, tuple[float, float]]
    columns: list[tuple[float, float]]
    layer: dict[str, int]
    bends: dict[Edge, list[float]]
    width: float
    height: float


def layered(
    sizes: Mapping[str, tuple[float, float]],
    edges: Collection[Edge],
    first: Collection[str] = (),
    last: Collection[str] = (),
    gap: tuple[float, float] = (0.75, 0.3),
    stacked: bool = True,
) -> Layout:
    """Lay out a graph.

    sizes: node -> width and height. edges: among them; self-loops are left out. first, last: nodes
    that stand in the first, in the last layer. gap: between layers, and between nodes of one.
    stacked: nodes joined in both directions stand in one layer.

    >>> plan = layered({name: (1, 1) for name in "abc"}, [("a", "b", ""), ("b", "c", "")])
    >>> plan.positions["a"][0] < plan.positions["b"][0] < plan.positions["c"][0]
    True
    """
    edges = [edge for edge in edges if edge[0] != edge[1]]
    layer = layers(list(sizes), edges, first, last, stacked)
    rows: list[list[_Item]] = [[] for _ in range(max(layer.values()) + 1)]
    for node in sizes:
        rows[layer[node]].append(node)
    links: list[tuple[_Item, _Item]] = []
    beside: list[tuple[_Item, _Item]] = []
    for edge in edges:
        start, end = sorted((layer[edge[0]], layer[edge[1]]))
        left, right = edge[:2] if layer[edge[0]] == start else (edge[1], edge[0])
        if start == end:
            beside.append((left, right))
            continue
        chain: list[_Item] = [left, *((edge, n) for n in range(start + 1, end)), right]
        for n, bend in enumerate(chain[1:-1], start + 1):
            rows[n].append(bend)
        links += zip(chain, chain[1:], strict=False)
    rows = _ordered(rows, links, beside)
    y = _heights(rows, links, {**{n: s[1] for n, s in sizes.items()}}, gap[1])
    columns, at = [], 0.0
    for row in rows:
        wide = max((sizes[item][0] for item in row if isinstance(item, str)), default=0.0)
        columns.append((at, at + wide))
        at += wide + gap[0]
    positions = {node: (sum(columns[layer[node]]) / 2, y[node]) for node in sizes}
    bends = {}
    for edge in edges:
        start, end = layer[edge[0]], layer[edge[1]]
        step = 1 if end > start else -1
        bends[edge] = [y[(edge, n)] for n in range(start + step, end, step)] if start != end else []
    lowest = min(y[n] - sizes[n][1] / 2 for n in sizes)
    lowest = min([lowest, *(value for item, value in y.items())])
    highest = max([y[n] + sizes[n][1] / 2 for n in sizes] + list(y.values()))
    return Layout(
        {node: (x, h - lowest) for node, (x, h) in positions.items()},
        columns,
        layer,
        {edge: [h - lowest for h in hs] for edge, hs in bends.items()},
        columns[-1][1],
        highest - lowest,
    )


def loops(nodes: Sequence[str], pairs: Collection[tuple[str, str]]) -> list[list[str]]:
    """The nodes of each loop of two or more, in their order; loops that meet are one.

    >>> loops("abcd", [("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")])
    [['b', 'c']]
    """
    graph = nx.DiGraph(pairs)
    found = [sorted(block, key=nodes.index) for block in nx.strongly_connected_components(graph)]
    return sorted((loop for loop in found if len(loop) > 1), key=lambda loop: nodes.index(loop[0]))


def layers(
    nodes: Sequence[str],
    edges: Collection[Edge],
    first: Collection[str],
    last: Collection[str],
    stacked: bool,
) -> dict[str, int]:
    """The layer of each node, the leftmost 0; arguments as of `layered`."""
    pairs = {edge[:2] for edge in edges}
    mutual = nx.Graph()
    mutual.add_nodes_from(nodes)
    ends = {*first, *last}
    mutual.add_edges_from(
        (u, v) for u, v in pairs if stacked and (v, u) in pairs and not {u, v} & ends
    )
    home = {node: min(block, key=nodes.index) for block in nx.connected_components(mutual)
            for node in block}  # fmt: skip
    graph = nx.DiGraph()
    graph.add_nodes_from(node for node in nodes if home[node] == node)
    graph.add_edges_from(
        (home[u], home[v])
        for u, v, _ in edges
        if home[u] != home[v] and v not in first and u not in last
    )
    rank = {node: n for n, node in enumerate(_order(graph, [home[n] for n in first]))}
    forward = nx.DiGraph()
    forward.add_nodes_from(sorted(graph, key=rank.__getitem__))
    forward.add_edges_from((u, v) for u, v in graph.edges if rank[u] < rank[v])
    base = 1 if first else 0
    depth: dict[str, int] = {}
    for node in nx.topological_sort(forward):
        least = 0 if node in first else base
        depth[node] = max([least, *(depth[u] + 1 for u in forward.predecessors(node))])
    for node in reversed(list(nx.topological_sort(forward))):  # each as near to its goal as can be
        after = [depth[v] for v in forward.successors(node)]
        if node not in first and after:
            depth[node] = min(after) - 1
    layer = {node: depth[home[node]] for node in nodes}
    end = 1 + max((layer[n] for n in nodes if n not in last), default=-1)
    return {node: end if node in last else layer[node] for node in nodes}


def _order(graph: "nx.DiGraph", first: Sequence[str]) -> list[str]:
    """The nodes in an order against which few edges run (Eades, Lin & Smyth 1993, Inf. Process.
    Lett. 47:319); what is nearer to the first ones stands earlier."""
    far: dict[str, int] = {}
    if first:
        far = nx.multi_source_dijkstra_path_length(graph, set(first), weight=None)
    place = {node: n for n, node in enumerate(graph)}
    rest = graph.copy()
    start: list[str] = []
    end: list[str] = []
    while rest:
        sources = [n for n in rest if not rest.in_degree(n)]
        sinks = [n for n in rest if not rest.out_degree(n) and n not in sources]
        if sources or sinks:
            start += sources
            end = sinks + end
            rest.remove_nodes_from([*sources, *sinks])
            continue
        best = min(
            rest,
            key=lambda n: (
                far.get(n, len(place)), rest.in_degree(n) - rest.out_degree(n), place[n]
            ),
        )  # fmt: skip
        start.append(best)
        rest.remove_node(best)
    return start + end


def _ordered(
    rows: list[list[_Item]],
    links: Sequence[tuple[_Item, _Item]],
    beside: Sequence[tuple[_Item, _Item]],
) -> list[list[_Item]]:
    """The layers, ordered for few crossings, neighbours of one layer near each other, and where
    that leaves a choice as they were given."""
    before: dict[_Item, list[_Item]] = {}
    after: dict[_Item, list[_Item]] = {}
    for u, v in links:
        after.setdefault(u, []).append(v)
        before.setdefault(v, []).append(u)
    given = {item: n for row in rows for n, item in enumerate(row)}

    def cost(rows: list[list[_Item]]) -> tuple[int, int]:
        place = {item: n for row in rows for n, item in enumerate(row)}
        crossings = 2 * sum(abs(place[u] - place[v]) - 1 for u, v in beside)
        turned = sum(2 for u, v in beside if (place[u] < place[v]) != (given[u] < given[v]))
        for row in rows:
            ends = np.array([(place[u], place[v]) for u in row for v in after.get(u, [])])
            if len(ends) > 1:
                crossings += _inversions(ends)
            nodes = np.array([(n, given[u]) for n, u in enumerate(row) if isinstance(u, str)])
            if len(nodes) > 1:
                turned += _inversions(nodes)
        return crossings, turned

    def swept(rows: list[list[_Item]]) -> list[list[_Item]]:
        best, least = [list(row) for row in rows], cost(rows)
        for sweep in range(_SWEEPS):
            towards = (before, after)[sweep % 2]
            place = {item: float(n) for row in rows for n, item in enumerate(row)}
            for row in rows if sweep % 2 == 0 else rows[::-1]:
                middle = {}
                for item in row:
                    found = [place[other] for other in towards.get(item, [])]
                    middle[item] = sum(found) / len(found) if found else place[item]
                row.sort(key=middle.__getitem__)
                place |= {item: float(n) for n, item in enumerate(row)}
            if (found_cost := cost(rows)) < least:
                best, least = [list(row) for row in rows], found_cost
        return best

    def climbed(rows: list[list[_Item]]) -> list[list[_Item]]:
        """With neighbours exchanged for as long as it helps."""
        least, improved = cost(rows), True
        while improved:
            improved = False
            for row in rows:
                for i in range(len(row) - 1):
                    row[i], row[i + 1] = row[i + 1], row[i]
                    if (found := cost(rows)) < least:
                        least, improved = found, True
                    else:
                        row[i], row[i + 1] = row[i + 1], row[i]
        return rows

    starts = [swept([list(row) for row in rows]), swept([row[::-1] for row in rows])]
    starts += [[row[::-1] for row in start] for start in starts]
    if sum(map(len, rows)) > _MANY:
        return min(starts, key=cost)
    return min(map(climbed, starts), key=cost)


def _inversions(pairs: "np.ndarray[Any, np.dtype[Any]]") -> int:
    """How many of the pairs (n, 2) are in another order by their second number."""
    apart = pairs[:, None, :] - pairs[None, :, :]
    return int((apart.prod(axis=2) < 0).sum()) // 2


def _heights(
    rows: Sequence[Sequence[_Item]],
    links: Sequence[tuple[_Item, _Item]],
    tall: Mapping[_Item, float],
    gap: float,
) -> dict[_Item, float]:
    """Heights of the items, the first of a layer highest, near those of what they are joined to."""
    near: dict[_Item, list[tuple[_Item, float]]] = {}
    for u, v in links:
        bends = isinstance(u, tuple) + isinstance(v, tuple)
        for a, b in ((u, v), (v, u)):
            near.setdefault(a, []).append((b, (1.0, 2.0, 6.0)[bends]))
    y: dict[_Item, float] = {}
    offsets = []
    for row in rows:
        halves = [tall.get(item, _BEND) / 2 for item in row]
        steps = [
            a + b + (gap if isinstance(u, str) and isinstance(v, str) else gap / 2)
            for a, b, u, v in zip(halves, halves[1:], row, row[1:], strict=False)
        ]
        down = np.concatenate([[0.0], np.cumsum(steps)])
        offsets.append(down)
        y |= {item: -float(d - down[-1] / 2) for item, d in zip(row, down, strict=True)}
    for sweep in range(30):
        order = range(len(rows)) if sweep % 2 == 0 else range(len(rows) - 1, -1, -1)
        for n in order:
            wanted, weights = [], []
            for item in rows[n]:
                joined = near.get(item, [])
                weight = sum(w for _, w in joined)
                wanted.append(
                    sum(y[other] * w for other, w in joined) / weight if joined else y[item]
                )
                weights.append(weight or 0.1)
            # With the room between them taken off, heights must not rise from one to the next
            free = falling(np.array(wanted) + offsets[n], np.array(weights))
            y |= dict(zip(rows[n], (free - offsets[n]).tolist(), strict=True))
    return y


def falling(values: "np.ndarray[tuple[int], np.dtype[np.float64]]",
             weights: "np.ndarray[tuple[int], np.dtype[np.float64]]",
             ) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":  # fmt: skip
    """The nearest sequence that does not rise, by pooling adjacent violators."""
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        blocks.append((value, weight, 1))
        while len(blocks) > 1 and blocks[-1][0] > blocks[-2][0]:
            (b, wb, nb), (a, wa, na) = blocks.pop(), blocks.pop()
            blocks.append(((a * wa + b * wb) / (wa + wb), wa + wb, na + nb))
    return np.repeat([b[0] for b in blocks], [b[2] for b in blocks])
