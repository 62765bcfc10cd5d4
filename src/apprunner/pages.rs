//! Lists in pages: the number of elements at once, and the token that continues where a page ended.

use super::fault::Fault;
use super::store::{Positioned, Store};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

/// Hex digits of a token's signature.
const SIGNATURE: usize = 32;

/// A list in some order.
pub(super) struct List<'a> {
    /// The operation and its object, for which a token is valid.
    pub(super) name: &'a str,
    /// The response's member.
    pub(super) member: &'static str,
    /// True if positions go down.
    pub(super) newest_first: bool,
}

impl List<'_> {
    /// Returns the page that a request asks for by `MaxResults` and `NextToken`.
    ///
    /// # Errors
    /// `InvalidRequestException` for a token that this list did not give.
    pub(super) fn page<T>(
        &self,
        store: &Store,
        request: &Value,
        entries: Vec<Positioned<T>>,
        document: impl Fn(&T) -> Value,
    ) -> Result<Value, Fault> {
        let most = request["MaxResults"].as_u64().and_then(|most| usize::try_from(most).ok());
        let token = request["NextToken"].as_str().filter(|token| !token.is_empty());
        let after = token.map(|token| self.position(store, token)).transpose()?;
        let is_after = |position: i64| match after {
            None => true,
            Some(after) if self.newest_first => position < after,
            Some(after) => position > after,
        };
        let mut rest = entries.into_iter().filter(|entry| is_after(entry.position));
        let page: Vec<Positioned<T>> = rest.by_ref().take(most.unwrap_or(usize::MAX)).collect();
        let documents: Vec<Value> = page.iter().map(|entry| document(&entry.value)).collect();
        let mut response = json!({ self.member: documents });
        if let (Some(last), Some(_)) = (page.last(), rest.next()) {
            response["NextToken"] = json!(self.token(store, last.position));
        }
        Ok(response)
    }

    fn token(&self, store: &Store, position: i64) -> String {
        format!("{position:x}.{}", self.signature(store, position))
    }

    fn position(&self, store: &Store, token: &str) -> Result<i64, Fault> {
        let position = token.split_once('.').and_then(|(position, signature)| {
            let position = i64::from_str_radix(position, 16).ok()?;
            (signature == self.signature(store, position)).then_some(position)
        });
        position.ok_or_else(|| {
            let message = "NextToken is not from this list: begin again without it";
            Fault::invalid(message)
        })
    }

    fn signature(&self, store: &Store, position: i64) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(store.token_key().as_bytes()) else {
            return String::new();
        };
        mac.update(format!("{} {position}", self.name).as_bytes());
        let mut digits = super::signature::hex(&mac.finalize().into_bytes());
        digits.truncate(SIGNATURE);
        digits
    }
}

#[cfg(test)]
mod tests {
    use super::super::arn::Account;
    use super::*;

    fn entries(positions: impl IntoIterator<Item = i64>) -> Vec<Positioned<i64>> {
        positions.into_iter().map(|position| Positioned { position, value: position }).collect()
    }

    fn store(directory: &tempfile::TempDir) -> Store {
        let account = Account { id: "123456789012".to_owned(), region: "us-east-1".to_owned() };
        Store::open(&directory.path().join("a.sqlite"), &account).unwrap()
    }

    #[test]
    fn pages_follow_each_other_and_miss_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory);
        for newest_first in [false, true] {
            let list = List { name: "ListServices", member: "All", newest_first };
            let all = || match newest_first {
                true => entries((1..=5).rev()),
                false => entries(1..=5),
            };
            let (mut seen, mut token) = (Vec::new(), Value::Null);
            loop {
                let request = json!({"MaxResults": 2, "NextToken": token});
                let page = list.page(&store, &request, all(), |n| json!(n)).unwrap();
                seen.extend(page["All"].as_array().unwrap().clone());
                token = page["NextToken"].clone();
                if token.is_null() {
                    break;
                }
            }
            let whole = list.page(&store, &json!({}), all(), |n| json!(n)).unwrap();
            assert_eq!(json!(seen), whole["All"]);
            assert_eq!(seen.len(), 5);
        }
    }

    #[test]
    fn a_token_is_good_for_its_own_list() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory);
        let list = |name| List { name, member: "All", newest_first: false };
        let page =
            |name, request: Value| list(name).page(&store, &request, entries(1..=3), |n| json!(n));
        let first = page("ListServices", json!({"MaxResults": 1})).unwrap();
        let token = first["NextToken"].as_str().unwrap().to_owned();
        for (name, token) in [
            ("ListVpcConnectors", token.clone()),
            ("ListServices", format!("2{token}")),
            ("ListServices", "1.".to_owned()),
            ("ListServices", "ü".to_owned()),
        ] {
            let fault = page(name, json!({ "NextToken": token })).unwrap_err();
            assert!(fault.message.contains("NextToken"), "{fault}");
        }
    }
}
