"""simcore explain: why a run is not faster, and what to change."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from simcore.apps.options import Output, Sources, takes_sources


class Form(StrEnum):
    """How the explanation is written."""

    text = "text"
    json = "json"
    sarif = "sarif"


_SUFFIXES = {".json": Form.json, ".sarif": Form.sarif, ".txt": Form.text}


@takes_sources()
def explain(
    sources: Sources,
    output: Output = None,
    form: Annotated[
        Form | None, typer.Option("--format", "-f", help="text, json, or sarif for code scanning in CI.")
    ] = None,
) -> None:
    """Say why a run is not faster: bounds, critical path, stalls, and what each change would save."""
    from simcore.apps.load import load
    from simcore.apps.output import data, narrate, working
    from simcore.explain import explain as analyse
    from simcore.files import check_writable, replacing
    from simcore.viz import explain as views

    if output is not None:
        check_writable(output)
    form = form or (_SUFFIXES.get(output.suffix, Form.text) if output else Form.text)
    timelines = load(sources)
    with working("simulating the changes"):
        explanations = [analyse(timeline) for timeline in timelines]
    if form is Form.text and output is None:
        for i, explanation in enumerate(explanations):
            if i:
                data("")
            data(views.render(explanation))
        return
    if form is Form.text:
        text = "\n\n".join(map(str, explanations))
    else:
        text = views.to_json(explanations) if form is Form.json else views.to_sarif(explanations)
    if output is None:
        print(text)
        return
    with replacing(output) as part:
        Path(part).write_text(text + "\n", encoding="utf-8")
    narrate(f"wrote {output}")
