"""The lineage picture: the map as an SVG, inputs left of their readers. The same map always gives the same file.

The layout is the usual one for layered graphs. Each step away from the files is a column. Long edges pass through empty
places in the columns between. Each column is sorted by where its neighbours lie. Colours follow the reader's light or
dark setting.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from html import escape
from itertools import pairwise
from statistics import fmean

from feedmill.spec import Files, Input, Map, Table
from feedmill.timeline import HOUR

HEIGHT = 46
"""The height of a box, in pixels."""
ROW = 66
GAP = 76
MARGIN = 20
SWEEPS = 8
"""Each sweep sorts every column by its neighbours. After this many the order has settled."""

_CHARACTER = 8.6
"""Width of a character of the bold 13 px name in the widest usual font: we do not know the reader's font."""

_STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; fill: #1c2430; }
  .name { font-weight: 600; }
  .fact, .label { font-size: 11px; fill: #5a6675; }
  .label { paint-order: stroke; stroke: #ffffff; stroke-width: 4px; stroke-linejoin: round; }
  .page { fill: #ffffff; }
  .box { fill: #f4f6f9; stroke: #8a97a8; }
  .files { fill: #fff6e0; stroke: #c79a3a; }
  .edge { fill: none; stroke: #8a97a8; stroke-width: 1.5; }
  .arrow { fill: #8a97a8; }
  .asof { stroke-dasharray: 5 4; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e8edf4; }
    .fact, .label { fill: #a3b0c0; }
    .label { stroke: #12161c; }
    .page { fill: #12161c; }
    .box { fill: #1d242e; stroke: #6f7d90; }
    .files { fill: #33290f; stroke: #b98f3c; }
    .edge { stroke: #6f7d90; }
    .arrow { fill: #6f7d90; }
  }
"""


@dataclass(frozen=True)
class _Box:
    """A node: files or a table. A node without a name is a place through which a long edge passes."""

    key: str
    name: str
    fact: str
    kind: str

    width: float = 0


def _box(key: str, name: str, fact: str, kind: str) -> _Box:
    longest = max(len(name) * _CHARACTER, len(fact) * _CHARACTER * 0.75)
    return _Box(key, name, fact, kind, round(longest + 28))


@dataclass(frozen=True)
class _Edge:
    source: str
    target: str
    label: str
    dashed: bool


def svg(tables: Map) -> str:
    """The picture of the map."""
    boxes, edges = _graph(tables)
    columns, chains = _columns(boxes, edges)
    _sort(columns, chains)
    places, width, height = _place(columns, boxes, chains)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" aria-labelledby="title">',
        f'<title id="title">Lineage of {len(tables)} tables, from the landed files</title>',
        f"<style>{_STYLE}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        'markerUnits="userSpaceOnUse" orient="auto"><path class="arrow" d="M0 0 8 4 0 8z"/></marker></defs>',
        f'<rect class="page" width="{width:.0f}" height="{height:.0f}"/>',
    ]
    lines += [_edge_svg(edge, chain, boxes, places) for edge, chain in chains]
    lines += _labels_svg(chains, places)
    lines += [_box_svg(boxes[key], *places[key]) for column in columns for key in column if boxes[key].name]
    return "\n".join([*lines, "</svg>", ""])


def _graph(tables: Map) -> tuple[dict[str, _Box], list[_Edge]]:
    boxes: dict[str, _Box] = {}
    edges = []
    for table in tables:
        fact = f"{table.schema} · {table.every.value} · {table.maintainer.name}"
        boxes[table.name] = _box(table.name, table.short_name, fact, "box")
    for table in tables:
        for entry in table.inputs:
            if isinstance(entry, Files):
                key = f"files of {entry.kind}"
                boxes.setdefault(key, _box(key, key, "landing zone", "files"))
            else:
                key = entry.table.name
            edges.append(_Edge(key, table.name, _label(entry, table), isinstance(entry, Input) and entry.as_of))
    return boxes, edges


def _label(entry: Files | Input, table: Table) -> str:
    """What is special about how the reader reads the input; empty if nothing is."""
    if isinstance(entry, Input) and entry.as_of:
        return "as of"
    if isinstance(entry, Input) and entry.by == "touches":
        return "by touches"
    if not entry.lookback:
        return ""
    length = entry.lookback + table.every.length - (entry.lag if isinstance(entry, Input) else timedelta(0))
    return f"{length.days} days" if length.days > 1 else f"{length // HOUR.length} hours"


def _columns(boxes: dict[str, _Box], edges: Sequence[_Edge]) -> tuple[list[list[str]], list[tuple[_Edge, list[str]]]]:
    """The keys of each column, and the chain of keys that each edge passes. Adds a box for each place on the way."""
    depth: dict[str, int] = {}

    def depth_of(key: str) -> int:
        if key not in depth:
            depth[key] = 1 + max((depth_of(e.source) for e in edges if e.target == key), default=-1)
        return depth[key]

    columns: list[list[str]] = [[] for _ in range(max(map(depth_of, boxes), default=-1) + 1)]
    for key in sorted(boxes):
        columns[depth[key]].append(key)
    chains = []
    for edge in sorted(edges, key=lambda e: (e.source, e.target)):
        chain = [edge.source]
        for column in range(depth[edge.source] + 1, depth[edge.target]):
            key = f"{edge.source}>{edge.target}@{column}"
            boxes[key] = _Box(key, "", "", "")
            columns[column].append(key)
            chain.append(key)
        chains.append((edge, [*chain, edge.target]))
    return columns, chains


def _neighbours(chains: Iterable[tuple[_Edge, list[str]]]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    left: defaultdict[str, list[str]] = defaultdict(list)
    right: defaultdict[str, list[str]] = defaultdict(list)
    for _, chain in chains:
        for one, other in pairwise(chain):
            right[one].append(other)
            left[other].append(one)
    return left, right


def _sort(columns: list[list[str]], chains: list[tuple[_Edge, list[str]]]) -> None:
    """Order each column by the mean place of its neighbours, from left to right and back."""
    left, right = _neighbours(chains)
    for sweep in range(SWEEPS):
        neighbours = left if sweep % 2 == 0 else right
        ordered = columns[1:] if sweep % 2 == 0 else columns[-2::-1]
        for column in ordered:
            place = {key: index for other in columns for index, key in enumerate(other)}
            size = {key: len(other) for other in columns for key in other}
            column.sort(
                key=lambda key: (
                    fmean((place[n] + 0.5) / size[n] for n in neighbours[key])
                    if neighbours[key]
                    else (place[key] + 0.5) / size[key]
                )
            )


def _place(
    columns: list[list[str]], boxes: dict[str, _Box], chains: list[tuple[_Edge, list[str]]]
) -> tuple[dict[str, tuple[float, float]], float, float]:
    """The middle of each box's left side, and the size of the picture."""
    left, right = _neighbours(chains)
    rows = max(map(len, columns), default=0)
    y = {key: (i - (len(c) - 1) / 2) * ROW for c in columns for i, key in enumerate(c)}
    for sweep in range(SWEEPS):
        for column in columns if sweep % 2 == 0 else columns[::-1]:
            _relax(column, y, left if sweep % 2 == 0 else right)
    low = min(y.values(), default=0.0)
    x = float(MARGIN)
    places = {}
    for column in columns:
        width = max((boxes[key].width for key in column), default=0)
        for key in column:
            places[key] = (x, round(y[key] - low + MARGIN + HEIGHT / 2, 1))
            # A long edge crosses the whole column, so that it bends only where no box is.
            boxes[key] = replace(boxes[key], width=width if not boxes[key].name else boxes[key].width)
        x += width + GAP
    height = max((place[1] for place in places.values()), default=rows) + HEIGHT / 2 + MARGIN
    return places, x - GAP + MARGIN, height


def _relax(column: list[str], y: dict[str, float], neighbours: dict[str, list[str]]) -> None:
    """Move each box towards the middle of its neighbours, but keep the order and the distance of a row."""
    wanted = [fmean(y[n] for n in neighbours[key]) if neighbours.get(key) else y[key] for key in column]
    placed: list[float] = []
    for want in wanted:
        placed.append(max(want, placed[-1] + ROW) if placed else want)
    # Pushing apart moved the lower ones down only: move the whole column back by the mean push.
    off = fmean(p - w for p, w in zip(placed, wanted, strict=True)) if placed else 0.0
    for key, place in zip(column, placed, strict=True):
        y[key] = place - off


def _box_svg(box: _Box, x: float, y: float) -> str:
    top = y - HEIGHT / 2
    body = (
        f'<rect class="{box.kind}" x="{x:.1f}" y="{top:.1f}" width="{box.width:.0f}" height="{HEIGHT}" rx="6"/>'
        f'<text class="fact" x="{x + 14:.1f}" y="{top + 18:.1f}">{escape(box.fact)}</text>'
        f'<text class="name" x="{x + 14:.1f}" y="{top + 35:.1f}">{escape(box.name)}</text>'
    )
    return body if box.kind == "files" else f'<a href="tables/{escape(box.key)}.md">{body}</a>'


def _edge_svg(edge: _Edge, chain: Sequence[str], boxes: dict[str, _Box], places: dict[str, tuple[float, float]]) -> str:
    x, y = places[chain[0]]
    x += boxes[chain[0]].width
    path = f"M{x:.1f} {y:.1f}"
    for key in chain[1:]:
        to_x, to_y = places[key]
        middle = (x + to_x) / 2
        path += f" C{middle:.1f} {y:.1f} {middle:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}"
        x, y = to_x, to_y
        if not boxes[key].name:
            x += boxes[key].width
            path += f" H{x:.1f}"
    return f'<path class="edge{" asof" if edge.dashed else ""}" d="{path}" marker-end="url(#head)"/>'


def _labels_svg(chains: list[tuple[_Edge, list[str]]], places: dict[str, tuple[float, float]]) -> Iterator[str]:
    """The labels. Each stands beside the arrow's head, where edges are apart, on the side away from its edge."""
    taken: Counter[tuple[str, bool]] = Counter()
    for edge, chain in chains:
        if not edge.label:
            continue
        x, y = places[edge.target]
        below = places[chain[-2]][1] < y
        line = 13 * taken[edge.target, below]
        taken[edge.target, below] += 1
        y += 15 + line if below else -7 - line
        yield f'<text class="label" x="{x - 10:.1f}" y="{y:.1f}" text-anchor="end">{escape(edge.label)}</text>'
