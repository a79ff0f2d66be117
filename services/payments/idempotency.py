"""The protocol of YooKassa's idempotence keys: a request that moves money takes effect once, whatever is lost.

1. The key and the exact body are written to the row before the first attempt.
2. YooKassa knows a key for 24 hours. In this time the same body is sent again under the same key, however often: each
   repeat is answered with what the first attempt made.
3. Later the same request would take effect a second time. So YooKassa's list is read before anything is sent, and only
   what the list does not hold may be sent again.
4. A refused repeat says nothing about an earlier attempt whose answer was lost: the list decides.

Source: docs/reference/yookassa.md, section 1.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from database import clock
from services.payments.yookassa.client import YooKassaError

KEY_LIVES_SECONDS: Final = 23 * clock.HOUR_SECONDS  # an hour before YooKassa forgets the key
CLOCK_SLACK_SECONDS: Final = 60.0  # a row may be so far ahead of our clock and still count as new
UNDATED_SECONDS: Final = 90 * clock.DAY_SECONDS  # as long as a payment is asked about at all
LISTED_BEFORE_SECONDS: Final = clock.HOUR_SECONDS  # YooKassa's clock may be behind ours
LISTED_AFTER_SECONDS: Final = 26 * clock.HOUR_SECONDS  # the key's whole life, and two hours for YooKassa's clock

T = TypeVar("T")


class NeverArrived(Exception):
    """YooKassa has forgotten the key, and its list does not hold the request's effect: it may be sent again."""


class CertainRefusal(Exception):
    """YooKassa refuses the request, and its list does not hold the effect of an earlier attempt; says why."""


def topup_key(payment_id: str) -> str:
    """The key under which a payment is created."""
    return f"topup-{payment_id}"


def refund_key(refund_id: str) -> str:
    """The key under which a refund is created."""
    return f"refund-{refund_id}"


def key_is_alive(since_ms: int) -> bool:
    """Whether YooKassa still knows a key that counts since this UTC time in milliseconds.

    A row of the future was written under a wrong clock: nobody knows how old it is, so its key counts as forgotten.
    """
    return -CLOCK_SLACK_SECONDS <= clock.now() - since_ms / 1000 <= KEY_LIVES_SECONDS


def listed_between(since_ms: int) -> tuple[float, float]:
    """From when to when YooKassa may have created what belongs to a key, in seconds since 1970.

    `since_ms`: as of `key_is_alive`. For a row of the future any time up to now comes into question.
    """
    now, since = clock.now(), since_ms / 1000
    if since > now:
        return now - UNDATED_SECONDS, now + LISTED_BEFORE_SECONDS
    return since - LISTED_BEFORE_SECONDS, since + LISTED_AFTER_SECONDS


@dataclass(frozen=True)
class KeyedRequest(Generic[T]):
    """A POST whose key and body are stored. `T` is what YooKassa makes of it.

    `since_ms`: UTC milliseconds since when the key counts. The row's own age counts, not the time of the first attempt
    that the row knows of: what a restored backup holds as unsent may have been sent.
    `send` sends the stored body under the stored key; `find` reads YooKassa's list, and answers None when the list was
    read to its end and does not hold the effect. Both raise YooKassaError.
    """

    since_ms: int
    send: Callable[[], Awaitable[T]]
    find: Callable[[], Awaitable[T | None]]

    async def result(self) -> T:
        """What YooKassa has made, now or at an earlier attempt.

        Raises NeverArrived past the key's time; YooKassaError when YooKassa refuses or nobody can tell.
        """
        if key_is_alive(self.since_ms):
            return await self.send()
        found = await self.find()
        if found is None:
            raise NeverArrived
        return found

    async def result_in_spite_of(self, refusal: YooKassaError) -> T:
        """What an earlier attempt has made though this one was refused.

        Raises CertainRefusal when there is nothing; YooKassaError when the list can't be read to its end.
        """
        found = await self.find()
        if found is None:
            raise CertainRefusal(str(refusal)) from refusal
        return found
