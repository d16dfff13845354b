"""Every key and every mouse gesture, pressed as a person would.  KEYS without an entry here fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from xml.etree import ElementTree

import pytest
from handmade import NS, pipeline, random_rows
from rich.cells import cell_len
from textual.widgets import Footer, Input

from simcore.errors import UsageError
from simcore.viz import tui
from simcore.viz.tui import TimelineApp
from simcore.viz.tui.dialogs import HelpScreen
from simcore.viz.tui.keys import KEYS
from simcore.viz.tui.model.view import View
from simcore.viz.tui.paint import GUTTER
from simcore.viz.tui.screen import TimelineScreen
from simcore.viz.tui.widgets.panels import Panel
from simcore.viz.tui.widgets.timeline import Axis, Graphs, Lanes, Minimap


def at(view: View) -> str:
    t = view.runs.timelines[view.item.run]
    name = t.opcode(view.item.row) if view.item.table == "instruction" else "transfer"
    return f"{name}@{view.runs.span(view.item)[0] // NS}"


@dataclass(frozen=True)
class Effect:
    """After `before`, the key does what `check` says; `check` gets the views before and after, and the screen."""

    check: Callable[[View, View, TimelineScreen], bool]
    before: tuple[str, ...] = ()


def moved(name: str, *before: str) -> Effect:
    return Effect(lambda a, b, s: at(b) == name and b.item != a.item, before)


def toggled(name: str) -> Effect:
    return Effect(lambda a, b, s: getattr(b, name) is not getattr(a, name))


def shows(panel: str, *before: str) -> Effect:
    return Effect(lambda a, b, s: s.panel == panel and s.query_one(f"#panel-{panel}").display, before)


EFFECTS: dict[str, Effect] = {
    "next": moved("DMA_DIRECT2D@650"),
    "previous": moved("DMA_DIRECT2D@0", "l"),
    "lane below": Effect(lambda a, b, s: b.here.name == "DMA" and a.here.name == "Sync"),
    "lane above": Effect(lambda a, b, s: b.here.name == "Scalar" and a.here.name == "Sync"),
    "time forward": Effect(lambda a, b, s: b.time_ps == a.time_ps + b.column_ps),
    "time back": Effect(lambda a, b, s: b.time_ps == a.time_ps - b.column_ps, ("full_stop", "full_stop")),
    "next event": Effect(lambda a, b, s: b.time_ps == 50 * NS),
    "previous event": Effect(lambda a, b, s: b.time_ps == 50 * NS, ("greater_than_sign",) * 2),
    "first": moved("DMA_DIRECT2D@0", "l", "l"),
    "last": moved("DMA_DIRECT2D@2450"),
    "return": moved("DMA_DIRECT2D@0", "G"),
    "zoom in": Effect(lambda a, b, s: b.window.span_ps == a.window.span_ps // 2),
    "out": Effect(lambda a, b, s: b.window.span_ps == 2 * a.window.span_ps, ("i", "i")),
    "pan right": Effect(lambda a, b, s: b.window.start_ps == a.window.start_ps + a.window.span_ps // 4, ("i", "i")),
    "pan left": Effect(lambda a, b, s: b.window.start_ps == a.window.start_ps - a.window.span_ps // 4, ("i", "L")),
    "all": Effect(lambda a, b, s: b.window.span_ps == b.end_ps > a.window.span_ps, ("i",)),
    "zoom to": Effect(lambda a, b, s: b.window.span_ps == 75 * NS),
    "mark": Effect(lambda a, b, s: b.mark_ps == b.time_ps and a.mark_ps is None),
    "why": moved("DMA_DIRECT2D@650", "l", "l"),
    "then": moved("MATMUL@200"),
    "stall": moved("DMA_DIRECT2D@650"),
    "previous stall": moved("DMA_DIRECT2D@650", "l", "l"),
    "worst stall": moved("DMA_DIRECT2D@650"),
    "critical": toggled("critical"),
    "path forward": moved("MATMUL@200"),
    "path back": moved("DMA_DIRECT2D@0", "right_square_bracket"),
    "search": Effect(lambda a, b, s: isinstance(s.focused, Input) and not s.query_one("#prompt").filtering),
    "next match": moved("MATMUL@1100", "slash", *"mat", "enter"),
    "previous match": moved("MATMUL@2000", "slash", *"mat", "enter"),
    "filter": Effect(lambda a, b, s: isinstance(s.focused, Input) and s.query_one("#prompt").filtering),
    "this line": Effect(lambda a, b, s: b.filtering and b.matches.query.text == "line:pipeline.py:5"),
    "this opcode": Effect(lambda a, b, s: b.filtering and b.matches.query.text == "op:DMA_DIRECT2D"),
    "this engine": Effect(lambda a, b, s: b.filtering and b.matches.query.text == "engine:Sync"),
    "same in other run": Effect(lambda a, b, s: b.note == "there is no other run to go to"),
    "clear": Effect(
        lambda a, b, s: (
            a.filtering
            and a.critical
            and a.mark_ps is not None
            and not b.filtering
            and not b.critical
            and b.mark_ps is None
            and b.matches is None
        ),
        ("ampersand", *"mat", "enter", "c", "v"),
    ),
    "DMA": Effect(lambda a, b, s: len(b.lanes) - len(a.lanes) == 15),
    "waits in gaps": toggled("waits"),
    "letters": toggled("letters"),
    "panel instruction": shows("chosen", "3"),
    "panel source": shows("source"),
    "panel waits": shows("chain"),
    "panel now": shows("moment"),
    "panel summary": shows("overview"),
    "panel cost": shows("cost"),
    "next panel": shows("source"),
    "panels": Effect(lambda a, b, s: s.panels == "large"),
    "graphs": Effect(lambda a, b, s: not s.query_one(Graphs).display),
    "theme": Effect(lambda a, b, s: not s.inks.dark and s.app.theme == "simcore-light"),
    "export": Effect(lambda a, b, s: [p.name for p in s.app.export_to.iterdir()] == ["pipeline.svg"]),
    "help": Effect(lambda a, b, s: isinstance(s.app.screen, HelpScreen)),
    "commands": Effect(lambda a, b, s: type(s.app.screen).__name__ == "CommandPalette"),
    "quit": Effect(lambda a, b, s: s.app._exit),
}


def test_every_key_has_its_effect_tested():
    assert set(EFFECTS) == {key.title for key in KEYS}


def test_no_key_is_bound_twice():
    keys = [name for key in KEYS for name in key.keys.split(",")]
    assert len(keys) == len(set(keys))


@pytest.fixture
def app(tmp_path):
    return TimelineApp([pipeline(3)], export_to=tmp_path)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.title.replace(" ", "-"))
async def test_key(app, key):
    effect = EFFECTS[key.title]
    async with app.run_test(size=(108, 40)) as pilot:
        screen = app.screen
        await pilot.press(*effect.before)
        await pilot.pause()
        before = screen.view
        for name in key.keys.split(","):
            screen.view = before
            await pilot.press(name)
            await pilot.pause()
            assert effect.check(before, screen.view, screen), (name, screen.view)
            if key.title == "quit":
                break
            if isinstance(screen.focused, Input):
                await pilot.press("escape")


def test_quit_has_two_keys():
    """The second is not pressed above: the program has ended by then."""
    assert next(key.keys for key in KEYS if key.title == "quit") == "q,ctrl+q"


# ------------------------------------------------------------------------------------------------ mouse


async def test_click_chooses_and_double_click_zooms(app):
    async with app.run_test(size=(GUTTER + 90, 40)) as pilot:
        await pilot.click(Lanes, offset=(GUTTER + 10, 0))  # 300 ns
        assert at(app.screen.view) == "MATMUL@200" and app.screen.view.time_ps == 300 * NS
        await pilot.double_click(Lanes, offset=(GUTTER + 10, 0))
        assert app.screen.view.window.span_ps == 300 * NS
        await pilot.click(Lanes, offset=(3, 0))  # a lane's name
        assert app.screen.view.here.name == "Tensor"


async def test_click_on_the_axis_moves_the_cursor_only(app):
    async with app.run_test(size=(GUTTER + 90, 40)) as pilot:
        lane = app.screen.view.lane
        await pilot.click(Axis, offset=(GUTTER + 30, 0))
        assert app.screen.view.time_ps == 900 * NS and app.screen.view.lane == lane


async def test_drag_marks_a_stretch(app):
    async with app.run_test(size=(GUTTER + 90, 40)) as pilot:
        await pilot.mouse_down(Lanes, offset=(GUTTER + 10, 0))
        await pilot.hover(Lanes, offset=(GUTTER + 20, 0))
        lanes = app.screen.query_one(Lanes)
        lanes.post_message(Lanes.Dragged(20))  # the pilot's hover has no button down
        await pilot.pause()
        await pilot.mouse_up(Lanes, offset=(GUTTER + 20, 0))
        assert app.screen.view.selection == (300 * NS, 600 * NS)
        await pilot.press("z")
        assert app.screen.view.window.span_ps == 300 * NS


async def test_wheel_zooms_about_the_mouse_and_pans(app):
    async with app.run_test(size=(GUTTER + 90, 40)) as pilot:
        lanes = app.screen.query_one(Lanes)
        lanes.post_message(Lanes.Wheel(45, 1, False))
        await pilot.pause()
        window = app.screen.view.window
        assert window.span_ps == 2160 * NS and window.column(1350 * NS, 90) == 45
        lanes.post_message(Lanes.Wheel(45, -1, True))
        await pilot.pause()
        assert app.screen.view.window.start_ps == window.start_ps + 216 * NS


async def test_minimap_moves_the_window(app):
    async with app.run_test(size=(GUTTER + 90, 40)) as pilot:
        await pilot.press("i", "i")
        await pilot.click(Minimap, offset=(GUTTER + 80, 0))
        assert app.screen.view.window.holds(2400 * NS)


async def test_wheel_on_a_panel_scrolls_it():
    app = TimelineApp([random_rows(400)])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        panel = app.screen.query_one("#panel-moment", Panel)
        first = panel.render_line(0).text
        panel.on_mouse_scroll_down()
        await pilot.pause()
        assert panel.render_line(0).text != first


# ------------------------------------------------------------------------------------------------ prompt, palette


async def test_the_prompt_counts_while_typing_and_says_what_is_wrong(app):
    async with app.run_test(size=(108, 40)) as pilot:
        await pilot.press("slash", *"op:mat")
        assert "3 match" in str(app.screen.query_one("#count").render())
        await pilot.press("ctrl+u", *"engin:x", "enter")
        assert "Did you mean 'engine'?" in str(app.screen.query_one("#count").render())
        assert isinstance(app.screen.focused, Input)  # still open: nothing was lost
        await pilot.press("escape")
        assert app.screen.focused is None
        await pilot.press("l")
        assert at(app.screen.view) == "DMA_DIRECT2D@650"  # keys are keys again


async def test_an_empty_filter_clears_it(app):
    async with app.run_test(size=(108, 40)) as pilot:
        await pilot.press("ampersand", *"mat", "enter")
        assert app.screen.view.filtering
        await pilot.press("ampersand", "ctrl+u", "enter")
        assert not app.screen.view.filtering


async def test_every_command_of_the_palette_runs(app):
    async with app.run_test(size=(108, 40)) as pilot:
        commands = {c.title: c for c in app.get_system_commands(app.screen)}
        assert "Find MATMUL" in commands and "Line pipeline.py:7" in commands and "Critical (c)" in commands
        for title, command in commands.items():
            if title.startswith(("Quit", "Commands")):
                continue
            result = command.callback()
            if result is not None:
                await result
            await pilot.pause()
            while len(app.screen_stack) > 1:
                app.pop_screen()
                await pilot.pause()
        assert app.main.view.matches.query.text == "line:pipeline.py:9"


async def test_names_from_a_file_are_neither_markup_nor_escape_sequences():
    t = pipeline(2)
    odd = replace(
        t,
        name="[red]x[/red] [/]\x1b[2J",
        opcodes=("X[0]\x1b[31m", "[/b]", "[bold]矩阵", "T"),
        strings=("dst[0] [/x]\x07",),
        sites=tuple(replace(s, file="[a/b].py", function="f[0]") for s in t.sites),
        sources={"[a/b].py": "x[/1]\x1b]0;title\x07 # 矩阵\n" * 20},
    )
    app = TimelineApp([odd])
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("slash", *"text:[", "enter", "r", "ctrl+p")
        await pilot.pause()
        await app.workers.wait_for_complete()
        await pilot.press(*"find")
        await app.workers.wait_for_complete()
        await pilot.press("escape")
        lines = screen_text(app)
        text = "\n".join(lines)
        assert "[red]x[/red] [/]" in text and "[/b]" in text and "x[/1]" in text
        assert "\x1b" not in text and "\x07" not in text
        assert all(cell_len(line) == 120 for line in lines)


async def test_a_panel_made_larger_shows_more_at_once(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        await pilot.pause()
        before = sum("nisa." in line for line in screen_text(app))
        await pilot.press("p")
        await pilot.pause()
        panel = app.screen.query_one("#panel-source", Panel)
        shown = [panel.render_line(y).text.strip() for y in range(panel.size.height)]
        assert sum("nisa." in line for line in screen_text(app)) >= before
        assert shown[0].startswith("pipeline.py:5") and all(shown[1:3]) and len(shown) > 8
        assert "\n".join(shown[:6]) in "\n".join(line.strip() for line in screen_text(app))


async def test_the_help_names_every_key(app):
    async with app.run_test(size=(108, 200)) as pilot:
        await pilot.press("question_mark")
        text = "\n".join(screen_text(app))
        for key in KEYS:
            assert key.help[:60] in text, key
        await pilot.press("escape")
        assert app.screen is app.main


async def test_the_footer_begins_with_help(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert screen_text(app)[-1].split()[:2] == ["?", "help"]
        assert app.screen.query_one(Footer)


# ------------------------------------------------------------------------------------------------ export, run


async def test_an_export_never_overwrites_and_says_where_it_went_wrong(app, tmp_path):
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("x", "x")
        await pilot.pause()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["pipeline-2.svg", "pipeline.svg"]
        svg = (tmp_path / "pipeline.svg").read_text()
        assert ElementTree.fromstring(svg).tag.endswith("svg") and "DMA_DIRECT2D" in svg
        assert "url(" not in svg.replace("url(#", "")  # nothing from the network
        app.export_to = tmp_path / "nowhere"
        await pilot.press("x")
        await pilot.pause()
        assert any("could not write" in n.message for n in app._notifications)


async def test_themes_of_textual_work_too(app):
    async with app.run_test(size=(80, 24)) as pilot:
        chosen = [t for t in app.available_themes if "ansi" in t or "simcore" in t or t in ("nord", "solarized-light")]
        assert len(chosen) >= 6
        for theme in chosen:
            app.theme = theme
            await pilot.pause()
            assert app.main.inks.dark == app.current_theme.dark


async def test_resizing_to_any_size_draws(app):
    async with app.run_test(size=(80, 24)) as pilot:
        for size in ((20, 5), (40, 12), (300, 90), (19, 3), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert len(screen_text(app)) == size[1]


def test_run_refuses_in_sentences():
    with pytest.raises(UsageError, match="shows 1 to 8 runs"):
        tui.run([])
    with pytest.raises(UsageError, match="it was given 9"):
        tui.run([pipeline(1)] * 9)
    with pytest.raises(UsageError, match="needs a terminal"):
        tui.run([pipeline(1)])


def screen_text(app) -> list[str]:
    """What is on the screen, line by line."""
    return ["".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips()]


async def test_measured_profiles_open(profiles):
    from simcore import read_profile

    timelines = [read_profile(p) for p in sorted(profiles.glob("*.gz"))[:2]]
    app = TimelineApp(timelines)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("d", "b", "s", "c", "right_square_bracket", "3", "f", "slash", *"mat", "enter", "z")
        await pilot.pause()
        assert at(replace(app.screen.view)).startswith("MATMUL@")
        assert "MATMUL" in "\n".join(screen_text(app))


def _empty():
    from simcore.timeline import ClockStates, Dependences, DmaTransfers, Instructions, Timeline

    return Timeline(
        name="nothing", kind="simulated", target="trn2", instructions=Instructions.empty(), dma=DmaTransfers.empty(),
        dependences=Dependences.empty(), clock=ClockStates.empty(), opcodes=(),
    )  # fmt: skip


def _moment():
    """One instruction that takes no time."""
    from simcore.timeline import Instructions

    return replace(_empty(), instructions=Instructions.filled(1), opcodes=("NOP",))


def _hours():
    """The pipeline, five million times slower."""
    t = pipeline(3)
    slow = {name: getattr(t.instructions, name) * 5_000_000 for name in ("start_ps", "end_ps", "done_ps", "wait_ps")}
    moves = {name: getattr(t.dma, name) * 5_000_000 for name in ("start_ps", "end_ps")}
    return replace(t, instructions=replace(t.instructions, **slow), dma=replace(t.dma, **moves), counters={})


@pytest.mark.parametrize("made", [_empty, _moment, _hours])
async def test_all_keys_on_odd_timelines(made, tmp_path):
    app = TimelineApp([made()], export_to=tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        for key in KEYS:
            if key.title in ("quit", "commands", "help", "search", "filter"):
                continue
            await pilot.press(key.keys.split(",")[0])
            if isinstance(app.screen.focused, Input):
                await pilot.press("escape")
        await pilot.pause()
        assert len(screen_text(app)) == 24
