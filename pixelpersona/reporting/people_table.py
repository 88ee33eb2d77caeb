"""Tables of the results by gender, age and ethnicity."""

from pixelpersona.evaluation.people import estimate_of_group, groups_of_people
from pixelpersona.evaluation.result import EvalResults, metric_of
from pixelpersona.reporting.table import (
    ARROWS,
    REFERENCES,
    estimate_cell,
    interval_places,
    row_title,
)
from pixelpersona.reporting.table_formats import Table

_METRICS = ("likeness_raw", "likeness_top1_raw", "grid_contrast_raw")


def people_tables(results: EvalResults) -> list[Table]:
    """One table per metric (likeness, likeness top-1 and grid contrast, raw): groups by models.

    Empty when the captions form fewer than two groups (see `groups_of_people`). Nothing is marked as best,
    because the groups are small and overlap.
    """
    shown = [result for result in results.compared if result.variant not in REFERENCES]
    if not shown:
        return []
    groups = groups_of_people(results.captions, shown[0].photo_ids)
    if len(groups) < 2:
        return []
    tables = []
    for metric in map(metric_of, _METRICS):
        found = {
            name: [estimate_of_group(results, result, metric.name, photos) for result in shown]
            for name, photos in groups.items()
        }
        if any(estimate is None for row in found.values() for estimate in row):
            continue
        places = interval_places([estimate for row in found.values() for estimate in row])
        rows = [
            (f"{name} ({len(groups[name])} photos)", [estimate_cell(estimate, places) for estimate in row])
            for name, row in found.items()
        ]
        title = f"{metric.title}\u00a0{ARROWS[metric.better]}, by group"
        columns = ["group", *map(row_title, shown)]
        tables.append(Table(title, columns, [""] * len(columns), rows))
    return tables
