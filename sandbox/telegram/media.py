"""Reads images and videos: sizes, previews, thumbnails. Runs in a thread because decoding takes time."""

from __future__ import annotations

import io
from dataclasses import dataclass

import av
import av.error
from PIL import Image, ImageOps

from sandbox.telegram.errors import bad_request

PHOTO_LIMIT = 10 * 1024 * 1024
PREVIEW_SIDES = (90, 320, 800, 1280)
THUMBNAIL_SIDE = 320


@dataclass(frozen=True)
class Picture:
    """An encoded image and its size in pixels."""

    data: bytes
    width: int
    height: int


@dataclass(frozen=True)
class Clip:
    """The properties of a video file; `duration` is in whole seconds."""

    width: int
    height: int
    duration: int
    has_sound: bool
    thumbnail: Picture | None


def photo_sizes(data: bytes) -> list[Picture]:
    """The JPEG previews of an uploaded photo, smallest first, the largest at most 1280 px a side.

    Raises ApiError 400 for what Telegram does not accept as a photo (docs/reference/telegram.md, sections 2 and 5).
    """
    if len(data) > PHOTO_LIMIT:
        raise bad_request(
            f"file of size {len(data)} bytes is too big for a photo; the maximum size is {PHOTO_LIMIT} bytes"
        )
    try:
        with Image.open(io.BytesIO(data)) as opened:
            width, height = opened.size
            if width + height > 10_000 or max(width, height) > 20 * min(width, height):
                raise bad_request("PHOTO_INVALID_DIMENSIONS")
            opened.draft("RGB", (2 * PREVIEW_SIDES[-1], 2 * PREVIEW_SIDES[-1]))
            picture = _flat(ImageOps.exif_transpose(opened))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, MemoryError):
        raise bad_request("IMAGE_PROCESS_FAILED") from None
    longest = max(width, height)
    sides = [side for side in PREVIEW_SIDES if side < longest] + [min(longest, PREVIEW_SIDES[-1])]
    return [_shrunk(picture, side) for side in sorted(set(sides))]


def thumbnail_of(data: bytes) -> Picture | None:
    """A small JPEG of an image file, None if it is not an image."""
    try:
        with Image.open(io.BytesIO(data)) as opened:
            if opened.width + opened.height > 20_000:
                return None
            opened.draft("RGB", (2 * THUMBNAIL_SIDE, 2 * THUMBNAIL_SIDE))
            return _shrunk(_flat(ImageOps.exif_transpose(opened)), THUMBNAIL_SIDE)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, MemoryError):
        return None


def probe_clip(data: bytes) -> Clip | None:
    """What PyAV finds in a video file, with the first frame as thumbnail; None if it is not a video."""
    try:
        with av.open(io.BytesIO(data), "r") as container:
            if not container.streams.video:
                return None
            stream = container.streams.video[0]
            seconds = float(container.duration or 0) / av.time_base
            first = next(container.decode(stream), None)
            if first is None:
                return None
            still: Image.Image = first.to_image()  # type: ignore[no-untyped-call]
            thumbnail = _shrunk(still.convert("RGB"), THUMBNAIL_SIDE)
            return Clip(first.width, first.height, round(seconds), bool(container.streams.audio), thumbnail)
    except (av.error.FFmpegError, ValueError, OSError, IndexError, MemoryError):
        return None


def _flat(picture: Image.Image) -> Image.Image:
    """Without alpha and metadata, on white, as the server re-encodes it."""
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGB", picture.size, "white")
        white.paste(picture, mask=picture.getchannel("A"))
        return white
    return picture.convert("RGB")


def _shrunk(picture: Image.Image, side: int) -> Picture:
    small = picture.copy()
    small.thumbnail((side, side))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=87)
    return Picture(out.getvalue(), small.width, small.height)
