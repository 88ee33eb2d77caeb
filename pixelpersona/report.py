"""`python -m pixelpersona.report`: result.json and the runs beside it → one self-contained report.html."""

from pixelpersona.cli.command import command
from pixelpersona.cli.overrides import command_line, overrides
from pixelpersona.cli.timing_file import seconds_since_start
from pixelpersona.config.report import ReportConfig
from pixelpersona.terminal import say


@command("report", ReportConfig)
def main(config: ReportConfig) -> None:
    """Write the report; the last line printed is the sum of the seconds of all stages."""
    from pixelpersona.recipes.write_report import write_report

    earlier = write_report(config, command_line, overrides("report", ReportConfig))
    # Jobs of a parallel sweep overlap, so this is more than the time that has passed.
    say(f"all stages: {earlier + seconds_since_start():.0f} s")


if __name__ == "__main__":
    main()
