"""What the sections of a report are made of: pictures with captions, and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from charrnn.pages.page import escaped
from charrnn.reporting.story import Story


def figure(
    story: Story, name: str, caption: str = "", table: str = "", *, zoom: str = "", kind: str = ""
) -> str:
    """A picture with its caption; `zoom` is what its x counts if the script can zoom into it."""
    if name not in story.charts:
        return ""
    tools = label = ""
    if zoom:
        buttons = (
            ("in", "+", "closer"),
            ("out", "−", "further away"),
            ("left", "←", "earlier"),
            ("right", "→", "later"),
            ("all", "all", "the whole run"),
        )
        tools = "".join(
            f'<button type="button" data-do="{do}" aria-label="{about}" title="{about}">{sign}'
            "</button>"
            for do, sign, about in buttons
        )
        tools = f'<div class="controls" hidden>{tools}<output></output></div>'
        label = (
            f' data-zoom="{name}" tabindex="0" role="group" aria-label="Chart: plus and minus '
            'zoom, arrow keys move, 0 shows all"'
        )
    more = f"<details><summary>As a table</summary>{table}</details>" if table else ""
    text = f"<figcaption>{caption}</figcaption>" if caption else ""
    chart = f'<div class="scroll">{story.charts[name]}</div>'
    return f'<figure class="{kind}"{label}>{chart}{tools}{text}{more}</figure>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; every cell is escaped, and cells that look like numbers stand at the right."""
    body = [[escaped(cell) for cell in row] for row in rows]
    is_number = [
        all(row[n][:1] in "0123456789.−-" for row in body if row[n]) for n in range(len(head))
    ]
    kinds = [' class="number"' if number else "" for number in is_number]
    top = "".join(
        f'<th scope="col"{kind}>{escaped(name)}</th>'
        for name, kind in zip(head, kinds, strict=True)
    )
    lines = "".join(
        "<tr>"
        + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True))
        + "</tr>"
        for row in body
    )
    whole = f"<table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table>"
    return f'<div class="scroll">{whole}</div>'
