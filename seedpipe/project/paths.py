"""Where the stages of a project find and leave their files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from seedpipe.files import StrPath


@dataclass(frozen=True)
class ProjectPaths:
    """The folders that the stages write, under one base."""

    base: StrPath = Path()

    def manifests(self, corpus: str) -> Path:
        """Manifests of the training corpus, ``train``, or of an evaluation list."""
        return Path(self.base, "data_manifests", corpus)

    def network(self, name: str) -> str:
        """What to load a network by: its folder in the project, or its name where it has none."""
        folder = Path(self.base, "networks", name)
        return str(folder) if folder.is_dir() else name

    def cache(self, network: str, corpus: str) -> Path:
        """Cache of a network and a corpus."""
        return Path(self.base, "cache", network, corpus)

    def model(self, network: str, enhancer: str) -> Path:
        """Enhancer trained for a network."""
        return Path(self.base, "models", network, enhancer)

    def results(self, network: str, enhancer: str, corpus: str) -> Path:
        """Scores and metrics of a network and an enhancer on an evaluation list."""
        return Path(self.base, "results", network, enhancer, corpus)

    def metrics(self, network: str, enhancer: str, corpus: str) -> Path:
        """The few numbers of them that DVC shows, behind a path that leaves room for them."""
        return Path(self.base, "reports", network, enhancer, f"{corpus}.json")

    def training(self, network: str, enhancer: str) -> Path:
        """Figures and curve of a training."""
        return Path(self.base, "results", network, enhancer, "training.json")

    @property
    def report(self) -> Path:
        """The report over all networks and lists."""
        return Path(self.base, "reports", "report.html")
