"""The card of a draft in the chat: one message, edited where it is or sent again at the end of the chat."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aiogram import Bot
from aiogram.exceptions import TelegramAPIError
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State

from database import drafts as draft_rows
from database.models import Database, DatabaseError, Draft
from handlers.chat import CallbackAnswer
from handlers.orders.drafts import Drafts
from handlers.states import remember_draft
from handlers.views.draft_card import card
from handlers.views.localizer import Localizer
from services.common.log import event
from services.errors import ServiceError
from services.messaging.telegram import Screen, change, remove, show

# Telegram does not mark the end of an album (docs/reference/telegram.md, section 4): it has ended when no photo has
# come for this long.
ALBUM_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class Cards:
    """Shows drafts. `note` is always a sentence (HTML) that the card tells above the price."""

    def __init__(self, db: Database, drafts: Drafts) -> None:
        self._db = db
        self._drafts = drafts
        self._delayed: dict[str, asyncio.Task[None]] = {}

    async def edit(
        self, bot: Bot, localizer: Localizer, draft: Draft, message_id: int | None, *, note: str | None = None
    ) -> None:
        """Show the draft in the message with the button that was tapped, or in a new one where that can't be edited."""
        screen = await self._screen(localizer, draft, note)
        if message_id is None or not await change(bot, draft.chat_id, message_id, screen):
            await self.send(bot, localizer, draft, note=note)

    async def send(self, bot: Bot, localizer: Localizer, draft: Draft, *, note: str | None = None) -> None:
        """Show the draft at the end of the chat and delete its older card."""
        message = await show(bot, draft.chat_id, await self._screen(localizer, draft, note))
        await self._db.write(draft_rows.change, draft.id, draft.user_id, message_id=message.message_id)
        await remove(bot, draft.chat_id, draft.message_id)

    async def send_new(
        self,
        bot: Bot,
        localizer: Localizer,
        draft: Draft,
        state: FSMContext,
        *,
        callback: CallbackAnswer | None = None,
        waiting: State | None = None,
    ) -> None:
        """Show a draft that was opened just now; /cancel will drop it.

        `callback`: the callback query that opened it. `waiting`: what the person's next message answers.
        """
        await remember_draft(state, draft.id, waiting)
        if callback is not None:
            await callback.answer()
        await self.send(bot, localizer, draft)

    def send_soon(self, bot: Bot, localizer: Localizer, draft: Draft, *, note: str | None = None) -> None:
        """Show the draft when all photos of its album have come."""
        earlier = self._delayed.pop(draft.id, None)
        if earlier is not None:
            earlier.cancel()
        self._delayed[draft.id] = asyncio.create_task(self._send_later(bot, localizer, draft, note))

    async def close(self) -> None:
        """Wait until the cards of the last albums are sent; part of an orderly stop."""
        await asyncio.gather(*self._delayed.values(), return_exceptions=True)

    async def _screen(self, localizer: Localizer, draft: Draft, note: str | None) -> Screen:
        balance = await self._db.get_balance(draft.user_id)
        return card(localizer, self._drafts.storefront, draft, balance, note=note)

    async def _send_later(self, bot: Bot, localizer: Localizer, draft: Draft, note: str | None) -> None:
        await asyncio.sleep(ALBUM_SECONDS)
        self._delayed.pop(draft.id, None)
        try:
            await self.send(bot, localizer, await self._drafts.load(draft.id, draft.user_id), note=note)
        except (ServiceError, DatabaseError, TelegramAPIError) as error:
            event(_log, "card.not_shown", level=logging.WARNING, draft_id=draft.id, error=type(error).__name__)
