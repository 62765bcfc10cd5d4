//! Arbitrary text is given as a source of each format of `egret import`: it becomes a lab, whose
//! text and warnings can be shown, or is refused with a reason. Two imports of one text give the
//! same words.

use egret::config::import::{Format, ImportFailure, Imported, Order};
use egret::vpc::Generation;

/// Runs one input as an answer of `aws ec2 describe-*`.
pub(crate) fn describe(data: &[u8]) {
    run(data, Format::Describe);
}

/// Runs one input as a CloudFormation template.
pub(crate) fn cloudformation(data: &[u8]) {
    run(data, Format::CloudFormation);
}

/// Runs one input as the output of `terraform show -json`.
pub(crate) fn terraform(data: &[u8]) {
    run(data, Format::Terraform);
}

fn run(data: &[u8], format: Format) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut order = Order { source: "fuzz.json".into(), format: Some(format), ..Order::default() };
    // The one parameter of the seeds without a default: a parameter that is not declared must not
    // be given.
    if text.contains("  P: ") {
        order.options.parameters.insert("P".to_owned(), "10.0.0.0/16".to_owned());
    }
    let strict = Imported::from_text(text, &order);
    order.lenient = true;
    let lenient = Imported::from_text(text, &order);
    match (&strict, &lenient) {
        (Ok(strict), Ok(lenient)) => assert_eq!(strict.text(), lenient.text()),
        (Ok(_), Err(failure)) => panic!("lenient refuses what strict takes: {failure}"),
        (Err(ImportFailure::NotUnderstood(findings)), _) => assert!(!findings.is_empty()),
        (Err(ImportFailure::Source(errors)), _) => {
            assert!(!errors.0.is_empty() && !errors.to_string().is_empty());
        }
        (Err(ImportFailure::Lab(errors)), _) => assert!(!errors.to_string().is_empty()),
    }
    if let Ok(imported) = lenient {
        for finding in &imported.findings {
            assert!(!finding.object.is_empty() && !finding.what.is_empty());
        }
        imported.name_places(&mut egret::explain::check(&imported.lab));
        let snapshot = imported.lab.lower(Generation(1));
        for position in 0..snapshot.parts().services.len() {
            let _ = snapshot.choose_eni(position.into(), 1);
        }
    }
}
