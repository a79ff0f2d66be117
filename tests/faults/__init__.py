"""The shop under faults: killed at every step, power cuts, arbitrary input, mutants of its own code."""
