# SPDX-License-Identifier: Apache-2.0
"""The comparisons as an SVG of horizontal bars, one group each."""
from xml.sax.saxutils import escape

from measure import TASKS, UNITS
from report import Comparison, lower_is_better
from sides import TITLES

COLOURS = {"lfmc": "#0072b2", "llama_cpp": "#e69f00", "openvino": "#009e73", "executorch": "#cc79a7"}
WIDTH, LEFT, RIGHT, BAR, GAP = 820, 100, 130, 14, 10


def text(x: float, y: float, words: str, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escape(words)}</text>'
    )


def group(comparison: Comparison, top: float) -> tuple[list[str], float]:
    """One comparison's elements and the height they take."""
    task = comparison.task
    direction = "lower is better" if lower_is_better(task) else "higher is better"
    title = f"{comparison.model} {comparison.weights}, {TASKS[task]} ({UNITS[task]}, {direction})"
    parts = [text(LEFT, top + BAR, title, weight="bold")]
    cells = {p: c for p, c in sorted(comparison.cells.items(), key=lambda x: list(TITLES).index(x[0]))}
    longest = max((c.median for c in cells.values() if c.row), default=1.0) or 1.0
    y = top + BAR + GAP / 2
    for peer, cell in cells.items():
        parts.append(text(LEFT - 6, y + BAR - 3, TITLES[peer], "end"))
        length = (WIDTH - LEFT - RIGHT) * cell.median / longest if cell.row else 0
        label = f"{cell.median:.1f}" if cell.row else "failed"
        ratio = comparison.ratio(peer) if peer != "lfmc" else None
        if ratio:
            label += f"  (lfmc {ratio:.2f}×)"
        colour = COLOURS[peer]
        parts.append(f'<rect x="{LEFT}" y="{y:.1f}" width="{max(length, 0):.1f}" height="{BAR}" fill="{colour}"/>')
        parts.append(text(LEFT + max(length, 0) + 6, y + BAR - 3, label))
        y += BAR + 4
    return parts, y - top + GAP


def svg(comparisons: list[Comparison], caption: str) -> str:
    parts, top = [text(GAP, 20, caption)], 34.0
    for comparison in comparisons:
        drawn, height = group(comparison, top)
        parts += drawn
        top += height
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top:.0f}" '
            f'viewBox="0 0 {WIDTH} {top:.0f}" font-family="sans-serif" font-size="12">',
            '<rect width="100%" height="100%" fill="white"/>',
            *parts,
            "</svg>",
            "",
        ]
    )
