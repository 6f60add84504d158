"""Executes every notebook of this folder; a cell that fails fails the run."""

import pathlib
import sys

import nbformat
from nbclient import NotebookClient


here = pathlib.Path(__file__).parent
check = sys.argv[1:] == ["--check"]
for path in sorted(here.glob("*.ipynb")):
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": here}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    if not check:
        nbformat.write(notebook, path)
    print(f"{path.name}: {sum(cell.cell_type == 'code' for cell in notebook.cells)} cells executed")
