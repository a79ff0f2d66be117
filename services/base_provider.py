"""What every AI provider looks like from outside: requests, results, one error, bounded retries.

A provider returns or raises `ProviderError`; nothing else ever leaves it. The error answers the one question that
matters for money: may the same call be made again?
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
    OPERATOR = "operator"
    PROVIDER = "provider"


class ErrorCode(StrEnum):
    """Every way a provider can fail; stable, so texts and statistics can rely on them."""

    # The person's request.
    PROMPT_BLOCKED = "prompt_blocked"  # the filter refused the words (or the photo beside them)
    IMAGE_BLOCKED = "image_blocked"  # drawn, then hidden by the filter
    RECITATION = "recitation"  # too near a known work or brand
    LANGUAGE = "language"  # the model does not read this language
    TEXT_ONLY = "text_only"  # the model answered in words
    TOO_COMPLEX = "too_complex"  # the task did not fit into one answer
    BAD_PHOTO = "bad_photo"  # the provider cannot read the person's photo
    # The operator's setup.
    BAD_REQUEST = "bad_request"  # the provider calls our request malformed
    KEY_INVALID = "key_invalid"
    FORBIDDEN = "forbidden"  # the key has no right to this API or model
    LOCATION = "location"  # this server's address is not served
    BILLING = "billing"  # no billing linked: the free tier draws nothing
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
    NO_PICTURE = "no_picture"  # finished without a picture and without a reason we could act on
    GENERATION_FAILED = "generation_failed"  # an accepted task ended as failed
    NETWORK = "network"
    TIMEOUT = "timeout"
    BAD_ANSWER = "bad_answer"  # not the documented form
    RESULT_GONE = "result_gone"  # the link to the result no longer works: ask for a fresh one
    BAD_RESULT = "bad_result"  # the result is no picture or no clip
    DUPLICATE_TASK = "duplicate_task"  # our external id is taken: the earlier submit did arrive
    CIRCUIT_OPEN = "circuit_open"  # we do not ask at present


class ProviderError(Exception):
    """The one error of all providers.

    `retry_after` is the provider's own word in seconds; `max_repeats` caps repeats of this code below the policy;
    `cost_micro_usd` is what the refusal itself cost by the provider's count, or what a call of unknown outcome will
    have cost; `detail` is for logs and the owner: shortened and free of secrets.
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
    """A person's photo, ready to be sent: bytes and their media type."""

    data: bytes = field(repr=False)
    mime: str


@dataclass(frozen=True)
class TokenRates:
    """What tokens cost the owner: nano-dollars a token; `picture` is micro-dollars for one picture without a count."""

    prompt: int = 0
    text: int = 0
    image: int = 0
    picture: int = 0


@dataclass(frozen=True)
class ImageRequest:
    """One picture to draw. `aspect_ratio` and `size` None leave the choice to the model; `timeout` is in seconds."""

    model: str
    prompt: str = field(repr=False)
    aspect_ratio: str | None = None
    size: str | None = None
    photos: tuple[Photo, ...] = ()
    timeout: float = 300.0
    rates: TokenRates = TokenRates()


@dataclass(frozen=True)
class ImageResult:
    """One picture as the provider sent it; `cost_micro_usd` is the provider's price, never the person's."""

    data: bytes = field(repr=False)
    mime: str
    cost_micro_usd: int
    response_id: str | None = None


@dataclass(frozen=True)
class VideoRequest:
    """One clip to make.

    `external_id` is ours and unique for the account; `audio` and `multi_shot` None mean that the model has no such
    switch and none is sent; the callback address may hold a secret token and is never shown.
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
    """Where a clip stands; whatever the provider may invent beside these counts as processing."""

    SUBMITTED = "submitted"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class VideoTask:
    """A clip at the provider. `error_code` says why a failed one failed; `cost_micro_usd` None: not told."""

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
    """How long to insist: calls in all, seconds before a repeat (growing), and seconds in all."""

    tries: int = 3
    first_delay: float = 1.0
    factor: float = 2.0
    max_delay: float = 30.0
    jitter: float = 1.0
    total_seconds: float = 300.0

    def delay(self, tries_made: int, error: ProviderError) -> float:
        """Seconds to wait after the call number `tries_made`: never less than the provider itself asks for."""
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
    """An outside system that draws or films for money. Use an instance in one event loop, and close it there."""

    name: str

    @abstractmethod
    async def close(self) -> None:
        """Let go of connections; harmless when repeated."""

    @abstractmethod
    async def check(self) -> None:
        """Ask something free that needs the address, the key and the network to be right. Raises `ProviderError`."""

    async def generate_with_retry(self, call: Callable[[], Awaitable[T]], *, policy: RetryPolicy) -> T:
        """`generate_with_retry` of this module, for callers that hold a provider."""
        return await generate_with_retry(call, policy=policy)


class ImageProvider(BaseAIProvider):
    """Draws while the caller waits; a lost answer is lost for good."""

    @abstractmethod
    async def generate(self, request: ImageRequest) -> ImageResult:
        """Draw one picture. Raises `ProviderError`."""


class VideoProvider(BaseAIProvider):
    """Films in the background; a task is found again by its id or by ours."""

    @abstractmethod
    async def submit(self, request: VideoRequest) -> VideoTask:
        """Start a clip. Raises `ProviderError`; after an unknown failure `find` it before any other submit."""

    @abstractmethod
    async def find(self, external_ids: Sequence[str]) -> dict[str, VideoTask]:
        """Tasks by our ids. An id that is absent was not found; a look-up that failed raises `ProviderError`."""

    @abstractmethod
    async def poll(self, task_ids: Sequence[str]) -> dict[str, VideoTask]:
        """Tasks by the provider's ids; absent: not known (yet). Raises `ProviderError`."""

    @abstractmethod
    async def download(self, url: str) -> bytes:
        """The clip's bytes, bounded in size and time. Raises `ProviderError`."""
