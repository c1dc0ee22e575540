//! Where names stand beside their points so that none covers another, a point or an error bar.

/// Columns after which a name is cut.
const LONGEST: usize = 44;
/// How far from its point a name may be, in pixels; from the third on a line leads to it.
const DISTANCES: [i32; 6] = [10, 16, 28, 46, 70, 100];
const NEAR: usize = 2;

/// A box in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub left: i32,
    pub top: i32,
    pub right: i32,
    pub bottom: i32,
}

impl Mark {
    fn touches(&self, other: &Mark) -> bool {
        self.left <= other.right
            && other.left <= self.right
            && self.top <= other.bottom
            && other.top <= self.bottom
    }

    fn within(&self, room: &Mark) -> bool {
        self.left >= room.left
            && self.right <= room.right
            && self.top >= room.top
            && self.bottom <= room.bottom
    }
}

/// A name to be placed.
#[derive(Clone, Debug)]
pub struct Label {
    /// Which point it names.
    pub of: usize,
    /// What it says.
    pub text: String,
    pub width: i32,
    pub height: i32,
    /// Whether it may stand so far off that a line has to lead to it.
    pub far: bool,
}

/// Where a name stands.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The box around it.
    pub mark: Mark,
    /// Where a line from its point ends, if it is far from it.
    pub leader: Option<(i32, i32)>,
}

/// A name as it is written.
pub fn cut(name: &str) -> String {
    if name.chars().count() <= LONGEST {
        return name.to_string();
    }
    name.chars().take(LONGEST - 1).chain(['…']).collect()
}

/// Places names one after another, each at the first place around its point that is free. `None` where there is none.
pub fn place(labels: &[Label], points: &[(i32, i32)], taken: &[Mark], room: Mark) -> Vec<Option<Place>> {
    let mut taken = taken.to_vec();
    let free =
        |mark: &Mark, taken: &[Mark]| mark.within(&room) && !taken.iter().any(|other| mark.touches(other));
    labels
        .iter()
        .map(|label| {
            let found = candidates(label, points[label.of]).find(|place| free(&place.mark, &taken))?;
            taken.push(found.mark);
            Some(found)
        })
        .collect()
}

/// Places around a point, the best first: near ones before far ones, and to the right of it before elsewhere.
fn candidates(label: &Label, (x, y): (i32, i32)) -> impl Iterator<Item = Place> {
    const SIDES: [(i32, i32); 8] = [(1, -1), (1, 1), (-1, -1), (-1, 1), (1, 0), (-1, 0), (0, -1), (0, 1)];
    let (width, height) = (label.width, label.height);
    let rings = if label.far { DISTANCES.len() } else { NEAR };
    DISTANCES.into_iter().enumerate().take(rings).flat_map(move |(ring, distance)| {
        SIDES.into_iter().map(move |(across, down)| {
            let left = match across {
                1 => x + distance,
                -1 => x - distance - width,
                _ => x - width / 2,
            };
            let gap = if across == 0 { distance } else { distance / 2 };
            let top = match down {
                1 => y + gap,
                -1 => y - gap - height,
                _ => y - height / 2,
            };
            let mark = Mark { left, top, right: left + width, bottom: top + height };
            let end = (x.clamp(mark.left - 2, mark.right + 2), y.clamp(mark.top, mark.bottom));
            Place { mark, leader: (ring >= NEAR).then_some(end) }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Mark = Mark { left: 0, top: 0, right: 1000, bottom: 600 };

    fn labels(count: usize) -> Vec<Label> {
        let label = |of| Label { of, text: format!("name {of}"), width: 90, height: 16, far: true };
        (0..count).map(label).collect()
    }

    #[test]
    fn names_cover_neither_each_other_nor_points() {
        let points: Vec<(i32, i32)> = (0..12).map(|i| (500 + 7 * (i % 4), 300 + 9 * (i / 4))).collect();
        let around = |&(x, y): &(i32, i32)| Mark { left: x - 5, top: y - 5, right: x + 5, bottom: y + 5 };
        let taken: Vec<Mark> = points.iter().map(around).collect();
        let placed: Vec<Mark> =
            place(&labels(12), &points, &taken, ROOM).into_iter().flatten().map(|place| place.mark).collect();
        assert!(placed.len() >= 10, "{} of 12 found a place", placed.len());
        for (index, mark) in placed.iter().enumerate() {
            assert!(mark.within(&ROOM));
            assert!(!taken.iter().chain(&placed[..index]).any(|other| mark.touches(other)), "{mark:?}");
        }
    }

    #[test]
    fn a_name_without_a_place_is_left_out() {
        let points = vec![(500, 300); 200];
        let placed = place(&labels(200), &points, &[], ROOM);
        assert!(placed.iter().any(Option::is_none) && placed[0].is_some());
    }

    #[test]
    fn long_names_are_cut() {
        let long = "ü".repeat(60);
        assert_eq!(cut(&long).chars().count(), LONGEST);
        assert!(cut(&long).ends_with('…'));
        assert_eq!(cut("short"), "short");
    }
}
