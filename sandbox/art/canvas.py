"""What every image starts from: the random numbers of its prompt and the size at which it is drawn."""

from __future__ import annotations

import hashlib
import random

# Above this many pixels an image is drawn smaller and enlarged: the time to draw stays the same up to 4K.
DRAWN_PIXELS = 1_100_000


def seed_of(prompt: str) -> random.Random:
    """The same prompt always draws the same image."""
    return random.Random(hashlib.sha256(prompt.encode("utf-8", "replace")).digest())


def drawn_size(size: tuple[int, int]) -> tuple[int, int]:
    """The size to draw at for an image of `size`."""
    shrink = max(1.0, (size[0] * size[1] / DRAWN_PIXELS) ** 0.5)
    return max(8, round(size[0] / shrink)), max(8, round(size[1] / shrink))
