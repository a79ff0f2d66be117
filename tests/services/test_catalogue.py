"""The catalogue: the shipped file is sound, and a bad file is refused with all its faults at once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from pydantic import ValidationError

from services.base_provider import Photo
from services.catalogue import SHIPPED, CatalogueError, UnknownModel, load_catalogue, shipped_catalogue


@pytest.fixture
def text() -> str:
    return SHIPPED.read_text(encoding="utf-8")


def faults_of(tmp_path: Path, text: str | bytes) -> list[str]:
    place = tmp_path / "catalogue.toml"
    place.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CatalogueError) as caught:
        load_catalogue(place)
    assert str(caught.value).startswith("catalogue.toml: ")
    return caught.value.faults


def test_the_shipped_catalogue() -> None:
    """2.1 and 3.0 Turbo are what a newcomer is offered; retired models are hidden and still known by key."""
    catalogue = shipped_catalogue()
    assert catalogue.default_image.provider_model == "gemini-nano-banana-2.1"
    assert catalogue.default_video.provider_model == "kling-3.0-turbo"
    assert [model.key for model in catalogue.images()] == ["nb21", "pro", "lite"]
    assert {model.key for model in catalogue.images(visible=False)} == {"nb21", "pro", "lite", "nb2", "nb1"}
    assert catalogue.image("nb1").hidden
    assert [model.key for model in catalogue.videos(for_photo=True)] == ["k30t", "k30", "k26", "k25t"]
    assert catalogue.default_image.title.in_language("ru") == "Nano Banana 2.1"
    assert catalogue.default_image.about.in_language("xx") == catalogue.default_image.about.ru


def test_prices_are_whole_rubles() -> None:
    """Nobody is asked for kopecks, and the least top-up buys at least one picture of every visible model."""
    catalogue = shipped_catalogue()
    prices = [offer.price for model in catalogue.image_models for offer in model.sizes.values()]
    seconds = [offer for model in catalogue.video_models for offer in model.resolutions.values()]
    prices += [offer.price for offer in seconds] + [offer.audio_price or 0 for offer in seconds]
    assert all(price % 100 == 0 for price in prices)
    assert all(model.sizes[model.default_size].price <= catalogue.top_ups.minimum for model in catalogue.images())


def test_doubt_is_repeated_once_for_pictures_and_never_for_clips() -> None:
    """A video is searched by our id instead of being bought again; a file that says otherwise is refused."""
    catalogue = shipped_catalogue()
    assert {model.max_unknown_repeats for model in catalogue.image_models} == {1}
    assert {model.max_unknown_repeats for model in catalogue.video_models} == {0}


def test_clips_may_not_be_bought_twice(tmp_path: Path, text: str) -> None:
    """`max_unknown_repeats` above 0 for a clip is a fault of the file."""
    faults = faults_of(tmp_path, text.replace("[videos.k25t]", "[videos.k25t]\nmax_unknown_repeats = 1"))
    assert faults == ["videos.k25t.max_unknown_repeats: Input should be less than or equal to 0"]


def test_an_unknown_key_is_said() -> None:
    """A button that outlived its model leads to one clear error."""
    for look in (shipped_catalogue().image, shipped_catalogue().video):
        with pytest.raises(UnknownModel):
            look("gone")


def test_the_catalogue_cannot_be_changed() -> None:
    """Prices do not move while the process lives."""
    with pytest.raises(ValidationError):
        shipped_catalogue().default_image.hidden = True


def test_all_faults_come_at_once(tmp_path: Path, text: str) -> None:
    """Every mistake has its own line with its place in the file."""
    bad = (
        text.replace("1K = { price = 1200, cost = 33600", "1K = { price = -5, cost = 33600", 1)
        .replace('provider_model = "kling-2.6"', 'provider_model = "kling/../2.6"')
        .replace("look_batch = 20", 'look_batch = "20"')
        .replace("[holds]", "[holds]\nsurprise = 1")
    )
    faults = faults_of(tmp_path, bad)
    places = [fault.split(":")[0] for fault in faults]
    assert sorted(places) == [
        "holds.surprise",
        "images.nb21.sizes.1K.price",
        "limits.look_batch",
        "videos.k26.provider_model",
    ]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('default_image_key = "nb21"', 'default_image_key = "nb1"', "default_image_key is no visible model"),
        ('default_video_key = "k30t"', 'default_video_key = "none"', "default_video_key is no visible model"),
        ("[videos.k25t", "[videos.pro", "keys used twice: pro"),
        ('default_size = "1K"', 'default_size = "512"', "default_size is none of sizes"),
        ("default_duration = 5", "default_duration = 4", "default_duration is none of durations"),
        ('audio = "included"', 'audio = "switch"', "audio_price"),
        ("packs = [10000,", "packs = [100,", "a pack lies outside"),
        ("minimum = 5000 ", "minimum = 50000000 ", "minimum"),
        ("packs = [10000,", "packs = [10000, 10000,", "top_ups.packs: stands twice: 10000"),
        ("durations = [5, ", "durations = [5, 5, ", "durations: stands twice: 5"),
        ('ratios = ["1:1",', 'ratios = ["1:1", "1:1",', "ratios: stands twice: 1:1"),
        ('title = { ru = "', 'title = { ru = " ", en = "x" } # "', "title.ru"),
        ("image = 900", "image = 600", "holds.image (600 s) must be longer than the timeout of images.nb21.sizes.4K"),
        ("audio_cost = 126000", "cost = 1", "is not TOML"),
        ("[images.nb21]", "[images.NB-21]", "images.NB-21.key"),
        ("[images.nb21]", "[images.nb21", "is not TOML"),
    ],
)
def test_what_does_not_fit_together_is_said(tmp_path: Path, text: str, old: str, new: str, words: str) -> None:
    """Defaults, keys, limits and sound must agree with each other."""
    assert old in text
    assert any(words in fault for fault in faults_of(tmp_path, text.replace(old, new)))


@pytest.mark.parametrize(
    "junk", [b"", b"\xff\xfe", b"images = 5", b"[images]\nnb21 = 7", b"a = " + b"[" * 5000, b"#" * (1024 * 1024 + 1)]
)
def test_junk_is_a_catalogue_error(tmp_path: Path, junk: bytes) -> None:
    """No bytes of a file raise anything else."""
    assert faults_of(tmp_path, junk)


def test_a_missing_file_is_a_catalogue_error(tmp_path: Path) -> None:
    """A path that leads nowhere says so."""
    with pytest.raises(CatalogueError, match="cannot be read"):
        load_catalogue(tmp_path / "nowhere.toml")


def test_requests_carry_only_what_the_model_knows() -> None:
    """Fields a provider would refuse are left out by the model's own entry."""
    catalogue = shipped_catalogue()
    photo = Photo(b"x", "image/png")
    assert catalogue.image("nb1").request("a", ratio="1:1").size is None
    four_k = catalogue.image("pro").request("a", ratio=None, size="4K", photos=(photo,))
    assert (four_k.size, four_k.aspect_ratio, four_k.timeout, four_k.rates.whole_image) == ("4K", None, 600.0, 240_000)
    turbo = catalogue.video("k30t").request(
        "a", duration=5, external_id="e", ratio="1:1", resolution="720p", audio=True
    )
    assert (turbo.audio, turbo.multi_shot, turbo.aspect_ratio) == (None, None, "1:1")
    full = catalogue.video("k30").request("a", duration=5, external_id="e", ratio="1:1", resolution="4k", photo=photo)
    assert (full.audio, full.multi_shot, full.aspect_ratio) == (False, False, None)


def test_many_photos_may_take_as_long_as_the_largest_picture() -> None:
    """A picture from many photos is waited for as one in 4K is: a wait that is given up is paid for all the same."""
    nb21 = shipped_catalogue().image("nb21")
    photos = (Photo(b"x", "image/png"),) * 14
    assert [nb21.request("a", ratio=None, photos=photos[:count]).timeout for count in (0, 4, 5, 14)] == [
        300.0,
        300.0,
        600.0,
        600.0,
    ]
    assert nb21.request("a", ratio=None, size="4K").timeout == 600.0
    assert shipped_catalogue().image("lite").request("a", ratio=None, photos=photos).timeout == 300.0


def test_policies_are_those_of_the_file() -> None:
    """Retry policies reach the callers as the providers' own type, bounded in tries and in seconds."""
    retries = shipped_catalogue().retries
    for policy in (retries.image.policy, retries.submit.policy, retries.look.policy, retries.download.policy):
        assert 1 <= policy.tries <= 10
        assert policy.total_seconds < shipped_catalogue().holds.image
        assert dataclasses.is_dataclass(policy)
