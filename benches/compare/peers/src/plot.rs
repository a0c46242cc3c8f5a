//! Plots of the figures: bars for loads, lines for growth.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::measure::Row;
use crate::report::Report;

const OURS: RGBColor = RGBColor(0, 107, 164);
const OTHERS: RGBColor = RGBColor(160, 160, 160);
const LINES: [RGBColor; 7] = [
    OURS,
    RGBColor(171, 171, 171),
    RGBColor(255, 128, 14),
    RGBColor(89, 89, 89),
    RGBColor(200, 82, 0),
    RGBColor(95, 158, 209),
    RGBColor(140, 86, 75),
];
const FONT: &str = "sans-serif";

pub fn draw(report: &Report, folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for (file, title, cases) in [
        (
            "loads.svg",
            "A load from a snapshot and 50 events, PostgreSQL on the same machine",
            ["small, loopback", "medium, loopback"],
        ),
        (
            "loads-far.svg",
            "The same over a link with a round trip of more than a millisecond",
            ["small, slow link", "medium, slow link"],
        ),
    ] {
        bars(report, &folder.join(file), title, cases);
    }
    growth(report, &folder.join("growth.svg"));
}

fn rows<'r>(report: &'r Report, table: &str, case: &str) -> Vec<&'r Row> {
    report.rows.iter().filter(|row| row.table == table && row.case == case).collect()
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn text(area: &Area<'_>, words: &str, size: i32, at: (i32, i32)) {
    area.draw(&Text::new(words.to_owned(), at, (FONT, size).into_font().color(&BLACK))).unwrap();
}

/// One bar a library, with its median in milliseconds.
fn bars(report: &Report, path: &Path, title: &str, cases: [&str; 2]) {
    let tables = cases.map(|case| rows(report, "load", case));
    let (line, left, width) = (24, 230, 520);
    let lines: usize = tables.iter().map(|rows| rows.len() + 2).sum();
    let root = SVGBackend::new(path, (800, 50 + lines as u32 * line as u32)).into_drawing_area();
    root.fill(&WHITE).unwrap();
    text(&root, title, 18, (10, 10));
    // Bars that are far longer than the others are cut off: nothing else could be told apart.
    let mut medians: Vec<_> = tables.iter().flatten().map(|row| row.median).collect();
    medians.sort_by(f64::total_cmp);
    let longest = medians.iter().copied().filter(|it| *it <= medians[0] * 12.0).fold(0.0, f64::max);
    let mut top = 45;
    for (case, rows) in cases.iter().zip(tables) {
        let state =
            if case.starts_with("small") { "a state of 170 bytes" } else { "a state of 5 KB" };
        text(&root, state, 15, (10, top));
        top += line;
        for row in rows {
            let is_cut = row.median > longest;
            let end = left + (row.median.min(longest) / longest * f64::from(width - 80)) as i32;
            let colour = if row.library.starts_with("snapfold") { OURS } else { OTHERS };
            text(&root, row.library, 13, (20, top + 4));
            root.draw(&Rectangle::new(
                [(left, top + 2), (end.max(left + 2), top + line - 4)],
                colour.filled(),
            ))
            .unwrap();
            let label = if row.is_wrong {
                format!("{:.2} ms, wrong state", row.median / 1e3)
            } else {
                format!("{:.2} ms{}", row.median / 1e3, if is_cut { ", cut off" } else { "" })
            };
            text(&root, &label, 13, (end + 6, top + 4));
            top += line;
        }
        top += line;
    }
    root.present().unwrap();
}

/// The time of a load by the length of the history, both in logarithmic steps.
fn growth(report: &Report, path: &Path) {
    let root = SVGBackend::new(path, (800, 420)).into_drawing_area();
    root.fill(&WHITE).unwrap();
    let mut chart = ChartBuilder::on(&root)
        .caption("A load from a snapshot, by the events before it", (FONT, 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d((900.0..120_000.0).log_scale(), (0.004..50.0).log_scale())
        .unwrap();
    chart
        .configure_mesh()
        .x_desc("events in the history")
        .y_desc("milliseconds")
        .x_label_formatter(&|events| format!("{events:.0}"))
        .label_style((FONT, 13))
        .draw()
        .unwrap();
    let all: Vec<_> = report.rows.iter().filter(|row| row.table == "growth").collect();
    let mut libraries: Vec<&str> = Vec::new();
    for row in &all {
        if !libraries.contains(&row.library) {
            libraries.push(row.library);
        }
    }
    for (library, colour) in libraries.into_iter().zip(LINES) {
        let points: Vec<(f64, f64)> = all
            .iter()
            .filter(|row| row.library == library)
            .map(|row| (row.case.split(' ').next().unwrap().parse().unwrap(), row.median / 1e3))
            .collect();
        chart
            .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))
            .unwrap()
            .label(library)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        chart
            .draw_series(points.into_iter().map(|it| Circle::new(it, 3, colour.filled())))
            .unwrap();
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .label_font((FONT, 13))
        .draw()
        .unwrap();
    root.present().unwrap();
}
