"""What an answer of Kling means: its `data`, a task, or which `ProviderError`.

Facts: docs/reference/kling.md, sections 3, 4 and 8.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from urllib.parse import urlsplit

from services.base_provider import Blame, ErrorCode, Failure, ProviderError, TaskStatus, VideoTask
from services.providers.http import JSON, Answer, as_dict, as_list, retry_after

Scrub = Callable[[object], str]

UNIT_MICRO_USD = 140_000  # one video unit (docs/reference/kling.md, section 11)

_RISK = re.compile(r"risk control|sensitive|polic|moderat|safety|prohibit|violat|审核|风控|敏感", re.IGNORECASE)
_TAKEN = re.compile(
    r"already|duplicat|unique|已存在|重复|external.{0,20}id\b.{0,40}\b(exists|in use|(been|is) (used|taken|occupied))",
    re.IGNORECASE,
)
_PHOTO = re.compile(r"image|first_frame|picture|photo|base64", re.IGNORECASE)


@dataclass(frozen=True)
class _Verdict:
    code: ErrorCode
    failure: Failure
    blame: Blame
    wait: float | None = None


def _setup(code: ErrorCode) -> _Verdict:
    return _Verdict(code, Failure.PERMANENT, Blame.ADMIN)


# HTTP 429 means three different things here, so Kling's own code comes before the status
# (docs/reference/kling.md, section 8).
_CODES = {
    1000: _setup(ErrorCode.KEY_INVALID),
    1001: _setup(ErrorCode.KEY_INVALID),
    1002: _setup(ErrorCode.KEY_INVALID),
    1003: _setup(ErrorCode.KEY_INVALID),
    1004: _setup(ErrorCode.KEY_INVALID),
    1100: _setup(ErrorCode.ACCOUNT_AT_RISK),
    1101: _setup(ErrorCode.FUNDS),
    1102: _setup(ErrorCode.FUNDS),
    1103: _setup(ErrorCode.FORBIDDEN),
    1200: _Verdict(ErrorCode.BAD_REQUEST, Failure.PERMANENT, Blame.ADMIN),
    1201: _Verdict(ErrorCode.BAD_REQUEST, Failure.PERMANENT, Blame.ADMIN),
    1202: _setup(ErrorCode.MODEL_GONE),
    1203: _setup(ErrorCode.MODEL_GONE),
    1300: _Verdict(ErrorCode.PROMPT_BLOCKED, Failure.PERMANENT, Blame.USER),
    1301: _Verdict(ErrorCode.PROMPT_BLOCKED, Failure.PERMANENT, Blame.USER),
    1302: _Verdict(ErrorCode.RATE_LIMITED, Failure.TEMPORARY, Blame.PROVIDER),
    1303: _Verdict(ErrorCode.CONCURRENCY, Failure.TEMPORARY, Blame.PROVIDER, wait=1.0),
    1304: _setup(ErrorCode.LOCATION),
    5000: _Verdict(ErrorCode.INTERNAL, Failure.UNKNOWN, Blame.PROVIDER),
    5001: _Verdict(ErrorCode.MAINTENANCE, Failure.UNKNOWN, Blame.PROVIDER, wait=120.0),
    5002: _Verdict(ErrorCode.TIMEOUT, Failure.UNKNOWN, Blame.PROVIDER),
}

# A clear refusal with a code that the page does not list (docs/reference/kling.md, section 8).
_STATUSES = {
    401: _setup(ErrorCode.KEY_INVALID),
    402: _setup(ErrorCode.FUNDS),
    403: _setup(ErrorCode.FORBIDDEN),
    404: _setup(ErrorCode.MODEL_GONE),
    409: _Verdict(ErrorCode.DUPLICATE_TASK, Failure.UNKNOWN, Blame.PROVIDER),  # only an id of ours can be in conflict
    413: _Verdict(ErrorCode.TOO_LARGE, Failure.PERMANENT, Blame.ADMIN),
    429: _Verdict(ErrorCode.RATE_LIMITED, Failure.TEMPORARY, Blame.PROVIDER),
}


def read_envelope(answer: Answer, scrub: Scrub, in_doubt: Failure, *, with_photo: bool = False) -> JSON:
    """The `data` of a good answer; raises `ProviderError` for anything else.

    `in_doubt` is what an unclear failure means: unknown for a submit; temporary for a query, which can always be
    repeated (then every failure is temporary); permanent for a check, which reports what it finds.
    """
    try:
        body = as_dict(answer.json())
    except ValueError:
        body = {}
    code = _as_code(body.get("code"))
    if 200 <= answer.status < 300 and code in (0, None) and "data" in body:
        return body["data"]
    request_id = scrub(body.get("request_id"))[:64]
    error = read_error(answer, code, scrub(body.get("message")), with_photo=with_photo, request_id=request_id)
    if in_doubt is Failure.TEMPORARY or (in_doubt is Failure.PERMANENT and error.failure is Failure.UNKNOWN):
        error.failure = Failure.TEMPORARY
    raise error


def read_error(
    answer: Answer, code: int | None, message: str, *, with_photo: bool = False, request_id: str = ""
) -> ProviderError:
    """What an error answer to a submit means. `code` None: the body is not Kling's, so the outcome is unknown."""
    verdict = _CODES.get(code) if code else None
    if verdict is None and code and 400 <= answer.status < 500 and answer.status != 408:
        verdict = _STATUSES.get(answer.status, _CODES[1200])
    if verdict is None:
        late = answer.status in (408, 499, 504, 524)
        kind = ErrorCode.TIMEOUT if late else ErrorCode.NETWORK if answer.status >= 300 else ErrorCode.BAD_ANSWER
        verdict = _Verdict(kind, Failure.UNKNOWN, Blame.PROVIDER)
    if verdict.code is ErrorCode.BAD_REQUEST and _TAKEN.search(message):
        # The refusal proves that an earlier submit with this id arrived: its task has to be found.
        verdict = _Verdict(ErrorCode.DUPLICATE_TASK, Failure.UNKNOWN, Blame.PROVIDER)
    elif verdict.code is ErrorCode.BAD_REQUEST and with_photo and _PHOTO.search(message):
        verdict = _Verdict(ErrorCode.BAD_PHOTO, Failure.PERMANENT, Blame.USER)
    told = retry_after(answer.headers)
    return ProviderError(
        verdict.code,
        verdict.failure,
        verdict.blame,
        f"HTTP {answer.status} code {code}{request_id and f' (request {request_id})'}: {message or 'no message'}",
        retry_after=max(told or 0.0, verdict.wait or 0.0) or None,
    )


def read_task(data: JSON, scrub: Scrub) -> VideoTask | None:
    """One task object of an answer or a callback; None when it has no id."""
    body = as_dict(data)
    task_id = body.get("id")
    if not isinstance(task_id, str) or not re.fullmatch(r"[\x21-\x7e]{1,128}", task_id):
        return None
    external_id = body.get("external_id")
    message = scrub(body.get("message"))
    status = _status(body.get("status"))
    video = next((as_dict(one) for one in as_list(body.get("outputs")) if _is_video(one)), {})
    return VideoTask(
        id=task_id,
        status=status,
        external_id=external_id if isinstance(external_id, str) and external_id else None,
        message=message,
        url=video.get("url"),
        duration=_seconds(video.get("duration")),
        cost_micro_usd=_cost(as_list(body.get("billing"))),
        error_code=_failure_code(message) if status is TaskStatus.FAILED else None,
    )


def _status(value: JSON) -> TaskStatus:
    """An unknown word means that the task still runs; the older API writes `succeed`."""
    if value == "succeed":
        return TaskStatus.SUCCEEDED
    return TaskStatus(value) if isinstance(value, str) and value in list(TaskStatus) else TaskStatus.PROCESSING


def _failure_code(message: str) -> ErrorCode:
    return ErrorCode.PROMPT_BLOCKED if _RISK.search(message) else ErrorCode.GENERATION_FAILED


def _is_video(output: JSON) -> bool:
    body = as_dict(output)
    url = body.get("url")
    if body.get("type", "video") != "video" or not isinstance(url, str) or len(url) > 8192:
        return False
    try:
        return urlsplit(url).scheme in ("http", "https")
    except ValueError:
        return False


def _seconds(value: JSON) -> float | None:
    amount = _decimal(value)
    return float(amount) if amount is not None and amount < 86_400 else None


def _cost(billing: list[JSON]) -> int | None:
    """Micro-dollars of the task; None when nothing is billed yet, or in a currency that is not known here."""
    total = Decimal(0)
    for one in map(as_dict, billing):
        amount = _decimal(one.get("amount"))
        if amount is None or amount > 1_000_000:
            return None
        if one.get("charge_type") == "unit" and one.get("package_type", "video") == "video":
            total += amount * UNIT_MICRO_USD
        elif one.get("charge_type") == "cash" and one.get("currency") == "USD":
            total += amount * 1_000_000
        else:
            return None
    return math.ceil(total) if billing else None


def _decimal(value: JSON) -> Decimal | None:
    """A non-negative number written as a short decimal string or as a number."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        number = Decimal(str(value)[:32])
    except InvalidOperation:
        return None
    return number if number.is_finite() and number >= 0 else None


def _as_code(value: JSON) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,6}", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
