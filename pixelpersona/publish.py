"""`python -m pixelpersona.publish`: the project's workspace and report to Weights & Biases, with a key."""

from dataclasses import dataclass, field
from pathlib import Path

from pixelpersona.build.tracking import TrackerConfig
from pixelpersona.door import door


@dataclass(kw_only=True, slots=True)
class PublishConfig:
    """entity: user or team at W&B; null: the key's own. tracker.project: whose runs are shown."""

    name: str = "publish"
    timing: Path | None = None
    entity: str | None = None
    tracker: TrackerConfig = field(default_factory=TrackerConfig)


@door("publish", PublishConfig)
def main(config: PublishConfig) -> None:
    """Save a view of the workspace and a report; print where they are."""
    try:
        from pixelpersona.tracking.dashboard import publish
    except ModuleNotFoundError as error:
        raise ValueError(f"publish needs {error.name}: pip install -e '.[dashboard]'") from None

    for what, address in zip(
        ("workspace", "report"), publish(config.tracker.project, config.entity), strict=True
    ):
        print(f"{what}: {address}")


if __name__ == "__main__":
    main()
