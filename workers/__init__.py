"""The steps that the queue runs: coroutine functions that take only the id of a job."""
