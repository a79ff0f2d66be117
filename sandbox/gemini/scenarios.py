"""Names of every scenario and the refusals among them (docs/reference/gemini.md, sections 6 and 13)."""

from __future__ import annotations

from collections.abc import Callable

from sandbox.gemini import errors
from sandbox.gemini.errors import ApiError
from sandbox.scenario import Scenario

PICTURES = frozenset(
    {
        "ok",
        "ok_text_before",
        "ok_text_after",
        "ok_thought_parts",
        "ok_multi_drafts",
        "ok_png",
        "snake_case",
        "usage_missing",
        "parts_null",
        "content_missing",
        "candidates_empty",
        "candidates_missing",
        "prompt_block",
        "finish",
        "text_only_stop",
        "image_with_block_reason",
        "thought_only",
        "data_uri_text",
        "markdown_text",
        "broken_image",
        "wrong_mime",
    }
)
WIRE = frozenset(
    {"slow", "hang", "reset_before_headers", "reset_mid_body", "truncated_json", "empty_body", "not_gemini"}
)
WRAPPED = frozenset({"array_wrapped_error", "gateway_error_wrap"})
HTML_502 = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
NO_CREDITS = (
    "Your prepayment credits are depleted. Please go to AI Studio at "
    "https://ai.studio/projects to manage your project and billing."
)

Maker = Callable[[str, Scenario], ApiError]
REFUSALS: dict[str, Maker] = {
    "400_field": lambda model, s: errors.bad_field(
        f'Invalid JSON payload received. Unknown name "{s.value or "outputMimeType"}" at '
        "'generation_config.image_config': Cannot find field.",
        "generation_config.image_config",
    ),
    "400_key": lambda model, s: errors.bad_key(),
    "400_location": lambda model, s: ApiError(
        400, "User location is not supported for the API use.", status="FAILED_PRECONDITION"
    ),
    "400_billing": lambda model, s: ApiError(
        400,
        "Gemini API free tier is not available in your country. Please enable billing on your project.",
        status="FAILED_PRECONDITION",
    ),
    "400_image": lambda model, s: ApiError(
        400,
        "Unable to process input image. Please retry or report in https://developers.generativeai.google/guide/troubleshooting",
    ),
    "400_signature": lambda model, s: ApiError(400, "Request contains an invalid thought signature."),
    "401_aq": lambda model, s: errors.bad_token(),
    "402": lambda model, s: ApiError(402, NO_CREDITS),
    "403": lambda model, s: ApiError(403, "Your API key was reported as leaked. Please use another API key."),
    "404": lambda model, s: errors.no_model(model, "v1beta", "generateContent"),
    "408": lambda model, s: ApiError(408, "Request timed out.", status="DEADLINE_EXCEEDED"),
    "413": lambda model, s: ApiError(413, "Request payload size exceeds the limit: 20971520 bytes."),
    "429_minute": lambda model, s: errors.quota(model, "PerMinute", s.number(21)),
    "429_day": lambda model, s: errors.quota(model, "PerDay", s.number(33)),
    "429_free_zero": lambda model, s: errors.quota(model, "PerDay", s.number(21), free=True),
    "429_spend": lambda model, s: ApiError(
        429, "Your project has exceeded its spend limit for the last 10 minutes. Please retry later."
    ),
    "429_plain": lambda model, s: ApiError(429, "Resource has been exhausted (e.g. check quota)."),
    "429_credits": lambda model, s: ApiError(429, NO_CREDITS),  # the form of this error before the 402 existed
    "499": lambda model, s: ApiError(499, "The operation was cancelled."),
    "500": lambda model, s: ApiError(
        500,
        "An internal error has occurred. Please retry or report in "
        "https://developers.generativeai.google/guide/troubleshooting",
    ),
    "503_overloaded": lambda model, s: ApiError(503, "The model is overloaded. Please try again later."),
    "503_demand": lambda model, s: ApiError(
        503,
        "This model is currently experiencing high demand. Spikes in demand are "
        "usually temporary. Please try again later.",
    ),
    "504": lambda model, s: ApiError(504, "Deadline expired before operation could complete."),
}
NAMES = PICTURES | WIRE | WRAPPED | frozenset(REFUSALS) | {"502_html"}
GATEWAY_CODES = {
    400: "invalid_request",
    401: "invalid_api_key",
    402: "insufficient_user_quota",
    429: "rate_limit_exceeded",
}


def refusal(chosen: dict[str, Scenario], model: str) -> ApiError | None:
    """The refusal among the chosen scenarios, if there is one."""
    return next((REFUSALS[name](model, scenario) for name, scenario in chosen.items() if name in REFUSALS), None)


def wrapped(chosen: dict[str, Scenario], model: str) -> tuple[int, object] | None:
    """Status and body of an error in another format; `=name` chooses the error inside, 503 or 402 by default."""
    for name in WRAPPED & chosen.keys():
        inner = chosen[name].value or ("503_overloaded" if name == "array_wrapped_error" else "402")
        error = REFUSALS.get(inner, REFUSALS["500"])(model, Scenario(inner))
        if name == "array_wrapped_error":
            return error.code, [error.body()]
        return error.code, {
            "error": {
                "message": error.message,
                "type": "upstream_error",
                "code": GATEWAY_CODES.get(error.code, "bad_response_status_code"),
            }
        }
    return None
