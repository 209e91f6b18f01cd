"""Pictures of pages for `docs/pictures`, which `make pictures` takes: the use cases make the pages over fakes."""

import tempfile
from pathlib import Path

from tests.pages.browser import ROOT, chromium, install
from tests.pages.made_pages import index, partly_failed

PICTURES = ROOT / "docs" / "pictures"


def main() -> None:
    """Take a picture of the report on a desk, one of it on a phone in the dark, and one of the index."""
    install()
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        report, listed = Path(folder) / "report.html", Path(folder) / "index.html"
        report.write_bytes(partly_failed(Path(folder), rows=3_000))
        listed.write_bytes(index(Path(folder)))
        for name, path, width, height, scheme in (
            ("report", report, 1_200, 1_500, "light"),
            ("report-phone", report, 400, 860, "dark"),
            ("index", listed, 1_200, 900, "light"),
        ):
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if scheme == "dark" else "light",
                device_scale_factor=1.5 if width < 600 else 1,
            )
            page = context.new_page()
            page.goto(path.as_uri())
            page.screenshot(path=PICTURES / f"{name}.png")
            context.close()


if __name__ == "__main__":
    main()
