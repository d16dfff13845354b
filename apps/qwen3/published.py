"""The figures of the public demonstration: what a trn2 was measured to do.

Qwen3-Embedding-0.6B cut to 4 layers, 16,384 tokens, batch 1, one NeuronCore: with the library's eager attention and
with its attention replaced by an NKI flash kernel.  Used to check predictions, never to fit anything.
"""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = "public Qwen3-Embedding-0.6B demonstration on trn2: 4 layers, 16,384 tokens, batch 1, one NeuronCore"


@dataclass(frozen=True, kw_only=True)
class Published:
    """device_ps: one execution on the device; prompts_per_second: end to end, as the caller sees it."""

    device_ps: int
    prompts_per_second: float
    about: bool = False  # the device time is given in words ("almost a quarter of a second")

    @property
    def end_to_end_ps(self) -> int:
        return round(1e12 / self.prompts_per_second)

    @property
    def host_ps(self) -> int:
        """What passes outside the device."""
        return self.end_to_end_ps - self.device_ps


EAGER = Published(device_ps=2_812 * 10**9, prompts_per_second=0.35)
FLASH = Published(device_ps=250 * 10**9, prompts_per_second=2.99, about=True)


def find(
    *, size: str, layers: int, length: int, batch: int, target: str, attention: str, decode: bool
) -> Published | None:
    """The measurement of this configuration, where there is one."""
    if (size, layers, length, batch, target, decode) != ("0.6B", 4, 16_384, 1, "trn2", False):
        return None
    return {"eager": EAGER, "flash": FLASH}.get(attention)
