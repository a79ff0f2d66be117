"""Images and videos as bytes: check what they are, measure them, and prepare them for sending.

Everything here is synchronous and pure; callers use a thread. Bytes come from strangers, so sizes are read before
anything is decoded, and every error of the decoders becomes `BadMedia`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import av
from PIL import Image, ImageCms, ImageOps

from services.base_provider import Photo

RESULT_BYTES = 48_000_000
RESULT_PIXELS = 40_000_000
PHOTO_ASPECT = 50.0  # a photo is refused if one side is more than this many times the other
PREVIEW_SIDE = 2560
# What Telegram takes as a photo and as a thumbnail: docs/reference/telegram.md, section 2.
PREVIEW_BYTES = 10_000_000
PREVIEW_ASPECT = 20
THUMBNAIL_SIDE = 320
THUMBNAIL_BYTES = 200_000
MAX_VIDEO_PIXELS = 8192 * 4320
MAX_VIDEO_MS = 10 * 60 * 1000

_MIMES = {"JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif"}
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
_SMOOTH = ("RGB", "RGBA", "L", "LA", "CMYK", "YCbCr")  # modes whose pixels can be averaged
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


class MediaFault(StrEnum):
    """Why bytes are refused; each has a text for the user."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"  # bytes
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_SMALL = "too_small"
    TOO_NARROW = "too_narrow"  # one side is many times the other
    NOT_AN_IMAGE = "not_an_image"
    HEIC_UNSUPPORTED = "heic_unsupported"
    NOT_A_VIDEO = "not_a_video"
    TOO_LONG = "too_long"
    BROKEN = "broken"  # begins well and is cut off or damaged


class BadMedia(Exception):
    """These bytes cannot be used; `code` says why."""

    def __init__(self, code: MediaFault) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class ImageInfo:
    """An image: its real media type and its sides in pixels as stored."""

    mime: str
    width: int
    height: int


@dataclass(frozen=True)
class VideoInfo:
    """A video: sides in pixels, length in milliseconds, and whether it has sound."""

    width: int
    height: int
    duration_ms: int
    has_audio: bool


def inspect_image(data: bytes, *, max_bytes: int = RESULT_BYTES, max_pixels: int = RESULT_PIXELS) -> ImageInfo:
    """Decode the whole image once. Raises `BadMedia`."""
    with _opened(data, max_bytes, max_pixels) as image:
        image.load()
        return ImageInfo(_MIMES[str(image.format)], image.width, image.height)


def prepare_photo(
    data: bytes,
    *,
    max_side: int,
    max_bytes: int,
    max_input_bytes: int = 20_000_000,
    max_pixels: int = 60_000_000,
) -> Photo:
    """A user's photo upright, in sRGB, without metadata (place, camera), within `max_side` pixels and `max_bytes`.

    A transparent photo becomes a PNG if that fits, else it gets a white background. Raises `BadMedia`.
    """
    with _opened(data, max_input_bytes, max_pixels) as image:
        check_sides(image.width, image.height, min_side=1, max_aspect=PHOTO_ASPECT)
        upright = _upright(image, max_side)
    if upright.mode == "RGBA":
        png = _encoded(upright, "PNG", optimize=False)
        if len(png) <= max_bytes:
            return Photo(png, "image/png")
    return Photo(_jpeg(_on_white(upright), max_bytes), "image/jpeg")


def check_sides(width: int, height: int, *, min_side: int, max_aspect: float) -> None:
    """Check that a provider takes a photo with these sides. Raises `BadMedia`: too small, or too narrow."""
    if min(width, height) < min_side:
        raise BadMedia(MediaFault.TOO_SMALL)
    if max(width, height) > max_aspect * min(width, height):
        raise BadMedia(MediaFault.TOO_NARROW)


def fit_photos(photos: Sequence[Photo], *, total_bytes: int, max_side: int) -> tuple[Photo, ...]:
    """The same photos in the same order, small enough for one request of `total_bytes` (before base64).

    A photo within its equal share stays unchanged, the others are encoded again. Raises `BadMedia`.
    """
    if sum(len(photo.data) for photo in photos) <= total_bytes:
        return tuple(photos)
    share = total_bytes // len(photos)
    return tuple(
        photo if len(photo.data) <= share else prepare_photo(photo.data, max_side=max_side, max_bytes=share)
        for photo in photos
    )


def image_preview(data: bytes) -> bytes:
    """A JPEG that Telegram takes as a photo: up to 10 MB, both sides together up to 10 000, and up to 20 : 1.

    The limits: docs/reference/telegram.md, section 2.
    """
    with _opened(data, RESULT_BYTES, RESULT_PIXELS) as image:
        preview = _on_white(_upright(image, PREVIEW_SIDE))
    short = -(-max(preview.size) // PREVIEW_ASPECT)
    if min(preview.size) < short:
        width, height = max(preview.width, short), max(preview.height, short)
        padded = Image.new("RGB", (width, height), "white")
        padded.paste(preview, ((width - preview.width) // 2, (height - preview.height) // 2))
        preview = padded
    return _jpeg(preview, PREVIEW_BYTES)


def inspect_video(data: bytes) -> VideoInfo:
    """Read the mp4's structure and decode its first frame. Raises `BadMedia`."""
    with _opened_video(data) as container:
        frame = _first_frame(container)
        duration_ms = (container.duration or 0) // 1000
        if duration_ms <= 0:
            raise BadMedia(MediaFault.BROKEN)
        if duration_ms > MAX_VIDEO_MS:
            raise BadMedia(MediaFault.TOO_LONG)
        return VideoInfo(frame.width, frame.height, duration_ms, bool(container.streams.audio))


def video_thumbnail(data: bytes) -> bytes:
    """The first frame as a JPEG of at most 320 pixels a side and 200 kB. Raises `BadMedia`."""
    with _opened_video(data) as container:
        image = _first_frame(container).to_image()
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    return _jpeg(image, THUMBNAIL_BYTES)


@contextmanager
def _opened(data: bytes, max_bytes: int, max_pixels: int) -> Iterator[Image.Image]:
    """The image, recognised and measured but not decoded; every error inside is raised as `BadMedia`."""
    if not data:
        raise BadMedia(MediaFault.EMPTY)
    if len(data) > max_bytes:
        raise BadMedia(MediaFault.TOO_LARGE)
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS:
        raise BadMedia(MediaFault.HEIC_UNSUPPORTED)
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadMedia(MediaFault.TOO_MANY_PIXELS) from None
    except Exception:  # the decoders of the formats raise errors of many classes
        raise BadMedia(MediaFault.NOT_AN_IMAGE) from None
    with image:
        if image.width * image.height > max_pixels:
            raise BadMedia(MediaFault.TOO_MANY_PIXELS)
        if image.width < 1 or image.height < 1:
            raise BadMedia(MediaFault.NOT_AN_IMAGE)
        try:
            yield image
        except BadMedia:
            raise
        except Exception:
            raise BadMedia(MediaFault.BROKEN) from None


def _upright(image: Image.Image, max_side: int) -> Image.Image:
    """The image decoded, shrunk, turned as its EXIF says, in sRGB, as RGB or RGBA, without anything else."""
    if image.format in ("JPEG", "MPO"):
        image.draft("RGB", (max_side, max_side))  # the decoder shrinks while it reads, which needs less memory
    image.load()
    profile = image.info.get("icc_profile")
    if image.mode in _SMOOTH:  # all later steps use the small copy
        image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    turned = _turned(image)
    has_alpha = turned.mode in ("RGBA", "LA", "PA") or "transparency" in turned.info
    plain = _in_srgb(turned, profile, "RGBA" if has_alpha else "RGB")
    plain.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    bare = Image.new(plain.mode, plain.size)
    bare.paste(plain)
    return bare


def _turned(image: Image.Image) -> Image.Image:
    """Turned upright by its EXIF. An image with broken EXIF is taken as it is."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # EXIF comes from strangers, and its parsers raise errors of many classes
        return image


def _in_srgb(image: Image.Image, profile: Any, mode: str) -> Image.Image:
    """The colours converted from the image's profile to sRGB. A profile that can't be used is ignored."""
    if isinstance(profile, bytes) and image.mode in ("RGB", "RGBA", "CMYK"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            output = "RGBA" if image.mode == "RGBA" else "RGB"
            converted = ImageCms.profileToProfile(image, source, target, outputMode=output)
            if converted is not None:
                image = converted
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
    if image.mode.startswith("I;16"):
        image = image.point(lambda value: value / 256).convert("L")
    return image.convert(mode)


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    flat = Image.new("RGB", image.size, "white")
    flat.paste(image, mask=image.getchannel("A"))
    return flat


def _jpeg(image: Image.Image, max_bytes: int) -> bytes:
    """The best JPEG within `max_bytes`: first with less quality, then with fewer pixels."""
    while True:
        for quality in (92, 85, 75, 60):
            encoded = _encoded(image, "JPEG", quality=quality)
            if len(encoded) <= max_bytes:
                return encoded
        if max(image.size) <= 16:
            raise BadMedia(MediaFault.TOO_LARGE)
        image = image.resize((max(1, image.width * 3 // 4), max(1, image.height * 3 // 4)))


def _encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@contextmanager
def _opened_video(data: bytes) -> Iterator[Any]:
    """The mp4, opened with the mp4 demuxer only, so that it can't make the library read other files or addresses."""
    if not data:
        raise BadMedia(MediaFault.EMPTY)
    if data[4:8] != b"ftyp" or data[8:12] in _HEIC_BRANDS:
        raise BadMedia(MediaFault.NOT_A_VIDEO)
    if not _boxes_are_whole(data):
        raise BadMedia(MediaFault.BROKEN)
    try:
        with av.open(io.BytesIO(data), format="mp4", metadata_errors="ignore") as container:
            if not container.streams.video:
                raise BadMedia(MediaFault.NOT_A_VIDEO)
            stream = container.streams.video[0]
            if stream.width * stream.height > MAX_VIDEO_PIXELS:
                raise BadMedia(MediaFault.TOO_MANY_PIXELS)
            stream.codec_context.thread_count = 1
            yield container
    except BadMedia:
        raise
    except Exception:
        raise BadMedia(MediaFault.BROKEN) from None


def _first_frame(container: Any) -> Any:
    """The first frame that can be decoded, within a limited number of packets."""
    for number, packet in enumerate(container.demux(container.streams.video[0])):
        for frame in packet.decode():
            return frame
        if number >= 64:
            break
    raise BadMedia(MediaFault.BROKEN)


def _boxes_are_whole(data: bytes) -> bool:
    """Whether the top-level boxes fill the file to its end. In a cut off download they do not."""
    position = 0
    for _ in range(10_000):
        if position == len(data):
            return True
        size = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        if len(kind) < 4:
            return False
        if size == 1:
            size = int.from_bytes(data[position + 8 : position + 16], "big")
        elif size == 0:
            return True  # "until the end of the file"
        if size < 8:
            return False
        position += size
        if position > len(data):
            return False
    return False
