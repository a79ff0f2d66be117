"""The interface of all AI providers: requests, results, one error, bounded retries.

A provider returns a result or raises `ProviderError`, and no other error. The error answers the question that matters
for money: may the same call be made again?
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from database import clock

T = TypeVar("T")

MAX_RETRY_AFTER = float(clock.DAY_SECONDS)


class Failure(StrEnum):
    """May the same call be repeated?"""

    PERMANENT = "permanent"  # it would fail again
    TEMPORARY = "temporary"  # nothing happened: it may be repeated
    UNKNOWN = "unknown"  # it may have had its effect and may have been billed


class Blame(StrEnum):
    """Who has to change something."""

    USER = "user"
    ADMIN = "admin"
    PROVIDER = "provider"


class ErrorCode(StrEnum):
    """Every way in which a provider can fail. The values are stored, and texts depend on them."""

    # The user's request.
    PROMPT_BLOCKED = "prompt_blocked"  # the filter refused the prompt or the photo
    IMAGE_BLOCKED = "image_blocked"  # made, and then blocked by the filter
    RECITATION = "recitation"  # too similar to a known work or brand
    LANGUAGE = "language"  # the model does not read this language
    TEXT_ONLY = "text_only"  # the model answered in words
    TOO_COMPLEX = "too_complex"  # the task did not fit into one answer
    BAD_PHOTO = "bad_photo"  # the provider cannot read the user's photo
    # The admin's setup.
    BAD_REQUEST = "bad_request"  # the provider calls our request malformed
    KEY_INVALID = "key_invalid"
    FORBIDDEN = "forbidden"  # the key has no right to this API or model
    LOCATION = "location"  # this server's address is not served
    BILLING = "billing"  # no billing linked: the free tier makes no images
    FUNDS = "funds"  # the prepaid money is used up
    QUOTA_DAY = "quota_day"
    MODEL_GONE = "model_gone"  # retired or unknown model
    ACCOUNT_AT_RISK = "account_at_risk"  # the provider is about to close, or has closed, the account
    WRONG_ENDPOINT = "wrong_endpoint"  # something else answers at this address
    TOO_LARGE = "too_large"  # a body above a limit, theirs or ours
    # The provider's state.
    QUOTA_MINUTE = "quota_minute"
    SPEND_LIMIT = "spend_limit"  # too much money in ten minutes
    RATE_LIMITED = "rate_limited"
    CONCURRENCY = "concurrency"  # all slots of the account are taken
    OVERLOADED = "overloaded"
    INTERNAL = "internal"
    MAINTENANCE = "maintenance"
    NO_IMAGE = "no_picture"  # finished without an image and without a reason
    GENERATION_FAILED = "generation_failed"  # an accepted task ended as failed
    NETWORK = "network"
    TIMEOUT = "timeout"
    BAD_ANSWER = "bad_answer"  # not the documented form
    RESULT_GONE = "result_gone"  # the link to the result no longer works: ask for a fresh one
    BAD_RESULT = "bad_result"  # the result is not an image or not a video
    DUPLICATE_TASK = "duplicate_task"  # our external id is in use: the earlier submit did arrive
    CIRCUIT_OPEN = "circuit_open"  # the circuit breaker blocks calls


class ProviderError(Exception):
    """The one error of all providers.

    `retry_after` is the pause that the provider asks for, in seconds; `max_repeats` limits repeats of this code below
    the policy; `cost_micro_usd` is the cost of the refusal itself, or the probable cost of a call of unknown outcome;
    `detail` is for logs and admins: shortened and without secrets.
    """

    def __init__(
        self,
        code: ErrorCode,
        failure: Failure,
        blame: Blame,
        detail: str = "",
        *,
        retry_after: float | None = None,
        max_repeats: int | None = None,
        cost_micro_usd: int = 0,
    ) -> None:
        super().__init__(code, failure, blame, detail)
        self.code = code
        self.failure = failure
        self.blame = blame
        self.detail = detail
        self.retry_after = retry_after
        self.max_repeats = max_repeats
        self.cost_micro_usd = cost_micro_usd

    def __str__(self) -> str:
        return f"{self.code} ({self.failure}, {self.blame}): {self.detail}"


@dataclass(frozen=True)
class Photo:
    """A user's photo, ready to be sent: bytes and their media type."""

    data: bytes = field(repr=False)
    mime: str


@dataclass(frozen=True)
class TokenRates:
    """The provider's prices: nano-dollars per token; `whole_image` is micro-dollars per image without a token count."""

    prompt: int = 0
    text: int = 0
    image: int = 0
    whole_image: int = 0


@dataclass(frozen=True)
class ImageRequest:
    """One image to make. `aspect_ratio` and `size` None leave the choice to the model; `timeout` is in seconds."""

    model: str
    prompt: str = field(repr=False)
    aspect_ratio: str | None = None
    size: str | None = None
    photos: tuple[Photo, ...] = ()
    timeout: float = 300.0
    rates: TokenRates = TokenRates()


@dataclass(frozen=True)
class ImageResult:
    """One image as the provider sent it; `cost_micro_usd` is the provider's price, never the user's."""

    data: bytes = field(repr=False)
    mime: str
    cost_micro_usd: int
    response_id: str | None = None


@dataclass(frozen=True)
class VideoRequest:
    """One video to make.

    `external_id` is ours and unique in the account; `audio` and `multi_shot` None mean that the model has no such
    option and none is sent; the callback address may hold a secret token and is never shown.
    """

    model: str
    prompt: str = field(repr=False)
    duration: int
    resolution: str
    external_id: str
    aspect_ratio: str | None = None
    photo: Photo | None = None
    callback_url: str | None = field(default=None, repr=False)
    audio: bool | None = None
    multi_shot: bool | None = None


class TaskStatus(StrEnum):
    """The state of a video at its provider. A state that is not known here counts as processing."""

    SUBMITTED = "submitted"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class VideoTask:
    """A video at its provider. `error_code` says why it failed; `cost_micro_usd` None: not known."""

    id: str
    status: TaskStatus
    external_id: str | None = None
    message: str = ""
    url: str | None = field(default=None, repr=False)
    duration: float | None = None
    cost_micro_usd: int | None = None
    error_code: ErrorCode | None = None

    @property
    def is_final(self) -> bool:
        return self.status in (TaskStatus.SUCCEEDED, TaskStatus.FAILED)


@dataclass(frozen=True)
class RetryPolicy:
    """How often a call is repeated: calls in total, seconds before a repeat (growing), and seconds in total."""

    tries: int = 3
    first_delay: float = 1.0
    factor: float = 2.0
    max_delay: float = 30.0
    jitter: float = 1.0
    total_seconds: float = 300.0

    def delay(self, tries_made: int, error: ProviderError) -> float:
        """Seconds to wait after the call number `tries_made`, never less than the provider asks for."""
        grown = self.first_delay * self.factor ** min(tries_made - 1, 32)
        return max(min(grown, self.max_delay), error.retry_after or 0.0) + clock.chance() * self.jitter


async def generate_with_retry(
    call: Callable[[], Awaitable[T]],
    *,
    policy: RetryPolicy,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> T:
    """Make the call, and repeat it while it fails temporarily and the policy allows.

    A pause that does not fit into the total time is not begun. Permanent and unknown failures are raised at once. An
    error that has used up its own `max_repeats` is raised as permanent, so that no caller begins again.

    Raises `ProviderError`: the last one.
    """
    started = clock.steady()
    seen: Counter[ErrorCode] = Counter()
    tries = 0
    while True:
        tries += 1
        try:
            return await call()
        except ProviderError as error:
            seen[error.code] += 1
            if error.failure is not Failure.TEMPORARY or tries >= policy.tries:
                raise
            if error.max_repeats is not None and seen[error.code] > error.max_repeats:
                error.failure = Failure.PERMANENT
                raise
            delay = policy.delay(tries, error)
            if clock.steady() - started + delay > policy.total_seconds:
                raise
        await sleep(delay)


class BaseAIProvider(ABC):
    """An outside system that makes images or videos for money. Use and close an instance in one event loop."""

    name: str

    @abstractmethod
    async def close(self) -> None:
        """Close the connections; harmless when repeated."""

    @abstractmethod
    async def check(self) -> None:
        """Make a free call that needs the right address and key. Raises `ProviderError`."""

    async def generate_with_retry(self, call: Callable[[], Awaitable[T]], *, policy: RetryPolicy) -> T:
        """`generate_with_retry` of this module, for callers that hold a provider."""
        return await generate_with_retry(call, policy=policy)


class ImageProvider(BaseAIProvider):
    """Makes an image while the caller waits. A lost answer can't be asked for again."""

    @abstractmethod
    async def generate(self, request: ImageRequest) -> ImageResult:
        """Make one image. Raises `ProviderError`."""


class VideoProvider(BaseAIProvider):
    """Makes a video in the background. A task can be found by the provider's id or by ours."""

    @abstractmethod
    async def submit(self, request: VideoRequest) -> VideoTask:
        """Start a video. Raises `ProviderError`; after an unknown failure `find` it before any other submit."""

    @abstractmethod
    async def find(self, external_ids: Sequence[str]) -> dict[str, VideoTask]:
        """Tasks by our ids. A missing id was not found; a query that failed raises `ProviderError`."""

    @abstractmethod
    async def poll(self, task_ids: Sequence[str]) -> dict[str, VideoTask]:
        """Tasks by the provider's ids; a missing id is not known (yet). Raises `ProviderError`."""

    @abstractmethod
    async def download(self, url: str) -> bytes:
        """The video's bytes, with a limit of size and time. Raises `ProviderError`."""
