"""Results at signed addresses that expire; a video is drawn when it is first asked for.

Facts: docs/reference/kling.md, section 5.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from PIL import Image

from sandbox import art
from sandbox.art import film
from sandbox.kling.models import PIXELS
from sandbox.kling.tasks import Task
from sandbox.scenario import without_tags

KEY = b"sandbox result addresses"
CACHE_BYTES = 64 * 1024 * 1024
SMALL = {"16:9": (640, 360), "9:16": (360, 640), "1:1": (480, 480)}
SMALL_AREA = 640 * 360


def seal(task_id: str, expires: int, kind: str) -> str:
    """The signature in a result's address."""
    return hmac.new(KEY, f"{task_id}.{expires}.{kind}".encode(), hashlib.sha256).hexdigest()[:32]


def address(base: str, task_id: str, expires: int, kind: str = "v") -> str:
    """The address of a video; `kind` `v` is the clean one, `w` has the watermark."""
    return f"{base}/kling/files/{task_id}.mp4?kind={kind}&expires={expires}&sig={seal(task_id, expires, kind)}"


def size_of(task: Task, real: bool) -> tuple[int, int]:
    """Width and height of the video, in the asked ratio or in that of the first frame; small unless `real`."""
    order = task.order
    if not task.frames:
        ratio = order.ratio or "16:9"
        if not real:
            return SMALL[ratio]
        across, down = (int(part) for part in ratio.split(":"))
        short = PIXELS[order.resolution]
        return film.even((short * across // min(across, down), short * down // min(across, down)))
    with Image.open(io.BytesIO(task.frames[0])) as first:
        width, height = first.size
    factor = PIXELS[order.resolution] / min(width, height) if real else (SMALL_AREA / (width * height)) ** 0.5
    return film.even((round(width * factor), round(height * factor)))


def make(task: Task, kind: str, real: bool) -> bytes:
    """The mp4 of a task. CPU-bound, use a thread."""
    frames = [art.opened(data) for data in task.frames]
    words = without_tags(task.order.prompt)
    return film.render(
        words,
        size_of(task, real),
        task.order.seconds,
        art.seed_of(words),
        first=frames[0] if frames else None,
        last=frames[1] if len(frames) > 1 else None,
        sound=task.order.audio == "native",
        mark="KLING AI" if kind == "w" else "",
    )


class Clips:
    """A cache of videos, limited in bytes; two requests at once wait for the same work."""

    def __init__(self) -> None:
        self._made: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._making: dict[tuple[str, str], asyncio.Future[bytes]] = {}

    async def get(self, task_id: str, kind: str, work: Callable[[], Awaitable[bytes]]) -> bytes:
        key = (task_id, kind)
        if key in self._made:
            self._made.move_to_end(key)
            return self._made[key]
        if key not in self._making:
            self._making[key] = asyncio.ensure_future(work())
            self._making[key].add_done_callback(lambda _: self._making.pop(key, None))
        # The work continues if the first client hangs up: the next one waits for it as well.
        clip = await asyncio.shield(self._making[key])
        self._made[key] = clip
        while len(self._made) > 1 and sum(map(len, self._made.values())) > CACHE_BYTES:
            self._made.popitem(last=False)
        return clip

    def clear(self) -> None:
        self._made.clear()
