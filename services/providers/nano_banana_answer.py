"""What an answer of the Gemini API means: an image and its cost, or which `ProviderError`.

Facts: docs/reference/gemini.md, sections 4-6, 9.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from database import clock
from services.base_provider import Blame, ErrorCode, Failure, ImageRequest, ImageResult, ProviderError, TokenRates
from services.providers.http import JSON, Answer, as_count, as_dict, as_list, retry_after, seconds

Scrub = Callable[[object], str]

_ANSWER_KEYS = ("candidates", "promptFeedback", "prompt_feedback", "usageMetadata", "usage_metadata", "modelVersion")
_DATA_URI = re.compile(r"data:(image/[a-z0-9.+-]+);base64,([A-Za-z0-9+/=\s]+)")
_IMAGE_LINK = re.compile(
    r"!\[[^\]]{0,300}\]\(\s*https?://|\]\(\s*https?://[^\s)]{1,2000}\.(png|jpe?g|webp)\b", re.IGNORECASE
)
_SPEND_PAUSE = 120.0


@dataclass(frozen=True)
class _Verdict:
    code: ErrorCode
    failure: Failure
    blame: Blame
    max_repeats: int | None = None


_BLOCKED = _Verdict(ErrorCode.PROMPT_BLOCKED, Failure.PERMANENT, Blame.USER)
_RECITED = _Verdict(ErrorCode.RECITATION, Failure.PERMANENT, Blame.USER)
_IN_WORDS = _Verdict(ErrorCode.TEXT_ONLY, Failure.PERMANENT, Blame.USER)
_IN_A_LINK = _Verdict(ErrorCode.TEXT_ONLY, Failure.PERMANENT, Blame.ADMIN)
_NO_ROOM = _Verdict(ErrorCode.TOO_COMPLEX, Failure.PERMANENT, Blame.USER)
_AT_RISK = _Verdict(ErrorCode.ACCOUNT_AT_RISK, Failure.PERMANENT, Blame.ADMIN)
# By Google's page these are not charged, so one more call costs nothing (docs/reference/gemini.md, section 5).
_GLITCH = _Verdict(ErrorCode.NO_IMAGE, Failure.TEMPORARY, Blame.PROVIDER, max_repeats=1)

# An answer without an image, by its finish reason (docs/reference/gemini.md, section 5); other reasons are a glitch.
_FINISHES = {
    "SAFETY": _BLOCKED,
    "PROHIBITED_CONTENT": _BLOCKED,
    "IMAGE_PROHIBITED_CONTENT": _BLOCKED,
    "BLOCKLIST": _BLOCKED,
    "SPII": _BLOCKED,
    "MODEL_ARMOR": _BLOCKED,
    "IMAGE_SAFETY": _Verdict(ErrorCode.IMAGE_BLOCKED, Failure.PERMANENT, Blame.USER),
    "RECITATION": _RECITED,
    "IMAGE_RECITATION": _RECITED,
    "LANGUAGE": _Verdict(ErrorCode.LANGUAGE, Failure.PERMANENT, Blame.USER),
    "NO_IMAGE": _IN_WORDS,
    "MAX_TOKENS": _NO_ROOM,
    "CONTINUATION": _NO_ROOM,
    "ESCALATION": _AT_RISK,
    "PUP_LIMITED_DISABLED": _AT_RISK,
}
# How Google and gateways say that the prepaid money is used up; Google used 429 for it before 402
# (docs/reference/gemini.md, section 6).
_FUNDS_USED_UP = (
    "prepayment credits", "prepaid credits", "insufficient credits",
    "insufficient_user_quota", "insufficient_quota", "insufficient balance",
)  # fmt: skip
_FINISHED_WELL = ("", "STOP", "FINISH_REASON_UNSPECIFIED")


@dataclass(frozen=True)
class _Parts:
    """The parts of an answer, sorted: final images, images of the thinking, texts, and whether there is a link."""

    images: list[tuple[str, str]]
    thought_images: list[tuple[str, str]]
    texts: list[str]
    has_link: bool


def read_image(answer: Answer, request: ImageRequest, scrub: Scrub) -> ImageResult:
    """The last image of a 2xx answer and its cost; raises `ProviderError` when there is none."""
    body = _json_object(answer, scrub, bool(request.photos))
    usage = as_dict(_either(body, "usageMetadata", "usage_metadata"))
    feedback = as_dict(_either(body, "promptFeedback", "prompt_feedback"))
    reason = _either(feedback, "blockReason", "block_reason")
    if reason:
        raise _refusal(_BLOCKED, f"blockReason {scrub(reason)}", usage, request.rates)
    candidates = as_list(body.get("candidates"))
    if not candidates:
        raise _refusal(_GLITCH, "no candidates and no reason", usage, request.rates)
    candidate = as_dict(candidates[0])
    parts = _sort_parts(candidate)
    finish = _either(candidate, "finishReason", "finish_reason")
    finish = "" if finish is None else finish.upper() if isinstance(finish, str) else "?"
    chosen = parts.images or parts.thought_images
    if finish in _FINISHED_WELL and chosen:
        mime, encoded = chosen[-1]
        response_id = _either(body, "responseId", "response_id")
        return ImageResult(
            data=_decode(encoded),
            mime=mime,
            cost_micro_usd=image_cost(usage, request.rates, images=len(chosen)),
            response_id=scrub(response_id) or None,
        )
    if finish in _FINISHED_WELL and parts.has_link:
        detail = "the gateway answers with links instead of pictures"
        raise ProviderError(ErrorCode.WRONG_ENDPOINT, Failure.PERMANENT, Blame.ADMIN, detail)
    verdict = _FINISHES.get(finish, _GLITCH)
    if finish in _FINISHED_WELL and parts.texts:
        verdict = _IN_A_LINK if any(map(_IMAGE_LINK.search, parts.texts)) else _IN_WORDS
    words = _either(candidate, "finishMessage", "finish_message") or " ".join(parts.texts)
    raise _refusal(verdict, f"{scrub(finish) or 'no finishReason'}: {scrub(words)}", usage, request.rates)


def image_cost(usage: dict[str, JSON], rates: TokenRates, *, images: int) -> int:
    """Micro-dollars of an answer with images; without a usable token count, the catalogue's price for each.

    The prices: docs/reference/gemini.md, section 9.
    """
    details = as_list(_either(usage, "candidatesTokensDetails", "candidates_tokens_details"))
    image = sum(
        as_count(_either(one, "tokenCount", "token_count"))
        for one in map(as_dict, details)
        if one.get("modality") == "IMAGE"
    )
    if image == 0:
        return images * rates.whole_image
    prompt, made, thoughts, _ = _counts(usage)
    return _micro(prompt * rates.prompt + image * rates.image + (max(made - image, 0) + thoughts) * rates.text)


def refusal_cost(usage: dict[str, JSON], rates: TokenRates) -> int:
    """Micro-dollars of an answer without an image: from the total, because refusals count the thinking twice."""
    prompt, _, _, total = _counts(usage)
    return _micro(prompt * rates.prompt + max(total - prompt, 0) * rates.text)


def read_error(answer: Answer, scrub: Scrub, *, with_photos: bool = False) -> ProviderError:
    """What an error answer means: by HTTP status, then by details and text (docs/reference/gemini.md, section 6)."""
    try:
        parsed = answer.json()
    except ValueError:
        parsed = None
    error = as_dict(as_dict(_unwrapped(parsed)).get("error"))
    return _ErrorReader(answer, error, scrub, with_photos, datetime.fromtimestamp(clock.now(), UTC)).verdict()


class _ErrorReader:
    """Reads one error answer."""

    def __init__(self, answer: Answer, error: dict[str, JSON], scrub: Scrub, with_photos: bool, now: datetime) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.error = error
        self.with_photos = with_photos
        self.now = now
        self.details = [as_dict(one) for one in as_list(error.get("details"))]
        # The whole text is searched, because the important words are often at its end; only a short piece is logged.
        self.words = " ".join(
            str(part)
            for part in (error.get("message"), error.get("status"), error.get("type"), error.get("code"))
            if isinstance(part, (str, int))
        ).lower()
        self.reasons = {one["reason"] for one in self.details if isinstance(one.get("reason"), str)}
        self.label = f"HTTP {self.status} {scrub(error.get('status'))}: {scrub(error.get('message')) or 'no message'}"

    def verdict(self) -> ProviderError:
        if 300 <= self.status < 400 or (self.status in (404, 405) and not self.error):
            return self._admin_fault(ErrorCode.WRONG_ENDPOINT)
        if self.status >= 500 or self.status in (408, 499):
            return self._server_fault()
        if self.status == 402 or self._says(*_FUNDS_USED_UP):
            return self._admin_fault(ErrorCode.FUNDS)
        if self.status == 429:
            return self._quota()
        if self.status == 400:
            return self._bad_request()
        known = {
            401: ErrorCode.KEY_INVALID,
            403: ErrorCode.FORBIDDEN,
            404: ErrorCode.MODEL_GONE,
        }.get(self.status)
        if known is not None:
            return self._admin_fault(known)
        if self.status == 413:
            return self._admin_fault(ErrorCode.TOO_LARGE)
        return self._admin_fault(ErrorCode.BAD_REQUEST)

    def _bad_request(self) -> ProviderError:
        if "API_KEY_INVALID" in self.reasons or self._says("api key not valid", "api key expired", "invalid api key"):
            return self._admin_fault(ErrorCode.KEY_INVALID)
        if self._says("location is not supported"):
            return self._admin_fault(ErrorCode.LOCATION)
        if self.error.get("status") == "FAILED_PRECONDITION":
            return self._admin_fault(ErrorCode.BILLING)
        if self._says("content_policy", "content policy", "prohibited_content"):
            return ProviderError(ErrorCode.PROMPT_BLOCKED, Failure.PERMANENT, Blame.USER, self.label)
        if self.with_photos and self._says("input image", "mime type", "process image", "unsupported image"):
            return ProviderError(ErrorCode.BAD_PHOTO, Failure.PERMANENT, Blame.USER, self.label)
        return self._admin_fault(ErrorCode.BAD_REQUEST)

    def _quota(self) -> ProviderError:
        violations = [as_dict(one) for detail in self.details for one in as_list(detail.get("violations"))]
        quotas = " ".join(str(one["quotaId"]) for one in violations if isinstance(one.get("quotaId"), str))
        if "FreeTier" in quotas or re.search(r"limit: 0\b", self.words):
            return self._admin_fault(ErrorCode.BILLING)
        if "PerDay" in quotas:
            # The provider's own delay is wrong here: the day ends at midnight in California
            # (docs/reference/gemini.md, section 6).
            return self._admin_fault(ErrorCode.QUOTA_DAY, wait=seconds_to_pacific_midnight(self.now))
        if "PerMinute" in quotas:
            return self._temporary(ErrorCode.QUOTA_MINUTE, Blame.ADMIN, self._delay())
        if self._says("spend", "spending"):
            return self._temporary(ErrorCode.SPEND_LIMIT, Blame.ADMIN, max(self._delay() or 0, _SPEND_PAUSE))
        return self._temporary(ErrorCode.RATE_LIMITED, Blame.PROVIDER, self._delay())

    def _server_fault(self) -> ProviderError:
        if self.status == 500:
            return self._temporary(ErrorCode.INTERNAL, Blame.PROVIDER, None)
        if self.status == 503:
            return self._temporary(ErrorCode.OVERLOADED, Blame.PROVIDER, self._delay())
        if self.status == 502:
            return self._temporary(ErrorCode.NETWORK, Blame.PROVIDER, self._delay())
        # A timeout, at Google or behind a gateway: the image may be made and billed all the same.
        code = ErrorCode.TIMEOUT if self.status in (408, 499, 504, 524) else ErrorCode.NETWORK
        return ProviderError(code, Failure.UNKNOWN, Blame.PROVIDER, self.label)

    def _delay(self) -> float | None:
        for detail in self.details:
            if (told := seconds(detail.get("retryDelay"))) is not None:
                return told
        if match := re.search(r"retry in (\d{1,9}(?:\.\d{1,9})?)\s?s\b", self.words, re.ASCII):
            return seconds(match[1])
        return retry_after(self.headers)

    def _says(self, *phrases: str) -> bool:
        return any(phrase in self.words for phrase in phrases)

    def _admin_fault(self, code: ErrorCode, *, wait: float | None = None) -> ProviderError:
        return ProviderError(code, Failure.PERMANENT, Blame.ADMIN, self.label, retry_after=wait)

    def _temporary(self, code: ErrorCode, blame: Blame, wait: float | None) -> ProviderError:
        return ProviderError(code, Failure.TEMPORARY, blame, self.label, retry_after=wait)


def seconds_to_pacific_midnight(now: datetime) -> float:
    """Seconds until the daily quota starts again (docs/reference/gemini.md, section 8); `now` has a time zone."""
    try:
        pacific: tzinfo = ZoneInfo("America/Los_Angeles")
    except ZoneInfoNotFoundError:  # a system without time zone data: in summer this is an hour late
        pacific = timezone(timedelta(hours=-8))
    local = now.astimezone(pacific)
    midnight = (local + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight.astimezone(UTC) - now).total_seconds()


def _json_object(answer: Answer, scrub: Scrub, with_photos: bool) -> dict[str, JSON]:
    """The object of a 2xx answer. A broken one is unknown (the image was made), another form means a wrong address."""
    try:
        body = _unwrapped(answer.json())
    except ValueError as broken:
        raise ProviderError(ErrorCode.BAD_ANSWER, Failure.UNKNOWN, Blame.PROVIDER, str(broken)) from None
    if isinstance(body, dict) and any(key in body for key in _ANSWER_KEYS):
        return body
    error = as_dict(as_dict(body).get("error"))
    status = as_count(error.get("code")) or as_count(as_dict(body).get("status_code"))
    if error and 400 <= status < 600:
        raise read_error(Answer(status, answer.headers, answer.body), scrub, with_photos=with_photos)
    raise ProviderError(
        ErrorCode.WRONG_ENDPOINT,
        Failure.PERMANENT,
        Blame.ADMIN,
        f"HTTP {answer.status} without any field of the Gemini API: {scrub(error.get('message'))}",
    )


def _unwrapped(body: JSON) -> JSON:
    """Google sometimes puts the whole answer into a one-element array."""
    return body[0] if isinstance(body, list) and len(body) == 1 else body


def _either(body: dict[str, JSON], camel: str, snake: str) -> JSON:
    """Google writes camelCase, some gateways snake_case."""
    value = body.get(camel)
    return value if value is not None else body.get(snake)


def _sort_parts(candidate: dict[str, JSON]) -> _Parts:
    found = _Parts([], [], [], False)
    has_link = False
    for part in map(as_dict, as_list(as_dict(candidate.get("content")).get("parts"))):
        thought = part.get("thought") is True
        inline = as_dict(_either(part, "inlineData", "inline_data"))
        mime, data = _either(inline, "mimeType", "mime_type"), inline.get("data")
        if isinstance(data, str) and data and isinstance(mime, str) and re.fullmatch(r"image/[\w.+-]{1,40}", mime):
            (found.thought_images if thought else found.images).append((mime, data))
        text = part.get("text")
        if isinstance(text, str) and text.strip() and not thought:
            if match := _DATA_URI.search(text):  # some gateways send the image like this
                found.images.append((match[1], match[2]))
            else:
                found.texts.append(text)
        has_link = has_link or bool(_either(part, "fileData", "file_data"))
    return _Parts(found.images, found.thought_images, found.texts, has_link)


def _decode(encoded: str) -> bytes:
    try:
        data = base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not data:
        # The image was made and surely billed; only the answer is broken.
        raise ProviderError(ErrorCode.BAD_ANSWER, Failure.UNKNOWN, Blame.PROVIDER, "the picture's base64 is broken")
    return data


def _refusal(verdict: _Verdict, detail: str, usage: dict[str, JSON], rates: TokenRates) -> ProviderError:
    return ProviderError(
        verdict.code,
        verdict.failure,
        verdict.blame,
        detail,
        max_repeats=verdict.max_repeats,
        cost_micro_usd=refusal_cost(usage, rates),
    )


def _counts(usage: dict[str, JSON]) -> tuple[int, int, int, int]:
    """Tokens of the prompt, of the answer, of the thinking, and in total."""
    return (
        as_count(_either(usage, "promptTokenCount", "prompt_token_count")),
        as_count(_either(usage, "candidatesTokenCount", "candidates_token_count")),
        as_count(_either(usage, "thoughtsTokenCount", "thoughts_token_count")),
        as_count(_either(usage, "totalTokenCount", "total_token_count")),
    )


def _micro(nano: int) -> int:
    return -(-nano // 1000)
