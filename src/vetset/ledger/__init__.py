"""The ledger: what was done, and the only way by which bytes reach a run's folder or a cleaned dataset.

In it: `disk` (single operations), `sink` (products), `manifest` (what is said of a step), `record` (the ledger itself),
`verification` (whether it all still holds), `run` (runs made and found again). Not in it: what a step does.
Rules: nothing is written but through `Disk`; a product appears whole or not at all; a manifest is written last.
"""

from vetset.ledger.disk import Disk
from vetset.ledger.manifest import FOLDER, Manifest, Product, StepRoot, folder_product
from vetset.ledger.record import Failure, Ledger
from vetset.ledger.run import create_run, discard_run, open_run
from vetset.ledger.sink import ProductStream, Sink, pieces_of

__all__ = [
    "FOLDER",
    "Disk",
    "Failure",
    "Ledger",
    "Manifest",
    "Product",
    "ProductStream",
    "Sink",
    "StepRoot",
    "create_run",
    "discard_run",
    "folder_product",
    "open_run",
    "pieces_of",
]
