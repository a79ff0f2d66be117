"""Kling: videos as tasks of the v2 API (docs/reference/kling.md, sections 1-8).

A submit whose answer is lost is searched by our own `external_task_id` before anything else is tried. Queries are free,
and a query that fails never means that a task failed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urljoin, urlsplit

from services.base_provider import (
    Blame,
    ErrorCode,
    Failure,
    ProviderError,
    TaskStatus,
    VideoProvider,
    VideoRequest,
    VideoTask,
)
from services.providers.http import Answer, HttpClient
from services.providers.kling_answer import read_envelope, read_task

GLOBAL_URL = "https://api-singapore.klingai.com"
SUBMIT_SECONDS = 75.0
POLL_SECONDS = 30.0
DOWNLOAD_SECONDS = 300.0
ANSWER_LIMIT = 4 * 1024 * 1024
VIDEO_LIMIT = 256 * 1024 * 1024
MAX_REDIRECTS = 3
# Most models refuse a photo without any prompt (docs/reference/kling.md, section 2.2).
WORDLESS = "The photo comes to life: natural, gentle motion."

_OUR_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


class Kling(VideoProvider):
    """Makes videos with Kling's official API.

    `batch` is how many ids one query has, `max_video_bytes` the largest download.
    Raises `ValueError` for a key or proxy that cannot work.
    """

    name = "kling"

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str = GLOBAL_URL,
        proxy: str | None = None,
        batch: int = 20,
        max_video_bytes: int = VIDEO_LIMIT,
    ) -> None:
        if batch < 1:
            raise ValueError("a batch holds at least one id")
        self._batch = batch
        self._max_video_bytes = max_video_bytes
        self._plain_http_allowed = base_url.startswith("http://")
        auth = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
        self._api = HttpClient(base_url=base_url, headers=auth, proxy=proxy, secrets=[api_key])
        self._files = HttpClient(proxy=proxy, secrets=[api_key])  # results are on other hosts: no key there

    async def close(self) -> None:
        await self._api.close()
        await self._files.close()

    async def check(self) -> None:
        """Query a task that never existed: free, and refused for a wrong key, address or account."""
        answer = await self._get({"external_task_ids": "health-check"})
        if not isinstance(read_envelope(answer, self._api.scrub, Failure.PERMANENT), list):
            raise self._bad_list()

    async def submit(self, request: VideoRequest) -> VideoTask:
        """Start the task; an unknown failure means that it may be running: `find` its external id.

        Raises `ProviderError`, `ValueError` for an external id that is not 1-64 characters of `A-Za-z0-9_-`.
        """
        _require(_OUR_ID, request.external_id)
        path, content = await asyncio.to_thread(request_body, request)
        answer = await self._api.request(
            "POST",
            path,
            content=content,
            read_seconds=SUBMIT_SECONDS,
            deadline=SUBMIT_SECONDS,
            max_bytes=ANSWER_LIMIT,
            in_doubt=Failure.UNKNOWN,
        )
        data = read_envelope(answer, self._api.scrub, Failure.UNKNOWN, with_photo=request.photo is not None)
        task = read_task(data, self._api.scrub)
        if task is None or task.external_id not in (None, request.external_id):
            detail = f"HTTP {answer.status} without a task of ours"
            raise ProviderError(ErrorCode.BAD_ANSWER, Failure.UNKNOWN, Blame.PROVIDER, detail)
        return task

    async def find(self, external_ids: Sequence[str]) -> dict[str, VideoTask]:
        found: dict[str, VideoTask] = {}
        for asked in self._batches(_OUR_ID, external_ids):
            tasks, unreadable = await self._tasks("external_task_ids", asked)
            for task in tasks:
                if task.external_id in asked:
                    known = found.get(task.external_id)
                    found[task.external_id] = task if known is None else min(known, task, key=_preference)
            if unreadable and not found.keys() >= asked:
                # "Not found" lets the caller buy again, so it is returned only when the whole answer was understood.
                raise self._bad_list()
        return found

    async def poll(self, task_ids: Sequence[str]) -> dict[str, VideoTask]:
        found: dict[str, VideoTask] = {}
        for asked in self._batches(_TASK_ID, task_ids):
            tasks, _ = await self._tasks("task_ids", asked)
            found.update({task.id: task for task in tasks if task.id in asked})
        return found

    async def download(self, url: str) -> bytes:
        """The mp4 at a result's link. A link that no longer works is `result_gone`: ask for a fresh one."""
        for _ in range(MAX_REDIRECTS + 1):
            self._require_web_address(url)
            answer = await self._files.request(
                "GET",
                url,
                read_seconds=POLL_SECONDS,
                deadline=DOWNLOAD_SECONDS,
                max_bytes=self._max_video_bytes,
                in_doubt=Failure.TEMPORARY,
            )
            if answer.status not in (301, 302, 303, 307, 308):
                return _video(answer)
            try:
                url = urljoin(url, answer.headers.get("location", ""))
            except ValueError:
                break
        raise ProviderError(ErrorCode.BAD_RESULT, Failure.TEMPORARY, Blame.PROVIDER, "the clip's link leads nowhere")

    async def _tasks(self, field: str, asked: frozenset[str]) -> tuple[list[VideoTask], bool]:
        """All tasks of the answer, and whether something in it could not be read."""
        answer = await self._get({field: ",".join(sorted(asked))})
        data = read_envelope(answer, self._api.scrub, Failure.TEMPORARY)
        if not isinstance(data, list):
            raise self._bad_list()
        tasks = [read_task(one, self._api.scrub) for one in data]
        return [task for task in tasks if task is not None], None in tasks

    async def _get(self, params: Mapping[str, str]) -> Answer:
        return await self._api.request(
            "GET",
            "/tasks",
            params=params,
            read_seconds=POLL_SECONDS,
            deadline=POLL_SECONDS,
            max_bytes=ANSWER_LIMIT,
            in_doubt=Failure.TEMPORARY,
        )

    def _batches(self, form: re.Pattern[str], ids: Sequence[str]) -> Iterator[frozenset[str]]:
        unique = list(dict.fromkeys(ids))
        for one in unique:
            _require(form, one)
        for start in range(0, len(unique), self._batch):
            yield frozenset(unique[start : start + self._batch])

    def _require_web_address(self, url: str) -> None:
        """Check that a result's link is an https address."""
        allowed = ("https", "http") if self._plain_http_allowed else ("https",)
        try:
            parts = urlsplit(url)
            fine = parts.scheme in allowed and bool(parts.hostname)
        except ValueError:
            fine = False
        if not fine:
            detail = "the clip's link is no https address"
            raise ProviderError(ErrorCode.BAD_RESULT, Failure.TEMPORARY, Blame.PROVIDER, detail, max_repeats=0)

    @staticmethod
    def _bad_list() -> ProviderError:
        detail = "the look-up's answer is not a list of tasks"
        return ProviderError(ErrorCode.BAD_ANSWER, Failure.TEMPORARY, Blame.PROVIDER, detail)


def request_body(request: VideoRequest) -> tuple[str, bytes]:
    """The path and the JSON of one task (docs/reference/kling.md, section 2).

    Kling ignores unknown keys silently, so everything must be nested exactly as documented. An option that the model
    does not have is not sent at all. `multi_shot` is sent as false, because it is on by default.
    """
    settings: dict[str, Any] = {"resolution": request.resolution, "duration": request.duration}
    if request.audio is not None:
        settings["audio"] = "native" if request.audio else "off"
    if request.multi_shot is not None:
        settings["multi_shot"] = request.multi_shot
    options: dict[str, Any] = {"external_task_id": request.external_id, "watermark_info": {"enabled": False}}
    if request.callback_url:
        options["callback_url"] = request.callback_url
    body: dict[str, Any] = {"settings": settings, "options": options}
    if request.photo is None:
        kind = "text-to-video"
        body["prompt"] = request.prompt
        if request.aspect_ratio is not None:
            settings["aspect_ratio"] = request.aspect_ratio
    else:
        kind = "image-to-video"
        # Plain base64, because a data: prefix is refused (docs/reference/kling.md, section 2.2).
        frame = base64.b64encode(request.photo.data).decode("ascii")
        words = {"type": "prompt", "text": request.prompt or WORDLESS}
        body["contents"] = [words, {"type": "first_frame", "url": frame}]
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,63}", request.model):
        raise ValueError("the model's id is not one of the catalogue's form")
    return f"/{kind}/{request.model}", json.dumps(body, separators=(",", ":")).encode("ascii")


def _video(answer: Answer) -> bytes:
    if answer.status in (401, 403, 404, 410):
        detail = f"the clip's link answers HTTP {answer.status}"
        # This link will not work again: the caller has to ask for a new one.
        raise ProviderError(ErrorCode.RESULT_GONE, Failure.TEMPORARY, Blame.PROVIDER, detail, max_repeats=0)
    if answer.status != 200:
        detail = f"the clip's host answers HTTP {answer.status}"
        raise ProviderError(ErrorCode.NETWORK, Failure.TEMPORARY, Blame.PROVIDER, detail)
    if answer.body[4:8] != b"ftyp":
        detail = f"{len(answer.body)} bytes that are no mp4"
        raise ProviderError(ErrorCode.BAD_RESULT, Failure.TEMPORARY, Blame.PROVIDER, detail)
    return answer.body


def _preference(task: VideoTask) -> tuple[int, str]:
    """The sort key for two tasks with one external id, which some endpoints allow: the better one comes first."""
    order = (TaskStatus.SUCCEEDED, TaskStatus.PROCESSING, TaskStatus.SUBMITTED, TaskStatus.FAILED)
    return order.index(task.status), task.id


def _require(form: re.Pattern[str], identifier: str) -> None:
    if not form.fullmatch(identifier):
        raise ValueError("an id holds 1 to 64 characters of A-Z a-z 0-9 _ -")
