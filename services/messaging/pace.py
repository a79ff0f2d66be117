"""How fast messages may go to Telegram."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from database import clock

OVERALL_PER_SECOND: Final = 25.0  # Telegram's own limit is about 30 (docs/reference/telegram.md, section 2)
CHAT_PER_SECOND: Final = 1.0
CHAT_BURST: Final = 10
MAX_CHATS: Final = 10_000


class Pace:
    """A limit of messages per second over all chats and one for each chat. Both allow short bursts.

    `clock` returns seconds from any starting point; it must not go backwards.
    """

    def __init__(
        self,
        *,
        per_second: float = OVERALL_PER_SECOND,
        chat_per_second: float = CHAT_PER_SECOND,
        chat_burst: int = CHAT_BURST,
        clock: Callable[[], float] = clock.steady,
    ) -> None:
        self._step = 1 / per_second
        self._slack = 1.0 - self._step  # the messages of one second may go at once
        self._chat_step = 1 / chat_per_second
        self._chat_slack = (chat_burst - 1) * self._chat_step
        self._clock = clock
        # When a message is taken, one step is added to these times. They may run ahead of the clock by the slack.
        self._next = 0.0
        self._chats: OrderedDict[int, float] = OrderedDict()

    def wait(self, chat_id: int) -> float:
        """Seconds until the chat's next message may go; 0 for now."""
        now = self._clock()
        overall = self._next - self._slack - now
        chat = self._chats.get(chat_id, 0.0) - self._chat_slack - now
        return max(0.0, overall, chat)

    def take(self, chat_id: int) -> float:
        """Count a message of this chat; return the seconds to wait before it is sent."""
        delay, now = self.wait(chat_id), self._clock()
        self._next = max(self._next, now) + self._step
        self._chats[chat_id] = max(self._chats.get(chat_id, 0.0), now) + self._chat_step
        self._chats.move_to_end(chat_id)
        while len(self._chats) > MAX_CHATS:
            self._chats.popitem(last=False)
        return delay

    def pause(self, chat_id: int, seconds: float) -> None:
        """Send nothing to this chat for so many seconds."""
        until = self._clock() + self._chat_slack + seconds
        self._chats[chat_id] = max(self._chats.get(chat_id, 0.0), until)

    def has_room(self, chat_id: int) -> bool:
        """Whether a message of low priority may go. Half of each burst is kept free for the others."""
        now = self._clock()
        return self._next - now <= self._slack / 2 and self._chats.get(chat_id, 0.0) - now <= self._chat_slack / 2
