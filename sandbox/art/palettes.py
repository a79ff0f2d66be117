"""Colours and words: what a prompt says about light, place, weather and subject, in Russian and English."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Palette:
    """The light of a scene: the sky from top to horizon, the lamp in it, and the ground from far to near."""

    sky: tuple[Colour, Colour, Colour]
    lamp: Colour
    far: Colour
    near: Colour
    accent: Colour
    dark: bool = False


PALETTES = {
    "day": Palette(
        ((64, 140, 214), (142, 197, 236), (240, 240, 222)),
        (255, 250, 222),
        (150, 190, 196),
        (38, 92, 84),
        (247, 178, 71),
    ),
    "sunset": Palette(
        ((58, 41, 102), (214, 91, 108), (255, 190, 120)), (255, 232, 176), (190, 104, 120), (42, 24, 58), (255, 122, 89)
    ),
    "dawn": Palette(
        ((104, 122, 186), (232, 168, 186), (255, 226, 196)),
        (255, 246, 224),
        (186, 160, 188),
        (62, 66, 110),
        (240, 128, 128),
    ),
    "night": Palette(
        ((8, 12, 38), (26, 36, 88), (74, 84, 144)),
        (244, 242, 220),
        (46, 58, 108),
        (10, 14, 36),
        (255, 209, 102),
        dark=True,
    ),
    "violet": Palette(
        ((38, 20, 76), (120, 64, 150), (240, 140, 170)),
        (255, 220, 230),
        (134, 80, 150),
        (30, 16, 56),
        (94, 234, 212),
        dark=True,
    ),
    "mint": Palette(
        ((36, 118, 122), (122, 196, 172), (238, 244, 206)),
        (255, 252, 226),
        (130, 184, 164),
        (18, 68, 72),
        (255, 138, 101),
    ),
    "autumn": Palette(
        ((120, 144, 170), (226, 190, 150), (250, 226, 180)),
        (255, 240, 200),
        (206, 140, 88),
        (94, 44, 28),
        (226, 88, 34),
    ),
    "winter": Palette(
        ((116, 150, 194), (182, 206, 230), (240, 244, 250)),
        (255, 255, 248),
        (176, 198, 222),
        (232, 240, 250),
        (214, 64, 69),
    ),
    "neon": Palette(
        ((14, 8, 42), (70, 18, 104), (232, 52, 138)),
        (255, 120, 200),
        (66, 24, 110),
        (12, 8, 34),
        (34, 211, 238),
        dark=True,
    ),
}

LIGHTS = (
    ("neon", r"неон|кибер|cyber|neon|synthwave"),
    ("night", r"\bноч|звёзд|звезд|\bлун[аеыу]|космо|космич|галакт|night|\bstars?\b|moon|space|galax|\bdark"),
    ("sunset", r"закат|сумер|вечер|sunset|dusk|evening|golden hour"),
    ("dawn", r"рассвет|утр[оае]|dawn|sunrise|morning|пастел|pastel|розов|pink"),
    ("winter", r"зим[аеынй]|снег|снеж|\bл[её]д\b|\bльд|мороз|winter|snow|\bice\b|frost|ёлк|новогод"),
    ("autumn", r"осен|листопад|autumn|fall leaves|рыж"),
    ("violet", r"фиолет|сказ|маги|волшеб|purple|violet|magic|fantas|dream"),
    ("mint", r"тропи|джунгл|весн|\bлес|jungle|spring|forest|green|зелён"),
    ("day", r"\bдень|\bдня|солнеч|лет[ао]\b|пляж|day|sunny|summer|beach"),
)
PLACES = (
    ("space", r"космо|космич|галакт|планет|ракет|space|galax|planet|rocket|astronaut"),
    ("city", r"город|улиц|небоскр|мегаполис|кибер|неон|city|street|skyscraper|cyber|neon|tokyo|машин|авто|\bcar\b"),
    (
        "sea",
        r"мор[еюя]|океан|пляж|остров|волн|лодк|кораб|парус|\bsea\b|ocean|beach|island|\bwave|boat|\bship|\bsail|\blake|озер",
    ),
    ("forest", r"\bлес|дерев|ёлк|джунгл|\bчащ|\bпарк|forest|\btree|\bwood|jungle|\bpark\b"),
    ("mountains", r"\bгор[аыуе]?\b|вершин|альп|mountain|alps|peak|дракон|dragon|замок|castle"),
    ("desert", r"пустын|дюн|песк|desert|dune|sand"),
    (
        "meadow",
        r"цвет[оыу]|роз[аы]\b|букет|\bлуг|\bпол[ея]\b|\bсад|flower|\broses?\b|meadow|field|garden|тюльпан|ромашк",
    ),
)
SUBJECTS = (
    ("cat", r"\bкот|кошк|котён|котик|\bcats?\b|kitten"),
    ("fox", r"\bлис[аыуье]|лисён|лисич|\bfox"),
    ("dog", r"собак|\bпёс|\bпса|щен|\bdog|puppy|corgi|корги"),
    (
        "person",
        r"девушк|женщин|мужчин|человек|портрет|парен|мальчик|девоч|принцесс|woman|\bman\b|girl|boy|portrait|person",
    ),
    ("robot", r"робот|андроид|robot|android"),
    ("rocket", r"ракет|rocket"),
    ("astronaut", r"космонавт|астронавт|astronaut"),
    ("car", r"машин|автомоб|\bcar\b|кабриолет"),
    ("boat", r"лодк|кораб|парус|яхт|boat|\bship|\bsail|yacht"),
    ("balloon", r"воздушн\w* шар|balloon"),
    ("heart", r"сердц|любов|\bheart|\blove"),
    ("flower", r"цвет[оы]|роз[аыу]\b|букет|тюльпан|ромашк|flower|\broses?\b|tulip"),
    ("cup", r"кофе|\bча[йя]\b|чашк|кружк|coffee|\btea\b|\bcup\b|mug"),
    ("castle", r"замок|замк|castle|башн|tower"),
    ("house", r"\bдом|изб|хижин|домик|house|cabin|cottage|hut"),
    ("birds", r"птиц|чайк|журавл|bird|seagull|eagle|орёл"),
)


def _first(rules: tuple[tuple[str, str], ...], words: str) -> str | None:
    return next((name for name, pattern in rules if re.search(pattern, words)), None)


@dataclass(frozen=True)
class Reading:
    """What a prompt asks for: light, place, subject (may be none), and rain or snow."""

    palette: Palette
    place: str
    subject: str | None
    weather: str | None


def read(prompt: str, chance: random.Random) -> Reading:
    """Look for known words in `prompt`; what it does not say is chosen at random by `chance`."""
    words = prompt[:4_000].lower()
    light = _first(LIGHTS, words) or chance.choice(("day", "sunset", "dawn", "mint", "violet", "autumn"))
    place = _first(PLACES, words) or chance.choice(("hills", "mountains", "sea", "desert", "meadow", "hills"))
    if place == "space" and not PALETTES[light].dark:
        light = "night"
    weather = "snow" if re.search(r"снег|снеж|зим|snow|winter", words) else None
    if re.search(r"дожд|ливень|rain", words):
        weather = "rain"
    return Reading(PALETTES[light], place, _first(SUBJECTS, words), weather)
