"""`python -m app`: settings from the environment, then uvicorn."""

import logging
import sys

import uvicorn
from pydantic import ValidationError

from app.main import create_app
from app.settings import Settings

START_FAILED = 3  # uvicorn's own exit status for the same


def main() -> int:
    """Serves until it is told to stop; a wrong setting ends it with one line per mistake."""
    try:
        settings = Settings()
    except ValidationError as error:
        for entry in error.errors(include_url=False, include_input=False):
            name = "GAN_" + str(entry["loc"][0]).upper().removeprefix("GAN_")
            print(f"error: setting {name}: {entry['msg']}", file=sys.stderr)
        return START_FAILED
    logging.basicConfig(level=logging.INFO, format="%(levelname)s:     %(message)s")
    uvicorn.run(create_app(settings), host=settings.host, port=settings.port, access_log=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
