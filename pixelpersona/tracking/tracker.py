"""What a run reports to: one protocol, a fan-out over several trackers, and one that keeps nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from PIL import Image


class Tracker(Protocol):
    """Takes plain mappings and PIL images; knows nothing of models or configuration.

    run_id names the run at the tracker and goes into checkpoints, so that a resumed run continues it;
    "" when there is nothing to continue. Keys are paths: "train/loss", "val/loss", "train/lr/unet".
    """

    @property
    def run_id(self) -> str: ...

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """One row of finite numbers, measured after `step` optimizer steps."""

    def rows_on_disk(self) -> int:
        """How many rows the record of truth holds, all of them safe from a power cut; 0 without a record.

        A checkpoint stores it: a resumed run drops what was recorded later.
        """

    def images(
        self, key: str, images: Sequence[Image.Image], step: int, captions: Sequence[str] = ()
    ) -> None:
        """Pictures of one moment; captions are none or one per picture."""

    def table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[object]], step: int) -> None:
        """Rows of cells: str, number, None or a PIL image."""

    def summary(self, values: Mapping[str, object]) -> None:
        """What the run comes down to; later values replace earlier ones of the same key."""

    def artifact(self, name: str, kind: str, files: Sequence[Path], metadata: Mapping[str, object]) -> None:
        """Files the run made (kind: "model", "dataset", "report"), with the digests they descend from."""

    def alert(self, title: str, text: str) -> None:
        """Something a person should look at now, such as a run that stopped at a NaN."""

    def finish(self, exit_code: int = 0) -> None:
        """No call may follow. exit_code 0 means the run did what it was meant to do."""


class Trackers:
    """Several trackers as one. run_id is the first that is not empty."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = tuple(trackers)

    @property
    def run_id(self) -> str:
        return next((t.run_id for t in self._trackers if t.run_id), "")

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        for tracker in self._trackers:
            tracker.scalars(values, step)

    def rows_on_disk(self) -> int:
        return max((tracker.rows_on_disk() for tracker in self._trackers), default=0)

    def images(
        self, key: str, images: Sequence[Image.Image], step: int, captions: Sequence[str] = ()
    ) -> None:
        for tracker in self._trackers:
            tracker.images(key, images, step, captions)

    def table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[object]], step: int) -> None:
        for tracker in self._trackers:
            tracker.table(key, columns, rows, step)

    def summary(self, values: Mapping[str, object]) -> None:
        for tracker in self._trackers:
            tracker.summary(values)

    def artifact(self, name: str, kind: str, files: Sequence[Path], metadata: Mapping[str, object]) -> None:
        for tracker in self._trackers:
            tracker.artifact(name, kind, files, metadata)

    def alert(self, title: str, text: str) -> None:
        for tracker in self._trackers:
            tracker.alert(title, text)

    def finish(self, exit_code: int = 0) -> None:
        # Every tracker is finished even when one of them fails: an unfinished W&B run loses rows.
        with ExitStack() as stack:
            for tracker in reversed(self._trackers):
                stack.callback(tracker.finish, exit_code)


class NoTracker:
    """Keeps nothing: for runs nobody wants to keep, and for the processes of a run other than the first."""

    run_id = ""

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        pass

    def rows_on_disk(self) -> int:
        return 0

    def images(
        self, key: str, images: Sequence[Image.Image], step: int, captions: Sequence[str] = ()
    ) -> None:
        pass

    def table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[object]], step: int) -> None:
        pass

    def summary(self, values: Mapping[str, object]) -> None:
        pass

    def artifact(self, name: str, kind: str, files: Sequence[Path], metadata: Mapping[str, object]) -> None:
        pass

    def alert(self, title: str, text: str) -> None:
        pass

    def finish(self, exit_code: int = 0) -> None:
        pass
