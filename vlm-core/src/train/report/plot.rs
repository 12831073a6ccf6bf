//! The loss curve as an SVG picture: what was measured, pale, and a smoothed line over it.

use crate::Result;
use crate::weights::atomic::write_atomic;
use std::fmt::Write;
use std::path::Path;

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 460.0;
/// Space around the curves for title, labels and legend: left, right, top, bottom.
const MARGIN: [f64; 4] = [72.0, 24.0, 48.0, 56.0];
/// Colours that people with any kind of colour vision tell apart (Okabe and Ito).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
/// More points than this are thinned: a pixel column shows no more.
const MAX_POINTS: usize = 2000;

/// Smooths values as LLaMA-Factory's loss plot does: an exponential moving average that starts at the first value and whose
/// weight `1.8 · (sigmoid(0.05 · n) − 0.5)` grows with the number of values `n` up to 0.9.
///
/// Values that are not finite are passed through and leave the average alone.
pub fn smooth(values: &[f64]) -> Vec<f64> {
    let finite = values.iter().filter(|v| v.is_finite()).count();
    let weight = 1.8 * (1.0 / (1.0 + (-0.05 * finite as f64).exp()) - 0.5);
    let mut last = None;
    let next = |&value: &f64| {
        if !value.is_finite() {
            return value;
        }
        let new = last.map_or(value, |l: f64| l * weight + (1.0 - weight) * value);
        last = Some(new);
        new
    };
    values.iter().map(next).collect()
}

/// One or more curves over steps.
#[derive(Clone, Debug, Default)]
pub struct LossPlot {
    title: String,
    log_scale: bool,
    curves: Vec<Curve>,
}

#[derive(Clone, Debug)]
struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
    smoothed: bool,
}

impl LossPlot {
    /// An empty plot with a title.
    pub fn new(title: impl Into<String>) -> Self {
        LossPlot { title: title.into(), ..LossPlot::default() }
    }

    /// Uses a logarithmic loss axis; values that are not positive are then left out.
    #[must_use]
    pub fn log_scale(mut self, on: bool) -> Self {
        self.log_scale = on;
        self
    }

    /// Adds a noisy curve of (step, loss): shown pale, with its smoothed line (see [`smooth`]).
    #[must_use]
    pub fn curve(mut self, name: impl Into<String>, points: &[(u64, f64)]) -> Self {
        self.push(name.into(), points, true);
        self
    }

    /// Adds a curve of few points, such as validation losses: shown as it is, with a dot at each point.
    #[must_use]
    pub fn points(mut self, name: impl Into<String>, points: &[(u64, f64)]) -> Self {
        self.push(name.into(), points, false);
        self
    }

    fn push(&mut self, name: String, points: &[(u64, f64)], smoothed: bool) {
        let points = points.iter().map(|&(step, loss)| (step as f64, loss)).collect();
        self.curves.push(Curve { name, points, smoothed });
    }

    /// Writes the picture to `path`, atomically.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) naming the path.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_atomic("write loss plot", path, self.to_svg().as_bytes())
    }

    /// The picture. Without any finite value it says so.
    pub fn to_svg(&self) -> String {
        let mut svg = String::new();
        let [left, right, top, bottom] = MARGIN;
        let _ = write!(
            svg,
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" font-family="system-ui, 'Segoe UI', Helvetica, Arial, sans-serif" font-size="13" fill="#333"><rect width="100%" height="100%" fill="#fff"/><text x="{left}" y="28" font-size="17" font-weight="600">{}</text>"##,
            escape(&self.title)
        );
        // Sums and differences of larger values would overflow.
        let shown = |loss: f64| loss.abs() <= 1e300 && (!self.log_scale || loss > 0.0);
        let all: Vec<(f64, f64)> =
            self.curves.iter().flat_map(|c| c.points.iter().copied()).filter(|p| shown(p.1)).collect();
        if all.is_empty() {
            let (x, y) = (WIDTH / 2.0, HEIGHT / 2.0);
            let _ = write!(
                svg,
                r##"<text x="{x}" y="{y}" text-anchor="middle" fill="#777">no values to show</text></svg>"##
            );
            return svg;
        }
        let steps = Axis::linear(range(all.iter().map(|p| p.0)), left, WIDTH - right, 8);
        let losses = range(all.iter().map(|p| p.1));
        let (low, high) = (HEIGHT - bottom, top);
        let losses = if self.log_scale { Axis::log(losses, low, high) } else { Axis::linear(losses, low, high, 6) };
        for &tick in &losses.ticks {
            let y = losses.at(tick);
            let _ = write!(
                svg,
                r##"<path d="M{left} {y:.1}H{}" stroke="#e4e4e4"/><text x="{}" y="{:.1}" text-anchor="end">{}</text>"##,
                WIDTH - right,
                left - 8.0,
                y + 4.5,
                label(tick)
            );
        }
        for &tick in &steps.ticks {
            let x = steps.at(tick);
            let _ = write!(
                svg,
                r##"<path d="M{x:.1} {low}v5" stroke="#888"/><text x="{x:.1}" y="{}" text-anchor="middle">{}</text>"##,
                low + 20.0,
                label(tick)
            );
        }
        let middle = (low + high) / 2.0;
        let _ = write!(
            svg,
            r##"<path d="M{left} {high}V{low}H{}" stroke="#888" fill="none"/><text x="{}" y="{}" text-anchor="middle">step</text><text transform="translate(18 {middle}) rotate(-90)" text-anchor="middle">loss</text>"##,
            WIDTH - right,
            (left + WIDTH - right) / 2.0,
            HEIGHT - 14.0
        );
        for (i, curve) in self.curves.iter().enumerate() {
            curve.draw(&mut svg, &steps, &losses, &shown, COLOURS[i % COLOURS.len()]);
        }
        self.legend(&mut svg);
        svg.push_str("</svg>\n");
        svg
    }

    fn legend(&self, svg: &mut String) {
        let mut x = WIDTH - MARGIN[1];
        for (i, curve) in self.curves.iter().enumerate().rev() {
            let name: String = curve.name.chars().take(40).collect();
            let colour = COLOURS[i % COLOURS.len()];
            let _ = write!(svg, r#"<text x="{x:.0}" y="28" text-anchor="end">{}</text>"#, escape(&name));
            x -= name.chars().count() as f64 * 7.5 + 8.0;
            let _ = write!(svg, r#"<path d="M{:.0} 24h20" stroke="{colour}" stroke-width="2.5"/>"#, x - 20.0);
            x -= 40.0;
        }
    }
}

impl Curve {
    fn draw(&self, svg: &mut String, steps: &Axis, losses: &Axis, shown: &dyn Fn(f64) -> bool, colour: &str) {
        let xy = |&(step, loss): &(f64, f64)| shown(loss).then(|| (steps.at(step), losses.at(loss)));
        let lines = if self.smoothed {
            let values: Vec<f64> = self.points.iter().map(|p| p.1).collect();
            let smoothed: Vec<_> = self.points.iter().map(|p| p.0).zip(smooth(&values)).collect();
            vec![(self.points.clone(), 1.0, 0.3), (smoothed, 2.2, 1.0)]
        } else {
            vec![(self.points.clone(), 1.8, 1.0)]
        };
        for (points, width, opacity) in lines {
            let _ = write!(
                svg,
                r#"<path fill="none" stroke="{colour}" stroke-width="{width}" stroke-opacity="{opacity}" stroke-linejoin="round" d="{}"/>"#,
                path(points.iter().map(xy))
            );
        }
        // A lone point draws no line.
        if !self.smoothed || self.points.len() == 1 {
            for (x, y) in self.points.iter().filter_map(xy).take(MAX_POINTS) {
                let _ = write!(svg, r#"<circle cx="{x:.1}" cy="{y:.1}" r="3.2" fill="{colour}"/>"#);
            }
        }
    }
}

/// An SVG path through the points; a missing one (a NaN) leaves a gap.
fn path(points: impl ExactSizeIterator<Item = Option<(f64, f64)>>) -> String {
    let every = points.len().div_ceil(MAX_POINTS).max(1);
    let last = points.len().saturating_sub(1);
    let (mut d, mut pen_down) = (String::new(), false);
    for (i, point) in points.enumerate() {
        match point {
            None => pen_down = false,
            Some((x, y)) if i % every == 0 || i == last || !pen_down => {
                let _ = write!(d, "{}{x:.1} {y:.1}", if pen_down { 'L' } else { 'M' });
                pen_down = true;
            }
            Some(_) => {}
        }
    }
    d
}

/// Where values lie on the picture and where the ticks are.
struct Axis {
    ticks: Vec<f64>,
    from: f64,
    to: f64,
    start: f64,
    end: f64,
    log: bool,
}

impl Axis {
    fn at(&self, value: f64) -> f64 {
        let place = |v: f64| if self.log { v.log10() } else { v };
        let (from, to) = (place(self.from), place(self.to));
        self.start + (place(value) - from) / (to - from) * (self.end - self.start)
    }

    /// Ticks at multiples of 1, 2 or 5 times a power of ten, about `wanted` of them, the ends at ticks.
    fn linear((low, high): (f64, f64), start: f64, end: f64, wanted: usize) -> Self {
        let pad = if low == high { (low.abs() * 0.1).max(0.5) } else { 0.0 };
        let (low, high) = (low - pad, high + pad);
        let rough = high / wanted as f64 - low / wanted as f64;
        let power = 10f64.powf(rough.log10().floor());
        let unit = [1.0, 2.0, 5.0].into_iter().find(|u| u * power >= rough).unwrap_or(10.0) * power;
        let (first, last) = ((low / unit).floor(), (high / unit).ceil());
        // Beyond 2^53 neighbouring multiples are no longer distinct; the ends alone must do.
        let ticks = if unit.is_normal() && (last - first) <= 4.0 * wanted as f64 && last > first {
            (0..=(last - first) as usize).map(|i| (first + i as f64) * unit).collect()
        } else {
            vec![low, high]
        };
        Axis { from: ticks[0], to: ticks[ticks.len() - 1], ticks, start, end, log: false }
    }

    /// Ticks at powers of ten, and at 2 and 5 times those where there are few.
    fn log((low, high): (f64, f64), start: f64, end: f64) -> Self {
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        let last = last.max(first + 1);
        let every = ((last - first) / 8).max(1);
        let ticks = (first..=last).step_by(every as usize).flat_map(|e| {
            let fine: &[f64] = if last - first <= 2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
            fine.iter().map(move |f| f * 10f64.powi(e))
        });
        let (from, to) = (10f64.powi(first), 10f64.powi(last));
        let ticks = ticks.filter(|t| *t > 0.0 && *t <= to * 1.000_001).collect();
        Axis { ticks, from: from.max(f64::MIN_POSITIVE), to, start, end, log: true }
    }
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)))
}

/// A tick's value with no more digits than it needs.
fn label(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e7).contains(&size) {
        return format!("{value:.0e}");
    }
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Text for XML, without the control characters that XML 1.0 forbids.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().take(200) {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of LLaMA-Factory's `smooth` (src/llamafactory/extras/ploting.py) for the same input.
    #[test]
    fn smoothing_is_that_of_llama_factory() {
        let found = smooth(&[4.0, 2.0, 3.0, 1.0, 0.5]);
        let weight: f64 = 1.8 * (1.0 / (1.0 + (-0.25f64).exp()) - 0.5);
        assert!((weight - 0.111_917_6).abs() < 1e-6, "{weight}");
        let want = [4.0, 2.223_835, 2.913_133, 1.214_115, 0.579_922];
        assert!(found.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-4), "{found:?}");
        assert!(smooth(&[]).is_empty());
        let holed = smooth(&[1.0, f64::NAN, 3.0]);
        assert!(holed[0] == 1.0 && holed[1].is_nan() && holed[2] < 3.0);
    }

    #[test]
    fn every_input_gives_a_well_formed_picture_without_nan() {
        let steps = |values: &[f64]| values.iter().enumerate().map(|(i, v)| (i as u64 * 10, *v)).collect::<Vec<_>>();
        let long: Vec<f64> = (0..50_000).map(|i| 3.0 / (1.0 + f64::from(i))).collect();
        let cases: [&[f64]; 9] = [
            &[],
            &[f64::NAN, f64::INFINITY],
            &[1.5],
            &[0.0, 0.0],
            &[1.0, f64::NAN, 0.5, f64::INFINITY, 0.25],
            &[1e-300, 1e300],
            &[-1e300, 1e-12, f64::MAX, f64::MIN],
            &[9_007_199_254_740_993.0, 9_007_199_254_740_995.0],
            &long,
        ];
        for values in cases {
            for log in [false, true] {
                let plot = LossPlot::new("a <b> & \"c\"\0")
                    .log_scale(log)
                    .curve("train", &steps(values))
                    .points("eval", &steps(values));
                let svg = plot.to_svg();
                assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
                assert!(!svg.contains("NaN") && !svg.contains("inf") && svg.contains("a &lt;b&gt; &amp;"), "{svg}");
                assert!(svg.len() < 400_000 && svg.matches('<').count() == svg.matches('>').count());
                assert_eq!(svg.contains("no values"), !values.iter().any(|v| v.is_finite() && (!log || *v > 0.0)));
            }
        }
    }

    #[test]
    fn ticks_are_round_numbers() {
        let ticks =
            |low, high| Axis::linear((low, high), 0.0, 1.0, 6).ticks.iter().map(|t| label(*t)).collect::<Vec<_>>();
        assert_eq!(ticks(0.13, 2.6), ["0", "0.5", "1", "1.5", "2", "2.5", "3"]);
        assert_eq!(ticks(100.0, 200.0), ["100", "120", "140", "160", "180", "200"]);
        let log = Axis::log((0.03, 40.0), 0.0, 1.0);
        assert_eq!(log.ticks.iter().map(|t| label(*t)).collect::<Vec<_>>(), ["0.01", "0.1", "1", "10", "100"]);
        assert!((log.at(1.0) - 0.5).abs() < 1e-9);
    }
}
