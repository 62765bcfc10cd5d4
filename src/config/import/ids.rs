//! Checks the ids of an account, which have AWS's form. They are printed in commands, so a folder
//! from another user must not put other words in their place.

use super::{Account, ImportError, ImportErrors, Origin};

/// Reports ids and names that AWS never gives.
///
/// # Errors
/// Each of them, with its place.
pub(super) fn require_ids(account: &Account) -> Result<(), ImportErrors> {
    let errors: Vec<ImportError> = all(account).filter(|(id, _)| !is_id(id)).map(error).collect();
    if errors.is_empty() { Ok(()) } else { Err(ImportErrors(errors)) }
}

/// Decides whether a word can be an id, a name or an ARN of AWS's network services or of App
/// Runner.
fn is_id(word: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    word.chars().all(is_inner) && !word.starts_with('-')
}

fn error((id, origin): (&str, &Origin)) -> ImportError {
    origin.error(
        format!(
            "{id:?} is not an AWS id: ids have letters, digits, \"-\", \"_\", \".\", \"/\" and \":\""
        ),
        "take the output of the AWS CLI as it is",
    )
}

/// Lists the words that commands and lab files name objects by.
fn all(account: &Account) -> impl Iterator<Item = (&str, &Origin)> {
    macro_rules! ids {
        ($objects:ident) => {
            account.$objects.iter().map(|own| (own.id.as_str(), &own.origin))
        };
    }
    let networks = ids!(vpcs).chain(ids!(subnets)).chain(ids!(route_tables));
    let gateways = ids!(nat_gateways).chain(ids!(internet_gateways)).chain(ids!(vpc_endpoints));
    let rules = ids!(security_groups).chain(ids!(network_acls)).chain(ids!(prefix_lists));
    let others = ids!(network_interfaces).chain(ids!(peering_connections));
    let connectors = account.vpc_connectors.iter().flat_map(|own| {
        let lists = own.subnets.iter().chain(&own.security_groups);
        lists.chain([&own.id, &own.name]).map(move |word| (word.as_str(), &own.origin))
    });
    let services = account.services.iter().flat_map(|own| {
        let arn = account.written.service_arns.get(&own.name);
        let words = arn.into_iter().chain(&own.vpc_connector).chain([&own.name]);
        words.map(move |word| (word.as_str(), &own.origin))
    });
    networks.chain(gateways).chain(rules).chain(others).chain(connectors).chain(services)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_names_and_arns_are_words_and_a_shell_reads_nothing_else_in_them() {
        for id in [
            "sg-0b03592806efabfee",
            "my_service-1",
            "arn:aws:apprunner:us-east-1:123456789012:service/web/8fe1e10304f84fd2b0df550fe98a71fa",
            "com.amazonaws.global.cloudfront.origin-facing",
        ] {
            assert!(is_id(id), "{id}");
        }
        for id in ["sg-2';touch x;'", "$(id)", "`id`", "a b", "a\nb", "-rf", "a\"b", "a\\b", "ü"] {
            assert!(!is_id(id), "{id}");
        }
    }

    #[test]
    fn an_account_with_another_word_in_place_of_an_id_is_refused() {
        let mut account = Account::default();
        account.vpc_connectors.push(crate::config::import::VpcConnector {
            id: "arn:aws:apprunner:us-east-1:123456789012:vpcconnector/c/1/2".to_owned(),
            name: "c".to_owned(),
            subnets: vec!["subnet-1".to_owned()],
            security_groups: Vec::new(),
            origin: Origin::default(),
        });
        assert_eq!(require_ids(&account), Ok(()));
        account.vpc_connectors[0].security_groups.push("sg-2';touch x;'".to_owned());
        let errors = require_ids(&account).map_err(|errors| errors.0.len());
        assert_eq!(errors, Err(1));
    }
}
