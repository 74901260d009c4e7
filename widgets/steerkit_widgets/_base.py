"""What every steerkit widget shares."""

from __future__ import annotations

import difflib
import os
import reprlib
import threading
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from steerkit_widgets import _incoming, _page
from steerkit_widgets._generation import PROTOCOL

# What ipywidgets' messages must have, by their method.
FIELDS = {"update": "state", "custom": "content", "request_state": "method"}
LONGEST = 1000  # characters of an error


class Widget(anywidget.AnyWidget):
    """A widget that refuses what it does not know and answers every message of its page."""

    _protocol = traitlets.Int(PROTOCOL).tag(sync=True)  # set by Python

    def __init__(self, **traits: Any) -> None:
        # ipywidgets writes traits with its hands on shared state: one thread at a time.
        self._writing = threading.RLock()
        super().__init__(**traits)
        # ipykernel 7.4.0 answers a page on the shell that last sent on the comm: the main one, after
        # any cell, so that a slider would wait for a running cell. JupyterLab >= 4.4 asks for a
        # subshell; keep to that, as 7.0 to 7.3 do. Older ones have no subshells.
        if hasattr(self.comm, "_reply_subshell_for"):
            setattr(self.comm, "_reply_subshell_for", lambda data, default: default)  # noqa: B010, private
        self.on_msg(self._on_message)

    def save_html(self, path: str | os.PathLike[str]) -> None:
        """Write the widget as one HTML file that shows what it has now, without a kernel or a network.

        Raises:
            RuntimeError: It is closed.
        """
        Path(path).write_text(_page.page(self), encoding="utf-8")

    def still(self) -> str:
        """What there is to see as plain HTML, for notebooks that are shown without their widgets' state."""
        return ""

    def _ipython_display_(self, **_: Any) -> None:
        from IPython.display import display

        data, metadata = {"text/plain": repr(self)}, {}
        if self.comm is not None:  # else it is closed, and no page has it
            # Two outputs: a saved notebook's page draws the widget at the first, if nothing draws the second.
            display({"text/html": _page.place(self)}, raw=True)
            data, metadata = self._repr_mimebundle_()
        if html := self.still():
            data["text/html"] = html
        display(data, metadata=metadata, raw=True)

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take over traits from the page; what cannot be taken over is answered with an error."""
        try:
            _incoming.check(sync_data)
            if not_its := [name for name in sync_data if not self._is_set_by_view(name)]:
                raise ValueError(f"The page changed {reprlib.repr(not_its)}, which is not for a page to change.")
            with self._writing:
                super().set_state(sync_data)
        except Exception as error:
            self._refuse(None, type(error).__name__, str(error), "The page's change was not taken over.")
            self.send_state()

    def _is_set_by_view(self, name: str) -> bool:
        return self.has_trait(name) and bool(self.trait_metadata(name, "by_view"))

    def _handle_msg(self, msg: Any) -> None:
        # ipywidgets logs what it cannot read; the page has to be told. No trait takes buffers from a page.
        try:
            data = msg["content"]["data"]
            if FIELDS[data["method"]] not in data or data.get("buffer_paths", []) != []:
                raise ValueError(f"its fields are {list(data)}")
        except Exception as error:
            said = f"The page sent {reprlib.repr(msg)}, which is no message: {error!r}."
            self._refuse(None, type(error).__name__, said, "Reload the page.")
        else:
            super()._handle_msg(msg)

    def _on_message(self, _: Any, content: Any, __: Any) -> None:
        # An exception here would appear nowhere: the page has to be told.
        try:
            _incoming.check(content)
            self._answer(content)
        except Exception as error:
            rid = content.get("rid") if isinstance(content, dict) else None
            self._refuse(rid, type(error).__name__, str(error), "Reload the page and run the cell again.")

    def _answer(self, content: Any) -> None:
        """Answer a message of the page. Widgets that take messages override it."""
        raise ValueError(f"A {type(self).__name__} takes no messages; the page sent {reprlib.repr(content)}.")

    def _refuse(self, rid: Any, kind: str, message: str, hint: str) -> None:
        self.send(
            {
                "v": PROTOCOL,
                "rid": rid if isinstance(rid, str) and rid.isascii() else None,
                "op": "error",
                "error": {"kind": kind, "message": shortened(message), "hint": hint},
            }
        )


def shortened(message: str) -> str:
    """A message as a page shows it: one that quotes a whole text at length would hide what it says."""
    return message if len(message) <= LONGEST else f"{message[: LONGEST // 2]} … {message[-LONGEST // 2 :]}"


def refuse_other(widget: str, given: object, kind: type, example: str) -> None:
    """Refuse what is not of the kind that a widget is made of.

    Raises:
        TypeError: `given` is of another.
    """
    if not isinstance(given, kind):
        raise TypeError(f"{widget} takes a {kind.__name__.lower()}, such as {example}; got {given!r}.")


def refuse_unknown(name: str, unknown: dict[str, Any], known: list[str]) -> None:
    """Refuse keyword arguments that would be ignored.

    Raises:
        TypeError: `unknown` is not empty.
    """
    for argument in unknown:
        close = difflib.get_close_matches(argument, known, n=1)
        hint = f"did you mean {close[0]!r}" if close else f"it takes {', '.join(known)}"
        raise TypeError(f"{name}() got an unknown argument {argument!r}: {hint}.")
