"""All that the simulated Telegram remembers: people, bots, their private chats and messages, all limited in number."""

from __future__ import annotations

import itertools
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any

from sandbox.telegram.errors import ApiError, bad_request
from sandbox.telegram.events import Events
from sandbox.telegram.files import FileStore
from sandbox.telegram.limits import Pace, RateLimits
from sandbox.telegram.updates import UpdateQueue
from sandbox.world import World

Json = dict[str, Any]

MESSAGES_PER_CHAT = 500
MESSAGES_PER_BOT = 50_000
PEOPLE_LIMIT = 20_000
BOTS_LIMIT = 100
QUERIES_LIMIT = 10_000
QUERY_SECONDS = 150.0


@dataclass
class Person:
    """Someone with a Telegram account."""

    id: int
    first_name: str
    language_code: str = "en"
    role: str = "customer"
    last_name: str | None = None
    username: str | None = None

    def names(self) -> Json:
        named = {"first_name": self.first_name, "last_name": self.last_name, "username": self.username}
        return {key: value for key, value in named.items() if value}

    def as_user(self) -> Json:
        return {"id": self.id, "is_bot": False, **self.names(), "language_code": self.language_code}

    def as_chat(self) -> Json:
        return {"id": self.id, **self.names(), "type": "private"}


@dataclass
class Message:
    """A message of a chat; `data` is the Bot API object.

    `made` and `changed` are positions in the bot's order of events, `at` is the time in simulated seconds.
    """

    id: int
    data: Json
    outgoing: bool
    made: int
    changed: int
    at: float
    editable: bool = True

    def for_person(self) -> Json:
        return {**self.data, "outgoing": True} if self.outgoing else self.data

    @property
    def words(self) -> str:
        return str(self.data.get("text") or self.data.get("caption") or "")


@dataclass(frozen=True)
class Draft:
    """A text that the bot streams; it disappears at `until` (simulated seconds)."""

    id: int
    can_stop: bool
    until: float


@dataclass
class Chat:
    """The private chat of one person with one bot."""

    person: Person
    messages: OrderedDict[int, Message] = field(default_factory=OrderedDict)
    reply_keyboard: Json | None = None
    blocked: bool = False
    started: bool = False
    unread: int = 0
    pinned: list[int] = field(default_factory=list)
    menu_button: Json | None = None
    draft: Draft | None = None

    def keep(self, message: Message) -> None:
        self.messages[message.id] = message
        if len(self.messages) > MESSAGES_PER_CHAT:
            self.messages.popitem(last=False)


@dataclass
class Query:
    """A pressed button or a payment before it happens, waiting for the bot's answer."""

    id: str
    user_id: int
    asked: float
    answered: bool = False
    answer: Json | None = None


@dataclass
class Invoice:
    """What a bot sells: the parameters of sendInvoice that matter for the payment."""

    title: str
    description: str
    payload: str
    currency: str
    total: int
    subscription_period: int = 0
    paid: bool = False


@dataclass
class Payment:
    """A Stars payment that happened; `id` is the telegram_payment_charge_id."""

    id: str
    user_id: int
    amount: int
    payload: str
    at: float
    refunded_at: float | None = None
    currency: str = "XTR"


class Bounded(OrderedDict[Any, Any]):
    """A dictionary that forgets its oldest entry past a limit."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        if len(self) > self.limit:
            self.popitem(last=False)


class Bot:
    """One bot: all tokens `<id>:<anything>` with its id name it."""

    def __init__(self, bot_id: int, world: World, pace: Pace) -> None:
        self.id = bot_id
        self.first_name = str(world.settings.get("telegram_bot_name", "Sandbox Bot"))
        self.username = str(world.settings.get("telegram_bot_username", f"sandbox_{bot_id}_bot"))
        self.updates = UpdateQueue(world.clock, lambda: world.random.randrange(10**8, 5 * 10**8))
        self.limits = RateLimits(world.clock, pace)
        self.texts: dict[tuple[str, str], str] = {}
        self.commands: dict[tuple[str, str], list[Json]] = {}
        self.menu_button: Json = {"type": "commands"}
        self.webhook: Any = None
        self.next_webhook_change = 0.0
        self._message_ids = itertools.count(1)
        self._order = itertools.count(1)
        self._query_ids = itertools.count(world.random.randrange(10**16, 10**17))
        self.forget()

    def forget(self) -> None:
        """Drop messages and payments. The bot's program keeps running, so its settings stay and its numbers go on."""
        self.chats: dict[int, Chat] = {}
        self.kept: deque[tuple[Chat, int]] = deque()
        self.queries: Bounded = Bounded(QUERIES_LIMIT)
        self.invoices: Bounded = Bounded(QUERIES_LIMIT)
        self.payments: Bounded = Bounded(QUERIES_LIMIT)
        self.updates.clear()
        self.limits.forget()

    def as_user(self) -> Json:
        return {"id": self.id, "is_bot": True, "first_name": self.first_name, "username": self.username}

    def next_message_id(self) -> int:
        return next(self._message_ids)

    def next_place(self) -> int:
        return next(self._order)

    def next_query_id(self) -> str:
        return str(next(self._query_ids))


class Telegram:
    """The whole simulated service, kept in `world.faces["telegram"]`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.events = Events()
        self.pace = Pace()
        self.bots: dict[int, Bot] = {}
        self.last_bot: Bot | None = None
        self.reset()

    def reset(self) -> None:
        """Back to the start: three people, no messages; the bots that have called stay known."""
        fresh = Pace(enabled=bool(self.world.settings.get("telegram_rate_limits", True)))
        self.pace.__dict__.update(vars(fresh))
        for bot in self.bots.values():
            bot.forget()
        self.must_start = bool(self.world.settings.get("telegram_must_start", False))
        self.silent_video_is_animation = bool(self.world.settings.get("telegram_silent_video_is_animation", False))
        self.revoked: set[str] = set()
        self.strangers: set[int] = set()
        self.files = FileStore(self.world.random)
        self.people: dict[int, Person] = {}
        for person in (
            Person(1001, "Аня", "ru", username="anya"),
            Person(1002, "Bob", "en", username="bob"),
            Person(9001, "Олег", "ru", "admin", username="oleg"),
        ):
            self.people[person.id] = person
        self._next_person = 1003
        self.events.broadcast("reset", {})

    def bot(self, bot_id: int) -> Bot:
        """The bot with this id, created at its first call."""
        if bot_id not in self.bots:
            if len(self.bots) >= BOTS_LIMIT:
                raise ApiError(500, "Internal Server Error: the sandbox holds no more bots")
            self.bots[bot_id] = Bot(bot_id, self.world, self.pace)
        return self.bots[bot_id]

    def add_person(self, first_name: str, user_id: int | None = None, **more: Any) -> Person:
        """Raises ValueError when the id is taken or no more people fit."""
        if len(self.people) >= PEOPLE_LIMIT:
            raise ValueError("the sandbox holds no more people")
        if user_id is None:
            while self._next_person in self.people:
                self._next_person += 1
            user_id = self._next_person
        if user_id in self.people:
            raise ValueError(f"user {user_id} exists")
        person = self.people[user_id] = Person(user_id, first_name, **more)
        self.events.broadcast("users", {})
        return person

    def chat(self, bot: Bot, user_id: int) -> Chat:
        """The person's chat with the bot, whether or not anything was said in it."""
        if user_id not in bot.chats:
            bot.chats[user_id] = Chat(self.people[user_id])
        return bot.chats[user_id]

    def chat_for_bot(self, bot: Bot, user_id: int) -> Chat:
        """The chat a bot writes to. Raises ApiError as Telegram refuses (docs/reference/telegram.md, section 3)."""
        if user_id not in self.people:
            raise bad_request("chat not found")
        chat = self.chat(bot, user_id)
        if chat.blocked:
            raise ApiError(403, "Forbidden: bot was blocked by the user")
        if self.must_start and not chat.started:
            raise ApiError(403, "Forbidden: bot can't initiate conversation with a user")
        return chat

    def post(self, bot: Bot, chat: Chat, content: Json, *, editable: bool = True) -> Message:
        """Put a message of the bot into the chat and show it to the person."""
        message = self._message(bot, chat, content, outgoing=False)
        message.editable = editable
        chat.draft = None
        self.events.publish(bot.id, chat.person.id, "message", {"message": message.data})
        if not self.events.watched(bot.id, chat.person.id):
            chat.unread += 1
            self.events.broadcast("users", {})
        return message

    def receive(self, bot: Bot, chat: Chat, content: Json) -> Message:
        """Put a message of the person into the chat and send the update to the bot."""
        message = self._message(bot, chat, content, outgoing=True)
        chat.started = True
        self.events.publish(bot.id, chat.person.id, "message", {"message": message.for_person()})
        bot.updates.push("message", message.data, chat.person.id)
        return message

    def _message(self, bot: Bot, chat: Chat, content: Json, *, outgoing: bool) -> Message:
        number, place, now = bot.next_message_id(), bot.next_place(), self.world.clock.now()
        sender = chat.person.as_user() if outgoing else bot.as_user()
        head = {"message_id": number, "from": sender, "chat": chat.person.as_chat(), "date": int(now)}
        message = Message(number, {**head, **content}, outgoing, place, place, now)
        chat.keep(message)
        bot.kept.append((chat, number))
        if len(bot.kept) > MESSAGES_PER_BOT:
            oldest, gone = bot.kept.popleft()
            oldest.messages.pop(gone, None)
        return message

    def edited(self, bot: Bot, chat: Chat, message: Message) -> None:
        """Show the person that a message of the bot has changed."""
        message.changed = bot.next_place()
        self.events.publish(bot.id, chat.person.id, "edit", {"message": message.data})
