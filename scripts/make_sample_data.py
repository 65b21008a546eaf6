"""Write the built-in sample data again; the same seed gives the same bytes.

python scripts/make_sample_data.py --out src/qtui/builtin/data/camara
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from qtui.builtin import camara, data_path


def write(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """One JSON object a line, UTF-8, line feeds; returns the number of rows."""
    lines = [json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return len(lines)


def write_all(folder: Path, seed: int = camara.SEED) -> dict[str, int]:
    """All row files of the data set into `folder`; the schema there is written by hand."""
    folder.mkdir(parents=True, exist_ok=True)
    count = {
        split: write(folder / f"{split}.jsonl", camara.generate(seed, n, split))
        for split, n in camara.ROWS.items()
    }
    count["preferences"] = write(
        folder / "preferences.jsonl", camara.preferences(seed, camara.PREFERENCES)
    )
    return count


def main() -> None:
    """Parse and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=data_path())
    parser.add_argument("--seed", type=int, default=camara.SEED)
    given = parser.parse_args()
    for name, rows in write_all(given.out, given.seed).items():
        print(f"{name}: {rows} rows")


if __name__ == "__main__":
    main()
