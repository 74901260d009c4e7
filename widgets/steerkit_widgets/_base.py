"""What every steerkit widget shares."""

from __future__ import annotations

import difflib
import os
import threading
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from steerkit_widgets import _page
from steerkit_widgets._generation import PROTOCOL


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
        """Write the widget as one HTML file that shows what it has now, without a kernel or a network."""
        Path(path).write_text(_page.page(self), encoding="utf-8")

    def still(self) -> str:
        """What there is to see as plain HTML, for notebooks that are shown without their widgets' state."""
        return ""

    def _ipython_display_(self, **_: Any) -> None:
        from IPython.display import display

        # Two outputs: a saved notebook's page draws the widget at the first, if nothing draws the second.
        display({"text/html": _page.place(self)}, raw=True)
        data, metadata = self._repr_mimebundle_()
        if html := self.still():
            data["text/html"] = html
        display(data, metadata=metadata, raw=True)

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take over traits from the page; what cannot be taken over is answered with an error."""
        try:
            with self._writing:
                super().set_state(sync_data)
        except Exception as error:
            self._refuse(None, type(error).__name__, str(error), "The page's change was not taken over.")
            self.send_state()

    def _handle_msg(self, msg: Any) -> None:
        data = msg["content"]["data"]
        if isinstance(data, dict) and "method" in data:
            super()._handle_msg(msg)
        else:
            self._refuse(None, "ValueError", f"The page sent {data!r}, which is no message.", "Reload the page.")

    def _on_message(self, _: Any, content: Any, __: Any) -> None:
        # An exception here would appear nowhere: the page has to be told.
        try:
            self._answer(content)
        except Exception as error:
            rid = content.get("rid") if isinstance(content, dict) else None
            self._refuse(rid, type(error).__name__, str(error), "Reload the page and run the cell again.")

    def _answer(self, content: Any) -> None:
        """Answer a message of the page. Widgets that take messages override it."""
        raise ValueError(f"A {type(self).__name__} takes no messages; the page sent {content!r}.")

    def _refuse(self, rid: Any, kind: str, message: str, hint: str) -> None:
        self.send(
            {
                "v": PROTOCOL,
                "rid": rid if isinstance(rid, str) else None,
                "op": "error",
                "error": {"kind": kind, "message": message, "hint": hint},
            }
        )


def refuse_unknown(name: str, unknown: dict[str, Any], known: list[str]) -> None:
    """Refuse keyword arguments that would be ignored.

    Raises:
        TypeError: `unknown` is not empty.
    """
    for argument in unknown:
        close = difflib.get_close_matches(argument, known, n=1)
        hint = f"did you mean {close[0]!r}" if close else f"it takes {', '.join(known)}"
        raise TypeError(f"{name}() got an unknown argument {argument!r}: {hint}.")
