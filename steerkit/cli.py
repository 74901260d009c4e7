"""The `steerkit` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points

from steerkit import __version__, embedded
from steerkit.errors import SteerkitError

# Entry points that give further commands their options: what they need is imported only where one is asked for.
COMMANDS = "steerkit.commands"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="steerkit", description="Read and steer the features of a language model.")
    parser.add_argument("--version", action="version", version=f"steerkit {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    demo = commands.add_parser("demo", help="read a text along features, steer stories with them")
    demo.add_argument("--model", default=embedded.NAME, help="a folder, or a name on the hub (default: the one within)")
    what = demo.add_mutually_exclusive_group()
    what.add_argument("--features", nargs="+", metavar="LABEL", help="features of the model's own dictionary")
    what.add_argument(
        "--pairs",
        nargs="?",
        const="",
        metavar="FILE",
        help="learn from a tab-separated file: a header naming the two sides, a pair a line (default: happy and sad "
        "sentences, which are within)",
    )
    demo.add_argument(
        "--site",
        help="where to read and steer, such as 3.resid_post (default: where the features are; for pairs, the middle "
        "layer)",
    )
    demo.add_argument(
        "--strength",
        type=float,
        help="of features: how many times each token's activation norm to add (default: 0.33); of what is learned from "
        "pairs: how many times to add the direction (default: 0.6)",
    )
    demo.add_argument("--prompt", default=embedded.BEGINNING)
    demo.add_argument("--max-new-tokens", type=int, default=160, metavar="N")
    demo.add_argument("--seed", type=int, default=0)
    demo.add_argument("--output", default="steerkit-demo.html", help="page to write (default: steerkit-demo.html)")
    demo.set_defaults(run=_demo)
    for point in entry_points(group=COMMANDS):
        command = commands.add_parser(point.name, help=f"steerkit {point.name} --help says what it does")
        if point.name in arguments[:1]:
            point.load()(command)
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
        features=options.features,
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
