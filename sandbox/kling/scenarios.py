"""Names of every scenario: what goes wrong at the create call, and what goes wrong later.

Facts: docs/reference/kling.md, section 14.
"""

from __future__ import annotations

from sandbox.kling.errors import HTTP

# The call fails: before anything exists, or after the task was made.
BEFORE = frozenset({"drop_before", "hang_before", "html_502", *(str(code) for code in HTTP)})
AFTER = frozenset(
    {"drop_after", "504_after", "500_after", "html_502_after", "empty_2xx", "no_id_2xx", "hang_after", "reset_mid_body"}
)
LIFE = frozenset(
    {
        "slow_create",
        "slow",
        "stuck",
        "late_moderation",
        "fail",
        "lookup_lag",
        "get_500",
        "expired_url",
        "callbacks",
        "unknown_status",
        "no_outputs",
        "cut_clip",
        "broken_clip",
        "clip_404",
        "clip_html",
    }
)
NAMES = BEFORE | AFTER | LIFE
RISK_CONTROL = "Failure to pass the risk control system"
