"""Models where others look for them: the Hub's conventions, by way of the package huggingface_hub.

A name ``user/name`` that is no folder here is a model of the Hub; nothing is fetched for anything else. What was
fetched once lies in the cache of that package, and is used from there where there is no connection.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch

from seedpipe.errors import MissingExtraError, ModelError, install, shortage
from seedpipe.files import StrPath, whole_files

FRONT = re.compile(r"\A---\n.*?\n---\n+", re.DOTALL)
NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
CARD, BESIDE = "README.md", ("curve.csv", "calibration.json")  # of a model folder, besides weights and configuration
FILES = ("model.safetensors", "config.json", CARD, *BESIDE)
TAGS = ("speaker-verification", "speaker-recognition", "speaker-embeddings")


class OnHub:
    """What an enhancer has to do with the Hub, and with the files beside its weights.

    Attributes
    ----------
    beside : dict of str to bytes
        Card, curve and calibration of the folder that the model is from, by name.
    """

    beside: dict[str, bytes]

    @classmethod
    def from_pretrained(
        cls,
        name: StrPath,
        *,
        revision: str | None = None,
        device: str | torch.device = "cpu",
        token: str | None = None,
        endpoint: str | None = None,
    ) -> Self:
        """Load a model folder, or a model of the Hub.

        Parameters
        ----------
        name : str or PathLike
            A folder, or ``user/name`` on the Hub where there is no such folder here.
        revision : str, optional
            Branch, tag or commit on the Hub.
        device : str or torch.device
        token, endpoint : str, optional
            As for huggingface_hub, which has defaults for both.

        Raises
        ------
        ModelError
            There is no such model, here or there, or it cannot be had: without a connection only what was fetched
            before.
        MissingExtraError
            It is on the Hub, and huggingface_hub is not installed.
        """
        folder = model_folder(name, revision=revision, token=token, endpoint=endpoint)
        return cls.load(folder, device)  # type: ignore[attr-defined,no-any-return]

    def save_pretrained(self, folder: StrPath, *, license: str = "", datasets: Sequence[str] = ()) -> None:  # noqa: A002
        """Write a model folder whose card begins with what the Hub reads.

        Parameters
        ----------
        folder : str or PathLike
        license : str
            Of the model, as the Hub names it (``cc-by-4.0``). Left out where it is not given: nobody can guess it.
        datasets : sequence of str
            What it was trained on, as the Hub names it.

        Raises
        ------
        ModelError
            The folder there is no whole model, or holds other files.
        """
        card = self.beside.get(CARD, b"").decode(errors="replace") or self._plain_card()
        self.save(folder, front_matter(self, license, datasets) + FRONT.sub("", card))  # type: ignore[attr-defined]
        others = {name: self.beside[name] for name in BESIDE if name in self.beside}
        with whole_files([Path(folder, name) for name in others]) as partials:
            for partial, contents in zip(partials, others.values(), strict=True):
                partial.write_bytes(contents)

    def push_to_hub(
        self,
        name: str,
        *,
        license: str = "",  # noqa: A002
        datasets: Sequence[str] = (),
        private: bool = False,
        revision: str | None = None,
        token: str | None = None,
        endpoint: str | None = None,
    ) -> str:
        """Write the model to the Hub, into a repository that is made where there is none.

        Parameters
        ----------
        name : str
            ``user/name``.
        license, datasets
            As for :meth:`save_pretrained`.
        private : bool
            Whether a new repository is.
        revision : str, optional
            Branch.
        token, endpoint : str, optional
            As for huggingface_hub.

        Returns
        -------
        str
            Address of the commit.

        Raises
        ------
        ModelError
            The Hub cannot be reached, or refuses.
        MissingExtraError
            huggingface_hub is not installed.
        """
        if not NAME.fullmatch(name):
            raise ModelError(f"{name!r} is no name on the Hub", expected="user/name")
        api = _package().HfApi(endpoint=endpoint, token=token)
        with tempfile.TemporaryDirectory(prefix="seedpipe-") as folder:
            model = Path(folder, "model")
            self.save_pretrained(model, license=license, datasets=datasets)
            try:
                api.create_repo(name, private=private, exist_ok=True)
                done = api.upload_folder(
                    repo_id=name, folder_path=model, revision=revision, commit_message="Model of seedpipe"
                )
            except Exception as error:
                raise _refused(name, error, "written") from error
        return str(done.commit_url)

    def from_folder(self, folder: Path) -> Self:
        """Note the files beside the weights."""
        self.beside = {name: (folder / name).read_bytes() for name in (CARD, *BESIDE) if (folder / name).is_file()}
        return self

    def _plain_card(self) -> str:
        """A card for a model that has none of its training."""
        text, network = self.card_text(), self.config.network.name  # type: ignore[attr-defined]
        return f"# {text.title} for {network}\n\n{text.what} the embeddings of `{network}`.\n\n## Use\n\n{text.use}\n"


def front_matter(enhancer: Any, license: str = "", datasets: Sequence[str] = ()) -> str:  # noqa: A002
    """What the Hub reads of a model card: YAML between two lines of dashes."""
    import yaml

    facts: dict[str, object] = {"license": license} if license else {}
    facts |= {"library_name": "seedpipe", "tags": [*TAGS, enhancer.kind, enhancer.config.network.name]}
    facts["metrics"] = ["eer"]
    if datasets:
        facts["datasets"] = list(datasets)
    return f"---\n{yaml.safe_dump(facts, sort_keys=False)}---\n\n"


def model_folder(
    name: StrPath, *, revision: str | None = None, token: str | None = None, endpoint: str | None = None
) -> Path:
    """The folder of a model: one here, or the local copy of one of the Hub.

    Raises
    ------
    ModelError, MissingExtraError
        As for :meth:`OnHub.from_pretrained`.
    """
    if Path(name).is_dir() or not NAME.fullmatch(str(name)):
        if revision is not None:
            raise ModelError("a folder has no revisions", expected="user/name", remedy="leave revision out")
        return Path(name)
    try:
        found = _package().snapshot_download(
            str(name), revision=revision, token=token, endpoint=endpoint, allow_patterns=list(FILES)
        )
    except MissingExtraError:
        raise
    except Exception as error:
        raise _refused(str(name), error, "had") from error
    return Path(found)


def _package() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError("huggingface_hub is not installed", remedy=install("hub")) from error
    return huggingface_hub


def _refused(name: str, error: Exception, done: str) -> Exception:
    reason = " ".join(str(error).split())[:300]
    return shortage(error) or ModelError(
        f"{name} is no folder here, and cannot be {done} on the Hub ({type(error).__name__}: {reason})",
        expected="a folder, or user/name on a Hub that answers",
        remedy="check name and connection; without one, only what was fetched before is used",
    )
