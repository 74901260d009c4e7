"""The `steerkit` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from steerkit import __version__
from steerkit.errors import SteerkitError

PROMPT = "Once upon a time, there was a little girl named Lily. One day, Lily went to the park"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="steerkit", description="Read and steer the features of a language model.")
    parser.add_argument("--version", action="version", version=f"steerkit {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    demo = commands.add_parser("demo", help="learn a direction from pairs, read along it, steer with it")
    demo.add_argument("--model", required=True, help="a folder, or a name on the Hugging Face hub")
    demo.add_argument("--pairs", help="tab-separated file: a header naming the two sides, then a pair a line")
    demo.add_argument("--site", help="where to read and steer, such as 3.resid_post (default: the middle layer)")
    demo.add_argument("--strength", type=float, default=0.6, help="how many times to add the direction (default: 0.6)")
    demo.add_argument(
        "--prompt", default="Once upon a time, there was a little girl named Lily. One day, Lily went to the park"
    )
    demo.add_argument("--max-new-tokens", type=int, default=100, metavar="N")
    demo.add_argument("--seed", type=int, default=0)
    demo.add_argument("--output", default="steerkit-demo.html", help="page to write (default: steerkit-demo.html)")
    demo.set_defaults(run=_demo)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except SteerkitError as error:
        print(f"steerkit: {error}", file=sys.stderr)
        return 2
    return 0


def _demo(options: argparse.Namespace) -> None:
    from steerkit.demo import demo

    demo(
        options.model,
        pairs=options.pairs,
        site=options.site,
        strength=options.strength,
        prompt=options.prompt,
        max_new_tokens=options.max_new_tokens,
        seed=options.seed,
        output=options.output,
    )


if __name__ == "__main__":
    sys.exit(main())
