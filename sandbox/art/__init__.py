"""Images for the simulated models: a landscape drawn from the words of a prompt, or the given photos transformed."""

from __future__ import annotations

import io

from PIL import Image

from sandbox.art.canvas import drawn_size, seed_of
from sandbox.art.compose import Scene, layout
from sandbox.art.edit import edit, opened
from sandbox.art.text import caption

__all__ = ["Scene", "caption", "draw", "edit", "encode", "layout", "opened", "seed_of"]


def draw(prompt: str, size: tuple[int, int], *, variant: int = 0) -> Image.Image:
    """An RGB image of exactly `size` pixels for `prompt`, its words at the bottom; CPU-bound, use a thread."""
    drawn = drawn_size(size)
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
