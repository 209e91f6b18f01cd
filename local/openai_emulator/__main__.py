"""`python -m local.openai_emulator`: serve until interrupted. The README lists the environment variables."""

import os
import sys

import uvicorn

from local.openai_emulator.app import create_app
from local.openai_emulator.emulator import Emulator
from local.openai_emulator.settings import SettingsError, settings_from


def main() -> int:
    try:
        settings = settings_from(os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    uvicorn.run(
        create_app(Emulator(settings)),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        ws="none",
        timeout_graceful_shutdown=2,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
