"""The chat page in a real browser, against the real sandbox: what a person does, the bot sees, and the reverse."""

from __future__ import annotations

import random
from pathlib import Path

import aiohttp
import pytest
from PIL import Image

from sandbox.art import film
from tests.support.chat_page import ANYA, BOB, Bot, bot, driver, http, inline, page, sandbox
from tests.support.webdriver import ENTER, ESCAPE, SHIFT, Page

__all__ = ["bot", "driver", "http", "page", "sandbox"]  # fixtures, used by their names
pytestmark = pytest.mark.browser


def picture(path: Path, colour: str) -> Path:
    Image.new("RGB", (320, 240), colour).save(path)
    return path


async def test_typed_text_reaches_the_bot(page: Page, bot: Bot) -> None:
    """What a person types and sends by Enter comes to the bot by getUpdates, Shift+Enter being a line feed."""
    await page.type("#text", f"рыжий{SHIFT}{ENTER}{SHIFT}кот{ENTER}")
    message = await bot.update("message")
    assert message["text"] == "рыжий\nкот"
    assert message["from"]["id"] == ANYA
    await page.until("document.querySelector('.row.out .text')?.textContent.startsWith('рыжий\\nкот')")
    assert await page.script("return document.getElementById('text').value") == ""


async def test_a_pressed_button_waits_for_the_answer(page: Page, bot: Bot) -> None:
    """A callback button spins until the bot answers its query, and the answer shows as a notice."""
    number = await bot.say("Рисуем?", reply_markup=inline({"text": "Да", "callback_data": "draw:1"}))
    await page.click(".inline-button")
    await page.until("document.querySelector('.inline-button[aria-busy=true]')")
    query = await bot.update("callback_query")
    assert (query["data"], query["message"]["message_id"]) == ("draw:1", number)
    await bot.call("answerCallbackQuery", callback_query_id=query["id"], text="Начали")
    await page.shows("Начали", "#toasts")
    await page.until("document.querySelector('.inline-button[aria-busy=false]')")


async def test_keys_that_nothing_takes_are_written_down(page: Page, bot: Bot) -> None:
    """After a tap on a button one types the answer at once; keys that a dialog takes are not the message's."""
    await bot.say("На сколько?", reply_markup=inline({"text": "Другая сумма", "callback_data": "other"}))
    await page.click(".inline-button")
    query = await bot.update("callback_query")
    await bot.call("answerCallbackQuery", callback_query_id=query["id"], text="Сколько?", show_alert=True)
    await page.shows("Сколько?", "dialog[open]")
    await page.keys("7" + ESCAPE)
    await page.until("!document.querySelector('dialog')")
    await page.keys("500 рублей" + ENTER)
    assert (await bot.update("message"))["text"] == "500 рублей"


async def test_a_tap_that_comes_too_late_says_nothing(page: Page, bot: Bot) -> None:
    """The bot took the button away while the tap was on its way: as in Telegram's apps, nothing is said of it."""
    number = await bot.say("Готово?", reply_markup=inline({"text": "Отменить", "callback_data": "stop"}))
    await page.until("(window.tapped = document.querySelector('.inline-button'))")
    await page.script(
        "const send = window.fetch; const gate = new Promise((go) => { window.go = go; });"
        "window.fetch = async (...call) => { await gate; return send(...call); };"
    )
    await page.click(".inline-button")
    await bot.call("editMessageText", chat_id=ANYA, message_id=number, text="Готово")
    await page.until("!document.querySelector('.inline-button')")
    await page.script("window.go()")
    await page.until("window.tapped.getAttribute('aria-busy') === 'false'")
    assert await page.script("return document.querySelector('.toast')?.textContent ?? ''") == ""
    assert all("400" in said for said in await page.errors())


async def test_an_alert_asks_for_attention(page: Page, bot: Bot) -> None:
    """An answer with show_alert opens a dialog that stays until it is dismissed."""
    await bot.say("Цена?", reply_markup=inline({"text": "Узнать", "callback_data": "price"}))
    await page.click(".inline-button")
    query = await bot.update("callback_query")
    await bot.call("answerCallbackQuery", callback_query_id=query["id"], text="12 ₽", show_alert=True)
    await page.shows("12 ₽", "dialog[open]")
    await page.click("#alert-ok")
    await page.until("!document.querySelector('dialog')")


async def test_an_edit_changes_the_message_in_place(page: Page, bot: Bot) -> None:
    """An edited message keeps its place and its node; only its words and buttons change."""
    number = await bot.say("Рисую: 10 %", reply_markup=inline({"text": "Отменить", "callback_data": "stop"}))
    await bot.say("ниже")
    await page.shows("ниже", "#timeline")
    await page.script("document.querySelector(`[data-message-id='${arguments[0]}']`).marked = true", number)
    await bot.call("editMessageText", chat_id=ANYA, message_id=number, text="Рисую: 90 %")
    await page.shows("Рисую: 90 %", "#timeline")
    assert await page.script(
        "const row = document.querySelector(`[data-message-id='${arguments[0]}']`);"
        "return row.marked && !row.querySelector('.inline-button') && row.nextSibling.innerText.includes('ниже')",
        number,
    )
    assert "10 %" not in await page.script("return document.getElementById('timeline').innerText")


async def test_an_edited_caption_leaves_the_media_alone(page: Page, bot: Bot) -> None:
    """Editing a caption keeps the media element, so that nothing restarts under the viewer."""
    sent = await bot.call("sendPhoto", chat_id=ANYA, photo=await bot.photo(), caption="было")
    await page.find(".photo")
    await page.script("document.querySelector('.photo').marked = true")
    await bot.call("editMessageCaption", chat_id=ANYA, message_id=sent["message_id"], caption="стало")
    await page.shows("стало", "#timeline")
    assert await page.script("return document.querySelector('.photo').marked === true")


async def test_a_photo_has_its_place_before_it_loads(page: Page, bot: Bot) -> None:
    """A picture's frame has the picture's proportions from its numbers alone."""
    await bot.call("sendPhoto", chat_id=ANYA, photo=await bot.photo())
    await page.find(".photo")
    box = await page.script("return document.querySelector('.photo').getBoundingClientRect()")
    assert box["width"] / box["height"] == pytest.approx(16 / 9, rel=0.02)


async def test_a_clip_plays(page: Page, bot: Bot) -> None:
    """A clip shows its still and length until it is started, then really plays in its own proportions."""
    clip = film.render("кот", (64, 36), 1, random.Random(1))
    await bot.upload("sendVideo", "video", clip, "clip.mp4", chat_id=ANYA, width=64, height=36, duration=1)
    await page.shows("0:01", ".frame.clip")
    await page.click(".play")
    await page.until("document.querySelector('video')?.currentTime > 0.1")
    assert await page.script("return document.querySelector('video').videoWidth") == 64


async def test_a_chosen_photo_arrives_with_its_caption(page: Page, bot: Bot, tmp_path: Path) -> None:
    """A photo chosen in the page comes to the bot as a photo in several sizes, with the caption."""
    await page.type("#file-input", str(picture(tmp_path / "cat.png", "orange")))
    await page.type("#caption", "оживи")
    await page.click("#attach-send")
    message = await bot.update("message")
    assert message["caption"] == "оживи"
    assert (message["photo"][-1]["width"], message["photo"][-1]["height"]) == (320, 240)
    await page.until("document.querySelector('.row.out .photo img')?.naturalWidth > 0")


async def test_one_types_on_at_once_after_a_photo(page: Page, bot: Bot, tmp_path: Path) -> None:
    """The field that was left for the photo's dialog takes the next keys without a click into it."""
    await page.type("#text", "сначала слова" + ENTER)
    assert (await bot.update("message"))["text"] == "сначала слова"
    await page.type("#file-input", str(picture(tmp_path / "sea.png", "navy")))
    await page.click("#attach-send")
    assert "photo" in await bot.update("message")
    await page.type("#text", "и снова слова" + ENTER)
    assert (await bot.update("message"))["text"] == "и снова слова"


async def test_a_question_ends_with_its_chat(page: Page, bot: Bot, tmp_path: Path) -> None:
    """The browser's Back leaves no dialog behind: Bob's photo must not go out in Anya's name."""
    await page.click(f'[data-uid="{BOB}"]')
    await page.until(f"location.hash === '#{BOB}' && document.getElementById('start').checkVisibility()")
    await bot.say("hello, Bob", chat_id=BOB)
    await page.type("#file-input", str(picture(tmp_path / "cat.png", "orange")))
    await page.shows("Отправить файл", "dialog[open]")
    await page.command("back")
    await page.shows("Здравствуйте", "#timeline")
    await page.until("!document.querySelector('dialog')")


async def test_on_a_phone_back_leaves_the_panel_too(page: Page, bot: Bot) -> None:
    """The panel covers a phone's whole page, so it goes when the browser's Back leads to the people."""
    await page.resize(390, 844)
    await page.click("#back")
    await page.click(f'[data-uid="{ANYA}"]')
    await page.click("#drawer-open")
    await page.command("back")
    await page.click(f'[data-uid="{BOB}"]')
    await page.until(f"location.hash === '#{BOB}'")


async def test_as_a_file_the_bytes_stay_the_same(
    page: Page, bot: Bot, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """Sent as a file, a picture comes to the bot as a document with exactly its bytes and name."""
    original = picture(tmp_path / "кот.png", "green")
    await page.type("#file-input", str(original))
    await page.click("#as-file")
    await page.click("#attach-send")
    document = (await bot.update("message"))["document"]
    assert (document["file_name"], document["mime_type"]) == ("кот.png", "image/png")
    file = await bot.call("getFile", file_id=document["file_id"])
    async with http.get(f"{bot.url}/file/bot1:test/{file['file_path']}") as answer:
        assert await answer.read() == original.read_bytes()


async def test_several_photos_are_one_album(page: Page, bot: Bot, tmp_path: Path) -> None:
    """Photos chosen together arrive as one media group and show as one grid."""
    paths = [picture(tmp_path / f"{colour}.png", colour) for colour in ("red", "blue", "white")]
    await page.type("#file-input", "\n".join(map(str, paths)))
    await page.click("#attach-send")
    groups = {(await bot.update("message"))["media_group_id"] for _ in paths}
    assert len(groups) == 1
    await page.until("document.querySelectorAll('.album .photo').length === 3")
    await page.click(".album .photo")
    await page.until("document.querySelector('.lightbox img')?.naturalWidth > 0")
    await page.type(".lightbox button", ESCAPE)
    await page.until("!document.querySelector('.lightbox')")


async def test_text_is_never_markup(page: Page, bot: Bot) -> None:
    """Markup inside a message shows as the text it is, and a link that could run a script is no link."""
    hostile = "<img src=x onerror='window.hacked=1'>"
    await bot.say(hostile)
    link = {"type": "text_link", "offset": 0, "length": 3, "url": "javascript:window.hacked=2"}
    await bot.say("тут", entities=[link])
    await bot.say("ключ", parse_mode="HTML", reply_markup=inline({"text": hostile, "callback_data": "x"}))
    await page.shows(hostile, ".inline-button")
    await page.shows(hostile, "#timeline")
    shown = await page.script(
        "return [window.hacked ?? 0, document.querySelectorAll('#timeline img').length,"
        " [...document.querySelectorAll('#timeline a')].filter((one) => !/^https?:/.test(one.href)).length]"
    )
    assert shown == [0, 0, 0]


async def test_formatting_becomes_elements(page: Page, bot: Bot) -> None:
    """Entities, nested ones included, become the elements that mean the same; a command in a text can be tapped."""
    await bot.say(
        "<b>жирный <i>и курсив</i></b> <u>u</u> <s>s</s> <code>c</code> <tg-spoiler>тайна</tg-spoiler> /balance\n"
        "<pre><code class='language-python'>x = 1</code></pre><blockquote>цитата</blockquote>"
        "<a href='https://example.com/a'>сайт</a>",
        parse_mode="HTML",
    )
    await page.shows("цитата", "#timeline")
    for selector, text in {
        "strong em": "и курсив",
        "u": "u",
        "s": "s",
        ".text > code": "c",
        "pre[data-language=python]": "x = 1",
        "blockquote": "цитата",
        "a[rel~=noopener][target=_blank]": "сайт",
    }.items():
        found = await page.script(f"return document.querySelector('#timeline {selector}')?.textContent")
        assert found == text, selector
    await page.click(".spoiler")
    await page.shows("тайна", ".spoiler.shown")
    await page.click("#timeline .text .link")
    assert (await bot.update("message"))["text"] == "/balance"


async def test_reading_up_is_not_disturbed(page: Page, bot: Bot) -> None:
    """Who reads old messages stays where they are; new ones are counted on a button that leads down."""
    for number in range(12):
        await bot.say(f"строка {number}\n" * 4)
    await page.until("document.querySelectorAll('.row').length === 13")
    await page.until(
        "(({scrollTop, scrollHeight, clientHeight}) => scrollHeight - scrollTop - clientHeight < 2)"
        "(document.getElementById('timeline'))"
    )
    await page.script("document.getElementById('timeline').scrollTo(0, 150)")
    await page.until("document.getElementById('pill').checkVisibility()")
    await bot.say("новое")
    await page.shows("1 новое сообщение", "#pill")
    assert await page.script("return document.getElementById('timeline').scrollTop") == 150
    await page.click("#pill")
    await page.until("document.getElementById('pill').hidden")


async def test_slash_offers_the_commands(page: Page, bot: Bot) -> None:
    """Typing a slash lists the bot's commands, letters narrow the list, Enter sends the chosen one."""
    commands = [{"command": "image", "description": "Картинка"}, {"command": "balance", "description": "Счёт"}]
    await bot.call("setMyCommands", commands=commands)
    await page.until("document.getElementById('menu').checkVisibility()")
    await page.type("#text", "/")
    await page.until("document.querySelectorAll('[role=option]').length === 2")
    await page.type("#text", "ba")
    await page.until("document.querySelectorAll('[role=option]').length === 1")
    await page.type("#text", ENTER)
    assert (await bot.update("message"))["text"] == "/balance"


async def test_the_menus_button_works_while_one_writes(page: Page, bot: Bot) -> None:
    """Opened with the cursor in the field, the list of commands stays until one is chosen."""
    await bot.call("setMyCommands", commands=[{"command": "image", "description": "Картинка"}])
    await page.click("#text")
    await page.click("#menu")
    await page.script("return new Promise((later) => setTimeout(later, 200))")  # past what a blur would close
    await page.click("[role=option]")
    assert (await bot.update("message"))["text"] == "/image"


async def test_a_one_time_keyboard_folds_after_use(page: Page, bot: Bot) -> None:
    """A reply button sends its text; a one-time keyboard then folds away and can be called back."""
    keyboard = {"keyboard": [[{"text": "Один"}, {"text": "Два"}]], "resize_keyboard": True, "one_time_keyboard": True}
    await bot.say("Выберите", reply_markup=keyboard)
    await page.click(".reply-button:nth-child(2)")
    assert (await bot.update("message"))["text"] == "Два"
    await page.until("document.getElementById('reply-keyboard').hidden")
    await page.click("#keyboard-toggle")
    await page.until("document.querySelector('.reply-button').checkVisibility()")


async def test_a_text_too_long_for_one_message_goes_as_several(page: Page, bot: Bot) -> None:
    """Nothing of what was pasted is lost: the rest follows in a second message, as in Telegram's own apps."""
    for text in ("слово " * 700, "я" * 4097, "🦊" * 2100):
        await page.script("text.value = arguments[0]; text.dispatchEvent(new Event('input'))", text)
        await page.type("#text", ENTER)
        parts = [(await bot.update("message"))["text"] for _ in range(2)]
        assert all(len(part.encode("utf-16-le")) <= 2 * 4096 for part in parts)
        assert "".join(parts).replace(" ", "") == text.replace(" ", "")


async def test_a_blocked_bot_can_be_unblocked(page: Page, bot: Bot) -> None:
    """Blocking in the panel makes the bot's sends fail with 403 until the person unblocks it."""
    await page.click("#drawer-open")
    await page.click("#block-switch")
    assert (await bot.update("my_chat_member"))["new_chat_member"]["status"] == "kicked"
    assert (await bot.raw("sendMessage", chat_id=ANYA, text="?"))["error_code"] == 403
    await page.click("#unblock")
    assert (await bot.update("my_chat_member"))["new_chat_member"]["status"] == "member"
    await page.until("document.getElementById('text').checkVisibility()")
    await bot.say("снова здесь")
    await page.shows("снова здесь", "#timeline")


async def test_a_planned_fault_strikes_once(page: Page, bot: Bot) -> None:
    """A fault planned in the panel hits the bot's next call, and the list of planned ones is empty again."""
    await page.click("#drawer-open")
    await page.click("#plan-fault")
    await page.until("document.getElementById('clear-faults')")
    refused = await bot.raw("sendMessage", chat_id=ANYA, text="?")
    assert (refused["error_code"], refused["parameters"]["retry_after"]) == (429, 3)
    await page.until("!document.getElementById('clear-faults')")
    await bot.say("прошло")


async def test_offered_faults_are_known(page: Page, http: aiohttp.ClientSession, sandbox: str) -> None:
    """Every fault that the panel offers can be planned, and every scenario it names is one the simulator knows.

    Forged notifications and slow providers are among them, as README promises.
    """
    groups = await page.script("return import('/_web/faults.js').then((module) => module.FAULTS)")
    faults = [one["fault"] for group in groups for one in group["faults"]]
    assert {fault["face"] for fault in faults} == {"telegram", "gemini", "kling", "yookassa"}
    async with http.post(f"{sandbox}/_control/faults", json=faults) as answer:
        assert len(await answer.json()) == len(faults)
    for face in ("gemini", "kling"):
        async with http.get(f"{sandbox}/_control/{face}/scenario") as answer:
            known = await answer.json()
        tags = {fault["tag"].partition("=")[0] for fault in faults if fault["face"] == face and "tag" in fault}
        assert tags <= set(known)
    told = [fault["options"] for fault in faults if fault.get("tag") == "notification"]
    for options in told:
        async with http.post(f"{sandbox}/_control/yookassa/settings", json=options) as answer:
            assert answer.status == 200, options
    assert any("notifications_forged" in options for options in told)
    assert {fault["face"] for fault in faults if fault.get("delay")} == {"gemini", "kling"}


async def test_others_messages_are_counted(page: Page, bot: Bot) -> None:
    """A message to a person whose chat is not open shows as a number beside the name, and opening it clears that."""
    await bot.say("hello, Bob", chat_id=BOB)
    await page.until(f"document.querySelector('[data-uid=\"{BOB}\"] .unread')?.textContent === '1'")
    await page.click(f'[data-uid="{BOB}"]')
    await page.shows("hello, Bob", "#timeline")
    await page.until("!document.querySelector('.unread')")
    assert "Здравствуйте" not in await page.script("return document.getElementById('timeline').innerText")


async def test_a_new_person_starts_the_bot(page: Page, bot: Bot) -> None:
    """A person added in the page begins with an empty chat whose button sends /start; blanks are no name."""
    await page.click("#new-user")
    await page.type("#new-name", "  " + ENTER)
    await page.until("document.querySelector('#new-name:invalid')")
    await page.type("#new-name", "Вера")
    await page.click("#create-user")
    await page.click("#start")
    message = await bot.update("message")
    assert (message["text"], message["from"]["first_name"]) == ("/start", "Вера")


async def test_starting_over_leads_back_to_who_is_left(page: Page, bot: Bot) -> None:
    """Whoever was made in the page is gone after the start over, and with them their chat."""
    await page.click("#new-user")
    await page.type("#new-name", "Вера" + ENTER)
    await page.shows("Вера", "#writing-as")
    await page.click("#drawer-open")
    await page.click("#reset")
    await page.click("#confirm-reset")
    await page.shows("Аня", "#writing-as")
    await page.until("document.getElementById('start').checkVisibility()")


async def test_starting_over_empties_the_other_tabs(
    page: Page, bot: Bot, http: aiohttp.ClientSession, sandbox: str
) -> None:
    """A chat that another tab has wiped is not shown on, with buttons that lead nowhere."""
    async with http.post(f"{sandbox}/_control/reset"):
        await page.until("document.getElementById('start').checkVisibility()")
    assert "Здравствуйте" not in await page.script("return document.getElementById('timeline').innerText")


async def test_one_comes_back_as_who_one_was(page: Page, bot: Bot, sandbox: str) -> None:
    """The page's bare address, where a payment returns to, opens the chat that was open last."""
    await page.click(f'[data-uid="{BOB}"]')
    await page.shows("Bob", "#writing-as")
    await page.open(f"{sandbox}/")
    await page.shows("Вы — ", "#writing-as")
    assert await page.script("return document.getElementById('writing-as').textContent") == "Вы — Bob"


async def test_stars_are_paid_after_the_bot_agrees(page: Page, bot: Bot) -> None:
    """The Pay button asks, then the bot's consent to the checkout makes the payment, told in the chat."""
    bill = {"title": "100 ₽", "description": "Счёт", "payload": "p1", "currency": "XTR"}
    await bot.call("sendInvoice", chat_id=ANYA, prices=[{"label": "100 ₽", "amount": 90}], **bill)
    await page.click(".row .inline-button")
    await page.click("#confirm-pay")
    checkout = await bot.update("pre_checkout_query")
    await bot.call("answerPreCheckoutQuery", pre_checkout_query_id=checkout["id"], ok=True)
    assert (await bot.update("message"))["successful_payment"]["total_amount"] == 90
    await page.shows("Вы заплатили 90 ⭐", "#timeline")


async def test_only_a_cut_quote_unfolds(page: Page, bot: Bot) -> None:
    """A quote that fits has no button to unfold it; a long one has, and shows everything after a tap."""
    await bot.say("<blockquote expandable>рыжая лиса</blockquote>", parse_mode="HTML")
    await bot.say(f"<blockquote expandable>{'рыжая лиса ' * 60}</blockquote>", parse_mode="HTML")
    await page.until("document.querySelectorAll('.fold').length === 2")
    await page.until("document.querySelectorAll('.fold-toggle')[0].hidden")
    await page.until("!document.querySelectorAll('.fold-toggle')[1].hidden")
    await page.script("document.querySelectorAll('.fold-toggle')[1].click()")
    await page.until("document.querySelectorAll('.fold-body')[1].clientHeight > 100")


async def test_many_open_tabs_do_not_starve_each_other(page: Page, bot: Bot) -> None:
    """A browser grants one address six connections: the eighth tab of the chat still shows what the bot says."""
    for _ in range(7):
        tab = await page.command("window/new", type="tab")
        await page.command("window", handle=tab["handle"])
        await page.open(f"{bot.url}/#{ANYA}")
        await page.shows("Здравствуйте", "#timeline")
    await bot.say("и последней вкладке")
    await page.shows("и последней вкладке", "#timeline")
