"""The W&B workspace and report as code: rank comparison, curves, samples; built without an account."""

from __future__ import annotations

import wandb
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from pixelpersona.tracking.directions import BETTER
from pixelpersona.tracking.wandb_run import STEP_KEY, has_key

Panels = list[wr.LinePlot | wr.BarPlot | wr.ScatterPlot | wr.MediaBrowser | wr.WeavePanelSummaryTable]

TITLE = "PixelPersona"
RANK = "lora.rank"
COMPARED = ("val/loss", "eval/kid_persona", "eval/grid_contrast")
# The translator's configuration names a rank, too, and has none.
ONLY_LORA = "Config('method.kind') = 'lora'"
_WIDTH, _HALF, _HEIGHT = 24, 12, 8  # of a report's grid


def best(metric: str) -> str:
    """The summary's best value of a metric of `BETTER`: val/loss → val/loss.min."""
    return f"{metric}.{BETTER[metric]}"


def rank_panels() -> Panels:
    """The best value of each metric by rank, as bars (mean and range over runs of one rank) and as points."""
    panels: Panels = []
    for index, metric in enumerate(COMPARED):
        place = wr.Layout(x=8 * index, y=0, w=8, h=_HEIGHT)
        panels.append(
            wr.BarPlot(
                title=f"{metric}, best ({BETTER[metric]}), by rank",
                metrics=[best(metric)],
                groupby=wr.Config(RANK),
                groupby_aggfunc="mean",
                groupby_rangefunc="minmax",
                layout=place,
            )
        )
    panels.append(
        wr.ScatterPlot(
            title="rank and validation loss, a point per run",
            x=wr.Config(RANK),
            y=wr.SummaryMetric(best("val/loss")),
            layout=wr.Layout(x=0, y=_HEIGHT, w=_WIDTH, h=_HEIGHT),
        )
    )
    return _identified(panels, "rank")


def curve_panels() -> Panels:
    """Every metric with a direction, gradient norm and learning rates over optimizer steps."""
    titles = [*BETTER, "train/grad_norm"]
    plots: Panels = [
        wr.LinePlot(title=name, x=STEP_KEY, y=[name], layout=_half(i)) for i, name in enumerate(titles)
    ]
    rates = wr.LinePlot(
        title="learning rate of each group", x=STEP_KEY, metric_regex="train/lr/.*", layout=_half(len(titles))
    )
    return _identified([*plots, rates], "curve")


def sample_panels() -> Panels:
    """The sheets step by step, and the last table: photo, teacher, base, this run."""
    return _identified(
        [
            wr.MediaBrowser(
                title="samples, step by step",
                media_keys=["samples/portraits"],
                gallery_axis="step",
                num_columns=2,
                layout=wr.Layout(x=0, y=0, w=_WIDTH, h=2 * _HEIGHT),
            ),
            wr.WeavePanelSummaryTable(
                table_name="samples/table", layout=wr.Layout(x=0, y=2 * _HEIGHT, w=_WIDTH, h=2 * _HEIGHT)
            ),
        ],
        "sample",
    )


def workspace(entity: str, project: str) -> ws.Workspace:
    """The runs page: three sections, a row per run, best validation loss first.

    Runs are not grouped: charts would then show the mean of a sweep in place of its runs.
    """
    return ws.Workspace(
        entity=entity,
        project=project,
        name=TITLE,
        sections=[
            ws.Section(name="Rank comparison", panels=rank_panels(), is_open=True, pinned=True),
            ws.Section(name="Curves", panels=curve_panels(), is_open=True),
            ws.Section(name="Samples", panels=sample_panels(), is_open=True),
        ],
        settings=ws.WorkspaceSettings(x_axis=STEP_KEY),
        runset_settings=ws.RunsetSettings(
            order=[ws.Ordering(ws.Summary(best("val/loss")), ascending=True)],
            pinned_columns=[
                "run:group",
                "config:lora.value.rank",
                *(f"summary:{best(metric)}" for metric in COMPARED),
            ],
        ),
    )


def report(entity: str, project: str) -> wr.Report:
    """A page to hand on: the LoRA runs compared, all runs' curves, and the samples."""
    return wr.Report(
        entity=entity,
        project=project,
        title=f"{TITLE}: runs compared",
        description="Made by `make dashboard`. Live: runs that are added later show by themselves.",
        width="fluid",
        blocks=[
            wr.H1("Which rank"),
            wr.P(
                "LoRA runs alone, the best value each has reached; whiskers span the runs of a rank. "
                "Samples are few: intervals and paired differences are in report.html."
            ),
            _grid(rank_panels(), filters=ONLY_LORA),
            wr.H1("Curves"),
            wr.P("Validation loss is at fixed noise on held-out pairs, so it compares between runs."),
            _grid(curve_panels()),
            wr.H1("Samples"),
            wr.P("The same held-out photos at the same seeds at every sampling, beside the untouched base."),
            _grid(sample_panels()),
        ],
    )


def publish(project: str, entity: str | None = None) -> tuple[str, str]:
    """Save a new workspace view and a new report at W&B; returns their addresses.

    entity: user or team; None: the key's own. Raises ValueError without a key, and when W&B refuses it or
    cannot be reached.
    """
    if not has_key():
        raise ValueError("no Weights & Biases key; set WANDB_API_KEY or run `wandb login`")
    try:
        owner = entity or str(wandb.Api().default_entity)
        view, page = workspace(owner, project), report(owner, project)
        view.save()
        page.save()
        return str(view.url), str(page.url)
    except Exception as error:  # W&B's libraries raise several that have no base in common
        raise ValueError(f"W&B did not take the dashboard: {' '.join(str(error).split())}") from error


def _grid(panels: Panels, filters: str = "") -> wr.PanelGrid:
    # Without entity and project the runs are those of the report's own project; with them W&B would be asked.
    order = [wr.OrderBy(wr.SummaryMetric(best("val/loss")), ascending=True)]
    runs = wr.Runset(name="Runs", filters=filters, order=order)
    runs._id = f"runs-{panels[0]._id}"
    return wr.PanelGrid(runsets=[runs], panels=panels)


def _half(index: int) -> wr.Layout:
    """Two panels a row."""
    return wr.Layout(x=_HALF * (index % 2), y=_HEIGHT * (index // 2), w=_HALF, h=_HEIGHT)


def _identified(panels: Panels, prefix: str) -> Panels:
    """Ids in place of random ones: the same code is then the same dashboard, and can be compared."""
    for number, panel in enumerate(panels):
        panel._id = f"{prefix}{number}"
    return panels
