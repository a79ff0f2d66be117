"""Faults on purpose: kills, power cuts, storms, fuzz, simulated worlds, and mutants of our own rules."""
