"""simcore calibrate: fitted numbers of a machine, from profiles and measured kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def calibrate(
    profiles: Annotated[Path | None, typer.Option(help="Folder with profiles of the chip, full JSON, plain or gzip; "
                                                  "without it, what short launches show of a chip without hardware "
                                                  "descriptors.", show_default=False)] = None,
    target: Annotated[str, typer.Option(help="The chip the profiles are of.")] = "trn2",
    refs: Annotated[
        Path | None,
        typer.Option(help="Folder of checkouts (owner+name@commit); also fits what no profile shows.",
                     show_default=False),
    ] = None,
    families: Annotated[str, typer.Option(help="Families of the validation set used with --refs, comma-separated.")] =
        "attention,attention_cte,mlp_tkg,moe,rmsnorm",
    out: Annotated[Path | None,
                   typer.Option("-o", help="Machine TOML whose \\[fitted] part is replaced; without it, only print.",
                                show_default=False)] = None,
    jobs: Annotated[int, typer.Option(help="Processes for --refs.")] = 2,
) -> None:
    """Derive fitted numbers from real profiles (and measured kernels), with their scatter; refuse a worse fit."""
    from simcore import load_machine, read_profile
    from simcore.apps.output import data, narrate
    from simcore.calibrate import from_profiles, write_fitted
    from simcore.errors import UsageError

    machine = load_machine(target)
    if profiles is None:
        if refs is None or machine.dma.hw_dge_instances:
            raise UsageError("calibration needs at least one profile; name a folder of them with --profiles, or, for a "
                             "chip without hardware descriptors, a folder of checkouts with --refs")
        lines = _from_triggers(machine, target, refs, tuple(families.split(",")), jobs)
    else:
        if not profiles.is_dir():
            raise UsageError(f"{profiles} is not a folder; give one with the profiles of the chip")
        files = sorted(p for p in profiles.iterdir() if p.name.endswith((".json", ".json.gz")))
        if not files:
            raise UsageError(f"{profiles} holds no .json or .json.gz profile")
        narrate(f"reading {len(files)} profiles")
        fits = from_profiles([read_profile(p) for p in files], machine)
        lines = [f.toml(f"{len(files)} {target} profiles") for f in fits]
        if refs is not None:
            lines += _from_cases(machine, target, refs, tuple(families.split(",")), jobs)
    for line in lines:
        data(line)
    if out is not None:
        write_fitted(out, lines)
        load_machine(out)       # refuses what it could not read again
        narrate(f"wrote the [fitted] part of {out}")


def _from_cases(machine, target: str, refs: Path, families: tuple[str, ...], jobs: int) -> list[str]:
    from simcore.apps.output import narrate
    from simcore.apps.validate.cases import load_cases, missing
    from simcore.apps.validate.predict import KIND_TOTAL, predict_all
    from simcore.assemble import launch_ps
    from simcore.calibrate import Observation, from_cases

    fixed = {c: (launch_ps(KIND_TOTAL[c].removesuffix("_ps"), 1, machine) or 0) / 1e6 for c in KIND_TOTAL}
    cases = [c for c in load_cases(families, (target,)) if missing(c, refs) is None]
    settings = [4, 8, 16, 32, 64, 128]
    spans: dict[str, dict[int, float]] = {}
    narrate(f"{len(cases)} measured kernels with reorder windows of {', '.join(map(str, settings))}")
    for s, results in zip(settings, predict_all(cases, refs, jobs, [{"compiler.reorder_window": s} for s in settings]),
                          strict=True):
        for r in results:
            if r.span_us is not None:
                spans.setdefault(r.case.id, {})[s] = r.span_us
    rows = [Observation(c.family, c.cores, c.measured_us, fixed[c.kind], spans[c.id]) for c in cases
            if len(spans.get(c.id, ())) == len(settings)]
    best = from_cases(rows, settings, machine.compiler.reorder_window)
    what = f"{len(rows)} measured kernels ({', '.join(families)})"
    kept = best["setting"] == machine.compiler.reorder_window
    residual = (f"MAPE {best['error']:.1f} %; families left out {best['current_cross_validated']:.1f} % "
                "with the window in use, "
                f"{best['cross_validated']:.1f} % when it is chosen without them: {'kept' if kept else 'changed'}")
    return [f'"compiler.reorder_window" = {{ value = {best["setting"]}, source = "{what}", residual = "{residual}" }}',
            f'"kernel.pair_fixed_ns" = {{ value = {best["pair_us"] * 1000:.1f}, source = "{what}", '
            f'residual = "{residual}" }}']


def _from_triggers(machine, target: str, refs: Path, families: tuple[str, ...], jobs: int) -> list[str]:
    from simcore.apps.output import narrate
    from simcore.apps.validate.cases import load_cases, missing
    from simcore.apps.validate.predict import predict_all
    from simcore.calibrate import Observation, from_triggers

    cases = [c for c in load_cases(families, (target,)) if c.kind == "benchmark" and missing(c, refs) is None]
    low, high = machine.dma.issue_static_ns, machine.dma.issue_static_ns * 1.5
    narrate(f"{len(cases)} measured launches")
    both = zip(*predict_all(cases, refs, jobs, [{"dma.issue_static_ns": ns} for ns in (low, high)]), strict=True)
    rows = [Observation(a.case.family, 1, a.case.measured_us, 0.0, {low: a.span_us, high: b.span_us})
            for a, b in both if a.span_us is not None and b.span_us is not None]
    found = from_triggers(rows, low, high)
    source = f"{len(rows)} measured launches ({', '.join(families)}: {', '.join(sorted(c.id for c in cases))})"
    residual = f"MAPE {found['error']:.1f} %"
    return [f'"{name}" = {{ value = {value:.1f}, source = "{source}", residual = "{residual}" }}'
            for name, value in (("kernel.benchmark_fixed_ns", found["fixed_us"] * 1000),
                                ("dma.issue_static_ns", found["issue_ns"]))]
