"""Operators: what an edit does to the coefficient that it reads."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from steerkit.errors import EditError

if TYPE_CHECKING:
    from torch import Tensor

# From a coefficient of any shape and a strength that broadcasts to it, to the new coefficient.
Operator: TypeAlias = "Callable[[Tensor, Tensor], Tensor]"

OPERATORS = ("add", "set", "at_least", "at_most", "cap", "scale", "ablate", "move_to", "rotate")
WITHOUT_UNIT = ("scale", "ablate", "move_to", "rotate")
WITHOUT_STRENGTH = ("ablate", "move_to")
# These act on the coefficients of two directions.
PAIRED = ("move_to", "rotate")

_registered: dict[str, Operator] = {}


def register_operator(name: str, function: Operator) -> None:
    """Give a function of your own a name under which edits can use it: `vector.apply(name, strength)`.

    Args:
        name: An identifier that no built-in operator has. A name registered before is replaced.
        function: `function(coefficient, strength) -> coefficient`, on tensors: the coefficient has any shape, and the
            strength, in the coefficient's own units, broadcasts to it. It must be pure, as it may run elsewhere.

    Raises:
        EditError: The name is taken or no identifier, or it is no function of two arguments.

    Example:
        >>> register_operator("dampen", lambda coefficient, strength: coefficient / (1 + strength))
    """
    if name in OPERATORS or not name.isidentifier():
        raise EditError(
            f"{name!r} cannot name an operator: it must be an identifier other than {', '.join(OPERATORS)}."
        )
    try:
        inspect.signature(function).bind(None, None)
    except (TypeError, ValueError):
        raise EditError(f"The operator {name!r} must be a function of a coefficient and a strength.") from None
    _registered[name] = function


def registered(name: str) -> Operator:
    """The function registered under a name.

    Raises:
        EditError: There is none.
    """
    if name not in _registered:
        known = ", ".join([*OPERATORS, *_registered])
        raise EditError(
            f"{name!r} is no operator; operators are {known}. One of your own is made known by "
            "sk.register_operator(name, function)."
        )
    return _registered[name]
