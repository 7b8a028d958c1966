"""The command `best`: what to take home of a sweep."""

import typer

from sweep import paths
from sweep.api.database import look
from sweep.cli.console import new_console, print_json
from sweep.cli.options import AsJson, Storage, SweepName
from sweep.errors import SweepError

app = typer.Typer()


@app.command()
def best(
    name: SweepName, storage: Storage = paths.DEFAULT_STORAGE, as_json: AsJson = False
) -> None:
    """Say where the best model and its settings are, and how to go on with them in Ultralytics."""
    from storage.snapshot.reader import read_sweep
    from sweep.api.best import best_model, hints_as_json
    from sweep.report.hints import hints
    from sweep.worker.best_files import write_best
    from sweep.worker.faults import telling_spoilt

    engine = look(storage)
    with telling_spoilt(engine, name):
        write_best(engine, name)  # of a sweep that ended before, or whose worker could not
        record = read_sweep(engine, name)
        found, to_know = best_model(record), hints(record)
    if found is None:
        why = to_know[-1].text if to_know else "no trial has completed with a score above 0 yet"
        raise SweepError(f"{name}: {why}")
    if as_json:
        print_json({"name": name, **found.as_json(), "hints": hints_as_json(to_know)})
        return
    console = new_console()
    lines = [
        f"best: {found.headline}",
        f"weights: {found.weights or 'none here'}",
        f"settings: {found.settings or 'none here'}",
        *(f"{what}: {line}" for what, line in found.commands.items()),
        *(hint.text for hint in to_know),
    ]
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)
