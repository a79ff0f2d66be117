"""Orders that are not confirmed yet, and the state of each conversation. Both survive restarts and old buttons."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.sqlite import insert

from database import users as user_rows
from database.engine import Tx
from database.rows import Draft
from database.schema import conversations, drafts, jobs
from database.states import JobType

MAX_DRAFTS_PER_USER = 50


def open_draft(
    tx: Tx,
    draft_id: str,
    user_id: int,
    *,
    chat_id: int,
    type: JobType,
    model: str,
    prompt: str = "",
    params: Mapping[str, Any] | None = None,
    inputs: Sequence[str] = (),
    parent_job_id: str | None = None,
) -> Draft:
    """Write a new order down. A user has at most 50 drafts; the oldest are deleted."""
    user_rows.ensure(tx, user_id)
    values = {
        "id": draft_id,
        "user_id": user_id,
        "chat_id": chat_id,
        "type": type,
        "model": model,
        "prompt": prompt,
        "params": json.dumps(dict(params or {}), ensure_ascii=False),
        "inputs": json.dumps(list(inputs)),
        "parent_job_id": parent_job_id,
        "created_at": tx.now,
        "updated_at": tx.now,
    }
    tx.execute(insert(drafts).values(**values).on_conflict_do_nothing())
    too_many = (
        select(drafts.c.id)
        .where(drafts.c.user_id == user_id)
        .order_by(drafts.c.updated_at.desc(), drafts.c.id)
        .limit(-1)
        .offset(MAX_DRAFTS_PER_USER)
    )
    tx.execute(delete(drafts).where(drafts.c.id.in_(too_many)))
    return Draft.read(tx.rows(select(drafts).where(drafts.c.id == draft_id))[0])


def get(tx: Tx, draft_id: str, user_id: int) -> Draft | None:
    """The draft, if it is this user's own."""
    return Draft.maybe(tx.row(select(drafts).where(drafts.c.id == draft_id, drafts.c.user_id == user_id)))


def newest_waiting(tx: Tx, user_id: int, *, since: int) -> Draft | None:
    """The draft that the user changed last, at `since` or later, and that has not become a job."""
    begun = select(jobs.c.id).where(jobs.c.id == drafts.c.id).exists()
    found = (
        select(drafts)
        .where(drafts.c.user_id == user_id, drafts.c.updated_at >= since, ~begun)
        .order_by(drafts.c.updated_at.desc(), drafts.c.id)
        .limit(1)
    )
    return Draft.maybe(tx.row(found))


def change(
    tx: Tx,
    draft_id: str,
    user_id: int,
    *,
    type: JobType | None = None,
    model: str | None = None,
    prompt: str | None = None,
    params: Mapping[str, Any] | None = None,
    inputs: Sequence[str] | None = None,
    message_id: int | None = None,
) -> Draft | None:
    """Set what is given and increase the revision; None when there is no such draft."""
    values: dict[str, Any] = {
        "type": type,
        "model": model,
        "prompt": prompt,
        "params": None if params is None else json.dumps(dict(params), ensure_ascii=False),
        "inputs": None if inputs is None else json.dumps(list(inputs)),
        "message_id": message_id,
    }
    given = {name: value for name, value in values.items() if value is not None}
    tx.execute(
        update(drafts)
        .where(drafts.c.id == draft_id, drafts.c.user_id == user_id)
        .values(**given, revision=drafts.c.revision + 1, updated_at=tx.now)
    )
    return get(tx, draft_id, user_id)


def drop(tx: Tx, draft_id: str, user_id: int) -> None:
    tx.execute(delete(drafts).where(drafts.c.id == draft_id, drafts.c.user_id == user_id))


def forget_old(tx: Tx, *, before: int, limit: int = 500) -> int:
    old = select(drafts.c.id).where(drafts.c.updated_at < before).limit(limit)
    return int(tx.execute(delete(drafts).where(drafts.c.id.in_(old))).rowcount)


# --- what the bot waits for in a chat -------------------------------------------------------------


def conversation(tx: Tx, key: str) -> tuple[str | None, dict[str, Any]]:
    """State and data of a conversation; (None, {}) if there is none."""
    row = tx.row(select(conversations).where(conversations.c.key == key))
    return (None, {}) if row is None else (row["state"], json.loads(row["data"]))


def set_conversation(tx: Tx, key: str, *, state: str | None, data: Mapping[str, Any]) -> None:
    """Store state and data. When both are empty the row is deleted, so that the table does not grow with every user."""
    if state is None and not data:
        tx.execute(delete(conversations).where(conversations.c.key == key))
        return
    values = {"state": state, "data": json.dumps(dict(data), ensure_ascii=False), "updated_at": tx.now}
    new = insert(conversations).values(key=key, **values)
    tx.execute(new.on_conflict_do_update(index_elements=["key"], set_=values))


def forget_conversations(tx: Tx, *, before: int, limit: int = 500) -> int:
    old = select(conversations.c.key).where(conversations.c.updated_at < before).limit(limit)
    return int(tx.execute(delete(conversations).where(conversations.c.key.in_(old))).rowcount)
