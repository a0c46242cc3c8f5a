//! Seeded values: [`Gen`].

use crate::Value;

/// A seeded source of values that knows the edges.
#[derive(Debug)]
pub struct Gen {
    rng: fastrand::Rng,
    nested: u32,
}

impl Gen {
    /// The same values for the same seed.
    pub fn new(seed: u64) -> Self {
        Self { rng: fastrand::Rng::with_seed(seed), nested: 0 }
    }

    /// Any value of another type.
    pub fn any<T: Value>(&mut self) -> T {
        T::make(self)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.rng.u64(..)
    }

    /// Below `n` (exclusive), which is above 0.
    pub fn below(&mut self, n: usize) -> usize {
        self.rng.usize(..n)
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of these.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// A short length, often 0.
    #[expect(clippy::len_without_is_empty, reason = "a length for what is made, not of this")]
    pub fn len(&mut self) -> usize {
        self.pick(&[0, 0, 1, 1, 2, 3, 5])
    }

    /// A few values.
    pub fn many<T: Value, C: FromIterator<T>>(&mut self) -> C {
        let len = self.len();
        self.times(len)
    }

    /// So many values.
    pub fn times<T: Value, C: FromIterator<T>>(&mut self, len: usize) -> C {
        (0..len).map(|_| T::make(self)).collect()
    }

    /// A value one level deeper, or `None` when it is deep enough already. For recursive types.
    pub fn deeper<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.nested >= 5 || self.once_in(3) {
            return None;
        }
        self.nested += 1;
        let made = make(self);
        self.nested -= 1;
        Some(made)
    }

    /// An integer of up to 64 bits, of a random magnitude.
    pub fn scaled(&mut self) -> u64 {
        let bits = self.bits();
        let shift = self.below(64);
        bits >> shift
    }

    /// Text: empty, with quotes and zeros, outside ASCII, long, or like a number.
    pub fn text(&mut self) -> String {
        const EDGES: [&str; 16] = [
            "",
            "a",
            "\0",
            "null",
            "true",
            "1",
            "-0.0",
            "1e400",
            "\"\\/\n\u{8}\u{1f}",
            "grüße",
            "\u{feff}",
            "\u{10ffff}𝄞",
            "9007199254740993",
            "$serde_json::private::Number",
            "  ",
            "2026-01-01T00:00:00Z",
        ];
        match self.below(8) {
            0..4 => self.pick(&EDGES).to_owned(),
            4 => "x".repeat(30 + self.below(300)),
            _ => self.word(),
        }
    }

    /// 1 to 9 ASCII letters.
    pub fn word(&mut self) -> String {
        (0..=self.below(9)).map(|_| self.rng.lowercase()).collect()
    }
}
