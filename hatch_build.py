"""What the wheel holds. In the repository `app` and `model` are at the top; other people's packages
have these names too, so that an installed copy has both inside `ganserve`, as `ganserve.app` and
`ganserve.model`, and its imports say so. An editable install is the repository itself.
"""

import ast
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OUTER = "ganserve"
INNER = ("app", "model")


class CustomBuildHook(BuildHookInterface):
    """Moves the packages of the repository into one."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds them to a wheel."""
        if self.target_name != "wheel" or version == "editable":
            return
        self._place = tempfile.TemporaryDirectory()
        whole = Path(self._place.name)
        for source, target in ((OUTER, whole), *((name, whole / name) for name in INNER)):
            left_out = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(Path(self.root, source), target, ignore=left_out, dirs_exist_ok=True)
        for file in whole.rglob("*.py"):
            file.write_text(with_outer_names(file.read_text("utf-8"), file), "utf-8")
        build_data["force_include"][str(whole)] = OUTER

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Removes what was made for the wheel."""
        if hasattr(self, "_place"):
            self._place.cleanup()


def with_outer_names(source: str, file: Path) -> str:
    """Returns a module whose imports of `app...` and `model...` name `ganserve.app...` and
    `ganserve.model...`; everything else, line by line, as it was.

    Raises:
        ValueError: an import binds the outer name, `import model.x`, which would bind another one.
    """
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        names: list[tuple[str, str, int, int]] = []  # module, what comes before it, line, column
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [(node.module or "", "from ", node.lineno, node.col_offset)]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if _is_inner(alias.name) and alias.asname is None:
                    raise ValueError(f"{file}:{node.lineno}: import {alias.name} without `as`")
                names.append((alias.name, "", alias.lineno, alias.col_offset))
        for module, before, number, column in names:
            if not _is_inner(module):
                continue
            line = lines[number - 1].encode()  # columns count bytes
            start = column + len(before)
            if line[start : start + len(module)] != module.encode():
                raise ValueError(f"{file}:{number}: an import that is not written in one line")
            lines[number - 1] = (line[:start] + f"{OUTER}.".encode() + line[start:]).decode()
    return "".join(lines)


def _is_inner(module: str) -> bool:
    return module.partition(".")[0] in INNER
