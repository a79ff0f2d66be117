"""Commands of admins about people and the bot as a whole. For everybody else they do not exist.

Every act writes a row into the admin log.
"""

from __future__ import annotations

from typing import Final

from aiogram import Bot, Router
from aiogram.filters import Command, CommandObject
from aiogram.types import Message

from database import admin
from database import payments as payment_rows
from database import users as user_rows
from database.models import Database, JobStatus, NotFound, Payment, Tx, User
from handlers.admin.arguments import is_user_id
from handlers.chat import NO_LIMIT
from handlers.views.localizer import Localizer
from services.common.i18n import Safe
from services.pricing import BadSum, parse_rubles

router = Router(name="users")

MAX_GRANT: Final = 100_000_000  # kopecks at once: a million rubles
MAX_PAYMENTS: Final = 5  # listed in the answer to /user


@router.message(Command("admin"), flags=NO_LIMIT)
async def panel(message: Message, localizer: Localizer) -> None:
    """List the commands of admins."""
    await message.answer(localizer.t("admin-panel"))


@router.message(Command("stats"), flags=NO_LIMIT)
async def stats(message: Message, person: User, localizer: Localizer, db: Database) -> None:
    """Totals, and the last 24 hours."""

    def note(tx: Tx) -> None:
        admin.log(tx, person.id, "stats", "shop")

    await db.write(note)
    found = await db.read_apart(admin.stats)
    counts = [(status, found.jobs_today.get(status, 0)) for status in JobStatus]
    today = ", ".join(f"{localizer.plain(f'admin-jobs-{status}')} {count}" for status, count in counts if count)
    await message.answer(
        localizer.t(
            "admin-stats",
            users=found.users,
            users_today=found.users_today,
            balances=localizer.rubles(found.balances),
            held=localizer.rubles(found.held),
            debts=localizer.rubles(found.debts),
            topups=localizer.rubles(found.topups_today),
            charged=localizer.rubles(found.charged_today),
            cost=localizer.dollars(found.provider_micro_usd_today),
            jobs=today or localizer.plain("admin-jobs-none"),
            open=found.open_jobs,
            undelivered=found.undelivered,
            quarantined=found.quarantined,
            lost=found.lost_today,
            maintenance=localizer.plain("admin-on" if found.maintenance else "admin-off"),
        )
    )


@router.message(Command("user"), flags=NO_LIMIT)
async def user(message: Message, command: CommandObject, person: User, localizer: Localizer, db: Database) -> None:
    """Balance, jobs and newest payments of the person with this id or @name."""
    wanted = (command.args or "").strip()
    if not wanted:
        await message.answer(localizer.t("admin-usage-user"))
        return

    def read(tx: Tx) -> tuple[admin.UserCard, list[Payment]]:
        card = admin.user_card(tx, wanted)
        admin.log(tx, person.id, "user", str(card.user.id))
        return card, payment_rows.of_user(tx, card.user.id, limit=MAX_PAYMENTS)

    try:
        card, payments = await db.write(read)
    except NotFound:
        await message.answer(localizer.t("admin-not-found"))
        return
    await message.answer(_user_text(localizer, card, payments))


def _user_text(localizer: Localizer, card: admin.UserCard, payments: list[Payment]) -> str:
    found = card.user
    marks = [localizer.plain("admin-user-banned")] if found.is_banned else []
    marks += [localizer.plain("admin-user-unreachable")] if found.is_unreachable else []
    return localizer.t(
        "admin-user",
        name=found.name or "–",
        username=f"@{found.username}" if found.username else "",
        id=str(found.id),
        language=found.language or "–",
        since=localizer.when(found.created_at),
        balance=localizer.rubles(card.balance),
        held=localizer.rubles(card.held),
        debt=localizer.rubles(card.debt),
        paid=localizer.rubles(card.paid),
        jobs=card.jobs,
        open=card.open_jobs,
        marks=", ".join(marks) or localizer.plain("admin-user-fine"),
        payments=Safe(_payments(localizer, payments)),
    )


def _payments(localizer: Localizer, payments: list[Payment]) -> str:
    """A person's newest payments, each with the id that /refund_payment takes (HTML)."""
    lines = [localizer.t("admin-user-payments")] if payments else []
    for payment in payments:
        if payment.quarantined_reason:
            status = localizer.plain("payment-status-quarantined")
        elif 0 < payment.refunded_amount < payment.amount:
            status = localizer.plain("payment-status-part", amount=localizer.rubles(payment.refunded_amount))
        else:
            status = localizer.plain(f"payment-status-{payment.status}")
        when, amount = localizer.when(payment.created_at), localizer.rubles(payment.amount)
        lines.append(localizer.t("admin-user-payment", id=payment.id, when=when, amount=amount, status=status))
    return "\n".join(["", *lines])


@router.message(Command("grant"), flags=NO_LIMIT)
async def grant(
    message: Message, command: CommandObject, bot: Bot, person: User, localizer: Localizer, db: Database
) -> None:
    """Credit money to a person, once for each message of the admin, however often its update comes."""
    target, _, rest = (command.args or "").strip().partition(" ")
    rubles, _, note = rest.strip().partition(" ")
    try:
        amount = parse_rubles(rubles, minimum=1, maximum=MAX_GRANT)
    except BadSum:
        amount = 0
    if not is_user_id(target) or amount <= 0 or _is_ambiguous(rubles, note):
        await message.answer(localizer.t("admin-usage-grant"))
        return
    user_id = int(target)
    # The id of the bot is part of the key, because another bot on this database numbers its messages from 1 again.
    key = f"{bot.id}:{message.chat.id}:{message.message_id}"
    known = await db.read(user_rows.get, user_id)
    await db.write(admin.grant, person.id, user_id, amount, key=key, note=note.strip()[:200])
    balance = await db.get_balance(user_id)
    text = localizer.t("admin-granted", amount=localizer.rubles(amount), id=target, balance=localizer.rubles(balance))
    await message.answer(text if known else f"{text}\n{localizer.t('admin-granted-stranger')}")


def _is_ambiguous(rubles: str, note: str) -> bool:
    """Whether the amount may go on in the first word of the note: `1 000` may mean 1 ruble or 1000 rubles."""
    first_word = note.strip().partition(" ")[0]
    try:
        return first_word[:1].isdigit() and parse_rubles(f"{rubles} {first_word}", minimum=1, maximum=10**12) > 0
    except BadSum:
        return False


@router.message(Command("ban", "unban"), flags=NO_LIMIT)
async def ban(
    message: Message, command: CommandObject, person: User, localizer: Localizer, db: Database, admins: frozenset[int]
) -> None:
    """Ban a person, or lift the ban. An admin can't be banned."""
    target, banned = (command.args or "").strip(), command.command == "ban"
    if not is_user_id(target):
        await message.answer(localizer.t(f"admin-usage-{command.command}"))
        return
    if banned and int(target) in admins:
        await message.answer(localizer.t("admin-ban-admin"))
        return
    if not banned and await db.read(user_rows.get, int(target)) is None:
        await message.answer(localizer.t("admin-not-found"))
        return
    await db.write(admin.set_banned, person.id, int(target), banned)
    await message.answer(localizer.t("admin-banned" if banned else "admin-unbanned", id=target))


@router.message(Command("maintenance"), flags=NO_LIMIT)
async def maintenance(
    message: Message, command: CommandObject, person: User, localizer: Localizer, db: Database
) -> None:
    """Pause new jobs, or accept them again."""
    wanted = (command.args or "").strip().lower()
    if wanted not in ("on", "off"):
        await message.answer(localizer.t("admin-usage-maintenance"))
        return
    await db.write(admin.set_maintenance, person.id, wanted == "on")
    await message.answer(localizer.t(f"admin-maintenance-{wanted}"))
