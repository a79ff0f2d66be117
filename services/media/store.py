"""The store of photos and results until they expire: a folder on disk.

A stored asset is complete and durable, or it is not there: the bytes go to a temporary file in the same folder, are
flushed to the disk and renamed, and the folder's entry is flushed as well. Only then may money be charged for them.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from database import clock

_KEY = re.compile(r"[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{64}-[0-9a-f]{16}\.[a-z0-9]{1,8}")
_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")
_TEMPORARY = ".part"
_SWEEP_BATCH = 500
_SWEEP_SECONDS = 60.0


class AssetError(Exception):
    """An asset could not be stored or read."""


class AssetNotFound(AssetError):
    """There is no asset with this key: it has expired, or it was never stored."""


class AssetStoreFull(AssetError):
    """The disk, or this account's share of it, is full. Nothing was stored."""


@dataclass(frozen=True, slots=True)
class StoredAsset:
    """What was stored: the key to ask for it, the SHA-256 of the bytes in hex, and their number."""

    key: str
    sha256: str
    size: int


class AssetStore(Protocol):
    """A store of assets. Every method is safe to call again."""

    async def put(self, data: bytes, *, suffix: str) -> StoredAsset: ...

    async def get(self, key: str) -> bytes: ...

    async def delete(self, key: str) -> None: ...

    async def sweep(self, known: Callable[[Sequence[str]], Awaitable[set[str]]], older_than: float) -> int: ...


class LocalAssets:
    """Assets in files under `root`, spread over 65 536 folders by their hash."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._swept = ""  # the last folder that a sweep reached before its time was up

    async def put(self, data: bytes, *, suffix: str) -> StoredAsset:
        """Store `data` durably under a new key that ends in `suffix` (such as ".png").

        Each call has a key of its own, even for equal bytes, so that deleting one job's asset never deletes another's.

        Raises:
            AssetStoreFull: when the disk has no room; nothing is left behind.
            AssetError: when it could not be written for another reason.
        """
        if not _SUFFIX.fullmatch(suffix):
            raise ValueError(f"a suffix is a dot and 1 to 8 of a-z and 0-9, not {suffix!r}")
        digest = hashlib.sha256(data).hexdigest() if len(data) < 65_536 else await asyncio.to_thread(_sha256, data)
        key = f"{digest[:2]}/{digest[2:4]}/{digest}-{clock.token(8)}{suffix}"
        await asyncio.to_thread(_write, self.root, self.path(key), data)
        return StoredAsset(key=key, sha256=digest, size=len(data))

    async def get(self, key: str) -> bytes:
        """The bytes of `key`.

        Raises:
            AssetNotFound: when there is none.
        """
        path = self.path(key)
        try:
            return await asyncio.to_thread(path.read_bytes)
        except FileNotFoundError:
            raise AssetNotFound(key) from None
        except OSError as error:
            raise AssetError(f"{key}: {error.strerror}") from error

    async def delete(self, key: str) -> None:
        """Remove `key`; nothing happens if it is already gone."""
        path = self.path(key)
        await asyncio.to_thread(path.unlink, True)

    def path(self, key: str) -> Path:
        """The file of `key`, whether it exists or not.

        Raises:
            AssetNotFound: when `put` can't have made this `key`, so that no key leads outside the folder.
        """
        if not _KEY.fullmatch(key):
            raise AssetNotFound(key[:100])
        return self.root / key

    async def sweep(
        self,
        known: Callable[[Sequence[str]], Awaitable[set[str]]],
        older_than: float,
        *,
        seconds: float = _SWEEP_SECONDS,
    ) -> int:
        """Remove files without a row. A process that dies between file and row leaves them.

        `known` gets batches of keys and returns those to keep. Only files at least `older_than` seconds old are
        checked, because the row of a younger file may not be written yet. After `seconds` no further folder is begun;
        the next sweep continues there, also after one that was cut off. Returns how many files were removed.
        """
        removed, end = 0, clock.steady() + seconds
        folders = await asyncio.to_thread(_folders, self.root, self._swept)
        for folder in folders:
            self._swept = folder.name
            removed += await self._sweep_folder(folder, known, clock.now() - older_than)
            if clock.steady() >= end and folder != folders[-1]:
                return removed
        self._swept = ""
        return removed

    async def _sweep_folder(
        self, folder: Path, known: Callable[[Sequence[str]], Awaitable[set[str]]], before: float
    ) -> int:
        removed = 0
        walk = _files(self.root, folder, before)
        while batch := await asyncio.to_thread(_next_batch, walk):
            keys = [path.relative_to(self.root).as_posix() for path in batch if path.suffix != _TEMPORARY]
            keep = await known(keys) if keys else set()
            doomed = [path for path in batch if path.relative_to(self.root).as_posix() not in keep]
            await asyncio.to_thread(_unlink_all, doomed)
            removed += len(doomed)
        return removed


def open_assets(url: str) -> LocalAssets:
    """The store that `ASSETS_URL` names: a folder, which is created if needed.

    Raises:
        AssetError: when the folder cannot be created, or for `s3://`, which is not supported yet.
    """
    if url.startswith("s3://"):
        raise AssetError("ASSETS_URL=s3://… is not supported yet: name a folder that all processes share")
    root = Path(url)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AssetError(f"ASSETS_URL: the folder {url} cannot be made ({error.strerror})") from error
    return LocalAssets(root)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write(root: Path, path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + _TEMPORARY)
    try:
        _make_folders(root, path.parent)
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise AssetStoreFull(f"no room for {len(data)} bytes") from error
        raise AssetError(f"{path.name}: {error.strerror}") from error


def _make_folders(root: Path, folder: Path) -> None:
    """Create `folder` and flush the entry of each new level in its parent: without that a power cut can lose it."""
    if folder.is_dir():
        return
    if folder != root:
        _make_folders(root, folder.parent)
    folder.mkdir(parents=True, exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _folders(root: Path, after: str) -> list[Path]:
    """The folders with our files, by name, after the name `after`."""
    return sorted(folder for folder in root.glob("??") if folder.name > after)


def _files(root: Path, folder: Path, before: float) -> Iterator[Path]:
    """Our files in `folder` under `root`, finished and temporary, that were last written before the time `before`."""
    for path in folder.glob("??/*"):
        name = path.relative_to(root).as_posix().removesuffix(_TEMPORARY)
        try:
            if _KEY.fullmatch(name) and path.stat().st_mtime < before:
                yield path
        except FileNotFoundError:
            continue  # deleted meanwhile


def _next_batch(walk: Iterator[Path]) -> list[Path]:
    return list(islice(walk, _SWEEP_BATCH))


def _unlink_all(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
