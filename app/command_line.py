"""The command line of `main.py`: its commands, their arguments, and the messages for wrong arguments."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from app.version import VERSION


def _head(word: str) -> str:
    """A seal's hash, or its first 16 digits or more. Raises argparse.ArgumentTypeError."""
    if not re.fullmatch(r"[0-9a-fA-F]{16,64}", word):
        raise argparse.ArgumentTypeError("a head has 64 hexadecimal digits; at least the first 16 are needed")
    return word.lower()


def _up_to(most: int) -> Callable[[str], int]:
    """An argparse type for numbers from 1 to `most`."""

    def read(word: str) -> int:
        if not (re.fullmatch("[0-9]{1,9}", word) and 1 <= int(word) <= most):
            raise argparse.ArgumentTypeError(f"give a number from 1 to {most}")
        return int(word)

    return read


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command and its arguments. Raises SystemExit 2 after a sentence on stderr; `--help` is SystemExit 0."""
    from services.ops.margin import BOOKS

    parser = argparse.ArgumentParser(prog="python main.py", description="The bot; without a command it runs.")
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(dest="command", metavar="command")
    demo = commands.add_parser("demo", help="the whole shop on simulators")
    demo.add_argument("--port", type=_up_to(65535), default=None, help="first port to try for the chat page")
    commands.add_parser("check-config", help="check the settings and reach every outside system")
    prove = commands.add_parser("audit", help="check the books, exit 1 when they do not balance")
    prove.add_argument("--head", type=_head, metavar="HASH", help="a head that was sent earlier: is it still a seal?")
    prove.add_argument("--deep", action="store_true", default=None, help="compare each index of a large file, too")
    export = commands.add_parser("export", help="write a period of the books to a CSV file")
    export.add_argument("what", choices=BOOKS)
    export.add_argument("--from", dest="first", required=True, metavar="DATE", help="the first day, as 2026-11-01")
    export.add_argument("--to", dest="last", required=True, metavar="DATE", help="the last day, included")
    export.add_argument("file", type=Path, metavar="FILE")
    compare = commands.add_parser("reconcile", help="compare with the providers' books, exit 1 when they differ")
    back = "how far back, three years at most; without it since the last time"
    compare.add_argument("--days", type=_up_to(3 * 365), default=None, help=back)
    for name, text in (("backup", "copy the database to FILE while it is in use"), ("restore", "put a copy back")):
        commands.add_parser(name, help=text).add_argument("file", type=Path, metavar="FILE")
    return parser.parse_args(argv)
