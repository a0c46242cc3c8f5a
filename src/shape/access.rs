//! How a type reads its contents: elements, entries, fields, and the contents of a variant.

use std::any::type_name;
use std::vec::IntoIter;

use serde::de::value::{BorrowedStrDeserializer, U32Deserializer, U64Deserializer};
use serde::de::{
    DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::fault::ShapeFault;
use super::graph::{Fate, ShapeKind, ShapeSite};
use super::obstacle::{Obstacle, ObstaclePlace};
use super::pass::{Cause, PassVisit};
use super::tracer::Tracer;
use super::tree::{ShapeTree, Shown};

/// Answers the requests at one site of the graph.
#[derive(Debug)]
pub(super) struct ShapeCursor<'t> {
    pub(super) tracer: &'t mut Tracer,
    pub(super) site: ShapeSite,
}

impl Tracer {
    fn child<'de, S: DeserializeSeed<'de>>(
        &mut self,
        site: ShapeSite,
        seed: S,
    ) -> Result<S::Value, ShapeFault> {
        self.graph.change(site, |_| ());
        let start = self.steps.len();
        self.calls.push((site, start));
        let result = seed.deserialize(ShapeCursor { tracer: self, site });
        self.calls.pop();
        match result {
            Ok(_) => self.accepted(site),
            Err(ShapeFault) => _ = self.fail(site, start, Cause::Refused),
        }
        self.conclude(result.is_ok());
        result
    }
}

/// Reads the fields of a struct, either in order or one of them by name.
///
/// A visitor that fails without requesting any field in order can only read fields by name.
pub(super) fn read_fields<'de, V: Visitor<'de>>(
    tracer: &mut Tracer,
    node: usize,
    visitor: V,
) -> Result<V::Value, ShapeFault> {
    if tracer.graph.node(node).is_read_by_name() {
        let field = tracer.choose_field(node);
        let result = visitor.visit_map(OneField { tracer, node, field, asked: field });
        if let Some(index) = field
            && tracer.graph.node(node).slot(index).child.is_none()
        {
            tracer.graph.change(ShapeSite { node, index }, |slot| slot.fate = Fate::Absent);
            tracer.changed = true;
        }
        return result;
    }
    let fields = tracer.graph.node(node).kind.names().len();
    let result = visitor.visit_seq(Items { tracer, node, next: 0, end: fields, same: false });
    let here = tracer.graph.node_mut(node);
    if result.is_err() && fields > 0 && here.slots.is_empty() {
        here.needs_names = true;
        let place = ObstaclePlace { owner: here.name.to_owned(), field: None };
        tracer.changed = true;
        tracer.meet(Obstacle::ByName { place });
    }
    result
}

/// One field of a struct, read by name.
struct OneField<'t> {
    tracer: &'t mut Tracer,
    node: usize,
    field: Option<usize>,
    asked: Option<usize>,
}

impl<'de> MapAccess<'de> for OneField<'_> {
    type Error = ShapeFault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ShapeFault> {
        let Some(index) = self.field.take() else { return Ok(None) };
        // Derived visitors also accept field numbers, which, unlike the list of names, do not count
        // aliases. Hand-written visitors may only accept names.
        if type_name::<K>().contains("__Field") {
            let number: U64Deserializer<ShapeFault> = (index as u64).into_deserializer();
            return seed.deserialize(number).map(Some);
        }
        let name = self.tracer.graph.node(self.node).kind.names().get(index).copied();
        seed.deserialize(BorrowedStrDeserializer::new(name.unwrap_or_default())).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, ShapeFault> {
        let index = self.asked.unwrap_or_default();
        self.tracer.child(ShapeSite { node: self.node, index }, seed)
    }
}

/// The elements of a sequence, which share a slot, or of a tuple, which have one slot each.
pub(super) struct Items<'t> {
    pub(super) tracer: &'t mut Tracer,
    pub(super) node: usize,
    pub(super) next: usize,
    pub(super) end: usize,
    pub(super) same: bool,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = ShapeFault;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, ShapeFault> {
        if self.next >= self.end {
            return Ok(None);
        }
        let index = if self.same { 0 } else { self.next };
        self.next += 1;
        self.tracer.child(ShapeSite { node: self.node, index }, seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.end - self.next)
    }
}

/// The entries of a map: one slot for the keys and one for the values.
pub(super) struct Entries<'t> {
    pub(super) tracer: &'t mut Tracer,
    pub(super) node: usize,
    pub(super) left: usize,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = ShapeFault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ShapeFault> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.tracer.child(ShapeSite { node: self.node, index: 0 }, seed).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, ShapeFault> {
        self.tracer.child(ShapeSite { node: self.node, index: 1 }, seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The entries of a map whose keys are names.
pub(super) struct Named<'t> {
    pub(super) tracer: &'t mut Tracer,
    pub(super) node: usize,
    pub(super) entries: IntoIter<(ShapeTree, ShapeTree)>,
    pub(super) slot: usize,
}

impl<'de> MapAccess<'de> for Named<'_> {
    type Error = ShapeFault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ShapeFault> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.tracer.value = Some(value);
        if let ShapeTree::Text(name) = &key {
            self.slot = self.tracer.graph.node_mut(self.node).label(name);
        }
        seed.deserialize(Shown(&key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, ShapeFault> {
        self.tracer.child(ShapeSite { node: self.node, index: self.slot }, seed)
    }
}

/// The chosen variant of an enum, at the slot of that variant.
pub(super) struct Variant<'t> {
    pub(super) tracer: &'t mut Tracer,
    pub(super) site: ShapeSite,
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = ShapeFault;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self), ShapeFault> {
        // Positional codecs identify a variant by its number.
        let number = u32::try_from(self.site.index).unwrap_or(u32::MAX);
        let number: U32Deserializer<ShapeFault> = number.into_deserializer();
        if let Ok(value) = seed.deserialize(number) {
            return Ok((value, self));
        }
        let start = self.tracer.steps.len();
        Err(self.tracer.fail(self.site, start, Cause::NoSuchVariant))
    }
}

impl Variant<'_> {
    fn inside<T>(
        self,
        kind: ShapeKind,
        read: impl FnOnce(&mut Tracer, &PassVisit) -> Result<T, ShapeFault>,
    ) -> Result<T, ShapeFault> {
        let visit = self.tracer.enter(self.site, kind, "", "")?;
        let result = read(self.tracer, &visit);
        self.tracer.leave(visit, result)
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = ShapeFault;

    fn unit_variant(self) -> Result<(), ShapeFault> {
        self.inside(ShapeKind::UnitVariant, |_, _| Ok(()))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<S::Value, ShapeFault> {
        self.inside(ShapeKind::NewtypeVariant, |tracer, visit| {
            tracer.child(ShapeSite { node: visit.node, index: 0 }, seed)
        })
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, ShapeFault> {
        self.inside(ShapeKind::TupleVariant(len), |tracer, visit| {
            visitor.visit_seq(Items { tracer, node: visit.node, next: 0, end: len, same: false })
        })
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeFault> {
        self.inside(ShapeKind::StructVariant(fields), |tracer, visit| {
            read_fields(tracer, visit.node, visitor)
        })
    }
}
