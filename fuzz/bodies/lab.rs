//! Arbitrary text is given as a lab file: it is a lab, which can be lowered and whose warnings can
//! be shown, or it has errors, which can be shown. Parsing a file after an earlier one gives the
//! same answer about its mistakes.

use egret::config::{Diagnostic, Lab};
use egret::vpc::Generation;

/// Runs one input.
pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Lab::parse("fuzz.toml", text) {
        Ok(lab) => {
            show(&lab.lint());
            show(&lab.warnings);
            let snapshot = lab.lower(Generation(1));
            for position in 0..snapshot.parts().services.len() {
                let _ = snapshot.choose_eni(position.into(), 1);
            }
            let again = Lab::parse_after(Some(&lab), "fuzz.toml", text);
            assert!(again.is_ok(), "a file must follow itself: {}", again.unwrap_err());
        }
        Err(errors) => {
            assert!(!errors.is_empty(), "a refusal without a reason");
            assert!(!errors.to_string().is_empty());
            show(&errors.0);
        }
    }
}

/// Renders diagnostics as people and programs see them.
fn show(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        let mut text = String::new();
        assert!(diagnostic.render(&mut text, true).is_ok() && !text.is_empty());
        assert!(!diagnostic.message.is_empty());
    }
    assert!(serde_json::to_string(diagnostics).is_ok());
}
