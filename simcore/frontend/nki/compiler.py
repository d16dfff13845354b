"""`nki.compiler`: directives to the vendor's compiler about the code it generates; here they change nothing."""

from __future__ import annotations

from collections.abc import Callable


def _directive(function: Callable | None = None, *args, **options):
    """A decorator, bare or with options, that leaves the kernel as it is."""
    return function if callable(function) else lambda f: f


skip_middle_end_transformations = enable_stack_allocator = force_auto_alloc = _directive

__all__ = ["enable_stack_allocator", "force_auto_alloc", "skip_middle_end_transformations"]
