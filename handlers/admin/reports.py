"""What admins get from the books: exports as files, and the margin of the last days."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from aiogram import Router
from aiogram.filters import Command, CommandObject
from aiogram.types import FSInputFile, Message

from database import admin, clock
from database.models import Database, User
from handlers.admin.arguments import number_of_days
from handlers.chat import NO_LIMIT
from handlers.views.localizer import Localizer
from services.catalogue import Catalogue, UnknownModel
from services.ops.export import BadPeriod, Period
from services.ops.margin import BOOKS, Margin, added_up, last_days, margins, write_book

router = Router(name="reports")

MAX_FILE_BYTES: Final = 45_000_000  # a bot may send files of up to 50 MB
DEFAULT_DAYS: Final = 7
MAX_DAYS: Final = 31


@router.message(Command("export"), flags=NO_LIMIT)
async def export(
    message: Message, command: CommandObject, person: User, localizer: Localizer, db: Database, catalogue: Catalogue
) -> None:
    """Send one of the books, for a period of days, as a file."""
    arguments = (command.args or "").split()
    try:
        if len(arguments) != 3 or arguments[0] not in BOOKS:
            raise BadPeriod
        book, first, last = arguments
        period = Period.parse(first, last)
    except BadPeriod:
        await message.answer(localizer.t("export-usage"))
        return
    await db.write(lambda tx: admin.log(tx, person.id, "export", book, first=first, last=last))
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / f"{book}_{period.first}_{period.last}.csv"
        written = await write_book(db, book, period, target, rubles_per_dollar=catalogue.rubles_per_dollar)
        if target.stat().st_size > MAX_FILE_BYTES:
            await message.answer(localizer.t("export-too-big"))
            return
        caption = localizer.t("export-done", count=written)
        await message.answer_document(FSInputFile(target, filename=target.name), caption=caption)


@router.message(Command("margin"), flags=NO_LIMIT)
async def margin(
    message: Message, command: CommandObject, person: User, localizer: Localizer, db: Database, catalogue: Catalogue
) -> None:
    """What the jobs of the last days brought, less what the providers billed for them."""
    wanted = (command.args or "").strip() or str(DEFAULT_DAYS)
    days = number_of_days(wanted, MAX_DAYS)
    if days is None:
        await message.answer(localizer.t("margin-usage", days=MAX_DAYS))
        return
    await db.write(lambda tx: admin.log(tx, person.id, "margin", "shop", days=wanted))
    period = last_days(days, clock.now_ms())
    lines = [line async for line in margins(db, period, catalogue.rubles_per_dollar)]
    await message.answer(_margin_text(localizer, catalogue, days, lines))


def _margin_text(localizer: Localizer, catalogue: Catalogue, days: int, lines: list[Margin]) -> str:
    """The margin in total, for each model and for each day (HTML)."""
    if not lines:
        return localizer.t("margin-none", days=days)
    by_model = added_up(lines, lambda line: line.model)
    by_day = added_up(lines, lambda line: line.day)
    (total,) = added_up(lines, lambda line: "").values()
    rate = localizer.rubles(round(catalogue.rubles_per_dollar * 100))
    return "\n".join([
        localizer.t("margin", days=days, rate=rate), _margin_line(localizer, localizer.plain("margin-total"), total),
        *([localizer.t("margin-lost", count=total.lost)] if total.lost else []),
        *([localizer.t("margin-open", count=total.open)] if total.open else []),
        localizer.t("margin-by-model"),
        *(_margin_line(localizer, _title(catalogue, model, localizer), one) for model, one in sorted(by_model.items())),
        localizer.t("margin-by-day"),
        *(_margin_line(localizer, day.strftime("%d.%m"), one) for day, one in reversed(by_day.items())),
    ])  # fmt: skip


def _margin_line(localizer: Localizer, name: str, one: Margin) -> str:
    share = "" if one.percent is None else localizer.plain("margin-share", percent=one.percent)
    return localizer.t(
        "margin-line",
        name=name,
        orders=one.orders,
        charged=localizer.rubles(one.charged),
        cost=localizer.rubles(one.cost),
        margin=localizer.rubles(one.margin),
        share=share,
    )


def _title(catalogue: Catalogue, key: str, localizer: Localizer) -> str:
    """The model's title; its key when it is no longer in the catalogue."""
    for find in (catalogue.image, catalogue.video):
        with suppress(UnknownModel):
            return find(key).title.in_language(localizer.language)
    return key
