"""The contract `ui`: what becomes of components and windows, as clients publish it (docs/packs.md)."""

from ionbus.packs.generated.ui import (
    ComponentErrored,
    ComponentHidden,
    ComponentMounted,
    ComponentShown,
    ComponentUnmounted,
    ComponentUpdated,
    Ui,
    WindowFocus,
    WindowVisibility,
)

__all__ = [
    "ComponentErrored",
    "ComponentHidden",
    "ComponentMounted",
    "ComponentShown",
    "ComponentUnmounted",
    "ComponentUpdated",
    "Ui",
    "WindowFocus",
    "WindowVisibility",
]
