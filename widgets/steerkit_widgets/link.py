"""Links: what is chosen in one widget shows in another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from steerkit.edits import Edit, Target


class Observed(Protocol):
    """A widget whose traits can be watched."""

    def observe(self, handler: Any, names: Any) -> None:
        """Call `handler` when a trait changes."""
        ...

    def unobserve(self, handler: Any, names: Any) -> None:
        """Call it no more."""
        ...


@runtime_checkable
class Source(Observed, Protocol):
    """A widget in which features, or vectors, are chosen; its trait `_selected` changes with them."""

    @property
    def selected(self) -> Sequence[Target]:
        """The features, or vectors, that are chosen."""
        ...


@runtime_checkable
class StrengthSource(Observed, Protocol):
    """A widget in which the strength of an edit is chosen; its trait `_chosen` changes with it."""

    @property
    def edit(self) -> Edit | None:
        """The edit at the strength that is chosen."""
        ...


@runtime_checkable
class Follower(Protocol):
    """A widget that shows what is chosen elsewhere."""

    def follow(self, targets: Sequence[Target]) -> None:
        """Show these, as far as they have a place here."""
        ...


@runtime_checkable
class Steerer(Protocol):
    """A widget that steers."""

    def steer(self, edit: Edit) -> None:
        """Steer with this edit."""
        ...


class Link:
    """A link between two widgets. Made by `link`."""

    def __init__(self, source: Observed, trait: str, pass_on: Callable[[], None]) -> None:
        self._source, self._trait, self._pass_on = source, trait, pass_on
        source.observe(self._hear, trait)
        pass_on()

    def unlink(self) -> None:
        """Let the two go their own ways; what is shown stays."""
        self._source.unobserve(self._hear, self._trait)

    def _hear(self, _: Any) -> None:
        self._pass_on()


def link(source: Source | StrengthSource, target: Follower | Steerer) -> Link:
    """Let one widget follow what is chosen in another, from now on.

    A panel gets an edit at rest for each feature, a card shows the last, a token view pins the last three that it read,
    a picker chooses them. A strength that is chosen in a sweep goes into the panel, which writes a text with it.

    Args:
        source: A `FeaturePicker`, a `TokenView` or a `ContrastView`; or a `SweepView`.
        target: Any widget that shows features; of a `SweepView`, a `SteeringPanel`.

    Returns:
        The link; `unlink()` ends it.

    Raises:
        TypeError: One of them cannot be linked.

    Example:
        >>> link(picker, panel)  # doctest: +SKIP
        >>> link(sweep_view, panel)  # doctest: +SKIP
    """
    if isinstance(source, StrengthSource):
        if not isinstance(target, Steerer):
            raise TypeError(f"{target!r} does not steer. Link a SweepView to a SteeringPanel.")
        return Link(source, "_chosen", lambda: _steer(source, target))
    if not isinstance(source, Source):
        raise TypeError(
            f"{source!r} has no features to choose. Link from a FeaturePicker, a TokenView, a ContrastView or a "
            "SweepView."
        )
    if not isinstance(target, Follower):
        raise TypeError(f"{target!r} cannot follow. Link to a SteeringPanel, FeatureCard, TokenView or FeaturePicker.")
    return Link(source, "_selected", lambda: target.follow(source.selected))


def _steer(source: StrengthSource, target: Steerer) -> None:
    if (edit := source.edit) is not None:
        target.steer(edit)
