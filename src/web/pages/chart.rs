//! Charts as SVG, drawn by charts-rs. They are pictures of the table beside them. Colours are names of the style sheet, so
//! that one picture fits light, dark and paper; nothing in them is style, script or reference, so that our policy holds.

use charts_rs::{
    BarChart, Color, HorizontalBarChart, LineChart, MarkLine, MarkLineCategory, Series, SeriesCategory, Symbol, YAxisConfig,
    svg_with_accessibility,
};

/// Units wide: small, so that words stay readable on a phone.
const WIDTH: f32 = 560.0;
const HEIGHT: f32 = 270.0;
/// A row of bars.
const ROW: f32 = 34.0;
/// What a name beside a bar is cut to, characters.
const MOST_LETTERS: usize = 18;

/// A colour of the style sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hue {
    Approval,
    Future,
    Bridge,
    Queue,
    Work,
    Untold,
    Pause,
    Report,
    Good,
    Alarm,
    Ink,
    Soft,
    Line,
    Card,
}

impl Hue {
    const ALL: [Self; 14] = [
        Self::Approval,
        Self::Future,
        Self::Bridge,
        Self::Queue,
        Self::Work,
        Self::Untold,
        Self::Pause,
        Self::Report,
        Self::Good,
        Self::Alarm,
        Self::Ink,
        Self::Soft,
        Self::Line,
        Self::Card,
    ];

    /// Its name in the style sheet.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Future => "future",
            Self::Bridge => "bridge",
            Self::Queue => "queue",
            Self::Work => "work",
            Self::Untold => "untold",
            Self::Pause => "pause",
            Self::Report => "report",
            Self::Good => "good",
            Self::Alarm => "alarm",
            Self::Ink => "ink",
            Self::Soft => "soft",
            Self::Line => "line",
            Self::Card => "card",
        }
    }

    /// The crate knows numbers only: each name has one that nothing else uses, until the picture is drawn.
    fn stand_in(self) -> Color {
        Color { r: 1, g: 1, b: self as u8 + 1, a: 255 }
    }
}

/// One set of values.
#[derive(Debug, Clone)]
pub(super) struct Values {
    pub(super) name: &'static str,
    pub(super) hue: Hue,
    pub(super) of: Vec<Option<f64>>,
}

/// What all charts have.
#[derive(Debug, Clone)]
pub(super) struct Plot<'a> {
    /// What it shows, for those who hear it.
    pub(super) title: &'a str,
    /// What is to be seen on it, in a sentence.
    pub(super) says: &'a str,
    pub(super) labels: Vec<String>,
    /// After a value on the axis, like " h".
    pub(super) unit: &'static str,
    pub(super) values: Vec<Values>,
}

/// Lines over time, with a target line where there is one; a place without a value is a gap.
pub(super) fn lines(plot: &Plot<'_>, target: Option<f64>) -> Option<String> {
    let mut series = series(plot, None);
    if let (Some(first), Some(target)) = (series.first_mut(), target) {
        first.mark_lines.push(MarkLine {
            category: MarkLineCategory::Value(small(target)),
            color: Some(Hue::Alarm.stand_in()),
            stroke_width: Some(2.0),
            stroke_dash_array: Some("6,4".to_owned()),
        });
    }
    let mut chart = LineChart::new(series, plot.labels.clone());
    dress(&mut chart.base, &mut chart.y_axis_configs, plot, HEIGHT);
    if let (Some(target), Some(axis)) = (target, chart.y_axis_configs.first_mut()) {
        let most = plot.values.iter().flat_map(|v| v.of.iter().flatten()).fold(target, |a, b| a.max(*b));
        axis.max = Some(small(most * 1.1).ceil());
    }
    chart.base.series.stroke_width = 3.0;
    chart.base.series.symbol = Some(Symbol::Circle(4.0, Some(Hue::Card.stand_in())));
    finished(chart.svg(), plot)
}

/// Columns side by side; with one set of values, each in a colour of its own where `hues` says so.
pub(super) fn columns(plot: &Plot<'_>, hues: &[Hue]) -> Option<String> {
    let mut series = series(plot, None);
    if let (Some(only), false) = (series.first_mut(), hues.is_empty()) {
        only.colors = Some(hues.iter().map(|hue| Some(hue.stand_in())).collect());
        only.label_show = true;
    }
    let mut chart = BarChart::new(series, plot.labels.clone());
    dress(&mut chart.base, &mut chart.y_axis_configs, plot, HEIGHT);
    chart.radius = Some(2.0);
    if !hues.is_empty() {
        chart.base.legend.show = Some(false);
    }
    finished(chart.svg(), plot)
}

/// Bars to the right, one row for each label; stacked, each row is the whole and its parts are shares of it.
pub(super) fn rows(plot: &Plot<'_>, stacked: bool) -> Option<String> {
    // The crate draws the first at the bottom.
    let mut turned = plot.clone();
    turned.labels.reverse();
    turned.values.iter_mut().for_each(|v| v.of.reverse());
    let labels = turned.labels.iter().map(|l| shortened(l)).collect();
    let mut chart = HorizontalBarChart::new(series(&turned, stacked.then_some("all")), labels);
    let n = u16::try_from(plot.labels.len()).unwrap_or(u16::MAX);
    let per_row = if stacked { ROW } else { ROW + 10.0 };
    dress(&mut chart.base, &mut chart.y_axis_configs, plot, 70.0 + per_row * f32::from(n));
    chart.base.stack_percent = stacked;
    finished(chart.svg(), plot)
}

/// One bar of the whole, cut into its parts; its colours are explained in the table beside it.
pub(super) fn whole(plot: &Plot<'_>) -> Option<String> {
    let mut chart = HorizontalBarChart::new(series(plot, Some("all")), vec![String::new()]);
    dress(&mut chart.base, &mut chart.y_axis_configs, plot, 110.0);
    chart.base.stack_percent = true;
    chart.base.legend.show = Some(false);
    finished(chart.svg(), plot)
}

fn shortened(label: &str) -> String {
    if label.chars().count() <= MOST_LETTERS {
        return label.to_owned();
    }
    label.chars().take(MOST_LETTERS - 1).chain(['…']).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "a picture some hundred units wide")]
fn small(value: f64) -> f32 {
    value as f32
}

fn series(plot: &Plot<'_>, stack: Option<&str>) -> Vec<Series> {
    let one = |(n, values): (usize, &Values)| Series {
        name: values.name.to_owned(),
        data: values.of.iter().map(|v| v.map(small)).collect(),
        index: Some(n),
        stack: stack.map(str::to_owned),
        category: None::<SeriesCategory>,
        ..Series::default()
    };
    plot.values.iter().enumerate().map(one).collect()
}

fn dress(base: &mut charts_rs::ChartBase, axes: &mut [YAxisConfig], plot: &Plot<'_>, height: f32) {
    (base.width, base.height) = (WIDTH, height);
    base.background_color = Color::transparent();
    "inherit".clone_into(&mut base.font_family);
    base.series.colors = plot.values.iter().map(|v| v.hue.stand_in()).collect();
    base.series.label.font.color = Hue::Ink.stand_in();
    base.legend.font.color = Hue::Ink.stand_in();
    base.legend.show = Some(plot.values.len() > 1);
    base.x_axis.font.color = Hue::Soft.stand_in();
    base.x_axis.stroke_color = Hue::Soft.stand_in();
    base.grid.stroke_color = Hue::Line.stand_in();
    for axis in axes {
        axis.font.color = Hue::Soft.stand_in();
        axis.split_number = 4;
        axis.formatter = Some(format!("{{c}}{}", plot.unit));
    }
}

/// Names for numbers, a size that fits its place, words for those who hear it.
fn finished(drawn: charts_rs::Result<String>, plot: &Plot<'_>) -> Option<String> {
    let svg = drawn.inspect_err(|error| tracing::warn!(chart = plot.title, %error, "a chart could not be drawn")).ok()?;
    let (_, from_box) = svg.split_once(" viewBox=")?;
    let mut svg = format!("<svg class=\"chart\" viewBox={from_box}");
    for hue in Hue::ALL {
        svg = svg.replace(&format!("\"{}\"", hue.stand_in().hex()), &format!("\"var(--{})\"", hue.name()));
    }
    Some(svg_with_accessibility(&svg, plot.title, plot.says))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot() -> Plot<'static> {
        let values = |name, hue, of: [Option<f64>; 3]| Values { name, hue, of: of.to_vec() };
        Plot {
            title: "Time by week",
            says: "It \"grew\" & <fell>",
            labels: ["<b>Ä & \"co\"</b>", "10 Nov", "A name that is far too long for a chart"].map(str::to_owned).to_vec(),
            unit: " h",
            values: vec![
                values("Half within", Hue::Work, [Some(3.0), None, Some(2.5)]),
                values("Nine of ten within", Hue::Queue, [Some(9.0), Some(7.0), Some(1e9)]),
            ],
        }
    }

    #[test]
    fn charts_hold_no_style_no_script_and_no_colour_of_their_own() {
        let plot = plot();
        let drawn = [lines(&plot, Some(8.0)), columns(&plot, &[]), rows(&plot, false), rows(&plot, true), whole(&plot)];
        for svg in drawn.map(Option::unwrap) {
            for bad in ["style", "<script", "<b>", "href", "url(", "#0101"] {
                assert!(!svg.contains(bad), "{bad}: {svg}");
            }
            assert!(svg.contains("role=\"img\"") && svg.contains("<title>Time by week</title>"), "{svg}");
            assert!(svg.contains("<desc>It \"grew\" &amp; &lt;fell&gt;</desc>"), "{svg}");
            assert!(svg.contains("var(--work)"), "{svg}");
            let colours: Vec<&str> = svg.split("\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
            assert!(colours.iter().all(|c| *c == "000000"), "only what is invisible keeps a colour: {colours:?}");
        }
    }

    #[test]
    fn charts_of_nothing_are_drawn_too() {
        let none = Plot { labels: Vec::new(), values: Vec::new(), ..plot() };
        for svg in [lines(&none, None), columns(&none, &[]), rows(&none, true), whole(&none)] {
            assert!(svg.is_none_or(|svg| !svg.contains("NaN")));
        }
    }
}
