"""Landscapes in flat layers: sky, lamp, land from far to near. Each layer knows how far it is, so that it can move."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from PIL import Image, ImageDraw, ImageFilter

from sandbox.art.palettes import Colour, Palette, Reading

Size = tuple[int, int]


@dataclass(frozen=True)
class Layer:
    """Something to paint; `depth` 0 is the horizon and 1 is nearest."""

    depth: float
    paint: Callable[[Image.Image], None]


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """`share` 0 gives `one`, 1 gives `other`."""
    return (
        round(one[0] + (other[0] - one[0]) * share),
        round(one[1] + (other[1] - one[1]) * share),
        round(one[2] + (other[2] - one[2]) * share),
    )


def gradient(size: Size, *stops: Colour) -> Image.Image:
    """A vertical gradient of colours, smooth at any size."""
    ramp = Image.new("RGB", (1, 64))
    for row in range(64):
        place = row / 63 * (len(stops) - 1)
        index = min(int(place), len(stops) - 2)
        ramp.putpixel((0, row), mix(stops[index], stops[index + 1], place - index))
    return ramp.resize(size, Image.Resampling.BICUBIC)


def glow(canvas: Image.Image, centre: tuple[float, float], radius: float, colour: Colour, strength: float) -> None:
    """Soft light around `centre`, blended over `canvas`."""
    side = max(2, round(radius * 2))
    halo = Image.radial_gradient("L").resize((side, side)).point(_falloff(strength))
    canvas.paste(Image.new("RGB", (side, side), colour), (round(centre[0] - radius), round(centre[1] - radius)), halo)


def _falloff(strength: float) -> list[int]:
    """From full in the middle to nothing at the edge: Pillow's gradient is about 180 at the middle of an edge."""
    return [round(max(0.0, 1 - value / 178) ** 2 * 255 * strength) for value in range(256)]


def sky(reading: Reading, chance: random.Random, size: Size, horizon: float) -> Image.Image:
    """The background, opaque: gradient, stars, sun or moon with its light, clouds."""
    width, height = size
    palette = reading.palette
    canvas = gradient(size, *palette.sky, palette.sky[2])
    pen = ImageDraw.Draw(canvas, "RGBA")
    unit = min(size)
    if palette.dark:
        for _ in range(170):
            x, y = chance.random() * width, chance.random() ** 1.5 * height * horizon
            r = unit * chance.choice((0.0008, 0.0012, 0.0012, 0.002, 0.003))
            pen.ellipse((x - r, y - r, x + r, y + r), fill=(255, 255, 240, chance.randint(90, 240)))
    lamp = (width * chance.uniform(0.2, 0.8), height * horizon * chance.uniform(0.42, 0.74))
    radius = unit * chance.uniform(0.07, 0.12)
    glow(canvas, lamp, radius * 6, palette.lamp, 0.62)
    pen.ellipse((lamp[0] - radius, lamp[1] - radius, lamp[0] + radius, lamp[1] + radius), fill=palette.lamp)
    if palette.dark and chance.random() < 0.7:
        for _ in range(4):
            x, y, r = (
                lamp[0] + radius * chance.uniform(-0.6, 0.6),
                lamp[1] + radius * chance.uniform(-0.6, 0.6),
                radius * chance.uniform(0.08, 0.2),
            )
            pen.ellipse((x - r, y - r, x + r, y + r), fill=(*mix(palette.lamp, palette.sky[1], 0.25), 255))
    if reading.place != "space":
        _clouds(canvas, palette, chance, horizon)
    else:
        _cosmos(canvas, palette, chance)
    return canvas


def _clouds(canvas: Image.Image, palette: Palette, chance: random.Random, horizon: float) -> None:
    width, height = canvas.size
    small = (max(8, width // 4), max(8, height // 4))
    mask = Image.new("L", small, 0)
    pen = ImageDraw.Draw(mask)
    for _ in range(chance.randint(3, 5)):
        x, y = chance.random() * small[0], chance.uniform(0.08, 0.72) * small[1] * horizon
        length = chance.uniform(0.1, 0.22) * small[0]
        for part in range(7):
            offset = (part - 3) / 3
            rise = (1 - offset * offset) * length * 0.22 * chance.uniform(0.6, 1.2) + length * 0.05
            cx, rx = x + offset * length, length * 0.24
            pen.ellipse((cx - rx, y - rise, cx + rx, y + length * 0.09), fill=150)
    mask = mask.filter(ImageFilter.GaussianBlur(small[0] / 320 + 0.5)).resize(canvas.size, Image.Resampling.BICUBIC)
    tint = mix(palette.sky[1], palette.lamp, 0.3 if palette.dark else 0.8)
    canvas.paste(Image.new("RGB", canvas.size, tint), (0, 0), mask)


def _cosmos(canvas: Image.Image, palette: Palette, chance: random.Random) -> None:
    width, height = canvas.size
    unit = min(width, height)
    for colour in (palette.accent, (120, 80, 220), (60, 160, 220)):
        glow(
            canvas,
            (chance.random() * width, chance.random() * height * 0.8),
            unit * chance.uniform(0.4, 0.7),
            colour,
            0.26,
        )
    x, y, r = width * chance.uniform(0.2, 0.8), height * chance.uniform(0.2, 0.4), unit * chance.uniform(0.1, 0.16)
    body = gradient(
        (max(2, round(r * 2)),) * 2, mix(palette.accent, (255, 255, 255), 0.4), palette.accent, palette.sky[0]
    )
    mask = Image.new("L", body.size, 0)
    ImageDraw.Draw(mask).ellipse((0, 0, body.width - 1, body.height - 1), fill=255)
    pen = ImageDraw.Draw(canvas, "RGBA")
    ring = (x - r * 1.9, y - r * 0.34, x + r * 1.9, y + r * 0.34)
    thick = max(1, round(r * 0.09))
    pen.arc(ring, 180, 360, fill=(255, 240, 220, 190), width=thick)
    canvas.paste(body, (round(x - r), round(y - r)), mask)
    pen.arc(ring, 0, 180, fill=(255, 240, 220, 230), width=thick)


def land(reading: Reading, chance: random.Random, horizon: float) -> list[Layer]:
    """The layers between the sky and the subject, from far to near."""
    makers = {
        "city": _city,
        "sea": _sea,
        "forest": _forest,
        "mountains": _mountains,
        "desert": _hills,
        "meadow": _meadow,
        "space": _hills,
        "hills": _hills,
    }
    return makers[reading.place](reading.palette, chance, horizon)


def _ridge(canvas: Image.Image, line: Callable[[float], float], top: Colour, foot: Colour) -> None:
    """Fill below `line` (x and y as shares of the canvas) with a gradient from `top` to `foot`."""
    width, height = canvas.size
    steps = 160
    edge = [(index / steps * width, line(index / steps) * height) for index in range(steps + 1)]
    crest = max(0, round(min(y for _, y in edge)))
    mask = Image.new("L", (width, max(1, height - crest)), 0)
    ImageDraw.Draw(mask).polygon([*((x, y - crest) for x, y in edge), (width, mask.height), (0, mask.height)], fill=255)
    canvas.paste(gradient(mask.size, top, foot), (0, crest), mask)


def _waves(chance: random.Random, base: float, swing: float, sharp: bool = False) -> Callable[[float], float]:
    terms = [
        (chance.uniform(0.6, 1.4) * 2**index, chance.random() * math.tau, swing / 1.8**index) for index in range(5)
    ]

    def line(x: float) -> float:
        total = 0.0
        for frequency, phase, size in terms:
            angle = x * frequency * math.pi * 1.6 + phase
            # A triangle wave looks like rocky peaks, a sine wave like grassy hills.
            total += size * (2 / math.pi * math.asin(math.sin(angle)) if sharp else math.sin(angle))
        return base + total

    return line


def _hills(palette: Palette, chance: random.Random, horizon: float) -> list[Layer]:
    layers = []
    for index in range(4):
        share = index / 3
        line = _waves(chance, horizon + 0.02 + share * 0.24, 0.045 + 0.012 * index)
        top, foot = mix(palette.far, palette.near, share), mix(palette.far, palette.near, min(1.0, share + 0.25))
        layers.append(Layer(share * 0.7, partial(_ridge, line=line, top=top, foot=foot)))
    return layers


def _mountains(palette: Palette, chance: random.Random, horizon: float) -> list[Layer]:
    layers = []
    snow = mix((255, 255, 255), palette.sky[2], 0.25)
    for index in range(2):
        rock = _waves(chance, horizon - 0.05 + index * 0.1, 0.13 - index * 0.03, sharp=True)
        top, foot = mix(palette.far, palette.near, index * 0.3), mix(palette.far, palette.sky[2], 0.35 - index * 0.2)

        def paint(
            canvas: Image.Image,
            rock: Callable[[float], float] = rock,
            top: Colour = top,
            foot: Colour = foot,
            level: float = horizon - 0.02 + index * 0.08,
        ) -> None:
            _ridge(canvas, rock, snow, mix(snow, top, 0.5))
            _ridge(
                canvas,
                lambda x: max(
                    rock(x) + 0.012,
                    rock(x) * 0.35 + (level - 0.06) * 0.65 + 0.016 * math.sin(x * 90) + 0.01 * math.sin(x * 41),
                ),
                top,
                foot,
            )

        layers.append(Layer(index * 0.15, paint))
    return layers + _hills(palette, chance, horizon + 0.09)[1:]


def _meadow(palette: Palette, chance: random.Random, horizon: float) -> list[Layer]:
    layers = _hills(palette, chance, horizon)
    flowers = [
        (
            chance.random(),
            chance.random() ** 0.7,
            chance.choice((palette.accent, palette.lamp, (236, 110, 140), (250, 250, 250))),
        )
        for _ in range(130)
    ]

    def paint(canvas: Image.Image) -> None:
        width, height = canvas.size
        pen = ImageDraw.Draw(canvas)
        for x, nearness, colour in sorted(flowers, key=lambda one: one[1]):
            r = min(width, height) * (0.004 + 0.009 * nearness)
            cx, cy = x * width, (horizon + 0.22 + nearness * (0.74 - horizon)) * height
            pen.line((cx, cy, cx, cy + r * 4), fill=mix(palette.near, palette.far, 0.3), width=max(1, round(r * 0.4)))
            for petal in range(5):
                px, py = cx + r * math.cos(petal * math.tau / 5), cy + r * math.sin(petal * math.tau / 5)
                pen.ellipse((px - r * 0.75, py - r * 0.75, px + r * 0.75, py + r * 0.75), fill=colour)
            pen.ellipse((cx - r * 0.5, cy - r * 0.5, cx + r * 0.5, cy + r * 0.5), fill=(250, 200, 80))

    return [*layers, Layer(0.9, paint)]


def _sea(palette: Palette, chance: random.Random, horizon: float) -> list[Layer]:
    level = horizon + 0.08
    coast = _waves(chance, level - 0.015, 0.022)
    glints = [(chance.gauss(0.5, 0.17), chance.random(), chance.uniform(0.02, 0.1)) for _ in range(120)]

    def water(canvas: Image.Image) -> None:
        width, height = canvas.size
        top = round(level * height)
        canvas.paste(
            gradient(
                (width, height - top),
                mix(palette.sky[2], palette.sky[1], 0.45),
                mix(palette.sky[0], palette.near, 0.35),
                mix(palette.sky[0], palette.near, 0.7),
            ),
            (0, top),
        )
        pen = ImageDraw.Draw(canvas)
        for x, depth, length in glints:
            y = top + depth**1.6 * (height - top)
            half = length * width * (0.25 + depth)
            colour = mix(palette.lamp, mix(palette.sky[0], palette.near, 0.4), 0.25 + 0.6 * depth)
            pen.line(
                (x * width - half, y, x * width + half, y),
                fill=colour,
                width=max(1, round(height * (0.0012 + 0.003 * depth))),
            )

    far, near = mix(palette.far, palette.near, 0.25), mix(palette.far, palette.near, 0.5)
    return [Layer(0.05, lambda canvas: _ridge(canvas, coast, far, near)), Layer(0.25, water)]


def _forest(palette: Palette, chance: random.Random, horizon: float) -> list[Layer]:
    layers = [_hills(palette, chance, horizon)[0]]
    for index in range(3):
        share = 0.3 + index * 0.35
        trees = [(chance.random(), chance.uniform(0.75, 1.25)) for _ in range(34 - index * 9)]
        base = horizon + 0.1 + index * 0.14
        ground = _waves(chance, base, 0.02)

        def paint(
            canvas: Image.Image,
            trees: list[tuple[float, float]] = trees,
            share: float = share,
            ground: Callable[[float], float] = ground,
            index: int = index,
        ) -> None:
            width, height = canvas.size
            pen = ImageDraw.Draw(canvas)
            colour = mix(palette.far, palette.near, share)
            for x, scale in trees:
                tall = min(width, height) * (0.14 + 0.07 * index) * scale
                foot = ground(x) * height + tall * 0.06
                for tier in range(4):
                    low, half = foot - tall * (0.08 + tier * 0.2), tall * (0.27 - tier * 0.055)
                    pen.polygon(
                        [(x * width - half, low), (x * width + half, low), (x * width, low - tall * 0.36)],
                        fill=mix(colour, palette.lamp, 0.03 * tier),
                    )
                pen.rectangle(
                    (x * width - tall * 0.025, foot - tall * 0.1, x * width + tall * 0.025, foot), fill=palette.near
                )
            _ridge(canvas, ground, colour, mix(colour, palette.near, 0.5))

        layers.append(Layer(0.15 + index * 0.3, paint))
    return layers


def _city(palette: Palette, chance: random.Random, horizon: float) -> list[Layer]:
    layers = []
    for index in range(3):
        houses, x = [], -0.02
        while x < 1.02:
            width = chance.uniform(0.05, 0.11) * (1 + index * 0.25)
            houses.append((x, width, chance.uniform(0.1, 0.36) * (1 - index * 0.22), chance.random()))
            x += width * chance.uniform(0.86, 1.06)
        share = 0.15 + index * 0.4

        def paint(
            canvas: Image.Image,
            houses: list[tuple[float, float, float, float]] = houses,
            share: float = share,
            base: float = horizon + 0.12 + index * 0.13,
            seed: int = chance.randrange(1 << 30),
        ) -> None:
            width, height = canvas.size
            lot = random.Random(seed)
            pen = ImageDraw.Draw(canvas)
            wall = mix(palette.far, palette.near, share)
            for left, wide, tall, kind in houses:
                x0, x1, y0 = left * width, (left + wide) * width, (base - tall) * height
                pen.rectangle((x0, y0, x1, height), fill=wall)
                if kind > 0.7:
                    pen.line(
                        ((x0 + x1) / 2, y0 - height * 0.05, (x0 + x1) / 2, y0), fill=wall, width=max(1, width // 300)
                    )
                elif kind > 0.45:
                    pen.polygon([(x0, y0), (x1, y0), (x0 + (x1 - x0) * 0.5, y0 - height * 0.03)], fill=wall)
                step = max(4.0, min(width, height) * 0.022)
                rows, columns = int((height - y0) / step), int((x1 - x0) / step)
                for row in range(min(rows, 24)):
                    for column in range(columns):
                        if lot.random() < 0.36:
                            wx, wy = x0 + (column + 0.35) * step, y0 + (row + 0.5) * step
                            light = palette.accent if lot.random() < 0.3 else (255, 222, 150)
                            pen.rectangle(
                                (wx, wy, wx + step * 0.36, wy + step * 0.5), fill=mix(wall, light, 0.35 + share * 0.5)
                            )

        layers.append(Layer(0.1 + index * 0.3, paint))
    return layers
