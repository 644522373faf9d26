"""Diffs for other packages, applied to copies of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = Path(__file__).parents[2] / "docs" / "upstream"


def patched(package: ModuleType, tmp_path: Path, *options: str) -> Path:
    """Copy a package and apply its diff there, with options of ``git apply``; the copy's folder."""
    name = package.__name__
    assert package.__file__ is not None
    shutil.copytree(Path(package.__file__).parent, tmp_path / name)
    apply = ["git", "apply", "--unidiff-zero", *options, str(FOLDER / f"{name}.diff")]
    subprocess.run(apply, cwd=tmp_path, check=True)
    return tmp_path / name


def printed_by(code: str, folder: Path) -> Any:
    """The JSON that code prints which imports the packages of a folder."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=os.environ | {"PYTHONPATH": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(run.stdout)
