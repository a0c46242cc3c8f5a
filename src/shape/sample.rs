//! The recording serializer: [`Sample`] holds what a type writes against what it reads.

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::fault::Fault;
use super::graph::{Child, Fate, Graph, Kind, Leaf, Site};
use super::obstacle::{Obstacle, Place};

/// Where a sample value is being written: the names around it, as far as serde told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Where {
    owner: &'static str,
    variant: &'static str,
    field: Option<&'static str>,
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
    at: Where,
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
            Some(Child::Leaf(leaf)) => leaf_name(leaf).to_owned(),
            Some(Child::Node(id)) => kind_name(self.graph.node(id).kind),
            None => "nothing".to_owned(),
        };
        let written = written.into();
        let place = self.at.place();
        self.stop(Obstacle::Asymmetric { place, written, read })
    }

    fn leaf(self, written: Leaf) -> Result<(), Fault> {
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
        if same { Ok(()) } else { Err(self.differs(leaf_name(written))) }
    }

    /// Moves to the contents of an option.
    fn option(mut self) -> Result<Self, Fault> {
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
    fn elements(self, written: Kind, len: Option<usize>) -> Result<Parts<'g>, Fault> {
        let node = match (self.expected, written) {
            (None | Some(Child::Leaf(Leaf::Any)), _)
            | (Some(Child::Leaf(Leaf::Bytes)), Kind::Seq) => None,
            (Some(Child::Node(id)), _) if self.graph.node(id).kind == written => Some(id),
            _ => return Err(self.differs(kind_name(written))),
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
    fn fixed(self, written: Kind, len: usize, at: Where, named: bool) -> Result<Parts<'g>, Fault> {
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
                    _ => return Err(self.differs(kind_name(written))),
                };
                if read != len {
                    return Err(self.differs(kind_name(written)));
                }
                Some(id)
            }
            Some(Child::Leaf(_)) => return Err(self.differs(kind_name(written))),
        };
        Ok(self.parts(node, at))
    }

    /// Moves to the contents of a variant, after a look at its number.
    fn variant(mut self, at: Where, number: u32) -> Result<Self, Fault> {
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
    at: Where,
    done: usize,
}

impl Parts<'_> {
    fn part<T: Serialize + ?Sized>(
        &mut self,
        index: usize,
        at: Where,
        value: &T,
    ) -> Result<(), Fault> {
        let expected = self.node.and_then(|node| self.graph.slot(Site { node, index }).child);
        value.serialize(Sample::new(self.graph, self.found, expected, at))
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        let index = self.done;
        self.done += 1;
        self.part(index, self.at, value)
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Fault> {
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

    fn skip(&mut self, key: &'static str) -> Fault {
        let place = Where { field: Some(key), ..self.at }.place();
        self.stop(Obstacle::SkippedField { place })
    }

    fn all_written(mut self) -> Result<(), Fault> {
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

macro_rules! leaves {
    ($($method:ident($type:ty) $leaf:ident,)*) => {$(
        fn $method(self, _value: $type) -> Result<(), Fault> {
            self.leaf(Leaf::$leaf)
        }
    )*};
}

impl<'g> Serializer for Sample<'g> {
    type Ok = ();
    type Error = Fault;
    type SerializeSeq = Parts<'g>;
    type SerializeTuple = Parts<'g>;
    type SerializeTupleStruct = Parts<'g>;
    type SerializeTupleVariant = Parts<'g>;
    type SerializeMap = Parts<'g>;
    type SerializeStruct = Parts<'g>;
    type SerializeStructVariant = Parts<'g>;

    leaves! {
        serialize_bool(bool) Bool,
        serialize_i8(i8) I8,
        serialize_i16(i16) I16,
        serialize_i32(i32) I32,
        serialize_i64(i64) I64,
        serialize_i128(i128) I128,
        serialize_u8(u8) U8,
        serialize_u16(u16) U16,
        serialize_u32(u32) U32,
        serialize_u64(u64) U64,
        serialize_u128(u128) U128,
        serialize_f32(f32) F32,
        serialize_f64(f64) F64,
        serialize_char(char) Char,
        serialize_str(&str) Str,
        serialize_bytes(&[u8]) Bytes,
        serialize_unit_struct(&'static str) UnitStruct,
    }

    fn serialize_unit(self) -> Result<(), Fault> {
        self.leaf(Leaf::Unit)
    }

    fn collect_str<T: ?Sized>(self, _value: &T) -> Result<(), Fault> {
        self.leaf(Leaf::Str)
    }

    fn serialize_none(self) -> Result<(), Fault> {
        self.option().map(|_| ())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Fault> {
        value.serialize(self.option()?)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        value.serialize(self)
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        number: u32,
        variant: &'static str,
    ) -> Result<(), Fault> {
        let at = Where { owner: name, variant, field: None };
        self.variant(at, number)?.fixed(Kind::UnitVariant, 0, at, false).map(|_| ())
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        number: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        let at = Where { owner: name, variant, field: None };
        self.variant(at, number)?.fixed(Kind::NewtypeVariant, 1, at, false)?.item(value)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Parts<'g>, Fault> {
        self.elements(Kind::Seq, len)
    }

    fn serialize_tuple(self, len: usize) -> Result<Parts<'g>, Fault> {
        let at = self.at;
        self.fixed(Kind::Tuple(len), len, at, false)
    }

    fn serialize_tuple_struct(self, name: &'static str, len: usize) -> Result<Parts<'g>, Fault> {
        self.fixed(Kind::TupleStruct(len), len, Where::of(name), false)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        number: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Parts<'g>, Fault> {
        let at = Where { owner: name, variant, field: None };
        self.variant(at, number)?.fixed(Kind::TupleVariant(len), len, at, false)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Parts<'g>, Fault> {
        self.elements(Kind::Map, len)
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Parts<'g>, Fault> {
        self.fixed(Kind::Struct(&[]), len, Where::of(name), true)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        number: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Parts<'g>, Fault> {
        let at = Where { owner: name, variant, field: None };
        self.variant(at, number)?.fixed(Kind::StructVariant(&[]), len, at, true)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

impl SerializeSeq for Parts<'_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.part(0, self.at, value)
    }

    fn end(self) -> Result<(), Fault> {
        Ok(())
    }
}

impl SerializeMap for Parts<'_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Fault> {
        self.part(0, self.at, key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.part(1, self.at, value)
    }

    fn end(self) -> Result<(), Fault> {
        Ok(())
    }
}

macro_rules! tuples {
    ($($part:ident $method:ident,)*) => {$(
        impl $part for Parts<'_> {
            type Ok = ();
            type Error = Fault;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
                self.item(value)
            }

            fn end(self) -> Result<(), Fault> {
                Ok(())
            }
        }
    )*};
}

tuples! {
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field,
}

macro_rules! structs {
    ($($part:ident,)*) => {$(
        impl $part for Parts<'_> {
            type Ok = ();
            type Error = Fault;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), Fault> {
                self.field(key, value)
            }

            fn skip_field(&mut self, key: &'static str) -> Result<(), Fault> {
                Err(self.skip(key))
            }

            fn end(self) -> Result<(), Fault> {
                self.all_written()
            }
        }
    )*};
}

structs! {
    SerializeStruct,
    SerializeStructVariant,
}

const fn leaf_name(leaf: Leaf) -> &'static str {
    match leaf {
        Leaf::Bool => "a bool",
        Leaf::I8 => "an i8",
        Leaf::I16 => "an i16",
        Leaf::I32 => "an i32",
        Leaf::I64 => "an i64",
        Leaf::I128 => "an i128",
        Leaf::U8 => "a u8",
        Leaf::U16 => "a u16",
        Leaf::U32 => "a u32",
        Leaf::U64 => "a u64",
        Leaf::U128 => "a u128",
        Leaf::F32 => "an f32",
        Leaf::F64 => "an f64",
        Leaf::Char => "a char",
        Leaf::Str => "a string",
        Leaf::Bytes => "bytes",
        Leaf::Unit => "a unit",
        Leaf::UnitStruct => "a unit struct",
        Leaf::Any => "any value",
        Leaf::Identifier => "a name",
        Leaf::Ignored => "an ignored value",
    }
}

fn kind_name(kind: Kind) -> String {
    match kind {
        Kind::Root => "a state".to_owned(),
        Kind::Option => "an option".to_owned(),
        Kind::Seq => "a sequence".to_owned(),
        Kind::Map => "a map".to_owned(),
        Kind::Newtype => "a newtype".to_owned(),
        Kind::Tuple(len) => format!("a tuple of {len}"),
        Kind::TupleStruct(len) => format!("a tuple struct of {len}"),
        Kind::Struct(_) => "a struct".to_owned(),
        Kind::Enum(_) => "an enum".to_owned(),
        Kind::UnitVariant => "a variant without fields".to_owned(),
        Kind::NewtypeVariant => "a variant with one value".to_owned(),
        Kind::TupleVariant(len) => format!("a variant with {len} values"),
        Kind::StructVariant(_) => "a variant with named fields".to_owned(),
    }
}
