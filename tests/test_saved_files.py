"""Saved runs that somebody else made: bombs, damaged columns and lies about lengths are one sentence."""

import io
import zipfile

import numpy as np
import pytest
from handmade import pipeline

from simcore.columns import MAX_RATIO
from simcore.errors import FileError
from simcore.timeline import Timeline


@pytest.fixture
def saved(tmp_path):
    """`saved(member, data)`: a good saved run with one member replaced; its path."""
    good = tmp_path / "good.simcore"
    pipeline(4).save(good)

    def write(member: str, data: bytes):
        path = tmp_path / "bad.simcore"
        with zipfile.ZipFile(good) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
            assert member in old.namelist()
            for name in old.namelist():
                new.writestr(name, data if name == member else old.read(name))
        return path

    return write


def npy(array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize("member", ["header.json", "dma.engine.npy"])
def test_a_bomb_is_refused_before_it_unpacks(saved, member):
    path = saved(member, b" " * (80 << 20))
    assert path.stat().st_size * MAX_RATIO < 80 << 20
    with pytest.raises(FileError, match=r"unpacks to 8\d,\d{3},\d{3} bytes"):
        Timeline.load(path)


def columns():
    good = npy(np.arange(4))
    yield good.replace(b"(4,)", b"(9000000000,)")[:len(good)]     # asks for 72 GB, and the header is cut
    yield good.replace(b"(4,), }         ", b"(9000000000,), }")  # the same, well-formed
    yield good + b"\0" * 800
    yield good[:-8]
    yield good.replace(b"(4,)", b"((((")
    yield npy(np.zeros((2, 2)))
    yield b""


@pytest.mark.parametrize("data", list(columns()))
def test_a_column_is_as_long_as_it_says(saved, data):
    with pytest.raises(FileError, match="damaged"):
        Timeline.load(saved("dma.engine.npy", data))
