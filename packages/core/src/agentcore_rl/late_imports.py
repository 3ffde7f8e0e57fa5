"""Packages whose public names are imported when they are asked for: who uses none of them pays for none."""

from __future__ import annotations

# Type checkers take it for typing's; importing that would cost every start of the command line.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

__all__ = ["late_imports"]


def late_imports(
    package: str, homes: Mapping[str, tuple[str, ...]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's `__getattr__` and `__dir__`.

        __getattr__, __dir__ = late_imports(__name__, {"app": ("StrandsAgentCoreRLApp",)})

    Args:
        package: its name.
        homes: its modules, with the public names that each has.

    Returns:
        What imports a name's module at its first use, and what lists the names beside those that are there.
        The first raises AttributeError for any other name.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def find(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        import sys
        from importlib import import_module

        value = getattr(import_module(f"{package}.{home_of[name]}"), name)
        vars(sys.modules[package])[name] = value
        return value

    def names() -> list[str]:
        import sys

        return sorted({*vars(sys.modules[package]), *home_of})

    return find, names
