"""The program: parses the command line and runs a command of `app/cli.py` or the bot of `app/bot.py`.

python main.py                      the bot
python main.py demo                 the whole shop on simulators, one address printed
python main.py check-config         reach every outside system, say what is wrong
python main.py audit                check the books; exit 1 when they do not balance (--head HASH, --deep)
python main.py reconcile [--days N] compare with YooKassa's and Telegram's books; exit 1 when a person must look
python main.py export ledger|payments|refunds|receipts|margin --from DATE --to DATE FILE   the books as CSV
python main.py backup FILE          a whole copy while the shop is open
python main.py restore FILE         put a copy where no database is, and check it
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import io
import os
import signal
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from app import cli, command_line

if TYPE_CHECKING:
    from database.models import Database
    from services.settings import Settings

BOOKS_ONLY = frozenset({"audit", "backup", "export", "restore"})
"""Commands that open the database and nothing else: a machine that knows no token can prove a copy."""


def main(argv: list[str] | None = None) -> int:
    """Run a command; answers the exit status (2: the settings are faulty)."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter must end no command
    options = command_line.parse(argv)
    if options.command == "demo":
        from app.demo import run_demo

        return asyncio.run(run_demo(options.port))
    from database.models import Database, DatabaseError
    from services.catalogue import CatalogueError
    from services.common.log import setup_logging
    from services.media.store import AssetError
    from services.settings import settings_or_exit

    settings = settings_or_exit(needs_token=options.command not in BOOKS_ONLY)
    setup_logging(settings.log_level, settings.log_format, settings.secret_values())
    try:
        status = asyncio.run(_work(options, settings, Database(settings.database_url)))
        print(end="", flush=True)
    except (DatabaseError, CatalogueError, AssetError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        if options.command is None:  # no file that was named, so it is a fault of ours
            raise
        if isinstance(error, BrokenPipeError):
            return _unread()
        print(error, file=sys.stderr)
        return 1
    return status


def _unread() -> int:
    """Whoever read what we print has gone, as `head` does: end like others whom that ends, and with no verdict."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still to be flushed
    return 128 + signal.SIGPIPE


def _work(options: argparse.Namespace, settings: Settings, db: Database) -> Coroutine[Any, Any, int]:
    match options.command:
        case "audit":
            return cli.audit(db, head=options.head, deep=options.deep)
        case "backup":
            return cli.back_up(db, options.file)
        case "restore":
            return cli.restore(db, options.file)
        case "check-config":
            return cli.check(settings)
        case "export":
            return cli.export(settings, db, options.what, options.first, options.last, options.file)
        case "reconcile":
            return cli.reconcile(settings, db, options.days)
    from app.bot import run_bot

    gc.freeze()  # what is imported stays: looking through it, a full collection would stop the loop for 0.3 s
    return run_bot(settings)


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:  # before the command could take it for a wish to end in order
        raise SystemExit(130) from None
