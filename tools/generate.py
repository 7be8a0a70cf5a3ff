"""Write the synchronous surface from its one source, the asyncio one: ``make generate``.

With ``--check`` nothing is written; the exit status says whether it would be.

What is awaited is called, and names are those of the other surface. In a source,

* a line that begins with ``# sync: `` stands, without that, in the synchronous module alone;
* what is between ``# asyncio`` and ``# end`` stands in the asyncio module alone.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "redset"
SOURCE = ROOT / "asyncio"
# The sources in `redset/asyncio`, each of which is written to `redset` under the same path:
# modules, and packages of which every module is a source.
MODULES = ("leases.py", "consumers.py", "first.py")
PACKAGES = ("_methods",)
NOTICE = "# Generated from redset/{source}: change that, then `make generate`.\n"

# Patterns of what is different, and what stands there in a synchronous program.
WORDS = (
    (r"\bawait ", ""),
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bAwaitableContext\b", "_Same"),
    (r"\bCoroutine\[Any, Any, ", "_Same["),
    (r"\b__a(iter|next|enter|exit)__\b", r"__\1__"),
    (r"\banext\(", "next("),
    (r"\baclose\(\)", "close()"),
    (r"\bAsync(Iterator|Iterable|Runner|PlanRunner|FirstRunner)\b", r"\1"),
    (r"\bAsyncGenerator\[T, None\]", "Generator[T, None, None]"),
    (r"\bAsyncGenerator\b", "Generator"),
    (r"(def (?:discard|clear)\(.*\) -> bool:)", r"\1  # type: ignore[override]"),
    (r"@overload(\n    def pop\(.*\n.*\n    \) -> T \|)", r"@overload  # type: ignore[override]\1"),
    (r"\b(Iterable\[(?:T|tuple\[T, float\])\]) \| \1", r"\1"),
    (r"\b(pull|scored)_async\b", r"\1"),
    (r"redset\._transport\.async_", "redset._transport."),
    (r"redset\.asyncio\.", "redset."),
)


def synchronous(source: str) -> str:
    """Return what a synchronous module says instead of *source*."""
    text = re.sub(r"^ *# asyncio\n.*?^ *# end\n", "", source, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^( *)# sync:(?: (.*))?$", r"\1\2", text, flags=re.MULTILINE)
    for pattern, replacement in WORDS:
        text = re.sub(pattern, replacement, text)
    for name, brackets in (("_Same", "[]"), ("_Same", "()"), ("run_shielded", "()")):
        text = without(text, name, brackets)
    return re.sub(r"^.*import (?:_Same|run_shielded)\n", "", text, flags=re.MULTILINE)


def without(text: str, name: str, brackets: str) -> str:
    """Return *text* with what is inside of ``name[...]`` in its place."""
    opening = name + brackets[0]
    while (start := text.find(opening)) >= 0:
        depth, end = 1, start + len(opening)
        while depth:
            depth += (text[end] == brackets[0]) - (text[end] == brackets[1])
            end += 1
        inside = text[start + len(opening) : end - 1]
        text = text[:start] + inside.strip().removesuffix(",") + text[end:]
    return text


def tidied(text: str, name: str) -> str:
    """Return *text* as the linter wants it: imports in order, none unused, lines wrapped."""
    # The linter of this environment, which is given a program of this package.
    for command in (("check", "--select", "F401,I", "--fix-only", "--quiet"), ("format",)):
        arguments = [sys.executable, "-m", "ruff", *command, "--stdin-filename", name, "-"]
        done = subprocess.run(arguments, input=text, capture_output=True, text=True, check=True)
        text = done.stdout
    return text


def modules_of(folder: Path) -> set[str]:
    """Return the paths below *folder* of the modules that are, or have, a source."""
    packages = (folder / package for package in PACKAGES)
    found = (module for package in packages for module in package.rglob("*.py"))
    return {*MODULES, *(module.relative_to(folder).as_posix() for module in found)}


def main() -> int:
    """Write the modules, or check that they are as they would be written."""
    check = "--check" in sys.argv
    sources, stale = modules_of(SOURCE), []
    for module in sorted(sources):
        text = NOTICE.format(source=f"asyncio/{module}")
        text += synchronous((SOURCE / module).read_text())
        path = ROOT / module
        text = tidied(text, str(path))
        if not path.exists() or path.read_text() != text:
            stale.append(module)
            if not check:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text)
    left = sorted(modules_of(ROOT) - sources)
    if stale:
        print("not as its source:" if check else "written:", *stale)
    if left:
        print("without a source, to be deleted:", *left)
    return 1 if left or (stale and check) else 0


if __name__ == "__main__":
    sys.exit(main())
