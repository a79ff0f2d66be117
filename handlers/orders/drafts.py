"""Drafts between the chat and the database: opened once for each message, changed, shown as one card."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from aiogram import Bot
from aiogram.exceptions import TelegramAPIError

from database import assets as asset_rows
from database import drafts as draft_rows
from database import jobs as job_rows
from database.models import Asset, Database, DatabaseError, Draft, Job, JobType, Tx
from handlers.views.draft_card import card, fitted
from handlers.views.localizer import Localizer
from services.common.log import event
from services.errors import BadOrder, ServiceError
from services.messaging.telegram import Screen, change, remove, show
from services.storefront import Storefront

# An album has no end mark (docs/reference/telegram.md, section 4): it is over when nothing has come for so long.
ALBUM_SECONDS: Final = 1.0
_ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyz"

_log = logging.getLogger(__name__)


class Stale(ServiceError):
    """An old button: the order it belongs to is gone, running or done. `code` is a text id."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def token(*parts: object) -> str:
    """A short id that the same message always gives, so that an update which comes twice opens one draft."""
    number = int.from_bytes(hashlib.sha256(":".join(map(str, parts)).encode()).digest()[:10])
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits += _ALPHABET[digit]
    return digits.rjust(16, "0")[:16]


class Drafts:
    """The drafts of people, always with options that are on sale."""

    def __init__(self, db: Database, storefront: Storefront) -> None:
        self._db = db
        self.storefront = storefront

    async def open(
        self,
        draft_id: str,
        user_id: int,
        type: JobType,
        *,
        chat_id: int,
        prompt: str = "",
        inputs: tuple[str, ...] = (),
        model: str = "",
        params: Mapping[str, Any] | None = None,
        parent_job_id: str | None = None,
    ) -> Draft:
        """A new draft, or the one that the same message opened before. Raises BadOrder when we do not sell this."""
        if not self.storefront.offers(type):
            raise BadOrder("provider_off")
        model = model or self.storefront.default_model(type, len(inputs))
        wanted = Draft(
            draft_id, user_id, chat_id, None, type, model, prompt, dict(params or {}), inputs, parent_job_id, 0, 0, 0
        )
        wanted = fitted(self.storefront, wanted)
        return await self._db.write(
            draft_rows.open_draft,
            draft_id,
            user_id,
            chat_id=chat_id,
            type=type,
            model=wanted.model,
            prompt=prompt,
            params=wanted.params,
            inputs=inputs,
            parent_job_id=parent_job_id,
        )

    async def load(self, draft_id: str, user_id: int) -> Draft:
        """The person's own draft, not yet ordered. Raises Stale."""

        def find(tx: Tx) -> tuple[Draft | None, Job | None]:
            return draft_rows.get(tx, draft_id, user_id), job_rows.get(tx, draft_id)

        draft, job = await self._db.read(find)
        if job is not None and job.user_id == user_id:
            raise Stale("order-running" if job.is_open else "order-done")
        if draft is None:
            raise Stale("order-stale")
        return fitted(self.storefront, draft)

    async def save(self, draft: Draft) -> Draft:
        """Write the draft's words, options and photos. Raises Stale."""
        saved = await self._db.write(
            draft_rows.change,
            draft.id,
            draft.user_id,
            type=draft.type,
            model=draft.model,
            prompt=draft.prompt,
            params=draft.params,
            inputs=draft.inputs,
        )
        if saved is None:
            raise Stale("order-stale")
        return saved

    async def add_photo(self, draft_id: str, user_id: int, asset: Asset, caption: str = "") -> tuple[Draft, bool]:
        """Put one more photo at the end; answers the draft and whether there was room. Raises Stale."""
        draft = await self.load(draft_id, user_id)
        if asset.id in draft.inputs:
            return draft, True
        type = JobType.EDIT if draft.type in (JobType.IMAGE, JobType.EDIT) else JobType.ANIMATE
        room = len(draft.inputs) < self.storefront.most_photos(type, draft.model)
        if room:
            draft = fitted(self.storefront, replace(draft, type=type, inputs=(*draft.inputs, asset.id)))
        if caption and not draft.prompt:
            draft = replace(draft, prompt=caption)
        return await self.save(draft), room

    async def drop(self, draft_id: str, user_id: int) -> None:
        await self._db.write(draft_rows.drop, draft_id, user_id)

    async def photos(self, draft: Draft) -> list[Asset]:
        """The photos that are still kept."""
        return await self._db.read(asset_rows.get_assets, draft.inputs)


class Cards:
    """Keeps one card a draft: edited where it stands, or sent anew below when the talk has moved on."""

    def __init__(self, db: Database, drafts: Drafts, *, album_seconds: float = ALBUM_SECONDS) -> None:
        self._db = db
        self._drafts = drafts
        self._album_seconds = album_seconds
        self._coming: dict[str, asyncio.Task[None]] = {}

    async def screen(self, localizer: Localizer, draft: Draft, *, note: str | None = None) -> Screen:
        balance = await self._db.get_balance(draft.user_id)
        return card(localizer, self._drafts.storefront, draft, balance, note=note)

    async def edit(
        self, bot: Bot, localizer: Localizer, draft: Draft, message_id: int | None, *, note: str | None = None
    ) -> None:
        """Show the draft in the message it was tapped in."""
        screen = await self.screen(localizer, draft, note=note)
        if message_id is None or not await change(bot, draft.chat_id, message_id, screen):
            await self.send(bot, localizer, draft, note=note)

    async def send(self, bot: Bot, localizer: Localizer, draft: Draft, *, note: str | None = None) -> None:
        """Show the draft at the end of the chat and take its older card away."""
        message = await show(bot, draft.chat_id, await self.screen(localizer, draft, note=note))
        await self._db.write(draft_rows.change, draft.id, draft.user_id, message_id=message.message_id)
        await remove(bot, draft.chat_id, draft.message_id)

    def send_soon(self, bot: Bot, localizer: Localizer, draft: Draft, *, note: str | None = None) -> None:
        """Show the draft once its album has come in whole."""
        earlier = self._coming.pop(draft.id, None)
        if earlier is not None:
            earlier.cancel()
        task = asyncio.create_task(self._later(bot, localizer, draft, note))
        self._coming[draft.id] = task

    async def close(self) -> None:
        """Show what is still waiting; part of an orderly stop."""
        await asyncio.gather(*self._coming.values(), return_exceptions=True)

    async def _later(self, bot: Bot, localizer: Localizer, draft: Draft, note: str | None) -> None:
        await asyncio.sleep(self._album_seconds)
        self._coming.pop(draft.id, None)
        try:
            await self.send(bot, localizer, await self._drafts.load(draft.id, draft.user_id), note=note)
        except (ServiceError, DatabaseError, TelegramAPIError) as error:
            event(_log, "card.not_shown", level=logging.WARNING, draft_id=draft.id, error=type(error).__name__)
