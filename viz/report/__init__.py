"""One self-contained HTML page of a run: summary, timeline, occupancy, explanation, roofline, source.  No network."""

from simcore.viz.report.page import render, render_comparison, write, write_comparison

__all__ = ["render", "render_comparison", "write", "write_comparison"]
