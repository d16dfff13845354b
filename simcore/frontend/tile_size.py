"""`nl.tile_size`: limits of tiles, by target.

These are the language's figures, which kernels choose their tiles by.  They are the chip's (machine/*.toml) except
where the vendor's documents of `nl` give another.
"""

from __future__ import annotations

from collections.abc import Callable

from simcore.machine import load_machine

_DOCUMENTED_BYTES = {"trn2": 192 * 1024}      # the page of nl.sbuf; the chip has 224 KiB per partition
_COMPILER_BYTES = 16 * 1024      # the compiler keeps 16 KiB per partition (direct allocation guide, SDK 2.26)


class TileSize:
    """Sizes are elements unless the name says bytes."""

    pmax = 128
    psum_fmax = psum_bank_fmax = 512
    psum_bank_fmax_bytes = psum_fmax_bytes = 2048
    psum_num_banks = 8
    psum_min_align = sbuf_min_align = 4
    gemm_stationary_fmax = 128
    gemm_moving_fmax = 512
    bn_stats_fmax = 512

    def __init__(self, session: Callable):
        self._session = session

    @property
    def sbuf_fmax_bytes(self) -> int:
        target = self._session().target
        return _DOCUMENTED_BYTES.get(target) or load_machine(target).sbuf.bytes_per_partition

    sbuf_fmax = sbuf_fmax_bytes

    @property
    def sbuf_size_bytes(self) -> int:
        return self.pmax * self.sbuf_fmax_bytes

    @property
    def total_available_sbuf_size(self) -> int:
        """Usable bytes per partition, despite the name."""
        return self.sbuf_fmax_bytes - _COMPILER_BYTES
