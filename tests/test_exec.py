"""simcore exec: other programs find simcore under the vendor's names."""

from __future__ import annotations

import subprocess
import sys

from scripts import DOUBLE

KERNEL = f"""import neuronxcc.nki as old
{DOUBLE}
def test_double():
    x = np.ones((4, 8), np.float32)
    assert (nki.simulate(double)(x) == 2).all()
    assert nisa.get_nc_version() == nisa.nc_version.gen2
"""


def run(*command: str, cwd=None):
    return subprocess.run([sys.executable, "-m", "simcore.apps", *command], capture_output=True, text=True, cwd=cwd)


def test_a_test_suite_of_its_own_runs(tmp_path):
    (tmp_path / "test_theirs.py").write_text(KERNEL)
    done = run("exec", "--target", "trn1", "--", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
               "test_theirs.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_the_exit_code_is_the_commands(tmp_path):
    assert run("exec", "--", sys.executable, "-c", "raise SystemExit(5)").returncode == 5


def test_names_are_not_imported_unless_asked_for():
    done = run("exec", "--", sys.executable, "-c", "import sys; assert 'numpy' not in sys.modules and "
                                                   "'nki' not in sys.modules")
    assert done.returncode == 0, done.stderr


def test_nothing_to_run_and_an_unknown_command_are_sentences():
    for given in (("exec",), ("exec", "--", "no-such-command-here")):
        done = run(*given)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert done.stderr.strip()
