//! A type that has a JSON form: read from a component, checked, and laid out so that a name is found at once.

use std::collections::BTreeMap;
use std::fmt;

use wasmtime::component::types::Type;

use crate::error::Issue;
use crate::limits;

/// One of WIT's types of values.
#[derive(Debug, Clone)]
pub enum Shape {
    /// `bool`
    Bool,
    /// `s8` to `u64`
    Int(Int),
    /// `f32`
    Float32,
    /// `f64`
    Float64,
    /// `char`
    Char,
    /// `string`
    String,
    /// `list<T>`
    List(Box<Shape>),
    /// `list<T, N>`
    FixedList(Box<Shape>, usize),
    /// `map<K, V>`
    Map(Box<Shape>, Box<Shape>),
    /// `tuple<...>`
    Tuple(Vec<Shape>),
    /// `record`
    Record(Named<Shape>),
    /// `variant`
    Variant(Named<Option<Shape>>),
    /// `enum`
    Enum(Named<()>),
    /// `flags`
    Flags(Named<()>),
    /// `option<T>`
    Option(Box<Shape>),
    /// `result<T, E>`
    Result(Option<Box<Shape>>, Option<Box<Shape>>),
}

/// One of WIT's types of whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are WIT's own")]
pub enum Int {
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
}

impl Int {
    /// The least and the greatest.
    #[must_use]
    pub fn range(self) -> (i64, u64) {
        match self {
            Int::S8 => (i8::MIN.into(), i8::MAX.unsigned_abs().into()),
            Int::U8 => (0, u8::MAX.into()),
            Int::S16 => (i16::MIN.into(), i16::MAX.unsigned_abs().into()),
            Int::U16 => (0, u16::MAX.into()),
            Int::S32 => (i32::MIN.into(), i32::MAX.unsigned_abs().into()),
            Int::U32 => (0, u32::MAX.into()),
            Int::S64 => (i64::MIN, i64::MAX.unsigned_abs()),
            Int::U64 => (0, u64::MAX),
        }
    }

    /// True for those that a double cannot hold, which may therefore come as a string too.
    #[must_use]
    pub fn is_wide(self) -> bool {
        matches!(self, Int::S64 | Int::U64)
    }
}

/// Things by name, in the order in which WIT has them.
#[derive(Debug, Clone)]
pub struct Named<T> {
    items: Vec<(String, T)>,
    by_name: BTreeMap<String, usize>,
}

impl<T> Named<T> {
    /// In their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &T)> {
        self.items.iter().map(|(name, item)| (name.as_str(), item))
    }

    /// The names in their order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }

    /// The one of this name, and how many stand before it.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<(usize, &T)> {
        self.by_name.get(name).map(|place| (*place, &self.items[*place].1))
    }
}

impl<T> FromIterator<(String, T)> for Named<T> {
    fn from_iter<I: IntoIterator<Item = (String, T)>>(items: I) -> Self {
        let items: Vec<(String, T)> = items.into_iter().collect();
        let by_name = items.iter().enumerate().map(|(place, (name, _))| (name.clone(), place)).collect();
        Named { items, by_name }
    }
}

/// Reads the types of one function and counts what it has read.
pub(super) struct Reader {
    /// The way from the function to the type that is read, in words.
    way: Vec<String>,
    /// Types and names that may still come.
    left: usize,
}

impl Reader {
    pub(super) fn new(function: &str) -> Self {
        Reader { way: vec![shortened(function)], left: limits::COMPONENT_TYPE_PLACES_MAX }
    }

    pub(super) fn params<'a>(&mut self, params: impl Iterator<Item = (&'a str, Type)>) -> Result<Named<Shape>, Issue> {
        self.named(params, |reader, name, ty| reader.below(format!("parameter {name}"), &ty))
    }

    pub(super) fn returns(&mut self, ty: &Type) -> Result<Shape, Issue> {
        self.below("result".to_owned(), ty)
    }

    /// Why the place that is read cannot be had.
    pub(super) fn refused(&self, message: impl Into<String>) -> Issue {
        Issue { path: self.way.join(", "), message: message.into() }
    }

    fn below(&mut self, step: impl fmt::Display, ty: &Type) -> Result<Shape, Issue> {
        self.way.push(step.to_string());
        // The function itself is the first of the way.
        if self.way.len() - 1 > limits::COMPONENT_TYPE_DEPTH_MAX {
            return Err(self.refused(format!("is nested deeper than {} types", limits::COMPONENT_TYPE_DEPTH_MAX)));
        }
        self.count()?;
        let shape = self.shape(ty)?;
        self.way.pop();
        Ok(shape)
    }

    fn boxed(&mut self, step: &str, ty: &Type) -> Result<Box<Shape>, Issue> {
        self.below(step, ty).map(Box::new)
    }

    fn shape(&mut self, ty: &Type) -> Result<Shape, Issue> {
        let handle = "which is good within one instance only; JSON has nothing that stands for it";
        Ok(match ty {
            Type::Bool => Shape::Bool,
            Type::S8 => Shape::Int(Int::S8),
            Type::U8 => Shape::Int(Int::U8),
            Type::S16 => Shape::Int(Int::S16),
            Type::U16 => Shape::Int(Int::U16),
            Type::S32 => Shape::Int(Int::S32),
            Type::U32 => Shape::Int(Int::U32),
            Type::S64 => Shape::Int(Int::S64),
            Type::U64 => Shape::Int(Int::U64),
            Type::Float32 => Shape::Float32,
            Type::Float64 => Shape::Float64,
            Type::Char => Shape::Char,
            Type::String => Shape::String,
            Type::List(list) => Shape::List(self.boxed("item", &list.ty())?),
            Type::FixedLengthList(list) => {
                let length = usize::try_from(list.len()).map_err(|_| self.refused("is longer than this machine can count"))?;
                Shape::FixedList(self.boxed("item", &list.ty())?, length)
            }
            Type::Map(map) => Shape::Map(self.boxed("key", &map.key())?, self.boxed("value", &map.value())?),
            Type::Tuple(tuple) => {
                let of = |(n, ty): (usize, Type)| self.below(format!("item {n}"), &ty);
                Shape::Tuple(tuple.types().enumerate().map(of).collect::<Result<_, Issue>>()?)
            }
            Type::Record(record) => {
                let fields = record.fields().map(|field| (field.name, field.ty));
                Shape::Record(self.named(fields, |reader, name, ty| reader.below(format!("field {name}"), &ty))?)
            }
            Type::Variant(variant) => {
                let cases = variant.cases().map(|case| (case.name, case.ty));
                let of =
                    |reader: &mut Self, name: &str, ty: Option<Type>| ty.map(|ty| reader.below(format!("case {name}"), &ty)).transpose();
                Shape::Variant(self.named(cases, of)?)
            }
            Type::Enum(names) => Shape::Enum(self.names(names.names())?),
            Type::Flags(names) => Shape::Flags(self.names(names.names())?),
            Type::Option(option) => Shape::Option(self.boxed("value", &option.ty())?),
            Type::Result(result) => {
                let ok = result.ok().map(|ty| self.boxed("ok", &ty)).transpose()?;
                Shape::Result(ok, result.err().map(|ty| self.boxed("err", &ty)).transpose()?)
            }
            Type::Own(_) => return Err(self.refused(format!("is a resource, {handle}"))),
            Type::Borrow(_) => return Err(self.refused(format!("is a borrowed resource, {handle}"))),
            Type::Stream(_) => return Err(self.refused("is a stream; a tool takes and returns whole values, so make it a list")),
            Type::Future(_) => return Err(self.refused("is a future; a tool's function returns when it is done")),
            Type::ErrorContext => return Err(self.refused(format!("is an error-context, {handle}; return a result"))),
        })
    }

    fn names<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> Result<Named<()>, Issue> {
        self.named(names.map(|name| (name, ())), |_, _, ()| Ok(()))
    }

    /// Each name is counted and must be one that people can read; `of` reads what stands under it.
    fn named<'a, T, S>(
        &mut self,
        items: impl Iterator<Item = (&'a str, T)>,
        of: impl Fn(&mut Self, &str, T) -> Result<S, Issue>,
    ) -> Result<Named<S>, Issue> {
        let one = |(name, item): (&'a str, T)| {
            if name.len() > limits::COMPONENT_NAME_BYTES_MAX {
                let short = shortened(name);
                return Err(self.refused(format!(
                    "has a name of {} bytes ({short}); at most {}",
                    name.len(),
                    limits::COMPONENT_NAME_BYTES_MAX
                )));
            }
            self.count()?;
            Ok((name.to_owned(), of(self, name, item)?))
        };
        items.map(one).collect()
    }

    fn count(&mut self) -> Result<(), Issue> {
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            let message = format!("is one type or name too many: a function has at most {}", limits::COMPONENT_TYPE_PLACES_MAX);
            self.refused(message)
        })?;
        Ok(())
    }
}

/// A name as it may stand in a message.
pub(super) fn shortened(name: &str) -> String {
    match name.char_indices().nth(limits::COMPONENT_NAME_BYTES_MAX) {
        Some((at, _)) => format!("{}…", &name[..at]),
        None => name.to_owned(),
    }
}
