"""Messages, locks and restored databases."""

from __future__ import annotations

from tests.faults.mutants.edits import In
from tests.faults.mutants.mutant import Mutant, mutant

MUTANTS: tuple[Mutant, ...] = (
    # --- messages -----------------------------------------------------------------------------------
    mutant(
        "two senders take the same message",
        In("database/outbox.py", "claim").remove("free"),
        noticed_by="database/test_jobs.py::test_one_sender_takes_a_message",
    ),
    mutant(
        "a chat that is blocked right after its result undoes the delivery",
        In("services/messaging/notifier.py", "_send_result").remove("TelegramForbiddenError"),
        noticed_by="services/test_notifier.py::test_a_chat_closed_behind_the_result_does_not_undo_the_delivery",
    ),
    # --- locks --------------------------------------------------------------------------------------
    mutant(
        "an error inside a keyed lock leaves it locked",
        In("services/common/keyed_lock.py", "hold").replace(
            "async with lock: ...", "await lock.acquire()\nyield\nlock.release()"
        ),
        noticed_by="scenarios/test_money.py::test_a_line_of_waiting_people_is_freed_however_its_holder_ends",
    ),
    # --- restored databases -------------------------------------------------------------------------
    mutant(
        "a backup is restored beside the write-ahead log of the lost database",
        In("database/backup.py", "restore").replace("(target.name, ...)", "(target.name,)"),
        noticed_by="app/test_main.py::test_a_restore_is_not_mixed_with_what_was_lost",
    ),
    mutant(
        "a failed restore removes a database that is in use",
        In("app/cli.py", "restore").replace("(MigrationFailed, UnsupportedDatabase)", "Exception"),
        noticed_by="app/test_main.py::test_a_restore_takes_nothing_away_that_somebody_uses",
    ),
)
