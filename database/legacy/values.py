"""How values of a version 1.3 database are read: columns without fixed types, rubles, many words for one state.

A value about money is read exactly or refused with a ValueError that says why. Other values get a default.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

MAX_KOPECKS = 10**11
TOLERANCE = Decimal("1e-6")  # of a kopeck: a sum stored as a binary fraction is that close to the real one
_RUBLES = re.compile(r"[+-]?[0-9]{1,12}([.,][0-9]{1,2})?")
_WHOLE = re.compile(r"-?[0-9]{1,19}")

PAYMENT_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("paid", "succeeded", "success", "completed", "complete", "confirmed", "done"), "paid"),
    **dict.fromkeys(("pending", "created", "new", "waiting", "processing", "waiting_for_capture"), "pending"),
    **dict.fromkeys(("canceled", "cancelled", "failed", "expired", "rejected", "declined", "error"), "canceled"),
    **dict.fromkeys(("refunded", "returned"), "refunded"),
}
JOB_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("completed", "complete", "done", "success", "succeeded", "finished", "ready"), "completed"),
    **dict.fromkeys(("failed", "failure", "error", "timeout", "refunded", "rejected"), "failed"),
    **dict.fromkeys(("cancelled", "canceled"), "cancelled"),
}
"""Any other word means that the job was open."""


def kopecks(value: object) -> int:
    """Rubles as an INTEGER, a REAL or a TEXT like "12.50", "12,50" or " 100 " → kopecks; NULL is 0."""
    if value is None:
        return 0
    if isinstance(value, int):
        exact = Decimal(value) * 100
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is no sum")
        exact = Decimal(repr(value)) * 100
    elif isinstance(value, str) and _RUBLES.fullmatch(value.strip()):
        exact = Decimal(value.strip().replace(",", ".")) * 100
    else:
        raise ValueError(f"{shown(value)} is no sum in rubles")
    if abs(exact) > MAX_KOPECKS:
        raise ValueError(f"{shown(value)} rubles are too many")
    whole = exact.to_integral_value()
    if abs(exact - whole) > TOLERANCE:
        raise ValueError(f"{shown(value)} rubles are no whole number of kopecks")
    return int(whole)


def whole(value: object) -> int:
    """An id: an integer of 64 bits, also if it is stored as text or as a REAL without a fraction."""
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if not isinstance(value, int):
        raise ValueError("it is missing" if value in (None, "") else f"{shown(value)} is no id")
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{value} does not fit 64 bits")
    return value


def key(value: object) -> str | None:
    """An id stored as text or as a number; None when there is none."""
    if value is None or value == "":
        return None
    if isinstance(value, float) or not isinstance(value, int | str):
        raise ValueError(f"{shown(value)} is no id")
    text = str(value)
    if len(text) > 180 or "\x00" in text or "\ufffd" in text:
        raise ValueError(f"{shown(value)} is no id")
    return text


def words(value: object) -> str:
    """Any value as text; bytes that are not UTF-8 are replaced, NULL becomes empty."""
    if value is None:
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def flag(value: object) -> int:
    return int(words(value).strip().lower() in ("1", "1.0", "true", "yes", "t", "y"))


def moment(value: object, otherwise: int) -> int:
    """A time as seconds, milliseconds or ISO text (UTC if it has no zone) → UTC milliseconds; else `otherwise`."""
    text = words(value).strip()
    try:
        number = float(text)
    except ValueError:
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            return otherwise
        number = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(number):
        return otherwise
    milliseconds = int(number if abs(number) >= 1e11 else number * 1000)
    return milliseconds if 0 < milliseconds < 10**14 else otherwise


def job_type(value: object) -> str:
    """Version 1.3 and its variants had many words for the types; an unknown word means an image."""
    word = words(value).strip().lower()
    if "anim" in word or word in ("i2v", "image2video", "image_to_video", "img2video"):
        return "animate"
    if "video" in word or "kling" in word or word in ("t2v", "clip"):
        return "video"
    return "edit" if "edit" in word or word in ("i2i", "img2img") else "image"


def cost(value: object) -> int:
    """The cost of an old job, for its history: kopecks, 0 if it can't be read."""
    try:
        return max(kopecks(value), 0)
    except ValueError:
        return 0


def mapping(value: object) -> dict[str, Any]:
    """Options stored as a JSON object; empty for anything else."""
    try:
        found = json.loads(words(value) or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def plain(row: Mapping[str, Any], *known: str) -> dict[str, Any]:
    """The columns that the new table does not have, as values that JSON can hold."""
    rest = {name: value for name, value in row.items() if name not in known and value is not None}
    return {name: value if isinstance(value, int) else words(value) for name, value in rest.items()}


def shown(value: object) -> str:
    return repr(value)[:60]
