"""Putting money on the balance: choose a sum or type one, pay behind a link, and the money comes by itself."""

from __future__ import annotations

from typing import Final

from aiogram import Bot, F, Router
from aiogram.filters import Command, CommandObject, StateFilter
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, InlineKeyboardButton, Message

from database import payments as payment_rows
from database import users as user_rows
from database.models import Database, Payment, PaymentStatus, User
from handlers.chat import MESSAGE_LIMIT, NO_LIMIT, CallbackAnswer, answer_and_edit, message_ref
from handlers.states import Waiting, answered
from handlers.views import keyboards
from handlers.views.callbacks import PayTap, TopUpTap
from handlers.views.localizer import Localizer
from services.catalogue import Catalogue
from services.errors import TopUpUnavailable
from services.messaging.notifier import Notifier
from services.messaging.telegram import Screen, show
from services.payments.ids import card_id
from services.payments.payments import Payments
from services.payments.receipts import BadEmail, parse_email
from services.pricing import BadSum, NotASum, SumTooBig, SumTooSmall, TooPrecise, parse_rubles

router = Router(name="topup")

TOP_UP: Final = {"rate_limit": "topup"}
MOST_PAYMENTS: Final = 50  # of the same sum from one message
_BAD_SUM: Final = {
    NotASum: "topup-not-a-sum",
    TooPrecise: "topup-too-precise",
    SumTooSmall: "topup-too-small",
    SumTooBig: "topup-too-big",
}


async def choice_screen(
    localizer: Localizer, db: Database, payments: Payments, catalogue: Catalogue, user_id: int, draft: str = ""
) -> Screen:
    """The packs, in rubles and in Stars. Raises TopUpUnavailable when neither is taken."""
    packs, stars = catalogue.top_ups.packs, catalogue.top_ups.star_packs
    if not payments.offered and not stars:
        raise TopUpUnavailable("off")
    balance = localizer.rubles(await db.get_balance(user_id))
    if not payments.offered:
        text = localizer.t("topup-stars", balance=balance)
        return Screen(text, keyboards.top_up_in_stars(localizer, stars, draft=draft))
    text = localizer.t("topup-both" if stars else "topup", balance=balance)
    return Screen(text, keyboards.top_up(localizer, packs, draft=draft, star_packs=stars))


@router.message(Command("topup"), flags=MESSAGE_LIMIT)
async def top_up(
    message: Message,
    bot: Bot,
    person: User,
    localizer: Localizer,
    db: Database,
    payments: Payments,
    catalogue: Catalogue,
) -> None:
    await show(bot, message.chat.id, await choice_screen(localizer, db, payments, catalogue, person.id))


@router.callback_query(TopUpTap.filter(F.amount == 0), flags=NO_LIMIT)
async def choose(
    query: CallbackQuery,
    callback_data: TopUpTap,
    callback: CallbackAnswer,
    bot: Bot,
    person: User,
    localizer: Localizer,
    db: Database,
    payments: Payments,
    catalogue: Catalogue,
) -> None:
    screen = await choice_screen(localizer, db, payments, catalogue, person.id, callback_data.draft)
    await answer_and_edit(query, callback, bot, screen)


@router.callback_query(TopUpTap.filter(F.amount < 0), flags=NO_LIMIT)
async def ask_sum(
    query: CallbackQuery,
    callback_data: TopUpTap,
    state: FSMContext,
    callback: CallbackAnswer,
    bot: Bot,
    localizer: Localizer,
    catalogue: Catalogue,
    payments: Payments,
) -> None:
    if not payments.offered:
        raise TopUpUnavailable("off")
    await state.set_state(Waiting.amount)
    await state.set_data({"order": callback_data.draft})
    limits = catalogue.top_ups
    text = localizer.t("topup-ask", minimum=localizer.rubles(limits.minimum), maximum=localizer.rubles(limits.maximum))
    back = keyboards.button(localizer.plain("button-back"), TopUpTap(amount=0, draft=callback_data.draft))
    await answer_and_edit(query, callback, bot, Screen(text, keyboards.keyboard([back])))


@router.message(StateFilter(Waiting.amount), F.text, ~F.text.startswith("/"), flags=TOP_UP)
async def typed_sum(
    message: Message,
    state: FSMContext,
    bot: Bot,
    person: User,
    localizer: Localizer,
    catalogue: Catalogue,
    db: Database,
    payments: Payments,
) -> None:
    """A sum as people type it; what is no sum is answered with what a sum looks like and may be typed again."""
    limits = catalogue.top_ups
    try:
        amount = parse_rubles(message.text or "", minimum=limits.minimum, maximum=limits.maximum)
    except BadSum as error:
        key = _BAD_SUM.get(type(error), "topup-not-a-sum")
        await message.answer(
            localizer.t(key, minimum=localizer.rubles(limits.minimum), maximum=localizer.rubles(limits.maximum))
        )
        return
    draft = str((await state.get_data()).get("order", ""))
    if payments.wants_email and person.email is None:
        await show(bot, message.chat.id, await _ask_email(state, localizer, amount, draft))
        return
    await _send_link(message, state, bot, person, localizer, db, payments, amount, draft)


@router.callback_query(TopUpTap.filter(F.amount > 0), flags=TOP_UP)
async def pay(
    query: CallbackQuery,
    callback_data: TopUpTap,
    state: FSMContext,
    callback: CallbackAnswer,
    bot: Bot,
    person: User,
    localizer: Localizer,
    catalogue: Catalogue,
    db: Database,
    payments: Payments,
) -> None:
    """Open the payment of a chosen sum; a second tap finds the same one."""
    limits = catalogue.top_ups
    if not limits.minimum <= callback_data.amount <= limits.maximum:
        raise TopUpUnavailable("refused")
    chat_id, message_id = message_ref(query)
    if payments.wants_email and person.email is None:
        await answer_and_edit(
            query, callback, bot, await _ask_email(state, localizer, callback_data.amount, callback_data.draft)
        )
        return
    payment_id = await _payment_id_of(query, state, db, callback_data.amount)
    if payment_id is None:
        return
    payment = await payments.open_topup(
        person.id,
        callback_data.amount,
        chat_id=chat_id,
        language=localizer.language,
        payment_id=payment_id,
        draft_id=callback_data.draft or None,
        message_id=message_id,
    )
    shown = await answer_and_edit(query, callback, bot, _link(localizer, payment))
    await db.write(payment_rows.set_message, payment.id, chat_id, shown)


@router.message(Command("email"), flags=MESSAGE_LIMIT)
async def email(
    message: Message,
    command: CommandObject,
    state: FSMContext,
    bot: Bot,
    person: User,
    localizer: Localizer,
    db: Database,
    payments: Payments,
) -> None:
    """Where receipts go: asked for, typed right behind the command, or forgotten with `off`."""
    typed = (command.args or "").strip()
    await state.clear()
    if typed.lower() == "off":
        await db.write(user_rows.set_email, person.id, None)
        await message.answer(localizer.t("email-forgotten"))
    elif not payments.wants_email and (typed or person.email is None):
        await message.answer(localizer.t("email-not-needed"))
    elif typed:
        await _keep_email(message, localizer, db, person, typed)
    else:
        await show(bot, message.chat.id, await _ask_email(state, localizer, 0, "", known=person.email))


@router.message(StateFilter(Waiting.email), F.text, ~F.text.startswith("/"), flags=TOP_UP)
async def typed_email(
    message: Message,
    state: FSMContext,
    bot: Bot,
    person: User,
    localizer: Localizer,
    catalogue: Catalogue,
    db: Database,
    payments: Payments,
) -> None:
    """Keep the address, and go on with the payment it was asked for."""
    data = await state.get_data()
    if not await _keep_email(message, localizer, db, person, message.text or ""):
        return
    amount, draft = int(data.get("amount", 0)), str(data.get("order", ""))
    if not catalogue.top_ups.minimum <= amount <= catalogue.top_ups.maximum:
        await answered(state, message)
        return
    await _send_link(message, state, bot, person, localizer, db, payments, amount, draft)


async def _ask_email(
    state: FSMContext, localizer: Localizer, amount: int, draft: str, *, known: str | None = None
) -> Screen:
    await state.set_state(Waiting.email)
    await state.set_data({"amount": amount, "order": draft})
    return Screen(localizer.t("email-ask") if known is None else localizer.t("email-change", email=known))


async def _keep_email(message: Message, localizer: Localizer, db: Database, person: User, typed: str) -> bool:
    """False when it is no address; the person may type it again."""
    try:
        address = parse_email(typed)
    except BadEmail:
        await message.answer(localizer.t("email-bad"))
        return False
    await db.write(user_rows.set_email, person.id, address)
    await message.answer(localizer.t("email-kept", email=address))
    return True


@router.callback_query(PayTap.filter(), flags=TOP_UP)
async def check(
    query: CallbackQuery,
    callback_data: PayTap,
    callback: CallbackAnswer,
    person: User,
    localizer: Localizer,
    payments: Payments,
    notifier: Notifier,
) -> None:
    """Ask YooKassa now; the message itself is changed by the notifier once the payment is credited or canceled."""
    payment = await payments.check(callback_data.payment, person.id)
    if payment.quarantined_reason is not None:
        await callback.answer(localizer.plain("check-unclear"), alert=True)
    elif payment.status is PaymentStatus.PENDING:
        await callback.answer(localizer.plain("check-pending"), alert=True)
    elif payment.status is PaymentStatus.CANCELED:
        await callback.answer(localizer.plain("check-canceled"), alert=True)
    else:
        await callback.answer(localizer.plain("check-paid"))
    notifier.nudge()


async def _send_link(
    message: Message,
    state: FSMContext,
    bot: Bot,
    person: User,
    localizer: Localizer,
    db: Database,
    payments: Payments,
    amount: int,
    draft: str,
) -> None:
    """Open the payment that a person's message asks for, one for each message, and answer with its link.

    The state that waits for this message stays until the link is there: handled again after a crash, the message opens
    the same payment. After that the message opens nothing more.
    """
    chat_id = message.chat.id
    try:
        payment = await payments.open_topup(
            person.id,
            amount,
            chat_id=chat_id,
            language=localizer.language,
            draft_id=draft or None,
            message_id=None,
            payment_id=card_id(chat_id, message.message_id, amount),
        )
    except TopUpUnavailable:
        await answered(state, message)
        raise
    sent = await show(bot, chat_id, _link(localizer, payment))
    await db.write(payment_rows.set_message, payment.id, chat_id, sent.message_id)
    await answered(state, message)


async def _payment_id_of(query: CallbackQuery, state: FSMContext, db: Database, amount: int) -> str | None:
    """The payment that a tap stands for: the open one of this sum (kopecks) from its message, or a new one.

    The same tap handled again after a crash stands for the same payment; None when that is closed, as its message says.
    """
    known = await state.get_data()
    if known.get("tap") == query.id:
        tapped = await db.read(payment_rows.get, known["tapped"])
        return None if tapped is not None and tapped.status is not PaymentStatus.PENDING else str(known["tapped"])
    chat_id, message_id = message_ref(query)
    for repeat in range(MOST_PAYMENTS):
        payment_id = card_id(chat_id, message_id or 0, amount, repeat)
        earlier = await db.read(payment_rows.get, payment_id)
        if earlier is None or earlier.status is PaymentStatus.PENDING:
            break
    if await state.get_state() in (Waiting.amount.state, Waiting.email.state):
        await state.set_state(None)  # a photo that waits for its words goes on waiting
    await state.update_data(tap=query.id, tapped=payment_id)
    return payment_id


def _link(localizer: Localizer, payment: Payment) -> Screen:
    """The link to the checkout page. Raises TopUpUnavailable("try_later") while YooKassa has given none."""
    amount = localizer.rubles(payment.amount)
    if payment.confirmation_url is None:
        raise TopUpUnavailable("try_later")
    label = localizer.plain("button-pay", amount=amount)
    link = InlineKeyboardButton(text=label, url=payment.confirmation_url, style="success")
    check_button = keyboards.button(localizer.plain("button-check"), PayTap(payment=payment.id))
    back = keyboards.button(localizer.plain("button-back"), TopUpTap(amount=0, draft=payment.draft_id or ""))
    return Screen(localizer.t("topup-link", amount=amount), keyboards.keyboard([link], [check_button], [back]))
