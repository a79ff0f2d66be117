"""Conversation states in the database, and the lock that handles one person's updates one at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiogram.fsm.state import State
from aiogram.fsm.storage.base import BaseEventIsolation, BaseStorage, StateType, StorageKey

from database import drafts as draft_rows
from database.models import Database, Tx
from services.common.keyed_lock import KeyedLock


class DatabaseStorage(BaseStorage):
    """aiogram's storage on our database: states survive restarts and are shared by all bot processes.

    A state or data that has not changed is not written.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def set_state(self, key: StorageKey, state: StateType = None) -> None:
        name = state.state if isinstance(state, State) else state

        def put(tx: Tx) -> None:
            known, data = draft_rows.conversation(tx, _name(key))
            if known != name:
                draft_rows.set_conversation(tx, _name(key), state=name, data=data)

        await self._db.write(put)

    async def get_state(self, key: StorageKey) -> str | None:
        state, _ = await self._db.read(draft_rows.conversation, _name(key))
        return state

    async def set_data(self, key: StorageKey, data: Mapping[str, Any]) -> None:
        def put(tx: Tx) -> None:
            state, known = draft_rows.conversation(tx, _name(key))
            if known != data:
                draft_rows.set_conversation(tx, _name(key), state=state, data=data)

        await self._db.write(put)

    async def get_data(self, key: StorageKey) -> dict[str, Any]:
        _, data = await self._db.read(draft_rows.conversation, _name(key))
        return data

    async def close(self) -> None:
        """Nothing to do: the database is closed by its owner."""


class OneAtATime(BaseEventIsolation):
    """Handles one update of a person at a time. Raises TooManyWaiting when too many of them wait for one person."""

    def __init__(self) -> None:
        self._locks = KeyedLock()

    @asynccontextmanager
    async def lock(self, key: StorageKey) -> AsyncGenerator[None, None]:
        async with self._locks.hold(key.user_id):
            yield

    async def close(self) -> None:
        """Nothing to do: a lock is released by its holder."""


def _name(key: StorageKey) -> str:
    return f"{key.bot_id}:{key.chat_id}:{key.user_id}:{key.destiny}"
