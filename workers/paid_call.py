"""A call of a provider that may cost money, with its row: the intent is written before the call, the outcome after it.

    paid = await PaidCall.begin(ctx, job, provider.name, model.key)
    try:
        result = await provider.generate(request)
    except ProviderError as error:
        await paid.failed(error)
        raise
    await paid.succeeded(result.cost_micro_usd)

An intent without an outcome means that the call may have been made. It is never repeated without looking.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from database import provider_calls as call_rows
from database.models import CallOutcome, DatabaseError, Job
from services.base_provider import ErrorCode, Failure, ProviderError
from services.common.log import event
from services.job_context import JobContext
from services.providers.circuit_breaker import open_circuit
from workers.runtime import LeaseLost

_log = logging.getLogger(__name__)


class CircuitOpen(Exception):
    """The provider is not called for a while: the job waits in its row, not in a worker that others need."""

    def __init__(self, error: ProviderError, provider: str, model: str) -> None:
        super().__init__(error)
        self.error = error
        self.provider = provider
        self.model = model


@dataclass(frozen=True)
class PaidCall:
    """One call whose intent is written; `id` is its row. Exactly one of `succeeded` and `failed` follows."""

    ctx: JobContext
    id: int
    provider: str
    model: str

    @classmethod
    async def begin(cls, ctx: JobContext, job: Job, provider: str, model: str) -> PaidCall:
        """Write the intent; only then may the provider be called.

        Raises CircuitOpen or ProviderError when the circuit breaker blocks the call, LeaseLost when another worker has
        the job.
        """
        try:
            call_id = await ctx.db.write(
                call_rows.begin_call, job.id, job.attempt, provider=provider, model=model, open_circuit=open_circuit
            )
        except ProviderError as blocked:
            if blocked.failure is Failure.TEMPORARY:
                raise CircuitOpen(blocked, provider, model) from None
            raise
        if call_id is None:
            raise LeaseLost(job.id)
        return cls(ctx, call_id, provider, model)

    async def succeeded(self, cost_micro_usd: int) -> None:
        """The provider did it, and billed so many micro-dollars."""
        await self._write(CallOutcome.OK, code=None, cost_micro_usd=cost_micro_usd)

    async def failed(self, error: ProviderError) -> None:
        """The provider refused, or it is unknown what it did.

        When this can't be written, a temporary error becomes an unknown one: the row does not say that nothing was
        done, so no caller may repeat the call.
        """
        in_doubt = error.failure is Failure.UNKNOWN or error.code is ErrorCode.DUPLICATE_TASK
        outcome = CallOutcome.UNKNOWN if in_doubt else CallOutcome.REFUSED
        written = await self._write(outcome, code=error.code.value, cost_micro_usd=error.cost_micro_usd)
        if not written and error.failure is Failure.TEMPORARY:
            error.failure = Failure.UNKNOWN
        fields = {"provider": self.provider, "model": self.model, "error": str(error)}
        event(_log, "provider.refused", level=logging.WARNING, **fields)

    async def _write(self, outcome: CallOutcome, *, code: str | None, cost_micro_usd: int) -> bool:
        """Write the outcome beside the intent; False when that failed.

        The intent then stays without an outcome, which is safe. To lose what the call has brought would not be.
        """
        try:
            await self.ctx.db.write(call_rows.end_call, self.id, outcome, code=code, cost_micro_usd=cost_micro_usd)
        except DatabaseError as error:
            name = type(error).__name__
            event(_log, "provider.outcome_not_written", level=logging.ERROR, call_id=self.id, error=name)
            return False
        return True
