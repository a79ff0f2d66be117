"""The image models as data: what each takes, its latency and its price (docs/reference/gemini.md, sections 1, 7, 9)."""

from __future__ import annotations

from dataclasses import dataclass

TEN = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
FOURTEEN = (*TEN, "1:4", "4:1", "1:8", "8:1")

PIXELS_1K = {
    "1:1": (1024, 1024),
    "2:3": (848, 1264),
    "3:2": (1264, 848),
    "3:4": (896, 1200),
    "4:3": (1200, 896),
    "4:5": (928, 1152),
    "5:4": (1152, 928),
    "9:16": (768, 1376),
    "16:9": (1376, 768),
    "21:9": (1584, 672),
    "1:4": (512, 2048),
    "4:1": (2048, 512),
    "1:8": (384, 3072),
    "8:1": (3072, 384),
}
PIXELS_FIRST = dict(
    zip(
        TEN,
        (
            (1024, 1024),
            (832, 1248),
            (1248, 832),
            (864, 1184),
            (1184, 864),
            (896, 1152),
            (1152, 896),
            (768, 1344),
            (1344, 768),
            (1536, 672),
        ),
        strict=True,
    )
)
FACTORS = {"512": 0.5, "1K": 1.0, "2K": 2.0, "4K": 4.0}

PHOTO_TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"})
OTHER_TYPES = frozenset({"application/pdf", "video/mp4"})


@dataclass(frozen=True)
class Model:
    """One model. Prices are US dollars per million tokens, medians are seconds by size class."""

    id: str
    title: str
    ratios: tuple[str, ...]
    image_tokens: dict[str, int]
    medians: dict[str, float]
    refs: int
    levels: tuple[str, ...]
    price_in: float
    price_text: float
    price_image: float
    photo_tokens: int
    thoughts: dict[str, int]
    limit_in: int
    limit_out: int
    mime: str = "image/jpeg"
    fixed_size: bool = False
    always_thinks: bool = False
    types: frozenset[str] = PHOTO_TYPES

    @property
    def sizes(self) -> tuple[str, ...]:
        return tuple(self.image_tokens)

    def pixels(self, ratio: str, size: str) -> tuple[int, int]:
        """Width and height of an image of that ratio and size class."""
        if self.fixed_size:
            return PIXELS_FIRST[ratio]
        width, height = PIXELS_1K[ratio]
        return round(width * FACTORS[size]), round(height * FACTORS[size])


MODELS = {
    model.id: model
    for model in (
        Model(
            "gemini-nano-banana-2.1",
            "Nano Banana 2.1",
            FOURTEEN,
            {"1K": 1120, "2K": 1680, "4K": 3780},
            {"1K": 20, "2K": 26, "4K": 40},
            14,
            ("MINIMAL", "MEDIUM", "HIGH"),
            1.50,
            7.50,
            30,
            1120,
            {"MINIMAL": 0, "MEDIUM": 190, "HIGH": 420},
            131_072,
            32_768,
            types=PHOTO_TYPES | OTHER_TYPES,
        ),
        Model(
            "gemini-3-pro-image",
            "Nano Banana Pro",
            TEN,
            {"1K": 1120, "2K": 1120, "4K": 2000},
            {"1K": 22, "2K": 40, "4K": 60},
            14,
            ("MINIMAL", "LOW", "MEDIUM", "HIGH"),
            2.00,
            12.00,
            120,
            560,
            {"MEDIUM": 240},
            65_536,
            32_768,
            always_thinks=True,
        ),
        Model(
            "gemini-3.1-flash-lite-image",
            "Nano Banana 2 Lite",
            FOURTEEN,
            {"1K": 1120},
            {"1K": 4},
            14,
            ("MINIMAL", "HIGH"),
            0.25,
            1.50,
            30,
            258,
            {"MINIMAL": 0, "HIGH": 160},
            65_536,
            4_096,
            types=PHOTO_TYPES | OTHER_TYPES,
        ),
        Model(
            "gemini-3.1-flash-image",
            "Nano Banana 2",
            FOURTEEN,
            {"512": 747, "1K": 1120, "2K": 1680, "4K": 2520},
            {"512": 11, "1K": 14, "2K": 20, "4K": 32},
            14,
            ("MINIMAL", "HIGH"),
            0.50,
            3.00,
            60,
            1120,
            {"MINIMAL": 0, "HIGH": 380},
            131_072,
            32_768,
            types=PHOTO_TYPES | OTHER_TYPES,
        ),
        Model(
            "gemini-2.5-flash-image",
            "Nano Banana",
            TEN,
            {"1K": 1290},
            {"1K": 10},
            3,
            (),
            0.30,
            2.50,
            30,
            258,
            {},
            32_768,
            32_768,
            mime="image/png",
            fixed_size=True,
        ),
    )
}
ALIASES = {"nano-banana-pro-preview": "gemini-3-pro-image"}
