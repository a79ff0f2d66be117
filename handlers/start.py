"""/start and /help: the greeting, the main menu, and sample prompts to try with one tap."""

from __future__ import annotations

from aiogram import Bot, Router
from aiogram.filters import Command, CommandStart
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, Message

from database import outbox
from database.models import Database, JobType, User
from handlers.chat import MESSAGE_LIMIT, NO_LIMIT, CallbackAnswer, MenuWord, message_ref
from handlers.commands import greet_admin
from handlers.orders.cards import Cards
from handlers.orders.drafts import Drafts, stable_id
from handlers.views import keyboards
from handlers.views.callbacks import SampleTap
from handlers.views.localizer import Localizer
from services.common.i18n import Texts
from services.messaging.notifier import Notifier
from services.messaging.telegram import Screen, show
from services.storefront import Storefront

router = Router(name="start")


@router.message(CommandStart(), flags=MESSAGE_LIMIT)
async def start(
    message: Message,
    state: FSMContext,
    bot: Bot,
    person: User,
    localizer: Localizer,
    drafts: Drafts,
    db: Database,
    notifier: Notifier,
    texts: Texts,
    admins: frozenset[int],
) -> None:
    """Greet and show the menu. Results that could not be delivered while the bot was blocked are sent now."""
    await state.clear()
    if await db.write(outbox.revive_results, person.id):
        notifier.nudge()
    name = (message.from_user.first_name if message.from_user else "").strip()
    greeting = localizer.t("welcome", name=name) if name else localizer.t("welcome-anonymous")
    await show(bot, message.chat.id, Screen(greeting, keyboards.main_menu(localizer)))
    balance = await db.get_balance(person.id)
    await show(bot, message.chat.id, _start_screen(localizer, drafts.storefront, balance))
    if person.id in admins:
        await greet_admin(bot, person.id, db=db, texts=texts)


def _start_screen(localizer: Localizer, storefront: Storefront, balance: int) -> Screen:
    """What the bot makes, the lowest prices, the balance (kopecks), and a button for each kind."""
    key = {(True, True): "start", (True, False): "start-image-only", (False, True): "start-clip-only"}
    text = localizer.t(
        key.get((storefront.images, storefront.videos), "start-off"),
        balance=localizer.rubles(balance),
        image=localizer.rubles(storefront.cheapest_image),
        clip=localizer.rubles(storefront.cheapest_video),
    )
    return Screen(text, keyboards.start(localizer, images=storefront.images, videos=storefront.videos))


@router.callback_query(SampleTap.filter(), flags=NO_LIMIT)
async def sample(
    query: CallbackQuery,
    callback_data: SampleTap,
    state: FSMContext,
    callback: CallbackAnswer,
    bot: Bot,
    person: User,
    localizer: Localizer,
    drafts: Drafts,
    cards: Cards,
) -> None:
    """Open a draft with a sample prompt. The greeting stays, so that the person can try another sample."""
    if callback_data.number not in keyboards.SAMPLES:
        return
    prompt = localizer.plain(f"sample-{callback_data.number}")
    draft_id = stable_id("sample", query.id)
    draft = await drafts.open(draft_id, person.id, JobType.IMAGE, chat_id=message_ref(query)[0], prompt=prompt)
    await cards.send_new(bot, localizer, draft, state, callback=callback)


@router.message(Command("help"), flags=MESSAGE_LIMIT)
@router.message(MenuWord("menu-help"), flags=MESSAGE_LIMIT)
async def help_(message: Message, localizer: Localizer) -> None:
    """How the bot works, with the main menu."""
    await message.answer(localizer.t("help"), reply_markup=keyboards.main_menu(localizer))
