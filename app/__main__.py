"""`python -m app`: settings from the environment, then the workers."""

import sys

from pydantic import ValidationError

from app.settings import Settings
from app.workers import START_FAILED, serve


def main() -> int:
    """Serves until it is told to stop; a wrong setting ends it with one line per mistake."""
    try:
        settings = Settings()
    except ValidationError as error:
        for entry in error.errors(include_url=False, include_input=False):
            name = "GAN_" + str(entry["loc"][0]).upper().removeprefix("GAN_")
            print(f"error: setting {name}: {entry['msg']}", file=sys.stderr)
        return START_FAILED
    return serve(settings)


if __name__ == "__main__":
    sys.exit(main())
