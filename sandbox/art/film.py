"""Videos: real H.264 mp4 files with motion, drawn from a prompt or from a first frame (and a last one)."""

from __future__ import annotations

import array
import math
import random
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import av.container
from PIL import Image, ImageChops, ImageDraw, ImageOps

from sandbox.art.compose import Scene
from sandbox.art.text import caption, font

FPS = 24  # (docs/reference/kling.md, section 5)
SAMPLE_RATE = 44_100
Frames = Callable[[float], Image.Image]


def even(size: tuple[int, int]) -> tuple[int, int]:
    """The size with even sides, which 4:2:0 colour needs."""
    return max(16, size[0] // 2 * 2), max(16, size[1] // 2 * 2)


def render(
    prompt: str,
    size: tuple[int, int],
    seconds: int,
    chance: random.Random,
    *,
    first: Image.Image | None = None,
    last: Image.Image | None = None,
    sound: bool = False,
    mark: str = "",
) -> bytes:
    """An mp4 (H.264 yuv420p, faststart) of `seconds` and one frame more: 5 gives 5.041 s. CPU-bound, use a thread."""
    size = even(size)
    total = seconds * FPS + 1
    frames = _animated(first, last, size) if first is not None else _scenic(Scene(prompt, chance), size)
    sparks = _sparks(chance, size)
    overlay = _overlay(prompt, mark, size)

    def scene(t: float) -> Image.Image:
        picture = frames(t)
        sparks(picture, t * total / FPS)
        picture.paste(overlay, (0, 0), overlay)
        return picture

    # Moving the index to the front makes FFmpeg open the file a second time by its name, so it has to have one.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip.mp4")
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            _encode(container, size, total, scene, sound)
        return path.read_bytes()


def _encode(
    container: av.container.OutputContainer, size: tuple[int, int], total: int, scene: Frames, sound: bool
) -> None:
    video = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "23", "tune": "animation"})
    video.width, video.height = size
    video.pix_fmt = "yuv420p"
    video.thread_count = 1
    audio = container.add_stream("aac", rate=SAMPLE_RATE) if sound else None
    for index in range(total):
        frame: av.VideoFrame = av.VideoFrame.from_image(scene(index / max(1, total - 1)))  # type: ignore[no-untyped-call]
        container.mux(video.encode(frame))
    container.mux(video.encode())
    if audio is not None:
        for chunk in _chord(total / FPS):
            container.mux(audio.encode(chunk))
        container.mux(audio.encode())


def _scenic(scene: Scene, size: tuple[int, int]) -> Frames:
    """A slow camera move through the layers of a drawn scene: the nearer a layer, the more it moves."""
    wide = (round(size[0] * 1.24) // 2 * 2, round(size[1] * 1.24) // 2 * 2)
    backdrop, cut_outs = scene.parts(wide)
    groups: list[tuple[float, Image.Image]] = []
    for depth, layer in cut_outs:
        # Three planes are enough for depth, and each costs a paste per frame.
        if groups and (depth - groups[-1][0] < 0.3):
            groups[-1][1].alpha_composite(layer)
        else:
            groups.append((depth, layer))
    spare = (wide[0] - size[0], wide[1] - size[1])

    def frame(t: float) -> Image.Image:
        ease = t * t * (3 - 2 * t)
        inset = 0.5 * spare[0] * ease * 0.6
        box = (inset, inset * size[1] / size[0], wide[0] - inset, wide[1] - inset * size[1] / size[0])
        picture = backdrop.resize(size, Image.Resampling.BILINEAR, box=box)
        for depth, layer in groups:
            x = round(spare[0] * (0.5 + (ease - 0.5) * (0.25 + 0.75 * depth)))
            y = round(spare[1] * (0.5 + 0.28 * depth * math.sin(t * math.tau * 0.5)))
            part = layer.crop((x, y, x + size[0], y + size[1]))
            picture.paste(part, (0, 0), part)
        return picture

    return frame


def _animated(first: Image.Image, last: Image.Image | None, size: tuple[int, int]) -> Frames:
    """A slow zoom over the first frame (Ken Burns), dissolving into the last one if it is given."""
    wide = (round(size[0] * 1.2), round(size[1] * 1.2))
    start = ImageOps.fit(first, wide, Image.Resampling.BICUBIC)
    end = ImageOps.fit(last, wide, Image.Resampling.BICUBIC) if last is not None else None

    def frame(t: float) -> Image.Image:
        ease = t * t * (3 - 2 * t)
        zoom = 1 - 0.17 * ease
        width, height = wide[0] * zoom, wide[1] * zoom
        x, y = (wide[0] - width) * (0.5 + 0.3 * math.sin(t * 3)), (wide[1] - height) * 0.4
        source = start
        if end is not None:
            source = Image.blend(start, end, min(1.0, max(0.0, (t - 0.2) / 0.75)))
        return source.resize(size, Image.Resampling.BILINEAR, box=(x, y, x + width, y + height))

    return frame


def _sparks(chance: random.Random, size: tuple[int, int]) -> Callable[[Image.Image, float], None]:
    """Points of light that rise: movement that is seen at any size."""
    motes = [
        (chance.random(), chance.random(), chance.uniform(0.3, 1.0), chance.random() * math.tau) for _ in range(26)
    ]

    def paint(picture: Image.Image, seconds: float) -> None:
        pen = ImageDraw.Draw(picture, "RGBA")
        unit = min(size)
        for x, y, speed, phase in motes:
            px = (x + 0.02 * math.sin(seconds * 1.4 + phase)) * size[0]
            py = ((y - seconds * 0.05 * speed) % 1.0) * size[1]
            r = unit * (0.002 + 0.005 * speed)
            pen.ellipse(
                (px - r, py - r, px + r, py + r), fill=(255, 246, 214, round(90 + 80 * math.sin(seconds * 3 + phase)))
            )

    return paint


def _overlay(prompt: str, mark: str, size: tuple[int, int]) -> Image.Image:
    """The caption and the watermark, drawn once and laid over every frame."""
    plain = Image.new("RGB", size, (70, 76, 100))
    written = plain.copy()
    caption(written, prompt)
    overlay = written.convert("RGBA")
    changed = Image.new("L", size, 0)
    box = _changed_box(plain, written)
    if box is not None:
        unit = min(size) / 100
        ImageDraw.Draw(changed).rounded_rectangle(box, radius=unit * 2.4, fill=228)
    overlay.putalpha(changed)
    if mark:
        ImageDraw.Draw(overlay).text(
            (size[0] * 0.03, size[1] * 0.03), mark, font=font(min(size) // 18), fill=(255, 255, 255, 210)
        )
    return overlay


def _changed_box(one: Image.Image, other: Image.Image) -> tuple[int, int, int, int] | None:
    box = ImageChops.difference(one, other).getbbox()
    return None if box is None else (box[0], box[1], box[2] - 1, box[3] - 1)


def _chord(seconds: float) -> list[av.AudioFrame]:
    """A quiet chord, so that a video ordered with sound has sound."""
    period = SAMPLE_RATE // 10  # All tones are multiples of 10 Hz, so a tenth of a second repeats without a click.
    wave = array.array(
        "h",
        (
            round(1_400 * sum(math.sin(math.tau * tone * i / SAMPLE_RATE) for tone in (220, 280, 330)))
            for i in range(period)
        ),
    )
    frames = []
    total = round(seconds * SAMPLE_RATE)
    for start in range(0, total, period):
        frame = av.AudioFrame(format="s16", layout="mono", samples=min(period, total - start))
        frame.planes[0].update(wave[: frame.samples].tobytes().ljust(frame.planes[0].buffer_size, b"\0"))
        frame.sample_rate = SAMPLE_RATE
        frame.pts = start
        frame.time_base = Fraction(1, SAMPLE_RATE)
        frames.append(frame)
    return frames
