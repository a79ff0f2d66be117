"""Paying in Telegram Stars, and what Telegram wants of every bot that sells: a way to ask, and terms.

Facts: docs/reference/telegram.md, section 7.
"""

from __future__ import annotations

from typing import Final

from aiogram import Router
from aiogram.filters import Command, CommandObject
from aiogram.types import CallbackQuery, Message, Update

from database import outbox
from database.models import Database, User
from handlers.chat import MESSAGE_LIMIT, CallbackAnswer, message_ref
from handlers.views.callbacks import StarTap
from handlers.views.localizer import Localizer
from services.messaging.telegram import cut
from services.payments.ids import stars_id
from services.payments.stars import Stars

router = Router(name="stars")

TOP_UP: Final = {"rate_limit": "topup"}
LONGEST_QUESTION: Final = 1000


class StarsUpdateHandler:
    """Handles updates about Stars before any queue: Telegram waits ten seconds for a pre-checkout answer."""

    def __init__(self, stars: Stars) -> None:
        self._stars = stars

    async def take(self, update: Update) -> bool:
        """Act on an update about money; False for every other. Raises DatabaseError: then Telegram sends it again."""
        if update.pre_checkout_query is not None:
            await self._stars.answer_checkout(update.pre_checkout_query)
            return True
        message = update.message
        if message is None or message.from_user is None:
            return False
        if message.successful_payment is not None:
            await self._stars.paid(message.from_user.id, message.successful_payment)
            return True
        if message.refunded_payment is not None:
            await self._stars.refunded(message.refunded_payment.telegram_payment_charge_id)
            return True
        return False


@router.callback_query(StarTap.filter(), flags=TOP_UP)
async def pay_in_stars(
    query: CallbackQuery,
    callback_data: StarTap,
    callback: CallbackAnswer,
    person: User,
    localizer: Localizer,
    stars: Stars,
) -> None:
    """Send the invoice of a pack; the same tap handled again sends the same payment, which can be paid once."""
    chat_id, message_id = message_ref(query)
    await stars.send_invoice(
        person.id,
        callback_data.amount,
        chat_id=chat_id,
        language=localizer.language,
        payment_id=stars_id(chat_id, message_id or 0, callback_data.amount, query.id),
        draft_id=callback_data.draft or None,
    )
    await callback.answer()


@router.message(Command("paysupport"), flags=MESSAGE_LIMIT)
async def support(
    message: Message, command: CommandObject, person: User, localizer: Localizer, db: Database, stars: Stars
) -> None:
    """A question about a payment goes to the admins, once for each message."""
    question = cut((command.args or "").strip(), LONGEST_QUESTION)
    if not question:
        await message.answer(localizer.t("support-usage"))
        return
    if not stars.admins:
        await message.answer(localizer.t("support-nobody"))
        return
    key = f"support:{message.chat.id}:{message.message_id}"
    await db.write(outbox.alert_admins, stars.admins, key, "alert-support", user=str(person.id), text=question)
    await message.answer(localizer.t("support-sent"))


@router.message(Command("terms"), flags=MESSAGE_LIMIT)
async def terms(message: Message, localizer: Localizer) -> None:
    await message.answer(localizer.t("terms"))
