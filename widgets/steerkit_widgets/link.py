"""Links: what is chosen in one widget shows in another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from steerkit.edits import Target


@runtime_checkable
class Source(Protocol):
    """A widget in which features, or vectors, are chosen; its trait `_selected` changes with them."""

    @property
    def selected(self) -> Sequence[Target]:
        """The features, or vectors, that are chosen."""
        ...

    def observe(self, handler: Any, names: Any) -> None:
        """Call `handler` when a trait changes."""
        ...

    def unobserve(self, handler: Any, names: Any) -> None:
        """Call it no more."""
        ...


@runtime_checkable
class Follower(Protocol):
    """A widget that shows what is chosen elsewhere."""

    def follow(self, targets: Sequence[Target]) -> None:
        """Show these, as far as they have a place here."""
        ...


class Link:
    """A link between two widgets. Made by `link`."""

    def __init__(self, source: Source, target: Follower) -> None:
        self._source, self._target = source, target
        source.observe(self._pass_on, "_selected")
        self._pass_on()

    def unlink(self) -> None:
        """Let the two go their own ways; what is shown stays."""
        self._source.unobserve(self._pass_on, "_selected")

    def _pass_on(self, _: Any = None) -> None:
        self._target.follow(self._source.selected)


def link(source: Source, target: Follower) -> Link:
    """Let one widget follow what is chosen in another, from now on.

    A panel gets an edit at rest for each feature, a card shows the last, a token view pins the last three that it read,
    a picker chooses them.

    Args:
        source: A `FeaturePicker`, a `TokenView` or a `ContrastView`.
        target: Any widget that shows features.

    Returns:
        The link; `unlink()` ends it.

    Raises:
        TypeError: One of them cannot be linked.

    Example:
        >>> link(picker, panel)  # doctest: +SKIP
    """
    if not isinstance(source, Source):
        raise TypeError(
            f"{source!r} has no features to choose. Link from a FeaturePicker, a TokenView or a ContrastView."
        )
    if not isinstance(target, Follower):
        raise TypeError(f"{target!r} cannot follow. Link to a SteeringPanel, FeatureCard, TokenView or FeaturePicker.")
    return Link(source, target)
