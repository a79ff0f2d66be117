"""A scene: what was found in the prompt, as layers that make a still image or the parts of a video."""

from __future__ import annotations

import random

from PIL import Image, ImageDraw

from sandbox.art import palettes, scenery, subjects

SMOOTHING = 2


def layout(size: tuple[int, int]) -> float:
    """How low the horizon is, as a share of the height: lower in tall images."""
    return 0.62 if size[1] > size[0] * 1.2 else 0.52


class Scene:
    """One prompt; the rest of the scene is chosen at random. `still` and `parts` may be called with any size."""

    def __init__(self, prompt: str, chance: random.Random) -> None:
        self.reading = palettes.read(prompt, chance)
        self._seed = chance.randrange(1 << 62)

    def still(self, size: tuple[int, int]) -> Image.Image:
        """The whole scene in one RGB image, drawn larger and reduced so that edges are smooth."""
        large = (size[0] * SMOOTHING, size[1] * SMOOTHING)
        backdrop, layers = self._painted(large)
        for layer in layers:
            layer.paint(backdrop)
        return backdrop.reduce(SMOOTHING)

    def parts(self, size: tuple[int, int]) -> tuple[Image.Image, list[tuple[float, Image.Image]]]:
        """The background (RGB) and the layers before it (RGBA) with their depth, far to near."""
        large = (size[0] * SMOOTHING, size[1] * SMOOTHING)
        backdrop, layers = self._painted(large)
        cut_outs = []
        for layer in layers:
            canvas = Image.new("RGBA", large, (*self.reading.palette.near, 0))
            layer.paint(canvas)
            cut_outs.append((layer.depth, canvas.reduce(SMOOTHING)))
        return backdrop.reduce(SMOOTHING), cut_outs

    def _painted(self, size: tuple[int, int]) -> tuple[Image.Image, list[scenery.Layer]]:
        chance = random.Random(self._seed)
        horizon = layout(size)
        backdrop = scenery.sky(self.reading, chance, size, horizon)
        layers = scenery.land(self.reading, chance, horizon)
        figure = self._figure(chance)
        if figure is not None:
            layers.append(figure)
        if self.reading.weather:
            layers.append(self._weather(chance))
        return backdrop, layers

    def _figure(self, chance: random.Random) -> scenery.Layer | None:
        name = self.reading.subject
        if name is None:
            # An empty foreground looks unfinished: far birds or a balloon fill it.
            name, scale = chance.choice((("birds", 0.1), ("balloon", 0.09), ("birds", 0.08)))
            spot = (chance.uniform(0.25, 0.75), chance.uniform(0.2, 0.36))
        elif name in subjects.FLOATING:
            scale, spot = 0.2, (chance.uniform(0.4, 0.6), 0.4)
        else:
            scale, spot = 0.23, (chance.uniform(0.36, 0.64), 0.6)

        def paint(canvas: Image.Image) -> None:
            size = scale * min(canvas.size)
            brush = subjects.Brush(canvas, spot[0] * canvas.width, spot[1] * canvas.height, size, self.reading.palette)
            subjects.FIGURES[name](brush)

        return scenery.Layer(0.5 if self.reading.subject else 0.1, paint)

    def _weather(self, chance: random.Random) -> scenery.Layer:
        flakes = [(chance.random(), chance.random(), chance.random()) for _ in range(160)]

        def paint(canvas: Image.Image) -> None:
            pen = ImageDraw.Draw(canvas)
            unit = min(canvas.size)
            for x, y, r in flakes:
                px, py = x * canvas.width, y * canvas.height
                if self.reading.weather == "snow":
                    size = unit * (0.0015 + 0.004 * r)
                    pen.ellipse((px - size, py - size, px + size, py + size), fill=(250, 252, 255))
                else:
                    length = unit * (0.02 + 0.03 * r)
                    pen.line((px, py, px - length * 0.25, py + length), fill=(206, 222, 240), width=max(1, unit // 700))

        return scenery.Layer(1.0, paint)
