"""Built front-end files, and widgets in pages without a kernel.

The script in such pages is `js/src/host/static_page.ts`.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

import ipywidgets
from ipywidgets.embed import dependency_state

STATIC = Path(__file__).parent / "static"
STATE = "application/vnd.jupyter.widget-state+json"


def bundle(name: str) -> Path:
    """Path of a built front-end file.

    Raises:
        FileNotFoundError: The bundles are not built.
    """
    path = STATIC / name
    if not path.is_file():
        raise FileNotFoundError(
            f"The front-end file {name!r} of steerkit_widgets is not built. A wheel has it; in a "
            "checkout, `make bundles` or `pip install -e .` builds it."
        )
    return path


def place(widget: ipywidgets.Widget) -> str:
    """Where a page draws a widget whose state it has, with the script that does."""
    return f'<div data-sk-model="{widget.model_id}"></div><script>{bundle("static_page.js").read_text()}</script>'


def page(widget: ipywidgets.Widget) -> str:
    """A widget as a whole document, with its state.

    Raises:
        RuntimeError: The widget is closed, or one within it is.
        ValueError: The state has a NaN or an infinity, which no page can read.
    """
    title = type(widget).__name__
    for one in (widget, *(getattr(widget, name) for name in widget.keys)):
        if isinstance(one, ipywidgets.Widget) and one.comm is None:
            raise RuntimeError(
                f"This {type(one).__name__} is closed and has no state left to save. Make another: "
                f"{type(one).__name__}(...), and save it before you close it."
            )
    state = {"version_major": 2, "version_minor": 0, "state": dependency_state([widget], drop_defaults=False)}
    # What looks like a tag must not end the script.
    saved = json.dumps(state, allow_nan=False).replace("<", "\\u003c")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>:root{{color-scheme:light dark}}"
        "body{margin:24px auto;max-width:1040px;padding:0 16px;background:#fff}body:has(.sk-lab){max-width:1440px}"
        "@media (prefers-color-scheme:dark){body{background:#15181d}}</style>"
        f'<script type="{STATE}">{saved}</script><main>{place(widget)}</main></html>\n'
    )
