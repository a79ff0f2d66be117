"""What administrators do in the chat. For everybody else these commands do not exist. Every act leaves an audit row."""

from __future__ import annotations

import json
from typing import Final

from aiogram import Bot, Router
from aiogram.filters import Command, CommandObject
from aiogram.types import Message

from database import admin
from database import jobs as job_rows
from database import payments as payment_rows
from database import users as user_rows
from database.models import Database, IllegalMove, Job, JobStatus, NotFound, Payment, ProviderCall, Tx, User
from handlers.chat import NO_LIMIT
from handlers.views.localizer import Localizer
from services.common.i18n import Safe
from services.messaging.telegram import cut
from services.pricing import BadSum, parse_rubles

router = Router(name="admin")

MOST_GRANTED: Final = 100_000_000  # kopecks in one act: a million rubles
MOST_PAYMENTS: Final = 5  # on a person's card
LARGEST_ID: Final = 2**52
_EVENTS: Final = {
    "confirmed": "confirmed",
    "claimed": "claimed",
    "submitted": "submitted",
    "rendered": "rendered",
    "stored and charged": "stored",
    "crashed": "crashed",
    "cut off": "cut-off",
    "not found yet": "not-found",
    "lost": "lost",
    "search": "search",
    "fetch": "fetch",
    "compensated": "compensated",
    "cancelled": "cancelled",
    "refunded_by_admin": "refunded",
    "hold_timeout": "timeout",
}


def is_user_id(text: str) -> bool:
    """A Telegram id as an administrator types it."""
    return text.isascii() and text.isdigit() and len(text) <= 16 and 0 < int(text) < LARGEST_ID


@router.message(Command("admin"), flags=NO_LIMIT)
async def panel(message: Message, localizer: Localizer) -> None:
    await message.answer(localizer.t("admin-panel"))


@router.message(Command("stats"), flags=NO_LIMIT)
async def stats(message: Message, person: User, localizer: Localizer, db: Database) -> None:
    def note(tx: Tx) -> None:
        admin.log(tx, person.id, "stats", "shop")

    await db.write(note)
    seen = await db.read_apart(admin.stats)
    counts = [(status, seen.jobs_today.get(status, 0)) for status in JobStatus]
    today = ", ".join(f"{localizer.plain(f'admin-jobs-{status}')} {count}" for status, count in counts if count)
    await message.answer(
        localizer.t(
            "admin-stats",
            users=seen.users,
            users_today=seen.users_today,
            balances=localizer.rubles(seen.balances),
            held=localizer.rubles(seen.held),
            debts=localizer.rubles(seen.debts),
            topups=localizer.rubles(seen.topups_today),
            charged=localizer.rubles(seen.charged_today),
            cost=_dollars(seen.provider_micro_usd_today),
            jobs=today or localizer.plain("admin-jobs-none"),
            open=seen.open_jobs,
            undelivered=seen.undelivered,
            quarantined=seen.quarantined,
            lost=seen.lost_today,
            maintenance=localizer.plain("admin-on" if seen.maintenance else "admin-off"),
        )
    )


@router.message(Command("user"), flags=NO_LIMIT)
async def user(message: Message, command: CommandObject, person: User, localizer: Localizer, db: Database) -> None:
    wanted = (command.args or "").strip()
    if not wanted:
        await message.answer(localizer.t("admin-usage-user"))
        return

    def look(tx: Tx) -> tuple[admin.UserCard, list[Payment]]:
        card = admin.user_card(tx, wanted)
        admin.log(tx, person.id, "user", str(card.user.id))
        return card, payment_rows.of_user(tx, card.user.id, limit=MOST_PAYMENTS)

    try:
        card, payments = await db.write(look)
    except NotFound:
        await message.answer(localizer.t("admin-not-found"))
        return
    found = card.user
    marks = [localizer.plain("admin-user-banned")] if found.is_banned else []
    marks += [localizer.plain("admin-user-unreachable")] if found.is_unreachable else []
    await message.answer(
        localizer.t(
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
    """Give money once per message of the admin's, however often the update comes."""
    target, _, rest = (command.args or "").strip().partition(" ")
    words, _, note = rest.strip().partition(" ")
    try:
        amount = parse_rubles(words, minimum=1, maximum=MOST_GRANTED)
    except BadSum:
        amount = 0
    if not is_user_id(target) or amount <= 0 or _goes_on(words, note):
        await message.answer(localizer.t("admin-usage-grant"))
        return
    user_id = int(target)
    key = f"{bot.id}:{message.chat.id}:{message.message_id}"  # another bot on these books counts messages anew
    known = await db.read(user_rows.get, user_id)
    await db.write(admin.grant, person.id, user_id, amount, key=key, note=note.strip()[:200])
    balance = await db.get_balance(user_id)
    text = localizer.t("admin-granted", amount=localizer.rubles(amount), id=target, balance=localizer.rubles(balance))
    await message.answer(text if known else f"{text}\n{localizer.t('admin-granted-stranger')}")


def _goes_on(words: str, note: str) -> bool:
    """Whether the sum may go on behind its space, as in `1 000`: then nobody can tell how much was meant."""
    more = note.strip().partition(" ")[0]
    try:
        return more[:1].isdigit() and parse_rubles(f"{words} {more}", minimum=1, maximum=10**12) > 0
    except BadSum:
        return False


@router.message(Command("ban", "unban"), flags=NO_LIMIT)
async def ban(
    message: Message, command: CommandObject, person: User, localizer: Localizer, db: Database, admins: frozenset[int]
) -> None:
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


@router.message(Command("job"), flags=NO_LIMIT)
async def job_story(
    message: Message, command: CommandObject, bot: Bot, person: User, localizer: Localizer, db: Database
) -> None:
    wanted = (command.args or "").strip()
    if not wanted:
        await message.answer(localizer.t("admin-usage-job"))
        return

    def look(tx: Tx) -> tuple[Job | None, list[tuple[int, str, str]], list[ProviderCall]]:
        admin.log(tx, person.id, "job", wanted[:100])
        return job_rows.get(tx, wanted), admin.job_events_of(tx, wanted), job_rows.calls(tx, wanted)

    job, events, calls = await db.write(look)
    if job is None:
        await message.answer(localizer.t("admin-not-found"))
        return
    await message.answer(_story(localizer, job, events, calls))


def _event(localizer: Localizer, status: JobStatus, cause: str) -> str:
    """What happened to a job, in words; a code says more to who looks for the reason."""
    head, _, code = cause.partition(": ")
    text = _EVENTS.get(head)
    if text is None:
        text, code = "failed" if status is JobStatus.FAILED else "again", cause
    return cut(localizer.plain(f"job-event-{text}", code=code), 60)


def _story(localizer: Localizer, job: Job, events: list[tuple[int, str, str]], calls: list[ProviderCall]) -> str:
    lines = [
        localizer.t(
            "admin-job",
            id=job.id,
            kind=localizer.plain(f"kind-{job.type}"),
            model=job.model,
            status=localizer.plain(f"admin-jobs-{job.status}"),
            user=str(job.user_id),
            price=localizer.rubles(job.cost_estimate),
            charged=localizer.rubles(job.cost_actual or 0),
            error=job.error_code or "–",
            delivered=localizer.when(job.delivered_at) if job.delivered_at else "–",
            params=cut(json.dumps(dict(job.params), ensure_ascii=False), 400),
            prompt=cut(job.prompt, 800) or "–",
        ),
        localizer.t("admin-job-events"),
        *(
            localizer.t(
                "statement-line",
                when=localizer.when(at),
                amount=localizer.plain(f"admin-jobs-{status}"),
                what=_event(localizer, JobStatus(status), cause),
            )
            for at, status, cause in events
        ),
    ]
    if calls:
        lines.append(localizer.t("admin-job-calls"))
    for call in calls[:10]:
        lines.append(
            localizer.t(
                "admin-job-call",
                model=call.model,
                outcome=call.outcome.value if call.outcome else "…",
                code=call.code or "",
                cost=_dollars(call.cost_micro_usd),
            )
        )
    return "\n".join(lines)


@router.message(Command("refund"), flags=NO_LIMIT)
async def refund(message: Message, command: CommandObject, person: User, localizer: Localizer, db: Database) -> None:
    """Money of a job back: an open job fails, a finished one is compensated, once."""
    job_id, _, note = (command.args or "").strip().partition(" ")
    if not job_id:
        await message.answer(localizer.t("admin-usage-refund"))
        return
    try:
        back = await db.write(admin.refund_job, person.id, job_id, note=note.strip()[:200])
    except NotFound:
        await message.answer(localizer.t("admin-not-found"))
    except IllegalMove:
        await message.answer(localizer.t("admin-refund-impossible"))
    else:
        amount = localizer.rubles(back.amount)
        if back.new:
            await message.answer(localizer.t("admin-refunded", amount=amount, id=job_id))
        else:
            when = localizer.when(back.at)
            await message.answer(localizer.t("admin-refunded-before", amount=amount, id=job_id, when=when))


@router.message(Command("maintenance"), flags=NO_LIMIT)
async def maintenance(
    message: Message, command: CommandObject, person: User, localizer: Localizer, db: Database
) -> None:
    wanted = (command.args or "").strip().lower()
    if wanted not in ("on", "off"):
        await message.answer(localizer.t("admin-usage-maintenance"))
        return
    await db.write(admin.set_maintenance, person.id, wanted == "on")
    await message.answer(localizer.t(f"admin-maintenance-{wanted}"))


def _dollars(micro_usd: int) -> str:
    return f"${micro_usd / 1_000_000:.4f}".rstrip("0").rstrip(".")
