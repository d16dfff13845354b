"""Bad input: a sentence or a few on standard error, the exit code, the kernel's line where there is one, no traceback.

(That no traceback is printed is asserted by the `simcore_command` fixture.)
"""

from __future__ import annotations

import textwrap
import zipfile
from pathlib import Path

import pytest

HEAD = """\
import numpy as np
import nki
import nki.isa as nisa
import nki.language as nl
"""

COPY = (
    HEAD
    + """
@nki.jit
def copy(a):
    rows, columns = a.shape
    assert rows % 128 == 0, f"{rows} rows are not a multiple of 128"
    out = nl.ndarray(a.shape, dtype=a.dtype, buffer=nl.shared_hbm)
    for i in range(rows // 128):
        tile = nl.ndarray((128, columns), dtype=a.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=a[i * 128:(i + 1) * 128, :])
        nisa.dma_copy(dst=out[i * 128:(i + 1) * 128, :], src=tile)
    return out
"""
)


@pytest.fixture
def script(tmp_path):
    """`script(text)` writes a kernel file and returns its path."""

    def write(text: str, name: str = "kernel.py") -> Path:
        path = tmp_path / name
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write


def line_of(path: Path, text: str) -> str:
    """ "kernel.py:12", the line that contains a text."""
    number = next(i for i, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if text in line)
    return f"{path.name}:{number}"


def fails(result, code: int, *words: str) -> None:
    """The command failed as it should: code, few lines, nothing on standard output, these words in the message."""
    assert result.code == code, result.err
    assert result.out == ""
    assert len(result.err.splitlines()) <= 12, result.err
    for word in words:
        assert word in result.err, result.err


# ------------------------------------------------------------------------------------------ which file, which kernel


def test_missing_file(simcore_command):
    fails(simcore_command("run", "nowhere.py"), 3, "nowhere.py does not exist")


def test_no_kernel_in_the_file(simcore_command, script):
    fails(simcore_command("run", script("print('hello')\n")), 2, "launches no kernel and defines none")
    fails(simcore_command("run", script("x = 1\n"), "--arg", "a=float32[128,8]"), 2, "defines no kernel", "nki.jit")


def test_a_file_that_only_defines_kernels_says_how_to_run_one(simcore_command, script):
    fails(simcore_command("run", script(COPY)), 2, "launches no kernel", "copy", "--kernel copy --arg")


def test_several_kernels_without_choice(simcore_command, script):
    two = COPY + COPY[len(HEAD) :].replace("def copy", "def copy_again")
    fails(
        simcore_command("run", script(two), "--arg", "a=float32[128,8]"), 2, "2 kernels", "copy, copy_again", "--kernel"
    )


def test_unknown_kernel_name(simcore_command, script):
    fails(
        simcore_command("run", script(COPY), "--kernel", "cpoy", "--arg", "a=float32[128,8]"),
        2,
        "'cpoy'",
        "Did you mean 'copy'?",
    )


def test_no_such_launch(simcore_command, root):
    fails(simcore_command("run", root / "kernels/tensor_add.py", "--launch", "7"), 2, "--launch 7", "1 kernel")


def test_syntax_error_in_the_file(simcore_command, script):
    fails(simcore_command("run", script("def broken(:\n    pass\n")), 1, "kernel.py:1", "invalid syntax")


def test_missing_module(simcore_command, script):
    path = script(HEAD + "import surely_not_installed\n")
    fails(simcore_command("run", path), 1, line_of(path, "surely_not"), "surely_not_installed")


# ------------------------------------------------------------------------------------------ arguments


@pytest.mark.parametrize(
    "argument, words",
    [
        ("a", ["is not an argument", "NAME=DTYPE[SHAPE]"]),
        ("a=float33[128,8]", ["float33", "Did you mean"]),
        ("a=float32[128,eight]", ["float32[128,eight]"]),
        ("a=float32[128,0]", ["at least 1"]),
        ("a=float32[128,8]:many", ["many"]),
        ("a=missing.npy", ["missing.npy"]),
        ("b=float32[128,8]", ["no argument 'b'", "It takes a"]),
    ],
)
def test_wrong_arg(simcore_command, script, argument, words):
    result = simcore_command("run", script(COPY), "--kernel", "copy", "--arg", argument)
    fails(result, 3 if ".npy" in argument else 2, *words)


def test_arg_given_twice_or_missing(simcore_command, script):
    path = script(COPY)
    fails(
        simcore_command("run", path, "-k", "copy", "-a", "a=float32[128,8]", "-a", "a=float32[128,8]"), 2, "given twice"
    )
    fails(simcore_command("run", path, "-k", "copy"), 2, "needs a", "--arg")


def test_a_kernel_and_script_arguments_exclude_each_other(simcore_command, script):
    fails(simcore_command("run", script(COPY), "-k", "copy", "-a", "a=float32[128,8]", "--", "8"), 2, "not both")


def test_hostile_arg_is_text(simcore_command, script, tmp_path):
    """Values are literals: nothing of an argument runs."""
    result = simcore_command("run", script(COPY), "-k", "copy", "-a", "a=__import__('os').mkdir('owned')")
    fails(result, 2, "is not an argument")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--target", "trn9"], ["trn9", "trn1", "trn2"]),
        (["--target", "missing.toml"], ["missing.toml"]),
        (["--launch", "0"], ["--launch"]),
        (["--nonsense"], ["--nonsense"]),
    ],
)
def test_wrong_options(simcore_command, root, arguments, words):
    result = simcore_command("run", root / "kernels/tensor_add.py", *arguments)
    assert result.code in (2, 3) and not result.out
    for word in words:
        assert word in result.err, result.err


def test_output_is_checked_before_the_work(simcore_command, root, tmp_path):
    kernel = root / "kernels/tensor_add.py"
    fails(simcore_command("gantt", kernel, "-o", "no/such/folder/a.svg"), 3, "no folder")
    fails(simcore_command("gantt", kernel, "-o", "a.docx"), 2, ".svg", ".docx")
    (tmp_path / "run.simcore").mkdir()
    fails(simcore_command("run", kernel, "-o", "run.simcore"), 3, "is a folder")
    fails(simcore_command("run", kernel, "-o", "run.html"), 2, ".simcore")
    assert [p.name for p in tmp_path.iterdir()] == ["run.simcore"]


# ------------------------------------------------------------------------------------------ what the kernel does wrong


def test_the_kernels_own_assert(simcore_command, script):
    path = script(COPY)
    result = simcore_command("run", path, "-k", "copy", "-a", "a=float32[100,8]")
    fails(result, 1, line_of(path, "assert rows"), "100 rows are not a multiple of 128")


def test_the_scripts_own_exception(simcore_command, script):
    path = script(
        COPY
        + """
out = copy(np.ones((128, 8), np.float32))
raise ValueError("the result is wrong")
"""
    )
    fails(simcore_command("run", path), 1, line_of(path, "raise"), "ValueError: the result is wrong")


def test_the_scripts_own_exit_code(simcore_command, script):
    fails(
        simcore_command("run", script(COPY + "copy(np.ones((128, 8), np.float32))\nraise SystemExit(3)\n")),
        1,
        "exit code 3",
    )


def test_a_script_that_ends_before_a_launch(simcore_command, script):
    path = script(COPY + "raise SystemExit\n")
    fails(simcore_command("run", path), 2, "ended before it launched a kernel")


def test_arguments_of_a_script_without_dashes(simcore_command, script):
    result = simcore_command("run", script(COPY), "--rows", "128")
    assert result.code == 2 and "--rows" in result.err and "come after --" in result.err


def test_unknown_instruction(simcore_command, script):
    path = script(COPY.replace("nisa.dma_copy(dst=tile", "nisa.dma_coyp(dst=tile"))
    fails(
        simcore_command("run", path, "-k", "copy", "-a", "a=float32[128,8]"),
        1,
        line_of(path, "dma_coyp"),
        "dma_coyp",
        "Did you mean 'dma_copy'?",
    )


def test_sbuf_overflow_names_what_occupies_it(simcore_command, script):
    path = script(
        HEAD
        + """
@nki.jit
def hoard(a):
    out = nl.ndarray(a.shape, dtype=a.dtype, buffer=nl.shared_hbm)
    tiles = []
    for i in range(64):
        tile = nl.ndarray((128, 4096), dtype=nl.float32, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=a)
        tiles.append(tile)
    for tile in tiles:
        nisa.dma_copy(dst=out, src=tile)
    return out
"""
    )
    result = simcore_command("run", path, "-k", "hoard", "-a", "a=float32[128,4096]")
    fails(result, 1, "SBUF", line_of(path, "nl.sbuf"))
    asked = simcore_command("run", path, "-k", "hoard", "-a", "a=float32[128,4096]", "--spill")
    assert asked.code == 0, asked.err


def test_stationary_tile_of_129_rows(simcore_command, script):
    path = script(
        HEAD
        + """
@nki.jit
def product(a, b):
    out = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.shared_hbm)
    stationary = nl.ndarray((129, 128), dtype=a.dtype, buffer=nl.sbuf)
    return out
"""
    )
    fails(
        simcore_command("run", path, "-k", "product", "-a", "a=bfloat16[128,128]", "-a", "b=bfloat16[128,512]"),
        1,
        line_of(path, "stationary ="),
        "128",
        "129",
    )


def test_stationary_tile_of_129_columns(simcore_command, script):
    path = script(
        HEAD
        + """
@nki.jit
def product(a, b):
    out = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.shared_hbm)
    stationary = nl.ndarray((128, 129), dtype=a.dtype, buffer=nl.sbuf)
    moving = nl.ndarray((128, 512), dtype=b.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=stationary, src=a)
    nisa.dma_copy(dst=moving, src=b)
    result = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=result, stationary=stationary, moving=moving)
    return out
"""
    )
    fails(
        simcore_command("run", path, "-k", "product", "-a", "a=bfloat16[128,129]", "-a", "b=bfloat16[128,512]"),
        1,
        line_of(path, "nc_matmul"),
        "128",
        "129",
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nisa.tensor_tensor(dst=t, data1=t, data2=t, opp=nl.add)", "has no argument 'opp'. Did you mean 'op'?"),
        ("nisa.tensor_tensor(dst=t, data1=t, data2=t)", "needs op; its arguments are dst, data1, data2, op"),
        ("nisa.nc_matmul(dst=t, moving=t)", "nisa.nc_matmul needs stationary"),
        ("u = t + t", "a tile has no + in Python"),
        ("t += 1", "nisa.tensor_tensor(dst="),
        ("u = nl.ndarray((128, 8), dtype='floot32', buffer=nl.sbuf)", "'floot32'. Did you mean 'float32'?"),
    ],
)
def test_what_beginners_write(simcore_command, script, line, words):
    path = script(
        HEAD
        + f"""
@nki.jit
def wrong(a):
    t = nl.ndarray((128, 8), dtype=a.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=t, src=a)
    {line}
"""
    )
    fails(simcore_command("run", path, "-a", "a=float32[128,8]"), 1, line_of(path, line), words)


def test_what_is_not_python(simcore_command, tmp_path):
    binary, folder = tmp_path / "binary.py", tmp_path / "folder.py"
    binary.write_bytes(bytes(range(256)))
    folder.mkdir()
    fails(simcore_command("run", binary), 1, "binary.py is not a Python file")
    fails(simcore_command("run", folder), 3, "folder.py is a folder")


def test_control_flow_on_values_in_a_timing_run(simcore_command, script):
    path = script(
        HEAD
        + """
@nki.jit
def branches(a):
    tile = nl.ndarray((128, 8), dtype=a.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=a)
    if tile[0, 0] > 0:
        nisa.dma_copy(dst=a, src=tile)
    return a
"""
    )
    result = simcore_command("run", path, "-k", "branches", "-a", "a=float32[128,8]", "--no-values")
    fails(result, 1, line_of(path, "if tile"))


# ------------------------------------------------------------------------------------------ files


def test_truncated_run(simcore_command, root, tmp_path):
    assert simcore_command("run", root / "kernels/tensor_add.py", "-o", "run.simcore").code == 0
    whole = (tmp_path / "run.simcore").read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 10):
        (tmp_path / "cut.simcore").write_bytes(whole[:length])
        fails(simcore_command("run", "cut.simcore"), 3, "cut.simcore", "damaged")


def test_a_zip_that_is_no_run(simcore_command, tmp_path):
    with zipfile.ZipFile(tmp_path / "other.simcore", "w") as z:
        z.writestr("hello.txt", "hello")
    fails(simcore_command("run", "other.simcore"), 3, "other.simcore")


def test_a_file_of_no_known_kind(simcore_command, tmp_path):
    (tmp_path / "notes.txt").write_text("buy milk\n", encoding="utf-8")
    fails(simcore_command("run", "notes.txt"), 3, "notes.txt is not a profile")
    fails(simcore_command("run", "notes.txt", "--kernel", "k"), 2, "--kernel")


def test_the_tui_needs_a_terminal(simcore_command, root):
    fails(simcore_command("tui", root / "kernels/tensor_add.py"), 2, "terminal")


SUMMARY = '{"n_0123456789": {"total_time": 3.6e-05, "tensor_engine_active_time": 1.5e-05}}'


@pytest.mark.parametrize("command", ["gantt", "roofline", "report", "perfetto", "explain", "occupancy"])
def test_a_summary_has_nothing_to_draw(simcore_command, tmp_path, command):
    (tmp_path / "s.json").write_text(SUMMARY)
    result = simcore_command(command, str(tmp_path / "s.json"))
    assert result.code == 2 and "holds totals, but no instructions" in result.err


def test_a_kernel_without_instructions_has_no_gantt(simcore_command, tmp_path):
    (tmp_path / "k.py").write_text("import nki\n\n\n@nki.jit\ndef same(x):\n    return x\n")
    result = simcore_command("gantt", str(tmp_path / "k.py"), "--kernel", "same", "--arg", "x=float32[128,64]",
                 "-o", str(tmp_path / "k.svg"))
    assert result.code == 2 and "nothing to draw" in result.err


def test_reading_what_nothing_wrote_is_said_and_the_run_goes_on(simcore_command, script):
    path = script(COPY.replace("        nisa.dma_copy(dst=tile, src=a[i * 128:(i + 1) * 128, :])\n", ""))
    result = simcore_command("run", path, "-k", "copy", "-a", "a=float32[1024,8]")
    assert result.code == 0 and "simulated on trn2" in result.out and "3 more of this kind" in result.err
    result = simcore_command("run", path, "-k", "copy", "-a", "a=float32[128,8]")
    [warning] = [line for line in result.err.splitlines() if "warning" in line]
    assert line_of(path, "src=tile") in warning and "1024 of 1024 elements" in warning, warning
    assert line_of(path, "tile = nl.ndarray") in warning, warning
