"""Pictures by CircuitsVis, with its script inside: its own HTML would ask the network first."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from steerkit import pages

if TYPE_CHECKING:
    from circuitsvis.utils.render import RenderedHTML


# Its colours are made for a white page; its enlarged head would have no width of its own.
STYLE = """<style>
.sk-drawing{background:#fff;color:#1b1f24;color-scheme:light;border-radius:8px;padding:8px;overflow:auto}
.sk-drawing [style*="aspect-ratio"]{width:100%!important}
.sk-page details>summary{cursor:pointer;margin:.5em 0}.sk-page details{overflow:auto}
</style>"""


class Drawing:
    """A picture that CircuitsVis draws in any page that runs scripts, and the same in plain words below it.

    Args:
        title: What is shown.
        drawn: The picture.
        words: The same as plain HTML, for those who do not see it or have no mouse.
    """

    def __init__(self, title: str, drawn: RenderedHTML, words: str) -> None:
        self._title, self._drawn, self._words = title, drawn, words

    def save_html(self, path: str | os.PathLike[str]) -> None:
        """Write the picture as one HTML file that needs no kernel and no network."""
        Path(path).write_text(pages.page(self._title, self._block()), encoding="utf-8")

    def _block(self) -> str:
        return (
            f'{STYLE}<div class="sk-drawing">{_inline(self._drawn)}</div>'
            f"<details><summary>In words</summary>{self._words}</details>"
        )

    def _repr_html_(self) -> str:
        return pages.fragment(pages.heading(self._title), self._block())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._title})"


@contextmanager
def needed(view: str) -> Iterator[None]:
    """Say what to install where CircuitsVis is missing.

    Raises:
        ImportError: It is.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "circuitsvis":
            raise
        raise ImportError(
            f"{view} needs the package circuitsvis, which is not installed. Install steerkit-lab[lab].",
            name="circuitsvis",
        ) from None


def shown(tokens: Iterable[str]) -> list[str]:
    """Tokens as CircuitsVis can take them: it writes them into the page as HTML.

    Behind what would begin a tag or an entity stands a word joiner, which is not seen.
    """
    return [re.sub("[<&]", "\\g<0>\u2060", token) for token in tokens]


def _inline(drawn: RenderedHTML) -> str:
    script, call, rest = drawn.local_src.rpartition("CircuitsVis.render(")
    given, end, tail = rest.rpartition("</script>")
    # What looks like a tag must not end the script; the map of its sources is not there.
    plain = script.replace("//# sourceMappingURL=iife.js.map", "")
    return plain + call + given.replace("<", "\\u003c") + end + tail
