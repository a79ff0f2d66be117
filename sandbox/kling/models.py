"""The video models as data: what each accepts, costs and how long it takes.

Facts: docs/reference/kling.md, sections 2, 11, 12.
"""

from __future__ import annotations

from dataclasses import dataclass

ANY_SECONDS = tuple(range(3, 16))
RATIOS = ("16:9", "9:16", "1:1")


@dataclass(frozen=True)
class Model:
    """One model of the text-to-video and image-to-video endpoints. Prices are tenths of a unit per second of output."""

    id: str
    resolutions: tuple[str, ...]
    durations: tuple[int, ...]
    audio: tuple[str, ...]
    prices: dict[str, int]
    native_prices: dict[str, int]
    median: float
    prompt_limit: int = 3_072
    last_frame: frozenset[str] = frozenset()
    native_only: frozenset[str] | None = None
    last_frame_silent: bool = False
    elements: int = 0
    multi_shot: bool = False
    prompt_optional: bool = False

    def price(self, resolution: str, seconds: int, audio: str) -> int:
        """Tenths of a unit for a whole video (docs/reference/kling.md, section 11); billed on the requested seconds."""
        table = self.native_prices if audio == "native" else self.prices
        return table[resolution] * seconds

    def latency(self, resolution: str, seconds: int, audio: str) -> float:
        """Median seconds from submission to the end (docs/reference/kling.md, section 12: no official figures)."""
        slower = {"720p": 1.0, "1080p": 1.9, "4k": 3.0}[resolution] * (1.4 if audio == "native" else 1.0)
        return self.median * slower * (0.6 + 0.4 * seconds / 5)


HD = frozenset({"1080p"})
MODELS = {
    model.id: model
    for model in (
        Model(
            "kling-3.0-turbo",
            ("720p", "1080p"),
            ANY_SECONDS,
            (),
            {"720p": 8, "1080p": 10},
            {},
            40,
            prompt_optional=True,
        ),
        Model(
            "kling-3.0",
            ("720p", "1080p", "4k"),
            ANY_SECONDS,
            ("off", "native"),
            {"720p": 6, "1080p": 8, "4k": 30},
            {"720p": 9, "1080p": 12, "4k": 30},
            110,
            last_frame=frozenset({"720p", "1080p", "4k"}),
            elements=3,
            multi_shot=True,
        ),
        Model(
            "kling-2.6",
            ("720p", "1080p"),
            (5, 10),
            ("off", "native"),
            {"720p": 3, "1080p": 5},
            {"1080p": 10},
            85,
            prompt_limit=2_500,
            last_frame=HD,
            native_only=HD,
            last_frame_silent=True,
        ),
        Model(
            "kling-2.5-turbo",
            ("720p", "1080p"),
            (5, 10),
            (),
            {"720p": 3, "1080p": 5},
            {},
            45,
            prompt_limit=2_500,
            last_frame=HD,
        ),
    )
}
PIXELS = {"720p": 720, "1080p": 1080, "4k": 2160}
