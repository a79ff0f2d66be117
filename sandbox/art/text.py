"""The words of a prompt on an image: a font with Cyrillic letters, and the caption at the bottom."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont

# Pillow's own font has no Cyrillic letters, and a small container has no fonts at all.
FONT = Path(__file__).with_name("fonts") / "caption.ttf"
DRAWABLE = ((0x20, 0x7E), (0xA0, 0x17F), (0x400, 0x45F), (0x490, 0x491), (0x2010, 0x2026))
MAX_CAPTION = 160


@lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont:
    """The caption font at `size` pixels."""
    return ImageFont.truetype(str(FONT), max(6, size))


def readable(text: str) -> str:
    """The text in one line, without characters that the font lacks: emoji and other scripts."""
    kept = "".join(sign if any(low <= ord(sign) <= high for low, high in DRAWABLE) else " " for sign in text[:2_000])
    return " ".join(kept.split())[:MAX_CAPTION]


def wrap(text: str, face: ImageFont.FreeTypeFont, width: float, lines: int) -> list[str]:
    """At most `lines` lines no wider than `width` pixels; the last ends with an ellipsis if words are left."""
    rows: list[str] = []
    words = text.split()
    while words and len(rows) < lines:
        row = words.pop(0)
        while words and face.getlength(f"{row} {words[0]}") <= width:
            row += " " + words.pop(0)
        rows.append(row)
    if words:
        rows[-1] += "…"
    return [_cut(row, face, width) for row in rows]


def _cut(row: str, face: ImageFont.FreeTypeFont, width: float) -> str:
    if face.getlength(row) <= width:
        return row
    row = row.rstrip("…")
    while len(row) > 1 and face.getlength(row + "…") > width:
        row = row[:-1]
    return row.rstrip() + "…"


def caption(picture: Image.Image, text: str) -> None:
    """Draw `text` on a blurred panel at the bottom of `picture` (RGB, changed in place)."""
    text = readable(text)
    width, height = picture.size
    if not text or min(width, height) < 96:
        return
    unit = min(width, height) / 100
    face = font(round(unit * 3.6))
    margin, pad = unit * 4, unit * 2.6
    rows = wrap(text, face, width - 2 * margin - 2 * pad, lines=2)
    step = unit * 5.2
    card_height = step * len(rows) + 2 * pad - unit * 1.2
    box = (round(margin), round(height - margin - card_height), round(width - margin), round(height - margin))
    glass = picture.crop(box).filter(ImageFilter.GaussianBlur(unit * 1.6))
    glass = Image.blend(glass, Image.new("RGB", glass.size, (12, 14, 26)), 0.52)
    shape = Image.new("L", glass.size, 0)
    ImageDraw.Draw(shape).rounded_rectangle((0, 0, glass.width - 1, glass.height - 1), radius=unit * 2.4, fill=255)
    picture.paste(glass, box[:2], shape)
    pen = ImageDraw.Draw(picture)
    for number, row in enumerate(rows):
        pen.text((box[0] + pad, box[1] + pad * 0.72 + number * step), row, font=face, fill=(250, 247, 240))
