"""simcore validate: predicted beside measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def validate(
    refs: Annotated[Path, typer.Option(help="Folder of checkouts of the measured kernels, owner+name@commit.",
                                       show_default=False)],
    profiles: Annotated[Path | None,
                        typer.Option(help="Folder of real profiles to compare with.", show_default=False)] = None,
    family: Annotated[str, typer.Option(help="Only these families, comma-separated.")] = "",
    hardware: Annotated[str, typer.Option(help="Only these chips, comma-separated.")] = "trn1,trn2",
    off: Annotated[str, typer.Option("--without", help="Also predict without these mechanisms of the model, "
                                     "comma-separated; \"all\": without each in turn.")] = "",
    jobs: Annotated[int, typer.Option(help="Processes.")] = 2,
    out: Annotated[Path | None, typer.Option("-o", help="Write the report as Markdown, pictures beside it.",
                                             show_default=False)] = None,
) -> None:
    """Compare predictions with every public measurement that can be run: by family, by rank, by instruction."""
    from rich.table import Table

    from simcore.apps.output import data, narrate, working
    from simcore.apps.validate.cases import load_cases, missing
    from simcore.apps.validate.predict import predict_all
    from simcore.apps.validate.profiles import compare_profiles, wape
    from simcore.apps.validate.statistics import effects, families, mape, signs
    from simcore.errors import UsageError
    from simcore.files import check_writable, replacing
    from simcore.machine import load_machine
    from simcore.machine.mechanisms import MECHANISMS, without

    if not refs.is_dir():
        raise UsageError(f"{refs} is not a folder; clone the repositories named in docs/accuracy.md "
                         "into one folder and name it")
    if out is not None:
        check_writable(out)
    names = list(MECHANISMS) if off == "all" else [n.strip() for n in off.split(",") if n.strip()]
    without(load_machine("trn2"), *names)       # a wrong name is said before the work
    wanted = load_cases(tuple(f for f in family.split(",") if f), tuple(h for h in hardware.split(",") if h))
    cases = [c for c in wanted if missing(c, refs) is None]
    if not cases:
        raise UsageError(f"{refs} holds none of the checkouts of the {len(wanted)} cases; the first one needed is "
                         f"{missing(wanted[0], refs)}")
    if len(cases) < len(wanted):
        narrate(f"{len(wanted) - len(cases)} cases left out: their checkouts are not in {refs}")
    with working(f"{len(cases)} kernels"):
        results, *others = predict_all(cases, refs, jobs, [{}, *names])
        shown = compare_profiles(profiles, refs) if profiles is not None else []

    table = Table("family", "chip", "cases", "MAPE", "median", "ratio", "signs", "tau",
                  title="Predicted against measured")
    for f in families(results):
        table.add_row(f.name, f.hardware, f"{f.run} of {f.cases}",
                      *("–" if x is None else f"{x:.{d}f}{u}" for x, d, u in (
            (f.mape, 1, " %"), (f.median, 1, " %"), (f.ratio, 2, ""))), f"{f.agree:g} of {f.pairs}",
            "–" if f.tau is None else f"{f.tau:.2f}")
    data(table)
    good, pairs = signs(results)
    data(f"all: MAPE {mape(results) or 0:.1f} %, sign agreement {good:g} of {pairs} pairs, "
         f"{sum(bool(r.failure) for r in results)} not run")
    if names:
        ablation = Table("without", "chip", "MAPE", "signs", "cases changed", title="What each mechanism is worth")
        for row in effects(results, dict(zip(names, others, strict=True))):
            ablation.add_row(*row)
        data(ablation)
    for p in shown:
        data(f"profile {p.name}: measured {p.measured_us:.1f} µs, predicted {p.predicted_us:.1f} µs "
             f"({100 * (p.predicted_us / p.measured_us - 1):+.1f} %)")
    if shown:
        data("busy time, weighted error: " + ", ".join(f"{e} {wape(shown, e):.1f} %"
                                                       for e in ("Tensor", "Vector", "Scalar", "DMA")))
    if out is not None:
        from simcore.apps.validate.pictures import lanes, scatter
        from simcore.apps.validate.report import markdown

        folder = out.parent / "img"
        folder.mkdir(exist_ok=True)
        pictures = {"scatter": "img/accuracy.png"}
        scatter(results, out.parent / pictures["scatter"])
        for p in shown:
            pictures[p.name] = f"img/accuracy-{p.name}.png"
            lanes(p, out.parent / pictures[p.name])
        command = f"simcore validate --refs REFS --profiles PROFILES{' --without ' + off if off else ''} -o {out}"
        text = markdown(results, shown, pictures, command, dict(zip(names, others, strict=True)))
        with replacing(out) as part:
            part.write_text(text, encoding="utf-8")
        narrate(f"wrote {out}")
