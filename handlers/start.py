"""The way in: greeting, main menu, samples, help, language, and the way out of whatever was begun."""

from __future__ import annotations

from aiogram import Bot, F, Router
from aiogram.filters import Command, CommandStart
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, Message

from database import jobs as job_rows
from database import outbox
from database import users as user_rows
from database.models import Database, JobStatus, JobType, User
from handlers.chat import MESSAGE_LIMIT, NO_LIMIT, CallbackAnswer, MenuWord, message_ref
from handlers.commands import greet_admin
from handlers.orders.drafts import Cards, Drafts, Stale, token
from handlers.states import Waiting, begun
from handlers.views import keyboards
from handlers.views.callbacks import GoTap, JobTap, LanguageTap, SampleTap
from handlers.views.localizer import Localizer
from handlers.views.messages import title_of
from services.common.i18n import Texts
from services.errors import BadOrder
from services.messaging.notifier import Notifier
from services.messaging.telegram import Screen, change, change_or_show, show

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
    """Greet, show the menu; results that could not be delivered while the chat was closed come now."""
    await state.clear()
    if await db.write(outbox.revive_results, person.id):
        notifier.nudge()
    name = (message.from_user.first_name if message.from_user else "").strip()
    greeting = localizer.t("welcome", name=name) if name else localizer.t("welcome-anonymous")
    await show(bot, message.chat.id, Screen(greeting, keyboards.main_menu(localizer)))
    await show(bot, message.chat.id, await start_screen(localizer, drafts, db, person.id))
    if person.id in admins:
        await greet_admin(bot, person.id, db=db, texts=texts)


async def start_screen(localizer: Localizer, drafts: Drafts, db: Database, user_id: int) -> Screen:
    """What it does, what it costs at least, what is on the balance, and two big buttons."""
    storefront = drafts.storefront
    key = {(True, True): "start", (True, False): "start-image-only", (False, True): "start-clip-only"}
    prices = {
        "image": localizer.rubles(
            min(offer.price for model in storefront.catalogue.images() for offer in model.sizes.values())
        ),
        "clip": localizer.rubles(
            min(
                offer.price * min(model.durations)
                for model in storefront.catalogue.videos()
                for offer in model.resolutions.values()
            )
        ),
    }
    balance = localizer.rubles(await db.get_balance(user_id))
    text = localizer.t(key.get((storefront.images, storefront.videos), "start-off"), balance=balance, **prices)
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
    """A sample prompt becomes a draft; the greeting stays, so that another one can be tried."""
    if callback_data.number not in keyboards.SAMPLES:
        return
    prompt = localizer.plain(f"sample-{callback_data.number}")
    draft_id = token("sample", query.id)
    draft = await drafts.open(draft_id, person.id, JobType.IMAGE, chat_id=message_ref(query)[0], prompt=prompt)
    await begun(state, draft.id)
    await callback.answer()
    await cards.send(bot, localizer, draft)


@router.message(Command("image"), flags=MESSAGE_LIMIT)
@router.message(MenuWord("menu-image"), flags=MESSAGE_LIMIT)
async def ask_image(message: Message, state: FSMContext, localizer: Localizer, drafts: Drafts) -> None:
    if not drafts.storefront.images:
        raise BadOrder("provider_off")
    await state.clear()
    await message.answer(localizer.t("ask-image"))


@router.message(Command("video"), flags=MESSAGE_LIMIT)
@router.message(MenuWord("menu-video"), flags=MESSAGE_LIMIT)
async def ask_video(message: Message, state: FSMContext, localizer: Localizer, drafts: Drafts) -> None:
    if not drafts.storefront.videos:
        raise BadOrder("provider_off")
    await state.set_state(Waiting.clip)
    await state.set_data({})
    await message.answer(localizer.t("ask-video"))


@router.callback_query(GoTap.filter(F.to == "image"), flags=NO_LIMIT)
async def go_image(query: CallbackQuery, state: FSMContext, bot: Bot, localizer: Localizer, drafts: Drafts) -> None:
    if not drafts.storefront.images:
        raise BadOrder("provider_off")
    await state.clear()
    await show(bot, message_ref(query)[0], Screen(localizer.t("ask-image")))


@router.callback_query(GoTap.filter(F.to == "video"), flags=NO_LIMIT)
async def go_video(query: CallbackQuery, state: FSMContext, bot: Bot, localizer: Localizer, drafts: Drafts) -> None:
    if not drafts.storefront.videos:
        raise BadOrder("provider_off")
    await state.set_state(Waiting.clip)
    await state.set_data({})
    await show(bot, message_ref(query)[0], Screen(localizer.t("ask-video")))


@router.message(Command("help"), flags=MESSAGE_LIMIT)
@router.message(MenuWord("menu-help"), flags=MESSAGE_LIMIT)
async def help_(message: Message, localizer: Localizer) -> None:
    await message.answer(localizer.t("help"), reply_markup=keyboards.main_menu(localizer))


@router.message(Command("language"), flags=MESSAGE_LIMIT)
async def ask_language(message: Message, localizer: Localizer) -> None:
    await message.answer(localizer.t("language-ask"), reply_markup=keyboards.languages())


@router.callback_query(LanguageTap.filter(), flags=NO_LIMIT)
async def choose_language(
    query: CallbackQuery,
    callback_data: LanguageTap,
    bot: Bot,
    person: User,
    texts: Texts,
    db: Database,
    callback: CallbackAnswer,
) -> None:
    """Keep the choice; the main menu comes anew in that language."""
    await db.write(user_rows.choose_language, person.id, callback_data.code)
    localizer = Localizer(texts, callback_data.code)
    await callback.answer()
    chat_id, message_id = message_ref(query)
    await change_or_show(bot, chat_id, message_id, Screen(localizer.t("language-ask"), keyboards.languages()))
    await show(bot, chat_id, Screen(localizer.t("language-chosen"), keyboards.main_menu(localizer)))


@router.message(Command("cancel"), flags=MESSAGE_LIMIT)
async def cancel(
    message: Message, state: FSMContext, bot: Bot, person: User, localizer: Localizer, drafts: Drafts, db: Database
) -> None:
    """Forget what was begun; orders that run are listed, each with a button while it can still be stopped."""
    had_something = await state.get_state() is not None
    try:
        draft = await drafts.load(str((await state.get_data()).get("draft", "")), person.id)
    except Stale:
        pass
    else:
        had_something = True
        await drafts.drop(draft.id, person.id)
        if draft.message_id is not None:
            await change(bot, draft.chat_id, draft.message_id, Screen(localizer.t("order-dropped")))
    await state.clear()
    lines = [localizer.t("cancelled-draft")] if had_something else []
    screen = await open_orders(localizer, db, person.id, lines)
    await show(bot, message.chat.id, screen if screen.text else Screen(localizer.t("nothing-to-cancel")))


async def open_orders(localizer: Localizer, db: Database, user_id: int, lines: list[str]) -> Screen:
    """After these lines the person's open orders, each with a button while it can still be stopped."""
    open_jobs = await db.read(job_rows.open_of_user, user_id)
    lines, buttons = list(lines), []
    if open_jobs:
        lines.append(f"<b>{localizer.t('open-jobs-title')}</b>")
    for job in open_jobs:
        title, waits = title_of(localizer, job), job.status is JobStatus.PENDING
        lines.append(localizer.t("open-job-waiting" if waits else "open-job-running", title=title))
        if waits:
            buttons.append([keyboards.button(f"✖️ {title}", JobTap(job=job.id, act="stop"), style="danger")])
    return Screen("\n".join(lines), keyboards.keyboard(*buttons) if buttons else None)
