//! [`PathSegments`]: a path, split.

/// The largest number of segments of a route.
const MAX_SEGMENTS: usize = 12;

/// The segments of a path, without an allocation.
pub(super) struct PathSegments<'a> {
    segments: [&'a str; MAX_SEGMENTS],
    /// Larger than [`MAX_SEGMENTS`] if there are more, which no route has.
    count: usize,
}

impl<'a> PathSegments<'a> {
    pub(super) fn of(path: &'a str) -> Self {
        let mut segments = Self { segments: [""; MAX_SEGMENTS], count: 0 };
        let mut start = 0;
        // Segments are short, so this is faster than searches for the next slash.
        for (at, byte) in path.bytes().enumerate() {
            if byte == b'/' {
                segments.push(path.get(start..at).unwrap_or_default());
                start = at + 1;
            }
        }
        segments.push(path.get(start..).unwrap_or_default());
        segments
    }

    fn push(&mut self, segment: &'a str) {
        if let Some(place) = self.segments.get_mut(self.count) {
            *place = segment;
        }
        self.count += 1;
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &'a str> {
        self.segments.iter().copied().take(self.count)
    }

    /// Above the largest number that a route has if the path has more.
    pub(super) const fn count(&self) -> usize {
        self.count
    }
}
