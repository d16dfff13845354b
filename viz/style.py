"""What all matplotlib pictures share: fonts, themes, and files that come out the same every time."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from simcore.errors import UsageError
from simcore.files import replacing
from simcore.viz import palette

SUFFIXES = (".png", ".svg", ".pdf")
_METADATA = {".png": {"Software": None}, ".svg": {"Date": None, "Creator": "simcore"}, ".pdf": {"CreationDate": None}}


def params(theme: palette.Theme) -> dict:
    surface = palette.SURFACES[theme]
    return {
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "axes.titlesize": 13,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 12,
        "axes.labelsize": 10.5,
        "figure.facecolor": surface.background,
        "axes.facecolor": surface.background,
        "savefig.facecolor": surface.background,
        "text.color": surface.text,
        "axes.labelcolor": surface.text,
        "axes.titlecolor": surface.text,
        "xtick.color": surface.muted,
        "ytick.color": surface.muted,
        "axes.edgecolor": surface.line,
        "grid.color": surface.grid,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "svg.fonttype": "path",
        "svg.hashsalt": "simcore",
        "hatch.linewidth": 0.6,
        "path.simplify": True,
    }


@contextmanager
def figure(width: float, height: float, theme: palette.Theme = "light"):
    """A new figure in the shared style; independent of pyplot and of the user's settings."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(params(theme))
        fig = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(fig)
        yield fig


def save(fig: Figure, output: str | Path, theme: palette.Theme = "light", dpi: int = 160) -> None:
    """Write PNG, SVG or PDF by suffix, the same bytes every time, whole or not at all.  UsageError otherwise."""
    path = Path(output)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"cannot write {path}: a picture ends in {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise UsageError(f"cannot write {path}: the folder {path.parent} does not exist")
    with replacing(path) as part, mpl.rc_context(params(theme)):
        fig.savefig(part, format=suffix[1:], dpi=dpi, metadata=_METADATA[suffix])
