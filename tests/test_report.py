"""The report: one page without a network, the same every time; in a browser it draws, zooms and answers a click."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from handmade import pipeline, random_rows

from simcore.errors import UsageError
from simcore.viz import report

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")


def _unpack(page: str) -> tuple[dict, bytes]:
    text = re.search(r'id="data">([^<]*)<', page)[1]
    data = gzip.decompress(base64.b64decode(text))
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8:8 + length]), data[8 + length:]


def _column(body: bytes, at: dict) -> np.ndarray:
    return np.frombuffer(body, at["type"], at["n"], at["at"])


def test_the_page_asks_nothing_of_a_network():
    page = report.render(pipeline(4))
    assert "default-src 'none'" in page
    assert not re.search(r"(?:src|href)=[\"'](?!#)", page.replace('id="data"', "")), "something is fetched"
    assert not re.search(r"\bfetch\(|XMLHttpRequest|WebSocket|import\(", page)
    assert "{{" not in re.sub(r'id="data">[^<]*<', "", page)


def test_every_instruction_is_in_it():
    t = pipeline(4)
    head, body = _unpack(report.render(t))
    lanes = {lane["name"]: lane for lane in head["lanes"]}
    assert list(lanes)[:4] == ["Tensor", "Vector", "Scalar", "Sync"] and "DMA 15" in lanes
    assert sum(lane["start"]["n"] for lane in head["lanes"] if lane["engine"] != "DMA") == len(t.instructions)
    rows = t.rows("Vector")
    start = np.cumsum(_column(body, lanes["Vector"]["start"]))
    np.testing.assert_array_equal(start * head["tick_ps"], t.instructions.start_ps[rows])
    np.testing.assert_array_equal(np.cumsum(_column(body, lanes["Vector"]["rows"])), rows)
    np.testing.assert_array_equal(_column(body, lanes["Vector"]["on"]), t.instructions.wait_on[rows])


def test_busy_dma_engines_count_each_engine_once():
    head, body = _unpack(report.render(random_rows(3000)))
    counter = next(c for c in head["counters"] if c["name"] == "busy DMA engines")
    assert 0 < _column(body, counter["high"]).max() <= 16


def test_a_long_run_keeps_its_times_to_a_tick():
    t = random_rows(100_000)
    head, body = _unpack(report.render(t))
    assert head["tick_ps"] == -(-t.end_ps // (2**31 - 1))
    lane = head["lanes"][0]
    start = np.cumsum(_column(body, lane["start"]).astype(np.int64)) * head["tick_ps"]
    assert np.abs(start - t.instructions.start_ps[t.rows("Tensor")]).max() < head["tick_ps"]


def test_same_bytes_twice(tmp_path):
    for name in ("a", "b"):
        report.write(pipeline(3), tmp_path / f"{name}.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert not list(tmp_path.glob("*.part"))


def test_names_cannot_break_the_page():
    page = report.render(pipeline(2, name="</script><script>alert(1)</script>"))
    assert "<script>alert" not in page and "&lt;/script&gt;" in page


def test_several_runs_are_refused(tmp_path):
    with pytest.raises(UsageError, match="shows one run, 2 were given"):
        report.write([pipeline(1), pipeline(2)], tmp_path / "x.html")


def _two():
    """A pipeline of three and of four steps, the second one with another name for its file's text."""
    return pipeline(3, name="before"), pipeline(4, name="after")


def test_a_comparison_has_both_runs_on_one_axis():
    import simcore

    a, b = _two()
    head, body = _unpack(report.render_comparison(simcore.compare(a, b)))
    names = [lane["name"] for lane in head["lanes"] if lane["engine"] != "DMA"]
    assert names == [f"{e} {s}" for e in ("Tensor", "Vector", "Scalar", "Sync") for s in "ab"]
    assert head["comparison"]["headline"][0].startswith("a: before") and len(head["comparison"]["tables"]) >= 3
    seen = []
    for lane in head["lanes"]:
        if lane["engine"] == "DMA":
            continue
        t = a if lane["name"].endswith("a") else b
        rows = t.rows(lane["engine"])
        start = np.cumsum(_column(body, lane["start"])) * head["tick_ps"]
        np.testing.assert_array_equal(start, t.instructions.start_ps[rows])
        place = np.cumsum(_column(body, lane["rows"]))
        seen.append(place)
        said = [head["opcodes"][o] for o in _column(body, lane["opcode"])]
        assert said == [t.opcode(r) for r in rows]
        sites = [head["sites"][s] for s in _column(body, lane["site"]) if s >= 0]
        assert all(file.startswith(lane["name"][-1] + ": ") and file in {s["file"] for s in head["sources"]}
                   for file, *_ in sites)
    assert sorted(np.concatenate(seen)) == list(range(len(a.instructions) + len(b.instructions)))


def test_rows_of_a_comparison_wait_for_rows_of_their_own_run():
    from simcore.viz.report.pair import beside

    a, b = _two()
    both, (in_a, in_b) = beside(a, b)
    for k, (t, place) in enumerate(((a, in_a), (b, in_b))):
        i = both.instructions
        assert (i.core[place] == k).all()
        waits = t.instructions.wait_on >= 0
        np.testing.assert_array_equal(i.wait_on[place][waits], place[t.instructions.wait_on[waits]])
        assert (i.wait_on[place][~waits] == -1).all()


# ---------------------------------------------------------------------------------------------- in a browser

PROBE = """
<script>
const probe = setInterval(() => {
  if (document.documentElement.dataset.ready === "failed") { clearInterval(probe); return; }
  if (!window.report) return;
  clearInterval(probe);
  const { view, data } = window.report, canvas = document.getElementById("canvas");
  const box = canvas.getBoundingClientRect();
  canvas.setPointerCapture = () => {};
  const press = (x, y) => {
    const at = { clientX: box.left + x, clientY: box.top + y, pointerId: 1, bubbles: true };
    for (const kind of ["pointerdown", "pointerup"]) canvas.dispatchEvent(new PointerEvent(kind, at));
  };
  const result = { lanes: view.places.length, findings: document.querySelectorAll(".finding").length };
  const place = view.places.find((p) => p.lane.name === "Vector"), i = Math.min(2, place.lane.start.length - 1);
  view.set(place.lane.start[i] - 2000, place.lane.start[i] + place.lane.length[i] + 2000); view.draw();
  result.zoomed = view.view;
  press(view.x(place.lane.start[i] + place.lane.length[i] / 2), place.y + 14);
  result.detail = document.getElementById("detail").textContent;
  const follow = document.getElementById("follow");
  if (follow) follow.click();
  result.followed = document.getElementById("detail").textContent;
  document.querySelectorAll(".file tr.hot")[0]?.click();
  result.marked = document.querySelectorAll(".file tr.on").length;
  view.set(...data.span); view.draw();
  result.drawMs = Number(canvas.dataset.drawMs);
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const seen = new Set();
  for (let k = 0; k < pixels.length; k += 4 * 97) seen.add(pixels.slice(k, k + 3).join());
  result.colors = seen.size;
  const out = document.createElement("pre");
  out.id = "result";
  out.textContent = JSON.stringify(result);
  document.body.append(out);
}, 50);
</script></body>"""


def _browse(page: str, tmp_path, lane: str = "Vector") -> dict:
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    file = tmp_path / "report.html"
    file.write_text(page.replace("</body>", PROBE.replace('"Vector"', f'"{lane}"')), encoding="utf-8")
    done = subprocess.run(
        [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000",
         "--virtual-time-budget=20000",
         f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", file.as_uri()],
        capture_output=True, text=True, timeout=120, check=False,
    )
    found = re.search(r'<pre id="result">(.*?)</pre>', done.stdout, re.S)
    status = re.search(r'id="status"[^>]*>(.*?)<', done.stdout)
    assert found, status and status[1]
    return json.loads(found[1].replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&"))


def test_the_page_draws_zooms_and_answers_a_click(tmp_path):
    seen = _browse(report.render(pipeline(4)), tmp_path)
    assert seen["lanes"] == 4 and seen["colors"] > 8
    assert "TENSOR_TENSOR on Vector: 150 ns from 2.30 µs" in seen["detail"]
    assert "pipeline.py:8" in seen["detail"] and "nisa.tensor_tensor(dst=o" in seen["detail"]
    assert "it waited for ACTIVATE on Scalar" in seen["detail"]
    assert seen["followed"].startswith("ACTIVATE on Scalar: 100 ns")
    assert seen["marked"] == 1


def test_a_measured_profile_in_the_browser(profiles, tmp_path):
    import simcore

    t = simcore.read_profile(profiles / "trn2-attn-fused_bf16_s512.profile_full.json.gz")
    seen = _browse(report.render(t), tmp_path)
    assert seen["lanes"] == 5 and "on Vector" in seen["detail"]


def test_a_comparison_in_the_browser(tmp_path):
    import simcore

    page = report.render_comparison(simcore.compare(*_two()))
    seen = _browse(page, tmp_path, lane="Vector b")
    assert seen["lanes"] == 8 and "TENSOR_TENSOR on Vector b: 150 ns from 2.30 µs" in seen["detail"]
    assert seen["followed"].startswith("ACTIVATE on Scalar b: 100 ns")


@pytest.mark.slow
def test_many_instructions_in_the_browser(tmp_path):
    seen = _browse(report.render(random_rows(300_000)), tmp_path)
    assert seen["lanes"] == 5 and seen["colors"] > 8
