"""Who wrote the natural text, for the model card: a line for each story that says so itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from steerkit.storybook.train.documents import files, records

CREDITED = ("Text", "Translation", "Translated By", "Adaptation", "License")


def credits(paths: Sequence[Path]) -> Iterator[str]:
    """Credits of the stories in `.jsonl` files, a Markdown item each.

    Args:
        paths: The files, or folders of them; stories have a `title` and a list `credits`, such as `"Text: Ursula
            Nafula"`. Files whose stories have none are passed over.
    """
    for file in (file for path in paths for file in files(path)):
        if file.suffix != ".jsonl":
            continue
        for story in records(file):
            own = [credit for credit in story.get("credits", ()) if credit.partition(":")[0] in CREDITED]
            if own:
                yield " ".join(
                    f"- *{story['title'].strip()}*. {'; '.join(own)}".replace("[", "").replace("]", "").split()
                )
