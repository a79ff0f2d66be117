"""Edits that a person sees at once: their own photo, recoloured by the prompt, in a frame, with a caption."""

from __future__ import annotations

import io
import re

from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from sandbox.art import palettes, scenery
from sandbox.art.canvas import drawn_size, seed_of
from sandbox.art.palettes import Palette
from sandbox.art.text import caption

MAX_SIDE = 1_600


def opened(data: bytes) -> Image.Image:
    """The photo upright and in RGB, at most 1600 pixels a side; ValueError if the bytes are not an image."""
    try:
        with Image.open(io.BytesIO(data)) as source:
            source.draft("RGB", (MAX_SIDE, MAX_SIDE))
            photo = ImageOps.exif_transpose(source)
            photo.thumbnail((MAX_SIDE, MAX_SIDE))
            return photo.convert("RGB")
    except Exception as error:  # Pillow's plugins raise nearly any exception on broken files.
        raise ValueError("not a readable picture") from error


def edit(photos: list[Image.Image], prompt: str, size: tuple[int, int]) -> Image.Image:
    """The photos as one image of exactly `size`: the first fills it, the others lie on it as small prints."""
    chance = seed_of(prompt)
    palette = palettes.read(prompt, chance).palette
    drawn = drawn_size(size)
    picture = ImageOps.fit(photos[0], drawn, Image.Resampling.BICUBIC)
    picture = graded(picture, prompt, palette)
    for index, photo in enumerate(photos[1:5]):
        _lay_print(picture, photo, index, chance.uniform(-9, 9))
    _frame(picture, palette)
    caption(picture, prompt)
    return picture if drawn == size else picture.resize(size, Image.Resampling.BICUBIC)


def graded(picture: Image.Image, prompt: str, palette: Palette) -> Image.Image:
    """A photo in the colours and the style of the prompt."""
    words = prompt.lower()
    if re.search(r"ч[её]рно-?бел|ч/б|монохром|black and white|b&w|monochrome|grayscale", words):
        return ImageEnhance.Contrast(ImageOps.grayscale(picture).convert("RGB")).enhance(1.25)
    if re.search(r"эскиз|набросок|карандаш|скетч|sketch|pencil|line art", words):
        return _sketched(picture)
    if re.search(
        r"акварел|маслом|живопис|картин|мульт|аниме|комикс|paint|watercolou?r|oil|anime|cartoon|ghibli", words
    ):
        picture = _painted(picture)
    grey = ImageOps.autocontrast(ImageOps.grayscale(picture), cutoff=1)
    toned = ImageOps.colorize(grey, scenery.mix(palette.near, (0, 0, 20), 0.3), palette.lamp, palette.sky[1])
    picture = Image.blend(ImageEnhance.Color(picture).enhance(1.2), toned, 0.4)
    picture = Image.blend(picture, ImageChops.overlay(picture, scenery.gradient(picture.size, *palette.sky)), 0.6)
    light = Image.new("RGB", picture.size, (0, 0, 0))
    scenery.glow(light, (picture.width * 0.85, picture.height * 0.1), max(picture.size) * 0.7, palette.accent, 0.5)
    picture = ImageChops.screen(picture, light)
    return Image.composite(picture, ImageEnhance.Brightness(picture).enhance(0.55), _vignette(picture.size))


def _vignette(size: tuple[int, int]) -> Image.Image:
    return Image.radial_gradient("L").point([max(0, min(255, round((250 - v) * 1.9))) for v in range(256)]).resize(size)


def _painted(picture: Image.Image) -> Image.Image:
    small = picture.resize((max(8, picture.width // 2), max(8, picture.height // 2)), Image.Resampling.BILINEAR)
    flat = ImageOps.posterize(small.filter(ImageFilter.MedianFilter(5)), 3).filter(ImageFilter.MedianFilter(3))
    flat = ImageEnhance.Color(flat).enhance(1.35).resize(picture.size, Image.Resampling.BICUBIC)
    ink = (
        ImageOps.grayscale(small)
        .filter(ImageFilter.FIND_EDGES)
        .point([max(0, 255 - max(0, v - 28) * 4) for v in range(256)])
    )
    return ImageChops.multiply(flat, ink.resize(picture.size, Image.Resampling.BICUBIC).convert("RGB"))


def _sketched(picture: Image.Image) -> Image.Image:
    grey = ImageOps.grayscale(picture)
    soft = ImageOps.invert(grey).filter(ImageFilter.GaussianBlur(max(2, min(picture.size) / 90)))
    # Colour dodge: the pencil line is what differs from its own blur.
    dodged = ImageChops.add(grey, soft).point([max(0, min(255, round((v - 128) * 2.1))) for v in range(256)])
    return ImageOps.colorize(dodged, (46, 42, 52), (250, 246, 236))


def _lay_print(picture: Image.Image, photo: Image.Image, index: int, angle: float) -> None:
    side = round(min(picture.size) * 0.3)
    border = max(2, side // 18)
    card = Image.new("RGBA", (side + 2 * border, side + 4 * border), (252, 250, 244, 255))
    card.paste(ImageOps.fit(photo, (side, side), Image.Resampling.BICUBIC), (border, border))
    card = card.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    corner = ((0.57, 0.06), (0.05, 0.08), (0.56, 0.42), (0.06, 0.44))[index]
    where = (round(corner[0] * picture.width), round(corner[1] * picture.height))
    shadow = card.getchannel("A").point([round(v * 0.45) for v in range(256)]).filter(ImageFilter.GaussianBlur(border))
    picture.paste((10, 10, 20), (where[0] + border, where[1] + border), shadow)
    picture.paste(card, where, card)


def _frame(picture: Image.Image, palette: Palette) -> None:
    width = max(2, round(min(picture.size) * 0.022))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 0, picture.width - 1, picture.height - 1), outline=(250, 247, 240), width=width)
    inner = max(1, width // 6)
    pen.rectangle(
        (width, width, picture.width - 1 - width, picture.height - 1 - width), outline=palette.accent, width=inner
    )
