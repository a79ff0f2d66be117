"""Prices of the catalogue, options that a model really has, and sums of money as people read and type them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.catalogue import UnknownModel, shipped_catalogue
from services.pricing import (
    BadSum,
    NotASum,
    SumTooBig,
    SumTooSmall,
    TooPrecise,
    UnsupportedOption,
    format_rubles,
    image_price,
    normalise_image_options,
    normalise_video_options,
    parse_rubles,
    quote_image,
    quote_video,
    video_price,
)

CATALOGUE = shipped_catalogue()
IMAGES = st.sampled_from(CATALOGUE.images(visible=False))
VIDEOS = st.sampled_from(CATALOGUE.video_models)
KNOWN_OPTIONS = st.sampled_from(["1:1", "16:9", "512", "1K", "4K", "720p", "1080p", "4k"])
ANYTHING = st.one_of(st.none(), st.text(max_size=12), KNOWN_OPTIONS)
RUBLES_A_DOLLAR = 95


# --- prices -------------------------------------------------------------------------------------------------------


def test_a_picture_s_price_is_the_catalogue_s() -> None:
    """The price of a picture is the one written for its size."""
    assert image_price(CATALOGUE, "nb21", size="1K") == 1_200
    assert image_price(CATALOGUE, "pro", size="4K", photos=3) == 5_900


def test_a_clip_s_price_is_seconds_times_the_second() -> None:
    """Resolution and sound choose the price of a second, and the length multiplies it."""
    assert video_price("k30t", duration=5, resolution="720p") == 5 * 2_200
    assert video_price("k30", duration=10, resolution="1080p", audio=True, catalogue=CATALOGUE) == 10 * 3_300
    assert video_price(CATALOGUE.video("k26"), duration=5, resolution="720p") == 5 * 900


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("k30t", {"duration": 4, "resolution": "720p"}),
        ("k30t", {"duration": True, "resolution": "720p"}),
        ("k30t", {"duration": 5, "resolution": "4k"}),
        ("k26", {"duration": 5, "resolution": "720p", "audio": True}),
        ("k25t", {"duration": 5, "resolution": "1080p", "audio": True}),
    ],
)
def test_what_is_not_sold_has_no_price(model: str, options: dict[str, object]) -> None:
    """A combination outside the catalogue is refused, never guessed."""
    with pytest.raises(UnsupportedOption):
        video_price(model, **options)  # type: ignore[arg-type]


def test_unknown_models_sizes_and_too_many_photos_have_no_price() -> None:
    """A model that is not sold any more and a size that a model lacks are two different errors."""
    with pytest.raises(UnknownModel):
        image_price(CATALOGUE, "gone", size="1K")
    with pytest.raises(UnknownModel):
        video_price("gone", duration=5, resolution="720p")
    with pytest.raises(UnsupportedOption):
        image_price(CATALOGUE, "lite", size="4K")
    with pytest.raises(UnsupportedOption):
        image_price(CATALOGUE, "nb21", size="1K", photos=15)


@given(VIDEOS, st.integers(-5, 90), ANYTHING, ANYTHING, st.booleans(), st.booleans())
def test_normalised_clips_always_have_a_price(model, duration, resolution, ratio, audio, photo) -> None:  # type: ignore[no-untyped-def]
    """Whatever was chosen for another model, the nearest options of this one are sold above their cost."""
    options = normalise_video_options(
        model, duration=duration, resolution=resolution, ratio=ratio, audio=audio, photo=photo
    )
    quote = quote_video(CATALOGUE, model.key, options)
    assert quote.price == video_price(
        model, duration=options.duration, resolution=options.resolution, audio=options.audio
    )
    assert quote.price * 10_000 > quote.cost_micro_usd * RUBLES_A_DOLLAR * 1.3
    assert (options.ratio is None) == photo
    again = normalise_video_options(
        model,
        duration=options.duration,
        resolution=options.resolution,
        ratio=options.ratio,
        audio=options.audio,
        photo=photo,
    )
    assert again == options, "normal options stay as they are"


@given(IMAGES, ANYTHING, ANYTHING, st.integers(0, 3))
def test_normalised_pictures_always_have_a_price(model, ratio, size, photos) -> None:  # type: ignore[no-untyped-def]
    """Whatever was chosen for another model, the nearest options of this one are sold above their cost."""
    options = normalise_image_options(model, ratio=ratio, size=size, photos=photos)
    quote = quote_image(CATALOGUE, model.key, options, photos=photos)
    assert quote.price == image_price(CATALOGUE, model.key, size=options.size, photos=photos)
    assert quote.price * 10_000 > quote.cost_micro_usd * RUBLES_A_DOLLAR * 1.3
    assert normalise_image_options(model, ratio=options.ratio, size=options.size, photos=photos) == options


@given(VIDEOS, st.data())
def test_a_longer_or_sharper_clip_is_never_cheaper(model, data) -> None:  # type: ignore[no-untyped-def]
    """Prices grow with seconds, with lines and with sound."""
    resolution = data.draw(st.sampled_from(sorted(model.resolutions)))
    short, long = sorted(data.draw(st.lists(st.sampled_from(model.durations), min_size=2, max_size=2)))
    assert video_price(model, duration=short, resolution=resolution) <= video_price(
        model, duration=long, resolution=resolution
    )
    offer = model.resolutions[resolution]
    assert offer.audio_price is None or offer.audio_price >= offer.price


def test_the_nearest_option_is_near() -> None:
    """An option of another model becomes its neighbour, not the default, and sound goes where it exists."""
    pro, k26 = CATALOGUE.image("pro"), CATALOGUE.video("k26")
    assert normalise_image_options(pro, ratio="1:8", size="512").ratio == "9:16"
    assert normalise_image_options(pro, ratio="1:8", size="512").size == "1K"
    assert normalise_image_options(CATALOGUE.image("lite"), size="4K").size == "1K"
    assert normalise_video_options(k26, duration=8, resolution="4k", ratio="4:3", audio=True).duration == 10
    assert normalise_video_options(k26, resolution="4k", audio=True).audio is True
    assert normalise_video_options(k26, resolution="720p", audio=True).audio is False
    assert normalise_video_options(k26, ratio="21:9").ratio == "16:9"


def test_a_photo_decides_the_form_unless_the_person_does() -> None:
    """An edit follows its photo; a chosen ratio wins for pictures; a clip always follows its first frame."""
    model = CATALOGUE.default_image
    assert normalise_image_options(model, photos=1).ratio is None
    assert normalise_image_options(model, ratio="16:9", photos=1).ratio == "16:9"
    assert normalise_image_options(model).ratio == model.default_ratio
    assert normalise_video_options(CATALOGUE.default_video, ratio="1:1", photo=True).ratio is None


# --- sums ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kopecks", "russian", "english"),
    [
        (1_200, "12\u00a0₽", "₽12"),
        (1_250, "12,50\u00a0₽", "₽12.50"),
        (123_400, "1\u00a0234\u00a0₽", "₽1,234"),
        (100_000_005, "1\u00a0000\u00a0000,05\u00a0₽", "₽1,000,000.05"),
        (0, "0\u00a0₽", "₽0"),
        (-1_200, "−12\u00a0₽", "-₽12"),
    ],
)
def test_sums_are_written_as_people_write_them(kopecks: int, russian: str, english: str) -> None:
    """Whole rubles without decimals, no line break inside a sum, each language by its own habit."""
    assert format_rubles(kopecks, "ru") == russian
    assert format_rubles(kopecks, "en") == english


@pytest.mark.parametrize(
    ("text", "kopecks"),
    [
        ("500", 50_000),
        (" 500 р. ", 50_000),
        ("500р", 50_000),
        ("500 РУБ", 50_000),
        ("500 рублей", 50_000),
        ("501 рубль", 50_100),
        ("1 000,50 ₽", 100_050),
        ("1\u00a0000.5", 100_050),
        ("2\u202f000", 200_000),
        ("499.9", 49_990),
        ("₽12 345", 1_234_500),
        ("500 rub", 50_000),
        ("５００", 50_000),
        ("50", 5_000),
        ("100000", 10_000_000),
    ],
)
def test_sums_are_read_as_people_type_them(text: str, kopecks: int) -> None:
    """Spaces, commas, the word for rubles in any form: all are one sum."""
    assert parse_rubles(text) == kopecks


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", NotASum),
        ("пятьсот", NotASum),
        ("-500", NotASum),
        ("5e3", NotASum),
        ("0x1f4", NotASum),
        ("500 $", NotASum),
        ("500 600", SumTooBig),
        ("10 00", NotASum),
        ("1.000.000", NotASum),
        ("٥٠٠", NotASum),
        ("9" * 41, NotASum),
        ("500" + "\u00a0" * 100, NotASum),
        ("500.999", TooPrecise),
        ("1,000", TooPrecise),
        ("49,99", SumTooSmall),
        ("0", SumTooSmall),
        ("100000,01", SumTooBig),
        ("999999999999", SumTooBig),
    ],
)
def test_bad_sums_say_what_is_wrong(text: str, error: type[BadSum]) -> None:
    """Junk, too many decimals, too little and too much are errors of four kinds."""
    with pytest.raises(error):
        parse_rubles(text)


def test_the_limits_travel_with_the_error() -> None:
    """The answer can say how much may be paid in."""
    with pytest.raises(SumTooSmall) as caught:
        parse_rubles("10", minimum=5_000, maximum=6_000)
    assert (caught.value.minimum, caught.value.maximum) == (5_000, 6_000)


@given(st.integers(5_000, 10_000_000))
def test_what_we_write_we_can_read(kopecks: int) -> None:
    """A sum copied out of our own Russian text is understood again."""
    assert parse_rubles(format_rubles(kopecks, "ru")) == kopecks


@given(st.text(max_size=60))
def test_any_text_is_a_sum_or_a_bad_sum(text: str) -> None:
    """Nothing a person types raises anything else, and no sum leaves the limits."""
    try:
        kopecks = parse_rubles(text)
    except BadSum:
        return
    assert 5_000 <= kopecks <= 10_000_000
