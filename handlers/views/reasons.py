"""Why a job failed or a payment was canceled: from codes of ours and of the providers to text ids."""

from __future__ import annotations

from typing import Final

FAILURES: Final = {
    "failure-prompt": ("prompt_blocked", "image_blocked"),
    "failure-copy": ("recitation",),
    "failure-language": ("language",),
    "failure-text-only": ("text_only",),
    "failure-complex": ("too_complex",),
    "failure-photo": ("bad_photo",),
    "failure-photo-gone": ("photo_gone",),
    "failure-busy": (
        "quota_minute",
        "spend_limit",
        "rate_limited",
        "concurrency",
        "overloaded",
        "internal",
        "maintenance",
        "network",
        "circuit_open",
    ),
    "failure-no-result": (
        "no_picture",
        "generation_failed",
        "bad_answer",
        "result_gone",
        "bad_result",
        "duplicate_task",
    ),
    "failure-timeout": ("timeout", "hold_timeout", "unknown_outcome"),
    "failure-ours": (
        "bad_request",
        "key_invalid",
        "forbidden",
        "location",
        "billing",
        "funds",
        "quota_day",
        "model_gone",
        "account_at_risk",
        "wrong_endpoint",
        "too_large",
        "storage",
        "interrupted",
    ),
    "failure-admin": ("refunded_by_admin",),
}
"""Text id → the error codes of jobs that it explains."""
FAILURE_OF: Final = {code: text for text, codes in FAILURES.items() for code in codes}
"""Error code of a job → text id."""

CANCEL_REASONS: Final = {
    "expired_on_confirmation": "cancel-reason-expired",
    "expired_on_capture": "cancel-reason-expired",
    "insufficient_funds": "cancel-reason-funds",
    "fraud_suspected": "cancel-reason-fraud",
    "3d_secure_failed": "cancel-reason-card",
    "call_issuer": "cancel-reason-card",
    "card_expired": "cancel-reason-card",
    "country_forbidden": "cancel-reason-card",
    "general_decline": "cancel-reason-card",
    "identification_required": "cancel-reason-card",
    "invalid_card_number": "cancel-reason-card",
    "invalid_csc": "cancel-reason-card",
    "issuer_unavailable": "cancel-reason-card",
    "payment_method_limit_exceeded": "cancel-reason-card",
    "payment_method_restricted": "cancel-reason-card",
}
"""Cancellation reason of YooKassa → text id."""
