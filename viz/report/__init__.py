"""One self-contained HTML page of a run: summary, timeline, occupancy, explanation, roofline, source.  No network."""

from simcore.viz.report.page import render, write

__all__ = ["render", "write"]
