"""How much room each area gets.  A plain function of the terminal's size and of what there is to show."""

from __future__ import annotations

from dataclasses import dataclass

FIXED = 5   # title, minimap, note, footer, one line of axis


@dataclass(frozen=True)
class Arrangement:
    axis: int           # lines of the axis
    lane: int           # lines per lane
    lanes: int          # lines of all lanes, legend included
    legend: bool
    graph: int          # lines per graph
    graphs: int         # lines of all graphs
    panels: int         # lines of the panels, title included; 0: hidden
    columns: int        # panels side by side


def arrange(width: int, height: int, lanes: int, graphs: int, panels: str = "normal") -> Arrangement:
    """`panels` is "normal", "large" or "none".

    Lanes come first, then the panels (at least 5 lines), then graphs; what is left makes lanes and graphs taller.
    At 80x24 with 6 lanes and 3 graphs: 6 lanes, 3 graphs, 10 lines of panel.
    """
    axis = 2 if height >= 30 else 1
    legend = height >= 28
    room = max(height - FIXED - (axis - 1) - int(legend), 3)
    least = {"normal": 6, "large": 10, "none": 0}[panels]
    wanted = {"normal": max(9, height // 4), "large": height // 2, "none": 0}[panels]
    shown_lanes = min(lanes, max(room - least, 1))
    left = room - shown_lanes
    panel = min(wanted, left)
    left -= panel
    shown_graphs = min(graphs, left)
    left -= shown_graphs
    lane = 1
    while lanes and lane < 4 and left >= lanes + (graphs if lane == 1 else 0) and shown_lanes == lanes:
        lane, left = lane + 1, left - lanes
    graph = 1
    while shown_graphs and graph < 4 and left >= graphs and shown_graphs == graphs:
        graph, left = graph + 1, left - graphs
    if panels != "none":
        panel += left
    else:
        shown_lanes += left if shown_lanes < lanes else 0
    count = 1 if width < 100 else 2 if width < 150 else 3 if width < 190 else 4
    return Arrangement(axis, lane, shown_lanes * lane + int(legend), legend, graph, shown_graphs * graph, panel, count)
