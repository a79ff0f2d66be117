"""What stands in the foreground when the prompt names it: plain figures of a few shapes each."""

from __future__ import annotations

import math
from collections.abc import Callable

from PIL import Image, ImageDraw

from sandbox.art.palettes import Colour, Palette
from sandbox.art.scenery import mix

Points = list[tuple[float, float]]


class Brush:
    """Draws in the figure's own units: x from -1 to 1, y from -1 (top) to 1 (feet), `size` pixels to one unit."""

    def __init__(self, canvas: Image.Image, x: float, y: float, size: float, palette: Palette) -> None:
        self._pen = ImageDraw.Draw(canvas)
        self._x, self._y, self._size = x, y, size
        self.palette = palette
        self.dark = mix(palette.near, (16, 14, 30), 0.35)
        self.pale = mix(palette.lamp, (255, 255, 255), 0.4)

    def at(self, x: float, y: float) -> tuple[float, float]:
        return self._x + x * self._size, self._y + y * self._size

    def oval(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        self._pen.ellipse((*self.at(x - rx, y - ry), *self.at(x + rx, y + ry)), fill=colour)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour, radius: float = 0.0) -> None:
        self._pen.rounded_rectangle((*self.at(x0, y0), *self.at(x1, y1)), radius=radius * self._size, fill=colour)

    def shape(self, points: Points, colour: Colour) -> None:
        self._pen.polygon([self.at(x, y) for x, y in points], fill=colour)

    def line(self, points: Points, width: float, colour: Colour) -> None:
        thick = max(1, round(width * self._size))
        placed = [self.at(x, y) for x, y in points]
        self._pen.line(placed, fill=colour, width=thick, joint="curve")
        for x, y in (placed[0], placed[-1]):
            self._pen.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=colour)


def _curve(x: float, y: float, r: float, start: float, end: float, flat: float = 1.0) -> Points:
    """Points on an arc, degrees clockwise from the right."""
    steps = 24
    return [
        (
            x + r * math.cos(math.radians(start + (end - start) * i / steps)),
            y + flat * r * math.sin(math.radians(start + (end - start) * i / steps)),
        )
        for i in range(steps + 1)
    ]


def _animal(brush: Brush, coat: Colour, belly: Colour, *, pointed: bool, bushy: bool) -> None:
    tail = _curve(0.5, 0.5, 0.42, 90, -70)
    brush.line(tail, 0.3 if bushy else 0.13, coat)
    if bushy:
        brush.oval(*tail[-1], 0.15, 0.17, belly)
    brush.oval(0, 0.5, 0.5, 0.52, coat)
    brush.oval(0, 0.62, 0.28, 0.4, belly)
    for side in (-1, 1):
        brush.oval(side * 0.24, 0.96, 0.18, 0.09, coat)
        if pointed:
            brush.shape([(side * 0.44, -0.3), (side * 0.4, -0.86), (side * 0.06, -0.52)], coat)
            brush.shape(
                [(side * 0.37, -0.42), (side * 0.36, -0.7), (side * 0.18, -0.52)], mix(belly, (240, 150, 150), 0.5)
            )
        else:
            brush.oval(side * 0.44, -0.22, 0.14, 0.32, mix(coat, brush.dark, 0.45))
    brush.oval(0, -0.24, 0.45, 0.38, coat)
    brush.oval(0, -0.09, 0.25, 0.19, belly)
    for side in (-1, 1):
        brush.oval(side * 0.18, -0.29, 0.075, 0.09, (250, 250, 240))
        brush.oval(side * 0.17, -0.28, 0.045, 0.065, (24, 22, 34))
        if pointed:
            for tilt in (-0.03, 0.05):
                brush.line([(side * 0.2, -0.08), (side * 0.56, -0.1 + tilt)], 0.014, brush.pale)
    brush.shape([(-0.055, -0.17), (0.055, -0.17), (0, -0.1)], (60, 36, 44))
    brush.line(_curve(-0.06, -0.09, 0.06, 10, 150), 0.018, (60, 36, 44))
    brush.line(_curve(0.06, -0.09, 0.06, 30, 170), 0.018, (60, 36, 44))


def cat(brush: Brush) -> None:
    _animal(brush, mix((128, 118, 128), brush.palette.near, 0.2), (240, 232, 224), pointed=True, bushy=False)


def fox(brush: Brush) -> None:
    _animal(brush, (226, 108, 46), (252, 238, 222), pointed=True, bushy=True)


def dog(brush: Brush) -> None:
    _animal(brush, (206, 152, 92), (248, 232, 206), pointed=False, bushy=False)


def _bust(brush: Brush, hair: Colour, cloth: Colour) -> None:
    skin = (242, 201, 170)
    brush.oval(0, -0.3, 0.46, 0.52, hair)
    brush.box(-0.46, -0.3, 0.46, 0.34, hair, 0.2)
    brush.box(-0.78, 0.46, 0.78, 4.0, cloth, 0.42)
    brush.box(-0.13, 0.1, 0.13, 0.5, mix(skin, (160, 90, 80), 0.2), 0.1)
    brush.oval(0, 0.47, 0.2, 0.1, mix(skin, (160, 90, 80), 0.2))
    brush.oval(0, -0.2, 0.32, 0.41, skin)
    brush.shape([(-0.34, -0.3), (-0.3, -0.62), (0.32, -0.62), (0.35, -0.22), (0.12, -0.46)], hair)
    for side in (-1, 1):
        brush.oval(side * 0.13, -0.2, 0.036, 0.044, (40, 32, 44))
        brush.oval(side * 0.2, -0.06, 0.06, 0.04, (240, 168, 150))
    brush.line(_curve(0, -0.02, 0.1, 25, 155, 0.8), 0.026, (176, 72, 78))


def person(brush: Brush) -> None:
    _bust(brush, mix((70, 40, 34), brush.palette.near, 0.3), brush.palette.accent)


def astronaut(brush: Brush) -> None:
    suit = (236, 238, 244)
    brush.box(-0.74, 0.36, 0.74, 4.0, suit, 0.36)
    brush.box(-0.3, 0.62, 0.3, 0.84, brush.palette.accent, 0.06)
    brush.oval(0, -0.12, 0.56, 0.56, suit)
    brush.oval(0, -0.12, 0.43, 0.4, (36, 42, 84))
    brush.oval(0.06, -0.18, 0.34, 0.28, (64, 84, 150))
    brush.line(_curve(0, -0.12, 0.33, 200, 250), 0.05, (220, 230, 255))


def flower(brush: Brush) -> None:
    stem = mix((54, 140, 88), brush.palette.near, 0.3)
    for x, y, r, colour in (
        (-0.5, -0.1, 0.26, (250, 214, 120)),
        (0.52, -0.2, 0.28, (238, 120, 150)),
        (0, -0.45, 0.38, brush.palette.accent),
    ):
        brush.line([(x * 0.1, 1.0), (x * 0.7, 0.3), (x, y)], 0.05, stem)
        brush.oval(x * 0.6 + 0.12, 0.5, 0.16, 0.06, stem)
        for petal in range(8):
            angle = petal * math.tau / 8
            brush.oval(
                x + r * 0.72 * math.cos(angle),
                y + r * 0.72 * math.sin(angle),
                r * 0.4,
                r * 0.4,
                mix(colour, (255, 255, 255), 0.12 * (petal % 2)),
            )
        brush.oval(x, y, r * 0.42, r * 0.42, (255, 224, 130))


def boat(brush: Brush) -> None:
    brush.line([(0, 0.55), (0, -0.95)], 0.05, brush.dark)
    brush.shape([(0.06, -0.9), (0.06, 0.4), (0.78, 0.4)], brush.pale)
    brush.shape([(-0.06, -0.7), (-0.06, 0.4), (-0.6, 0.4)], brush.palette.accent)
    brush.shape([(-0.85, 0.5), (0.9, 0.5), (0.62, 0.86), (-0.6, 0.86)], (122, 62, 48))
    brush.box(-0.85, 0.48, 0.9, 0.57, brush.pale, 0.03)


def rocket(brush: Brush) -> None:
    brush.shape([(-0.16, 0.62), (0.16, 0.62), (0, 1.15)], (255, 170, 60))
    brush.shape([(-0.09, 0.62), (0.09, 0.62), (0, 0.95)], (255, 240, 170))
    for side in (-1, 1):
        brush.shape([(side * 0.24, 0.15), (side * 0.54, 0.72), (side * 0.2, 0.6)], brush.palette.accent)
    brush.shape([*_curve(0, 0.1, 0.3, 180, 360, 3.4), (0.22, 0.64), (-0.22, 0.64)], (240, 242, 248))
    brush.shape([(-0.2, -0.5), (0, -0.95), (0.2, -0.5)], brush.palette.accent)
    brush.oval(0, -0.18, 0.17, 0.17, (74, 90, 140))
    brush.oval(0.02, -0.2, 0.12, 0.12, (150, 214, 240))


def balloon(brush: Brush) -> None:
    for x0, x1 in ((-0.4, -0.14), (0.4, 0.14)):
        brush.line([(x0, 0.2), (x1, 0.74)], 0.02, brush.dark)
    brush.shape([(-0.56, -0.2), (0.56, -0.2), (0.16, 0.5), (-0.16, 0.5)], brush.palette.accent)
    brush.oval(0, -0.34, 0.6, 0.58, brush.palette.accent)
    brush.oval(0, -0.34, 0.38, 0.58, brush.pale)
    brush.shape([(-0.37, -0.24), (0.37, -0.24), (0.1, 0.5), (-0.1, 0.5)], brush.pale)
    brush.oval(0, -0.34, 0.15, 0.58, brush.palette.accent)
    brush.shape([(-0.15, -0.3), (0.15, -0.3), (0.04, 0.5), (-0.04, 0.5)], brush.palette.accent)
    brush.box(-0.17, 0.72, 0.17, 0.98, (134, 84, 52), 0.04)


def heart(brush: Brush) -> None:
    def outline(scale: float) -> Points:
        return [
            (
                scale * 0.05 * 16 * math.sin(t) ** 3,
                scale * -0.05 * (13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)),
            )
            for t in (index * math.tau / 60 for index in range(60))
        ]

    brush.shape(outline(1.06), brush.pale)
    brush.shape(outline(0.98), (222, 60, 92))
    brush.oval(-0.4, -0.32, 0.15, 0.11, (244, 138, 160))


def house(brush: Brush) -> None:
    brush.box(0.32, -0.62, 0.5, 0.0, (112, 60, 56))
    brush.box(-0.66, -0.05, 0.66, 1.0, (240, 220, 192))
    brush.shape([(-0.86, 0.0), (0, -0.82), (0.86, 0.0)], (176, 70, 62))
    brush.box(-0.14, 0.46, 0.16, 1.0, (118, 74, 52), 0.04)
    for x in (-0.48, 0.3):
        brush.box(x, 0.2, x + 0.22, 0.44, (255, 220, 130), 0.02)


def car(brush: Brush) -> None:
    brush.shape([(-0.52, 0.45), (-0.32, 0.06), (0.3, 0.06), (0.58, 0.45)], mix(brush.palette.accent, brush.dark, 0.2))
    brush.shape([(-0.42, 0.42), (-0.27, 0.13), (-0.02, 0.13), (-0.02, 0.42)], (190, 224, 240))
    brush.shape([(0.05, 0.42), (0.05, 0.13), (0.26, 0.13), (0.45, 0.42)], (190, 224, 240))
    brush.box(-0.98, 0.42, 0.98, 0.82, brush.palette.accent, 0.14)
    brush.box(0.84, 0.5, 0.98, 0.6, (255, 244, 190), 0.03)
    for x in (-0.56, 0.56):
        brush.oval(x, 0.82, 0.2, 0.2, (26, 24, 36))
        brush.oval(x, 0.82, 0.09, 0.09, (200, 204, 214))


def robot(brush: Brush) -> None:
    steel = (186, 196, 212)
    brush.line([(0, -0.6), (0, -0.86)], 0.05, steel)
    brush.oval(0, -0.9, 0.08, 0.08, brush.palette.accent)
    brush.box(-0.46, -0.62, 0.46, 0.04, steel, 0.16)
    brush.box(-0.36, -0.48, 0.36, -0.14, (30, 36, 66), 0.12)
    for side in (-1, 1):
        brush.oval(side * 0.16, -0.31, 0.08, 0.08, brush.palette.accent)
        brush.line([(side * 0.5, 0.24), (side * 0.74, 0.62)], 0.13, mix(steel, brush.dark, 0.2))
        brush.box(side * 0.24 - 0.12, 0.78, side * 0.24 + 0.12, 1.0, mix(steel, brush.dark, 0.3), 0.05)
    brush.box(-0.46, 0.12, 0.46, 0.84, steel, 0.12)
    brush.box(-0.24, 0.28, 0.24, 0.54, mix(steel, brush.dark, 0.5), 0.05)
    brush.line([(-0.18, 0.42), (-0.06, 0.34), (0.04, 0.48), (0.18, 0.36)], 0.03, brush.palette.accent)


def cup(brush: Brush) -> None:
    for x in (-0.2, 0.05, 0.3):
        brush.line([(x + 0.06 * math.sin(step / 3), -0.16 - step * 0.035) for step in range(20)], 0.035, brush.pale)
    brush.line(_curve(0.5, 0.34, 0.24, -90, 90), 0.1, brush.palette.accent)
    brush.shape([(-0.56, 0.0), (0.56, 0.0), (0.36, 0.86), (-0.36, 0.86)], brush.palette.accent)
    brush.oval(0, 0.0, 0.56, 0.13, brush.pale)
    brush.oval(0, 0.01, 0.48, 0.09, (92, 54, 38))
    brush.oval(0, 0.93, 0.74, 0.08, brush.pale)


def castle(brush: Brush) -> None:
    wall = mix((196, 182, 190), brush.palette.near, 0.25)
    for x, top, wide in ((-0.66, -0.2, 0.2), (0.66, -0.2, 0.2), (0, -0.5, 0.26)):
        brush.box(x - wide, top, x + wide, 1.0, wall)
        brush.shape([(x - wide - 0.06, top), (x + wide + 0.06, top), (x, top - 0.5)], brush.palette.accent)
        brush.box(x - 0.05, top + 0.2, x + 0.05, top + 0.42, (255, 222, 140), 0.05)
    brush.box(-0.7, 0.36, 0.7, 1.0, mix(wall, brush.dark, 0.12))
    for index in range(7):
        brush.box(-0.7 + index * 0.21, 0.26, -0.58 + index * 0.21, 0.4, mix(wall, brush.dark, 0.12))
    brush.box(-0.15, 0.58, 0.15, 1.0, brush.dark, 0.14)


def birds(brush: Brush) -> None:
    for x, y, r in ((-0.6, -0.5, 0.2), (-0.1, -0.8, 0.26), (0.45, -0.55, 0.22), (0.2, -0.2, 0.16), (-0.35, -0.1, 0.14)):
        brush.line(_curve(x - r, y, r, 200, 340, 0.7), 0.035, brush.dark)
        brush.line(_curve(x + r, y, r, 200, 340, 0.7), 0.035, brush.dark)


FIGURES: dict[str, Callable[[Brush], None]] = {
    "cat": cat,
    "fox": fox,
    "dog": dog,
    "person": person,
    "astronaut": astronaut,
    "flower": flower,
    "boat": boat,
    "rocket": rocket,
    "balloon": balloon,
    "heart": heart,
    "house": house,
    "car": car,
    "robot": robot,
    "cup": cup,
    "castle": castle,
    "birds": birds,
}
FLOATING = frozenset({"balloon", "rocket", "heart", "birds"})
