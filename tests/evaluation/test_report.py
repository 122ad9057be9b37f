import base64
import itertools
import re
import sys
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from dinocell.datasets.items import AnnotatedImage
from dinocell.errors import FileFormatError, MissingExtraError
from dinocell.evaluation import figures
from dinocell.evaluation.report import write_report
from dinocell.evaluation.scoring import hash_annotations, image_scores, pool_results, score_image
from dinocell.evaluation.search import GridPoint
from dinocell.evaluation.tables import pooled_upper_bound, score_intervals
from dinocell.io.saving import write_labels
from dinocell.metrics.pooling import mean_over_images
from dinocell.postprocess.thresholds import Thresholds
from dinocell.reports import pictures
from tests.cases import disk

VOID = {"meta", "img", "br", "link", "input", "hr"}


@dataclass(frozen=True)
class FakeItem:
    name: str
    annotated: AnnotatedImage
    files: tuple[Path, ...] = ()
    split_components: bool | None = None

    def read(self):
        return self.annotated


@dataclass(frozen=True)
class BrokenItem(FakeItem):
    def read(self):
        raise FileFormatError(f"{self.name} is damaged")


class Page(HTMLParser):
    """Checks that tags balance, and keeps what a test asks for."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.rows, self.text = [], [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            return
        self.text += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += f" {data}"

    def pictures(self):
        uris = [
            attrs["src"].removeprefix("data:image/png;base64,") for tag, attrs in self.tags if tag == "img"
        ]
        return [imagecodecs.png_decode(base64.b64decode(uri, validate=True)) for uri in uris]


def cells(*centres, shape=(120, 160), radius=12):
    labels = np.zeros(shape, np.int32)
    for number, centre in enumerate(centres, start=1):
        labels[disk(shape, centre, radius)] = number
    return labels


TRUE = cells((30, 30), (40, 100), (90, 60), (95, 130))
PREDICTED = cells((32, 31), (40, 100), (60, 60))
NOTHING = np.zeros_like(TRUE)


def scored(name, true=TRUE, predicted=PREDICTED, **annotated):
    pixels = (50 + 130 * (true > 0)).astype(np.uint8)
    item = FakeItem(name, AnnotatedImage(pixels, true, **annotated))
    return item, score_image(item, item.annotated, predicted, Thresholds())


def report(folder, *pairs, points=(), scored="nano", dataset="val", missing=()):
    """Write the report of a dataset of pairs of item and result; their predictions lie in `folder`."""
    results = {dataset: [result for _, result in pairs]}
    path = folder / "report.html"
    items = [item for item, _ in pairs if item.name not in missing]
    write_report(path, scored, results, list(points), {dataset: items}, folder)
    return path.read_text("utf-8")


def point(objective, **thresholds):
    return GridPoint(Thresholds(**thresholds), (objective,), (objective,))


POINTS = [
    point(0.1 + number / 100, cells_max_threshold=high, cell_fill_threshold=low, merge=merge)
    for number, (low, high, merge) in enumerate(itertools.product((0.05, 0.09), (0.2, 0.5), (0.5, 0.6, 0.7)))
] + [point(0.05, cells_max_threshold=0.35, cell_fill_threshold=0.09)]


@pytest.mark.slow
def test_tags_balance_and_nothing_is_loaded(tmp_path):
    write_labels(tmp_path / "a_labels.tif", PREDICTED)
    text = report(tmp_path, scored("a"), points=POINTS)
    page = Page(text)
    assert "//" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    for _, attrs in page.tags:
        for value in (attrs.get("src"), attrs.get("href"), attrs.get("xlink:href")):
            assert value is None or value.startswith(("data:", "#"))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    wanted = {attrs["href"][1:] for tag, attrs in page.tags if tag == "use"}
    assert wanted | set(re.findall(r"url\(#([^)]*)\)", text)) <= set(ids)
    assert len([tag for tag, _ in page.tags if tag == "svg"]) == 4
    headings = ["Scores", "Worst and best", "AP over", "Recall by", "Thresholds tried", "What was measured"]
    places = [re.search(rf"<h2[^>]*>{heading}", text).start() for heading in headings]
    assert places == sorted(places)
    assert {attrs["href"][1:] for tag, attrs in page.tags if tag == "a"} <= set(ids)


def test_hashes_are_whole_and_folded_away_at_the_end(tmp_path):
    pair = scored("a")
    text = report(tmp_path, pair)
    digest = hash_annotations([pair[1]])
    folded = text[text.rindex("<details>") :]
    assert digest in folded
    assert digest[:8] not in text[: -len(folded)]
    assert text.index("What was measured") < len(text) - len(folded)


def test_the_first_notes_are_shown_below_the_scores_and_the_others_folded_away(tmp_path):
    _, result = scored("a")
    notes = [f"note <{number}>" for number in range(5)]
    write_report(tmp_path / "report.html", "nano", {"val": [result]}, [], {}, tmp_path, notes)
    text = (tmp_path / "report.html").read_text("utf-8")
    places = [text.index(f"note &lt;{number}&gt;") for number in range(5)]
    fold = text.index("<summary>2 more notes</summary>")
    assert [text.index("<h2>Scores"), *places[:3], fold, *places[3:]] == sorted(
        [*places, fold, text.index("<h2>Scores")]
    )


@pytest.mark.parametrize("bins", [1, 4, 8])
def test_labels_of_sizes_are_legible_and_do_not_overlap(bins):
    sizes = [figures.SizeBin(100.5 + n, 1234.4 + n, 123456, 0.5, 0.7) for n in range(bins)]
    figure, axes = figures.recall_chart(sizes)
    figure.draw_without_rendering()
    labels = axes.get_xticklabels()
    assert min(label.get_size() for label in labels) >= 9
    boxes = [label.get_window_extent() for label in labels]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
    assert figures.recall_chart([figures.SizeBin(4.96, 9.96, 3, 1, 1)])[1].get_xticklabels()[
        0
    ].get_text() == ("5.0–10\nn = 3")


def test_the_tables_hold_the_pooled_scores_their_intervals_means_and_the_upper_bound(tmp_path):
    pairs = [
        scored("a"),
        scored("b", predicted=TRUE),
        scored("c", TRUE, NOTHING),
        scored("d", NOTHING, NOTHING),
    ]
    results = [result for _, result in pairs]
    rows = Page(report(tmp_path, *pairs)).rows
    pooled, bound = pool_results(results).by_name(), pooled_upper_bound(results).by_name()
    intervals = score_intervals(results)
    names = ("seg", "det", "op_csb", "ap50", "ap75", "f1", "pq", "mma")
    expected = [
        f"{pooled[n]:.3f} {intervals[n][0]:.3f}–{intervals[n][1]:.3f} ({bound[n]:.3f})" for n in names
    ]
    assert [cell.strip() for cell in rows[1][1:4]] == ["4 1 without cells", "12", "7"]
    assert [cell.strip() for cell in rows[1][4:]] == expected
    means = mean_over_images(image_scores(result) for result in results)
    assert [cell.split()[0] for cell in rows[3][2:]] == [f"{means[n].mean:.3f}" for n in names]
    assert rows[3][2].endswith("of 3 images")
    ap = pool_results(results).ap
    assert [cell.split()[0] for cell in rows[5][1:]] == [f"{value:.3f}" for value in ap.values()]


def test_images_without_cells_are_named_and_nan_is_a_dash(tmp_path):
    text = report(tmp_path, scored("void", NOTHING, NOTHING))
    page = Page(text)
    assert "images without true cells (1): void" in page.text
    assert "no true cells" in page.text
    assert "no image has a defined AP@0.5" in page.text
    assert page.rows[1][4].split() == ["–", "(–)"]
    assert re.search(r"\bnan\b", page.text, re.IGNORECASE) is None
    spurious = Page(report(tmp_path, scored("void", NOTHING, PREDICTED)))
    assert "AP@0.5 0.000 · SEG – · 0 true, 3 predicted cells" in spurious.text


@pytest.mark.parametrize("name", ['<b>&"', "$x^", "_a", "細胞", "\udcff"])
def test_names_are_shown_as_they_are(tmp_path, name):
    pair = scored(name)
    text = report(tmp_path, pair, scored=name, dataset=name, points=[point(0.5)])
    shown = Page(text).text
    visible = name.encode("utf-8", "replace").decode()
    assert shown.count(visible) >= 6  # title, heading, data, tables, curve, recall, pictures
    assert '<b>&"' not in text


def test_pictures_show_both_outlines_at_the_size_wanted(tmp_path):
    wide = cells((100, 200), (150, 900), shape=(300, 1400), radius=60)
    middle = cells((30, 30), shape=(80, 320))
    cases = {"small": TRUE, "wide": wide, "middle": middle}
    pairs = []
    for name, labels in cases.items():
        predicted = np.roll(labels, 6, axis=1)
        write_labels(tmp_path / f"{name}_labels.tif", predicted)
        pairs.append(scored(name, labels, predicted))
    page = Page(report(tmp_path, *pairs))
    shapes = {picture.shape for picture in page.pictures()}
    assert shapes == {(240, 320, 3), (150, 700, 3), (80, 320, 3)}
    for picture in page.pictures():
        colours = set(map(tuple, picture.reshape(-1, 3).tolist()))
        assert {pictures.TRUE, pictures.PREDICTED} <= colours
        assert any(red == green == blue for red, green, blue in colours)


def test_predictions_are_found_in_the_folder_of_the_dataset(tmp_path):
    (tmp_path / "val").mkdir()
    write_labels(tmp_path / "val" / "a_labels.tif", PREDICTED)
    assert len(Page(report(tmp_path, scored("a"))).pictures()) == 1


def test_a_picture_that_cannot_be_drawn_becomes_a_note(tmp_path):
    write_labels(tmp_path / "other_labels.tif", TRUE)
    write_labels(tmp_path / "small_labels.tif", TRUE[:50])
    write_labels(tmp_path / "damaged_labels.tif", PREDICTED)
    item, result = scored("damaged")
    many = np.zeros((*TRUE.shape, 7), np.uint8)
    write_labels(tmp_path / "channels_labels.tif", PREDICTED)
    _, of_channels = scored("channels")
    pairs = [
        *(scored(name) for name in ("gone", "other", "small", "unlisted")),
        (BrokenItem(item.name, item.annotated), result),
        (FakeItem("channels", AnnotatedImage(many, TRUE)), of_channels),
    ]
    page = Page(report(tmp_path, *pairs, missing=("unlisted",)))
    assert page.pictures() == []
    assert page.text.count("No picture: ") == len(pairs)
    for why in ("no label image of gone", "not the one that was scored", "no image of this name", "damaged"):
        assert why in page.text


def test_the_worst_and_the_best_images_are_shown_once(tmp_path):
    steps = range(12)
    shifted = [(f"i{step:02}", np.roll(TRUE, step, axis=1)) for step in steps]
    pairs = [scored(name, predicted=labels) for name, labels in shifted]
    ranked = sorted((result for _, result in pairs), key=lambda r: r.scores.ap[0.5])
    text = report(tmp_path, *pairs)
    names = re.findall(r"<figcaption><b>(\w+)</b>", text)
    assert names == [r.name for r in [*ranked[:6], *ranked[::-1][:3]]]
    few = re.findall(r"<figcaption><b>(\w+)</b>", report(tmp_path, *pairs[:4]))
    assert sorted(few) == ["i00", "i01", "i02", "i03"]


def test_one_image_has_no_interval_and_no_best(tmp_path):
    write_labels(tmp_path / "a_labels.tif", PREDICTED)
    page = Page(report(tmp_path, scored("a")))
    assert len(page.pictures()) == 1
    assert "Best by" not in page.text
    assert len(page.rows[1][4].split()) == 2
    assert "Validation" not in page.text
    assert "Thresholds tried" not in page.text


def test_markers_are_mentioned(tmp_path):
    markers = cells((30, 30), (40, 100), radius=2)
    page = Page(report(tmp_path, scored("a", markers=markers), scored("b", markers=markers)))
    assert "DET is scored against the markers" in page.text
    assert len(page.rows[1][6].split()) == 2  # OP_CSB has no interval then


def test_a_search_is_called_validation_and_its_best_points_are_listed(tmp_path):
    page = Page(report(tmp_path, scored("a"), points=POINTS))
    assert "Validation, not a test" in page.text
    ranked = sorted((p.objective for p in POINTS), reverse=True)
    assert [row[1].strip() for row in page.rows[-12:-2]] == [f"{value:.4f}" for value in ranked[:10]]
    assert [cell.strip() for cell in page.rows[-12]][2:6] == ["0.5", "0.09", "0.7", "no"]


@pytest.mark.parametrize("setting", ["cell_fill_threshold", "merge"])
def test_fields_of_the_surface_are_the_best_of_their_points(setting):
    surface = figures.best_surface(POINTS, setting, "cells_max_threshold")
    assert surface.columns == (0.2, 0.35, 0.5)
    for row, column in np.ndindex(surface.best.shape):
        pair = surface.rows[row], surface.columns[column]
        values = [
            p.objective
            for p in POINTS
            if (getattr(p.thresholds, setting), p.thresholds.cells_max_threshold) == pair
        ]
        assert surface.best[row, column] == max(values) if values else np.isnan(surface.best[row, column])


def test_a_surface_of_one_field_is_drawn():
    drawn = figures.draw_surface(figures.best_surface([point(-1.0)], "merge", "regrow"), "merge", "regrow")
    assert drawn.startswith("<svg")
    assert "-1.000" in drawn


def test_bins_hold_all_cells_once_and_their_recall():
    rng = np.random.default_rng(0)
    _, result = scored("a")
    areas = rng.integers(20, 60, 173)
    ious = np.where(rng.random(173) < 0.4, 0, rng.uniform(0.5, 1, 173))
    parts = [
        replace(result, areas=areas[:90], ious=ious[:90]),
        replace(result, areas=areas[90:], ious=ious[90:]),
    ]
    bins = figures.size_bins(parts)
    assert 2 <= len(bins) <= 8
    assert sum(each.cells for each in bins) == 173
    assert min(each.cells for each in bins) >= 10
    assert all(left.high < right.low for left, right in itertools.pairwise(bins))
    for each in bins:
        diameters = 2 * np.sqrt(areas / np.pi)
        inside = ious[(diameters >= each.low) & (diameters <= each.high)]
        assert each.recall == pytest.approx(np.mean(inside > 0))
        assert each.mean_iou == pytest.approx(inside[inside > 0].mean())


def test_few_or_equal_cells_are_one_bin_and_none_are_no_bin():
    _, result = scored("a")
    assert [each.cells for each in figures.size_bins([result])] == [4]
    alike = replace(result, areas=np.full(50, 9), ious=np.zeros(50))
    (only,) = figures.size_bins([alike])
    assert (only.cells, only.recall) == (50, 0)
    assert np.isnan(only.mean_iou)
    assert figures.draw_recall([only], "one").startswith("<svg")
    _, empty = scored("b", NOTHING, NOTHING)
    assert figures.size_bins([empty]) == []


def test_without_matplotlib_the_command_to_install_it_is_given_first(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=re.escape('pip install "dinocell[evaluate]"')):
        write_report(tmp_path / "report.html", "nano", {"broken": []}, [], {}, tmp_path)
    assert list(tmp_path.iterdir()) == []
