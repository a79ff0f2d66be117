"""Drafts in the database: opened once for each update, loaded, changed and dropped, always with options on sale."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from database import assets as asset_rows
from database import drafts as draft_rows
from database import jobs as job_rows
from database.models import Asset, Database, Draft, Job, JobType, Tx
from services.errors import ServiceError
from services.storefront import Storefront

_ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


class Stale(ServiceError):
    """An old button: its draft or job is gone, running or done. `code` is a text id."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def stable_id(*parts: object) -> str:
    """An id of 16 characters made from `parts`: an update that is handled twice opens one draft."""
    number = int.from_bytes(hashlib.sha256(":".join(map(str, parts)).encode()).digest()[:10])
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits += _ALPHABET[digit]
    return digits.rjust(16, "0")[:16]


class Drafts:
    """The drafts of all people. What `load` and `open` return always has a model and options that are sold."""

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
        """Write a new draft; return the earlier one when `draft_id` exists already.

        `inputs` are ids of photos (assets). An empty `model` means the default model.
        Raises BadDraft when this type is not sold here.
        """
        self.storefront.require(type)
        wanted = Draft(
            id=draft_id,
            user_id=user_id,
            chat_id=chat_id,
            message_id=None,
            type=type,
            model=model or self.storefront.default_model(type, len(inputs)),
            prompt=prompt,
            params=dict(params or {}),
            inputs=inputs,
            parent_job_id=parent_job_id,
            revision=0,
            created_at=0,
            updated_at=0,
        )
        wanted = self.storefront.fitted(wanted)
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
        """The person's own draft, as long as it has not become a job. Raises Stale."""

        def find(tx: Tx) -> tuple[Draft | None, Job | None]:
            return draft_rows.get(tx, draft_id, user_id), job_rows.get(tx, draft_id)

        draft, job = await self._db.read(find)
        if job is not None and job.user_id == user_id:
            raise Stale("order-running" if job.is_open else "order-done")
        if draft is None:
            raise Stale("order-stale")
        return self.storefront.fitted(draft)

    async def save(self, draft: Draft) -> Draft:
        """Write type, model, prompt, options and photos of the draft. Raises Stale when it is gone."""
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

    async def add_photo(self, draft_id: str, user_id: int, asset: Asset) -> tuple[Draft, bool]:
        """Add a photo at the end; return the draft and whether there was room for the photo. Raises Stale."""
        draft = await self.load(draft_id, user_id)
        if asset.id in draft.inputs:
            return draft, True
        type = JobType.EDIT if draft.type.is_image else JobType.ANIMATE
        has_room = len(draft.inputs) < self.storefront.max_photos(type, draft.model)
        if has_room:
            draft = self.storefront.fitted(replace(draft, type=type, inputs=(*draft.inputs, asset.id)))
        return await self.save(draft), has_room

    async def drop(self, draft_id: str, user_id: int) -> None:
        """Delete the person's own draft; nothing happens when it is gone."""
        await self._db.write(draft_rows.drop, draft_id, user_id)

    async def photos(self, draft: Draft) -> list[Asset]:
        """The draft's photos that are still stored."""
        return await self._db.read(asset_rows.get_assets, draft.inputs)
