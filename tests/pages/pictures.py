"""Pictures of the report for `docs/pictures`, which `make pictures` takes: the use cases make the page over fakes."""

import tempfile
from pathlib import Path

from tests.pages.browser import ROOT, chromium, install
from tests.pages.made_pages import partly_failed

PICTURES = ROOT / "docs" / "pictures"


def main() -> None:
    """Take a picture of the report on a desk, and one of it on a phone in the dark."""
    install()
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        path = Path(folder) / "report.html"
        path.write_bytes(partly_failed(Path(folder), rows=3_000))
        for name, width, height, scheme in (("report", 1_200, 1_500, "light"), ("report-phone", 400, 860, "dark")):
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if scheme == "dark" else "light",
                device_scale_factor=1 if name == "report" else 1.5,
            )
            page = context.new_page()
            page.goto(path.as_uri())
            page.screenshot(path=PICTURES / f"{name}.png")
            context.close()


if __name__ == "__main__":
    main()
