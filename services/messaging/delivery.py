"""Hands a result over in the chat: a preview to look at and the original as a file, or a clip that plays."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from aiogram import Bot
from aiogram.exceptions import ClientDecodeError, TelegramAPIError, TelegramBadRequest, TelegramEntityTooLarge
from aiogram.types import BufferedInputFile, Message

from database import assets as asset_rows
from database.models import Asset, Database, Job
from services.media.inspect import BadMedia, picture_preview, video_thumbnail
from services.media.store import AssetNotFound, AssetStore
from services.messaging.renderer import MessageRenderer
from services.messaging.telegram import UPLOAD_SECONDS, Screen, patience

AT_ONCE: Final = 4  # results in memory at a time
ACTION_SECONDS: Final = 5
_EXTENSION = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "video/mp4": "mp4"}


class ResultGone(Exception):
    """The result is kept neither here nor at Telegram."""


class ResultTooLarge(Exception):
    """Telegram does not take a file of this size."""


class Delivery:
    """Sends results. Telegram's ids of what was sent are kept: sending again costs no upload.

    How results are sent: docs/reference/telegram.md, section 5.
    """

    def __init__(self, db: Database, store: AssetStore, renderer: MessageRenderer) -> None:
        self._db = db
        self._store = store
        self._renderer = renderer
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def send(
        self, bot: Bot, chat_id: int, job: Job, asset: Asset, language: str, *, resumed: bool = False
    ) -> None:
        """Send the result. `resumed`: an earlier try broke off, so what it has sent already is not sent again.

        Raises ResultGone, ResultTooLarge, and what the bot raises.
        """
        if resumed and asset.file_id is not None:
            return
        words, original = self._renderer.result(language, job), self._renderer.original(language)
        parcel = _Parcel(bot, chat_id, job, asset, words, original, self._store)
        async with self._slots:
            try:
                if asset.mime.startswith("video/"):
                    await self._clip(parcel)
                else:
                    await self._picture(parcel, preview=not (resumed and asset.preview_file_id is not None))
            except TelegramEntityTooLarge as error:
                raise ResultTooLarge(job.id) from error
            except TelegramBadRequest as error:
                if "too big" in error.message or "too large" in error.message.lower():
                    raise ResultTooLarge(job.id) from error
                raise

    async def _picture(self, parcel: _Parcel, *, preview: bool) -> None:
        asset = parcel.asset
        shown = asset.preview_file_id
        if preview:
            await parcel.act("upload_photo")
            shown = await parcel.preview()
            if shown != asset.preview_file_id:
                # Written down at once: if we die here, the preview is not sent a second time.
                await self._remember(asset, asset.file_id, shown)
        await parcel.act("upload_document")
        original = await parcel.document(with_words=shown is None)
        if original != asset.file_id:
            await self._remember(asset, original, shown)

    async def _clip(self, parcel: _Parcel) -> None:
        await parcel.act("upload_video")
        file_id = await parcel.video()
        if file_id != parcel.asset.file_id:
            await self._remember(parcel.asset, file_id, None)

    async def _remember(self, asset: Asset, file_id: str | None, preview_file_id: str | None) -> None:
        await self._db.write(asset_rows.remember_file_ids, asset.id, file_id=file_id, preview_file_id=preview_file_id)


class _Parcel:
    """One result on its way into one chat."""

    def __init__(
        self, bot: Bot, chat_id: int, job: Job, asset: Asset, words: Screen, original: str, store: AssetStore
    ) -> None:
        self.bot = bot
        self.chat_id = chat_id
        self.job = job
        self.asset = asset
        self.words = words
        self.original = original
        self._store = store
        self._data: bytes | None = None

    async def act(self, action: str) -> None:
        """Show what is coming; nobody misses it when it fails, and nothing waits for it."""
        with suppress(TelegramAPIError, ClientDecodeError), patience(0):
            await self.bot.send_chat_action(self.chat_id, action, request_timeout=ACTION_SECONDS)

    async def preview(self) -> str | None:
        """Send the preview with words and buttons; None when Telegram takes this picture only as a file."""

        async def upload() -> Message:
            data = await asyncio.to_thread(picture_preview, await self._bytes())
            return await send(BufferedInputFile(data, self._name("jpg")))

        async def send(photo: str | BufferedInputFile) -> Message:
            return await self.bot.send_photo(
                self.chat_id,
                photo,
                caption=self.words.text,
                reply_markup=self.words.keyboard,
                request_timeout=UPLOAD_SECONDS,
            )

        try:
            message = await self._by_id_or_upload(self.asset.preview_file_id, send, upload)
        except BadMedia:
            return None
        except TelegramBadRequest as error:
            if "PHOTO_INVALID_DIMENSIONS" in error.message or "IMAGE_PROCESS_FAILED" in error.message:
                return None
            raise
        return message.photo[-1].file_id if message.photo else None

    async def document(self, *, with_words: bool) -> str | None:
        """Send the original untouched; quietly where the preview has just made a sound."""

        async def send(file: str | BufferedInputFile) -> Message:
            return await self.bot.send_document(
                self.chat_id,
                file,
                disable_content_type_detection=True,
                disable_notification=not with_words,
                caption=self.words.text if with_words else self.original,
                reply_markup=self.words.keyboard if with_words else None,
                request_timeout=UPLOAD_SECONDS,
            )

        async def upload() -> Message:
            return await send(BufferedInputFile(await self._bytes(), self._name()))

        message = await self._by_id_or_upload(self.asset.file_id, send, upload)
        return message.document.file_id if message.document else None

    async def video(self) -> str | None:
        """Send the clip with its size, length and first frame, which Telegram does not look up itself."""

        around: dict[str, Any] = {
            "caption": self.words.text,
            "reply_markup": self.words.keyboard,
            "request_timeout": UPLOAD_SECONDS,
        }

        async def send(file: str | BufferedInputFile, thumbnail: BufferedInputFile | None = None) -> Message:
            return await self.bot.send_video(
                self.chat_id,
                file,
                width=self.asset.width,
                height=self.asset.height,
                duration=max(1, round((self.asset.duration_ms or 0) / 1000)),
                thumbnail=thumbnail,
                supports_streaming=True,
                **around,
            )

        async def again(file_id: str) -> Message:
            try:
                return await send(file_id)
            except TelegramBadRequest as error:
                if "as video" not in error.message.lower():
                    raise
                return await self.bot.send_animation(self.chat_id, file_id, **around)

        async def upload() -> Message:
            data = await self._bytes()
            thumbnail = None
            with suppress(BadMedia):
                thumbnail = BufferedInputFile(await asyncio.to_thread(video_thumbnail, data), "thumbnail.jpg")
            return await send(BufferedInputFile(data, self._name()), thumbnail)

        message = await self._by_id_or_upload(self.asset.file_id, again, upload)
        # A clip without sound may come back as an animation (docs/reference/telegram.md, section 5), and goes again as
        # one only.
        sent = message.video or message.animation or message.document
        return sent.file_id if sent else None

    async def _by_id_or_upload(
        self, file_id: str | None, send: Callable[[str], Awaitable[Message]], upload: Callable[[], Awaitable[Message]]
    ) -> Message:
        if file_id is not None:
            try:
                return await send(file_id)
            except TelegramBadRequest as error:
                # An id of another bot's, of another kind, or one that Telegram forgot: the bytes will do.
                if "file" not in error.message.lower():
                    raise
        return await upload()

    async def _bytes(self) -> bytes:
        if self._data is None:
            if self.asset.deleted_at is not None:
                raise ResultGone(self.job.id)
            try:
                self._data = await self._store.get(self.asset.store_key)
            except AssetNotFound:
                raise ResultGone(self.job.id) from None
        return self._data

    def _name(self, extension: str | None = None) -> str:
        kind = "clip" if self.asset.mime.startswith("video/") else "picture"
        return f"{kind}-{self.job.id}.{extension or _EXTENSION.get(self.asset.mime, 'bin')}"
