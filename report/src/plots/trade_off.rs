//! Cost against violation: a point for each design, with error bars both ways, and the frontier of those that no other
//! design beats in both.

mod labels;
mod scale;

use plotters::element::{Circle, PathElement, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{BLACK, Color, FontStyle, FontTransform, IntoFont, RGBColor, TextStyle, WHITE};

use super::frame::{Area, BLUE, DrawError, FAINT, INK, VERMILION, font};
use labels::{Label, Mark};
use scale::Scale;

/// What is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct TradeOff {
    /// What stands above it.
    pub title: String,
    /// The currency of the costs, such as `USD`.
    pub currency: String,
    /// The designs. One with a value that is not finite is left out.
    pub points: Vec<TradePoint>,
}

/// A design.
#[derive(Clone, Debug, PartialEq)]
pub struct TradePoint {
    /// Its name; empty for one that is to have none. Long ones are cut.
    pub label: String,
    /// What the run costs, in the currency.
    pub cost: f64,
    /// Half the width of its confidence interval; 0 for none.
    pub cost_half: f64,
    /// How long the SLA is violated in the run, in minutes.
    pub minutes: f64,
    /// Half the width of its confidence interval; 0 for none.
    pub minutes_half: f64,
    /// No other design is both as cheap and as good, and better in one of the two.
    pub frontier: bool,
}

/// The size of the picture.
pub const SIZE: (u32, u32) = (1280, 720);
/// Where the axes begin and end.
const ACROSS: (i32, i32) = (110, 1250);
const UP: (i32, i32) = (646, 92);
/// Half the length of the stroke that ends an error bar.
const CAP: i32 = 4;
/// Among more points than these only those of the frontier have names that a line leads to: lines would hide the points.
const CROWD: usize = 40;
/// The radius of a point.
const RADIUS: i32 = 5;

/// Where a point and the ends of its error bars are, in pixels.
#[derive(Clone, Copy, Debug)]
struct Spot {
    x: i32,
    y: i32,
    across: (i32, i32),
    up: (i32, i32),
}

/// Draws all of it.
pub fn draw<DB: DrawingBackend>(area: &Area<DB>, what: &TradeOff) -> Result<(), DrawError<DB>> {
    let finite = |point: &&TradePoint| {
        [point.cost, point.cost_half, point.minutes, point.minutes_half].iter().all(|value| value.is_finite())
    };
    let points: Vec<&TradePoint> = what.points.iter().filter(finite).collect();
    let costs = Scale::new(ACROSS, points.iter().map(|point| (point.cost, point.cost_half)), false);
    let minutes = Scale::new(UP, points.iter().map(|point| (point.minutes, point.minutes_half)), true);
    let bold = TextStyle::from(("sans-serif", 20.0, FontStyle::Bold).into_font()).color(&INK);
    area.draw(&Text::new(what.title.clone(), (20, 10), bold))?;
    axes(area, &costs, &minutes, &what.currency)?;
    let spots: Vec<Spot> = points.iter().map(|point| spot(point, &costs, &minutes)).collect();
    frontier(area, &points, &spots)?;
    for (point, spot) in points.iter().zip(&spots) {
        bars(area, point, *spot)?;
    }
    for frontier in [false, true] {
        for (_, spot) in points.iter().zip(&spots).filter(|(point, _)| point.frontier == frontier) {
            dot(area, (spot.x, spot.y), frontier)?;
        }
    }
    let left_out = name(area, &points, &spots)?;
    legend(area, &points, left_out)
}

fn spot(point: &TradePoint, costs: &Scale, minutes: &Scale) -> Spot {
    Spot {
        x: costs.at(point.cost),
        y: minutes.at(point.minutes),
        across: (costs.at(point.cost - point.cost_half), costs.at(point.cost + point.cost_half)),
        up: (minutes.at(point.minutes - point.minutes_half), minutes.at(point.minutes + point.minutes_half)),
    }
}

fn axes<DB: DrawingBackend>(
    area: &Area<DB>,
    costs: &Scale,
    minutes: &Scale,
    currency: &str,
) -> Result<(), DrawError<DB>> {
    let faint = INK.mix(0.13);
    for (at, label) in costs.ticks() {
        area.draw(&PathElement::new(vec![(at, UP.0), (at, UP.1)], faint))?;
        area.draw(&Text::new(label, (at, UP.0 + 16), aligned(15.0, INK, HPos::Center)))?;
    }
    for (at, label) in minutes.ticks() {
        area.draw(&PathElement::new(vec![(ACROSS.0, at), (ACROSS.1, at)], faint))?;
        area.draw(&Text::new(label, (ACROSS.0 - 10, at), aligned(15.0, INK, HPos::Right)))?;
    }
    let corner = vec![(ACROSS.0, UP.1), (ACROSS.0, UP.0), (ACROSS.1, UP.0)];
    area.draw(&PathElement::new(corner, INK.mix(0.5)))?;
    let across = format!("cost of the run ({currency})");
    let middle = ((ACROSS.0 + ACROSS.1) / 2, UP.0 + 48);
    area.draw(&Text::new(across, middle, aligned(16.0, INK, HPos::Center)))?;
    let turned = font(16.0, INK).transform(FontTransform::Rotate270);
    let turned = TextStyle { pos: Pos::new(HPos::Center, VPos::Center), ..turned };
    area.draw(&Text::new("SLA violated (minutes of the run)".to_string(), (28, (UP.0 + UP.1) / 2), turned))
}

/// The frontier as steps: what a design gives is had at every cost from its own on.
fn frontier<DB: DrawingBackend>(
    area: &Area<DB>,
    points: &[&TradePoint],
    spots: &[Spot],
) -> Result<(), DrawError<DB>> {
    let own = points.iter().zip(spots).filter(|(point, _)| point.frontier);
    let mut corners: Vec<(i32, i32)> = own.map(|(_, spot)| (spot.x, spot.y)).collect();
    corners.sort_unstable();
    let Some((&first, &last)) = corners.first().zip(corners.last()) else { return Ok(()) };
    let mut line = vec![(first.0, UP.1), first];
    for pair in corners.windows(2) {
        line.extend([(pair[1].0, pair[0].1), pair[1]]);
    }
    line.push((ACROSS.1, last.1));
    // Piece by piece: a thick line that turns is drawn with spikes.
    for pair in line.windows(2) {
        area.draw(&PathElement::new(pair.to_vec(), BLUE.mix(0.55).stroke_width(2)))?;
    }
    Ok(())
}

fn bars<DB: DrawingBackend>(area: &Area<DB>, point: &TradePoint, spot: Spot) -> Result<(), DrawError<DB>> {
    let style = colour(point.frontier).mix(0.7).stroke_width(1);
    let line = |from, to| area.draw(&PathElement::new(vec![from, to], style));
    if point.cost_half > 0.0 {
        line((spot.across.0, spot.y), (spot.across.1, spot.y))?;
        line((spot.across.0, spot.y - CAP), (spot.across.0, spot.y + CAP))?;
        line((spot.across.1, spot.y - CAP), (spot.across.1, spot.y + CAP))?;
    }
    if point.minutes_half > 0.0 {
        line((spot.x, spot.up.0), (spot.x, spot.up.1))?;
        line((spot.x - CAP, spot.up.0), (spot.x + CAP, spot.up.0))?;
        line((spot.x - CAP, spot.up.1), (spot.x + CAP, spot.up.1))?;
    }
    Ok(())
}

/// A filled point on the frontier, a hollow one elsewhere: colour is not all that tells them apart.
fn dot<DB: DrawingBackend>(area: &Area<DB>, at: (i32, i32), frontier: bool) -> Result<(), DrawError<DB>> {
    area.draw(&Circle::new(at, RADIUS, colour(frontier).filled()))?;
    if !frontier {
        area.draw(&Circle::new(at, RADIUS - 2, WHITE.filled()))?;
    }
    Ok(())
}

fn colour(frontier: bool) -> RGBColor {
    if frontier { BLUE } else { VERMILION }
}

/// Writes the names beside their points, those of the frontier first, and says how many found no place.
fn name<DB: DrawingBackend>(
    area: &Area<DB>,
    points: &[&TradePoint],
    spots: &[Spot],
) -> Result<usize, DrawError<DB>> {
    let style = font(15.0, BLACK.into());
    let mut wanted = Vec::new();
    for (index, point) in points.iter().enumerate().filter(|(_, point)| !point.label.is_empty()) {
        let text = labels::cut(&point.label);
        let (width, height) = area.estimate_text_size(&text, &style)?;
        let far = point.frontier || points.len() <= CROWD;
        wanted.push(Label { of: index, text, width: width as i32, height: height as i32, far });
    }
    wanted.sort_by_key(|label| !points[label.of].frontier); // stable: by their order otherwise
    let room = Mark { left: ACROSS.0 + 2, top: UP.1 - 4, right: ACROSS.1, bottom: UP.0 - 2 };
    let taken: Vec<[Mark; 3]> = spots.iter().map(|spot| marks(*spot)).collect();
    let centres: Vec<(i32, i32)> = spots.iter().map(|spot| (spot.x, spot.y)).collect();
    let placed = labels::place(&wanted, &centres, taken.as_flattened(), room);
    let mut left_out = 0;
    for (label, place) in wanted.iter().zip(placed) {
        let Some(place) = place else {
            left_out += 1;
            continue;
        };
        if let Some(leader) = place.leader {
            area.draw(&PathElement::new(vec![centres[label.of], leader], FAINT.mix(0.8)))?;
            dot(area, centres[label.of], points[label.of].frontier)?;
        }
        let at = (place.mark.left, (place.mark.top + place.mark.bottom) / 2);
        area.draw(&Text::new(label.text.clone(), at, aligned(15.0, INK, HPos::Left)))?;
    }
    Ok(left_out)
}

/// What a label must not cover: the point and its error bars.
fn marks(spot: Spot) -> [Mark; 3] {
    let around = |x: (i32, i32), y: (i32, i32), by: i32| Mark {
        left: x.0.min(x.1) - by,
        right: x.0.max(x.1) + by,
        top: y.0.min(y.1) - by,
        bottom: y.0.max(y.1) + by,
    };
    let (x, y) = ((spot.x, spot.x), (spot.y, spot.y));
    [around(x, y, RADIUS), around(spot.across, y, 1), around(x, spot.up, 1)]
}

fn legend<DB: DrawingBackend>(
    area: &Area<DB>,
    points: &[&TradePoint],
    left_out: usize,
) -> Result<(), DrawError<DB>> {
    let mut x = ACROSS.0;
    let mut entry = |frontier: bool, text: &str| {
        dot(area, (x + 8, 56), frontier)?;
        area.draw(&Text::new(text.to_string(), (x + 24, 56), aligned(15.0, INK, HPos::Left)))?;
        let (width, _) = area.estimate_text_size(text, &font(15.0, INK))?;
        x += width as i32 + 58;
        Ok(())
    };
    if points.iter().any(|point| point.frontier) {
        entry(true, "on the frontier: nothing is both cheaper and better")?;
    }
    if points.iter().any(|point| !point.frontier) {
        entry(false, "something is at least as cheap and as good")?;
    }
    let note = match (points.len(), left_out) {
        (0, _) => "nothing to show: no design has both a cost and an SLA".to_string(),
        (_, 0) => return Ok(()),
        (_, n) => format!("{n} of {} without a name, for want of room", points.len()),
    };
    area.draw(&Text::new(note, (x + 8, 56), aligned(15.0, INK, HPos::Left)))
}

fn aligned(size: f64, colour: RGBColor, at: HPos) -> TextStyle<'static> {
    TextStyle { pos: Pos::new(at, VPos::Center), ..font(size, colour) }
}
