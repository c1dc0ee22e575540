//! Lines of messages by priority.

use super::entries::{Entries, Line};

/// Priorities are a byte; 0 is the most urgent.
const PRIORITIES: usize = 256;

/// A line for each priority that was ever used, and a bit for each that has somebody in it.
#[derive(Clone, Debug, Default)]
pub struct Priorities {
    lines: Vec<Line>,
    used: [u64; PRIORITIES / 64],
    len: usize,
}

impl Priorities {
    /// How many wait.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The most urgent priority that has somebody waiting, and who is first there.
    #[inline]
    pub fn first(&self) -> Option<(u8, u32)> {
        let word = self.used.iter().position(|&bits| bits != 0)?;
        let priority = word * 64 + self.used[word].trailing_zeros() as usize;
        Some((priority as u8, self.lines[priority].first()?))
    }

    /// Puts a message behind all others of its priority.
    #[inline]
    pub fn push_back<T: Copy>(&mut self, entries: &mut Entries<T>, priority: u8, place: u32) {
        self.line(priority).push_back(entries, place);
        self.len += 1;
        self.used[usize::from(priority) / 64] |= 1 << (priority % 64);
    }

    /// Puts a message before all others of its priority.
    pub fn push_front<T: Copy>(&mut self, entries: &mut Entries<T>, priority: u8, place: u32) {
        self.line(priority).push_front(entries, place);
        self.len += 1;
        self.used[usize::from(priority) / 64] |= 1 << (priority % 64);
    }

    /// Takes a message out of its line.
    #[inline]
    pub fn remove<T: Copy>(&mut self, entries: &mut Entries<T>, priority: u8, place: u32) {
        let line = self.line(priority);
        line.remove(entries, place);
        let empty = line.len() == 0;
        self.len -= 1;
        if empty {
            self.used[usize::from(priority) / 64] &= !(1 << (priority % 64));
        }
    }

    #[inline]
    fn line(&mut self, priority: u8) -> &mut Line {
        let index = usize::from(priority);
        if self.lines.len() <= index {
            self.lines.resize(index + 1, Line::EMPTY);
        }
        &mut self.lines[index]
    }
}

#[cfg(test)]
mod tests {
    use super::super::entries::State;
    use super::super::{Message, Time};
    use super::*;

    #[test]
    fn the_most_urgent_is_first_and_those_of_one_priority_in_order() {
        let mut entries = Entries::new();
        let mut waiting = Priorities::default();
        for (job, priority) in [(0, 200), (1, 3), (2, 64), (3, 3), (4, 255)] {
            let message = Message { job, key: 0, priority, sent: Time::ZERO };
            let place = entries.insert(message, State::Waiting, ());
            waiting.push_back(&mut entries, priority, place);
        }
        let mut order = Vec::new();
        while let Some((priority, place)) = waiting.first() {
            waiting.remove(&mut entries, priority, place);
            order.push((priority, entries.at(place).job));
        }
        assert_eq!(order, [(3, 1), (3, 3), (64, 2), (200, 0), (255, 4)]);
        assert_eq!(waiting.len(), 0);
    }
}
