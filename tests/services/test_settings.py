"""Settings: what is read, what is refused, and what is said about it."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest
from dotenv import dotenv_values
from pydantic import SecretStr, ValidationError

from services.settings import SETTING_NAMES, Settings, SettingsError, feature_notes, load_settings

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "123456:AbC-dEf_ghi"
WEBHOOK_SECRET = "whsec_dGVzdHNlY3JldA=="


def faults(**environ: str) -> list[str]:
    """The lines a person would read for these variables."""
    with pytest.raises(SettingsError) as refused:
        load_settings(None, {"BOT_TOKEN": TOKEN, **environ})
    return refused.value.faults


def settings(**environ: str) -> Settings:
    return load_settings(None, {"BOT_TOKEN": TOKEN, **environ})


def test_a_token_is_all_that_is_needed() -> None:
    """With BOT_TOKEN alone every other setting has the default that the documentation names."""
    given = settings()
    assert given.bot_token.get_secret_value() == TOKEN
    assert (given.telegram_api_url, given.telegram_mode) == ("https://api.telegram.org", "polling")
    assert (given.database_url, given.redis_url) == ("sqlite:///data/bot.db", None)
    assert (given.max_active_jobs_per_user, given.rate_limit_per_minute) == (3, 10)
    assert (given.http_host, given.http_port, given.public_url) == ("0.0.0.0", 8080, None)
    assert (given.admin_ids, given.trusted_proxies) == (frozenset(), ())
    assert given.yookassa_api_url == "https://api.yookassa.ru/v3"
    assert (given.yookassa_receipts, given.yookassa_vat_code, given.yookassa_tax_system_code) == ("off", 1, None)
    assert (given.yookassa_payment_subject, given.yookassa_payment_mode) == ("service", "full_payment")
    assert given.gemini_base_url == "https://generativelanguage.googleapis.com"
    assert given.gemini_auth_style == "x-goog-api-key"
    assert given.kling_base_url == "https://api-singapore.klingai.com"
    assert (given.assets_url, given.assets_ttl_days, given.catalogue_path) == ("data/assets", 30, None)
    assert (given.log_level, given.log_format) == ("INFO", "text")


def test_yookassa_senders_by_default_are_the_published_list() -> None:
    """Without YOOKASSA_WEBHOOK_CIDRS only the seven published networks may send notifications."""
    assert set(settings().yookassa_webhook_cidrs) == {
        ip_network(text)
        for text in (
            "185.71.76.0/27",
            "185.71.77.0/27",
            "77.75.153.0/25",
            "77.75.156.11",
            "77.75.156.35",
            "77.75.154.128/25",
            "2a02:5180::/32",
        )
    }


def test_lists_are_read_with_spaces_and_stray_commas() -> None:
    """Lists are comma-separated; spaces and an extra comma do no harm."""
    given = settings(ADMIN_IDS=" 1, 22 ,", TRUSTED_PROXIES="10.0.0.0/8, ::1", YOOKASSA_WEBHOOK_CIDRS="0.0.0.0/0,::/0")
    assert given.admin_ids == {1, 22}
    assert given.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1"))
    assert given.yookassa_webhook_cidrs == (ip_network("0.0.0.0/0"), ip_network("::/0"))


def test_environment_wins_over_file(tmp_path: Path) -> None:
    """A variable of the environment beats the same one in .env; an empty one does not."""
    file = tmp_path / ".env"
    file.write_text(f'BOT_TOKEN={TOKEN}\nHTTP_PORT=1000\nLOG_LEVEL=debug\nGEMINI_API_KEY="a$b${{HOME}}"\nOTHER=1\n')
    given = load_settings(file, {"HTTP_PORT": "2000", "LOG_LEVEL": "  ", "PATH": "/bin"})
    assert (given.http_port, given.log_level) == (2000, "DEBUG")
    assert given.gemini_api_key == SecretStr("a$b${HOME}"), "a dollar sign in a key is only a dollar sign"


def test_no_file_is_no_fault(tmp_path: Path) -> None:
    """Settings may come from the environment alone."""
    assert load_settings(tmp_path / "none", {"BOT_TOKEN": TOKEN}).http_port == 8080


def test_a_file_that_is_no_text_is_a_fault(tmp_path: Path) -> None:
    """A .env that is not UTF-8 is refused with a sentence, not with a stack trace."""
    file = tmp_path / ".env"
    file.write_bytes(b"BOT_TOKEN=\xff\xfe\n")
    with pytest.raises(SettingsError, match="save it as UTF-8"):
        load_settings(file, {})


def test_a_file_that_can_not_be_opened_is_a_fault(tmp_path: Path) -> None:
    """A .env that the system refuses is said to be refused, and not to have a wrong encoding."""
    file = tmp_path / ".env"
    file.write_text(f"BOT_TOKEN={TOKEN}\n")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        with pytest.raises(SettingsError) as refused:
            load_settings(file, {})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert refused.value.faults == [f"{file} can't be read: Too many open files."]


@pytest.mark.parametrize("line", ['DATABASE_URL="sqlite:///data/shop.db', "DATABASE_URL sqlite:///data/shop.db", "=x"])
def test_a_line_that_can_not_be_read_is_a_fault(tmp_path: Path, line: str) -> None:
    """A quote that is never closed, a forgotten `=`: refused with its number, as the shop must not open on a default
    where something else was meant. What the line holds is not repeated."""
    file = tmp_path / ".env"
    file.write_text(f"# the shop\nBOT_TOKEN={TOKEN}\n\n{line}\nLOG_LEVEL=DEBUG\n")
    with pytest.raises(SettingsError) as refused:
        load_settings(file, {"HTTP_PORT": "x"})
    assert refused.value.faults == [f"{file}, line 4 can't be read: write NAME=value, and close every quote."]


def test_all_faults_come_at_once_without_a_value() -> None:
    """Every fault is told in one go, each on one line with its name, and no line repeats what was given."""
    given = {
        "BOT_TOKEN": "hunter2-token",
        "ADMIN_IDS": "1,hunter2",
        "HTTP_PORT": "hunter2",
        "GEMINI_API_KEY": "hunter2 é",
        "DATABASE_URL": "mysql://u:hunter2@h/d",
        "PUBLIC_URL": "ftp://hunter2",
        "KLING_WEBHOOK_SECRET": "hunter2",
        "YOOKASSA_SECRET_KEY": "hunter2",
        "TELEGRAM_MODE": "webhook",
        "YOOKASSA_VAT_CODE": "13",
    }
    lines = faults(**given)
    assert {line.split()[0] for line in lines} ^ set(given) == {
        "YOOKASSA_SHOP_ID",
        "YOOKASSA_SECRET_KEY",
        "TELEGRAM_MODE",
    }  # the last two are good themselves
    assert not any("hunter2" in line or "\n" in line for line in lines)
    assert all(re.search(r" is (missing|not valid): .+\.$", line) for line in lines)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BOT_TOKEN", "no-colon"),
        ("BOT_TOKEN", "1:"),
        ("BOT_TOKEN", "1:a b"),
        ("BOT_TOKEN", "1:a/../b"),
        ("BOT_TOKEN", "١:abc"),
        ("ADMIN_IDS", "0"),
        ("ADMIN_IDS", "1;2"),
        ("ADMIN_IDS", "-5"),
        ("TELEGRAM_API_URL", "api.telegram.org"),
        ("TELEGRAM_API_URL", "http://h:99999"),
        ("TELEGRAM_API_URL", "http://h/?a=b"),
        ("TELEGRAM_MODE", "push"),
        ("TELEGRAM_WEBHOOK_SECRET", "with space"),
        ("TELEGRAM_WEBHOOK_SECRET", "x" * 257),
        ("DATABASE_URL", "sqlite:///"),
        ("DATABASE_URL", "postgresql://host"),
        ("REDIS_URL", "http://h"),
        ("REDIS_URL", "redis://"),
        ("REDIS_URL", "unix://relative"),
        ("REDIS_URL", "redis://h/x"),
        ("REDIS_URL", "redis://h?timeout=5"),
        ("REDIS_URL", "redis://h?db=first"),
        ("MAX_ACTIVE_JOBS_PER_USER", "0"),
        ("MAX_ACTIVE_JOBS_PER_USER", "3.5"),
        ("RATE_LIMIT_PER_MINUTE", "0"),
        ("RATE_LIMIT_PER_MINUTE", "ten"),
        ("HTTP_HOST", "a b"),
        ("HTTP_PORT", "65536"),
        ("HTTP_PORT", "-1"),
        ("PUBLIC_URL", "http://shop.example"),
        ("PUBLIC_URL", "https://"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TRUSTED_PROXIES", "proxy"),
        ("YOOKASSA_API_URL", "x"),
        ("YOOKASSA_RETURN_URL", "tg://x"),
        ("YOOKASSA_WEBHOOK_CIDRS", "1.2.3"),
        ("YOOKASSA_RECEIPTS", "maybe"),
        ("YOOKASSA_VAT_CODE", "0"),
        ("YOOKASSA_TAX_SYSTEM_CODE", "7"),
        ("YOOKASSA_PAYMENT_SUBJECT", "Service!"),
        ("YOOKASSA_PAYMENT_MODE", "later"),
        ("GEMINI_API_KEY", "ключ"),
        ("GEMINI_AUTH_STYLE", "basic"),
        ("GEMINI_BASE_URL", "//host"),
        ("GEMINI_PROXY", "host:3128"),
        ("KLING_PROXY", "ftp://h"),
        ("KLING_API_KEY", "a\nb"),
        ("KLING_WEBHOOK_SECRET", "whsec_"),
        ("KLING_WEBHOOK_SECRET", "whsec_%%%"),
        ("ASSETS_URL", "s3://"),
        ("ASSETS_URL", "http://bucket"),
        ("ASSETS_TTL_DAYS", "0"),
        ("CATALOGUE_PATH", "/no/such/file"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    """A value out of bounds or of the wrong form is refused, and the line names its variable and nothing else."""
    lines = faults(**{name: value})
    assert len(lines) == 1
    assert lines[0].startswith(f"{name} is not valid: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TELEGRAM_API_URL", "http://127.0.0.1:8081/"),
        ("DATABASE_URL", "sqlite:////abs/bot.db"),
        ("DATABASE_URL", "postgresql://u:p%40w@db:5432/shop"),
        ("REDIS_URL", "redis://:pw@h:6379/1"),
        ("REDIS_URL", "redis://localhost"),
        ("REDIS_URL", "unix:///run/redis.sock"),
        ("PUBLIC_URL", "http://127.0.0.1:9000"),
        ("PUBLIC_URL", "https://shop.example/bot"),
        ("YOOKASSA_RETURN_URL", "https://t.me/shop_bot?start=paid"),
        ("HTTP_HOST", "::"),
        ("HTTP_PORT", "0"),
        ("GEMINI_PROXY", "http://u:p@proxy:3128"),
        ("KLING_WEBHOOK_SECRET", WEBHOOK_SECRET),
        ("LOG_LEVEL", "warning"),
        ("ASSETS_URL", "s3://bucket/prefix"),
    ],
)
def test_a_good_value_is_taken(name: str, value: str) -> None:
    """The forms that the documentation names are accepted."""
    settings(**{name: value})


def test_addresses_lose_the_slash_at_their_end() -> None:
    """Paths are appended to addresses, so a slash at the end would be doubled."""
    assert settings(TELEGRAM_API_URL="http://127.0.0.1:8081/").telegram_api_url == "http://127.0.0.1:8081"


@pytest.mark.parametrize(("given", "missing"), [("SHOP_ID", "SECRET_KEY"), ("SECRET_KEY", "SHOP_ID")])
def test_half_of_yookassa_is_a_fault(given: str, missing: str) -> None:
    """A shop id without a key, or a key without an id, is a mistake and not a way to switch the feature off."""
    assert faults(**{f"YOOKASSA_{given}": "100500"}) == [
        f"YOOKASSA_{missing} is missing: YOOKASSA_{given} is set, so set both, or neither to switch top-up by card off."
    ]


def test_webhook_mode_needs_an_address() -> None:
    """Telegram cannot reach a bot that has no public address."""
    assert faults(TELEGRAM_MODE="webhook")[0].startswith("PUBLIC_URL is missing: ")
    assert settings(TELEGRAM_MODE="webhook", PUBLIC_URL="https://shop.example").telegram_mode == "webhook"


def test_made_webhook_secret_is_the_same_in_every_process() -> None:
    """An unset webhook secret is derived from the token: equal for one bot, different for another, and sendable."""
    made = settings().telegram_webhook_token
    assert re.fullmatch(r"[A-Za-z0-9_-]{32,256}", made)
    assert made == settings().telegram_webhook_token
    assert made != load_settings(None, {"BOT_TOKEN": "1:other"}).telegram_webhook_token
    assert settings(TELEGRAM_WEBHOOK_SECRET="mine").telegram_webhook_token == "mine"


def test_each_feature_switched_off_is_told() -> None:
    """The start names each feature that is off, and says nothing when all are on."""
    notes = feature_notes(settings())
    assert "No YOOKASSA_SHOP_ID: top-up by card is off." in notes
    assert {note.split()[1].rstrip(":") for note in notes} == {
        "YOOKASSA_SHOP_ID",
        "GEMINI_API_KEY",
        "KLING_API_KEY",
        "REDIS_URL",
        "PUBLIC_URL",
        "ADMIN_IDS",
    }
    complete = {
        "YOOKASSA_SHOP_ID": "1",
        "YOOKASSA_SECRET_KEY": "k",
        "GEMINI_API_KEY": "k",
        "KLING_API_KEY": "k",
        "REDIS_URL": "redis://h",
        "PUBLIC_URL": "https://h",
        "ADMIN_IDS": "1",
    }
    assert [note.split()[1] for note in feature_notes(settings(**complete))] == ["KLING_WEBHOOK_SECRET:"]
    assert feature_notes(settings(**complete, KLING_WEBHOOK_SECRET=WEBHOOK_SECRET)) == []


def test_settings_never_show_a_secret() -> None:
    """Printing the settings shows no key and no password, and they cannot be changed."""
    given = settings(
        YOOKASSA_SHOP_ID="1",
        YOOKASSA_SECRET_KEY="hunter2a",
        GEMINI_API_KEY="hunter2b",
        KLING_API_KEY="hunter2c",
        REDIS_URL="redis://:hunter2d@h",
        DATABASE_URL="postgresql://u:hunter2e@h/d",
        GEMINI_PROXY="http://u:hunter2f@h",
        KLING_PROXY="http://u:hunter2g@h",
        TELEGRAM_WEBHOOK_SECRET="hunter2h",
        KLING_WEBHOOK_SECRET=WEBHOOK_SECRET,
    )
    assert "hunter2" not in repr(given) + str(given)
    assert TOKEN.partition(":")[2] not in repr(given)
    known = given.secret_values()
    assert {f"hunter2{letter}" for letter in "abcdefgh"} | {TOKEN, WEBHOOK_SECRET} <= known
    with pytest.raises(ValidationError):
        given.http_port = 1


def test_example_file_lists_every_setting_with_its_default() -> None:
    """`.env.example` names exactly the settings there are, in their order, each default as the code has it."""
    example = ROOT / ".env.example"
    values = dotenv_values(example)
    assert tuple(values) == SETTING_NAMES
    given = {name: text or "" for name, text in values.items()}
    assert load_settings(None, {**given, "BOT_TOKEN": TOKEN}) == settings()
    for paragraph in example.read_text().strip().split("\n\n"):
        assert paragraph.startswith("#"), f"without a comment: {paragraph}"


def test_faulty_settings_end_the_process_with_status_2(tmp_path: Path) -> None:
    """A program started with faulty settings prints one line a fault, no stack trace, and exits with status 2."""
    code = "from services.settings import settings_or_exit; settings_or_exit()"
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HTTP_PORT": "x"}
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 2
    assert [line.split()[0] for line in ended.stderr.splitlines()] == ["BOT_TOKEN", "HTTP_PORT"]
