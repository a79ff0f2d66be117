"""Prices and sums of money as people read and write them: pure functions, integer kopecks throughout."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal

from services.catalogue import Catalogue, ImageModel, VideoModel, shipped_catalogue

NO_BREAK_SPACE = "\u00a0"
MAX_SUM_TEXT = 40

_SUM = re.compile(
    r"(?:₽|rub)? ?(?P<whole>[0-9]{1,3}(?: [0-9]{3}){1,4}|[0-9]{1,12})(?:[.,](?P<part>[0-9]+))? ?"
    r"(?:₽|р|руб|рубл(?:ь|я|ей)|rub|rubles?|roubles?)?\.?"
)


class UnsupportedOption(ValueError):
    """The model is not sold with this option; normalise the options first."""


class BadSum(ValueError):
    """What the person typed cannot be topped up."""


class NotASum(BadSum):
    """It is no amount of money."""


class TooPrecise(BadSum):
    """It has more than two digits after the point."""


class OutOfLimits(BadSum):
    """It is below or above what may be paid in at once; the limits are in kopecks."""

    def __init__(self, minimum: int, maximum: int) -> None:
        super().__init__(minimum, maximum)
        self.minimum = minimum
        self.maximum = maximum


class SumTooSmall(OutOfLimits):
    """Below the minimum."""


class SumTooBig(OutOfLimits):
    """Above the maximum."""


@dataclass(frozen=True)
class ImageOptions:
    """Options that the model really has; `ratio` None follows the photo."""

    ratio: str | None
    size: str


@dataclass(frozen=True)
class VideoOptions:
    """Options that the model really has; `ratio` None follows the photo."""

    duration: int
    resolution: str
    ratio: str | None
    audio: bool


@dataclass(frozen=True)
class Quote:
    """A price in kopecks for exactly these options, and their cost at the provider."""

    kind: Literal["image", "video"]
    model: str
    price: int
    cost_micro_usd: int
    params: dict[str, Any] = field(default_factory=dict)


def image_price(catalogue: Catalogue, model_key: str, *, size: str, photos: int = 0) -> int:
    """Kopecks for one image. Raises `UnknownModel`, `UnsupportedOption`."""
    model = catalogue.image(model_key)
    if not 0 <= photos <= model.max_photos:
        raise UnsupportedOption(f"{model_key} takes 0 to {model.max_photos} photos")
    for name, offer in model.sizes.items():
        if name == size:
            return offer.price + photos * model.photo_price
    raise UnsupportedOption(f"{model_key} has no such size")


def video_price(
    model: VideoModel | str,
    *,
    duration: int,
    resolution: str,
    audio: bool = False,
    catalogue: Catalogue | None = None,
) -> int:
    """Kopecks for one video. The price of a video is computed only here.

    `model` is a model or its key in `catalogue` (None: the one shipped). Raises `UnknownModel`, `UnsupportedOption`.
    """
    chosen = (catalogue or shipped_catalogue()).video(model) if isinstance(model, str) else model
    return _second(chosen, duration, resolution, audio)[0] * duration


def quote_image(catalogue: Catalogue, model_key: str, options: ImageOptions, *, photos: int = 0) -> Quote:
    """The price of an image with normalised options."""
    model = catalogue.image(model_key)
    price = image_price(catalogue, model_key, size=options.size, photos=photos)
    cost = next(offer.cost for name, offer in model.sizes.items() if name == options.size)
    return Quote("image", model_key, price, cost, {"ratio": options.ratio, "size": options.size})


def quote_video(catalogue: Catalogue, model_key: str, options: VideoOptions) -> Quote:
    """The price of a video with normalised options."""
    model = catalogue.video(model_key)
    price = video_price(model, duration=options.duration, resolution=options.resolution, audio=options.audio)
    _, cost = _second(model, options.duration, options.resolution, options.audio)
    params = {
        "duration": options.duration,
        "resolution": options.resolution,
        "ratio": options.ratio,
        "audio": options.audio,
    }
    return Quote("video", model_key, price, cost * options.duration, params)


def normalise_image_options(
    model: ImageModel, *, ratio: str | None = None, size: str | None = None, photos: int = 0
) -> ImageOptions:
    """The nearest options that `model` has; no ratio means the default, or that of the photo where there is one."""
    if ratio is None and photos > 0:
        chosen = None
    else:
        chosen = _nearest_ratio(model.ratios, ratio, model.default_ratio)
    return ImageOptions(ratio=chosen, size=_nearest(model.sizes, size, _SIZE_SCALE, model.default_size))


def normalise_video_options(
    model: VideoModel,
    *,
    duration: int | None = None,
    resolution: str | None = None,
    ratio: str | None = None,
    audio: bool = False,
    photo: bool = False,
) -> VideoOptions:
    """The nearest options that `model` has; sound that a resolution lacks is dropped, a photo decides the ratio."""
    seconds = model.default_duration
    if isinstance(duration, int) and not isinstance(duration, bool):
        seconds = min(model.durations, key=lambda known: (abs(known - duration), known))
    sharp = _nearest(model.resolutions, resolution, _RESOLUTION_LINES, model.default_resolution)
    has_sound = any(offer.audio_price is not None for name, offer in model.resolutions.items() if name == sharp)
    return VideoOptions(
        duration=seconds,
        resolution=sharp,
        ratio=None if photo else _nearest_ratio(model.ratios, ratio, model.default_ratio),
        audio=audio is True and has_sound,
    )


def format_rubles(kopecks: int, language: str = "ru") -> str:
    """`1 234,50 ₽` with no-break spaces, in English `₽1,234.50`; whole rubles go without the decimals."""
    rubles, rest = divmod(abs(kopecks), 100)
    whole = f"{rubles:,}"
    if language == "en":
        return f"{'-' if kopecks < 0 else ''}₽{whole}{f'.{rest:02}' if rest else ''}"
    whole = whole.replace(",", NO_BREAK_SPACE)
    return f"{'−' if kopecks < 0 else ''}{whole}{f',{rest:02}' if rest else ''}{NO_BREAK_SPACE}₽"


def parse_rubles(text: str, *, minimum: int = 5_000, maximum: int = 10_000_000) -> int:
    """Kopecks of a sum as people type it: `500`, `500р`, `1 000,50 ₽`, `499.9`.

    Raises `NotASum`, `TooPrecise`, `SumTooSmall`, `SumTooBig` (all `BadSum`).
    """
    if len(text) > MAX_SUM_TEXT:
        raise NotASum
    match = _SUM.fullmatch(" ".join(unicodedata.normalize("NFKC", text).casefold().split()))
    if match is None:
        raise NotASum
    part = match["part"] or ""
    if len(part) > 2:
        raise TooPrecise
    kopecks = int(match["whole"].replace(" ", "")) * 100 + int(part.ljust(2, "0") or "0")
    if kopecks < minimum:
        raise SumTooSmall(minimum, maximum)
    if kopecks > maximum:
        raise SumTooBig(minimum, maximum)
    return kopecks


_SIZE_SCALE = {"512": 0.5, "1K": 1.0, "2K": 2.0, "4K": 4.0}
_RESOLUTION_LINES = {"720p": 720.0, "1080p": 1080.0, "4k": 2160.0}


def _second(model: VideoModel, duration: int, resolution: str, audio: bool) -> tuple[int, int]:
    """Price and cost of one second."""
    if isinstance(duration, bool) or duration not in model.durations:
        raise UnsupportedOption(f"{model.key} has no such duration")
    for name, offer in model.resolutions.items():
        if name == resolution:
            if not audio:
                return offer.price, offer.cost
            if offer.audio_price is not None and offer.audio_cost is not None:
                return offer.audio_price, offer.audio_cost
            raise UnsupportedOption(f"{model.key} has no sound in {resolution}")
    raise UnsupportedOption(f"{model.key} has no such resolution")


def _nearest(offered: Collection[str], wanted: str | None, scale: dict[str, float], default: str) -> str:
    """The offered step nearest to the wanted one, the smaller of two equally near; the default for an unknown step."""
    if wanted in offered:
        return wanted or default
    if wanted not in scale:
        return default
    aim = math.log(scale[wanted or default])
    return min(offered, key=lambda name: (abs(math.log(scale[name]) - aim), scale[name]))


def _nearest_ratio(offered: tuple[str, ...], wanted: str | None, default: str) -> str:
    """The offered form nearest to the wanted one; the default for what is no ratio."""
    if wanted in offered:
        return wanted or default
    match = re.fullmatch(r"([1-9]\d{0,4}):([1-9]\d{0,4})", wanted or "", re.ASCII)
    if match is None:
        return default
    aim = math.log(int(match[1]) / int(match[2]))
    return min(offered, key=lambda ratio: abs(_form(ratio) - aim))


def _form(ratio: str) -> float:
    width, height = ratio.split(":")
    return math.log(int(width) / int(height))
