"""Two ports, where the operator asks for them: one for everyone, one for the operator alone.

public  everything but the operator's paths
admin   the operator's paths, without API keys: whoever reaches the port may read them
both    probes
"""

OPERATORS = frozenset(("/metrics", "/docs", "/openapi.json"))
OPERATORS_FOLDER = "/admin/"
PROBES = frozenset(("/livez", "/healthz", "/readyz"))


def answers(path: str, on_admin_port: bool) -> bool:
    """Returns whether a path is answered on this port."""
    if path in PROBES:
        return True
    return (path in OPERATORS or path.startswith(OPERATORS_FOLDER)) is on_admin_port
