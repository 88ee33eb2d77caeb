"""The tracker protocol, several trackers as one, and a tracker that records nothing."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image


class Tracker(Protocol):
    """Records the progress of a run; takes plain mappings and PIL images.

    Keys are paths: "train/loss", "val/loss", "train/lr/unet".
    """

    @property
    def run_id(self) -> str:
        """Id of the run at the tracker, stored in checkpoints to continue the run; "" when there is none."""

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Record one row of finite numbers, measured after `step` optimizer steps."""

    def rows_on_disk(self) -> int:
        """Number of rows in metrics.jsonl, all synced to disk; 0 for trackers without such a file.

        Checkpoints store it, so that a resumed run can drop rows that were recorded later.
        """

    def images(
        self, key: str, images: Sequence[Image.Image], step: int, captions: Sequence[str] = ()
    ) -> None:
        """Record images of one step, with no captions or one per image."""

    def table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[object]], step: int) -> None:
        """Record a table whose cells are str, numbers, None or PIL images."""

    def summary(self, values: Mapping[str, object]) -> None:
        """Set summary values of the run; later values replace earlier ones of the same key."""

    def add_result(self, folder: Path, values: Mapping[str, float]) -> None:
        """Add values to the summary of another run, the one in `folder`: the result of an evaluation."""

    def artifact(
        self,
        name: str,
        kind: str,
        files: Sequence[Path],
        metadata: Mapping[str, object],
        aliases: Sequence[str] = (),
    ) -> None:
        """Record files of the run.

        kind: "model" or "dataset". metadata: digests of what they derive from. aliases: names of this version
        of the artifact, such as "best".
        """

    def alert(self, title: str, text: str) -> None:
        """Notify the user, for example of a run that stopped because the loss was NaN."""

    def finish(self, exit_code: int = 0) -> None:
        """Close the tracker; no call may follow. exit_code: 0 for success."""


@dataclass
class Trackers:
    """Passes every call to several trackers. run_id is the first that is not empty."""

    trackers: Sequence[Tracker] = ()

    @property
    def run_id(self) -> str:
        return next((t.run_id for t in self.trackers if t.run_id), "")

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        for tracker in self.trackers:
            tracker.scalars(values, step)

    def rows_on_disk(self) -> int:
        return max((tracker.rows_on_disk() for tracker in self.trackers), default=0)

    def images(
        self, key: str, images: Sequence[Image.Image], step: int, captions: Sequence[str] = ()
    ) -> None:
        for tracker in self.trackers:
            tracker.images(key, images, step, captions)

    def table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[object]], step: int) -> None:
        for tracker in self.trackers:
            tracker.table(key, columns, rows, step)

    def summary(self, values: Mapping[str, object]) -> None:
        for tracker in self.trackers:
            tracker.summary(values)

    def add_result(self, folder: Path, values: Mapping[str, float]) -> None:
        for tracker in self.trackers:
            tracker.add_result(folder, values)

    def artifact(
        self,
        name: str,
        kind: str,
        files: Sequence[Path],
        metadata: Mapping[str, object],
        aliases: Sequence[str] = (),
    ) -> None:
        for tracker in self.trackers:
            tracker.artifact(name, kind, files, metadata, aliases)

    def alert(self, title: str, text: str) -> None:
        for tracker in self.trackers:
            tracker.alert(title, text)

    def finish(self, exit_code: int = 0) -> None:
        # Every tracker is finished even when one of them fails: an unfinished W&B run loses rows.
        with ExitStack() as stack:
            for tracker in reversed(self.trackers):
                stack.callback(tracker.finish, exit_code)


class NoTracker(Trackers):
    """Records nothing: for all processes of a run but rank 0."""
