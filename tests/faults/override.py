"""Replaces a part of the product in a process under test."""

from __future__ import annotations


def override(owner: object, name: str, new: object) -> None:
    """Replace an attribute of a module, class or object for as long as it lives; it must be there already."""
    if not hasattr(owner, name):
        raise AttributeError(f"{owner!r} has no {name} that could be replaced")
    setattr(owner, name, new)
