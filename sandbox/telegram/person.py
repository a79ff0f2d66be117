"""The person's side, `/_chat/…`: what the chat page and the tests do on behalf of a person."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from sandbox.telegram import payment, stream
from sandbox.telegram.call import Call
from sandbox.telegram.entities import formatted
from sandbox.telegram.errors import ApiError
from sandbox.telegram.methods_media import stored
from sandbox.telegram.methods_profile import commands_for
from sandbox.telegram.params import Params, read_params
from sandbox.telegram.person_input import (
    Refused,
    body_of,
    bot_or_none,
    chat_of,
    fields_of,
    message_of,
    person_of,
    reply_to,
    text_of,
)
from sandbox.telegram.state import Bot, Chat, Json, Person, Query, Telegram

ALBUM_LIMIT = 10
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PersonApi:
    """Handlers of the `/_chat` routes."""

    def __init__(self, telegram: Telegram) -> None:
        self.telegram = telegram

    # --- people ----------------------------------------------------------------------------------

    async def state(self, request: web.Request) -> web.Response:
        bot = bot_or_none(self.telegram, request)
        about = {"id": bot.id, "username": bot.username, "first_name": bot.first_name} if bot else None
        users = [self.described(person, bot) for person in self.telegram.people.values()]
        return web.json_response({"bot": about, "users": users})

    def described(self, person: Person, bot: Bot | None) -> Json:
        chat = bot.chats.get(person.id) if bot else None
        return {
            "id": person.id,
            "first_name": person.first_name,
            "last_name": person.last_name,
            "username": person.username,
            "language_code": person.language_code,
            "role": person.role,
            "blocked": chat.blocked if chat else False,
            "unread": chat.unread if chat else 0,
        }

    async def add(self, request: web.Request) -> web.Response:
        wanted = await body_of(request)
        fields = fields_of(wanted)
        if "first_name" not in fields:
            raise Refused("first_name is missing")
        user_id = wanted.get("id")
        if user_id is not None and (type(user_id) is not int or not 0 < user_id < 2**52):
            raise Refused("id must be a positive integer")
        try:
            person = self.telegram.add_person(user_id=user_id, **fields)
        except ValueError as error:
            raise Refused(str(error)) from None
        return web.json_response(self.described(person, bot_or_none(self.telegram, request)))

    async def change(self, request: web.Request) -> web.Response:
        person = person_of(self.telegram, request)
        for name, value in fields_of(await body_of(request)).items():
            setattr(person, name, value)
        self.telegram.events.broadcast("users", {})
        bot = bot_or_none(self.telegram, request)
        if bot is not None:
            commands = {"commands": commands_for(bot, person)}
            self.telegram.events.publish(bot.id, person.id, "commands", commands)
        return web.json_response(self.described(person, bot))

    # --- the chat --------------------------------------------------------------------------------

    async def messages(self, request: web.Request) -> web.Response:
        person, bot = person_of(self.telegram, request), bot_or_none(self.telegram, request)
        if bot is None:
            return web.json_response({"messages": [], "reply_keyboard": None, "commands": [], "blocked": False})
        chat = self.telegram.chat(bot, person.id)
        self.read(chat)
        return web.json_response(
            {
                "messages": [message.for_person() for message in chat.messages.values()],
                "reply_keyboard": chat.reply_keyboard,
                "commands": commands_for(bot, person),
                "blocked": chat.blocked,
                "description": description_for(bot, person),
            }
        )

    def read(self, chat: Chat) -> None:
        if chat.unread:
            chat.unread = 0
            self.telegram.events.broadcast("users", {})

    async def send(self, request: web.Request) -> web.Response:
        bot, chat = chat_of(self.telegram, request)
        if chat.blocked:
            raise Refused("the bot is blocked: unblock it first")
        params = await read_params(request)
        reply = reply_to(chat, params)
        kind = params.text("kind") or ("document" if params.files else "text")
        if kind == "text":
            contents = [text_of(params)]
        elif kind in ("photo", "document", "video"):
            contents = await self.media_of(bot, kind, params)
        else:
            raise Refused("kind must be text, photo, document or video")
        group: Json = {}
        if len(contents) > 1:
            group = {"media_group_id": str(self.telegram.world.random.randrange(10**16, 10**17))}
        self.read(chat)
        sent = [self.telegram.receive(bot, chat, {**group, **reply, **content}) for content in contents]
        return web.json_response({"messages": [message.for_person() for message in sent]})

    async def media_of(self, bot: Bot, kind: str, params: Params) -> list[Json]:
        uploads = [upload for name, upload in params.files.items() if name.partition("#")[0] == "file"]
        if not 1 <= len(uploads) <= ALBUM_LIMIT:
            raise Refused("send 1 to 10 parts named file")
        call = Call(self.telegram, bot, Params())
        given = {"disable_content_type_detection": True}
        contents = [await stored(call, kind, upload, given, measured=True) for upload in uploads]
        caption = formatted(params.text("caption"), "", None)
        if caption[0]:
            contents[0] |= {"caption": caption[0], **({"caption_entities": caption[1]} if caption[1] else {})}
        return contents

    async def press(self, request: web.Request) -> web.Response:
        bot, chat = chat_of(self.telegram, request)
        wanted = await body_of(request)
        message = message_of(chat, wanted)
        data = wanted.get("data")
        rows = message.data.get("reply_markup", {}).get("inline_keyboard", [])
        pressed = [one for row in rows for one in row if one.get("callback_data") == data and data is not None]
        if not pressed:
            raise Refused("no such button is on the message")
        query = Query(bot.next_query_id(), chat.person.id, self.telegram.world.clock.now())
        bot.queries[query.id] = query
        payload = {
            "id": query.id,
            "from": chat.person.as_user(),
            "message": message.data,
            "chat_instance": str(-(chat.person.id * 7919 + bot.id)),
            "data": data,
        }
        bot.updates.push("callback_query", payload, chat.person.id)
        return web.json_response({"callback_query_id": query.id})

    async def block(self, request: web.Request) -> web.Response:
        return self.set_blocked(request, True)

    async def unblock(self, request: web.Request) -> web.Response:
        return self.set_blocked(request, False)

    def set_blocked(self, request: web.Request, blocked: bool) -> web.Response:
        bot, chat = chat_of(self.telegram, request)
        if chat.blocked != blocked:
            chat.blocked = blocked
            member: Json = {"status": "member", "user": bot.as_user()}
            kicked: Json = {"status": "kicked", "user": bot.as_user(), "until_date": 0}
            change = {
                "chat": chat.person.as_chat(),
                "from": chat.person.as_user(),
                "date": int(self.telegram.world.clock.now()),
                "old_chat_member": member if blocked else kicked,
                "new_chat_member": kicked if blocked else member,
            }
            bot.updates.push("my_chat_member", change, chat.person.id)
            self.telegram.events.broadcast("users", {})
        return web.json_response({"blocked": blocked})

    async def pay(self, request: web.Request) -> web.Response:
        bot, chat = chat_of(self.telegram, request)
        wanted = await body_of(request)
        key = wanted["link"] if isinstance(wanted.get("link"), str) else (chat.person.id, wanted.get("message_id"))
        try:
            invoice = bot.invoices.get(key)
        except TypeError:
            invoice = None
        if invoice is None:
            raise Refused("no such invoice")
        if invoice.paid:
            raise Refused("the invoice is paid already")
        call = Call(self.telegram, bot, Params())
        outcome = await payment.pay(call, chat, invoice, once=not isinstance(key, str))
        return web.json_response(outcome, status=200 if outcome["ok"] else 402)

    async def stop(self, request: web.Request) -> web.Response:
        """Press Stop on the draft that the bot streams."""
        bot, chat = chat_of(self.telegram, request)
        draft, chat.draft = chat.draft, None
        if draft is None or not draft.can_stop or self.telegram.world.clock.now() > draft.until:
            raise Refused("there is no draft to stop")
        stopped = {"chat": chat.person.as_chat(), "draft_id": draft.id}
        bot.updates.push("stopped_message_generation", stopped, chat.person.id)
        return web.json_response(stopped)

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("GET", "/_chat/state", self.state),
            ("POST", "/_chat/users", self.add),
            ("PATCH", "/_chat/users/{uid}", self.change),
            ("GET", "/_chat/users/{uid}/messages", self.messages),
            ("POST", "/_chat/users/{uid}/send", self.send),
            ("POST", "/_chat/users/{uid}/press", self.press),
            ("POST", "/_chat/users/{uid}/block", self.block),
            ("POST", "/_chat/users/{uid}/unblock", self.unblock),
            ("POST", "/_chat/users/{uid}/pay", self.pay),
            ("POST", "/_chat/users/{uid}/stop", self.stop),
        ]


def description_for(bot: Bot, person: Person) -> str:
    """What an empty chat shows in the person's language."""
    own = bot.texts.get(("description", person.language_code[:2].lower()))
    return own or bot.texts.get(("description", ""), "")


def mount(app: web.Application, telegram: Telegram) -> None:
    """Add the person's routes; every refusal is JSON `{"error": …}`."""
    api = PersonApi(telegram)

    def guarded(handler: Handler) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except Refused as refused:
                return web.json_response({"error": str(refused)}, status=refused.status)
            except ApiError as refused:
                return web.json_response({"error": refused.description}, status=refused.status)

        return answer

    for verb, path, handler in [*api.routes(), *stream.routes(telegram)]:
        app.router.add_route(verb, path, guarded(handler))
