"""`python -m pixelpersona.report`: result.json and the runs beside it → one self-contained report.html."""

from pixelpersona.cli.command import command
from pixelpersona.cli.next_steps import NextStep
from pixelpersona.cli.overrides import command_line, overrides
from pixelpersona.cli.timing_file import seconds_since_start
from pixelpersona.config.export import ExportConfig
from pixelpersona.config.report import ReportConfig
from pixelpersona.terminal import say


def next_steps(config: ReportConfig) -> list[NextStep]:
    """Export the LoRA with the highest likeness."""
    from pixelpersona.evaluation.result import load_results

    runs = config.paths.runs
    results = load_results(runs / "result.json")
    weights, loras = results.settings.get("weights"), [r for r in results.variants if r.is_fine_tune]
    if not loras or not isinstance(weights, dict):
        return []
    best = max(loras, key=lambda result: result.metrics["likeness_raw"].mean)
    words = (f"adapter.path={runs / weights[best.variant]}", "out=exported")
    return [NextStep("export the LoRA with the highest likeness", "export", ExportConfig, words=words)]


@command("report", ReportConfig, next_steps=next_steps)
def main(config: ReportConfig) -> None:
    """Write the report; print where it is, and the sum of the seconds of all stages."""
    from pixelpersona.recipes.write_report import write_report

    earlier = write_report(config, command_line, overrides("report", ReportConfig))
    say(f"open {config.paths.runs / 'report.html'} in a browser")
    # Jobs of a parallel sweep overlap, so this is more than the time that has passed.
    say(f"all stages: {earlier + seconds_since_start():.0f} s")


if __name__ == "__main__":
    main()
