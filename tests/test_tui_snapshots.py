"""What is on the screen, as text, at three sizes: tests/golden/tui/NAME-WIDTHxHEIGHT.txt.

Text on purpose: it is the same on every machine, a change can be read in a diff, and what can be read there does not
depend on colour.  SIMCORE_UPDATE_GOLDENS=1 writes them anew.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from handmade import check_golden, pipeline, random_rows

from simcore.viz.tui import TimelineApp

MACHINE = {
    "core": {"partitions": 128},
    "sbuf": {"bytes_per_partition": 196608},
    "psum": {"banks": 8, "bank_bytes_per_partition": 2048},
    "hbm": {"bytes_per_s": 400e9},
    "tensor": {"clock_hz": 2e9, "peak_flops_per_s": {"bfloat16": 1e14}},
    "sync": {"clock_hz": 1e9},
}
"""Of no chip: a better number of a real one must not change a picture."""

SIZES = ((80, 24), (120, 40), (200, 60))

SCENES = {
    "opened": ([pipeline], ()),
    "zoomed-on-matmul": ([pipeline], ("slash", *"mat", "enter", "z", "o")),
    "why": ([pipeline], ("slash", *"tens", "enter", "b", "3")),
    "critical": ([pipeline], ("c", "right_square_bracket")),
    "filtered": ([pipeline], ("ampersand", *"l:6", "enter", "2")),
    "marked": ([pipeline], ("v", *["greater_than_sign"] * 4, "4")),
    "unfolded": ([pipeline], ("d", "j", "j", "j")),
    "two-runs": ([pipeline, lambda: pipeline(2, "shorter")], ("4",)),
    "summary": ([pipeline, lambda: pipeline(2, "shorter")], ("5",)),
    "many": ([lambda: random_rows(3000)], ("y", "W")),
    "many-closer": ([lambda: random_rows(3000)], ("slash", *"e:v", "enter", *["i"] * 6)),
    "help": ([pipeline], ("question_mark",)),
    "searching": ([pipeline], ("slash", *"engin:x")),
}


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("scene", SCENES)
async def test_screen(scene, size):
    made, keys = SCENES[scene]
    app = TimelineApp([replace(make(), machine=MACHINE) for make in made])
    async with app.run_test(size=size) as pilot:
        await pilot.press(*keys)
        await pilot.pause()
        lines = ["".join(s.text for s in strip).rstrip() for strip in app.screen._compositor.render_strips()]
        if len(app.screen_stack) > 1:  # a dialog: what is behind it shows through and is another scene's matter
            background = app.main._compositor.render_strips()
            assert len(background) == size[1]
    assert len(lines) == size[1] and all(len(line) <= size[0] for line in lines)
    check_golden(f"tui/{scene}-{size[0]}x{size[1]}.txt", "\n".join(lines) + "\n")
