"""`python -m pixelpersona.dashboard`: a workspace and a report of all runs at Weights & Biases."""

from pixelpersona.cli.command import command
from pixelpersona.config.dashboard import DashboardConfig
from pixelpersona.terminal import say


@command("dashboard", DashboardConfig)
def main(config: DashboardConfig) -> None:
    """Save the workspace view and the report; print their addresses."""
    try:
        from pixelpersona.tracking.workspace import save_dashboard
    except ModuleNotFoundError as error:
        raise ValueError(f"dashboard needs {error.name}: pip install 'pixelpersona[dashboard]'") from None

    workspace, report = save_dashboard(config.tracker.project, config.tracker.entity)
    say(f"workspace: {workspace}", f"report: {report}")


if __name__ == "__main__":
    main()
