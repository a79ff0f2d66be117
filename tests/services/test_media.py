"""Pictures and clips as bytes: what is taken, what is refused, and what is left of a photo before it is sent on."""

from __future__ import annotations

import io
import shutil
import tempfile
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from services.base_provider import Photo
from services.media.inspect import (
    BadMedia,
    MediaFault,
    check_sides,
    fit_photos,
    image_preview,
    inspect_image,
    inspect_video,
    prepare_photo,
    video_thumbnail,
)


def picture(form: str = "JPEG", size: tuple[int, int] = (64, 48), mode: str = "RGB", **options: Any) -> bytes:
    """A picture whose left half is red and whose right half is blue."""
    image = Image.new(mode, size, "red")
    image.paste(Image.new(mode, (size[0] // 2, size[1]), "blue"), (size[0] // 2, 0))
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def colour(image: Image.Image, place: tuple[int, int]) -> tuple[int, ...]:
    found = image.getpixel(place)
    assert isinstance(found, tuple)
    return found


def silence() -> av.AudioFrame:
    """A moment without a sound; the frame's memory is whatever was there before, so it is cleared."""
    frame = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    frame.sample_rate, frame.pts = 44100, 0
    return frame


def clip(
    *,
    seconds: int = 1,
    frames_a_second: int = 8,
    size: tuple[int, int] = (96, 64),
    audio: bool = False,
    faststart: bool = False,
) -> bytes:
    """A real mp4 of plain frames, with a silent track where asked."""
    place = Path(tempfile.mkdtemp()) / "clip.mp4"  # moving the header to the front needs a real file
    options = {"movflags": "faststart"} if faststart else {}
    with av.open(str(place), "w", format="mp4", options=options) as container:
        video = container.add_stream("mpeg4", rate=frames_a_second)
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        sound = container.add_stream("aac", rate=44100) if audio else None
        for number in range(seconds * frames_a_second):
            still = Image.new("RGB", size, (number * 10 % 255, 80, 120))
            frame = av.VideoFrame.from_image(still)  # type: ignore[no-untyped-call]
            frame.pts, frame.time_base = number, Fraction(1, frames_a_second)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound is not None:
            container.mux(sound.encode(silence()))
            container.mux(sound.encode(None))
    data = place.read_bytes()
    shutil.rmtree(place.parent)
    return data


def open_image(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def fault_of(data: bytes, **limits: Any) -> MediaFault:
    with pytest.raises(BadMedia) as caught:
        inspect_image(data, **limits)
    return caught.value.code


@pytest.mark.parametrize(("form", "mime"), [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp")])
def test_a_picture_is_known_by_its_bytes(form: str, mime: str) -> None:
    """The media type and the sides come from the bytes, whatever a provider says beside them."""
    info = inspect_image(picture(form))
    assert (info.mime, info.width, info.height) == (mime, 64, 48)


def test_nothing_is_no_picture() -> None:
    """Zero bytes are refused as empty."""
    assert fault_of(b"") is MediaFault.EMPTY


@pytest.mark.parametrize(
    "junk", [b"\0", b"<html>no</html>", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"%PDF-1.7", b"\xff\xd8\xff"]
)
def test_junk_is_no_picture(junk: bytes) -> None:
    """Bytes that merely begin like a picture, or not at all, are refused."""
    assert fault_of(junk) in (MediaFault.NOT_AN_IMAGE, MediaFault.BROKEN)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_truncated_picture_is_broken(form: str) -> None:
    """A picture that breaks off is never taken for a whole one."""
    options: dict[str, Any] = {"lossless": True} if form == "WEBP" else {}
    whole = picture(form, (400, 300), **options)
    assert fault_of(whole[: len(whole) * 2 // 3]) in (MediaFault.BROKEN, MediaFault.NOT_AN_IMAGE)


def test_limits_are_checked_before_decoding() -> None:
    """Too many bytes and too many pixels are two refusals of their own."""
    assert fault_of(picture(), max_bytes=100) is MediaFault.TOO_LARGE
    assert fault_of(picture(size=(300, 300)), max_pixels=300 * 300 - 1) is MediaFault.TOO_MANY_PIXELS


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [10_000, 60_000])
def test_a_decompression_bomb_is_never_opened(side: int) -> None:
    """A kilobyte that claims billions of pixels is refused by its header."""
    header = bytearray(picture("PNG", (1, 1)))
    header[16:24] = side.to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(bytes(header[12:29])).to_bytes(4, "big")
    assert fault_of(bytes(header)) is MediaFault.TOO_MANY_PIXELS


def test_heic_is_named() -> None:
    """An iPhone's HEIC gets a fault of its own, since there is a helpful thing to say about it."""
    assert fault_of(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic") is MediaFault.HEIC_UNSUPPORTED


def test_a_photo_is_turned_upright() -> None:
    """What the camera wrote as "held sideways" becomes real pixels, and the note disappears."""
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = prepare_photo(picture(exif=exif), max_side=1000, max_bytes=10**6)
    turned = open_image(photo.data)
    assert turned.size == (48, 64)
    assert turned.getexif() == {}
    assert colour(turned, (24, 5))[0] > 200, "the left half of the stored picture is now on top"


def test_a_photo_loses_its_metadata() -> None:
    """Place, camera and comments never leave for the provider."""
    exif = Image.Exif()
    exif[0x010F] = "SecretCamera"
    jpeg = prepare_photo(picture(exif=exif, comment=b"SecretNote"), max_side=1000, max_bytes=10**6)
    png = prepare_photo(picture("PNG", mode="RGBA", exif=exif), max_side=1000, max_bytes=10**6)
    assert png.mime == "image/png"
    for photo in (jpeg, png):
        assert b"Secret" not in photo.data
        assert "exif" not in open_image(photo.data).info


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data", "ignore:Metadata Warning")
def test_garbage_exif_does_not_spoil_a_photo() -> None:
    """A picture whose EXIF cannot be read is still a picture."""
    damaged = picture(exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40)
    photo = prepare_photo(damaged, max_side=100, max_bytes=10**6)
    assert open_image(photo.data).size == (64, 48)


def test_a_photo_is_shrunk_to_the_limits() -> None:
    """The longer side and the bytes fit what is asked, the form of the photo stays."""
    noisy = Image.effect_noise((1600, 800), 90).convert("RGB")
    buffer = io.BytesIO()
    noisy.save(buffer, "PNG")
    photo = prepare_photo(buffer.getvalue(), max_side=1000, max_bytes=60_000)
    shrunk = open_image(photo.data)
    assert photo.mime == "image/jpeg"
    assert len(photo.data) <= 60_000
    assert max(shrunk.size) <= 1000
    assert shrunk.width / shrunk.height == pytest.approx(2, abs=0.05)


def test_transparency_goes_onto_white_where_it_cannot_stay() -> None:
    """A see-through photo that must become a JPEG gets a white ground, not a black one."""
    noise = Image.effect_noise((100, 100), 80)
    clear = Image.new("L", noise.size, 0)
    buffer = io.BytesIO()
    Image.merge("RGBA", (noise, noise, noise, clear)).save(buffer, "PNG")
    assert prepare_photo(buffer.getvalue(), max_side=100, max_bytes=10**6).mime == "image/png"
    photo = prepare_photo(buffer.getvalue(), max_side=100, max_bytes=2_000)
    assert photo.mime == "image/jpeg"
    assert min(colour(open_image(photo.data), (20, 20))) > 250


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "I;16", "LA"])
def test_every_kind_of_pixels_becomes_an_ordinary_photo(mode: str) -> None:
    """Grey, palette, print and 16-bit pictures come out as RGB or RGBA."""
    buffer = io.BytesIO()
    Image.new(mode, (30, 20)).save(buffer, "JPEG" if mode == "CMYK" else "PNG")
    photo = prepare_photo(buffer.getvalue(), max_side=100, max_bytes=10**6)
    assert open_image(photo.data).mode in ("RGB", "RGBA")


def test_colour_profiles_are_applied_and_dropped() -> None:
    """A photo in another colour space arrives in sRGB; a broken profile is left out of account."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for icc in (profile, b"no profile at all"):
        photo = prepare_photo(picture(icc_profile=icc), max_side=100, max_bytes=10**6)
        assert "icc_profile" not in open_image(photo.data).info
        assert colour(open_image(photo.data), (5, 5))[0] > 200


def test_the_provider_s_photo_rules() -> None:
    """Too small and too narrow photos are refused by name before anything is paid."""
    check_sides(300, 750, min_side=300, max_aspect=2.5)
    for size, fault in (((200, 400), MediaFault.TOO_SMALL), ((1000, 300), MediaFault.TOO_NARROW)):
        with pytest.raises(BadMedia) as caught:
            check_sides(*size, min_side=300, max_aspect=2.5)
        assert caught.value.code is fault


def test_many_photos_fit_one_request() -> None:
    """Photos that are too much together shrink to equal shares, in order; small ones and small sets stay untouched."""
    buffer = io.BytesIO()
    Image.effect_noise((900, 900), 90).convert("RGB").save(buffer, "JPEG", quality=95)
    large, small = Photo(buffer.getvalue(), "image/jpeg"), Photo(picture(), "image/jpeg")
    assert fit_photos((large, small), total_bytes=10**7, max_side=900) == (large, small)
    fitted = fit_photos((large, small, large), total_bytes=300_000, max_side=900)
    assert sum(len(photo.data) for photo in fitted) <= 300_000
    assert fitted[1] == small
    assert fitted[0] != large
    assert fit_photos((), total_bytes=1, max_side=1) == ()


@pytest.mark.parametrize("size", [(64, 48), (4000, 3000), (6000, 100), (10, 900), (9000, 1)])
def test_a_preview_always_fits_telegram(size: tuple[int, int]) -> None:
    """Any picture we store has a JPEG that `sendPhoto` accepts."""
    preview = open_image(image_preview(picture("PNG", size)))
    assert preview.format == "JPEG"
    assert sum(preview.size) <= 10_000
    assert max(preview.size) <= 20 * min(preview.size)


@pytest.mark.parametrize("audio", [False, True])
@pytest.mark.parametrize("faststart", [False, True])
def test_a_clip_is_measured(audio: bool, faststart: bool) -> None:
    """Sides, length and sound come from the bytes."""
    info = inspect_video(clip(seconds=2, audio=audio, faststart=faststart))
    assert (info.width, info.height, info.has_audio) == (96, 64, audio)
    assert info.duration_ms == pytest.approx(2000, abs=150)


@pytest.mark.parametrize("faststart", [False, True])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_a_truncated_clip_is_broken(faststart: bool, share: float) -> None:
    """A download that broke off is seen, also when the header at the front is whole."""
    whole = clip(seconds=2, faststart=faststart)
    with pytest.raises(BadMedia):
        inspect_video(whole[: int(len(whole) * share)])


@pytest.mark.parametrize(
    "junk", [b"", b"<?xml version='1.0'?><Error/>", b"\0\0\0\x18ftypmp42", picture(), b"#EXTM3U\nfile:///etc/passwd"]
)
def test_what_is_no_clip_is_refused(junk: bytes) -> None:
    """Errors as text, pictures, playlists and bare headers are no clips."""
    with pytest.raises(BadMedia):
        inspect_video(junk)


def test_a_clip_without_pictures_is_no_clip() -> None:
    """A sound track alone cannot be sold as a clip."""
    place = io.BytesIO()
    with av.open(place, "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=44100)
        container.mux(sound.encode(silence()))
        container.mux(sound.encode(None))
    with pytest.raises(BadMedia) as caught:
        inspect_video(place.getvalue())
    assert caught.value.code is MediaFault.NOT_A_VIDEO


def test_an_endless_clip_is_refused() -> None:
    """A length that nobody ordered is no result."""
    with pytest.raises(BadMedia) as caught:
        inspect_video(clip(seconds=700, frames_a_second=1, size=(16, 16)))
    assert caught.value.code is MediaFault.TOO_LONG


def test_a_thumbnail_fits_telegram() -> None:
    """The thumbnail is a JPEG of at most 320 pixels a side and 200 kB, in the clip's form."""
    data = video_thumbnail(clip(size=(960, 640)))
    thumbnail = open_image(data)
    assert (thumbnail.format, thumbnail.size) == ("JPEG", (320, 213))
    assert len(data) < 200_000


JPEG, PNG, CLIP = picture(), picture("PNG"), clip(faststart=True)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([JPEG, PNG, CLIP]), st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=12))
def test_damaged_bytes_only_ever_raise_bad_media(whole: bytes, damage: list[tuple[int, int]]) -> None:
    """Whatever bytes are flipped, the answer is a result or `BadMedia`."""
    data = bytearray(whole)
    for place, value in damage:
        data[place % len(data)] = value
    for use in (inspect_image, inspect_video, video_thumbnail, image_preview):
        try:
            use(bytes(data))
        except BadMedia:
            continue
