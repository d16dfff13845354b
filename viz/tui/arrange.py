"""How much room each area gets.  A plain function of the terminal's size and of what there is to show."""

from __future__ import annotations

from dataclasses import dataclass

FIXED = 5  # title, minimap, note, footer, one line of axis
FEWEST_LANES = 6  # five engines and the folded DMA stay in sight; further lanes scroll
LEAST_PANEL = 6
MOST_GRAPHS = 5  # of one line each, or a quarter of the room: of many runs only the first curves are shown


@dataclass(frozen=True)
class Arrangement:
    axis: int  # lines of the axis
    lane: int  # lines per lane
    lanes: int  # lines of all lanes, legend included
    legend: bool
    graph: int  # lines per graph
    graphs: int  # lines of all graphs
    panels: int  # lines of the panels, title included; 0: hidden
    columns: int  # panels side by side


def arrange(
    width: int, height: int, lanes: int, graphs: int, panels: str = "normal", with_graphs: bool = True
) -> Arrangement:
    """`panels` is "normal", "large" or "none".

    Six lanes come first, then the panels, the graphs, the other lanes; what is left makes lanes and graphs taller.
    At 80x24 with 6 lanes and 3 graphs: 6 lanes, 3 graphs, 10 lines of panel.
    """
    axis = 2 if height >= 30 else 1
    legend = height >= 28
    room = max(height - FIXED - (axis - 1) - int(legend), 3)
    first = min(lanes, FEWEST_LANES)
    wanted = {"normal": max(9, height // 4), "large": height // 2, "none": 0}[panels]
    shown_graphs = min(graphs, max(MOST_GRAPHS, room // 4)) if with_graphs else 0
    least = LEAST_PANEL if wanted and room > LEAST_PANEL + 3 else 0
    panel = min(wanted, max(room - first - shown_graphs, least))
    shown_graphs = min(shown_graphs, max(room - panel - first, 0))
    shown_lanes = min(lanes, max(room - panel - shown_graphs, 1))
    left = room - panel - shown_graphs - shown_lanes
    lane = graph = 1
    while shown_lanes == lanes and 0 < lanes <= left and lane < 3:
        lane, left = lane + 1, left - lanes
        if shown_graphs and graph < lane and left >= shown_graphs:
            graph, left = graph + 1, left - shown_graphs
    while shown_graphs and graph < 4 and left >= shown_graphs:
        graph, left = graph + 1, left - shown_graphs
    if panel:
        panel += left
    count = 1 if width < 100 else 2 if width < 150 else 3 if width < 180 else 4
    return Arrangement(axis, lane, shown_lanes * lane + int(legend), legend, graph, shown_graphs * graph, panel, count)
