"""The files Telegram keeps: by file_id, by path, limited in total size."""

from __future__ import annotations

import hashlib
import random
import string
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

MAX_TOTAL = 256 * 1024 * 1024
MAX_FILES = 50_000
ALPHABET = string.ascii_letters + string.digits + "-_"
PREFIX = {
    "photo": "AgACAgIAAx",
    "video": "BAACAgIAAx",
    "document": "BQACAgIAAx",
    "animation": "CgACAgIAAx",
    "audio": "CQACAgIAAx",
    "voice": "AwACAgIAAx",
    "sticker": "CAACAgIAAx",
    "thumbnail": "AAMCAgADGQ",
}
FOLDER = {
    "photo": "photos",
    "video": "videos",
    "animation": "animations",
    "audio": "music",
    "voice": "voice",
    "sticker": "stickers",
    "thumbnail": "thumbnails",
}


@dataclass
class StoredFile:
    """One file. `public` is the Bot API object of the media it stands for (for a photo: the list of all sizes)."""

    file_id: str
    unique_id: str
    bot_id: int
    kind: str
    data: bytes
    path: str
    mime_type: str
    public: Any = None

    @property
    def head(self) -> dict[str, Any]:
        """The fields that every file object begins with."""
        return {"file_id": self.file_id, "file_unique_id": self.unique_id, "file_size": len(self.data)}


class FileStore:
    """Files of all bots; those unused the longest are dropped when the total grows past a limit."""

    def __init__(self, rng: random.Random, max_total: int = MAX_TOTAL) -> None:
        self._rng = rng
        self._max_total = max_total
        self._total = 0
        self._count = 0
        self._by_id: OrderedDict[str, StoredFile] = OrderedDict()
        self._by_path: dict[tuple[int, str], StoredFile] = {}

    def add(self, bot_id: int, kind: str, data: bytes, *, extension: str, mime_type: str) -> StoredFile:
        self._count += 1
        file_id = PREFIX[kind] + "".join(self._rng.choices(ALPHABET, k=60))
        unique = "AQAD" + hashlib.sha256(data).hexdigest()[:12]
        path = f"{FOLDER.get(kind, 'documents')}/file_{self._count}{extension}"
        stored = StoredFile(file_id, unique, bot_id, kind, data, path, mime_type)
        self._by_id[file_id] = stored
        self._by_path[bot_id, path] = stored
        self._total += len(data)
        while len(self._by_id) > 1 and (self._total > self._max_total or len(self._by_id) > MAX_FILES):
            self._drop(next(iter(self._by_id.values())))
        return stored

    def get(self, bot_id: int, file_id: str) -> StoredFile | None:
        """The bot's file; a file_id of another bot is not valid."""
        stored = self._by_id.get(file_id)
        if stored is None or stored.bot_id != bot_id:
            return None
        self._by_id.move_to_end(file_id)
        return stored

    def find(self, file_id: str) -> StoredFile | None:
        """Any bot's file, for the person's page."""
        return self._by_id.get(file_id)

    def at(self, bot_id: int, path: str) -> StoredFile | None:
        return self._by_path.get((bot_id, path))

    def _drop(self, stored: StoredFile) -> None:
        del self._by_id[stored.file_id]
        del self._by_path[stored.bot_id, stored.path]
        self._total -= len(stored.data)
