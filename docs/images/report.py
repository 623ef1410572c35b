"""Take the picture of the demonstration's report, report.png: ``make demo``, then ``python docs/images/report.py``.

It needs Chromium, which is no dependency of the project.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "reports" / "report.html"
SIZE = "1100,1460"


def main() -> None:
    """Write report.png beside this file."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None or not REPORT.is_file():
        sys.exit(f"needs Chromium and {REPORT}: run 'make demo' first")
    picture = Path(__file__).with_suffix(".png")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={SIZE}"]
    subprocess.run([browser, *options, f"--screenshot={picture}", REPORT.as_uri()], check=True)  # noqa: S603


if __name__ == "__main__":
    main()
