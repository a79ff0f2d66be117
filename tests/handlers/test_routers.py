"""The routers are copied, so that a process may build two bots."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

from aiogram import Bot, Dispatcher, F, Router
from aiogram.types import Chat, Message, TelegramObject, Update, User

from handlers import _routers


def update(text: str) -> Update:
    person = User(id=1, is_bot=False, first_name="Аня")
    chat = Chat(id=1, type="private")
    message = Message(message_id=1, date=datetime.now(UTC), chat=chat, from_user=person, text=text)
    return Update(update_id=1, message=message)


async def test_a_copied_router_keeps_its_middlewares_and_filters() -> None:
    """Two dispatchers built from copies of one router each run its outer and inner middlewares and its filters."""
    passed: list[str] = []
    router = Router()
    router.message.filter(F.text.startswith("рисуй"))

    def through(name: str) -> Callable[..., Awaitable[Any]]:
        async def middleware(
            handler: Callable[..., Awaitable[Any]], event: TelegramObject, data: dict[str, Any]
        ) -> Any:
            passed.append(name)
            return await handler(event, data)

        return middleware

    router.message.outer_middleware(through("outer"))
    router.message.middleware(through("inner"))

    @router.message(F.text.endswith("кота"))
    async def draw(message: Message) -> None:
        passed.append(message.text or "")

    bot = Bot("1:test")
    for _ in range(2):
        passed.clear()
        dispatcher = Dispatcher()
        dispatcher.include_router(deepcopy(router))
        for text in ("привет", "рисуй пса", "рисуй кота"):
            await dispatcher.feed_update(bot, update(text))
        assert passed == ["outer", "outer", "outer", "inner", "рисуй кота"]
    await bot.session.close()


def test_every_router_of_the_chat_can_be_copied() -> None:
    """Each bot of a process has its own routers, with every handler, flag and filter of the routers of the modules."""
    first, second = _routers(frozenset({1})), _routers(frozenset({2}))
    for one, other in zip(first, second, strict=True):
        assert one is not other
        Dispatcher().include_router(one)
        for name, observer in one.observers.items():
            twin = other.observers[name]
            assert [handler.callback for handler in observer.handlers] == [h.callback for h in twin.handlers]
            assert [set(handler.flags) for handler in observer.handlers] == [set(h.flags) for h in twin.handlers]
            assert [len(h.filters or ()) for h in observer.handlers] == [len(h.filters or ()) for h in twin.handlers]
    assert sum(len(observer.handlers) for one in first for observer in one.observers.values()) > 40
