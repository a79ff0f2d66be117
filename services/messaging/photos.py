"""Photos from Telegram and images made earlier, stored as assets that a draft can use."""

from __future__ import annotations

import asyncio
import io
from contextlib import aclosing
from typing import Final

from aiogram import Bot
from aiogram.exceptions import TelegramBadRequest
from aiohttp import ClientError, ClientResponseError

from database import assets as asset_rows
from database import clock
from database.models import Asset, Database
from services.base_provider import Photo
from services.catalogue import Limits
from services.errors import ServiceError
from services.media.inspect import BadMedia, MediaFault, inspect_image, prepare_photo
from services.media.store import AssetError, AssetNotFound, AssetStore
from services.messaging.telegram import NETWORK_ERRORS

KEEP_MS: Final = 3 * clock.DAY_MS  # for a photo of a draft; a job keeps its photos as long as it needs them
AT_ONCE: Final = 4  # photos in memory at a time
DOWNLOAD_SECONDS: Final = 60
_SUFFIX = {"image/jpeg": ".jpg", "image/png": ".png"}


class PhotoRefused(ServiceError):
    """This file can't be used; `code` says why."""

    def __init__(self, code: MediaFault) -> None:
        super().__init__(code)
        self.code = code


class PhotoUnavailable(ServiceError):
    """The file can't be fetched from Telegram or stored now; sending it again may help."""


class PhotoGone(ServiceError):
    """An image made earlier is no longer stored, neither here nor at Telegram."""


class Photos:
    """Fetches photos, checks them, scales them to what the providers accept, and stores them."""

    def __init__(self, db: Database, store: AssetStore, limits: Limits) -> None:
        self._db = db
        self._store = store
        self._limits = limits
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def keep(
        self, bot: Bot, user_id: int, file_id: str, *, size: int | None = None, asset_id: str | None = None
    ) -> Asset:
        """Store a photo that the person sent. `size`: its bytes as Telegram tells them.

        A second call with the same `asset_id` returns the same asset, so an update that comes twice is one photo.
        Raises PhotoRefused, PhotoUnavailable.
        """
        if size is not None and size > self._limits.photo_bytes:
            raise PhotoRefused(MediaFault.TOO_LARGE)
        if asset_id is not None and (known := await self._db.read(asset_rows.get_assets, [asset_id])):
            return known[0]
        async with self._slots:
            return await self._store_prepared(user_id, await self._download(bot, file_id), asset_id)

    async def keep_result(self, bot: Bot, user_id: int, result: Asset) -> Asset:
        """Store an image made earlier as the photo of a new draft. Raises PhotoGone, PhotoRefused, PhotoUnavailable."""
        async with self._slots:
            return await self._store_prepared(user_id, await self._bytes_of(bot, result))

    async def _bytes_of(self, bot: Bot, result: Asset) -> bytes:
        """From our store, else the original from Telegram, else its preview. Raises as `keep_result` does."""
        if result.deleted_at is None:
            try:
                return await self._store.get(result.store_key)
            except AssetNotFound:
                pass  # Telegram may still have it
            except AssetError as error:
                raise PhotoUnavailable(str(error)) from error
        if result.file_id is not None:
            try:
                return await self._download(bot, result.file_id)
            except PhotoRefused:
                if result.preview_file_id is None:
                    raise
                # The original is too big to fetch; the preview is not.
        if result.preview_file_id is not None:
            return await self._download(bot, result.preview_file_id)
        raise PhotoGone(result.id)

    async def _download(self, bot: Bot, file_id: str) -> bytes:
        """A file from Telegram, in up to three attempts. Raises PhotoRefused, PhotoUnavailable."""
        try:
            file = await bot.get_file(file_id)
        except TelegramBadRequest as error:
            # "file is too big": larger than a bot may fetch (docs/reference/telegram.md, section 2)
            too_big = "too big" in error.message
            raise (PhotoRefused(MediaFault.TOO_LARGE) if too_big else PhotoUnavailable(error.message)) from error
        except NETWORK_ERRORS as error:
            raise PhotoUnavailable("getFile") from error
        for attempt in range(3):
            try:
                return await self._content(bot, file.file_path or "")
            except (ClientError, TimeoutError, OSError) as error:
                if attempt == 2 or (isinstance(error, ClientResponseError) and error.status < 500):
                    # The error's own text contains the address of the file, and with it the bot's token.
                    raise PhotoUnavailable(type(error).__name__) from None
                await asyncio.sleep(0.5 * 2**attempt)
        raise AssertionError("the last try returns or raises")

    async def _content(self, bot: Bot, path: str) -> bytes:
        """The file's bytes. Raises PhotoRefused when there are more than the limit, whatever size was announced."""
        url = bot.session.api.file_url(bot.token, path)
        stream = bot.session.stream_content(url, timeout=DOWNLOAD_SECONDS, raise_for_status=True)
        content = io.BytesIO()
        async with aclosing(stream):
            async for chunk in stream:
                content.write(chunk)
                if content.tell() > self._limits.photo_bytes:
                    raise PhotoRefused(MediaFault.TOO_LARGE)
        return content.getvalue()

    async def _store_prepared(self, user_id: int, data: bytes, asset_id: str | None = None) -> Asset:
        """Check and scale the image, then store the file and its row. Raises PhotoRefused, PhotoUnavailable."""
        try:
            photo, width, height = await asyncio.to_thread(self._prepared, data)
        except BadMedia as error:
            raise PhotoRefused(error.code) from None
        try:
            stored = await self._store.put(photo.data, suffix=_SUFFIX[photo.mime])
        except AssetError as error:
            raise PhotoUnavailable(str(error)) from error
        asset = asset_rows.NewAsset(
            id=asset_id or clock.token(12),
            user_id=user_id,
            store_key=stored.key,
            sha256=stored.sha256,
            mime=photo.mime,
            size=stored.size,
            width=width,
            height=height,
        )
        return await self._db.write(asset_rows.add_input, asset, keep_ms=KEEP_MS)

    def _prepared(self, data: bytes) -> tuple[Photo, int, int]:
        """The photo as it will be sent to a provider, its width and its height in pixels. Raises BadMedia."""
        limits = self._limits
        photo = prepare_photo(
            data,
            max_side=limits.photo_side,
            max_bytes=limits.photo_send_bytes,
            max_input_bytes=max(limits.photo_bytes, limits.picture_bytes),
            max_pixels=max(limits.photo_pixels, limits.picture_pixels),
        )
        info = inspect_image(photo.data)
        return photo, info.width, info.height
