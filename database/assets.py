"""Stored files and their users: photos that users sent (`input`) and what was made for them (`result`).

The bytes are in the asset store and fsynced before their row is written. A file without a row is deleted later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import and_, insert, or_, select, update

from database import users as user_rows
from database.clock import DAY_MS
from database.engine import Tx
from database.errors import NotFound
from database.rows import Asset
from database.schema import assets

FAR_MS = 3 * DAY_MS  # a time further ahead was written under a wrong clock, not under one that is a day off


@dataclass(frozen=True)
class NewAsset:
    """A file that is already stored and fsynced; `size` in bytes."""

    id: str
    user_id: int
    store_key: str
    sha256: str
    mime: str
    size: int
    width: int
    height: int
    duration_ms: int | None = None


def add_input(tx: Tx, asset: NewAsset, *, keep_ms: int) -> Asset:
    """Add a photo that the user sent. It expires unless a job uses it."""
    user_rows.ensure(tx, asset.user_id)
    values = {**vars(asset), "role": "input", "created_at": tx.now, "expires_at": tx.now + keep_ms}
    tx.execute(insert(assets).values(**values))
    return get_asset(tx, asset.id)


def get_assets(tx: Tx, asset_ids: Sequence[str]) -> list[Asset]:
    """Assets in the order asked for, without those that are deleted or unknown."""
    found = {
        row["id"]: Asset.read(row)
        for row in tx.rows(select(assets).where(assets.c.id.in_(list(asset_ids)), assets.c.deleted_at.is_(None)))
    }
    return [found[asset_id] for asset_id in asset_ids if asset_id in found]


def get_asset(tx: Tx, asset_id: str) -> Asset:
    """The asset, even when its file is deleted. Raises NotFound."""
    found = Asset.maybe(tx.row(select(assets).where(assets.c.id == asset_id)))
    if found is None:
        raise NotFound(f"asset {asset_id}")
    return found


def result_of(tx: Tx, job_id: str) -> Asset | None:
    """The stored result of a job, even when its file is deleted (`deleted_at` is set then)."""
    return Asset.maybe(tx.row(select(assets).where(assets.c.job_id == job_id, assets.c.role == "result")))


def add_result(tx: Tx, asset: NewAsset, job_id: str, *, keep_ms: int) -> None:
    """Add what was made for a job. A unique index allows one result per job."""
    values = {**vars(asset), "job_id": job_id, "role": "result", "created_at": tx.now, "expires_at": tx.now + keep_ms}
    tx.execute(insert(assets).values(**values))


def mark_deleted(tx: Tx, asset_id: str) -> bool:
    """Note that its file is to be deleted; True if no earlier call did."""
    row = assets.c.id == asset_id
    return tx.changed(update(assets).where(row, assets.c.deleted_at.is_(None)).values(deleted_at=tx.now))


def keep_assets(tx: Tx, asset_ids: Sequence[str], *, keep_ms: int) -> None:
    """A job needs these: keep them for at least `keep_ms` from now."""
    until = tx.now + keep_ms
    wanted = assets.c.id.in_(list(asset_ids))
    tx.execute(update(assets).where(wanted, assets.c.expires_at < until).values(expires_at=until))


def remember_file_ids(tx: Tx, asset_id: str, *, file_id: str | None, preview_file_id: str | None) -> None:
    """Remember Telegram's ids of the sent files, so that sending them again needs no upload."""
    tx.execute(update(assets).where(assets.c.id == asset_id).values(file_id=file_id, preview_file_id=preview_file_id))


def expired_assets(tx: Tx, *, keep_ms: int = 0, limit: int = 100) -> list[Asset]:
    """Assets whose time is over, and those that a wrong clock gave a later end than `keep_ms` allows."""
    far = and_(assets.c.expires_at > tx.now + FAR_MS + keep_ms, assets.c.created_at > tx.now + FAR_MS)
    query = select(assets).where(or_(assets.c.expires_at <= tx.now, far), assets.c.deleted_at.is_(None)).limit(limit)
    return [Asset.read(row) for row in tx.rows(query)]


def begin_far_anew(tx: Tx, asset: Asset) -> bool:
    """An asset that was stored under a wrong clock is kept for its full time from now on. True if this call did it."""
    far = and_(assets.c.id == asset.id, assets.c.created_at > tx.now + FAR_MS)
    lasts = assets.c.expires_at - assets.c.created_at
    return tx.changed(update(assets).where(far).values(created_at=tx.now, expires_at=tx.now + lasts))


def known_store_keys(tx: Tx, store_keys: Sequence[str]) -> set[str]:
    """Those of these files that belong to an asset which is not deleted."""
    query = select(assets.c.store_key).where(assets.c.store_key.in_(list(store_keys)), assets.c.deleted_at.is_(None))
    return {str(row["store_key"]) for row in tx.rows(query)}
