//! The fields of rows that a running lab sends, so that tests need not make such rows.

use super::rows::Rows;
use serde::de::value::Error;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;
use std::collections::BTreeSet;

/// Names the fields of a struct.
pub(in crate::cli) fn fields<T: DeserializeOwned>() -> BTreeSet<String> {
    let mut found = Vec::new();
    let refused = T::deserialize(Fields(&mut found));
    assert!(refused.is_err(), "a struct has fields");
    found.iter().map(|field| (*field).to_owned()).collect()
}

/// Names the keys that columns have below a key; without one, at the top.
pub(in crate::cli) fn keys(rows: &Rows, below: &str) -> BTreeSet<String> {
    let inner = |column: &&str| match below {
        "" => Some((*column).to_owned()),
        below => column.strip_prefix(below)?.strip_prefix('.').map(str::to_owned),
    };
    let first = |column: String| column.split('.').next().unwrap_or_default().to_owned();
    rows.columns.iter().filter_map(inner).map(first).collect()
}

/// A deserializer that notes the fields of a struct, and has no value for it.
struct Fields<'f>(&'f mut Vec<&'static str>);

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("not a struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        self.0.extend(fields);
        Err(Error::custom("no values"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
