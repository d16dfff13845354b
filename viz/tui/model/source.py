"""The panel of the kernel's source, with what each line costs."""

from __future__ import annotations

from textwrap import dedent

from simcore.viz import format as fmt
from simcore.viz.tui.model.facts import Line, short
from simcore.viz.tui.model.view import View


def source(view: View, height: int) -> list[Line]:
    """The kernel around the chosen row's line, the line marked, in `height` lines."""
    item = view.item
    if item is None:
        return [[("nothing is chosen", "dim")]]
    timeline = view.runs.timelines[item.run]
    row = item.row if item.table == "instruction" else int(timeline.dma.instruction[item.row])
    site = timeline.site(row) if row >= 0 else None
    if site is None:
        return [[("this row does not say which kernel line it comes from", "dim")]]
    head: Line = [
        (f"{short(site.file)}:{site.line}", "strong"),
        (f" in {site.function}" if site.function else "", "dim"),
    ]
    text = timeline.sources.get(site.file)
    if text is None:
        return [head, [("the text of this file is not in the run", "dim")]]
    lines = text.splitlines()
    count = max(height - 1, 1)
    first = min(max(site.line - 1 - count // 2, 0), max(len(lines) - count, 0))
    digits = len(str(first + count))
    share = view.model.critical_share(item.run, site.file)
    if share:
        head.append((f"   % of the critical path per line, {fmt.percent(share.get(site.line, 0.0))} here", "dim"))
    code = dedent("\n".join(lines[first : first + count]).expandtabs(4)).split("\n")
    found = [head]
    for number in range(first + 1, min(first + count, len(lines)) + 1):
        here = number == site.line
        part = share.get(number, 0.0)
        found.append(
            [
                ("▶" if here else " ", "strong"),
                (f"{number:>{digits}} ", "dim"),
                *([(f"{fmt.percent(part).replace(' ', '') if part else '':>5} ", "engine:Critical")] if share else []),
                (code[number - 1 - first], "strong" if here else ""),
            ]
        )
    return found
