"""How the chat page looks and holds up: phones, names, contrast, other origins, a server that goes away."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from sandbox.app import serve
from sandbox.world import World
from tests.support.chat_page import ANYA, BOB, Bot, bot, driver, http, inline, page, sandbox
from tests.support.webdriver import ELEMENT, ENTER, Driver, Page

__all__ = ["bot", "driver", "http", "page", "sandbox"]  # fixtures, used by their names
pytestmark = pytest.mark.browser

# What reaches past the bubble or dialog that holds it; a code block scrolls inside itself.
STICKING_OUT = """
const held = [...document.querySelectorAll('.bubble, dialog form')];
return held.flatMap((box) => [...box.querySelectorAll('*')]
  .filter((one) => !one.closest('pre code') && one.checkVisibility())
  .filter((one) => one.getBoundingClientRect().right > box.getBoundingClientRect().right + 1)
  .map((one) => `${one.tagName} ${one.className}`));
"""
NARROW = "document.documentElement.scrollWidth <= innerWidth"


async def test_a_phone_shows_one_pane_without_sideways_scroll(page: Page, bot: Bot, tmp_path: Path) -> None:
    """At 360 pixels nothing is wider than the screen: list, chat with long words, code and buttons, panel."""
    await page.resize(360, 740)
    files = [tmp_path / f"{'долгое-имя-' * 6}{number}.txt" for number in range(4)]
    for path in files:
        path.write_text("x", "utf-8")
    await bot.say("ОченьДлинноеСловоБезПробелов" * 20)
    await bot.say("<pre>" + "x = 1; " * 60 + "</pre>", parse_mode="HTML")
    await bot.say("https://example.com/" + "a" * 200)
    await bot.call("sendPhoto", chat_id=ANYA, photo=await bot.photo(), caption="подпись " * 40)
    await bot.call("sendMediaGroup", chat_id=ANYA, media=[{"type": "photo", "media": await bot.photo()}] * 2)
    documents = [await bot.document(f"{'очень-длинное-имя-' * 5}{number}.bin") for number in range(2)]
    await bot.call("sendMediaGroup", chat_id=ANYA, media=[{"type": "document", "media": one} for one in documents])
    row = [{"text": f"кнопка {number}", "callback_data": str(number)} for number in range(8)]
    await bot.say("ряд", reply_markup={"inline_keyboard": [row]})
    await page.until("document.querySelectorAll('.inline-button').length === 8")
    assert await page.script(f"return {NARROW}")
    assert await page.script(
        "const {scrollWidth, clientWidth} = arguments[0]; return scrollWidth <= clientWidth",
        {ELEMENT: await page.find("#timeline")},
    )
    assert await page.script("return document.querySelectorAll('.bubble .file').length") == 2
    assert await page.script(STICKING_OUT) == []
    await page.type("#file-input", "\n".join(str(path) for path in files))
    await page.find("dialog .attach-item")
    assert await page.script(STICKING_OUT) == []
    await page.click("#attach-cancel")
    await page.click("#drawer-open")
    await page.find("#reset")
    assert await page.script(f"return {NARROW}")
    await page.click("#drawer .icon-button")
    await page.click("#back")
    await page.find(".person")
    assert not await page.script("return document.getElementById('text').checkVisibility()")
    assert await page.script(f"return {NARROW}")


async def test_every_control_has_a_name(page: Page, bot: Bot) -> None:
    """Each button and field that can be seen is announced with a name, in the page's language."""
    await bot.say("да?", reply_markup=inline({"text": "Да", "callback_data": "y"}))
    await page.click("#drawer-open")
    await page.until("document.querySelector('.inline-button') && document.getElementById('fault-kind')")
    count = await page.script(
        "const all = [...document.querySelectorAll('button, input, select, textarea, a')];"
        "const seen = all.filter((one) => one.checkVisibility());"
        "seen.forEach((one, index) => one.setAttribute('data-nth', index)); return seen.length"
    )
    names = [await page.label(f'[data-nth="{number}"]') for number in range(count)]
    assert count > 15
    assert "" not in names
    assert await page.label("#send") == "Отправить"
    await page.click("#language-switch")
    assert await page.label("#send") == "Send"
    assert await page.script("return document.documentElement.lang") == "en"


CONTRAST = """
const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
const rgba = (colour) => {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const mix = (top, below, alpha) => (top * alpha + below * (255 - alpha)) / 255;
const over = (top, below) => top.slice(0, 3).map((part, index) => mix(part, below[index], top[3]));
const ground = (node) => {
  const layers = [];
  for (let one = node; one; one = one.parentElement) layers.push(rgba(getComputedStyle(one).backgroundColor));
  return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
};
const light = (colour) => colour.map((part) => part / 255)
  .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
  .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const poor = [];
let seen = 0;
while (words.nextNode()) {
  const node = words.currentNode.parentElement;
  if (!words.currentNode.data.trim() || !node.checkVisibility({ visibilityProperty: true })) continue;
  if (node.closest(':disabled, .avatar, script, option')) continue;
  const below = ground(node);
  const [a, b] = [light(over(rgba(getComputedStyle(node).color), below)), light(below)].sort((x, y) => y - x);
  seen += 1;
  const contrast = (a + 0.05) / (b + 0.05);
  if (contrast < 4.5) poor.push(`${words.currentNode.data.slice(0, 30)}: ${contrast.toFixed(2)}`);
}
return [seen, poor];
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_words_stand_out_from_their_ground(page: Page, bot: Bot, scheme: str) -> None:
    """All text has a contrast of at least 4.5 : 1 against what is behind it, by day and by night."""
    await page.media(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
    plain = {"text": "Кнопка", "callback_data": "x"}
    buttons = [plain, *({**plain, "style": style} for style in ("primary", "success", "danger"))]
    await bot.say(
        "<code>код</code> <a href='https://example.com'>ссылка</a> <blockquote>цитата</blockquote>",
        parse_mode="HTML",
        reply_markup=inline(*buttons),
    )
    await bot.say("hi", chat_id=BOB)
    await page.type("#text", f"/start и слова{ENTER}")
    await page.click("#drawer-open")
    for selector in (".row.out", ".unread", ".hint"):
        await page.find(selector)
    seen, poor = await page.script(CONTRAST)
    assert seen > 30
    assert poor == []


async def test_nothing_comes_from_elsewhere(page: Page, sandbox: str) -> None:
    """The page loads nothing from any other origin."""
    loaded = await page.script("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert len(loaded) > 10
    assert [name for name in loaded if not name.startswith(f"{sandbox}/")] == []


async def test_the_page_survives_the_servers_absence(
    http: aiohttp.ClientSession, driver: Driver, tmp_path: Path
) -> None:
    """Without the server the page says so; once it is back, the page shows what the new one knows."""
    runner, url = await serve(World(seed=1))
    tab = Page(http, driver)
    await tab.start(tmp_path / "profile")
    try:
        bot = Bot(http, url)
        await bot.say("первый")
        await tab.open(f"{url}/#{ANYA}")
        await tab.shows("первый", "#timeline")
        await runner.cleanup()
        await tab.shows("Песочница не отвечает", "#banner")
        runner, _ = await serve(World(seed=2), port=int(url.rpartition(":")[2]))
        await tab.until("!document.getElementById('banner').innerText.includes('не отвечает')")
        await bot.say("второй")
        await tab.shows("второй", "#timeline")
        await bot.say("третий")
        await tab.shows("третий", "#timeline")
        assert "первый" not in await tab.script("return document.getElementById('timeline').innerText")
    finally:
        await tab.close()
        await runner.cleanup()
