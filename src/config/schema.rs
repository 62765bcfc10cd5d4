//! The JSON Schema of a lab file, from the keys that the reader takes: editors check a file with it
//! while it is written.
//!
//! It takes every file that the reader takes. The reader refuses more: see `ABOUT`.

use super::form::Form;
use super::key::{Condition, Key, List, MOST_TABLES, Table, Type, When};
use super::read;
use serde_json::{Map, Value, json};

/// The description of the whole schema.
const ABOUT: &str = "A lab file of egret, or a file of [[expect]] sections. The schema knows the \
    keys, types, words, ranges and forms. `egret check` also finds what a schema cannot: references \
    to objects that do not exist, names that are taken, addresses and blocks outside of others, and \
    an empty lab.";

/// Returns the schema, of draft 7, which editors of TOML understand.
pub fn lab_file() -> Value {
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    schema.insert("title".to_owned(), json!("egret lab file"));
    schema.insert("description".to_owned(), json!(ABOUT));
    schema.extend(of_table(&read::LAB_FILE));
    Value::Object(schema)
}

fn of_table(table: &Table) -> Map<String, Value> {
    let required: Vec<_> =
        table.keys.iter().filter(|key| key.is_required).map(|key| key.name).collect();
    let properties: Map<_, _> =
        table.keys.iter().map(|key| (key.name.to_owned(), of_key(key).into())).collect();
    let conditions: Vec<_> = table.conditions.iter().map(of_condition).collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("additionalProperties".to_owned(), json!(false));
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema.insert("properties".to_owned(), properties.into());
    if !conditions.is_empty() {
        schema.insert("allOf".to_owned(), json!(conditions));
    }
    schema
}

fn of_key(key: &Key) -> Map<String, Value> {
    let mut schema = Map::new();
    schema.insert("description".to_owned(), json!(key.about));
    schema.extend(of_type(&key.value));
    schema
}

fn of_type(value: &Type) -> Map<String, Value> {
    match value {
        Type::Text(form) => of_form(form),
        Type::TextOrInteger(form, (low, high)) => {
            any_of([of_form(form), bounded("integer", json!(low), json!(high))])
        }
        Type::TextOrTable(form, table) => any_of([of_form(form), of_table(table)]),
        Type::Boolean => object([("type", json!("boolean"))]),
        Type::Integer(low, high) => bounded("integer", json!(low), json!(high)),
        Type::Number(low, high) => bounded("number", json!(low), json!(high)),
        Type::Words(words) => object([("type", json!("string")), ("enum", json!(words))]),
        Type::List(list) => of_list(list),
        Type::Table(table) => of_table(table),
        Type::Tables(table) => object([
            ("type", json!("array")),
            ("maxItems", json!(MOST_TABLES)),
            ("items", of_table(table).into()),
        ]),
    }
}

fn of_form(form: &Form) -> Map<String, Value> {
    let mut schema = object([("type", json!("string"))]);
    if let Some(pattern) = form.pattern {
        schema.insert("pattern".to_owned(), json!(pattern));
    }
    if form.shortest > 0 {
        schema.insert("minLength".to_owned(), json!(form.shortest));
    }
    if let Some(longest) = form.longest {
        schema.insert("maxLength".to_owned(), json!(longest));
    }
    if !form.except.is_empty() {
        schema.insert("not".to_owned(), json!({ "enum": form.except }));
    }
    schema
}

fn of_list(list: &List) -> Map<String, Value> {
    let element = of_type(list.of);
    let mut array = object([("type", json!("array")), ("items", element.clone().into())]);
    if list.is_filled {
        array.insert("minItems".to_owned(), json!(1));
    }
    if list.is_distinct {
        array.insert("uniqueItems".to_owned(), json!(true));
    }
    any_of([element, array])
}

fn of_condition(condition: &Condition) -> Value {
    let mut then = Map::new();
    if !condition.needs.is_empty() {
        then.insert("required".to_owned(), json!(condition.needs));
    }
    if !condition.needs_one_of.is_empty() {
        let one = |key: &&str| json!({ "required": [key] });
        let each: Vec<_> = condition.needs_one_of.iter().map(one).collect();
        then.insert("anyOf".to_owned(), json!(each));
    }
    if !condition.refuses.is_empty() {
        let none = condition.refuses.iter().map(|key| ((*key).to_owned(), json!(false)));
        then.insert("properties".to_owned(), none.collect());
    }
    json!({ "if": of_when(&condition.when), "then": then })
}

fn of_when(when: &When) -> Value {
    let (key, values, is_given) = match when {
        When::Given(key) => return json!({ "required": [key] }),
        When::True(key) => (key, json!({ "const": true }), true),
        When::Is(key, words) => (key, json!({ "enum": words }), true),
        When::IsOrAbsent(key, words) => (key, json!({ "enum": words }), false),
        When::IsOrNumber(key, words, numbers) => {
            let words = words.iter().map(|word| json!(word));
            let values: Vec<_> = words.chain(numbers.iter().map(|number| json!(number))).collect();
            (key, json!({ "enum": values }), true)
        }
    };
    let mut schema = json!({ "properties": { *key: values } });
    if is_given {
        schema["required"] = json!([key]);
    }
    schema
}

fn bounded(name: &str, low: Value, high: Value) -> Map<String, Value> {
    object([("type", json!(name)), ("minimum", low), ("maximum", high)])
}

fn any_of(schemas: [Map<String, Value>; 2]) -> Map<String, Value> {
    object([("anyOf", json!(schemas))])
}

fn object<const N: usize>(entries: [(&str, Value); N]) -> Map<String, Value> {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
