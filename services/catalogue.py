"""What is sold: models, options, prices and provider costs, as data in a TOML file (`services/catalogue.toml`).

Prices are integer kopecks, provider costs integer micro-dollars, times seconds. The file is read once, checked whole,
and never changes while the process lives.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from services.base_provider import ImageRequest, Photo, RetryPolicy, TokenRates, VideoRequest

SHIPPED = Path(__file__).with_name("catalogue.toml")
MAX_FILE_BYTES = 1024 * 1024
MANY_PHOTOS = 5  # an image from this many photos takes longer and gets the timeout of the model's largest size

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Key = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{1,12}$")]
Ratio = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]?:[1-9][0-9]?$")]
Size = Literal["512", "1K", "2K", "4K"]
Resolution = Literal["720p", "1080p", "4k"]
ProviderModelId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]
Kopecks = Annotated[int, Field(gt=0, le=10_000_000)]
MicroUsd = Annotated[int, Field(ge=0, le=1_000_000_000)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


def _each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse a value that is listed twice: it would be two buttons for the same thing."""
    if twice := sorted({str(value) for value in values if values.count(value) > 1}):
        raise ValueError(f"stands twice: {', '.join(twice)}")
    return values


Ratios = Annotated[tuple[Ratio, ...], Field(min_length=1, strict=False), AfterValidator(_each_once)]


class CatalogueError(Exception):
    """The catalogue cannot be used; `faults` holds one line for each thing to correct."""

    def __init__(self, path: Path, faults: list[str]) -> None:
        super().__init__(path, faults)
        self.path = path
        self.faults = faults

    def __str__(self) -> str:
        return "\n".join(f"{self.path.name}: {fault}" for fault in self.faults)


class UnknownModel(LookupError):
    """No model with this key is in the catalogue (any more)."""


class _Part(BaseModel):
    """Frozen and strict; unknown names are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Text(_Part):
    """A title or a description in the languages of the bot."""

    ru: Words
    en: Words

    def in_language(self, language: str) -> str:
        """The text in `language`; Russian for a language that the bot does not have."""
        return self.en if language == "en" else self.ru


class SizeOffer(_Part):
    """One size of an image: kopecks, micro-dollars, and how long to wait for the answer."""

    price: Kopecks
    cost: MicroUsd
    timeout: Seconds = 300.0


class Rates(_Part):
    """The provider's prices in nano-dollars per token (dollars per million tokens, times a thousand)."""

    prompt: MicroUsd
    text: MicroUsd
    image: MicroUsd


class ImageModel(_Part):
    """A model that makes images."""

    key: Key
    provider: Literal["nano_banana"] = "nano_banana"
    provider_model: ProviderModelId
    title: Text
    about: Text
    ratios: Ratios
    default_ratio: Ratio
    sizes: Annotated[dict[Size, SizeOffer], Field(min_length=1)]
    default_size: Size
    sends_size: bool = True  # the first generation has only one size and refuses the field
    max_photos: Annotated[int, Field(ge=0, le=14)]
    photo_price: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    max_unknown_repeats: Annotated[int, Field(ge=0, le=1)] = 1
    rates: Rates
    hidden: bool = False

    def request(
        self, prompt: str, *, ratio: str | None, size: str | None = None, photos: tuple[Photo, ...] = ()
    ) -> ImageRequest:
        """The provider's request for options of this model, which were normalised before."""
        chosen: str = size or self.default_size
        offer = next(offer for name, offer in self.sizes.items() if name == chosen)
        rates = TokenRates(self.rates.prompt, self.rates.text, self.rates.image, offer.cost)
        longest = max(offer.timeout for offer in self.sizes.values())
        return ImageRequest(
            model=self.provider_model,
            prompt=prompt,
            aspect_ratio=ratio,
            size=chosen if self.sends_size else None,
            photos=photos,
            timeout=longest if len(photos) >= MANY_PHOTOS else offer.timeout,
            rates=rates,
        )

    @model_validator(mode="after")
    def _defaults_are_sold(self) -> Self:
        if self.default_ratio not in self.ratios:
            raise ValueError("default_ratio is none of ratios")
        if self.default_size not in self.sizes:
            raise ValueError("default_size is none of sizes")
        return self


class SecondOffer(_Part):
    """A second of video: kopecks and micro-dollars; also with the model's own sound if that has another price."""

    price: Kopecks
    cost: MicroUsd
    audio_price: Kopecks | None = None
    audio_cost: MicroUsd | None = None

    @model_validator(mode="after")
    def _sound_has_both(self) -> Self:
        if (self.audio_price is None) != (self.audio_cost is None):
            raise ValueError("audio_price and audio_cost come together")
        return self


class VideoModel(_Part):
    """A model that makes videos."""

    key: Key
    provider: Literal["kling"] = "kling"
    provider_model: ProviderModelId
    title: Text
    about: Text
    durations: Annotated[
        tuple[Annotated[int, Field(ge=1, le=60)], ...], Field(min_length=1, strict=False), AfterValidator(_each_once)
    ]
    default_duration: int
    resolutions: Annotated[dict[Resolution, SecondOffer], Field(min_length=1)]
    default_resolution: Resolution
    ratios: Ratios
    default_ratio: Ratio
    audio: Literal["none", "included", "switch"] = "none"
    multi_shot: bool = False  # whether the model has this option; we always ask for one shot
    supports_text: bool = True
    supports_photo: bool = True
    prompt_chars: Annotated[int, Field(ge=1, le=3072)] = 2500
    max_unknown_repeats: Annotated[int, Field(ge=0, le=0)] = 0
    hidden: bool = False

    def request(
        self,
        prompt: str,
        *,
        duration: int,
        resolution: str,
        external_id: str,
        ratio: str | None = None,
        audio: bool = False,
        photo: Photo | None = None,
        callback_url: str | None = None,
    ) -> VideoRequest:
        """The provider's request for options of this model, which were normalised before."""
        return VideoRequest(
            model=self.provider_model,
            prompt=prompt,
            duration=duration,
            resolution=resolution,
            external_id=external_id,
            aspect_ratio=None if photo is not None else ratio,
            photo=photo,
            callback_url=callback_url,
            audio=audio if self.audio == "switch" else None,
            multi_shot=False if self.multi_shot else None,
        )

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        if self.default_duration not in self.durations:
            raise ValueError("default_duration is none of durations")
        if self.default_resolution not in self.resolutions:
            raise ValueError("default_resolution is none of resolutions")
        if self.default_ratio not in self.ratios:
            raise ValueError("default_ratio is none of ratios")
        if not (self.supports_text or self.supports_photo):
            raise ValueError("a model films from words, from a photo, or both")
        has_sound_price = any(offer.audio_price is not None for offer in self.resolutions.values())
        if has_sound_price != (self.audio == "switch"):
            raise ValueError('audio is "switch" exactly where a resolution has an audio_price')
        return self


class StarPack(_Part):
    """A top-up in kopecks and its price in Telegram Stars."""

    kopecks: Kopecks
    price: Annotated[int, Field(ge=1, le=100_000)]


class TopUps(_Part):
    """Top-ups that are offered, in kopecks."""

    packs: Annotated[tuple[Kopecks, ...], Field(min_length=1, max_length=12, strict=False), AfterValidator(_each_once)]
    minimum: Kopecks
    maximum: Kopecks
    card: bool = True
    stars: Annotated[tuple[StarPack, ...], Field(max_length=12, strict=False)] = ()

    @property
    def star_packs(self) -> tuple[tuple[int, int], ...]:
        """Pairs of kopecks and their price in Stars."""
        return tuple((pack.kopecks, pack.price) for pack in self.stars)

    @model_validator(mode="after")
    def _packs_are_within(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError("minimum is above maximum")
        if any(not self.minimum <= pack <= self.maximum for pack in self.packs):
            raise ValueError("a pack lies outside minimum and maximum")
        if len({pack.kopecks for pack in self.stars}) < len(self.stars):
            raise ValueError("a sum has two prices in Stars")
        return self


class Holds(_Part):
    """How long money may stay reserved, in seconds."""

    image: Seconds
    video: Seconds


class Retry(_Part):
    """A retry policy as data."""

    tries: Annotated[int, Field(ge=1, le=10)]
    first_delay: Seconds
    max_delay: Seconds
    jitter: Annotated[float, Field(ge=0, le=60)]
    total_seconds: Seconds

    @property
    def policy(self) -> RetryPolicy:
        return RetryPolicy(
            tries=self.tries,
            first_delay=self.first_delay,
            max_delay=self.max_delay,
            jitter=self.jitter,
            total_seconds=self.total_seconds,
        )


class Retries(_Part):
    """One policy for each kind of call."""

    image: Retry
    submit: Retry
    look: Retry
    download: Retry


class Limits(_Part):
    """Limits for what users and providers send."""

    prompt_chars: Annotated[int, Field(ge=1, le=32_000)]
    photo_bytes: Annotated[int, Field(gt=0, le=50_000_000)]  # as the user sent it
    photo_pixels: Annotated[int, Field(gt=0, le=200_000_000)]
    photo_side: Annotated[int, Field(ge=300, le=8192)]  # the longer side of the photo that a provider gets
    photo_send_bytes: Annotated[int, Field(gt=0, le=20_000_000)]
    body_bytes: Annotated[int, Field(gt=0, le=100_000_000)]  # all photos of one request, before base64
    video_photo_min_side: Annotated[int, Field(gt=0, le=4096)]
    video_photo_max_aspect: Annotated[float, Field(ge=1, le=20)]
    picture_bytes: Annotated[int, Field(gt=0, le=64_000_000)]
    picture_pixels: Annotated[int, Field(gt=0, le=200_000_000)]
    look_batch: Annotated[int, Field(ge=1, le=100)]


class Catalogue(_Part):
    """Everything that is sold. Keys are in buttons and rows: a key that was used never gets another model."""

    default_image_key: Key
    default_video_key: Key
    rubles_per_dollar: Annotated[float, Field(gt=0, le=10_000)] = 95.0
    top_ups: TopUps
    holds: Holds
    retries: Retries
    limits: Limits
    image_models: Annotated[tuple[ImageModel, ...], Field(min_length=1, strict=False)]
    video_models: Annotated[tuple[VideoModel, ...], Field(min_length=1, strict=False)]

    @property
    def default_image(self) -> ImageModel:
        return self.image(self.default_image_key)

    @property
    def default_video(self) -> VideoModel:
        return self.video(self.default_video_key)

    def image(self, key: str) -> ImageModel:
        """The model of this key, hidden ones too. Raises `UnknownModel`."""
        for model in self.image_models:
            if model.key == key:
                return model
        raise UnknownModel(key)

    def video(self, key: str) -> VideoModel:
        """The model of this key, hidden ones too. Raises `UnknownModel`."""
        for model in self.video_models:
            if model.key == key:
                return model
        raise UnknownModel(key)

    def images(self, visible: bool = True) -> tuple[ImageModel, ...]:
        """Models that make images, in the file's order; with `visible` False the hidden ones too."""
        return tuple(model for model in self.image_models if not (visible and model.hidden))

    def videos(self, for_photo: bool = False) -> tuple[VideoModel, ...]:
        """Visible models that make a video from a photo, or from a prompt alone."""
        return tuple(
            model
            for model in self.video_models
            if not model.hidden and (model.supports_photo if for_photo else model.supports_text)
        )

    @model_validator(mode="after")
    def _keys_are_sound(self) -> Self:
        models: list[ImageModel | VideoModel] = [*self.image_models, *self.video_models]
        keys = [model.key for model in models]
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"keys used twice: {', '.join(twice)}")
        shown_images = {model.key for model in self.image_models if not model.hidden}
        shown_videos = {model.key for model in self.video_models if not model.hidden}
        if self.default_image_key not in shown_images:
            raise ValueError("default_image_key is no visible model that draws")
        if self.default_video_key not in shown_videos:
            raise ValueError("default_video_key is no visible model that films")
        return self

    @model_validator(mode="after")
    def _money_is_held_as_long_as_an_answer_takes(self) -> Self:
        """Otherwise the money goes back while the provider still works, and its work is a loss."""
        for model in self.image_models:
            for size, offer in model.sizes.items():
                if offer.timeout >= self.holds.image:
                    raise ValueError(
                        f"holds.image ({self.holds.image:g} s) must be longer than the timeout of"
                        f" images.{model.key}.sizes.{size} ({offer.timeout:g} s)"
                    )
        return self


def load_catalogue(path: Path = SHIPPED) -> Catalogue:
    """Read and check the file. Raises `CatalogueError` with every fault at once."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            raise CatalogueError(path, [f"longer than {MAX_FILE_BYTES} bytes"])
        data = tomllib.loads(raw.decode("utf-8"))
    except OSError as error:
        raise CatalogueError(path, [f"cannot be read: {error.strerror}"]) from None
    except (ValueError, RecursionError) as error:
        raise CatalogueError(path, [f"is not TOML: {error}"]) from None
    try:
        return Catalogue.model_validate(_with_keys(data))
    except ValidationError as error:
        raise CatalogueError(path, list(_lines(error, data))) from None


@cache
def shipped_catalogue() -> Catalogue:
    """The catalogue that comes with the program."""
    return load_catalogue(SHIPPED)


def _with_keys(data: dict[str, Any]) -> dict[str, Any]:
    """The file names a model in a heading, `[images.pro]`; the model gets that name as its key."""
    shaped = dict(data)
    for heading, field in (("images", "image_models"), ("videos", "video_models")):
        models = shaped.pop(heading, {})
        if isinstance(models, dict):
            models = [{**body, "key": key} if isinstance(body, dict) else body for key, body in models.items()]
        shaped[field] = models
    return shaped


def _lines(error: ValidationError, data: dict[str, Any]) -> Iterator[str]:
    """Faults with the names of the file: `images.pro.sizes.1K.price: Input should be greater than 0`."""
    headings = {"image_models": "images", "video_models": "videos"}
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        place = list(fault["loc"])
        if place and place[0] in headings:
            place[0] = heading = headings[str(place[0])]
            names = list(data[heading]) if isinstance(data.get(heading), dict) else []
            if len(place) > 1 and isinstance(place[1], int) and place[1] < len(names):
                place[1] = names[place[1]]
        message = fault["msg"].removeprefix("Value error, ")
        yield f"{'.'.join(str(step) for step in place)}: {message}" if place else message
