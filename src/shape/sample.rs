//! Holds what a type writes against what it reads: [`Sample`] for one value, [`Parts`] for what is
//! inside one. The `write` module drives them.

use serde::Serialize;

use super::fault::Fault;
use super::graph::{Child, Fate, Graph, Kind, Leaf, Site};
use super::obstacle::{Obstacle, Place};

/// Where a sample value is being written: the names around it, as far as serde told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Where {
    pub(super) owner: &'static str,
    pub(super) variant: &'static str,
    pub(super) field: Option<&'static str>,
}

impl Where {
    /// Inside the type of this name.
    pub(super) const fn of(owner: &'static str) -> Self {
        Self { owner, variant: "", field: None }
    }

    fn place(self) -> Place {
        let mut owner = super::obstacle::short_name(self.owner);
        if !self.variant.is_empty() {
            owner = format!("{owner}::{}", self.variant);
        }
        Place { owner, field: self.field.map(str::to_owned) }
    }
}

/// Writes one value; stops at the first obstacle with a fault.
#[derive(Debug)]
pub(super) struct Sample<'g> {
    graph: &'g Graph,
    found: &'g mut Option<Obstacle>,
    /// What `Deserialize` asked for here; `None` if it is not known.
    expected: Option<Child>,
    pub(super) at: Where,
}

impl<'g> Sample<'g> {
    pub(super) fn new(
        graph: &'g Graph,
        found: &'g mut Option<Obstacle>,
        expected: Option<Child>,
        at: Where,
    ) -> Self {
        let mut sample = Self { graph, found, expected, at };
        // A newtype adds no byte, so it matters on neither side.
        let mut left = graph.len();
        while left > 0
            && let Some((id, Kind::Newtype)) = sample.expected_node()
        {
            sample.expected = graph.node(id).slot(0).child;
            left -= 1;
        }
        sample
    }

    fn expected_node(&self) -> Option<(usize, Kind)> {
        match self.expected {
            Some(Child::Node(id)) => Some((id, self.graph.node(id).kind)),
            _ => None,
        }
    }

    fn stop(self, obstacle: Obstacle) -> Fault {
        self.found.get_or_insert(obstacle);
        Fault
    }

    fn differs(self, written: impl Into<String>) -> Fault {
        let read = match self.expected {
            Some(Child::Leaf(leaf)) => leaf.describe().to_owned(),
            Some(Child::Node(id)) => self.graph.node(id).kind.describe(),
            None => "nothing".to_owned(),
        };
        let written = written.into();
        let place = self.at.place();
        self.stop(Obstacle::Asymmetric { place, written, read })
    }

    pub(super) fn leaf(self, written: Leaf) -> Result<(), Fault> {
        let same = match (self.expected, written) {
            (None | Some(Child::Leaf(Leaf::Any | Leaf::Identifier | Leaf::Ignored)), _)
            | (Some(Child::Leaf(Leaf::Unit | Leaf::UnitStruct)), Leaf::Unit | Leaf::UnitStruct)
            | (Some(Child::Leaf(Leaf::Str | Leaf::Bytes)), Leaf::Str | Leaf::Bytes) => true,
            (Some(Child::Leaf(read)), _) => read == written,
            (Some(Child::Node(id)), _) => {
                let node = self.graph.node(id);
                match (node.kind, written) {
                    (Kind::Tuple(0) | Kind::TupleStruct(0), Leaf::Unit | Leaf::UnitStruct) => true,
                    (Kind::Struct(names), Leaf::Unit | Leaf::UnitStruct) => names.is_empty(),
                    // Bytes are a sequence of `u8` to codecs that write only lengths and values.
                    (Kind::Seq, Leaf::Bytes) => node.slot(0).child == Some(Child::Leaf(Leaf::U8)),
                    _ => false,
                }
            }
        };
        if same { Ok(()) } else { Err(self.differs(written.describe())) }
    }

    /// Moves to the contents of an option.
    pub(super) fn option(mut self) -> Result<Self, Fault> {
        self.expected = match self.expected {
            None | Some(Child::Leaf(Leaf::Any)) => None,
            Some(Child::Node(id)) if self.graph.node(id).kind == Kind::Option => {
                self.graph.node(id).slot(0).child
            }
            _ => return Err(self.differs("an option")),
        };
        Ok(Self::new(self.graph, self.found, self.expected, self.at))
    }

    /// Starts writing the elements of a sequence or map.
    pub(super) fn elements(self, written: Kind, len: Option<usize>) -> Result<Parts<'g>, Fault> {
        let node = match (self.expected, written) {
            (None | Some(Child::Leaf(Leaf::Any)), _)
            | (Some(Child::Leaf(Leaf::Bytes)), Kind::Seq) => None,
            (Some(Child::Node(id)), _) if self.graph.node(id).kind == written => Some(id),
            _ => return Err(self.differs(written.describe())),
        };
        if len.is_none() {
            let place = self.at.place();
            return Err(self.stop(Obstacle::UnknownLength { place }));
        }
        let at = self.at;
        Ok(self.parts(node, at))
    }

    /// Starts writing a known number of values without any framing.
    ///
    /// `named` says that the values come with names, which are compared one by one instead of
    /// the number.
    pub(super) fn fixed(
        self,
        written: Kind,
        len: usize,
        at: Where,
        named: bool,
    ) -> Result<Parts<'g>, Fault> {
        let node = match self.expected {
            None | Some(Child::Leaf(Leaf::Any)) => None,
            Some(Child::Leaf(Leaf::Unit | Leaf::UnitStruct)) if len == 0 => None,
            Some(Child::Node(id)) => {
                let node = self.graph.node(id);
                let read = match node.kind {
                    Kind::Struct(_) | Kind::StructVariant(_) if named || !node.finished => len,
                    Kind::Struct(_) | Kind::StructVariant(_) => node.slots.len(),
                    Kind::Tuple(read) | Kind::TupleStruct(read) | Kind::TupleVariant(read) => read,
                    Kind::NewtypeVariant => 1,
                    Kind::UnitVariant => 0,
                    _ => return Err(self.differs(written.describe())),
                };
                if read != len {
                    return Err(self.differs(written.describe()));
                }
                Some(id)
            }
            Some(Child::Leaf(_)) => return Err(self.differs(written.describe())),
        };
        Ok(self.parts(node, at))
    }

    /// Moves to the contents of a variant, after a look at its number.
    pub(super) fn variant(mut self, at: Where, number: u32) -> Result<Self, Fault> {
        self.at = at;
        let id = match self.expected {
            None | Some(Child::Leaf(Leaf::Any)) => return Ok(self),
            Some(Child::Node(id)) if matches!(self.graph.node(id).kind, Kind::Enum(_)) => id,
            _ => return Err(self.differs("an enum")),
        };
        let node = self.graph.node(id);
        let names = node.kind.names();
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        // Names count aliases too, so a variant's number is at most the position of its name; it
        // is the position where there are no aliases.
        let known = node.slots.iter().filter(|slot| slot.fate != Fate::Absent).count();
        let shifted = match names.iter().position(|name| *name == at.variant) {
            Some(position) if known == names.len() => position != index,
            Some(position) => position < index || index >= known,
            None => index >= known,
        };
        if shifted {
            let place = self.at.place();
            return Err(self.stop(Obstacle::ShiftedVariant { place }));
        }
        self.expected = node.slot(index).child;
        Ok(self)
    }

    fn parts(self, node: Option<usize>, at: Where) -> Parts<'g> {
        Parts { graph: self.graph, found: self.found, node, at, done: 0 }
    }
}

/// The values inside a value.
#[derive(Debug)]
pub(super) struct Parts<'g> {
    graph: &'g Graph,
    found: &'g mut Option<Obstacle>,
    /// The node that was read here; `None` if it is not known.
    node: Option<usize>,
    pub(super) at: Where,
    done: usize,
}

impl Parts<'_> {
    pub(super) fn part<T: Serialize + ?Sized>(
        &mut self,
        index: usize,
        at: Where,
        value: &T,
    ) -> Result<(), Fault> {
        let expected = self.node.and_then(|node| self.graph.slot(Site { node, index }).child);
        value.serialize(Sample::new(self.graph, self.found, expected, at))
    }

    pub(super) fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        let index = self.done;
        self.done += 1;
        self.part(index, self.at, value)
    }

    pub(super) fn field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        let index = self.done;
        self.done += 1;
        let at = Where { field: Some(key), ..self.at };
        if let Some(id) = self.node {
            let node = self.graph.node(id);
            let names = node.kind.names();
            let is_struct = matches!(node.kind, Kind::Struct(_) | Kind::StructVariant(_));
            // More names than fields: some are aliases, and positions say nothing.
            let aliases = names.len() != node.slots.len();
            if is_struct && !names.contains(&key) {
                return Err(self.stop(Obstacle::UnreadField { place: at.place() }));
            }
            if is_struct && !aliases && names.get(index) != Some(&key) {
                let place = Where { field: names.get(index).copied(), ..at }.place();
                return Err(self.stop(Obstacle::UnwrittenField { place }));
            }
        }
        self.part(index, at, value)
    }

    pub(super) fn skip(&mut self, key: &'static str) -> Fault {
        let place = Where { field: Some(key), ..self.at }.place();
        self.stop(Obstacle::SkippedField { place })
    }

    pub(super) fn all_written(mut self) -> Result<(), Fault> {
        let Some(id) = self.node else { return Ok(()) };
        let node = self.graph.node(id);
        let read = match node.kind {
            Kind::Struct(_) | Kind::StructVariant(_) if node.finished => node.slots.len(),
            _ => return Ok(()),
        };
        if self.done >= read {
            return Ok(());
        }
        let field = node.kind.names().get(self.done).copied();
        let place = Where { field, ..self.at }.place();
        Err(self.stop(Obstacle::UnwrittenField { place }))
    }

    fn stop(&mut self, obstacle: Obstacle) -> Fault {
        self.found.get_or_insert(obstacle);
        Fault
    }
}
