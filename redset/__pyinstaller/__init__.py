"""What PyInstaller asks of a package: where the hooks are that say what a program brings along."""

from pathlib import Path


def hook_directories() -> list[str]:
    """Return the directory with the hook of redset (entry point ``pyinstaller40``)."""
    return [str(Path(__file__).parent)]
