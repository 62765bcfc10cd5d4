//! `SourceConfiguration` (spec 1.4): images, code and the access to them. egret runs neither, so an
//! error in them is noted, and refused only if the lab file says so.

use super::fault::Fault;
use super::noting::Noting;
use serde_json::{Value, json};

/// The port at which App Runner expects the application.
const PORT: &str = "8080";

/// Checks `SourceConfiguration` and fills in its defaults.
///
/// # Errors
/// A contradiction, if the lab file has it refused.
pub(super) fn checked(mut source: Value, noting: &mut Noting<'_>) -> Result<Value, Fault> {
    let automatic = source["AutoDeploymentsEnabled"].as_bool();
    let image = source.get("ImageRepository");
    let is_public = image.is_some_and(|image| image["ImageRepositoryType"] == "ECR_PUBLIC");
    match (image, source.get("CodeRepository")) {
        (Some(_), Some(_)) => noting.source(
            "SourceConfiguration has both an ImageRepository and a CodeRepository: give one of them",
        )?,
        (None, None) => noting.source(
            "SourceConfiguration has neither an ImageRepository nor a CodeRepository: give one of them",
        )?,
        (Some(_), None) | (None, Some(_)) => {}
    }
    let authentication = &source["AuthenticationConfiguration"];
    let has = |member: &str| authentication[member].is_string();
    if let Some(image) = image {
        image_repository(image, is_public, has("AccessRoleArn"), noting)?;
        if is_public && automatic == Some(true) {
            noting.source("AutoDeploymentsEnabled cannot be true with an image of ECR Public")?;
        }
    }
    if let Some(code) = source.get("CodeRepository") {
        if !has("ConnectionArn") {
            noting
                .role("a CodeRepository needs the ConnectionArn of AuthenticationConfiguration")?;
        }
        code_repository(code, noting)?;
    }
    source["AutoDeploymentsEnabled"] = json!(automatic.unwrap_or(!is_public));
    if let Some(image) = source.get_mut("ImageRepository").and_then(Value::as_object_mut) {
        let configuration = image.entry("ImageConfiguration").or_insert_with(|| json!({}));
        if configuration["Port"].is_null() {
            configuration["Port"] = json!(PORT);
        }
    }
    Ok(source)
}

fn image_repository(
    image: &Value,
    is_public: bool,
    has_role: bool,
    noting: &mut Noting<'_>,
) -> Result<(), Fault> {
    let identifier = image["ImageIdentifier"].as_str().unwrap_or_default();
    if identifier.starts_with("public.ecr.aws/") != is_public {
        let fitting = if is_public { "ECR" } else { "ECR_PUBLIC" };
        noting.source(format!(
            "ImageIdentifier {identifier} is not of the ImageRepositoryType given; {fitting} would fit it"
        ))?;
    }
    if !is_public && !has_role {
        noting.role("an image of ECR needs the AccessRoleArn of AuthenticationConfiguration")?;
    }
    port(&image["ImageConfiguration"]["Port"], noting)
}

fn code_repository(code: &Value, noting: &mut Noting<'_>) -> Result<(), Fault> {
    let configuration = &code["CodeConfiguration"];
    let values = &configuration["CodeConfigurationValues"];
    if configuration["ConfigurationSource"] == "API" && values.is_null() {
        noting.source(
            "ConfigurationSource API needs CodeConfigurationValues; REPOSITORY takes them from apprunner.yaml",
        )?;
    }
    port(&values["Port"], noting)
}

/// Checks `Port`, which is a string (spec 1.4).
fn port(given: &Value, noting: &mut Noting<'_>) -> Result<(), Fault> {
    let Some(text) = given.as_str() else { return Ok(()) };
    let digits = !text.is_empty() && text.chars().all(|digit| digit.is_ascii_digit());
    if digits && text.parse::<u16>().is_ok_and(|port| port > 0) {
        return Ok(());
    }
    noting.source(format!("Port {text:?} is not a port: give a number from 1 to 65535"))
}

/// Checks that an update does not turn code into an image, or an image into code.
///
/// # Errors
/// It does, and the lab file has that refused.
pub(super) fn of_same_kind(
    before: &Value,
    after: &Value,
    noting: &mut Noting<'_>,
) -> Result<(), Fault> {
    let is_image = |source: &Value| source.get("ImageRepository").is_some();
    if is_image(before) == is_image(after) {
        return Ok(());
    }
    noting.source(
        "an update cannot turn a service with a CodeRepository into one with an ImageRepository, or the other way round: create \
         another service",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::apprunner::{AppRunner, Strictness};

    fn public_image() -> Value {
        json!({"ImageRepository": {
            "ImageIdentifier": "public.ecr.aws/aws-containers/hello-app-runner:latest",
            "ImageRepositoryType": "ECR_PUBLIC"}})
    }

    fn strict() -> AppRunner {
        let (access_role, source) = (Strictness::Require, Strictness::Require);
        AppRunner { access_role, source, ..AppRunner::default() }
    }

    /// Checks that a strict lab refuses a source, and another one accepts it with a note; both
    /// messages contain `part`.
    #[track_caller]
    fn refused_or_noted(source: Value, part: &str) {
        let strict = strict();
        let fault = checked(source.clone(), &mut Noting::new(&strict, Vec::new())).unwrap_err();
        assert!(fault.message.contains(part), "{fault}");
        let lab = AppRunner::default();
        let mut noting = Noting::new(&lab, Vec::new());
        checked(source, &mut noting).unwrap();
        assert!(
            noting.notes_so_far().iter().any(|note| note.contains(part)),
            "{:?}",
            noting.notes_so_far()
        );
        assert!(noting.notes_so_far().iter().all(|note| note.contains("= \"require\"")));
    }

    #[test]
    fn sources_that_do_not_hold_together_are_refused_or_noted() {
        refused_or_noted(json!({}), "neither");
        let mut both = public_image();
        both["CodeRepository"] = json!({});
        refused_or_noted(both, "both");
        refused_or_noted(json!({"CodeRepository": {}}), "ConnectionArn");
        let mut typed = public_image();
        typed["ImageRepository"]["ImageRepositoryType"] = json!("ECR");
        refused_or_noted(typed, "ECR_PUBLIC would fit");
        let mut port = public_image();
        port["ImageRepository"]["ImageConfiguration"] = json!({"Port": "+80"});
        refused_or_noted(port, "Port \"+80\"");
        let mut automatic = public_image();
        automatic["AutoDeploymentsEnabled"] = json!(true);
        refused_or_noted(automatic, "ECR Public");
        let private = "123456789012.dkr.ecr.us-east-1.amazonaws.com/a:1";
        let private = json!({"ImageIdentifier": private, "ImageRepositoryType": "ECR"});
        refused_or_noted(json!({"ImageRepository": private}), "AccessRoleArn");
        let connection = json!({"ConnectionArn": "arn"});
        refused_or_noted(
            json!({"AuthenticationConfiguration": connection, "CodeRepository": {
                "CodeConfiguration": {"ConfigurationSource": "API"}}}),
            "CodeConfigurationValues",
        );
    }

    #[test]
    fn a_sound_source_has_no_notes_and_its_defaults() {
        let strict = strict();
        let mut noting = Noting::new(&strict, Vec::new());
        let source = checked(public_image(), &mut noting).unwrap();
        assert_eq!(source["ImageRepository"]["ImageConfiguration"], json!({"Port": "8080"}));
        assert_eq!(source["AutoDeploymentsEnabled"], json!(false));
        assert!(noting.notes_so_far().is_empty());
    }

    #[test]
    fn code_does_not_become_an_image() {
        let strict = strict();
        let code = json!({"CodeRepository": {}});
        let mut noting = Noting::new(&strict, Vec::new());
        let fault = of_same_kind(&public_image(), &code, &mut noting).unwrap_err();
        assert!(fault.message.contains("create another service"), "{fault}");
        of_same_kind(&public_image(), &public_image(), &mut noting).unwrap();
    }
}
