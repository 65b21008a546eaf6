"""A run's metrics as a table, for spreadsheets and scripts."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from typing import TextIO

from qtui.runs.series import History

Table = list[dict[str, int | float | None]]


def metrics_table(history: History) -> Table:
    """One row a step, ascending: `step`, `epoch`, then every metric of the run.

    Every row has every column; what was not measured at a step, or was not finite, is `None`.
    """
    columns = {"epoch": history.epochs} | {name: history.metric(name) for name in history.names()}
    steps = sorted(set().union(*(column[0] for column in columns.values())))
    rows: Table = [{"step": step} | dict.fromkeys(columns) for step in steps]
    place = dict(zip(steps, rows, strict=True))
    for name, (measured, values) in columns.items():
        for step, value in zip(measured, values, strict=True):
            place[step][name] = value
    return rows


def write_csv(rows: Sequence[dict[str, int | float | None]], file: TextIO) -> None:
    """Write the table as CSV (RFC 4180) with a header; `None` is an empty cell."""
    writer = csv.writer(file)
    columns = list(rows[0]) if rows else ["step", "epoch"]
    writer.writerow(columns)
    writer.writerows([row[column] for column in columns] for row in rows)


def write_json(rows: Sequence[dict[str, int | float | None]], file: TextIO) -> None:
    """Write the table as one JSON array of objects, a row a line."""
    file.write("[")
    for number, row in enumerate(rows):
        file.write(",\n " if number else "\n ")
        json.dump(row, file, allow_nan=False)
    file.write("\n]\n" if rows else "]\n")
