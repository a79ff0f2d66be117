"""The users of the bot: language, ban, whether their chat can be reached."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select, update
from sqlalchemy.dialects.sqlite import insert

from database.engine import Tx
from database.errors import NotFound
from database.rows import User
from database.schema import balances, users


def ensure(tx: Tx, user_id: int) -> None:
    """Create the user's row if there is none. Money may come before the user's first message."""
    tx.execute(insert(users).values(id=user_id, created_at=tx.now).on_conflict_do_nothing())


def get(tx: Tx, user_id: int) -> User | None:
    return User.maybe(tx.row(select(users).where(users.c.id == user_id)))


def languages(tx: Tx, user_ids: Collection[int]) -> dict[int, str]:
    """The language of each of these users that has one."""
    query = select(users.c.id, users.c.language).where(users.c.id.in_(user_ids), users.c.language.is_not(None))
    return {int(row["id"]): str(row["language"]) for row in tx.rows(query)}


def remember(tx: Tx, user_id: int, *, language: str, name: str, username: str | None) -> User:
    """The user wrote: update name and language (a chosen language stays), and note that the chat can be reached."""
    known = get(tx, user_id)
    if known is None:
        ensure(tx, user_id)
        known = get(tx, user_id)
    if known is None:
        raise NotFound(f"user {user_id}")
    fresh = {
        "language": known.language if known.language_chosen else language,
        "name": name[:128],
        "username": username,
        "is_unreachable": 0,
    }
    if any(getattr(known, column) != value for column, value in fresh.items()):
        tx.execute(update(users).where(users.c.id == user_id).values(**fresh))
        known = get(tx, user_id) or known
    return known


def choose_language(tx: Tx, user_id: int, language: str) -> None:
    ensure(tx, user_id)
    tx.execute(update(users).where(users.c.id == user_id).values(language=language, language_chosen=1))


def set_email(tx: Tx, user_id: int, email: str | None) -> None:
    """Set the address for this user's receipts; None deletes it."""
    ensure(tx, user_id)
    tx.execute(update(users).where(users.c.id == user_id).values(email=email))


def set_banned(tx: Tx, user_id: int, banned: bool) -> bool:
    """Ban or unban a user; True if that changed anything."""
    ensure(tx, user_id)
    wanted = int(banned)
    return tx.changed(update(users).where(users.c.id == user_id, users.c.is_banned != wanted).values(is_banned=wanted))


def set_unreachable(tx: Tx, user_id: int, unreachable: bool) -> None:
    tx.execute(update(users).where(users.c.id == user_id).values(is_unreachable=int(unreachable)))


def find(tx: Tx, text: str) -> User | None:
    """By Telegram id or @name, as an admin types it."""
    wanted = text.strip().removeprefix("@")
    if wanted.isascii() and wanted.isdigit():
        return get(tx, int(wanted)) if len(wanted) <= 18 else None
    return User.maybe(tx.row(select(users).where(users.c.username == wanted).order_by(users.c.id).limit(1)))


def balance(tx: Tx, user_id: int) -> int:
    """Kopecks on the balance, from `balances`; an unknown user has 0."""
    found = tx.execute(select(balances.c.balance).where(balances.c.user_id == user_id)).scalar()
    return int(found or 0)
