"""What the queue runs: coroutine functions that take the id of a job and nothing else."""
