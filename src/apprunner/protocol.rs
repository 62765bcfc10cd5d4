//! The forms in which AWS's services report errors. SDKs and the CLI send calls for other services
//! here if one address is configured for all of them; they can show why that does not work only if
//! the answer is in that service's own protocol.

use super::fault::Fault;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use uuid::Uuid;

/// The form of a service's errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// AWS JSON 1.0 and 1.1, of App Runner itself.
    Json,
    /// AWS Query: STS, IAM, CloudFormation, Elastic Load Balancing.
    Query,
    /// The Query protocol of EC2.
    Ec2,
    /// REST with XML: S3.
    Xml,
    /// REST with JSON: Lambda, API Gateway.
    RestJson,
}

/// A service that is not App Runner, by the request's signature or form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Foreign {
    /// The name in the signature, such as `sts`; empty if there is no signature.
    pub(super) service: String,
    pub(super) protocol: Protocol,
}

impl Foreign {
    /// Returns the service that a request is meant for, if it is not App Runner.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| {
            headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        let service = signed_for(text(header::AUTHORIZATION.as_str()));
        let (content, target) = (text(header::CONTENT_TYPE.as_str()), text("x-amz-target"));
        let is_form = content.starts_with("application/x-www-form-urlencoded");
        let protocol = match service {
            "apprunner" => return None,
            "" if !is_form => return None,
            "ec2" => Protocol::Ec2,
            "s3" => Protocol::Xml,
            _ if is_form => Protocol::Query,
            _ if !target.is_empty() => Protocol::Json,
            _ => Protocol::RestJson,
        };
        Some(Self { service: service.to_owned(), protocol })
    }

    /// Returns a message that this is another service, and how to send its calls elsewhere.
    pub(super) fn message(&self) -> String {
        let service = match self.service.as_str() {
            "" => "this service".to_owned(),
            service => format!("the service {service:?}"),
        };
        format!(
            "egret serves App Runner at this address, and not {service}: set AWS_ENDPOINT_URL_APPRUNNER in place of \
             AWS_ENDPOINT_URL, and give --endpoint-url to `aws apprunner` only"
        )
    }
}

/// Returns the service of a signature's scope: `Credential=KEY/DATE/REGION/SERVICE/aws4_request`.
fn signed_for(authorization: &str) -> &str {
    let scope = authorization.split_once("Credential=").map_or("", |(_, rest)| rest);
    let scope = scope.split([',', ' ']).next().unwrap_or_default();
    scope.rsplit('/').nth(1).unwrap_or_default()
}

impl Protocol {
    /// Writes an error.
    pub(super) fn error(self, fault: &Fault) -> Response {
        let (status, message) = (fault.kind.status(), escaped(&fault.message));
        let id = Uuid::new_v4().to_string();
        let code = "<Code>InvalidAction</Code>";
        let message = format!("<Message>{message}</Message>");
        match self {
            Self::Json => {
                json(status, &json!({"__type": fault.kind.shape_id(), "Message": fault.message}))
            }
            Self::RestJson => {
                let body = json!({"message": fault.message}).to_string();
                let typed = [("x-amzn-errortype", fault.kind.name())];
                (typed, answer(status, "application/json", &id, body)).into_response()
            }
            Self::Query => {
                let error = format!("<Error><Type>Sender</Type>{code}{message}</Error>");
                let id_of = format!("<RequestId>{id}</RequestId>");
                xml(status, &id, &format!("<ErrorResponse>{error}{id_of}</ErrorResponse>"))
            }
            Self::Ec2 => {
                let error = format!("<Errors><Error>{code}{message}</Error></Errors>");
                let id_of = format!("<RequestID>{id}</RequestID>");
                xml(status, &id, &format!("<Response>{error}{id_of}</Response>"))
            }
            Self::Xml => {
                let id_of = format!("<RequestId>{id}</RequestId>");
                xml(status, &id, &format!("<Error>{code}{message}{id_of}</Error>"))
            }
        }
    }
}

/// Answers in App Runner's own protocol.
pub(super) fn json(status: StatusCode, document: &Value) -> Response {
    let id = Uuid::new_v4().to_string();
    answer(status, "application/x-amz-json-1.0", &id, document.to_string())
}

fn xml(status: StatusCode, id: &str, body: &str) -> Response {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{body}\n");
    answer(status, "text/xml", id, body)
}

fn answer(status: StatusCode, content: &str, id: &str, body: String) -> Response {
    let headers =
        [(header::CONTENT_TYPE.as_str(), content.to_owned()), ("x-amzn-requestid", id.to_owned())];
    (status, headers, body).into_response()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(of: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in of {
            headers.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn the_signature_names_the_service_and_its_protocol() {
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        let json = "application/x-amz-json-1.1";
        let signed = |service: &str| {
            let scope = format!("AKID/20261130/us-east-1/{service}/aws4_request");
            format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host")
        };
        for (service, content, target, protocol) in [
            ("sts", form, "", Protocol::Query),
            ("ec2", form, "", Protocol::Ec2),
            ("s3", "", "", Protocol::Xml),
            ("logs", json, "Logs_20140328.DescribeLogGroups", Protocol::Json),
            ("lambda", "", "", Protocol::RestJson),
        ] {
            let signed = signed(service);
            let of =
                [("authorization", &*signed), ("content-type", content), ("x-amz-target", target)];
            let of: Vec<_> = of.into_iter().filter(|(_, value)| !value.is_empty()).collect();
            let found = Foreign::of(&headers(&of)).unwrap();
            assert_eq!((found.service.as_str(), found.protocol), (service, protocol));
            assert!(found.message().contains(&format!("{service:?}")));
        }
        assert_eq!(Foreign::of(&headers(&[("authorization", &signed("apprunner"))])), None);
        assert_eq!(Foreign::of(&HeaderMap::new()), None);
        let unsigned = Foreign::of(&headers(&[("content-type", form)])).unwrap();
        assert_eq!((unsigned.service.as_str(), unsigned.protocol), ("", Protocol::Query));
    }
}
