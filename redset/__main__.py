"""``python -m redset``: the command line; the commands themselves are in other modules."""

import argparse
import sys
from collections.abc import Sequence

import redset.asyncio.demo
from redset import __version__, demo


def worker_count(text: str) -> int:
    """Read the number of workers; argparse turns the error into its usage message."""
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"at least 1 worker is needed, got {count}")
    return count


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m redset", description="Sets that processes share."
    )
    parser.add_argument("--version", action="version", version=f"redset {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    command = commands.add_parser("demo", help=demo.PROMISE, description=demo.PROMISE)
    command.add_argument("--workers", type=worker_count, default=4, help="processes (default: 4)")
    command.add_argument("--url", help="a server to use (default: one that lives for this run)")
    command.add_argument("--package", help="an installed package to map instead")
    command.add_argument(
        "--asyncio",
        dest="target",
        action="store_const",
        const=redset.asyncio.demo.work_in_tasks,
        default=demo.work_alone,
        help="let each process run several tasks in an event loop",
    )
    return demo.main(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
