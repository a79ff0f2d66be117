"""Pictures for the simulated models: a landscape drawn from the words of a prompt, or the given photos transformed."""

from __future__ import annotations

import hashlib
import io
import random

from PIL import Image

from sandbox.art.compose import Scene, layout
from sandbox.art.edit import edit, opened
from sandbox.art.text import caption

__all__ = ["Scene", "caption", "draw", "edit", "encode", "layout", "opened", "seed_of"]

# Above this many pixels a picture is drawn smaller and enlarged: the time to draw stays level up to 4K.
DRAWN_PIXELS = 1_100_000


def seed_of(prompt: str) -> random.Random:
    """The same prompt always draws the same picture."""
    return random.Random(hashlib.sha256(prompt.encode("utf-8", "replace")).digest())


def draw(prompt: str, size: tuple[int, int], *, variant: int = 0) -> Image.Image:
    """An RGB picture of exactly `size` pixels for `prompt`, its words at the foot; CPU-bound, use a thread."""
    shrink = max(1.0, (size[0] * size[1] / DRAWN_PIXELS) ** 0.5)
    drawn = (max(8, round(size[0] / shrink)), max(8, round(size[1] / shrink)))
    picture = Scene(prompt, seed_of(f"{prompt}#{variant}" if variant else prompt)).still(drawn)
    caption(picture, prompt)
    return picture if drawn == size else picture.resize(size, Image.Resampling.BICUBIC)


def encode(picture: Image.Image, mime: str) -> bytes:
    """The file bytes of `picture` as `image/jpeg` or `image/png`."""
    target = io.BytesIO()
    if mime == "image/png":
        picture.save(target, "PNG", compress_level=1)
    else:
        picture.save(target, "JPEG", quality=90)
    return target.getvalue()
