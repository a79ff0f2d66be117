"""Ratios, both sides in one run: figures of a shared machine mean little alone."""
