"""The W&B workspace and report as code: rank comparison, curves and samples."""

import wandb
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from pixelpersona.tracking.directions import BETTER, best_key
from pixelpersona.tracking.wandb_run import STEP_KEY
from pixelpersona.tracking.wandb_start import has_key

Panels = list[wr.LinePlot | wr.BarPlot | wr.ScatterPlot | wr.MediaBrowser | wr.WeavePanelSummaryTable]

TITLE = "PixelPersona"
RANK = "lora.rank"
COMPARED = ("val/loss", "eval/kid_persona", "eval/grid_contrast")
# The supervised baseline has a rank in its configuration, too, but does not use it.
ONLY_LORA = "Config('method.kind') = 'lora'"
_WIDTH, _HALF, _HEIGHT = 24, 12, 8  # grid units of a report


def rank_panels() -> Panels:
    """Best value of each metric by rank: bars (mean and range over the runs of a rank) and a scatter plot."""
    bars: Panels = [
        wr.BarPlot(
            title=f"{metric}, best ({BETTER[metric]}), by rank",
            metrics=[best_key(metric)],
            groupby=wr.Config(RANK),
            groupby_aggfunc="mean",
            groupby_rangefunc="minmax",
            layout=wr.Layout(x=8 * index, y=0, w=8, h=_HEIGHT),
        )
        for index, metric in enumerate(COMPARED)
    ]
    points = wr.ScatterPlot(
        title="rank and validation loss, one point per run",
        x=wr.Config(RANK),
        y=wr.SummaryMetric(best_key("val/loss")),
        layout=wr.Layout(x=0, y=_HEIGHT, w=_WIDTH, h=_HEIGHT),
    )
    return _identified([*bars, points], "rank")


def curve_panels() -> Panels:
    """Every metric in `BETTER`, gradient norm and learning rates over optimizer steps."""
    plots = [wr.LinePlot(title=name, x=STEP_KEY, y=[name]) for name in (*BETTER, "train/grad_norm")]
    title = "learning rate of each parameter group"
    plots.append(wr.LinePlot(title=title, x=STEP_KEY, metric_regex="train/lr/.*"))
    for i, plot in enumerate(plots):  # two per row
        plot.layout = wr.Layout(x=_HALF * (i % 2), y=_HEIGHT * (i // 2), w=_HALF, h=_HEIGHT)
    return _identified([*plots], "curve")


def sample_panels() -> Panels:
    """The sample sheets by step, and the last sample table: photo, target, base, this run."""
    first, second = (wr.Layout(x=0, y=y, w=_WIDTH, h=2 * _HEIGHT) for y in (0, 2 * _HEIGHT))
    sheets = wr.MediaBrowser(
        title="samples by step",
        media_keys=["samples/portraits"],
        gallery_axis="step",
        num_columns=2,
        layout=first,
    )
    table = wr.WeavePanelSummaryTable(table_name="samples/table", layout=second)
    return _identified([sheets, table], "sample")


def workspace(entity: str, project: str) -> ws.Workspace:
    """The runs page: three sections, one row per run, best validation loss first.

    Runs are not grouped, because charts would then show the mean of a sweep instead of its runs.
    """
    columns = ["run:group", "config:lora.value.rank", *(f"summary:{best_key(metric)}" for metric in COMPARED)]
    by_loss = ws.Ordering(ws.Summary(best_key("val/loss")), ascending=True)
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
        runset_settings=ws.RunsetSettings(order=[by_loss], pinned_columns=columns),
    )


def report(entity: str, project: str) -> wr.Report:
    """A page to share: the LoRA runs compared by rank, the curves of all runs, and the samples."""
    return wr.Report(
        entity=entity,
        project=project,
        title=f"{TITLE}: runs compared",
        description="Made by `make dashboard`. Runs that are added later appear automatically.",
        width="fluid",
        blocks=[
            wr.H1("Ranks"),
            wr.P(
                "Best value of each LoRA run; whiskers show the range over the runs of a rank. "
                "The samples are few: see report.html for intervals and paired differences."
            ),
            _grid(rank_panels(), filters=ONLY_LORA),
            wr.H1("Curves"),
            wr.P("Validation loss is measured at fixed noise on val photos, so runs are comparable."),
            _grid(curve_panels()),
            wr.H1("Samples"),
            wr.P("The same val photos at the same seeds every time, beside the untouched base."),
            _grid(sample_panels()),
        ],
    )


def save_dashboard(project: str, entity: str | None = None) -> tuple[str, str]:
    """Save a new workspace view and a new report at W&B; returns their addresses.

    entity: user or team; None for that of the key. Raises ValueError without a key, and when W&B refuses
    the dashboard or cannot be reached.
    """
    if not has_key():
        raise ValueError("no Weights & Biases key; set WANDB_API_KEY or run `wandb login`")
    try:
        owner = entity or str(wandb.Api().default_entity)
        view, page = workspace(owner, project), report(owner, project)
        view.save()
        page.save()
        return str(view.url), str(page.url)
    except Exception as error:  # the exceptions of W&B's libraries have no common base class
        raise ValueError(f"W&B did not accept the dashboard: {' '.join(str(error).split())}") from error


def _grid(panels: Panels, filters: str = "") -> wr.PanelGrid:
    # Without entity and project it shows the report's own project; with them W&B would make a request.
    order = [wr.OrderBy(wr.SummaryMetric(best_key("val/loss")), ascending=True)]
    runs = wr.Runset(name="Runs", filters=filters, order=order)
    runs._id = f"runs-{panels[0]._id}"
    return wr.PanelGrid(runsets=[runs], panels=panels)


def _identified(panels: Panels, prefix: str) -> Panels:
    """Fixed ids instead of random ones, so that dashboards can be compared with the golden files."""
    for number, panel in enumerate(panels):
        panel._id = f"{prefix}{number}"
    return panels
