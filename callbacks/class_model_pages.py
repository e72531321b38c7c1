"""Class models for people: contact sheets, film strips, traces, the two objectives side by side, tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from PIL import Image
from rich.table import Table

from callbacks.class_model_store import Found, Judgement, Mean
from callbacks.film_strips import slug
from callbacks.gathering import show_picture, writers
from deepinside.plots import draw_class_model, draw_strip, draw_traces
from deepinside.result_tables import markdown_table
from deepinside.tiles import sheet
from deepinside.words import counted, scored, tenths

PAGE = 100  # class models on a contact sheet
ROWS = 40  # of the table on the terminal
TRACED = 20  # classes in the figure of traces


def show_class_models(
    trainer: Trainer,
    tag: str,
    folder: Path | None,
    names: Sequence[str],
    found: Sequence[Found],
    compared: Sequence[Found],
    results: Sequence[dict[str, Any]],
    mean: Mean,
    steps: int,
) -> None:
    """Everything into TensorBoard as `<tag>/*`, with a `folder` also into files. `compared`: the same classes, other
    objective; steps: how many the ascent was to take."""
    tiles = [draw_class_model(f.picture(mean), _caption(r)) for f, r in zip(found, results, strict=True)]
    pages = [tiles[i : i + PAGE] for i in range(0, len(tiles), PAGE)]
    for number, page in enumerate(pages):
        part = "sheet" if len(pages) == 1 else f"sheet_{number:02d}"
        _show(trainer, tag, folder, part, sheet(page, min(5 if len(page) <= 20 else 10, len(page))))
    if folder is None:
        return
    for name, item, tile in zip(names, found, tiles, strict=True):
        file = f"{slug(item.index, name)}.png"
        # One tag for all classes, with the class's index as the step: the slider goes through them.
        show_picture(trainer, f"{tag}/pictures", tile, folder / "pictures" / file, item.index)
        if len(item.frames):
            frames = [frame.permute(1, 2, 0).numpy() for frame in item.film(mean)]
            columns = dict(zip(item.film_titles(steps), frames, strict=True))  # one for all after an early end
            film = draw_strip(list(columns.items()), name)
            show_picture(trainer, f"{tag}/films", film, folder / "films" / file, item.index)
    some = list(zip(names, found, strict=True))[:TRACED]
    _show(trainer, tag, folder, "traces", draw_traces([(name, f.traces) for name, f in some]))
    if compared:
        pairs = []
        for tile, other, line in list(zip(tiles, compared, results, strict=True))[:PAGE]:
            pairs += [
                tile,
                draw_class_model(other.picture(mean), _caption(line["compared"] | {"class": f"by {other.objective}"})),
            ]
        _show(trainer, tag, folder, "objectives", sheet(pairs, min(6, len(pairs))))
    for writer in writers(trainer):
        writer.add_text(f"{tag}/table", _markdown(results), trainer.global_step)


def class_model_table(results: Sequence[dict[str, Any]]) -> Table:
    """For the terminal: the first ROWS classes."""
    more = f", the first {ROWS}; metrics.json has all" if len(results) > ROWS else ""
    title = counted(len(results), "class model") + more
    table = Table(title=title, title_justify="left")
    cells = [_cells(line) for line in results[:ROWS]]
    for column in cells[0]:
        table.add_column(column, justify="left" if column == "class" else "right")
    for line in cells:
        table.add_row(*line.values())
    return table


def _show(trainer: Trainer, tag: str, folder: Path | None, name: str, picture: Image.Image) -> None:
    show_picture(trainer, f"{tag}/{name}", picture, folder and folder / f"{name}.png")


def _caption(line: dict[str, Any]) -> str:
    seen = f"   judge {line['judge_posterior']:.2f}" if "judge_posterior" in line else ""
    dead = "   no gradient" if line["no_gradient"] else ""
    return f"{line['class']}{dead}\n{scored(line['score'], line['posterior'])}{seen}"


def _cells(line: dict[str, Any]) -> dict[str, str]:
    dead = " (no gradient)" if line["no_gradient"] else ""
    cells = {"class": line["class"] + dead} | _numbers(line, "")
    if "compared" in line:
        cells |= _numbers(line["compared"], f"{line['compared']['objective']} ")
    return cells


def _numbers(line: dict[str, Any], prefix: str) -> dict[str, str]:
    cells = {
        f"{prefix}S_c": tenths(line["score"]),
        f"{prefix}P_c": f"{line['posterior']:.3f}",
        f"{prefix}||I||": f"{line['norm']:.0f}",
        f"{prefix}steps": str(line["steps"]),
    }
    if "judge_posterior" in line:
        cells[f"{prefix}judge P_c"] = f"{line['judge_posterior']:.3f}"
        cells[f"{prefix}rank"] = str(line["judge_rank"])
    return cells


def _markdown(results: Sequence[dict[str, Any]]) -> str:
    cells = [_cells(line) for line in results]
    return markdown_table(list(cells[0]), [list(line.values()) for line in cells])


def row(found: Found, name: str, judged: dict[tuple[int, str], Judgement]) -> dict[str, Any]:
    """What metrics.json says of a class."""
    line = {
        "class_index": found.index,
        "class": name,
        "objective": found.objective,
        "score": found.score,
        "posterior": found.posterior,
        "norm": found.norm,
        "no_gradient": found.shut,
        "steps": found.traces.shape[1],
    }
    if judgement := judged.get((found.index, found.objective)):
        line |= {"judge_posterior": judgement.posterior, "judge_rank": judgement.rank}
    return line
