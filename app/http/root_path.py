"""The path under which a proxy shows the service: `/gan`, where it passes /gan/generate on as
/generate. Whatever leads a client to us by its path is written with it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from starlette.types import Scope

_in_force: ContextVar[str] = ContextVar("root_path", default="")


def public(path: str) -> str:
    """Returns a path of ours as clients have to ask for it."""
    return _in_force.get() + path


@contextmanager
def under(root_path: str) -> Iterator[None]:
    """Writes paths with this one before them, in what is called here and begun here."""
    token = _in_force.set(root_path)
    try:
        yield
    finally:
        _in_force.reset(token)


def without(root_path: str, scope: Scope) -> Scope:
    """Returns the scope of a request as if its proxy had left the root path out, as most do."""
    path: str = scope["path"]
    if root_path and path.startswith(f"{root_path}/"):
        return {**scope, "path": path.removeprefix(root_path)}
    return scope
