"""The attack on the whole shop: kills, power cuts, a simulated world, fuzz, and mutants that the suite must catch."""
