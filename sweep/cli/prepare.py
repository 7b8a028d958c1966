"""The commands before the work, which read a user's files: `validate`, `prepare`, `submit`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from sweep import paths
from sweep.cli.console import new_console, print_json, task_display
from sweep.cli.options import LARGEST, AsJson, PreparedFolder, Storage, SweepFile

MAX_WARNINGS = 5
"""Of a prepared dataset that are printed; its report has all."""

app = typer.Typer()


@app.command()
def validate(file: SweepFile, as_json: AsJson = False) -> None:
    """Check a sweep file, without images or database: what is missing, what it will cost."""
    from sweep.submission.estimate import estimate

    found = estimate(file)
    if as_json:
        print_json(found.as_json())
        return
    new_console().print(found.as_text(), soft_wrap=True)


@app.command()
def prepare(
    file: Annotated[Path, typer.Argument(metavar="DATASET", help="A dataset file or a data.yaml.")],
    out: PreparedFolder = None,
    as_json: AsJson = False,
) -> None:
    """Prepare a dataset: read, mend, split, and write what trainings read."""
    from sweep.data.dataset_file import DatasetSpec
    from sweep.data.prepare import prepare as write

    console = new_console(stderr=as_json)
    dataset = write(DatasetSpec.load(file), out or paths.PREPARED, progress=task_display(console))
    if as_json:
        print(json.dumps({"path": str(dataset.path), "fingerprint": dataset.fingerprint}))
        return
    for split, images in dataset.images_per_split.items():
        console.print(f"{split}: {images} images, {dataset.boxes_per_split[split]} boxes")
    report = json.loads(dataset.report.read_text())
    counts = report["boxes_per_class"]
    for name in dataset.classes:
        totals = ", ".join(f"{split} {counts[split][name]}" for split in counts)
        console.print(f"{name}: {totals} boxes", soft_wrap=True)
    for warning in report["warnings"][:MAX_WARNINGS]:
        console.print(f"warning: {warning}", soft_wrap=True)
    console.print(str(dataset.path), soft_wrap=True)
    console.print(f"{dataset.preview} shows it", soft_wrap=True)


@app.command()
def submit(
    file: SweepFile,
    storage: Storage = paths.DEFAULT_STORAGE,
    priority: Annotated[
        int | None,
        typer.Option(
            min=-LARGEST,
            max=LARGEST,
            help="Workers take the sweep with the highest first; default 0.",
        ),
    ] = None,
) -> None:
    """Queue a sweep for workers; the same file again changes only its priority."""
    from sweep.submission.submit import load
    from sweep.submission.submit import submit as queue

    spec, console = load(file), new_console()
    name = spec.name
    submitted = queue(storage, spec, file, progress=task_display(console))
    if priority is not None:
        from storage.queue import commands

        commands.set_priority(submitted.database.engine, name, priority)
    if submitted.done:
        console.print(f"{name} is done; `sweep report {name}` shows it")
    elif submitted.new:
        if submitted.need is not None:
            console.print(submitted.need.text)
        console.print(f"{name} is queued; `sweep worker {name}` works on it")
    else:
        console.print(f"{name} was queued before; nothing changed")
