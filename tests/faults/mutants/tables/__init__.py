"""All mutants, in the order of the document."""

from __future__ import annotations

from tests.faults.mutants.mutant import Mutant
from tests.faults.mutants.tables import audit, clocks, decisions, jobs, ledger, operations, payments, refunds

MUTANTS: tuple[Mutant, ...] = (
    *ledger.MUTANTS,
    *jobs.MUTANTS,
    *payments.MUTANTS,
    *refunds.MUTANTS,
    *decisions.MUTANTS,
    *clocks.MUTANTS,
    *audit.MUTANTS,
    *operations.MUTANTS,
)
