"""Faults on purpose: kills, power cuts, cancelled tasks, random input, simulated worlds, mutants. See README.md."""
