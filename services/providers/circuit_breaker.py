"""The circuit breaker: a provider's model that keeps failing is not called for a while.

An **open** circuit blocks calls and a **closed** one lets them pass. It has no state of its own: it is computed from
the newest rows of calls (docs/decisions/0011-the-breaker-is-read-from-the-calls.md).
"""

from __future__ import annotations

from collections.abc import Sequence

from database.models import CallOutcome, RecentCall
from services.base_provider import Blame, ErrorCode, Failure, ProviderError

# An admin must act before a call can succeed: the first one of these stops all calls.
STOPPING = frozenset(
    {
        ErrorCode.KEY_INVALID,
        ErrorCode.FORBIDDEN,
        ErrorCode.LOCATION,
        ErrorCode.BILLING,
        ErrorCode.FUNDS,
        ErrorCode.QUOTA_DAY,
        ErrorCode.MODEL_GONE,
        ErrorCode.ACCOUNT_AT_RISK,
        ErrorCode.WRONG_ENDPOINT,
    }
)
OUTAGES = frozenset(
    {
        ErrorCode.OVERLOADED,
        ErrorCode.INTERNAL,
        ErrorCode.MAINTENANCE,
        ErrorCode.NETWORK,
        ErrorCode.TIMEOUT,
        ErrorCode.BAD_ANSWER,
    }
)
# These codes say "later" or nothing at all: they show neither that the provider works nor that it fails.
_SAY_NOTHING = frozenset(
    {
        ErrorCode.QUOTA_MINUTE.value,
        ErrorCode.SPEND_LIMIT.value,
        ErrorCode.RATE_LIMITED.value,
        ErrorCode.CONCURRENCY.value,
        ErrorCode.NO_IMAGE.value,
        ErrorCode.DUPLICATE_TASK.value,
        "never_arrived",
    }
)
OUTAGES_IN_A_ROW = 5
OUTAGE_PAUSE = 60.0
ADMIN_PAUSE = 300.0
TRIAL_PAUSE = 5.0


def open_circuit(calls: Sequence[RecentCall], now_ms: int) -> ProviderError | None:
    """Why the provider's model may not be called now, by its newest calls (newest first); None: it may be called.

    It is not called after `OUTAGES_IN_A_ROW` outages (temporary, circuit_open), and after one fault that an admin must
    correct (permanent, with the code of that fault). After the pause one call at a time is a trial, until one succeeds
    or is refused for another reason.
    """
    trial_runs, outages, last, stopped = False, 0, None, False
    for call in calls:
        if call.outcome is None:
            trial_runs = trial_runs or (last is None and bool(call.is_running))
        elif call.outcome is CallOutcome.OK:
            break
        elif call.code in STOPPING:
            last, stopped = last or call, True
            break
        elif call.code in OUTAGES:
            last, outages = last or call, outages + 1
        elif call.code not in _SAY_NOTHING:
            break  # another refusal is an answer: the provider works
    if last is None or not (stopped or outages >= OUTAGES_IN_A_ROW):
        return None
    fault = ErrorCode(last.code or "")
    pause = ADMIN_PAUSE if fault in STOPPING else OUTAGE_PAUSE
    left = pause - (now_ms - (last.ended_at or last.started_at)) / 1000
    if 0 < left <= pause:  # more than the whole pause was written under a wrong clock
        detail = f"not asked for {left:.0f} s more after {fault}"
        if fault in STOPPING:
            return ProviderError(fault, Failure.PERMANENT, Blame.ADMIN, detail, retry_after=left)
        return ProviderError(ErrorCode.CIRCUIT_OPEN, Failure.TEMPORARY, Blame.PROVIDER, detail, retry_after=left)
    if trial_runs:
        detail = f"one call tries whether {fault} is over"
        return ProviderError(ErrorCode.CIRCUIT_OPEN, Failure.TEMPORARY, Blame.PROVIDER, detail, retry_after=TRIAL_PAUSE)
    return None
