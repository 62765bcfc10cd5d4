//! Arbitrary text as a CloudFormation template: it is an account, of which a lenient import makes a lab or says why not,
//! or it has errors, which can be shown. What it says, it says twice in the same words.

use egret::config::import::{ImportFailure, Imported, Options, Order, cloudformation};
use egret::vpc::Generation;

/// One input.
pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = cloudformation::is_one(text);
    let read = cloudformation::import(text, "fuzz.yaml", &options(text));
    assert_eq!(read, cloudformation::import(text, "fuzz.yaml", &options(text)));
    let (account, findings) = match read {
        Ok(read) => read,
        Err(errors) => {
            assert!(!errors.0.is_empty(), "a refusal without a reason");
            let whole = |text: &str| !text.is_empty() && !text.contains(['\u{fdd0}', '\u{fdd1}']);
            assert!(errors.0.iter().all(|error| whole(&error.message) && whole(&error.help)));
            return;
        }
    };
    for finding in findings.all() {
        assert!(
            !finding.object.is_empty()
                && !finding.what.is_empty()
                && !finding.consequence.is_empty()
        );
    }
    let order = Order { source: "fuzz.yaml".into(), lenient: true, ..Order::default() };
    match Imported::from_account(account, findings, &order) {
        Ok(imported) => {
            let _ = imported.lint();
            let snapshot = imported.lab.lower(Generation(1));
            for position in 0..snapshot.parts().services.len() {
                let _ = snapshot.choose_eni(position.into(), 1);
            }
        }
        Err(failure) => {
            assert!(
                !matches!(failure, ImportFailure::NotUnderstood(_)),
                "lenient refuses nothing of this"
            );
            assert!(!failure.to_string().is_empty());
        }
    }
}

/// A value for the one parameter of the seeds that has no default: nobody may give one that is not declared.
fn options(text: &str) -> Options {
    let mut options = Options::default();
    if text.contains("  P: ") {
        options.parameters.insert("P".to_owned(), "10.0.0.0/16".to_owned());
    }
    options
}
