"""Switches of the admins and leases of processes: small named values with a time."""

from __future__ import annotations

from sqlalchemy import or_, select
from sqlalchemy.dialects.sqlite import insert

from database.engine import Tx
from database.schema import flags, leases

MAINTENANCE = "maintenance"


def get(tx: Tx, name: str) -> str:
    """The flag's value; empty if it is off or was never set."""
    return str(tx.execute(select(flags.c.value).where(flags.c.name == name)).scalar() or "")


def put(tx: Tx, name: str, value: str) -> None:
    new = insert(flags).values(name=name, value=value, changed_at=tx.now)
    tx.execute(new.on_conflict_do_update(index_elements=["name"], set_={"value": value, "changed_at": tx.now}))


def take_lease(tx: Tx, name: str, holder: str, *, ttl_ms: int) -> bool:
    """Take or renew the lease `name` for `ttl_ms`; False while another holder has it.

    A lease that ends more than ten times its length ahead was taken under a wrong clock and does not count.
    """
    until = tx.now + ttl_ms
    new = insert(leases).values(name=name, holder=holder, until=until)
    return tx.changed(
        new.on_conflict_do_update(
            index_elements=["name"],
            set_={"holder": holder, "until": until},
            where=or_(leases.c.holder == holder, leases.c.until <= tx.now, leases.c.until > tx.now + 10 * ttl_ms),
        )
    )


def drop_lease(tx: Tx, name: str, holder: str) -> None:
    tx.execute(leases.delete().where(leases.c.name == name, leases.c.holder == holder))
