//! A 4-ary min-heap of keys and small values.
//!
//! Four children share two cache lines, so a sift touches half as many lines as in a binary heap. A popped
//! root is left as a *hole* until the next call: where a push follows a pop (every event that schedules its
//! successor), the new entry is sifted down from the hole and the tail of the heap is never moved.

/// A min-heap. Equal keys come out in no particular order: callers that care make keys unique.
///
/// ```
/// let mut heap = sim_core::MinHeap::new();
/// for key in [5, 3, 9] {
///     heap.push(key, ());
/// }
/// assert_eq!(heap.pop(), Some((3, ())));
/// assert_eq!(heap.peek(), Some((5, ())));
/// ```
#[derive(Clone, Debug)]
pub struct MinHeap<K, V> {
    entries: Vec<(K, V)>,
    /// The root was popped and not yet replaced.
    hole: bool,
}

impl<K, V> Default for MinHeap<K, V> {
    fn default() -> Self {
        MinHeap { entries: Vec::new(), hole: false }
    }
}

impl<K: Ord + Copy, V: Copy> MinHeap<K, V> {
    /// An empty heap.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len() - usize::from(self.hole)
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an entry.
    #[inline]
    pub fn push(&mut self, key: K, value: V) {
        if self.hole {
            self.hole = false;
            self.sift_down((key, value));
        } else {
            self.entries.push((key, value));
            self.sift_up((key, value));
        }
    }

    /// The entry with the smallest key. `&mut`, because it closes the hole a pop has left.
    #[inline]
    pub fn peek(&mut self) -> Option<(K, V)> {
        self.close_hole();
        self.entries.first().copied()
    }

    /// Removes the entry with the smallest key.
    #[inline]
    pub fn pop(&mut self) -> Option<(K, V)> {
        self.close_hole();
        let first = self.entries.first().copied();
        self.hole = first.is_some();
        first
    }

    /// Removes all entries and keeps the memory.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.hole = false;
    }

    /// Removes the entries that are not to be kept.
    pub fn retain(&mut self, mut keep: impl FnMut(K, V) -> bool) {
        self.close_hole();
        for (key, value) in std::mem::take(&mut self.entries) {
            if keep(key, value) {
                self.push(key, value);
            }
        }
    }

    /// All entries, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.entries[usize::from(self.hole)..].iter()
    }

    #[inline]
    fn close_hole(&mut self) {
        if self.hole {
            self.hole = false;
            if let Some(last) = self.entries.pop()
                && !self.entries.is_empty()
            {
                self.sift_down(last);
            }
        }
    }

    /// Places `entry`, which belongs at the root or below it.
    #[inline]
    fn sift_down(&mut self, entry: (K, V)) {
        let entries = self.entries.as_mut_slice();
        let mut at = 0;
        loop {
            let first = 4 * at + 1;
            let smallest = match entries.get(first..) {
                Some([a, b, c, d, ..]) => {
                    let low = usize::from(b.0 < a.0);
                    let high = 2 + usize::from(d.0 < c.0);
                    let (low_key, high_key) =
                        (if low == 0 { a.0 } else { b.0 }, if high == 2 { c.0 } else { d.0 });
                    first + if high_key < low_key { high } else { low }
                }
                Some(few) if !few.is_empty() => {
                    let mut best = 0;
                    for i in 1..few.len() {
                        if few[i].0 < few[best].0 {
                            best = i;
                        }
                    }
                    first + best
                }
                _ => break,
            };
            if entry.0 <= entries[smallest].0 {
                break;
            }
            entries[at] = entries[smallest];
            at = smallest;
        }
        entries[at] = entry;
    }

    /// Places `entry`, which was appended at the end.
    #[inline]
    fn sift_up(&mut self, entry: (K, V)) {
        let entries = self.entries.as_mut_slice();
        let mut at = entries.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 4;
            if entries[parent].0 <= entry.0 {
                break;
            }
            entries[at] = entries[parent];
            at = parent;
        }
        entries[at] = entry;
    }
}
