"""Methods that send files: photos, videos, documents, albums; and getFile."""

from __future__ import annotations

import asyncio
import mimetypes
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from sandbox.telegram import media
from sandbox.telegram.call import Call, method
from sandbox.telegram.errors import WRONG_FILE, ApiError, bad_request
from sandbox.telegram.files import StoredFile
from sandbox.telegram.markup import is_web_address
from sandbox.telegram.methods_messages import CONTENT, apply_edit, deliver, markup_of, options_of, own_message, reply_of
from sandbox.telegram.params import Upload
from sandbox.telegram.state import Json

DOWNLOAD_LIMIT = 20 * 1024 * 1024
URL_LIMIT = {"photo": 5 * 1024 * 1024}
URL_SECONDS = 20.0
KIND_NAMES = {
    "photo": "Photo",
    "video": "Video",
    "document": "Document",
    "animation": "Animation",
    "audio": "Audio",
    "voice": "VoiceNote",
    "sticker": "Sticker",
}
ALBUM_KINDS = frozenset({"photo", "video", "document", "audio"})
DEFAULT_MIME = {
    "video": "video/mp4",
    "animation": "video/mp4",
    "audio": "audio/mpeg",
    "voice": "audio/ogg",
    "sticker": "image/webp",
}


async def media_content(call: Call, kind: str, value: Any, given: Json) -> Json:
    """The message content for one file: an upload, a file_id or a URL. Raises ApiError 400.

    `given` holds what the sender says about the file (width, height, duration, thumbnail, file name …).
    """
    upload = call.params.files.get(value.removeprefix("attach://")) if isinstance(value, str) else None
    if upload is None and isinstance(value, str) and value.startswith("attach://"):
        raise bad_request("can't parse InputMedia: Media not found")
    if upload is None and isinstance(value, str) and "://" in value:
        upload = await _downloaded(value, URL_LIMIT.get(kind, DOWNLOAD_LIMIT))
    if upload is None:
        return _reused(call, kind, value)
    if not upload.data:
        raise bad_request("file must be non-empty")
    return await stored(call, kind, upload, given)


def _reused(call: Call, kind: str, value: Any) -> Json:
    found = call.telegram.files.get(call.bot.id, value) if isinstance(value, str) and value else None
    if found is None:
        raise bad_request(WRONG_FILE)
    if found.kind != kind:
        known, wanted = KIND_NAMES.get(found.kind, "Thumbnail"), KIND_NAMES[kind]
        raise bad_request(f"can't use file of type {known} as {wanted}")
    return _as_content(found.kind, found.public)


def _as_content(kind: str, public: Any) -> Json:
    """An animation is shown as a document as well, for old clients."""
    if kind == "animation":
        plain = ("file_id", "file_unique_id", "file_size", "file_name", "mime_type", "thumbnail")
        return {"animation": public, "document": {key: public[key] for key in plain if key in public}}
    return {kind: public}


async def _downloaded(url: str, limit: int) -> Upload:
    """Fetch what a URL names, as Telegram's servers would. Raises ApiError 400."""
    if not is_web_address(url):
        raise bad_request(WRONG_FILE)
    try:
        timeout = aiohttp.ClientTimeout(total=URL_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
            if answer.status != 200:
                raise bad_request("failed to get HTTP URL content")
            data = await answer.content.read(limit + 1)
            while len(data) <= limit and (more := await answer.content.read(limit + 1 - len(data))):
                data += more
            if len(data) > limit:
                raise bad_request("failed to get HTTP URL content")
            name = PurePosixPath(urlsplit(url).path).name or "file"
            return Upload(data, name, answer.content_type)
    except (aiohttp.ClientError, TimeoutError, ValueError, OSError):
        raise bad_request("failed to get HTTP URL content") from None


async def stored(call: Call, kind: str, upload: Upload, given: Json, *, measured: bool = False) -> Json:
    """Keep an uploaded file and describe it as the Bot API does.

    A video is as large and as long as its sender says (docs/reference/telegram.md, section 5). It is `measured` for
    those who can't say: a person, whose app reads the file, and a document that turned out to be a video.
    """
    if kind == "photo":
        return {"photo": await _photo(call, upload)}
    name = PurePosixPath(upload.name.replace("\\", "/")).name[:255] or "file"
    mime = _mime(kind, name, upload)
    if kind == "document" and not given.get("disable_content_type_detection"):
        kind = {"image/gif": "animation", "video/mp4": "video"}.get(mime, kind)
        measured = True
    facts: Json = {}
    thumbnail = None
    if kind in ("video", "animation"):
        clip = await asyncio.to_thread(media.probe_clip, upload.data)
        if clip is not None:
            facts = {"width": clip.width, "height": clip.height, "duration": clip.duration} if measured else {}
            thumbnail = clip.thumbnail
            if kind == "video" and not clip.has_sound and call.telegram.silent_video_is_animation:
                kind = "animation"
        facts = {key: _number(given.get(key)) or facts.get(key, 0) for key in ("width", "height", "duration")}
    elif kind in ("audio", "voice"):
        facts = {"duration": _number(given.get("duration"))}
        facts |= {key: given[key] for key in ("performer", "title") if kind == "audio" and given.get(key)}
    elif kind == "sticker":
        facts = {"type": "regular", "width": 512, "height": 512, "is_animated": False, "is_video": False}
    own = _thumbnail_upload(call, given)
    if own is not None or (thumbnail is None and mime.startswith("image/")):
        thumbnail = await asyncio.to_thread(media.thumbnail_of, (own or upload).data) or thumbnail
    file = call.telegram.files.add(call.bot.id, kind, upload.data, extension=_extension(name, mime), mime_type=mime)
    naming = {} if kind in ("voice", "sticker") else {"file_name": name}
    if kind != "sticker":
        naming["mime_type"] = mime
    file.public = {**file.head, **facts, **naming}
    if thumbnail is not None:
        file.public["thumbnail"] = _picture(call, "thumbnail", thumbnail)[1]
    return _as_content(kind, file.public)


async def _photo(call: Call, upload: Upload) -> list[Json]:
    """The previews of a photo; the file_id of any of them names the whole photo."""
    pictures = await asyncio.to_thread(media.photo_sizes, upload.data)
    kept = [_picture(call, "photo", picture) for picture in pictures]
    public = [described for _, described in kept]
    for file, _ in kept:
        file.public = public
    return public


def _picture(call: Call, kind: str, picture: media.Picture) -> tuple[StoredFile, Json]:
    file = call.telegram.files.add(call.bot.id, kind, picture.data, extension=".jpg", mime_type="image/jpeg")
    return file, {**file.head, "width": picture.width, "height": picture.height}


def _thumbnail_upload(call: Call, given: Json) -> Upload | None:
    wanted = given.get("thumbnail") or given.get("thumb")
    if isinstance(wanted, str) and wanted.startswith("attach://"):
        return call.params.files.get(wanted.removeprefix("attach://"))
    return None


def _mime(kind: str, name: str, upload: Upload) -> str:
    guessed = mimetypes.guess_type(name)[0]
    if kind in ("video", "animation", "voice", "sticker", "audio"):
        family = DEFAULT_MIME[kind].split("/")[0]
        fits = guessed is not None and (guessed.startswith(family) or guessed == "image/gif")
        return guessed if fits and guessed else DEFAULT_MIME[kind]
    told = upload.content_type.split(";")[0].strip().lower()
    return guessed or (told if "/" in told and len(told) < 100 and told.isascii() else "application/octet-stream")


def _extension(name: str, mime: str) -> str:
    suffix = PurePosixPath(name).suffix.lower()
    plain = suffix.isascii() and suffix[1:].isalnum() and len(suffix) <= 8
    return suffix if plain else mimetypes.guess_extension(mime) or ""


def _number(value: Any) -> int:
    try:
        return max(0, int(float(value or 0)))
    except (TypeError, ValueError, OverflowError):
        return 0


def own_file(call: Call, kind: str) -> str:
    """Where the call's main file is: the part with the field's own name, or what the field says."""
    if kind in call.params.files:
        return kind
    value = call.params.text(kind).strip()
    if not value:
        raise bad_request(f"there is no {kind} in the request")
    return value


async def send_one(call: Call, kind: str) -> Json:
    chat = call.chat()
    caption = {} if kind == "sticker" else call.caption()
    given = dict(call.params.values)
    for name in ("thumbnail", "thumb", "cover"):
        if name in call.params.files:
            given[name] = f"attach://{name}"
    given["disable_content_type_detection"] = call.params.flag("disable_content_type_detection")
    markup_of(call)
    content = await media_content(call, kind, own_file(call, kind), given)
    if call.params.flag("has_spoiler") and kind in ("photo", "video", "animation"):
        content["has_media_spoiler"] = True
    return deliver(call, chat, {**content, **caption}).data


@method("sendPhoto")
async def send_photo(call: Call) -> Any:
    return await send_one(call, "photo")


@method("sendVideo")
async def send_video(call: Call) -> Any:
    return await send_one(call, "video")


@method("sendAnimation")
async def send_animation(call: Call) -> Any:
    return await send_one(call, "animation")


@method("sendDocument")
async def send_document(call: Call) -> Any:
    return await send_one(call, "document")


@method("sendAudio")
async def send_audio(call: Call) -> Any:
    return await send_one(call, "audio")


@method("sendVoice")
async def send_voice(call: Call) -> Any:
    return await send_one(call, "voice")


@method("sendSticker")
async def send_sticker(call: Call) -> Any:
    return await send_one(call, "sticker")


@method("sendMediaGroup")
async def send_media_group(call: Call) -> Any:
    chat = call.chat()
    items = call.params.object("media", "media")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise bad_request("can't parse media JSON object")
    if not 2 <= len(items) <= 10:
        raise bad_request("there must be 2-10 messages in an album" if items else "there are no messages to send")
    kinds = {str(item.get("type")) for item in items}
    if not kinds <= ALBUM_KINDS:
        raise bad_request("can't parse InputMedia: type of the media is invalid or can't be in an album")
    if len(kinds) > 1 and kinds != {"photo", "video"}:
        kind = "document" if "document" in kinds else "audio"
        raise bad_request(f"{kind} can't be mixed with other media types")
    contents = [await media_content(call, str(item["type"]), item.get("media"), item) for item in items]
    captions = [call.caption(item) for item in items]
    reply, options = reply_of(call, chat), options_of(call)
    call.sent(chat, len(items))
    group = str(call.telegram.world.random.randrange(10**16, 10**17))
    return [
        call.telegram.post(call.bot, chat, {"media_group_id": group, **reply, **options, **content, **caption}).data
        for content, caption in zip(contents, captions, strict=True)
    ]


@method("editMessageMedia")
async def edit_message_media(call: Call) -> Any:
    chat = call.chat()
    message = own_message(call, chat)
    item = call.params.object("media", "media")
    kind = item.get("type") if isinstance(item, dict) else None
    if kind not in ("photo", "video", "animation", "document", "audio"):
        raise bad_request("can't parse InputMedia: type must be specified")
    if "dice" in message.data or "invoice" in message.data or "sticker" in message.data:
        raise bad_request("message can't be edited")
    content = await media_content(call, kind, item.get("media"), item)
    return apply_edit(call, chat, message, {**content, **call.caption(item)}, drop=CONTENT)


@method("getFile")
async def get_file(call: Call) -> Any:
    file = call.telegram.files.get(call.bot.id, call.params.text("file_id"))
    if file is None:
        known = call.params.has("file_id")
        raise bad_request("wrong file_id or the file is temporarily unavailable" if known else "file_id not specified")
    if len(file.data) > DOWNLOAD_LIMIT:
        raise ApiError(400, "Bad Request: file is too big")
    return {**file.head, "file_path": file.path}
