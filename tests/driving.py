"""Drives whole audits for tests: writes a dataset and lists, runs the job in process, and reads back what was found.

Outcomes of rows come from the opened vault and from the cleaned files, never from the code that decided them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vetset.config import AuditSettings, PolicySettings, RunSettings, Settings
from vetset.hashlists.compiled import compile_list
from vetset.ledger import Disk, open_run
from vetset.records import TaskReport
from vetset.vault import Vault, open_keys, read_identities
from vetset.wiring.job import Result, audit
from vetset.wiring.opening import Request

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SIGNAL_ORDER = ("md5", "sha1", "sha256", "pdq", "url", "url_md5", "url_sha1", "url_sha256")


#: Tables of settings that a test may give whole.
TABLES = ("fingerprint", "match", "sandbox", "pictures", "agreement", "budget", "fetch", "platforms")


class Silent:
    """A watcher that looks away."""

    def stage(self, name: str, shards_total: int, rows_total: int | None) -> None: ...
    def advance(self, report: TaskReport) -> None: ...
    def follow(self, look: Any) -> None: ...
    def finish(self) -> None: ...


@dataclass
class Place:
    """Folders of one test: dataset, lists, run, cleaned dataset, configuration."""

    root: Path
    lists: list[Path] = field(default_factory=list)

    @property
    def dataset(self) -> Path:
        return self.root / "dataset"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def cleaned(self) -> Path:
        return self.root / "cleaned"

    @property
    def config(self) -> Path:
        return self.root / "config"

    def write(self, shards: Mapping[str, pa.Table], **options: Any) -> None:
        """Parquet shards by relative path."""
        for name, table in shards.items():
            path = self.dataset / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, path, **options)

    def list_of(self, name: str, values: Mapping[str, Sequence[str]], **options: Any) -> Path:
        """Compiles a list from text lines; the values are as a text source spells them."""
        source = self.root / f"{name}.txt"
        lines = [f"{signal} {value}" for signal in SIGNAL_ORDER for value in values.get(signal, ())]
        source.write_text("\n".join(lines) + "\n", "utf-8")
        target = self.root / f"{name}.vsl"
        compile_list([source], target, name=name, **{"version": 1, "created": NOW, "recipients": (), **options})
        self.lists.append(target)
        return target

    def request(self, **changes: Any) -> Request:
        audit_names = AuditSettings.__dataclass_fields__
        audit_settings = AuditSettings(**{name: changes.pop(name) for name in list(changes) if name in audit_names})
        settings = Settings(
            audit=audit_settings,
            run=changes.pop("run_settings", RunSettings(runner="serial", batch_rows=64)),
            policy=changes.pop("policy", PolicySettings()),
            columns=changes.pop("columns", {}),
            lists=changes.pop("lists_settings", {}),
            **{name: changes.pop(name) for name in TABLES if name in changes},
        )
        given = {
            "dataset": str(self.dataset),
            "lists": tuple(self.lists),
            "run": self.run,
            "clean": self.cleaned,
            "settings": settings,
            "config_folder": self.config,
            "now": NOW,
        }
        return Request(**{**given, **changes})

    def audit(self, *, disk: Disk | None = None, **changes: Any) -> Result:
        return audit(self.request(**changes), Silent(), lambda: 0.0, disk)

    # --- reading back ----------------------------------------------------------------------------------------------

    def vault(self) -> tuple[Vault, dict[str, Any]]:
        """Opened with the run's own key, or once that is gone with the custodian's."""
        ledger, known = open_run(self.run)
        identities = read_identities([path for path in [self.config / "custodian.key"] if path.is_file()])
        return Vault(ledger.sink, open_keys(ledger, identities), known["recipients"], identities), known

    def findings(self) -> list[dict[str, Any]]:
        """Every finding without its case id, sorted: what must be the same on any runner and after any crash."""
        vault, known = self.vault()
        lines: list[dict[str, Any]] = []
        for step in ("screen", "match", "expand"):
            for shard in known["inputs"]:
                if (self.run / "manifests" / step / f"{shard['id']}.json").is_file():
                    lines += vault.finding_lines(step, shard["id"])
        plain = [json.loads(json.dumps(line, default=str)) for line in lines]
        for line in plain:
            line.pop("case")
        return sorted(plain, key=lambda line: json.dumps(line, sort_keys=True))

    def held(self) -> set[tuple[str, int]]:
        vault, known = self.vault()
        rows = set()
        for shard in known["inputs"]:
            if (self.run / "vault" / "held" / f"{shard['id']}.age").is_file():
                for line in vault.lines("held", shard["id"]):
                    rows |= {(shard["path"], row) for row in line["rows"]}
        return rows

    def outcomes(self) -> dict[tuple[str, int], str]:
        """hit, expanded and held rows by (shard path, row)."""
        found = {(line["shard"], line["row"]): line["outcome"] for line in self.findings()}
        found.update(dict.fromkeys(self.held(), "held"))
        return found

    def tallies(self) -> dict[str, dict[str, int]]:
        """The final sealed tally of each shard, by its path."""
        vault, known = self.vault()
        step = "expand" if (self.run / "manifests" / "expand").is_dir() else "screen"
        ids = {shard["id"]: shard["path"] for shard in known["inputs"]}
        return {path: vault.tally_of(step, shard_id) for shard_id, path in ids.items()}

    def cleaned_bytes(self) -> dict[str, bytes]:
        files = [path for path in self.cleaned.rglob("*") if path.is_file()]
        return {path.relative_to(self.cleaned).as_posix(): path.read_bytes() for path in sorted(files)}

    def results_bytes(self) -> dict[str, bytes]:
        files = [path for path in (self.run / "results").rglob("*") if path.is_file()]
        return {path.relative_to(self.run).as_posix(): path.read_bytes() for path in sorted(files)}

    def summary(self) -> dict[str, Any]:
        published: dict[str, Any] = json.loads((self.run / "summary.json").read_text("utf-8"))
        return published

    def sameness(self) -> dict[str, Any]:
        """All that the design calls *same*: cleaned files, results and tallies, and the opened vault."""
        summary = self.summary()
        summary.pop("timing", None)
        summary.pop("run", None)
        for item in summary["hits"]["noisy"] if isinstance(summary["hits"]["noisy"], list) else []:
            item.pop("entry")  # an opaque id under the run's own key
        return {
            "cleaned": self.cleaned_bytes(),
            "results": self.results_bytes(),
            "tallies": self.tallies(),
            "findings": self.findings(),
            "held": self.held(),
            "summary": summary,
        }
