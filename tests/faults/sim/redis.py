"""A simulated Redis, and the product's queue over it."""

from __future__ import annotations

from typing import Literal

from services.queue import Queue, Step
from tests.faults.sim.world import World


class SimRedis:
    """A list of messages that may be lost, doubled or out of reach."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.messages: list[Step] = []
        self.away = False

    def pop(self) -> Step | None:
        return self.messages.pop(0) if self.messages and not self.away else None

    def flush(self) -> None:
        self.messages.clear()


class SimQueue(Queue):
    """The product's queue with Redis replaced; what Redis refuses is run in the bot, by the product's own runner."""

    def __init__(self, redis: SimRedis) -> None:
        super().__init__(None)
        self._redis = redis

    async def submit(self, step: Step) -> Literal["redis", "local"]:
        world, redis = self._redis.world, self._redis
        await world.step("queue")
        if redis.away or world.fails(world.chances.queue):
            return await super().submit(step)
        if not world.fails(world.chances.queue):  # else it is lost, and nobody is told
            redis.messages.append(step)
        if world.fails(world.chances.queue):
            redis.messages.append(step)
        return "redis"

    async def waiting(self) -> set[str] | None:
        if self._redis.away:
            return None
        return (await super().waiting() or set()) | {step.message_id for step in self._redis.messages}

    async def healthy(self) -> bool:
        return not self._redis.away
