"""Mutants: each breaks one rule of the product on purpose, to see whether a test of that rule goes red.

`edits.py` finds the place in the syntax tree and changes it, `tables/` lists the mutants, `runner.py` runs the tests
against each, `document.py` writes the table into docs/testing.md.
"""
