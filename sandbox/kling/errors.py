"""Refusals by service code (docs/reference/kling.md, section 8)."""

from __future__ import annotations

from typing import Any

HTTP = {
    1000: 401,
    1001: 401,
    1002: 401,
    1003: 401,
    1004: 401,
    1100: 429,
    1101: 429,
    1102: 429,
    1103: 403,
    1200: 400,
    1201: 400,
    1202: 404,
    1203: 404,
    1300: 400,
    1301: 400,
    1302: 429,
    1303: 429,
    1304: 429,
    5000: 500,
    5001: 503,
    5002: 504,
}
MESSAGES = {
    1000: "Authentication failed",
    1001: "Authorization is empty",
    1002: "api key not found",
    1003: "Authorization is not yet valid",
    1004: "Authorization has expired",
    1100: "Account exception",
    1101: "Account in arrears",
    1102: "Resource pack depleted or expired",
    1103: "Unauthorized access to requested resource",
    1200: "Invalid request parameters",
    1201: "Invalid parameters",
    1202: "The requested method is invalid",
    1203: "The requested resource does not exist",
    1300: "Trigger strategy of the platform",
    1301: "Trigger the content security policy of the platform",
    1302: "The API request is too fast",
    1303: "parallel task over resource pack limit",
    1304: "Trigger the IP whitelisting policy of the platform",
    5000: "Server internal error",
    5001: "Server temporarily unavailable",
    5002: "Server internal timeout",
}


class ApiError(Exception):
    """A refusal with its service code; the HTTP status follows from it."""

    def __init__(self, code: int, message: str | None = None) -> None:
        self.code = code
        self.status = HTTP[code]
        self.message = message or MESSAGES[code]
        super().__init__(self.message)

    def body(self, request_id: str) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, "request_id": request_id}


def invalid(message: str) -> ApiError:
    """400/1201 with a message that names the field."""
    return ApiError(1201, message)
