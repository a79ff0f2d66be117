"""All settings, checked once at the start.

A setting is an environment variable; the file `.env` is read for what the environment does not have. A frozen
`Settings` is passed down from the entry points, so no other module reads the environment (except `database/`, which
needs only `DATABASE_URL` and must work without the rest).

Each field's description is the sentence that is printed when the value is missing or wrong, so it says what to do.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import importlib.util
import os
import re
import sys
from collections.abc import Mapping
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from dotenv.parser import Original, parse_stream
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

Network = IPv4Network | IPv6Network

YOOKASSA_SENDERS = (
    "185.71.76.0/27, 185.71.77.0/27, 77.75.153.0/25, 77.75.156.11/32, 77.75.156.35/32, 77.75.154.128/25, 2a02:5180::/32"
)
"""The addresses from which YooKassa sends notifications (docs/reference/yookassa.md, section 9)."""


class SettingsError(Exception):
    """The settings cannot be used. `faults` holds one sentence for each thing to correct; none shows a secret."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def _split(value: object) -> object:
    """A comma-separated text as a list; other values are returned unchanged."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def _url(*, secure_unless_local: bool = False, query: bool = False) -> AfterValidator:
    """Check an http(s) address; a slash at its end is removed, so that paths can be appended."""

    def check(value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.fragment or (parts.query and not query):
            raise ValueError("not such an address")
        if any(character.isspace() or ord(character) < 32 for character in value):
            raise ValueError("white space inside")
        _ = parts.port  # raises ValueError when the port is no number or out of range
        if secure_unless_local and parts.scheme != "https" and parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
            raise ValueError("must be https")
        return value.rstrip("/")

    return AfterValidator(check)


def _database_url(value: str) -> str:
    scheme = value.partition("://")[0]
    parts = urlsplit(value)
    if scheme == "sqlite" and value.startswith("sqlite:///") and len(value) > len("sqlite:///"):
        return value
    if scheme in {"postgresql", "postgres"} and parts.hostname and parts.path.strip("/"):
        return value
    raise ValueError("not such an address")


def _redis_url(value: str) -> str:
    from redis import ConnectionPool, RedisError

    parts = urlsplit(value)
    local = parts.scheme == "unix" and parts.path.startswith("/")
    served = parts.scheme in {"redis", "rediss"} and parts.hostname and re.fullmatch("/?|/[0-9]+", parts.path)
    if not (local or served):
        raise ValueError("not such an address")
    try:
        ConnectionPool.from_url(value).make_connection()  # not opened; an unknown option is a TypeError
    except (TypeError, RedisError) as error:
        raise ValueError("not such an address") from error
    return value


def _proxy(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https", "socks5", "socks5h"} or not parts.hostname:
        raise ValueError("not such an address")
    if parts.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise ValueError("needs the package socksio")
    _ = parts.port
    return value


def _assets_url(value: str) -> str:
    scheme, mark, rest = value.partition("://")
    if mark and (scheme != "s3" or not rest.split("/")[0]):
        raise ValueError("not such an address")
    return value


def _existing_file(value: Path) -> Path:
    if not os.path.isfile(value):  # `Path.is_file` raises when a folder may not be read
        raise ValueError("no such file")
    return value


def _secret(form: str) -> AfterValidator:
    """Check a secret against a regular expression (pydantic's own `pattern` works only for plain texts)."""

    def check(value: SecretStr) -> SecretStr:
        if not re.fullmatch(form, value.get_secret_value()):
            raise ValueError("not of this form")
        return value

    return AfterValidator(check)


def _standard_webhook_secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text.startswith("whsec_") or not base64.b64decode(text.removeprefix("whsec_"), validate=True):
        raise ValueError("not of this form")
    return value


# A key with a space, a line break or a Cyrillic letter was copied wrong, and a header can't hold it.
Key = Annotated[SecretStr, _secret(r"[!-~]+")]
# The token is a part of every Telegram address, so it can't hold characters that end a path.
BotToken = Annotated[SecretStr, _secret(r"[0-9]{1,20}:(?:(?![/?#])[!-~])+")]
TelegramSecret = Annotated[SecretStr, _secret(r"[A-Za-z0-9_-]{1,256}")]
Proxy = Annotated[str, AfterValidator(_proxy)]
HttpUrl = Annotated[str, _url()]
Networks = Annotated[
    tuple[Network, ...], BeforeValidator(lambda value: _networks(value) if isinstance(value, str) else value)
]
AdminIds = Annotated[frozenset[Annotated[int, Field(gt=0)]], BeforeValidator(_split)]
UpperText = BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value)


class Settings(BaseModel):
    """The settings, checked and immutable. A field has the name of its variable, in lower case."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=str.upper,
        validate_by_name=True,
        validate_by_alias=True,
        hide_input_in_errors=True,
        str_strip_whitespace=True,
    )

    bot_token: BotToken = Field(description="put the token @BotFather gave you here, as 123456:AbC-dEf")
    admin_ids: AdminIds = Field(
        default=frozenset(), description="give the administrators' Telegram ids as numbers with commas between them"
    )

    telegram_api_url: HttpUrl = Field(
        default="https://api.telegram.org", description="give the Bot API server as http(s)://host[:port]"
    )
    telegram_mode: Literal["polling", "webhook"] = Field(default="polling", description="use polling or webhook")
    telegram_webhook_secret: TelegramSecret | None = Field(
        default=None, description="use 1 to 256 of A-Z, a-z, 0-9, _ and -, or leave it empty to have one made"
    )

    database_url: Annotated[str, AfterValidator(_database_url)] = Field(
        default="sqlite:///data/bot.db",
        repr=False,
        description="use sqlite:///path/to/file",
    )
    redis_url: Annotated[str, AfterValidator(_redis_url)] | None = Field(
        default=None,
        repr=False,
        description="use redis://host:6379, rediss://host:6379 or unix:///path, or leave it empty",
    )

    max_active_jobs_per_user: int = Field(default=3, ge=1, le=100, description="give a number from 1 to 100")
    rate_limit_per_minute: int = Field(default=10, ge=1, le=10_000, description="give a number from 1 to 10000")
    provider_spend_per_day: Annotated[Decimal, Field(ge=0, le=1_000_000)] | None = Field(
        default=None, description="give dollars, such as 50 or 12.50, or leave it empty for no limit"
    )

    http_host: str = Field(
        default="0.0.0.0",  # noqa: S104 (a container is reached from outside; the contract fixes this default)
        pattern=r"^[0-9A-Za-z.:_-]{1,255}$",
        description="give an address to listen on, such as 127.0.0.1",
    )
    http_port: int = Field(default=8080, ge=0, le=65535, description="give a port from 1 to 65535 (0: any free one)")
    public_url: Annotated[str, _url(secure_unless_local=True)] | None = Field(
        default=None, description="give the address the world reaches the bot at, as https://host, or leave it empty"
    )
    trusted_proxies: Networks = Field(
        default=(), description="give addresses or networks with commas between them, such as 10.0.0.0/8"
    )

    yookassa_shop_id: str | None = Field(
        default=None, pattern=r"^\d{1,20}$", description="give the shop's number from the YooKassa cabinet"
    )
    yookassa_secret_key: Key | None = Field(
        default=None, description="give the secret key from the YooKassa cabinet (Integration, API keys)"
    )
    yookassa_api_url: HttpUrl = Field(default="https://api.yookassa.ru/v3", description="give an http(s) address")
    yookassa_return_url: Annotated[str, _url(query=True)] | None = Field(
        default=None, description="give an http(s) address to come back to after paying, or leave it empty"
    )
    yookassa_webhook_cidrs: Networks = Field(
        default=_networks(YOOKASSA_SENDERS), description="give networks with commas between them, or leave it empty"
    )
    yookassa_receipts: Literal["off", "on"] = Field(default="off", description="use off or on")
    yookassa_vat_code: int = Field(default=1, ge=1, le=12, description="give YooKassa's code of the VAT rate, 1 to 12")
    yookassa_tax_system_code: Annotated[int, Field(ge=1, le=6)] | None = Field(
        default=None, description="give YooKassa's code of the tax system, 1 to 6, or leave it empty"
    )
    yookassa_payment_subject: str = Field(
        default="service", pattern=r"^[a-z_]{1,64}$", description="give a payment_subject of YooKassa, such as service"
    )
    yookassa_payment_mode: Literal[
        "full_prepayment",
        "partial_prepayment",
        "advance",
        "full_payment",
        "partial_payment",
        "credit",
        "credit_payment",
    ] = Field(default="full_payment", description="give a payment_mode of YooKassa, such as full_payment")

    gemini_api_key: Key | None = Field(default=None, description="give the key from Google AI Studio or your gateway")
    gemini_base_url: HttpUrl = Field(
        default="https://generativelanguage.googleapis.com", description="give the server as https://host"
    )
    gemini_auth_style: Literal["x-goog-api-key", "bearer"] = Field(
        default="x-goog-api-key", description="use x-goog-api-key (Google) or bearer (gateways)"
    )
    gemini_proxy: Proxy | None = Field(
        default=None,
        repr=False,
        description="give http://host:port (socks5:// needs `pip install socksio`), or leave it empty",
    )

    kling_api_key: Key | None = Field(default=None, description="give the API key from the Kling console")
    kling_base_url: HttpUrl = Field(
        default="https://api-singapore.klingai.com", description="give the server as https://host"
    )
    kling_proxy: Proxy | None = Field(
        default=None,
        repr=False,
        description="give http://host:port (socks5:// needs `pip install socksio`), or leave it empty",
    )
    kling_webhook_secret: Annotated[SecretStr, AfterValidator(_standard_webhook_secret)] | None = Field(
        default=None, description="give the secret from the Kling console, as whsec_ and Base64, or leave it empty"
    )

    assets_url: Annotated[str, AfterValidator(_assets_url)] = Field(
        default="data/assets", min_length=1, description="give a folder"
    )
    assets_ttl_days: int = Field(default=30, ge=1, le=3650, description="give a number of days from 1 to 3650")
    catalogue_path: Annotated[Path, AfterValidator(_existing_file)] | None = Field(
        default=None, description="name a file that exists, or leave it empty for the catalogue shipped"
    )

    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], UpperText] = Field(
        default="INFO", description="use DEBUG, INFO, WARNING, ERROR or CRITICAL"
    )
    log_format: Literal["text", "json"] = Field(default="text", description="use text or json")

    @property
    def yookassa_enabled(self) -> bool:
        """True when top-ups by card are possible."""
        return self.yookassa_shop_id is not None and self.yookassa_secret_key is not None

    @property
    def spend_per_day_micro_usd(self) -> int | None:
        """Micro-dollars that providers may cost in a day; None for no limit."""
        return None if self.provider_spend_per_day is None else int(self.provider_spend_per_day * 1_000_000)

    @property
    def gemini_enabled(self) -> bool:
        """True when images can be made."""
        return self.gemini_api_key is not None

    @property
    def kling_enabled(self) -> bool:
        """True when videos can be made."""
        return self.kling_api_key is not None

    @property
    def telegram_webhook_token(self) -> str:
        """The secret that Telegram sends with each update: the setting, else one derived from the bot's token.

        It is derived, not random, so that several bot processes behind one address have the same one.
        """
        if self.telegram_webhook_secret is not None:
            return self.telegram_webhook_secret.get_secret_value()
        token = self.bot_token.get_secret_value().encode()
        return hmac.new(token, b"telegram webhook secret", hashlib.sha256).hexdigest()

    def secret_values(self) -> frozenset[str]:
        """Every text that must never be in a log: keys, tokens and the passwords in addresses."""
        texts = {value.get_secret_value() for _, value in self if isinstance(value, SecretStr)}
        texts.add(self.bot_token.get_secret_value().partition(":")[2])
        texts.add(self.telegram_webhook_token)
        for address in (self.database_url, self.redis_url, self.gemini_proxy, self.kling_proxy):
            password = urlsplit(address or "").password
            texts.update({password, unquote(password)} if password else set())
        if self.yookassa_secret_key is not None:
            pair = f"{self.yookassa_shop_id or ''}:{self.yookassa_secret_key.get_secret_value()}"
            texts.add(base64.b64encode(pair.encode()).decode())
        return frozenset(texts - {""})


NO_TOKEN = "0:no-token-is-needed-here"  # noqa: S105 - the opposite of a secret
"""Used in place of BOT_TOKEN by commands that only open the database; no Bot API server accepts it."""


def load_settings(
    env_file: Path | None = Path(".env"), environ: Mapping[str, str] | None = None, *, needs_token: bool = True
) -> Settings:
    """Read the settings from `environ` (None: the process's own) and, for what is not there, from `env_file`.

    An empty value counts as not set. Other variables are ignored. Without `needs_token` a missing BOT_TOKEN is no
    fault; a malformed one is.

    Raises:
        SettingsError: with all faults at once.
    """
    values: dict[str, str] = {}
    for source in (_read_file(env_file), os.environ if environ is None else environ):
        values.update({name: text for name in SETTING_NAMES if (text := source.get(name)) and text.strip()})
    if not needs_token:
        values.setdefault("BOT_TOKEN", NO_TOKEN)
    faults = _combination_faults(values)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_field_faults(error) + faults) from None
    if faults:
        raise SettingsError(faults)
    return settings


SETTING_NAMES: tuple[str, ...] = tuple(name.upper() for name in Settings.model_fields)
"""The names of all variables, in the order of the fields."""


def feature_notes(settings: Settings) -> list[str]:
    """A sentence for each feature that is off because its setting is empty."""
    notes = {
        "No YOOKASSA_SHOP_ID: top-up by card is off.": settings.yookassa_enabled,
        "No GEMINI_API_KEY: pictures are off.": settings.gemini_enabled,
        "No KLING_API_KEY: clips are off.": settings.kling_enabled,
        "No REDIS_URL: generations run inside the bot process.": settings.redis_url,
        "No PUBLIC_URL: webhooks are off, payments and clips are found by asking for them.": settings.public_url,
        "No ADMIN_IDS: nobody can use the administrator's commands.": settings.admin_ids,
    }
    sentences = [sentence for sentence, is_on in notes.items() if not is_on]
    if settings.public_url and settings.kling_enabled and settings.kling_webhook_secret is None:
        sentences.append("No KLING_WEBHOOK_SECRET: Kling's callbacks are taken as hints without proof.")
    return sentences


def settings_or_exit(*, needs_token: bool = True) -> Settings:
    """The settings. If they are faulty, print each fault on a line of its own and exit with status 2."""
    try:
        return load_settings(needs_token=needs_token)
    except SettingsError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        raise SystemExit(2) from None


def _read_file(env_file: Path | None) -> Mapping[str, str | None]:
    if env_file is None or not env_file.is_file():
        return {}
    try:
        with env_file.open(encoding="utf-8-sig") as file:
            lines = list(parse_stream(file))  # not interpolated, so that a `$` in a key stays a `$`
    except OSError as error:
        raise SettingsError([f"{env_file} can't be read: {error.strerror}."]) from None
    except UnicodeDecodeError:
        raise SettingsError([f"{env_file} can't be read: save it as UTF-8 text."]) from None
    # python-dotenv itself skips lines that it can't read, and the bot would start with defaults instead.
    if faults := [_line_fault(env_file, line.original) for line in lines if line.error]:
        raise SettingsError(faults)
    return {line.key: line.value for line in lines if line.key is not None}


def _line_fault(env_file: Path, line: Original) -> str:
    blank = line.string[: -len(line.string.lstrip())].count("\n")  # blank lines before it belong to its text
    return f"{env_file}, line {line.line + blank} can't be read: write NAME=value, and close every quote."


def _field_faults(error: ValidationError) -> list[str]:
    """One line for each faulty field, in the order of the fields, without any part of the value."""
    kinds: dict[str, str] = {}
    for detail in error.errors(include_input=False, include_context=False):
        kinds.setdefault(str(detail["loc"][0]).lower(), detail["type"])
    return [
        f"{name.upper()} {'is missing' if kinds[name] == 'missing' else 'is not valid'}: {field.description}."
        for name, field in Settings.model_fields.items()
        if name in kinds
    ]


def _combination_faults(values: Mapping[str, Any]) -> list[str]:
    """Settings that are right alone and wrong together; found in the raw values, so that no other fault hides them."""
    faults = []
    if ("YOOKASSA_SHOP_ID" in values) != ("YOOKASSA_SECRET_KEY" in values):
        missing, given = "YOOKASSA_SECRET_KEY", "YOOKASSA_SHOP_ID"
        if missing in values:
            missing, given = given, missing
        faults.append(f"{missing} is missing: {given} is set, so set both, or neither to switch top-up by card off.")
    if values.get("TELEGRAM_MODE") == "webhook" and "PUBLIC_URL" not in values:
        faults.append("PUBLIC_URL is missing: TELEGRAM_MODE=webhook needs the https address Telegram can reach.")
    return faults
