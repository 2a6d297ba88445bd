"""Keep the histories of a release unchanged. At each release: `.venv/bin/python -m tests.histories.keep 0.2.0`."""

import hashlib
import sys
from pathlib import Path

HERE = Path(__file__).parent
KEPT = HERE / "SHA256SUMS"  # a line `# 0.1.0` precedes the histories of that release; `sha256sum --check` reads it


def kept() -> dict[str, str]:
    """Return name → checksum of each history that belongs to a release."""
    lines = [line.split("  ") for line in KEPT.read_text().splitlines() if line and not line.startswith("#")]
    return {Path(file).stem: checksum for checksum, file in lines}


def releases() -> list[str]:
    return [line.removeprefix("# ") for line in KEPT.read_text().splitlines() if line.startswith("#")]


def checksum(name: str) -> str:
    return hashlib.sha256((HERE / f"{name}.json").read_bytes()).hexdigest()


def keep(release: str) -> None:
    new = sorted({path.stem for path in HERE.glob("*.json")} - set(kept()))
    lines = [f"{checksum(name)}  {name}.json" for name in new]
    KEPT.write_text("\n".join([KEPT.read_text().rstrip(), "", f"# {release}", *lines]) + "\n")


if __name__ == "__main__":
    keep(*sys.argv[1:])
