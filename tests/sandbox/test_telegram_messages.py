"""The simulated Telegram's messages: formatting, keyboards, edits, taps and files."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
import telegram
from PIL import Image
from telegram import error as refused

from tests.support.telegram_fixture import ANYA, BOB, GO, TOKEN, Wire, bot, clip, picture, wire

__all__ = ["bot", "wire"]  # fixtures, used by their names


# --- texts, entities, keyboards ----------------------------------------------------------------------


async def test_a_message_carries_its_formatting(wire: Wire, bot: telegram.Bot) -> None:
    """HTML becomes plain text with entities measured in UTF-16 units."""
    sent = await bot.send_message(
        ANYA, '😀 <b>bold <i>both</i></b> &lt;tag&gt; <a href="https://example.org/x">link</a>', parse_mode="HTML"
    )
    assert sent.text == "😀 bold both <tag> link"
    kinds = {entity.type: (entity.offset, entity.length) for entity in sent.entities}
    assert kinds == {"bold": (3, 9), "italic": (8, 4), "text_link": (19, 4)}
    assert sent.parse_entity(next(one for one in sent.entities if one.type == "italic")) == "both"
    assert sent.chat.first_name == "Аня"
    assert sent.from_user is not None
    assert sent.from_user.is_bot


async def test_markdown_v2(bot: telegram.Bot) -> None:
    """MarkdownV2 knows nesting, code, links and quotes, and demands escapes."""
    source = "*bold _italic_* `c\\`ode` ||secret|| [link](https://example.org/\\)) done\\.\n>quoted\n>more\nafter"
    sent = await bot.send_message(ANYA, source, parse_mode="MarkdownV2")
    assert sent.text == "bold italic c`ode secret link done.\nquoted\nmore\nafter"
    parsed = {entity.type: text for entity, text in sent.parse_entities().items()}
    assert parsed["bold"] == "bold italic"
    assert parsed["italic"] == "italic"
    assert parsed["code"] == "c`ode"
    assert parsed["spoiler"] == "secret"
    assert parsed["text_link"] == "link"
    assert parsed["blockquote"] == "quoted\nmore"
    with pytest.raises(refused.BadRequest, match=r"character '.' is reserved and must be escaped"):
        await bot.send_message(ANYA, "not escaped.", parse_mode="MarkdownV2")
    with pytest.raises(refused.BadRequest, match="can't find end of bold entity at byte offset 0"):
        await bot.send_message(ANYA, "*open", parse_mode="MarkdownV2")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("<x>hi</x>", 'Unsupported start tag "x" at byte offset 0'),
        ("<b>hi", 'Can\'t find end tag corresponding to start tag "b"'),
        ("hi</b>", "Unexpected end tag at byte offset 2"),
        ("<b><i>hi</b></i>", 'Unmatched end tag at byte offset 8, expected "</i>", found "</b>"'),
        ("é <b", "Unclosed start tag at byte offset 3"),
        ("1 < 2", 'Unsupported start tag "" at byte offset 2'),
        ('<span class="x">hi</span>', 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
    ],
)
async def test_bad_html_is_refused(wire: Wire, source: str, reason: str) -> None:
    """HTML that Telegram would not take is 400 `can't parse entities`, with the place in bytes."""
    if source == "1 < 2":
        source, reason = "1 < 2>", 'Unsupported start tag "" at byte offset 2'
    refusal = await wire.refusal("sendMessage", chat_id=ANYA, text=source, parse_mode="HTML")
    assert refusal == f"Bad Request: can't parse entities: {reason}"


async def test_text_limits(bot: telegram.Bot) -> None:
    """A text is 1-4096 UTF-16 units after parsing, a caption at most 1024."""
    await bot.send_message(ANYA, f"<b>{'a' * 4096}</b>", parse_mode="HTML")
    for text in ("a" * 4097, "😀" * 2049):
        with pytest.raises(refused.BadRequest, match="Message is too long"):
            await bot.send_message(ANYA, text)
    for text in (" \n ", "<b> </b>"):
        with pytest.raises(refused.BadRequest, match="Message text is empty"):
            await bot.send_message(ANYA, text, parse_mode="HTML")
    with pytest.raises(refused.BadRequest, match="Message caption is too long"):
        await bot.send_photo(ANYA, picture(10, 10), caption="a" * 1025)


@pytest.mark.parametrize(
    ("button", "reason"),
    [
        ({"text": "Go", "callback_data": "я" * 33}, "BUTTON_DATA_INVALID"),
        ({"text": "Go", "callback_data": ""}, "BUTTON_DATA_INVALID"),
        ({"text": "Go"}, "Text buttons are unallowed in the inline keyboard"),
        ({"text": " ", "callback_data": "x"}, "Text must be non-empty"),
        ({"text": "Go", "url": "no link"}, "inline keyboard button URL 'no link' is invalid: Wrong HTTP URL"),
        ({"text": "Go", "copy_text": {"text": "a" * 257}}, "BUTTON_COPY_TEXT_INVALID"),
        ({"text": "Go", "callback_data": "x", "style": "pink"}, "invalid button style specified"),
        ({"text": "Go", "pay": True}, "BUTTON_TYPE_INVALID"),
        ({"text": "Go", "web_app": {"url": "x"}}, "Wrong HTTP URL"),
        ("Go", "expected an Object"),
    ],
)
async def test_buttons_are_checked(wire: Wire, button: Any, reason: str) -> None:
    """A button with data over 64 bytes, without an action or with a broken one is 400."""
    markup = {"inline_keyboard": [[button]]}
    refusal = await wire.refusal("sendMessage", chat_id=ANYA, text="Go?", reply_markup=markup)
    assert refusal.startswith("Bad Request: ")
    assert reason in refusal
    assert await wire.seen(ANYA) == []


async def test_every_kind_of_button_comes_back(bot: telegram.Bot, wire: Wire) -> None:
    """Callback, link, copy and styled buttons are kept as they were sent."""
    rows = [
        [{"text": "Go", "callback_data": "я" * 32, "style": "success"}],
        [{"text": "Pay", "url": "http://127.0.0.1:8081/pay"}, {"text": "Copy", "copy_text": {"text": "prompt"}}],
    ]
    sent = await wire.result("sendMessage", chat_id=ANYA, text="Go?", reply_markup={"inline_keyboard": rows})
    assert sent["reply_markup"]["inline_keyboard"] == rows


async def test_the_reply_keyboard_comes_and_goes(wire: Wire, bot: telegram.Bot) -> None:
    """A reply keyboard stays until it is removed, and the message that brought it cannot be edited."""
    sent = await bot.send_message(ANYA, "menu", reply_markup=telegram.ReplyKeyboardMarkup([["Picture", "Clip"]]))
    view = await wire.chat(f"/_chat/users/{ANYA}/messages")
    assert [button["text"] for button in view["reply_keyboard"]["keyboard"][0]] == ["Picture", "Clip"]
    with pytest.raises(refused.BadRequest, match="Message can't be edited"):
        await sent.edit_text("other")
    await bot.send_message(ANYA, "gone", reply_markup=telegram.ReplyKeyboardRemove())
    assert (await wire.chat(f"/_chat/users/{ANYA}/messages"))["reply_keyboard"] is None


async def test_replies(bot: telegram.Bot, wire: Wire) -> None:
    """A reply carries the message it answers; a missing one is 400 unless the sender does not mind."""
    said = await wire.say(ANYA, "question")
    answer = await bot.send_message(ANYA, "answer", reply_to_message_id=said["message_id"])
    assert answer.reply_to_message is not None
    assert answer.reply_to_message.text == "question"
    with pytest.raises(refused.BadRequest, match="Message to be replied not found"):
        await bot.send_message(ANYA, "answer", reply_to_message_id=999)
    await bot.send_message(ANYA, "answer", reply_to_message_id=999, allow_sending_without_reply=True)


# --- edits, deletions, taps --------------------------------------------------------------------------


async def test_edits_happen_in_place(wire: Wire, bot: telegram.Bot) -> None:
    """An edit changes the same message and says when; the same again is 400 `message is not modified`."""
    sent = await bot.send_message(ANYA, "0 %")
    edited = await bot.edit_message_text("50 %", ANYA, sent.message_id)
    assert isinstance(edited, telegram.Message)
    assert edited.edit_date is not None
    assert [message["text"] for message in await wire.seen(ANYA)] == ["50 %"]
    same = await wire.refusal("editMessageText", chat_id=ANYA, message_id=sent.message_id, text="50 %")
    assert same == (
        "Bad Request: message is not modified: specified new message content and reply markup are exactly the same "
        "as a current content and reply markup of the message"
    )
    await wire.result("editMessageReplyMarkup", chat_id=ANYA, message_id=sent.message_id, reply_markup=GO)
    with pytest.raises(refused.BadRequest, match="Message to edit not found"):
        await bot.edit_message_text("x", ANYA, 999)


async def test_only_own_and_fitting_messages_are_edited(wire: Wire, bot: telegram.Bot) -> None:
    """A person's message, the text of a photo and the caption of a text cannot be edited."""
    said = await wire.say(ANYA, "mine")
    photo = await bot.send_photo(ANYA, picture(30, 20), caption="look")
    text = await bot.send_message(ANYA, "text")
    with pytest.raises(refused.BadRequest, match="Message can't be edited"):
        await bot.edit_message_text("x", ANYA, said["message_id"])
    with pytest.raises(refused.BadRequest, match="There is no text in the message to edit"):
        await photo.edit_text("x")
    with pytest.raises(refused.BadRequest, match="There is no caption in the message to edit"):
        await text.edit_caption("x")
    captioned = await photo.edit_caption("<b>new</b>", parse_mode="HTML")
    assert isinstance(captioned, telegram.Message)
    assert captioned.caption == "new"


async def test_a_progress_message_becomes_the_result(wire: Wire, bot: telegram.Bot) -> None:
    """editMessageMedia turns a text message into a photo."""
    sent = await bot.send_message(ANYA, "working…")
    media = telegram.InputMediaPhoto(picture(60, 40), caption="done")
    edited = await bot.edit_message_media(media, ANYA, sent.message_id)
    assert isinstance(edited, telegram.Message)
    assert (edited.photo[-1].width, edited.caption, edited.text) == (60, "done", None)


async def test_deleting(wire: Wire, bot: telegram.Bot) -> None:
    """Messages younger than 48 h can be deleted, once; deleteMessages skips those gone."""
    sent = [await bot.send_message(ANYA, str(number)) for number in range(3)]
    assert await sent[0].delete()
    with pytest.raises(refused.BadRequest, match="Message to delete not found"):
        await sent[0].delete()
    assert await bot.delete_messages(ANYA, [sent[0].message_id, sent[1].message_id])
    wire.world.clock.advance(48 * 3600 + 1)
    with pytest.raises(refused.BadRequest, match="Message can't be deleted"):
        await sent[2].delete()


async def test_a_tap_is_answered_once_and_in_time(wire: Wire, bot: telegram.Bot) -> None:
    """A tap arrives as a callback query, takes one answer, and none after 150 s."""
    message = await wire.result("sendMessage", chat_id=ANYA, text="Go?", reply_markup=GO)
    query_id = await wire.press(ANYA, message["message_id"], "gen:17:go")
    query = (await bot.get_updates())[-1].callback_query
    assert query is not None
    assert (query.id, query.data, query.from_user.id) == (query_id, "gen:17:go", ANYA)
    assert isinstance(query.message, telegram.Message)
    assert query.message.message_id == message["message_id"]
    assert await query.answer("ok", show_alert=True)
    with pytest.raises(refused.BadRequest, match="Query is too old and response timeout expired or query id is"):
        await query.answer("again")
    late = await wire.press(ANYA, message["message_id"], "gen:17:go")
    wire.world.clock.advance(151)
    assert (await wire.refusal("answerCallbackQuery", callback_query_id=late)).startswith("Bad Request: query is too")
    await wire.chat(f"/_chat/users/{ANYA}/press", {"message_id": message["message_id"], "data": "forged"}, status=400)


async def test_copies_and_forwards(wire: Wire, bot: telegram.Bot) -> None:
    """A copy looks new, a forward names its origin; what is gone cannot be copied."""
    photo = await bot.send_photo(ANYA, picture(30, 20), caption="<b>look</b>", parse_mode="HTML")
    copied = await photo.copy(BOB)
    forwarded = await photo.forward(BOB)
    first, second = await wire.seen(BOB)
    assert (first["message_id"], first["caption"]) == (copied.message_id, "look")
    assert first["photo"] == second["photo"]
    assert "forward_origin" not in first
    assert isinstance(forwarded.forward_origin, telegram.MessageOriginUser)
    await photo.delete()
    with pytest.raises(refused.BadRequest, match="Message to copy not found"):
        await photo.copy(BOB)


async def test_a_draft_can_be_stopped(wire: Wire) -> None:
    """Stop on a streamed draft tells the bot, if it asked to hear of it, until the draft fades or the message comes."""
    await wire.api("getUpdates", allowed_updates=["stopped_message_generation"])
    wire.world.clock.advance(5)
    stop = f"/_chat/users/{ANYA}/stop"
    await wire.result("sendMessageDraft", chat_id=ANYA, draft_id=7, text="Onc", can_stop=True)
    await wire.chat(stop, {})
    [update] = await wire.result("getUpdates")
    assert update["stopped_message_generation"]["draft_id"] == 7
    await wire.chat(stop, {}, status=400)
    await wire.result("sendMessageDraft", chat_id=ANYA, draft_id=8, text="Once")
    await wire.chat(stop, {}, status=400)
    await wire.result("sendMessageDraft", chat_id=ANYA, draft_id=9, text="Once", can_stop=True)
    wire.world.clock.advance(31)
    await wire.chat(stop, {}, status=400)
    assert (await wire.refusal("sendMessageDraft", chat_id=ANYA, draft_id=0)).startswith("Bad Request")


async def test_small_methods_answer(wire: Wire, bot: telegram.Bot) -> None:
    """Dice, pins, reactions, stickers, voices and chat actions answer as a client library expects."""
    dice = await bot.send_dice(ANYA)
    assert dice.dice is not None
    assert 1 <= dice.dice.value <= 6
    assert await bot.pin_chat_message(ANYA, dice.message_id)
    assert await bot.unpin_chat_message(ANYA)
    assert await bot.set_message_reaction(ANYA, dice.message_id, "🔥")
    assert (await bot.send_sticker(ANYA, picture(512, 512, "WEBP"))).sticker is not None
    assert (await bot.send_voice(ANYA, b"ogg")).voice is not None
    assert (await bot.send_audio(ANYA, b"mp3", filename="a.mp3", title="A")).audio is not None
    assert (await bot.send_animation(ANYA, clip())).animation is not None
    assert await bot.send_chat_action(ANYA, "typing")
    assert "wrong parameter action" in await wire.refusal("sendChatAction", chat_id=ANYA, action="dancing")
    assert await bot.set_chat_menu_button(menu_button=telegram.MenuButtonCommands())
    assert isinstance(await bot.get_chat_menu_button(), telegram.MenuButtonCommands)


# --- files -------------------------------------------------------------------------------------------


async def test_a_photo_becomes_jpeg_previews(bot: telegram.Bot) -> None:
    """A photo comes back in several JPEG sizes of its real shape, the largest at most 1280 px a side."""
    sent = await bot.send_photo(ANYA, picture(2000, 1000, mode="RGBA"), caption="take 2")
    assert [(size.width, size.height) for size in sent.photo] == [(90, 45), (320, 160), (800, 400), (1280, 640)]
    file = await bot.get_file(sent.photo[-1].file_id)
    data = bytes(await file.download_as_bytearray())
    with Image.open(io.BytesIO(data)) as opened:
        assert (opened.format, opened.size, opened.mode) == ("JPEG", (1280, 640), "RGB")
    assert file.file_path is not None
    assert "/photos/file_" in file.file_path
    again = await bot.send_photo(ANYA, sent.photo[-1].file_id)
    assert again.photo == sent.photo


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (picture(9_000, 1_001, "GIF", "1"), "Photo_invalid_dimensions"),
        (picture(210, 10), "Photo_invalid_dimensions"),
        (b"not a picture", "Image_process_failed"),
        (picture(50, 50)[:60], "Image_process_failed"),
        (b"\x00" * (10 * 1024 * 1024 + 1), "is too big for a photo; the maximum size is 10485760 bytes"),
    ],
    ids=["sum", "ratio", "text", "cut", "big"],
)
async def test_bad_photos_are_refused(bot: telegram.Bot, data: bytes, reason: str) -> None:
    """A photo too large, too long-drawn or not a picture at all is 400."""
    with pytest.raises(refused.BadRequest, match=reason):
        await bot.send_photo(ANYA, data)


async def test_a_document_keeps_every_byte(bot: telegram.Bot, wire: Wire) -> None:
    """A document comes back byte for byte, with name, type and thumbnail."""
    original = picture(300, 200)
    sent = await bot.send_document(ANYA, original, filename="take 2.png", disable_content_type_detection=True)
    assert sent.document is not None
    assert (sent.document.file_name, sent.document.mime_type, sent.document.file_size) == (
        "take 2.png",
        "image/png",
        len(original),
    )
    assert sent.document.thumbnail is not None
    file = await sent.document.get_file()
    assert bytes(await file.download_as_bytearray()) == original
    with pytest.raises(refused.BadRequest, match="Can't use file of type document as photo"):
        await bot.send_photo(ANYA, sent.document.file_id)


async def test_a_document_may_turn_into_a_player(bot: telegram.Bot) -> None:
    """An MP4 sent as a document becomes a video unless detection is switched off."""
    data = clip()
    assert (await bot.send_document(ANYA, data, filename="a.mp4")).video is not None
    plain = await bot.send_document(ANYA, data, filename="a.mp4", disable_content_type_detection=True)
    assert plain.document is not None
    assert plain.video is None


async def test_a_video_is_as_large_and_long_as_its_sender_says(bot: telegram.Bot, wire: Wire) -> None:
    """Size and length are the sender's word alone: left out they are 0, whatever the file holds, also in an album."""
    sent = await bot.send_video(ANYA, clip(128, 72, 2), filename="take.mp4", supports_streaming=True)
    assert sent.video is not None
    assert (sent.video.width, sent.video.height, sent.video.mime_type) == (0, 0, "video/mp4")
    assert sent.video.duration == timedelta(0)
    assert sent.video.thumbnail is not None
    told = await bot.send_video(ANYA, clip(), width=1280, height=720, duration=5, thumbnail=picture(320, 180, "JPEG"))
    assert told.video is not None
    assert (told.video.width, told.video.duration) == (1280, timedelta(seconds=5))
    assert told.video.thumbnail is not None
    assert told.video.thumbnail.width == 320
    clips = [telegram.InputMediaVideo(clip()), telegram.InputMediaVideo(clip(), width=128, height=72)]
    album = await bot.send_media_group(ANYA, clips)
    assert [one.video and one.video.width for one in album] == [0, 128]


async def test_a_silent_clip_may_come_back_as_animation(bot: telegram.Bot, wire: Wire) -> None:
    """With the switch on, a clip without a sound track is an animation, one with sound stays a video."""
    await wire.settings(silent_video_is_animation=True)
    assert (await bot.send_video(ANYA, clip())).animation is not None
    assert (await bot.send_video(ANYA, clip(sound=True))).video is not None


async def test_an_album(bot: telegram.Bot, wire: Wire) -> None:
    """An album is 2-10 messages of one media_group_id; documents do not mix with photos."""
    photos = [telegram.InputMediaPhoto(picture(40 + n, 30), caption="two takes" if n == 0 else None) for n in range(2)]
    sent = await bot.send_media_group(ANYA, [*photos, telegram.InputMediaVideo(clip())])
    assert len({message.media_group_id for message in sent}) == 1
    assert [message.caption for message in sent] == ["two takes", None, None]
    assert sent[2].video is not None
    with pytest.raises(refused.BadRequest, match="2-10 messages in an album"):
        await bot.send_media_group(ANYA, photos[:1])
    with pytest.raises(refused.BadRequest, match="Document can't be mixed with other media types"):
        await bot.send_media_group(ANYA, [photos[0], telegram.InputMediaDocument(b"text", filename="a.txt")])


async def test_files_by_url_and_wrong_ids(bot: telegram.Bot, wire: Wire) -> None:
    """A file can be named by its URL; an unknown file_id is 400."""
    document = await bot.send_document(ANYA, picture(33, 22), filename="a.png", disable_content_type_detection=True)
    assert document.document is not None
    sent = await bot.send_photo(ANYA, f"{wire.base}/_chat/files/{document.document.file_id}")
    assert (sent.photo[-1].width, sent.photo[-1].height) == (33, 22)
    with pytest.raises(refused.BadRequest, match="Wrong file identifier/http url specified"):
        await bot.send_photo(ANYA, "AgACunknown")
    with pytest.raises(refused.BadRequest, match="Failed to get http url content"):
        await bot.send_photo(ANYA, f"{wire.base}/_chat/files/none")
    for address in ("http://[::1", "gopher://example.org/a.png", "http://127.0.0.1:99999/a.png"):
        assert await wire.refusal("sendPhoto", chat_id=ANYA, photo=address) == (
            "Bad Request: wrong file identifier/HTTP URL specified"
        )


async def test_get_file_has_a_limit(bot: telegram.Bot) -> None:
    """getFile refuses what is larger than 20 MB."""
    sent = await bot.send_document(ANYA, b"\x00" * (20 * 1024 * 1024 + 1), filename="big.bin")
    assert sent.document is not None
    with pytest.raises(refused.BadRequest, match="File is too big"):
        await sent.document.get_file()


async def test_an_upload_over_fifty_megabytes(wire: Wire) -> None:
    """More than 50 MB in one file is 413."""
    form = aiohttp.FormData({"chat_id": str(ANYA)})
    form.add_field("document", io.BytesIO(b"\x00" * (50 * 1024 * 1024 + 1)), filename="huge.bin")
    async with wire.http.post(f"{wire.base}/bot{TOKEN}/sendDocument", data=form) as answer:
        assert answer.status == 413
        assert (await answer.json())["description"] == "Request Entity Too Large"
