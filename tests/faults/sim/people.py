"""People in a simulated world: they order, tap new and old buttons, pay, and change their mind."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.faults.sim.deployment import Deployment
from tests.faults.sim.providers import png
from tests.faults.sim.world import ADMIN

Json = dict[str, Any]
JUNK = ("", "go:x:1", "c:::", "v:a:b", "j:none:stop", "t:-5:", "p|nothing", "on:d:999999999", "🦊", "go:" + "9" * 50)
WORDS = (
    "/balance",
    "/history",
    "/help",
    "/topup",
    "/cancel",
    "/start",
    "/video",
    "/image",
    "/language",
    "/terms",
    "/nonsense",
    "💰 Баланс",
    "500",
    "<b>hi</b> & bye",
    "я" * 3000,
)


class Customer:
    """A customer, often impatient."""

    def __init__(self, deployment: Deployment, user_id: int, gift: int) -> None:
        self.deployment = deployment
        self.id = user_id
        self.gift = gift
        self.asked = 0
        self._chance = deployment.world.chance
        self._telegram = deployment.telegram

    async def act(self, times: int) -> None:
        """Do so many things, with pauses or without."""
        self._telegram.say(self.id, text="/start")
        for _ in range(times):
            await asyncio.sleep(self._chance.choice((0.0, 0.3, 2.0, 15.0)))
            await self._do_something()

    async def _do_something(self) -> None:
        roll = self._chance.random()
        if roll < 0.35:
            self._send_prompt()
            await self._order()
        elif roll < 0.45:
            self._send_photos()
            await self._order()
        elif roll < 0.55:
            await self._use_result()
        elif roll < 0.72:
            await self._tap_button(self._chance.choice((1, 1, 1, 2, 5)))
        elif roll < 0.80:
            self._telegram.say(self.id, text=self._chance.choice(WORDS))
        elif roll < 0.84:
            self._telegram.tap(self.id, self._any_message(), self._chance.choice(JUNK))
        elif roll < 0.90:
            self._telegram.say(self.id, text="/topup")
            await self._pay()
        elif roll < 0.92:
            self._telegram.block(self.id, not self._telegram.chats[self.id].blocked)
        else:
            self._settle_payments()

    def _send_prompt(self) -> None:
        self.asked += 1
        self._telegram.say(self.id, text=f"a red fox number {self.id}-{self.asked}")

    async def _order(self) -> None:
        """Wait for the card, often choose a video, and confirm, once or several times; then pay what is missing."""
        await self._wait_for("go:")
        if self._chance.random() < 0.4:
            await self._tap_button(1, "c:", ":clip")
            await asyncio.sleep(self._chance.choice((0.5, 4.0)))
        await self._tap_button(self._chance.choice((1, 1, 2, 4)), "go:")
        if self._chance.random() < 0.5:
            await self._pay()

    async def _pay(self) -> None:
        """Choose a sum or a pack in Stars, open what comes, pay; or tap "check" before the money can be there."""
        await self._wait_for("t:")
        await self._tap_button(self._chance.choice((1, 1, 3)), self._chance.choice(("t:", "t:", "x:")))
        await self._wait_for("p|")
        await self._tap_button(1, "https:")
        await asyncio.sleep(self._chance.choice((0.0, 1.0, 6.0)))
        await self._tap_button(1, "p|")

    async def _use_result(self) -> None:
        """An image that came, or comes within some seconds, is animated, made again, or changed."""
        for _ in range(6):
            shown = [one for one in self._telegram.chats[self.id].newest() if "photo" in one and "reply_markup" in one]
            if shown:
                break
            await asyncio.sleep(3.0)
        else:
            return
        button = self._chance.choice(_buttons(shown[0]))
        self._telegram.tap(self.id, shown[0], _target(button))
        await asyncio.sleep(1.0)
        if _target(button).endswith(":edit"):
            self._send_prompt()
        await self._order()

    async def _wait_for(self, first: str) -> None:
        for _ in range(8):
            await asyncio.sleep(1.5)
            shown = [one for one in self._telegram.chats[self.id].newest() if "reply_markup" in one]
            if shown and any(_target(one).startswith(first) for one in _buttons(shown[0])):
                return

    def _send_photos(self) -> None:
        album = {"media_group_id": f"album{self._telegram.last_update}"} if self._chance.random() < 0.4 else {}
        self.asked += 1
        for number in range(3 if album else 1):
            described = number == 0 and self._chance.random() < 0.8
            words = {"caption": f"make it {self.id}-{self.asked}"} if described else {}
            side = self._chance.choice((64, 400))
            self._telegram.say(self.id, photo=self._telegram.photo(png(side), side), **album, **words)

    def _any_message(self) -> Json:
        newest = self._telegram.chats[self.id].newest()
        return newest[0] if newest else {"message_id": 1, "date": 0, "chat": {"id": self.id, "type": "private"}}

    async def _tap_button(self, times: int, first: str = "", last: str = "") -> None:
        """Tap a button, perhaps several times: one with such data, else mostly one of the newest message."""
        shown = [one for one in self._telegram.chats[self.id].newest() if "reply_markup" in one or "invoice" in one]
        if not shown:
            return
        message = shown[0] if first or self._chance.random() < 0.75 else self._chance.choice(shown)
        if "invoice" in message:
            await self._telegram.pay_stars(self.id, message)
            return
        buttons = _buttons(message)
        wanted = [one for one in buttons if _target(one).startswith(first or ("go:", "on:"))]
        wanted = [one for one in wanted if _target(one).endswith(last)]
        if first and not wanted:
            return
        button = self._chance.choice(wanted if wanted and (first or self._chance.random() < 0.5) else buttons)
        for _ in range(times):
            if "url" in button:
                self._open_link(button["url"])
            else:
                self._telegram.tap(self.id, message, button["callback_data"])
            if self._chance.random() < 0.3:
                await asyncio.sleep(self._chance.choice((0.05, 0.5)))

    def _open_link(self, url: str) -> None:
        number = url.rsplit("/", 1)[-1]
        if number in self.deployment.yookassa.payments:
            (self.deployment.yookassa.pay if self._chance.random() < 0.75 else self.deployment.yookassa.decline)(number)

    def _settle_payments(self) -> None:
        for number, payment in list(self.deployment.yookassa.payments.items()):
            if payment["status"] == "pending" and str(self.id) in payment["metadata"].get("order_id", ""):
                self.deployment.yookassa.pay(number)


def _buttons(message: Json) -> list[Json]:
    return [one for row in message["reply_markup"]["inline_keyboard"] for one in row]


def _target(button: Json) -> str:
    return str(button.get("callback_data") or button.get("url") or "")


class Admin:
    """The admin, who gives money back, reconciles, bans and unbans, at any moment."""

    def __init__(self, deployment: Deployment, customers: list[Customer]) -> None:
        self.deployment = deployment
        self._customers = customers
        self._chance = deployment.world.chance

    async def act(self, times: int) -> None:
        telegram = self.deployment.telegram
        telegram.say(ADMIN, text="/start")
        for _ in range(times):
            await asyncio.sleep(self._chance.choice((1.0, 5.0, 20.0)))
            await self._do_something()

    async def _do_something(self) -> None:
        deployment, chance = self.deployment, self._chance
        someone = chance.choice(self._customers).id
        payments = [one for one in deployment.yookassa.payments.values() if one["status"] == "succeeded"]
        match chance.randrange(9):
            case 0 | 1 if payments:
                paid = chance.choice(payments)
                part = chance.choice(("", " 10", " 33,33"))
                self._say(f"/refund_payment {paid['metadata'].get('order_id', 'x')}{part}")
                await self._confirm()
            case 2 if payments:
                paid = chance.choice(payments)
                deployment.yookassa.refund_in_cabinet(paid["id"], chance.choice((1000, 5000, 10000)))
            case 3 if deployment.telegram.charges:
                deployment.telegram.return_stars(chance.choice(sorted(deployment.telegram.charges)))
            case 4:
                self._say(chance.choice(("/reconcile", "/fix", "/stats", "/admin", "/reconcile 3")))
            case 5:
                self._say(f"/user {someone}")
            case 6:
                self._say(f"/ban {someone}")
                await asyncio.sleep(chance.choice((0.5, 4.0)))
                self._say(f"/unban {someone}")
            case 7 if (job := self._some_job()) is not None:
                self._say(chance.choice((f"/job {job}", f"/refund {job}", f"/refund {job}")))
            case _:
                self._say(f"/grant {someone} {chance.choice((10, 50))} with thanks")

    def _say(self, words: str) -> None:
        self.deployment.telegram.say(ADMIN, text=words)

    async def _confirm(self) -> None:
        """A refund of a part is confirmed by a button, which some tap twice."""
        telegram = self.deployment.telegram
        for _ in range(self._chance.choice((2, 4))):
            await asyncio.sleep(3.0)
            shown = [one for one in telegram.chats[ADMIN].newest() if "reply_markup" in one]
            for button in _buttons(shown[0])[:1] if shown else []:
                for _ in range(self._chance.choice((1, 1, 2))):
                    telegram.tap(ADMIN, shown[0], _target(button))

    def _some_job(self) -> str | None:
        done = sorted(self.deployment.telegram.results)
        return self._chance.choice(done) if done else None
