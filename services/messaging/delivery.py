"""Sends a result to the chat: an image as a preview and the original as a file, a video as a video."""

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
from services.media.inspect import BadMedia, image_preview, video_thumbnail
from services.media.store import AssetNotFound, AssetStore
from services.messaging.renderer import MessageRenderer
from services.messaging.telegram import UPLOAD_SECONDS, Screen, patience

AT_ONCE: Final = 4  # results in memory at a time
ACTION_SECONDS: Final = 5
_EXTENSION = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "video/mp4": "mp4"}


class ResultGone(Exception):
    """The result is no longer stored, neither here nor at Telegram."""


class ResultTooLarge(Exception):
    """Telegram does not accept a file of this size."""


class Delivery:
    """Sends results. Telegram's file ids are stored, so sending a result again needs no upload.

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
        """Send the result of `job`. `resumed`: an earlier attempt failed; what it has sent is not sent again.

        Raises ResultGone, ResultTooLarge, and what the bot raises.
        """
        if resumed and asset.file_id is not None:
            return
        screen, original = self._renderer.result(language, job), self._renderer.original(language)
        messages = _ResultMessages(bot, chat_id, job, asset, screen, original, self._store)
        async with self._slots:
            try:
                if asset.mime.startswith("video/"):
                    await self._send_video(messages)
                else:
                    with_preview = not (resumed and asset.preview_file_id is not None)
                    await self._send_image(messages, with_preview=with_preview)
            except TelegramEntityTooLarge as error:
                raise ResultTooLarge(job.id) from error
            except TelegramBadRequest as error:
                if "too big" in error.message or "too large" in error.message.lower():
                    raise ResultTooLarge(job.id) from error
                raise

    async def _send_image(self, messages: _ResultMessages, *, with_preview: bool) -> None:
        asset = messages.asset
        preview_id = asset.preview_file_id
        if with_preview:
            await messages.show_action("upload_photo")
            preview_id = await messages.preview()
            if preview_id != asset.preview_file_id:
                # Written at once: when the process is killed here, the preview is not sent a second time.
                await self._remember(asset, asset.file_id, preview_id)
        await messages.show_action("upload_document")
        file_id = await messages.document(is_alone=preview_id is None)
        if file_id != asset.file_id:
            await self._remember(asset, file_id, preview_id)

    async def _send_video(self, messages: _ResultMessages) -> None:
        await messages.show_action("upload_video")
        file_id = await messages.video()
        if file_id != messages.asset.file_id:
            await self._remember(messages.asset, file_id, None)

    async def _remember(self, asset: Asset, file_id: str | None, preview_file_id: str | None) -> None:
        await self._db.write(asset_rows.remember_file_ids, asset.id, file_id=file_id, preview_file_id=preview_file_id)


class _ResultMessages:
    """The messages of one result for one chat. Each method sends one and returns Telegram's file id.

    `screen`: caption and buttons; `original`: the caption of the original file under a preview.
    """

    def __init__(
        self, bot: Bot, chat_id: int, job: Job, asset: Asset, screen: Screen, original: str, store: AssetStore
    ) -> None:
        self.bot = bot
        self.chat_id = chat_id
        self.job = job
        self.asset = asset
        self.screen = screen
        self.original = original
        self._store = store
        self._data: bytes | None = None

    async def show_action(self, action: str) -> None:
        """Show "sending a photo…" in the chat, if Telegram accepts it at once."""
        with suppress(TelegramAPIError, ClientDecodeError), patience(0):
            await self.bot.send_chat_action(self.chat_id, action, request_timeout=ACTION_SECONDS)

    async def preview(self) -> str | None:
        """Send the preview with caption and buttons; None when Telegram accepts this image only as a file."""

        async def upload() -> Message:
            data = await asyncio.to_thread(image_preview, await self._bytes())
            return await send(BufferedInputFile(data, self._name("jpg")))

        async def send(photo: str | BufferedInputFile) -> Message:
            return await self.bot.send_photo(
                self.chat_id,
                photo,
                caption=self.screen.text,
                reply_markup=self.screen.keyboard,
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

    async def document(self, *, is_alone: bool) -> str | None:
        """Send the original file: without a sound under its preview, or alone with caption and buttons."""

        async def send(file: str | BufferedInputFile) -> Message:
            return await self.bot.send_document(
                self.chat_id,
                file,
                disable_content_type_detection=True,
                disable_notification=not is_alone,
                caption=self.screen.text if is_alone else self.original,
                reply_markup=self.screen.keyboard if is_alone else None,
                request_timeout=UPLOAD_SECONDS,
            )

        async def upload() -> Message:
            return await send(BufferedInputFile(await self._bytes(), self._name()))

        message = await self._by_id_or_upload(self.asset.file_id, send, upload)
        return message.document.file_id if message.document else None

    async def video(self) -> str | None:
        """Send the video with its size, length and first frame, which Telegram does not read from the file."""
        common: dict[str, Any] = {
            "caption": self.screen.text,
            "reply_markup": self.screen.keyboard,
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
                **common,
            )

        async def send_by_id(file_id: str) -> Message:
            try:
                return await send(file_id)
            except TelegramBadRequest as error:
                if "as video" not in error.message.lower():
                    raise
                return await self.bot.send_animation(self.chat_id, file_id, **common)

        async def upload() -> Message:
            data = await self._bytes()
            thumbnail = None
            with suppress(BadMedia):
                thumbnail = BufferedInputFile(await asyncio.to_thread(video_thumbnail, data), "thumbnail.jpg")
            return await send(BufferedInputFile(data, self._name()), thumbnail)

        message = await self._by_id_or_upload(self.asset.file_id, send_by_id, upload)
        # Telegram may keep a video without sound as an animation (docs/reference/telegram.md, section 5). Its file id
        # can then be sent as an animation only.
        sent = message.video or message.animation or message.document
        return sent.file_id if sent else None

    async def _by_id_or_upload(
        self, file_id: str | None, send: Callable[[str], Awaitable[Message]], upload: Callable[[], Awaitable[Message]]
    ) -> Message:
        """Send the file that Telegram has, or upload it when Telegram does not accept the id."""
        if file_id is not None:
            try:
                return await send(file_id)
            except TelegramBadRequest as error:
                # The id belongs to another bot or another kind of file, or Telegram has forgotten it.
                if "file" not in error.message.lower():
                    raise
        return await upload()

    async def _bytes(self) -> bytes:
        """The result from our store, read once. Raises ResultGone."""
        if self._data is None:
            if self.asset.deleted_at is not None:
                raise ResultGone(self.job.id)
            try:
                self._data = await self._store.get(self.asset.store_key)
            except AssetNotFound:
                raise ResultGone(self.job.id) from None
        return self._data

    def _name(self, extension: str | None = None) -> str:
        """The file name that people see."""
        kind = "clip" if self.asset.mime.startswith("video/") else "picture"
        return f"{kind}-{self.job.id}.{extension or _EXTENSION.get(self.asset.mime, 'bin')}"
